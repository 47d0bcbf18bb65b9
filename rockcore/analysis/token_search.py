"""Finding a token type among all of a vocabulary, by its id or a part of its spelling; and the
types that are spelled alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from rockcore.log import Run
from rockcore.rocks.report import RockReport
from rockcore.schema import Texts
from rockcore.spelling import visible


class Hit(NamedTuple):
    """A type that was found."""

    token_id: int
    shown: str  # whitespace made visible
    in_set: bool
    rank: int | None  # in the ranking of the rule, from 1; None where that is not known
    n: int  # occurrences in the texts that rank; 0 where it stands in none


@dataclass(frozen=True)
class Standing:
    """What ranks the types of a run: token_id -> place. `known`: whether a rule did."""

    n: dict[int, int]
    place: dict[int, int]
    in_set: frozenset[int]
    known: bool

    @classmethod
    def of_report(cls, report: RockReport) -> Standing:
        """By a rule: the set, then by its score."""
        ids = report.tokens.token_id.tolist()
        n = dict(zip(ids, report.tokens.frequency.tolist(), strict=True))
        return cls(n, {i: place for place, i in enumerate(ids)}, frozenset(report.ids), True)

    @classmethod
    def of_run(cls, run: Run) -> Standing:
        """Without a rule: by the summed loss at the last logged step of some texts, else by how
        often a type occurs.
        """
        for texts in (Texts.FINAL, Texts.FRESH, Texts.FIRST):
            steps = run.steps("types" if texts is Texts.FRESH else texts.table)
            sums = run.type_sums(texts.table, steps[-1]) if steps else pd.DataFrame()
            if len(sums):
                last = sums.fillna({"kl_sum": 0.0})
                last = last.sort_values(["kl_sum", "n", "token_id"], ascending=[False, False, True])
                ids = last.token_id.tolist()
                n = dict(zip(ids, last.n.tolist(), strict=True))
                return cls(n, {i: at for at, i in enumerate(ids)}, frozenset(), False)
        return cls({}, {}, frozenset(), False)


class Spellings:
    """All types of a vocabulary, ready to be searched."""

    def __init__(self, vocab: pd.DataFrame):
        """`vocab`: token_id, token."""
        self.ids: list[int] = vocab.token_id.tolist()
        self._tokens: list[str] = [str(token) for token in vocab.token]
        self._shown = [_visible(token) for token in self._tokens]
        # what is searched: as it is and as it is shown, whatever the case
        self._folded = [
            f"{t}\0{s}".casefold() for t, s in zip(self._tokens, self._shown, strict=True)
        ]
        self._at = {token_id: at for at, token_id in enumerate(self.ids)}

    def __contains__(self, token_id: int) -> bool:
        return token_id in self._at

    def shown(self, token_id: int) -> str:
        """A type with its whitespace visible; "id 7" for one that the vocabulary lacks."""
        at = self._at.get(token_id)
        return f"id {token_id}" if at is None else self._shown[at]

    def search(self, text: str, standing: Standing, most: int = 20) -> tuple[list[Hit], int]:
        """The best `most` types that hold `text`, and how many do. A whole id comes first, then
        the set, then by place, then types that occur nowhere, those spelled exactly so before
        longer ones. Of no text: the types of the highest places.
        """
        sought = text.casefold()
        if not sought.strip():
            found = [self._at[i] for i in standing.place if i in self._at]
        else:
            found = [at for at, folded in enumerate(self._folded) if sought in folded]
        bare = sought.strip()
        exact = int(bare) if bare.isascii() and bare.isdecimal() and len(bare) < 10 else -1
        if exact in self._at:
            found = list(dict.fromkeys([self._at[exact], *found]))

        def order(at: int) -> tuple[bool, bool, int, bool, int, int]:
            i = self.ids[at]
            token = self._tokens[at].casefold()
            place = standing.place.get(i, len(self.ids))
            inside, same = i in standing.in_set, token.strip() == bare
            return i != exact, not inside, place, not same, len(token), i

        best = sorted(found, key=order)[:most]
        return [self._hit(at, standing) for at in best], len(found)

    def alike(self, token_id: int, standing: Standing, most: int = 12) -> list[Hit]:
        """The other types whose text is the same but for spaces around it and case, those with the
        highest places first.
        """
        if (own := self._at.get(token_id)) is None:
            return []
        bare = self._tokens[own].strip().casefold()
        same = [
            at
            for at, folded in enumerate(self._folded)
            if at != own and bare in folded and self._tokens[at].strip().casefold() == bare
        ]
        same.sort(key=lambda at: (standing.place.get(self.ids[at], len(self.ids)), self.ids[at]))
        return [self._hit(at, standing) for at in same[:most]]

    def _hit(self, at: int, standing: Standing) -> Hit:
        i = self.ids[at]
        rank = standing.place[i] + 1 if standing.known and i in standing.place else None
        return Hit(i, self._shown[at], i in standing.in_set, rank, standing.n.get(i, 0))


def _visible(token: str) -> str:
    plain = token.isprintable() and " " not in token  # most are, and `visible` looks at each letter
    return token if plain else visible(token)


def beside(report: RockReport, token_id: int) -> tuple[int | None, int | None]:
    """The types right before and after one in the ranking of a rule; None at its ends, and for one
    that is not ranked.
    """
    at = np.flatnonzero((report.tokens.token_id == token_id).to_numpy())
    if not len(at):
        return None, None
    ids, place = report.tokens.token_id.tolist(), int(at[0])
    before = ids[place - 1] if place else None
    return before, ids[place + 1] if place + 1 < len(ids) else None
