"""The fields and buttons that tabs share."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import gradio as gr

from demo import models
from demo.workspace import new_folder
from sdk.catalog import released_for
from sdk.files.formats import READ_SUFFIXES

SAMPLES = Path(__file__).parents[1] / "docs" / "samples"


def take_sample(name: str, request: gr.Request) -> str:
    """A copy for this session, since no folder of the checkout is served."""
    return str(shutil.copy(SAMPLES / name, new_folder(request)))


def picture_field(label: str, elem_id: str) -> gr.File:
    """Takes the file itself, since a browser's picture field would turn it into 8-bit RGB."""
    return gr.File(label=label, file_types=sorted(READ_SUFFIXES), height=170, elem_id=elem_id)


def slider(label: str, elem_id: str) -> gr.ImageSlider:
    """Before and after, without loss; a narrow screen, where it lies below the rest, is taken to it."""
    shown = gr.ImageSlider(
        label=label,
        format="png",
        type="filepath",
        interactive=False,
        max_height=640,
        elem_id=elem_id,
        buttons=["fullscreen"],
    )
    shown.change(None, js=f"() => {{ if (innerWidth < 768) document.getElementById('{elem_id}').scrollIntoView() }}")
    return shown


def download_button(label: str, elem_id: str) -> gr.DownloadButton:
    """Takes clicks once it has a file."""
    button = gr.DownloadButton(label, elem_id=elem_id, interactive=False)
    button.change(lambda: gr.update(interactive=True), None, button, api_visibility="private", queue=False, show_progress="hidden")
    return button


def model_menu() -> gr.Dropdown:
    choices = [("auto: look at the picture first", "auto"), *((name, name) for name in released_for("inverse-halftoning"))]
    info = (
        "auto takes the right one. fast: clean 1-bit dithers. prl: Floyd-Steinberg, slow. colour: colour dithers. gif: few colours. "
        "scan: scans of print. cdh-Nstep: error diffusion, sharper, with a seed."
    )
    return gr.Dropdown(choices, value="auto", label="Model", info=info)


def seed_field(model: gr.Dropdown) -> gr.Number:
    """There while the menu shows a model that starts from noise, and empty where it does not: a seed for nothing is an error."""
    first = models.takes_seed(str(model.value))
    seed = gr.Number(0 if first else None, label="Seed: another number, another result", precision=0, minimum=0, visible=first)

    def show(chosen: str) -> Any:
        return gr.update(visible=models.takes_seed(chosen), value=0 if models.takes_seed(chosen) else None)

    model.change(show, model, seed, api_visibility="private", show_progress="hidden")
    return seed
