"""What is compared with what: the two sides that the head of the page asks for."""

from __future__ import annotations

from typing import NamedTuple

from app import data


class Asked(NamedTuple):
    """What A and B are; the run of A is that of the sidebar."""

    a: data.runs.RunKey
    facts: data.runs.Course  # of the run of A
    b: data.runs.RunKey
    name_b: str  # as the sidebar calls it
    texts: data.compare.Texts
    step_a: int
    step_b: int

    @property
    def one_run(self) -> bool:
        return self.b.path == self.a.path

    @property
    def alike(self) -> bool:
        """Whether there is nothing to compare."""
        return self.one_run and self.step_a == self.step_b
