"""What a pickle may name, and what is made of it: arrays of numbers, sets, ordered dicts.

The names stand for themselves: nothing is imported or called by them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rockcore.importers.pickle_arrays import (
    BFLOAT16,
    Array,
    BadPickle,
    NumpyType,
    counts,
    fill,
    from_buffer,
    numpy_type,
    refused,
    scalar,
    set_order,
    shown,
    tensor,
    typed_tensor,
)


@dataclass(frozen=True)
class Call:
    """A name in a pickle that is known here."""

    name: str

    @classmethod
    def of(cls, module: str, name: str) -> Call | None:
        known = f"{module}.{name}" in _MADE or f"{module}.{name}" in TORCH_TYPES
        return cls(f"{module}.{name}") if known else None


# by the name in a pickle: storages of one type, and types
TORCH_TYPES: dict[str, str] = {
    "torch.DoubleStorage": "f8",
    "torch.FloatStorage": "f4",
    "torch.HalfStorage": "f2",
    "torch.BFloat16Storage": BFLOAT16,
    "torch.LongStorage": "i8",
    "torch.IntStorage": "i4",
    "torch.ShortStorage": "i2",
    "torch.CharStorage": "i1",
    "torch.ByteStorage": "u1",
    "torch.BoolStorage": "?",
    "torch.ComplexFloatStorage": "c8",
    "torch.ComplexDoubleStorage": "c16",
    "torch.storage.UntypedStorage": "u1",
    "torch.float64": "f8",
    "torch.float32": "f4",
    "torch.float16": "f2",
    "torch.bfloat16": BFLOAT16,
    "torch.int64": "i8",
    "torch.int32": "i4",
    "torch.int16": "i2",
    "torch.int8": "i1",
    "torch.uint8": "u1",
    "torch.uint16": "u2",
    "torch.uint32": "u4",
    "torch.uint64": "u8",
    "torch.bool": "?",
    "torch.complex64": "c8",
    "torch.complex128": "c16",
}


def made(call: Call, args: tuple, where: str) -> tuple[Any, int]:
    """What a pickle's call makes, and the bytes that it takes. Raises BadPickle."""
    if call.name not in _MADE:
        raise refused(where, f"a call of {call.name}")
    try:
        value = _MADE[call.name](*args)
    except (TypeError, ValueError, LookupError, OverflowError, AttributeError) as e:
        if isinstance(e, BadPickle):
            raise refused(where, e.parts[0]) from e
        raise refused(where, f"{call.name} of what does not fit it ({str(e)[:80]})") from e
    return value, _size(value)


def _size(value: Any) -> int:
    if isinstance(value, (set, frozenset)):
        return 216 + 64 * len(value)
    return 256 + (len(value) if isinstance(value, (bytes, bytearray)) else 0)


def with_state(value: Any, state: Any, where: str) -> None:
    """BUILD: gives a numpy array or dtype its contents. Raises BadPickle for anything else."""
    try:
        if isinstance(value, Array):
            _version, shape, dtype, fortran, raw = state
            fill(value, raw, dtype, shape, "F" if fortran is True else "C")
        elif isinstance(value, NumpyType):
            set_order(value, state)
        else:
            raise ValueError(f"a state of a {type(value).__name__}")
    except (TypeError, ValueError) as e:
        raise refused(where, str(e)[:120]) from e


def _encoded(text: str, encoding: str) -> bytes:
    """How protocol 2 writes bytes."""
    if encoding not in ("latin1", "latin-1"):
        raise ValueError(f"bytes in the encoding {shown(encoding)}")
    return text.encode("latin-1")


def _set_of(kind: type) -> Callable[..., Any]:
    def build(values: Any = ()) -> Any:
        if not isinstance(values, (list, tuple)):
            raise ValueError(f"a set of a {type(values).__name__}")
        if not all(isinstance(v, (str, int, float, bytes, type(None))) for v in values):
            raise ValueError("a set of other than numbers and texts")
        return kind(values)

    return build


def _raw_bytes(kind: type) -> Callable[..., Any]:
    def build(value: Any = b"", encoding: str = "") -> Any:
        if encoding:
            value = _encoded(value, encoding)
        if not isinstance(value, (bytes, bytearray)):
            raise ValueError(f"bytes of a {type(value).__name__}")
        return kind(value)

    return build


def _complex(real: Any, imaginary: Any) -> complex:
    if not isinstance(real, float) or not isinstance(imaginary, float):
        raise ValueError("a complex number of other than numbers")
    return complex(real, imaginary)


def _ordered(*args: Any) -> dict:
    if args:
        raise ValueError("an ordered dict of an older Python")
    return {}


def _of_type(*args: Any) -> Array:
    """A tensor whose type is named beside its storage."""
    return typed_tensor(*args[:6], TORCH_TYPES[args[6].name], *args[7:])


def _nothing(*_: Any) -> Any:
    raise ValueError("a class that is called")


_MADE: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered,
    "_codecs.encode": _encoded,
    "torch.Size": counts,
    "torch._utils._rebuild_tensor_v2": tensor,
    "torch._utils._rebuild_tensor_v3": _of_type,
    "numpy.ndarray": _nothing,
    "numpy.dtype": numpy_type,
    **{
        f"{module}.{name}": build
        for module in ("builtins", "__builtin__")
        for name, build in {
            "set": _set_of(set),
            "frozenset": _set_of(frozenset),
            "bytes": _raw_bytes(bytes),
            "bytearray": _raw_bytes(bytearray),
            "complex": _complex,
        }.items()
    },
    **{
        f"{module}.{name}": build
        for module in ("numpy.core", "numpy._core")
        for name, build in {
            "multiarray._reconstruct": lambda *_: Array((0,), "", None),
            "multiarray.scalar": scalar,
            "numeric._frombuffer": from_buffer,
        }.items()
    },
}
