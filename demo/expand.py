"""The tab "Expand bits": a picture of 1 to 5 bits a channel in, a slider between before and after, and the true file to download."""

from __future__ import annotations

import time

import gradio as gr

import sdk
from demo import models
from demo.fields import SAMPLES, download_button, picture_field, slider
from demo.pictures import previews
from demo.workspace import check_open, errors_shown, given, new_folder
from sdk.files import read
from sdk.files.formats import restored_suffix
from sdk.networks.few_bits import MOST_BITS, find_depth

EXAMPLE_BITS = 3


def expand(
    source: str | None,
    bits: int = 0,
    request: gr.Request = None,  # type: ignore[assignment]  # Gradio fills it in
    progress: gr.Progress = gr.Progress(),
) -> tuple[tuple[str, str], str, str]:
    """Expand a picture of 1 to 5 bits a channel: every page, with all that its header says, in the format and depth of the
    file given.

    bits: 0 tells them from the picture. Returns PNG previews (before, after) of the first page, a report as Markdown, and the file.
    """
    path = given(source)
    folder = new_folder(request)
    target = folder / f"{path.stem}_expanded{restored_suffix(path)}"
    expander = models.expander(models.expanders()[0])

    def on_page(done: int, pages: int) -> None:
        progress((done, pages), desc="Expanding", unit="pages")

    with errors_shown():
        progress(0, desc="Looking at the picture")
        depth = find_depth(read(path, first_page_only=True).pages[0].pixels, bits or None)
        progress(0, desc="Expanding")
        started = time.perf_counter()
        expander.run_file(path, target, on_page=on_page, bits=bits or None)
        seconds = time.perf_counter() - started
        check_open(folder)
        pictures = previews(path, target, folder)
    runs = f"model `{expander.metadata.name}`, {seconds:.2f} s on {models.backend(expander)}"
    lines = [f"**{'Given' if bits else 'Found'}:** {depth}.", f"**Expanded:** {runs}.", f"**File:** {target.name}."]
    return pictures, "  \n".join(lines), str(target)


def _take_example(request: gr.Request) -> str:
    example = new_folder(request) / f"kodim23_{EXAMPLE_BITS}_bits.png"
    sdk.Halftoner("bit-depth", bits=EXAMPLE_BITS).run_file(SAMPLES / "kodim23_grey.png", example)
    return str(example)


def tab() -> None:
    with gr.Row():
        with gr.Column(scale=2, min_width=320):
            source = picture_field("A picture of 1 to 5 bits a channel", "expand-source")
            example = gr.Button(f"Take the example: Kodak picture 23, cut to {EXAMPLE_BITS} bits", size="sm")
            bits = gr.Dropdown(
                [("detect: count the levels", 0), *((str(bits), bits) for bits in range(1, MOST_BITS + 1))],
                value=0,
                label="Bits a channel",
                info="Posterised pictures, old framebuffers, RGB565. Kept bits stay: each value moves within what it stood for.",
            )
            button = gr.Button("Expand", variant="primary", elem_id="expand")
        with gr.Column(scale=3, min_width=320):
            before_after = slider("Before and after", "expand-before-after")
            report = gr.Markdown("Drop a file or take the example: the result appears here.", label="Report", elem_id="expand-report")
            download = download_button("Download the expanded file", "download-expanded")
    event = {"fn": expand, "inputs": [source, bits], "outputs": [before_after, report, download]}
    event |= {"show_progress_on": before_after, "trigger_mode": "always_last", **models.ONE_SLOT}
    gr.on([button.click, source.upload], api_name="expand", **event)
    chosen = example.click(_take_example, None, source, api_visibility="private", show_progress="hidden")
    chosen.success(api_visibility="private", **event)
