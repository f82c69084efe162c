"""The tab "Restore": one picture in, a slider between before and after, and the true file to download."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
from PIL import Image

import sdk
from demo import models
from demo.fields import SAMPLES, download_button, model_menu, picture_field, seed_field, slider, take_sample
from demo.pictures import previews
from demo.workspace import check_open, errors_shown, given, new_folder, public_text
from sdk.files.formats import restored_suffix

EXAMPLES = {
    "gallica_ad_truck4.jpg": "Print ad",
    "kodim23_floyd-steinberg.png": "1-bit dither",
    "gallica_press_1910s.jpg": "Newspaper, 1910s",
    "gallica_press_macro.jpg": "Enlarged print",
    "page_85lpi_300dpi.jpg": "Page of text",
    "gallica_colour_print_2.jpg": "Colour print",
}
CREDIT = "Examples: Source gallica.bnf.fr / BnF (public domain), and Kodak picture 23."


def restore(
    source: str | None,
    model: str = "auto",
    scale: float = 1.0,
    seed: int | None = None,
    request: gr.Request = None,  # type: ignore[assignment]  # Gradio fills it in
    progress: gr.Progress = gr.Progress(),
) -> tuple[tuple[str, str], str, str]:
    """Restore a halftone: every page, with DPI, ICC profile, EXIF, XMP and IPTC, in the format and depth of the file given.

    seed: of models that start from noise, and of no others; empty is 0.
    Returns PNG previews (before, after) of the first page, a report as Markdown, and the restored file.
    """
    path = given(source)
    folder = new_folder(request)
    target = folder / f"{path.stem}_restored{restored_suffix(path)}"

    def on_page(done: int, pages: int) -> None:
        progress((done, pages), desc="Restoring", unit="pages")

    with errors_shown():
        progress(0, desc="Looking at the picture")
        analysis = sdk.analyze(path)
        progress(0, desc="Restoring")
        done = models.restore_file(path, target, model, scale, on_page, seed)
        check_open(folder)
        pictures = previews(path, target, folder)
    return pictures, _report(analysis, done, target), str(target)


def _report(analysis: sdk.Analysis, done: models.Restoration, target: Path) -> str:
    with Image.open(target) as image:
        pages = getattr(image, "n_frames", 1)
        size = f"{image.width} x {image.height} px" + (f", {pages} pages" if pages > 1 else "")
    lines = [f"**Found:** {analysis}.", f"**Restored:** {done}.", f"**File:** {target.name}, {size}."]
    return "  \n".join(lines + [f"**Note:** {public_text(text)}" for text in done.warnings])


def _thumbnail(name: str) -> Image.Image:
    """A square from the middle, small."""
    with Image.open(SAMPLES / name) as image:
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        return image.convert("RGB").resize((240, 240), Image.Resampling.LANCZOS, (left, top, left + side, top + side))


def _take_example(event: gr.SelectData, request: gr.Request) -> str:
    return take_sample(list(EXAMPLES)[event.index], request)


def tab() -> None:
    with gr.Row():
        with gr.Column(scale=2, min_width=320):
            source = picture_field("Scan of print, or 1-bit dither", "restore-source")
            gr.Markdown("**Or click an example:**")
            thumbnails = [(_thumbnail(name), caption) for name, caption in EXAMPLES.items()]
            examples = gr.Gallery(
                thumbnails,
                label="Examples",
                show_label=False,
                columns=3,
                allow_preview=False,
                buttons=[],
                elem_id="examples",
                height="auto",
            )
            gr.Markdown(CREDIT, elem_classes="fine-print")
            with gr.Accordion("Options: model, size", open=False):
                model = model_menu()
                scale = gr.Dropdown(
                    [(f"{scale:.0%} of the scan's size", scale) for scale in models.SCALES],
                    value=1.0,
                    label="Size of the result",
                    info="Coarse dots hold no detail to fill their scan's size.",
                )
                seed = seed_field(model)
            button = gr.Button("Restore", variant="primary", elem_id="restore")
        with gr.Column(scale=3, min_width=320):
            before_after = slider("Before and after", "before-after")
            report = gr.Markdown("Drop a file or click an example: the result appears here.", label="Report", elem_id="report")
            download = download_button("Download the restored file", "download")
    event = {"fn": restore, "inputs": [source, model, scale, seed], "outputs": [before_after, report, download]}
    event |= {"show_progress_on": before_after, "trigger_mode": "always_last", **models.ONE_SLOT}
    gr.on([button.click, source.upload], api_name="restore", **event)
    chosen = examples.select(_take_example, None, source, api_visibility="private", show_progress="hidden")
    chosen.success(api_visibility="private", **event)
