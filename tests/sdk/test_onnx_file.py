"""``sdk.onnx_file`` reads what onnxruntime reads, and takes nothing else for a model."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sdk
from sdk.backends.onnxruntime import OnnxRuntimeBackend
from sdk.errors import ModelError
from sdk.onnx_file import read_props


@pytest.mark.parametrize("name", list(sdk.releases()))
def test_the_same_as_onnxruntime(name: str) -> None:
    data = sdk.releases()[name].path.read_bytes()
    assert read_props(data) == OnnxRuntimeBackend(data, "cpu").metadata


@given(st.dictionaries(st.text(min_size=1), st.text()))
def test_any_pairs(pairs: dict[str, str]) -> None:
    def entry(number: int, content: bytes) -> bytes:
        size, head = len(content), bytearray([number << 3 | 2])
        while size > 127:
            head.append(size & 127 | 128)
            size >>= 7
        return bytes([*head, size]) + content

    message = b"".join(entry(14, entry(1, k.encode()) + entry(2, v.encode())) for k, v in pairs.items())
    assert read_props(bytes([1 << 3, 10]) + entry(7, b"graph" * 50) + message) == pairs


def test_cut_and_foreign_files_are_refused() -> None:
    data = next(iter(sdk.releases().values())).path.read_bytes()
    for broken in (data[:-10], b"\x89PNG\r\n\x1a\n" * 10, b"no protobuf at all, but text"):
        with pytest.raises(ModelError, match="no ONNX file"):
            read_props(broken)
    assert read_props(b"") == {}


def test_a_number_without_end_is_refused_at_once() -> None:
    started = time.process_time()
    with pytest.raises(ModelError, match="too many bytes"):
        read_props(b"\xff" * 2_000_000)
    assert time.process_time() - started < 1
