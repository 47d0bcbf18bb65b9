"""What stood there before each change, so that it can be taken back and done again: one gesture is
one step.

A handle that is held tells many values, all with the number of their gesture. A slider tells its
value when it is let go; only a key that is kept down repeats so fast that its values are less than
`SAME_GESTURE_S` apart, and they are taken back at once. Controls that are clicked have a step for
each click, however quick.
"""

from __future__ import annotations

SAME_GESTURE_S = 0.5
MOST_STEPS = 100  # of one name


class History:
    """The earlier values of each name, the latest last, and those that were taken back."""

    def __init__(self) -> None:
        self._before: dict[str, list[str]] = {}
        self._after: dict[str, list[str]] = {}
        self._last: tuple[str, str | None] | None = None  # name and gesture of the last change
        self._at = 0.0

    def add(
        self, name: str, value: str, dragged: str | None, at: float, held: bool = False
    ) -> None:
        """Note `value` as what stood there before a change made at `at`, in seconds; `dragged`: the
        control that a hand is dragging, None for a click; `held`: it names one gesture of it, which
        may pause.
        """
        before = self._before.setdefault(name, [])
        same = dragged is not None and self._last == (name, dragged)
        if not (before and same and (held or at - self._at < SAME_GESTURE_S)):
            before.append(value)
            del before[:-MOST_STEPS]
        self._after[name] = []
        self._last, self._at = (name, dragged), at

    def previous(self, name: str) -> str | None:
        """What stood there before the last change; None if nothing was changed."""
        before = self._before.get(name)
        return before[-1] if before else None

    def can_redo(self, name: str) -> bool:
        """Whether a change was taken back, and nothing changed since."""
        return bool(self._after.get(name))

    def take_back(self, name: str, now: str = "") -> str:
        """What stood there before the last change; `now`, which stands there, can be redone."""
        self._last = None
        self._after.setdefault(name, []).append(now)
        return self._before[name].pop()

    def redo(self, name: str, now: str) -> str:
        """What was taken back last; `now`, which stands there, can be taken back to again."""
        self._last = None
        self._before[name].append(now)
        return self._after[name].pop()
