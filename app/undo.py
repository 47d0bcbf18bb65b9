"""What stood there before each change, so that it can be taken back: one gesture is one step.

A slider or a handle that is dragged tells many values, each less than `SAME_GESTURE_S` after the
one before: they are taken back at once. Controls that are clicked have a step for each click,
however quick.
"""

from __future__ import annotations

SAME_GESTURE_S = 1.0
MOST_STEPS = 100  # of one name


class History:
    """The earlier values of each name, the latest last."""

    def __init__(self) -> None:
        self._before: dict[str, list[str]] = {}
        self._last: tuple[str, str | None] | None = None  # name and control of the last change
        self._at = 0.0

    def add(self, name: str, value: str, dragged: str | None, at: float) -> None:
        """Note `value` as what stood there before a change made at `at`, in seconds; `dragged`: the
        control that a hand is dragging, None for a click.
        """
        before = self._before.setdefault(name, [])
        same = dragged is not None and self._last == (name, dragged)
        if not (before and same and at - self._at < SAME_GESTURE_S):
            before.append(value)
            del before[:-MOST_STEPS]
        self._last, self._at = (name, dragged), at

    def previous(self, name: str) -> str | None:
        """What stood there before the last change; None if nothing was changed."""
        before = self._before.get(name)
        return before[-1] if before else None

    def take_back(self, name: str) -> str:
        """What stood there before the last change, which is forgotten with this."""
        self._last = None
        return self._before[name].pop()
