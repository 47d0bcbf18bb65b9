"""Two runs, or two steps of one, side by side: may they be compared, how do their texts line up,
how do their rankings differ?

Refuses runs of different tokenizers, whose ids mean different tokens, differences of a kl that is
not the same quantity on both sides, and a side compared with itself. Nothing is cut or mapped to
make two sides fit.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from rockcore.log import Run
from rockcore.rocks import ranking, search
from rockcore.rocks.report import RockReport
from rockcore.rocks.rule import RockRule
from rockcore.schema import RockError, RunMeta

OF_KL = ("kl", "grad_norm")  # columns that are what the estimator makes them
TOP = 20


class UnequalTokenizers(RockError, ValueError):
    """Two runs whose token ids mean different tokens."""


class UnequalEstimators(RockError, ValueError):
    """Two runs whose kl is not the same quantity."""


class SameSide(RockError, ValueError):
    """One run at one step, on both sides."""


def check_tokenizers(a: RunMeta, b: RunMeta) -> None:
    """Raises UnequalTokenizers unless an id means the same token in both runs."""
    if a.tokenizer_hash != b.tokenizer_hash:
        raise UnequalTokenizers(
            f"{a.name} was written with the tokenizer {a.tokenizer_hash} ({a.vocab_size} "
            f"entries), {b.name} with {b.tokenizer_hash} "
            f"({b.vocab_size})",
            "The same id means other tokens there, and the same text is cut into other pieces, so "
            "neither tokens nor their losses pair up",
            "Choose a run of the same models, or train one with the same tokenizer",
        )


def check_estimators(a: RunMeta, b: RunMeta, column: str = "kl") -> None:
    """Raises UnequalEstimators if values of `column` cannot be subtracted from each other."""
    if column in OF_KL and (a.estimator != b.estimator or a.estimator == "absent"):
        raise UnequalEstimators(
            f"The kl of {a.name} is “{a.estimator}”, that of {b.name} is “{b.estimator}”",
            "A difference of two quantities says nothing of either"
            if a.estimator != b.estimator
            else "There is no kl in either log to subtract",
            "Compare sampled_loss, which every log has, or log both runs with the same estimator",
        )


class Alignment(NamedTuple):
    """Positions of two texts that hold the same token, in order: (M,) int each, both ascending."""

    a: np.ndarray
    b: np.ndarray

    def blocks(self) -> list[tuple[int, int, int]]:
        """Runs of neighbours as (first position in A, first in B, how many)."""
        new = np.flatnonzero(
            np.append(True, (np.diff(self.a) != 1) | (np.diff(self.b) != 1))[: len(self.a)]
        )
        lengths = np.diff(np.append(new, len(self.a)))
        return list(zip(self.a[new].tolist(), self.b[new].tolist(), lengths.tolist(), strict=True))


class _Watched(list):
    """A list that calls `pulse` whenever it is read at an index: that is how long a search of
    difflib can be stopped.
    """

    def __init__(self, items: list[int], pulse: Callable[[], None]):
        super().__init__(items)
        self.pulse = pulse

    def __getitem__(self, i: Any) -> Any:
        self.pulse()
        return super().__getitem__(i)


def align(
    ids_a: np.ndarray, ids_b: np.ndarray, pulse: Callable[[], None] = lambda: None
) -> Alignment:
    """Line up two texts by their token ids (T_A,), (T_B,): position by position where they are
    equal, else by common blocks.

    The blocks are those of difflib.SequenceMatcher without its junk heuristic, which would drop
    every token that makes up more than 1 % of a long text. Two texts of 8,000 tokens took 0.6 to 2
    s on one core; texts that repeat few tokens take longest. `pulse` is called all along and stops
    the work by raising.
    """
    if np.array_equal(ids_a, ids_b):
        every = np.arange(len(ids_a))
        return Alignment(every, every)
    blocks = SequenceMatcher(
        None, _Watched(ids_a.tolist(), pulse), ids_b.tolist(), autojunk=False
    ).get_matching_blocks()
    pairs = [
        (np.arange(block.a, block.a + block.size), np.arange(block.b, block.b + block.size))
        for block in blocks
    ]
    return Alignment(*(np.concatenate(side) for side in zip(*pairs, strict=True)))


def change(values_a: np.ndarray, values_b: np.ndarray, aligned: Alignment) -> np.ndarray:
    """(T_B,) float64: B minus A where B's token has a partner in A, NaN elsewhere and where a value
    is missing.
    """
    found = np.full(len(values_b), np.nan)
    found[aligned.b] = (
        np.asarray(values_b, float)[aligned.b] - np.asarray(values_a, float)[aligned.a]
    )
    return found


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
    source: str  # whose texts: final | first | fresh
    estimator: str
    types: pd.DataFrame

    @classmethod
    def of_set(cls, found: RockReport) -> Ranking:
        """A whole detection, first against last checkpoint."""
        columns = ["token_id", "token", "score", "ccr", "frequency", "in_set"]
        rule, types = found.rule, _ranked(found.tokens.loc[:, columns])
        return cls(
            found.name,
            "rule",
            rule.score,
            rule.column,
            found.steps,
            found.source,
            found.estimator,
            types,
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
            "fresh",
            run.meta.estimator,
            types,
        )

    @property
    def where(self) -> str:
        """The checkpoints, or the one step, in words."""
        return (
            f"steps {self.steps[0]} to {self.steps[-1]}"
            if self.by == "rule"
            else f"step {self.steps[0]}"
        )

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


class Sides(NamedTuple):
    a: Ranking
    b: Ranking


def rankings(
    a: Run,
    b: Run,
    rule: RockRule = search.RULE,
    steps: tuple[int | None, int | None] = (None, None),
    top: int = TOP,
) -> Sides:
    """Both sides of a comparison: two runs by `rule`, first against last checkpoint; two steps by
    Rock Score.

    A step on either side, or one run on both, asks for steps; what is not given is the last step
    with tokens, but the first for A where B is the same run. Raises UnequalTokenizers,
    UnequalEstimators, SameSide, and as search.detect and ranking.rank do.
    """
    check_tokenizers(a.meta, b.meta)
    same = a.path.resolve() == b.path.resolve()
    if not same and steps == (None, None):
        check_estimators(a.meta, b.meta, rule.column)
        return Sides(Ranking.of_set(search.detect(a, rule)), Ranking.of_set(search.detect(b, rule)))
    check_estimators(a.meta, b.meta)
    last_b = ranking.last_step(b) if steps[1] is None else steps[1]
    first_a = (a.steps("types")[:1] if same else []) or [ranking.last_step(a)]
    step_a = first_a[0] if steps[0] is None else steps[0]
    if same and step_a == last_b:
        raise SameSide(
            f"{a.path.name} at step {step_a} is on both sides",
            "Every difference is 0",
            "Give another step, or another run",
        )
    return Sides(Ranking.of_step(a, step_a, top), Ranking.of_step(b, last_b, top))


def to_json(sides: Sides, top: int | None = None) -> str:
    """Both sides, how their sets overlap, and the `top` rows of `rank_changes` (all), as one JSON
    object; what is unknown is null.
    """
    shared = overlap(sides.a.ids, sides.b.ids)
    fields = ("name", "by", "score", "column", "steps", "source", "estimator")
    about: dict[str, Any] = {
        letter: {name: getattr(side, name) for name in fields} | {"k": len(side.ids)}
        for letter, side in zip("ab", sides, strict=True)
    }
    table = rank_changes(*sides)
    rows = table.head(len(table) if top is None else top).astype(object)
    records = rows.where(rows.notna(), None).to_dict("records")
    jaccard = None if math.isnan(shared.jaccard) else shared.jaccard
    return json.dumps(
        {**about, "overlap": {**shared._asdict(), "jaccard": jaccard}, "tokens": records},
        allow_nan=False,
    )
