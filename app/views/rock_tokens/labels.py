"""Where the names of points stand beside them, so that none lies over another. No Streamlit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

WIDTH, HEIGHT = 760, 330  # about the pixels of the plot
_LETTER, _LINE, _POINT = 7.5, 15, 8  # pixels
# of Plotly -> where the middle of the text stands, in halves of its size and distances from a point
_PLACES = {
    "top center": (0, 1),
    "middle right": (1, 0),
    "middle left": (-1, 0),
    "bottom center": (0, -1),
    "top right": (1, 1),
    "top left": (-1, 1),
    "bottom right": (1, -1),
    "bottom left": (-1, -1),
}


class _Box(NamedTuple):
    left: float
    right: float
    low: float
    high: float

    def meets(self, other: _Box) -> bool:
        apart = self.left >= other.right or other.left >= self.right
        return not (apart or self.low >= other.high or other.low >= self.high)


def places(
    points: Sequence[tuple[float, float]], names: Sequence[str], of: Sequence[tuple[float, float]]
) -> list[tuple[str, str]]:
    """For each point (x, y) of logarithmic axes the name that is shown and Plotly's place of it; an
    empty name where no place is free. The first choose first. `of`: all points that the axes show.
    """
    if not names:
        return []
    across, up = (
        _pixels([p[axis] for p in points], [p[axis] for p in of], size)
        for axis, size in enumerate((WIDTH, HEIGHT))
    )
    taken = [_Box(a - 6, a + 6, u - 6, u + 6) for a, u in zip(across, up, strict=True)]
    found = []
    for at, (a, u, name) in enumerate(zip(across, up, names, strict=True)):
        half, others = len(name) * _LETTER / 2, taken[:at] + taken[at + 1 :]
        for place, (right, above) in _PLACES.items():
            middle = a + right * (half + _POINT), u + above * (_LINE / 2 + _POINT)
            box = _Box(middle[0] - half, middle[0] + half, middle[1] - 7, middle[1] + 7)
            if not any(box.meets(other) for other in others):
                taken.append(box)
                found.append((name, place))
                break
        else:
            found.append(("", "top center"))
    return found


def _pixels(values: Sequence[float], of: Sequence[float], size: int) -> list[float]:
    low, high = math.log10(min(of)), math.log10(max(of))
    return [size * (math.log10(value) - low) / max(high - low, 0.5) for value in values]
