"""The demo as visitors meet it: `inverse-halftoner demo` in a process of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sdk.catalog import released_for

ROOT = Path(__file__).parents[2]
EXPANDERS = released_for("bit-depth-expansion")


@dataclass(frozen=True)
class Server:
    url: str
    pid: int

    def megabytes(self) -> float:
        """Memory it holds now."""
        status = Path(f"/proc/{self.pid}/status")
        if not status.exists():
            pytest.skip("memory is read from /proc, which this system lacks")
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("demo") / "log.txt"
    command = [sys.executable, "-m", "sdk.cli", "demo", "--port", str(port)]
    environment = os.environ | {"GRADIO_HEARTBEAT_INTERVAL": "1"}
    with log.open("w") as stream:
        process = subprocess.Popen(command, cwd=ROOT, stdout=stream, stderr=subprocess.STDOUT, env=environment)
    try:
        url = f"http://127.0.0.1:{port}/"
        _wait_for(url, process, log)
        yield Server(url, process.pid)
    finally:
        process.terminate()
        process.wait(30)


def _wait_for(url: str, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.fail(f"the demo ended at once:\n{log.read_text()}")
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"the demo did not answer within two minutes:\n{log.read_text()}")
