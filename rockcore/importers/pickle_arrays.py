"""Arrays and tensors of a pickle: checked when they are named, read when they are asked for."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np

from rockcore.importers.format import BadExport

BFLOAT16 = "bfloat16"  # numpy has no such type: its numbers become float32


class BadPickle(BadExport):
    """A pickle that is damaged, or that holds more than numbers, texts and containers of them."""


def refused(where: str, what: str) -> BadPickle:
    return BadPickle(
        f"{where}: the pickle holds {what}",
        "To load what it names would run code of whoever wrote it, so only numbers, texts, "
        "tensors, arrays and containers of them are read",
        "If you trust the file, load it where it was written and save it again with these alone",
    )


def shown(value: Any) -> str:
    """A scalar from outside, for a message; of anything else its type, for it may hold itself."""
    plain = isinstance(value, (str, bytes, int, float, bool, type(None)))
    text = ascii(value) if plain else f"a {type(value).__name__}"
    return text if len(text) <= 80 else text[:79] + "…"


class Array:
    """Numbers of one tensor or array: `np.asarray` reads them. `shape` and `dtype` are known."""

    def __init__(self, shape: tuple[int, ...], dtype: str, read: Callable[[], np.ndarray] | None):
        self.shape, self.dtype, self._read = shape, dtype, read

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Raises BadPickle, also where its file has become another since."""
        if self._read is None:
            raise refused("An array", "no numbers for it")
        values = self._read()
        return values if dtype is None else values.astype(dtype)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a single number has no length")
        return self.shape[0]

    def fill(self, shape: tuple[int, ...], dtype: str, read: Callable[[], np.ndarray]) -> None:
        self.shape, self.dtype, self._read = shape, dtype, read


class NumpyType:
    """A dtype as a pickle builds it: a code, and the byte order that its state adds."""

    def __init__(self, code: str):
        self.code, self.order = code, "<"

    def dtype(self) -> np.dtype:
        return np.dtype(self.order + self.code)


class Storage(NamedTuple):
    """The numbers that tensors share: their type, how many, and how to read some of them."""

    dtype: str
    size: int
    read: Callable[[int, int, str], np.ndarray]  # (first, how many, type) -> read-only (how many,)


class Storages(Protocol):
    """What persistent ids of a file of torch stand for."""

    def storage(self, pid: Any) -> Storage:
        """Raises BadPickle."""
        ...


def item_size(dtype: str) -> int:
    return 2 if dtype == BFLOAT16 else np.dtype(dtype).itemsize


def fill(array: Array, raw: Any, dtype: Any, shape: Any, order: str) -> None:
    """Raises TypeError and ValueError unless `raw` holds just the numbers of this shape."""
    if not isinstance(dtype, NumpyType) or not isinstance(raw, (bytes, bytearray)):
        raise ValueError("a numpy array of other than numbers or texts")
    kind = dtype.dtype()
    if math.prod(counts(shape)) * kind.itemsize != len(raw):
        raise ValueError(f"a numpy array of shape {str(shape)[:60]} in {len(raw):,} bytes")
    values = np.frombuffer(raw, kind).reshape(shape, order="F" if order == "F" else "C")
    array.fill(tuple(shape), kind.str, lambda: values)


def counts(shape: Any) -> tuple[int, ...]:
    """Raises ValueError unless these are sizes of at most 32 axes."""
    whole = isinstance(shape, tuple) and all(type(n) is int and 0 <= n < 2**48 for n in shape)
    if not whole or len(shape) > 32:
        raise ValueError("a shape that is none")
    return shape


_CODE = re.compile(r"b1|[iu][1248]|f[248]|c(8|16)|[US][0-9]{1,6}")


def numpy_type(code: Any, *_: Any) -> NumpyType:
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        raise ValueError(f"a numpy type {shown(code)}")
    return NumpyType(code)


def set_order(dtype: NumpyType, state: Any) -> None:
    order, fields = state[1], state[2:5]
    if order not in ("<", ">", "|", "=") or any(field is not None for field in fields):
        raise ValueError("a numpy type with fields")
    dtype.order = order


def scalar(dtype: Any, raw: Any = b"") -> Any:
    if not isinstance(dtype, NumpyType) or not isinstance(raw, bytes):
        raise ValueError("a numpy scalar of other than a number")
    (value,) = np.frombuffer(raw, dtype.dtype())
    return value.item()


def from_buffer(raw: Any, dtype: Any, shape: Any, order: Any) -> Array:
    array = Array((), "", None)
    fill(array, raw, dtype, shape, order)
    return array


def tensor(storage: Any, first: Any, shape: Any, strides: Any, *rest: Any) -> Array:
    """`torch._utils._rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks)`."""
    if not isinstance(storage, Storage):
        raise ValueError("a tensor without a storage")
    if any(rest[2:]):
        raise ValueError("a tensor with further attributes")
    return _strided(storage, storage.dtype, storage.size, first, shape, strides)


def typed_tensor(
    storage: Any, first: Any, shape: Any, strides: Any, _grad: Any, _hooks: Any, kind: str, *rest
) -> Array:
    """`torch._utils._rebuild_tensor_v3`, for types that have no storage of their own."""
    if not isinstance(storage, Storage) or storage.dtype != "u1" or any(rest):
        raise ValueError("a tensor without a storage of bytes")
    return _strided(storage, kind, storage.size // item_size(kind), first, shape, strides)


def _strided(
    storage: Storage, dtype: str, size: int, first: Any, shape: Any, strides: Any
) -> Array:
    """Raises ValueError for a view that reaches out of its storage or is larger than it."""
    if len(counts(shape)) != len(counts(strides)):
        raise ValueError("a tensor whose strides do not fit its shape")
    if type(first) is not int or first < 0:
        raise ValueError("a tensor that begins nowhere")
    count = math.prod(shape)
    reach = 1 + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if count and first + reach > size:
        raise ValueError(f"a tensor that reaches to number {first + reach:,} of {size:,}")
    if count > max(size, 2**16):
        raise ValueError(f"a tensor of {count:,} numbers in a storage of {size:,}")

    def read() -> np.ndarray:
        if not count:
            return numbers(np.empty(shape, np.uint16 if dtype == BFLOAT16 else dtype), dtype)
        flat = storage.read(first, reach, dtype)
        steps = [step * flat.itemsize for step in strides]
        return numbers(np.lib.stride_tricks.as_strided(flat, shape, steps, writeable=False), dtype)

    return Array(shape, "f4" if dtype == BFLOAT16 else dtype, read)


def numbers(raw: np.ndarray, dtype: str) -> np.ndarray:
    """Stored numbers as numpy has them: bfloat16 is the upper half of float32."""
    if dtype == BFLOAT16:
        return (raw.astype(np.uint32) << 16).view(np.float32)
    return np.ascontiguousarray(raw).reshape(raw.shape)
