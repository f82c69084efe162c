"""The protobuf wire format, as far as ONNX files need it: a message apart into its fields, and together again.

A field is a key (number << 3 | wire type), then a varint, 4 or 8 bytes, or a length and that many bytes. What a number means is in
the .proto file; nested messages are bytes here, to be decoded in turn. ``encode(decode(data)) == data`` for what protobuf writes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from sdk.errors import ModelError

Message: TypeAlias = "list[tuple[int, int | bytes]]"
"""(field number, value): an int for varints, bytes for the rest, in the order of the file."""


class Fixed(bytes):
    """A number of 4 or 8 bytes; its length tells the wire type."""


def decode(data: int | bytes, where: str) -> Message:
    """The fields of one message; ``ModelError`` naming ``where`` if the bytes are none."""
    fields: Message = []
    position = 0
    try:
        if isinstance(data, int):
            raise IndexError("a number where a message is due")
        while position < len(data):
            key, position = _varint(data, position)
            kind = key & 7
            if kind == 0:
                value, position = _varint(data, position)
                fields.append((key >> 3, value))
                continue
            if kind == 2:
                length, position = _varint(data, position)
            else:
                length = {1: 8, 5: 4}[kind]
            if position + length > len(data):
                raise IndexError("it ends in the middle of a field")
            value = data[position : position + length]
            fields.append((key >> 3, value if kind == 2 else Fixed(value)))
            position += length
    except (IndexError, KeyError) as error:
        raise ModelError(f"{where} is no ONNX file, or a damaged one ({error}). Export it again, or fetch a fresh copy.") from error
    return fields


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:  # ten bytes hold 64 bits
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position += 1
        if byte < 0x80:
            return value, position
        shift += 7
    raise IndexError("a number has too many bytes")


def encode(message: Iterable[tuple[int, int | bytes]]) -> bytes:
    """The bytes of a message."""
    parts: list[bytes] = []
    for number, value in message:
        if isinstance(value, int):
            parts += [_encode_varint(number << 3), _encode_varint(value)]
        elif isinstance(value, Fixed):
            parts += [_encode_varint(number << 3 | (1 if len(value) == 8 else 5)), value]
        else:
            parts += [_encode_varint(number << 3 | 2), _encode_varint(len(value)), value]
    return b"".join(parts)


def _encode_varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
