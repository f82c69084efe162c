"""The command ``demo``: the web demo, where there is a checkout that has it."""

from __future__ import annotations

import argparse
import importlib.util
import runpy
import sys
from pathlib import Path
from typing import Any

from sdk.errors import MissingDependencyError

CHECKOUT = Path(__file__).parents[2]


def add_command(commands: Any) -> None:
    """Add it to the subparsers of the command line."""
    demo = commands.add_parser("demo", help="serve the web demo (from a checkout)", description="Serve the web demo on this machine.")
    demo.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 lets other machines in (default: %(default)s)")
    demo.add_argument("--port", type=int, default=7860, help="(default: %(default)s)")
    demo.set_defaults(command=_demo)


def _demo(options: argparse.Namespace) -> int:
    # The demo imports sdk, so sdk imports no demo: it looks for the program beside itself and runs it as `python -m demo` would,
    # in this very process, so that Ctrl+C and the exit status are the demo's own. A package `demo` from elsewhere is another one.
    if not (CHECKOUT / "demo" / "__main__.py").is_file():
        raise MissingDependencyError(
            f"The web demo is not installed with the package (in {CHECKOUT}); it runs from a checkout of the repository: `make demo` there."
        )
    if importlib.util.find_spec("gradio") is None:
        raise MissingDependencyError(f"The web demo needs gradio: pip install -e '{CHECKOUT}[demo]', or `make demo` in {CHECKOUT}.")
    sys.path.insert(0, str(CHECKOUT))
    sys.argv = ["inverse-halftoner demo", "--host", options.host, "--port", str(options.port)]
    runpy.run_module("demo", run_name="__main__")
    return 0
