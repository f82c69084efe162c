"""`python -m demo`: serve the demo on this machine."""

import argparse
import signal
import sys

from demo.app import build, serve


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m demo", description="Serve the web demo of inverse-halftoner.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 lets other machines in (default: %(default)s)")
    parser.add_argument("--port", type=int, default=7860, help="(default: %(default)s)")
    options = parser.parse_args()
    for name in ("SIGTERM", "SIGHUP"):  # so that uploads and results are deleted on the way out; Windows has no SIGHUP
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: sys.exit())
    app = build()
    try:
        serve(app, options.host, options.port)
    except OSError:
        sys.exit(f"error: cannot listen on {options.host}:{options.port}; is it taken? Choose another --port (make demo PORT=...).")
    print(f"Serving on http://{options.host}:{options.port}; Ctrl+C stops it.", flush=True)
    app.block_thread()


if __name__ == "__main__":
    main()
