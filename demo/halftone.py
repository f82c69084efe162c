"""The tab "Halftone": a photograph through any method of the table, and back."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.blocks import Block

import sdk
from demo import models
from demo.fields import download_button, model_menu, picture_field, slider, take_sample
from demo.lpips import lpips
from demo.pictures import first_page, previews
from demo.workspace import check_open, errors_shown, given, new_folder, public_text
from sdk.files.formats import halftone_suffix, restored_suffix
from sdk.halftoning import METHODS
from sdk.halftoning.palettes import PALETTE_DITHERS, PALETTES
from sdk.halftoning.thresholds import DOTS
from sdk.metrics import REACH, psnr, ssim

CHOICES = {"dot": DOTS, "palette": PALETTES, "dither": PALETTE_DITHERS}
FIRST = "floyd-steinberg"
PARAMETERS = {name: default for method in METHODS.values() for name, default in method.parameters.items()}


def halftone(
    source: str | None,
    method: str = FIRST,
    grey: bool = False,
    model: str = "auto",
    request: gr.Request = None,  # type: ignore[assignment]  # Gradio fills it in
    **parameters: Any,
) -> tuple[tuple[str, str], str, str, str]:
    """Halftone a photograph by any method or model for it, restore it, and measure both against the original.

    Parameters the method does not take are ignored; those left empty have the method's defaults.
    Returns PNG previews (halftone, restored), a report as Markdown, the halftone's file and the restored one.
    """
    path = given(source)
    folder = new_folder(request)
    dots = folder / f"{path.stem}_{method}{halftone_suffix(path)}"
    restored = folder / f"{dots.stem}_restored{restored_suffix(dots)}"
    with errors_shown():
        taken = {name: parameters[name] for name in _parameters(method) if parameters.get(name) is not None}
        seed = taken.pop("seed", None)
        halftoner = sdk.Halftoner(method, grey=grey, **taken) if method in METHODS else models.halftoner(method, grey)
        halftoner.run_file(path, dots, seed=seed)
        done = models.restore_file(dots, restored, model)
        check_open(folder)
        pictures = previews(dots, restored, folder)
        report = _report(path, dots, restored, grey, done)
    return pictures, report, str(dots), str(restored)


def _parameters(method: str) -> dict[str, Any]:
    """Those of a method of the table; a model has at most a seed."""
    if method in METHODS:
        return METHODS[method].parameters
    return {"seed": 0} if models.takes_seed(method) else {}


def _with_table_parameters(function: Callable[..., Any]) -> None:
    """Name the table's parameters in its signature, where Gradio looks for what a client may leave out."""
    signature = inspect.signature(function)
    fixed = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    own = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None) for name in PARAMETERS]
    function.__signature__ = signature.replace(parameters=[*fixed, *own])  # type: ignore[attr-defined]


_with_table_parameters(halftone)


def _report(original: Path, dots: Path, restored: Path, grey: bool, done: models.Restoration) -> str:
    """A table of PSNR, SSIM and LPIPS; with ``grey``, the original is turned to grey as the halftoner does."""
    photo = first_page(original)
    if grey and photo.ndim == 3:
        photo = photo @ [0.299, 0.587, 0.114]
    rows = ["| against the original | PSNR | SSIM | LPIPS |", "|---|---|---|---|"]
    for name, path in (("the halftone", dots), ("restored", restored)):
        picture = first_page(path)
        if picture.ndim > photo.ndim:  # the palette method makes colour of grey
            picture = picture.mean(axis=-1)
        structure = ssim(picture, photo) if min(photo.shape[:2]) > 2 * REACH else None
        likeness = ("not measured" if value is None else f"{value:.3f}" for value in (structure, lpips(picture, photo)))
        rows.append(f"| {name} | {psnr(picture, photo):.2f} dB | {' | '.join(likeness)} |")
    notes = [f"**Note:** {public_text(text)}" for text in done.warnings]
    return "\n\n".join(["\n".join(rows), f"**Restored:** {done}.", *notes])


def _take_example(request: gr.Request) -> str:
    return take_sample("kodim23_grey.png", request)


def _parameter_field(name: str, default: Any) -> Block:
    visible = name in METHODS[FIRST].parameters
    label = name.replace("lpi", "lines per inch (lpi)").replace("dpi", "resolution (dpi)")
    value = default if visible else None
    if isinstance(default, bool):
        return gr.Checkbox(default, label=label, visible=visible)
    if isinstance(default, str):
        own = name == "palette"  # colours of one's own are written into the field
        return gr.Dropdown(list(CHOICES[name]), value=value, label=label, visible=visible, allow_custom_value=own)
    return gr.Number(value, label=label, visible=visible, precision=0 if isinstance(default, int) else None, min_width=120)


def _show_parameters(method: str) -> list[Any]:
    """Only the method's own parameters, with its own defaults; and what it is."""
    own = _parameters(method)
    fields = [gr.update(visible=name in own, value=own.get(name)) for name in PARAMETERS]
    return [_summary(method), *fields]


def _summary(method: str) -> str:
    if method not in METHODS:
        return f"*network: {sdk.releases()[method].summary}*"
    return f"*{METHODS[method].family}: {METHODS[method].summary}*"


def tab() -> None:
    with gr.Row():
        with gr.Column(scale=2, min_width=320):
            source = picture_field("A photograph", "halftone-source")
            example = gr.Button("Take the example: Kodak picture 23", size="sm")
            method = gr.Dropdown([*METHODS, *models.halftoners()], value=FIRST, label="Halftoning method")
            summary = gr.Markdown(_summary(FIRST))
            with gr.Row():
                fields: dict[str, Block] = {name: _parameter_field(name, default) for name, default in PARAMETERS.items()}
            grey = gr.Checkbox(False, label="turn to grey first")
            model = model_menu()
            button = gr.Button("Halftone and restore", variant="primary", elem_id="halftone")
        with gr.Column(scale=3, min_width=320):
            before_after = slider("Halftone and restored", "halftone-restored")
            report = gr.Markdown(
                "Drop a photograph and press the button: its halftone and what can be had back of it appear here.", label="Report"
            )
            with gr.Row():
                dots = download_button("Download the halftone", "download-halftone")
                restored = download_button("Download the restored file", "download-restored")
    method.change(_show_parameters, method, [summary, *fields.values()], api_visibility="private", show_progress="hidden")
    example.click(_take_example, None, source, api_visibility="private", show_progress="hidden")
    button.click(
        halftone,
        [source, method, grey, model],
        [before_after, report, dots, restored],
        inputs_kwargs=fields,
        api_name="halftone",
        show_progress_on=before_after,
        **models.ONE_SLOT,
    )
