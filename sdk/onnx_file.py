"""Read the metadata of an ONNX file straight from its bytes, whichever runtime will run it.

An ONNX file is one protobuf message (ModelProto); its field 14 holds the ``metadata_props`` as pairs of strings. Only
the top level is walked: the graph is one field there, and is skipped whole.
"""

from __future__ import annotations

from collections.abc import Iterator

from sdk.errors import ModelError

METADATA_PROPS = 14
VARINT, EIGHT_BYTES, LENGTH, FOUR_BYTES = 0, 1, 2, 5


def read_props(data: bytes, where: str = "the model") -> dict[str, str]:
    """Key -> value; empty where the file has none. A ``ModelError`` if the bytes are no protobuf message."""
    try:
        entries = [value for number, value in _fields(data) if number == METADATA_PROPS]
        pairs = [dict(_fields(entry)) for entry in entries]
        return {pair[1].decode(): pair.get(2, b"").decode() for pair in pairs}
    except (IndexError, KeyError, UnicodeDecodeError, ValueError) as error:
        raise ModelError(f"{where} is no ONNX file, or a damaged one. Export it again, or fetch a fresh copy.") from error


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """(field number, bytes) of the length-delimited fields; the others are passed over."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        number, kind = key >> 3, key & 7
        if kind == LENGTH:
            size, place = _varint(message, place)
            if place + size > len(message):
                raise ValueError("cut short")
            yield number, message[place : place + size]
            place += size
        elif kind == VARINT:
            _, place = _varint(message, place)
        elif kind in (EIGHT_BYTES, FOUR_BYTES):
            place += 8 if kind == EIGHT_BYTES else 4
        else:
            raise ValueError(f"wire type {kind}")


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where it ends."""
    value = shift = 0
    while True:
        byte = message[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
        shift += 7
        if shift > 63:
            raise ValueError("no varint")
