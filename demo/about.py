"""The tab "About": what the models are, what they were trained on, and under which licences."""

from __future__ import annotations

import gradio as gr

import sdk
from demo.fields import SAMPLES
from demo.lpips import LICENCE
from sdk.catalog import metadata_of

API = """
Named endpoints (`/restore`, `/expand`, `/halftone`, `/batch`; described at the foot of this page), for `gradio_client`:

```python
from gradio_client import Client, handle_file

client = Client("http://127.0.0.1:7860")
(before, after), report, file = client.predict(handle_file("page.tif"), model="auto", scale=1.0, api_name="/restore")
(dots, restored), report, dots_file, file = client.predict(
    handle_file("photo.jpg"), method="am-screen", lpi=85, dpi=300, api_name="/halftone"
)
(before, after), report, file = client.predict(handle_file("banded.png"), bits=3, api_name="/expand")  # bits=0 counts the levels
```
"""
LPIPS = """
LPIPS in the tab "Halftone" is version 0.1 with AlexNet features (Zhang et al., CVPR 2018), run by onnxruntime. The features are
torchvision's (BSD-3-Clause, © Soumith Chintala 2016), the heads those of LPIPS (BSD-2-Clause, © 2018 Richard Zhang, Phillip Isola,
Alexei A. Efros, Eli Shechtman, Oliver Wang).
"""


def _model(name: str) -> str:
    metadata, release = metadata_of(name), sdk.releases()[name]
    facts = {
        "For": release.summary,
        "Design": metadata.paper,
        "Size": f"{metadata.parameters / 1e6:.1f} M parameters, {release.path.stat().st_size / 2**20:.1f} MiB, "
        f"{metadata.kflop_per_pixel:.0f} kFLOP a pixel",
        "Licence": release.licence,
        "Trained on": metadata.training_data,
    }
    return f"### {metadata.title}\n\n" + "\n".join(f"- **{key}:** {value}" for key, value in facts.items())


def tab() -> None:
    gr.Markdown(f"inverse-halftoner {sdk.__version__}, Apache-2.0. Everything is computed on this server; nothing is sent elsewhere.")
    gr.Markdown("## Models")
    for name in sdk.releases():
        gr.Markdown(_model(name))
    gr.Markdown("## Measures\n" + LPIPS)
    with gr.Accordion("Licences of LPIPS and its features", open=False):
        gr.Markdown(f"```text\n{LICENCE.read_text(encoding='utf-8')}\n```")
    gr.Markdown("## API\n" + API)
    gr.Markdown("## Pictures\n" + (SAMPLES / "README.md").read_text(encoding="utf-8").split("\n", 1)[1], elem_id="pictures")
