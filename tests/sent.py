"""What a component was sent, opened by other means than the browser's."""

from __future__ import annotations

import json
import zlib
from typing import Any

import numpy as np

from app.components.packing import Body

WIDTHS = {"u1": 1, "u2": 2, "i4": 4, "f3": 3, "shown": 2}


def head(data: bytes) -> dict[str, Any]:
    size = int.from_bytes(data[:4], "little")
    return json.loads(data[4 : 4 + size])


def content(body: Body | bytes) -> dict[str, Any]:
    """Of a message or of its body: what was said, and the arrays at their places."""
    if isinstance(body, bytes):
        size = int.from_bytes(body[:4], "little")
        body = Body(0, body[4 + size :])
    raw = zlib.decompress(body.deflated, -zlib.MAX_WBITS)
    size = int.from_bytes(raw[:4], "little")
    said = json.loads(raw[4 : 4 + size])
    at = 4 + size
    for (*outer, name), kind, n in said.pop("arrays"):
        inner = said
        for key in outer:
            inner = inner.setdefault(key, {})
        planes = np.frombuffer(raw, np.uint8, WIDTHS[kind] * n, at).reshape(WIDTHS[kind], n)
        inner[name] = values(planes, kind)
        at += WIDTHS[kind] * n
    assert at == len(raw)
    return said


def values(planes: np.ndarray, kind: str) -> np.ndarray:
    """(n,) of the bytes (width, n); of what a card shows, the codes."""
    if kind == "f3":
        planes = np.pad(planes, ((1, 0), (0, 0)))
    dtype = {"f3": "<f4", "shown": "<i2"}.get(kind, "<" + kind)
    return np.ascontiguousarray(planes.T).view(dtype)[:, 0] if planes.size else np.zeros(0)
