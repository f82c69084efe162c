"""DLPack: how array libraries hand memory to each other, as C structs in a capsule (its version without a version number).

Reading borrows: the capsule keeps the producer's memory alive and is never renamed, so that dropping it gives the memory back.
https://dmlc.github.io/dlpack/latest/c_api.html
"""

from __future__ import annotations

import atexit
import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

CUDA = 2
"""kDLCUDA"""
CODES = {"i": 0, "u": 1, "f": 2, "b": 6}
"""numpy's kinds of numbers -> DLPack's."""
NAME = b"dltensor"  # capsules keep a pointer to it


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


class _Managed(ctypes.Structure):
    _fields_ = (("tensor", _Tensor), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p))


def _python_api(name: str, result: Any, *arguments: Any) -> Any:
    return ctypes.PYFUNCTYPE(result, *arguments)((name, ctypes.pythonapi))


_new = _python_api("PyCapsule_New", ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
_is_valid = _python_api("PyCapsule_IsValid", ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)
_pointer = _python_api("PyCapsule_GetPointer", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)

_handed_out: dict[int, tuple[Any, ...]] = {}
"""Address of a ``_Managed`` -> what must live until its consumer calls the deleter."""


@ctypes.CFUNCTYPE(None, ctypes.c_void_p)
def _delete(managed: int) -> None:
    _handed_out.pop(managed, None)


@ctypes.CFUNCTYPE(None, ctypes.c_void_p)
def _destroy(capsule: int) -> None:
    """Of a capsule that dies: if nobody took the tensor out (and renamed it), it goes too."""
    if _is_valid(capsule, NAME):
        _handed_out.pop(_pointer(capsule, NAME), None)


@atexit.register
def _let_go() -> None:
    """Arrays that outlive Python must not call back into it: what was lent to them stays where it is, and the process gives it back."""
    for managed, *_ in _handed_out.values():
        managed.deleter = None
    _keep_for_ever(_handed_out)


def _keep_for_ever(thing: object) -> None:
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


for _callback in (_delete, _destroy):  # C holds their addresses, and Python frees a module's globals while capsules may still be there
    _keep_for_ever(_callback)


@dataclass(frozen=True)
class Borrowed:
    """Somebody's array: ``strides`` in bytes, ``dtype`` None for types numpy does not have. Valid as long as ``owner`` lives."""

    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype | None
    owner: object


def borrow(capsule: object) -> Borrowed:
    """What lies in a capsule of ``__dlpack__``."""
    tensor = _Managed.from_address(_pointer(id(capsule), NAME)).tensor
    kind = next((kind for kind, code in CODES.items() if code == tensor.code), None)
    size = tensor.bits // 8
    known = kind is not None and tensor.lanes == 1 and tensor.bits in (8, 16, 32, 64) and not (kind == "f" and size == 1)
    shape = tuple(tensor.shape[: tensor.ndim])
    strides = tuple(stride * size for stride in tensor.strides[: tensor.ndim]) if tensor.strides else contiguous(shape, size)
    address = (tensor.data or 0) + tensor.byte_offset
    return Borrowed(address, shape, strides, np.dtype(f"{kind}{size}") if known else None, capsule)


def lend(address: int, shape: Sequence[int], dtype: np.dtype, device: int, owner: object) -> object:
    """A capsule for a consumer: C-contiguous memory on GPU number ``device``, which ``owner`` keeps alive."""
    extents = (ctypes.c_int64 * len(shape))(*shape)
    steps = (ctypes.c_int64 * len(shape))(*contiguous(shape, 1))
    tensor = _Tensor(address, CUDA, device, len(shape), CODES[dtype.kind], dtype.itemsize * 8, 1, extents, steps, 0)
    managed = _Managed(tensor, None, ctypes.cast(_delete, ctypes.c_void_p))
    _handed_out[ctypes.addressof(managed)] = (managed, extents, steps, owner)
    return _new(ctypes.addressof(managed), NAME, ctypes.cast(_destroy, ctypes.c_void_p))


def contiguous(shape: Sequence[int], itemsize: int) -> tuple[int, ...]:
    """Strides of a C-contiguous array."""
    return tuple(itemsize * int(np.prod(shape[i + 1 :])) for i in range(len(shape)))
