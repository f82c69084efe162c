"""JPEG 2000: the ICC profile and XMP in its boxes (ISO/IEC 15444-1, annex I), which Pillow does not read."""

from __future__ import annotations

from collections.abc import Iterator

ICC_METHODS = (2, 3)
"""Of a colour box: a profile of restricted kind, or (JPX) of any."""

XMP_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")


def icc_profile(data: bytes) -> bytes | None:
    """The profile of a file's bytes; None where it has none, or is a bare codestream."""
    header = next(_boxes(data, b"jp2h"), b"")
    return next((colour[3:] for colour in _boxes(header, b"colr") if colour[:1] and colour[0] in ICC_METHODS), None)


def xmp(data: bytes) -> bytes | None:
    """The packet of a file's bytes; None where it has none."""
    return next((box[16:] for box in _boxes(data, b"uuid") if box[:16] == XMP_UUID), None)


def _boxes(data: bytes, kind: bytes) -> Iterator[bytes]:
    """The contents of the boxes of one kind, up to the first that does not fit."""
    at = 0
    while at + 8 <= len(data):
        length, start = int.from_bytes(data[at : at + 4], "big"), at + 8
        if length == 1:  # a long one: eight more bytes tell
            length, start = int.from_bytes(data[at + 8 : at + 16], "big"), at + 16
        end = at + length if length else len(data)  # 0: the last one
        if not start <= end <= len(data):
            return
        if data[at + 4 : at + 8] == kind:
            yield data[start:end]
        at = end
