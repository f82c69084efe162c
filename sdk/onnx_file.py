"""Read the metadata of an ONNX file straight from its bytes, whichever runtime will run it."""

from __future__ import annotations

from sdk.errors import ModelError
from sdk.protobuf import decode

METADATA_PROPS = 14
"""The field of ModelProto that holds pairs of strings: key 1, value 2."""


def read_props(data: bytes, where: str = "the model") -> dict[str, str]:
    """``metadata_props``: key -> value; empty where the file has none. A ``ModelError`` if the bytes are no protobuf message."""
    entries = [dict(decode(value, where)) for number, value in decode(data, where) if number == METADATA_PROPS]
    try:
        return {_text(entry[1]): _text(entry.get(2, b"")) for entry in entries}
    except (KeyError, UnicodeDecodeError, AttributeError) as error:
        raise ModelError(f"{where} is no ONNX file, or a damaged one. Export it again, or fetch a fresh copy.") from error


def _text(value: int | bytes) -> str:
    return value.decode()  # type: ignore[union-attr] - a number has none, and is caught above
