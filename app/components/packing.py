"""What a component is sent that is too much for JSON: one message of bytes, which message.js and
unpacking.js open.

A message is a head, which says in a few words whose it is, and a body: JSON and the arrays in it,
deflated. Of an array the first bytes of all values stand together, then the second, and so on:
those of one place are alike, and the codes that deflate gives them short.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Place = tuple[str, ...]  # of an array in what JSON says: the keys that lead to it

# What a card writes of a number (`number` in base.js): below TINY its first two digits that count,
# below ONE four places, below HUNDRED two, then none. The codes of all that it can write ascend
# without a gap; 0 is the code of 0.
TINY, ONE, HUNDRED = 1e-3, 1.0, 100.0
LEAST_DECADE = -45  # what is below 1e-45 is 0 to a float32
FROM_TINY = 1  # of 1.0e-45; 90 a decade
FROM_FOUR = FROM_TINY + 90 * (-3 - LEAST_DECADE) + 1  # of 0.0010; before it "1.0e-3" from below
FROM_TWO = FROM_FOUR + 9_991  # of 1.00; before it "1.0000" from below
FROM_WHOLE = FROM_TWO + 9_901  # of 100; before it "100.00" from below
_LAST, NO_VALUE = 32_767, -32_768


@dataclass(frozen=True)
class Body:
    """`stamp`: another one wherever anything in it is another."""

    stamp: int
    deflated: bytes


@dataclass(frozen=True)
class Array:
    """Values, one after another, and how they are sent. "int": as they are; "float": float32
    rounded to its upper three bytes, 1 in 65,536; "shown": in the digits that a card writes, or as
    "float" where there are values beyond its codes.
    """

    values: Any
    kind: str


def pack(said: Mapping[str, Any], arrays: Mapping[Place, Array]) -> Body:
    """What JSON can say, and at each place an array."""
    whole = {place: array for place, array in arrays.items() if array.kind == "int"}
    made = {place: _planes(array) for place, array in {**whole, **arrays}.items()}  # whole first
    listed = [(place, kind, planes.shape[1]) for place, (kind, planes) in made.items()]
    text = json.dumps({**said, "arrays": listed}, separators=(",", ":"), allow_nan=False).encode()
    strings, noise = [len(text).to_bytes(4, "little") + text], list[bytes]()
    for place, (_, planes) in made.items():
        (strings if place in whole else noise).extend(plane.tobytes() for plane in planes)
    stamp = zlib.crc32(b"".join(noise), zlib.crc32(b"".join(strings)))
    return Body(stamp, _deflated(strings, noise))


def message(body: Body, **head: Any) -> bytes:
    """The data of a component."""
    said = json.dumps({**head, "stamp": body.stamp}).encode()
    return len(said).to_bytes(4, "little") + said + body.deflated


def ids_as_key(token_id: np.ndarray) -> bytes:
    """Token ids (T,) as what an answer about them can be kept by."""
    return token_id.astype("<i4").tobytes()


def ids_of_key(key: bytes) -> np.ndarray:
    """The token ids that were made into a key."""
    return np.frombuffer(key, "<i4")


def _deflated(strings: list[bytes], noise: list[bytes]) -> bytes:
    """One deflate stream, each piece with codes of its own. In the bytes of floats a string that
    comes again is chance: to look for runs alone takes a tenth of the time, and less room.
    """
    both = zlib.Z_DEFAULT_STRATEGY, zlib.Z_RLE
    found: list[bytes] = []
    for pieces, strategy in zip((strings, noise), both, strict=True):
        deflate = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS, 9, strategy)
        for piece in pieces:
            found += [deflate.compress(piece), deflate.flush(zlib.Z_BLOCK)]
        found.append(deflate.flush(zlib.Z_FULL_FLUSH if strategy == both[0] else zlib.Z_FINISH))
    return b"".join(found)


def _planes(array: Array) -> tuple[str, np.ndarray]:
    """The kind that unpacking.js reads, and the bytes by their place in a value (width, n)."""
    values = np.asarray(array.values).reshape(-1)
    if array.kind == "int":
        low, high = (values.min(), values.max()) if len(values) else (0, 0)
        kind = "i4" if low < 0 or high >= 65_536 else "u2" if high >= 256 else "u1"
        return kind, _bytes_of(values, "<" + kind)
    if array.kind == "shown" and (codes := shown_codes(values)) is not None:
        return "shown", _bytes_of(codes, "<i2")
    return "f3", _bytes_of(rounded_bits(values), "<u4")[1:]


def rounded_bits(values: np.ndarray) -> np.ndarray:
    """The bits of values as float32, uint32 of the same shape, of which the upper three bytes are
    those of the value rounded to them.
    """
    bits = np.ascontiguousarray(values, "<f4").view("<u4")
    return np.where(np.isnan(values), bits, bits + np.uint32(0x80))  # may carry, as it should


def _bytes_of(values: np.ndarray, dtype: str) -> np.ndarray:
    own = np.ascontiguousarray(values, dtype)
    return own.view(np.uint8).reshape(len(own), own.itemsize).T


def shown_codes(values: np.ndarray) -> np.ndarray | None:
    """Which of all numbers that a card can write each value is written as, with its sign; None
    where one is too large to have a code.
    """
    x = np.abs(values.astype(float))
    none = np.isnan(x)
    x[none] = 0
    if (x >= _LAST - FROM_WHOLE + HUNDRED).any():
        return None
    decade = np.floor(np.log10(np.maximum(x, 10.0**LEAST_DECADE)))
    codes = np.select(
        [x < 10.0**LEAST_DECADE, x < TINY, x < ONE, x < HUNDRED],
        [
            0,
            FROM_TINY + 90 * (decade - LEAST_DECADE) + _nearest(x / 10.0 ** (decade - 1)) - 10,
            FROM_FOUR + _nearest(x * 1e4) - 10,
            FROM_TWO + _nearest(x * 100) - 100,
        ],
        FROM_WHOLE + _nearest(x) - 100,
    )
    return np.where(none, NO_VALUE, np.copysign(codes, values)).astype(np.int16)


def _nearest(x: np.ndarray) -> np.ndarray:
    return np.floor(x + 0.5)  # a half goes up, as in the browser
