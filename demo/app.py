"""The whole page, and how it is served."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
from gradio.themes import Base, Soft

from demo import about, batch, benchmark, expand, halftone, models, restore
from demo.workspace import KEPT_SECONDS, UPLOAD_LIMIT, end_session

TITLE = "Inverse halftoner"
INTRODUCTION = """# Inverse halftoner
Turns dots back into photographs: drop a scan of a newspaper, magazine or book, or a 1-bit dithered picture, and see its dots dissolve.
"""
TABS = {
    "Restore": restore.tab,
    **({"Expand bits": expand.tab} if models.expanders() else {}),
    "Halftone": halftone.tab,
    "Batch": batch.tab,
    "Benchmark": benchmark.tab,
    "About": about.tab,
}
HERE = Path(__file__).parent


def build() -> gr.Blocks:
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(KEPT_SECONDS // 6, KEPT_SECONDS)) as app:
        gr.Markdown(INTRODUCTION)
        for name, tab in TABS.items():
            with gr.Tab(name):
                tab()
        app.unload(end_session)
    return app.queue(max_size=64, api_open=False)  # else clients may go past the queue, and so past the one slot


def theme() -> Base:
    """With local fonts, since the page calls nobody, and texts that stand out from their grounds by 4.5 to 1 (WCAG AA)."""
    soft = Soft(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    return soft.set(
        block_info_text_color="*neutral_600",
        block_label_text_color="*primary_700",
        block_title_text_color="*primary_700",
        button_primary_background_fill="*primary_600",
    )


def serve(app: gr.Blocks, host: str, port: int) -> None:
    """Start the server and return. No folder of this machine is served but the private one of uploads and results."""
    app.launch(
        server_name=host,
        server_port=port,
        prevent_thread_lock=True,
        share=False,
        quiet=True,
        ssr_mode=False,
        max_file_size=UPLOAD_LIMIT,
        run_history=False,
        footer_links=["api"],
        theme=theme(),
        css_paths=HERE / "page.css",
        head_paths=HERE / "page.html",
    )
