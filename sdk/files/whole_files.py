"""Files written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def whole_file(path: Path, replace: bool = True) -> Iterator[BinaryIO]:
    """A file beside ``path`` to write and read back, renamed at the end; a failure, an interrupt or a power cut leaves nothing half done.

    Folders on the way are made. Without ``replace``, a ``FileExistsError`` where another program has made ``path`` in the meantime.
    """
    partial = path.with_name(f".{path.name[:40]}.{secrets.token_hex(4)}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("w+b") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())  # else the name may reach the disk before what it names
        if replace:
            partial.replace(path)
        else:
            _name_anew(partial, path)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def _name_anew(partial: Path, path: Path) -> None:
    try:
        os.link(partial, path)
    except FileExistsError:
        raise
    except (OSError, NotImplementedError):  # a disk without hard links, such as FAT
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        partial.replace(path)


def write_whole(path: Path, data: bytes) -> None:
    """Write ``data`` as a ``whole_file``."""
    with whole_file(path) as stream:
        stream.write(data)
