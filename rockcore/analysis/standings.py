"""The two sides of a comparison: how each ranks its token types, and where the rankings differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from rockcore.log import Run
from rockcore.rocks import ranking
from rockcore.rocks.report import RockReport
from rockcore.schema import Texts
from rockcore.spelling import visible

TOP = 20


class Overlap(NamedTuple):
    """Two sets of token ids."""

    only_a: list[int]
    both: list[int]
    only_b: list[int]

    @property
    def jaccard(self) -> float:
        """Share of those in either that are in both; NaN where both sets are empty."""
        either = len(self.only_a) + len(self.both) + len(self.only_b)
        return len(self.both) / either if either else math.nan


def overlap(a: Sequence[int], b: Sequence[int]) -> Overlap:
    """The ids of two sets by where they are, each in the order of the set it comes from (those of
    both as in A).
    """
    in_a, in_b = set(a), set(b)
    return Overlap(
        [i for i in a if i not in in_b],
        [i for i in a if i in in_b],
        [i for i in b if i not in in_a],
    )


@dataclass(frozen=True)
class Ranking:
    """The token types of one side, the best first, and which of them count as rocks.

    `types`: token_id, token, rank (from 1), score (nats, of the score named), ccr (NaN where
    unknown), frequency, in_set.
    """

    name: str  # of the run
    by: str  # rule | rock_score
    score: str  # what ranks: a key of scores.SCORES
    column: str  # the loss that it sums
    steps: tuple[int, ...]  # the checkpoints behind a rule's set, or the one step
    source: Texts  # whose texts
    estimator: str
    types: pd.DataFrame
    no_set: str = ""  # why a rule finds no set here, and what would help; empty if there is one

    @classmethod
    def of_set(cls, found: RockReport) -> Ranking:
        """A whole detection, first against last checkpoint."""
        columns = ["token_id", "token", "score", "ccr", "frequency", "in_set"]
        rule, types = found.rule, _ranked(found.tokens.loc[:, columns])
        return cls(
            found.name,
            "rule",
            found.score,
            rule.column,
            found.steps,
            Texts(found.source),
            found.estimator,
            types,
            found.no_set,
        )

    @classmethod
    def of_step(cls, run: Run, step: int, top: int = TOP) -> Ranking:
        """The fresh rollouts of one step by Rock Score; the `top` types that have one count as
        rocks. Raises as ranking.rank does.
        """
        frame = ranking.rank(run, step).rename(columns={"rock_score": "score"})
        frame = frame.assign(ccr=np.nan, in_set=(np.arange(len(frame)) < top) & (frame.score > 0))
        columns = ["token_id", "token", "score", "ccr", "frequency", "in_set"]
        types = _ranked(frame.loc[:, columns])
        return cls(
            run.meta.name,
            "rock_score",
            "rock_score",
            "kl",
            (step,),
            Texts.FRESH,
            run.meta.estimator,
            types,
        )

    @property
    def where(self) -> str:
        """The checkpoints, or the one step, in words."""
        *before, last = self.steps
        return f"steps {before[0]} to {last}" if before else f"step {last}"

    @property
    def ids(self) -> list[int]:
        """The token ids that count as rocks, the best first."""
        return self.types.token_id[self.types.in_set].tolist()


def _ranked(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.reset_index(drop=True).assign(rank=np.arange(1, len(frame) + 1))


def rank_changes(a: Ranking, b: Ranking) -> pd.DataFrame:
    """Every type of either side, the best ranked on any side first (ties by token id).

    Columns: token_id, token, where (both, only A, only B, neither: of the two sets), and rank,
    score, ccr, frequency with _a and _b, NA on a side where the type does not occur; moved: places
    it stands higher in B than in A.
    """
    columns = ["token_id", "rank", "score", "ccr", "frequency", "in_set"]
    wide = a.types[columns].merge(
        b.types[columns], on="token_id", how="outer", suffixes=("_a", "_b")
    )
    whole = dict.fromkeys(("rank_a", "rank_b", "frequency_a", "frequency_b"), "Int64")
    wide = wide.astype(whole)
    token = pd.concat([a.types, b.types]).drop_duplicates("token_id").set_index("token_id").token
    in_a, in_b = (np.isin(wide.token_id, side.ids) for side in (a, b))
    where = np.select([in_a & in_b, in_a, in_b], ["both", "only A", "only B"], "neither")
    wide = wide.drop(columns=["in_set_a", "in_set_b"]).assign(
        token=token.loc[wide.token_id].to_numpy(), where=where, moved=wide.rank_a - wide.rank_b
    )
    best = wide[["rank_a", "rank_b"]].min(axis=1).astype(int).to_numpy()
    wide = wide.iloc[np.lexsort((wide.token_id.to_numpy(), best))].reset_index(drop=True)
    front = [
        "token_id",
        "token",
        "where",
        "rank_a",
        "rank_b",
        "moved",
        "score_a",
        "score_b",
        "ccr_a",
        "ccr_b",
    ]
    return wide[[*front, "frequency_a", "frequency_b"]]


def shown_changes(changes: pd.DataFrame) -> pd.DataFrame:
    """`rank_changes` as a table or a chart shows it: with `shown`, the token with its whitespace
    made visible, and whole numbers as float, NaN where there are none.
    """
    whole = dict.fromkeys(("rank_a", "rank_b", "moved", "frequency_a", "frequency_b"), float)
    return changes.astype(whole).assign(shown=[visible(t) for t in changes.token])


class Sides(NamedTuple):
    a: Ranking
    b: Ranking

    def tokens(self) -> dict[int, str]:
        """Id -> token of every type of either side, whitespace made visible."""
        return {
            i: visible(token)
            for side in self
            for i, token in zip(side.types.token_id.tolist(), side.types.token, strict=True)
        }
