"""What is taken away: a rock set with the run and the report it was found on, as far as they are
known, and the weight its tokens get.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from rockcore.log import Run
from rockcore.rocks.report import RockReport
from rockcore.rocks.rockset import RockSet
from rockcore.schema import RockError


class BadExport(RockError, ValueError):
    """Something that cannot be said in the format that was asked for."""


@dataclass(frozen=True)
class Found:
    """A filter: the tokens of `rocks` count `weight` times, all others once. The loss is divided by
    the number of all tokens as before, or training without them would also weigh the others more.
    Raises BadExport for an empty set, a weight that is no factor, a set of another run's tokenizer.
    """

    rocks: RockSet
    weight: float = 0.0
    run: Run | None = field(default=None, compare=False)
    report: RockReport | None = field(default=None, compare=False)  # the set's own

    def __post_init__(self) -> None:
        if not self.rocks.ids:
            why = self.report.no_set if self.report is not None else "The set holds no token."
            raise BadExport(
                why, "A filter without a token filters nothing", "Loosen the rule, or choose K"
            )
        if not 0 <= self.weight < float("inf"):
            raise BadExport(
                f"weight = {self.weight}", "It is a factor, from 0 on", "Give 0, or 0.5"
            )
        if self.run is not None and self.run.meta.tokenizer_hash != self.rocks.tokenizer_hash:
            raise BadExport(
                f"The set was found under tokenizer {self.rocks.tokenizer_hash[:16]!a}, "
                f"{self.run.path.name} has {self.run.meta.tokenizer_hash[:16]!a}",
                "Its ids mean other tokens there",
                "Export it with the run it was found on, or without a run",
            )

    @cached_property
    def texts(self) -> dict[int, str]:
        """The text of each id of the set, as far as a run tells."""
        if self.run is None:
            return {}
        vocabulary = self.run.vocab
        names = dict(zip(vocabulary.token_id, vocabulary.token, strict=True))
        return {i: str(names[i]) for i in self.rocks.ids if i in names}

    def holds(self, token_ids: np.ndarray) -> np.ndarray:
        """(N,) bool: which ids are of the set."""
        return np.isin(token_ids, self.rocks.ids)

    def needed_run(self, what: str) -> Run:
        """Raises BadExport where none is known."""
        if self.run is None:
            raise BadExport(
                f"{what} without a run",
                "It holds positions or counts, which a rock set alone does not have",
                "Name the run's folder too",
            )
        return self.run

    def needed_report(self, what: str) -> RockReport:
        """Raises BadExport where none is known."""
        if self.report is None:
            raise BadExport(
                f"{what} of a rock set from a file",
                "It holds the counts and losses that a rule was applied to, which the set alone "
                "does not have",
                "Name the run and the rule instead of --rocks",
            )
        return self.report
