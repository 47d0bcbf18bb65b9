"""What a browser still sends though the page has changed it: the echo of an older value.

With each message a browser sends the values of all its widgets. One that the script has moved since
comes back as it stood before, and Streamlit takes that for a hand: a handle that is dragged would
be pulled back by the field that shows its number. An echo is a value that was shown a moment ago,
and that was replaced by a handle, or by a step back: these come faster than a browser answers.
"""

from __future__ import annotations

from typing import Any

ECHO_S = 1.0  # so long after it was replaced


class Echoes:
    """The values of each control: the one that is shown, and those that code replaced lately."""

    def __init__(self) -> None:
        self._shown: dict[str, Any] = {}
        self._replaced: dict[str, list[tuple[Any, float]]] = {}
        self._stirred = -ECHO_S

    def stir(self, at: float) -> None:
        """Note that a handle moves, or a step is taken back: what this replaces may echo."""
        self._stirred = at

    def show(self, name: str, value: Any, at: float) -> None:
        """Note what a control shows from now on, `at` in seconds."""
        before = self._shown.get(name, value)
        if before != value and at - self._stirred < ECHO_S:
            self._replaced[name] = [*self._lately(name, at), (before, at)]
        self._shown[name] = value

    def is_echo(self, name: str, value: Any, at: float) -> bool:
        """Whether a value that a control sends is one that code replaced; what is none, a hand has
        set, and it may be set back.
        """
        if any(value == old for old, _ in self._lately(name, at)):
            return True
        self._shown[name], self._replaced[name] = value, []
        return False

    def _lately(self, name: str, at: float) -> list[tuple[Any, float]]:
        return [(v, then) for v, then in self._replaced.get(name, []) if at - then < ECHO_S]
