"""Two texts side by side: which share a prompt, which of their tokens line up, what differs there.

A pair is a text of run A and one of run B; B minus A exists only where one token stands in both.
What is asked of one text is read for that text alone, so that thousands of rollouts on one prompt
cost no more than their prompts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from rockcore.log import Run
from rockcore.schema import Texts


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


def difference(values_a: np.ndarray, values_b: np.ndarray, aligned: Alignment) -> np.ndarray:
    """(T_B,) float64: B minus A where B's token has a partner in A, NaN elsewhere and where a value
    is missing.
    """
    found = np.full(len(values_b), np.nan)
    found[aligned.b] = (
        np.asarray(values_b, float)[aligned.b] - np.asarray(values_a, float)[aligned.a]
    )
    return found


@dataclass(frozen=True)
class Pair:
    """One signal of two texts that are lined up."""

    values_a: np.ndarray  # (T_A,) float64, NaN where there is none
    values_b: np.ndarray  # (T_B,)
    aligned: Alignment
    difference: np.ndarray  # (T_B,) B − A, NaN where a token has no partner

    @classmethod
    def of(cls, values_a: np.ndarray, values_b: np.ndarray, aligned: Alignment) -> Pair:
        return cls(values_a, values_b, aligned, difference(values_a, values_b, aligned))

    def unpaired(self, side: str) -> np.ndarray:
        """(T,) uint8: 1 where a token of the side "A" or "B" has no partner."""
        values, at = (
            (self.values_a, self.aligned.a) if side == "A" else (self.values_b, self.aligned.b)
        )
        alone = np.ones(len(values), np.uint8)
        alone[at] = 0
        return alone

    @property
    def sides_without_values(self) -> list[str]:
        """The sides, of "A" and "B", on which no token has a value."""
        sides = {"A": self.values_a, "B": self.values_b}
        return [name for name, values in sides.items() if not np.isfinite(values).any()]

    def moved(self, tau: float) -> Moved | None:
        """How far B is from A over the aligned tokens, `tau` in the unit of the signal; None where
        none has a value on both sides.
        """
        known = self.difference[np.isfinite(self.difference)]
        if not len(known):
            return None
        higher, lower = int((known >= tau).sum()), int((known <= -tau).sum())
        return Moved(len(known), float(known.mean()), higher, lower, tau)


class Moved(NamedTuple):
    """What B − A comes to over the aligned tokens of a pair."""

    n: int  # aligned tokens with a value on both sides
    mean: float
    higher: int  # by at least tau in B
    lower: int
    tau: float


def values_of(tokens: pd.DataFrame, signal: str) -> np.ndarray:
    """(T,) float64: a signal of one text, `Run.trace`; NaN where it is not logged."""
    return tokens[signal].to_numpy(float, na_value=np.nan)


def asked(run: Run, texts: Texts, step: int) -> pd.DataFrame:
    """What the texts of a step answer, one row a rollout: rollout_id, prompt, teacher_prompt,
    correct. The answers themselves, most of the file, are left out.
    """
    fresh = step if texts is Texts.FRESH else None
    return run.rollouts_asked(fresh, texts.probe_set)


class About(NamedTuple):
    """One text in numbers."""

    tokens: int
    kl_mean: float | None  # nats, over the tokens that have one; None where none has
    sampled_loss_mean: float | None
    correct: bool | None  # None where it was not graded
    teacher_prompt: str | None  # None where the log does not say


def about(rollout: int, tokens: pd.DataFrame, asked: pd.DataFrame) -> About:
    """One text, from its `Run.trace` and from what its step was `asked`."""
    row = asked.loc[asked.rollout_id == rollout].iloc[0]
    return About(
        len(tokens),
        _mean(values_of(tokens, "kl")),
        _mean(values_of(tokens, "sampled_loss")),
        None if pd.isna(row.correct) else bool(row.correct),
        row.teacher_prompt if isinstance(row.teacher_prompt, str) else None,
    )


def _mean(values: np.ndarray) -> float | None:
    return float(np.nanmean(values)) if np.isfinite(values).any() else None


@dataclass(frozen=True)
class SharedPrompts:
    """Which texts of A answer a prompt that B answers too, word for word."""

    prompts: dict[int, str]  # rollout of A -> its prompt, where B has it too
    answers: dict[str, list[int]]  # shared prompt -> the rollouts of B that answer it, ascending
    of_a: int  # different prompts
    of_b: int

    @property
    def both(self) -> int:
        """Different prompts that both sides have."""
        return len(self.answers)

    @property
    def several(self) -> bool:
        """Whether B has more than one text on some prompt."""
        return any(len(rollouts) > 1 for rollouts in self.answers.values())

    def partners(self, rollout: int, same_texts: bool) -> list[int]:
        """B's rollouts on the prompt of one rollout of A; with `same_texts`, where both sides are
        one text, that rollout itself comes first. Raises KeyError for a rollout that shares none.
        """
        found = self.answers[self.prompts[rollout]]
        if not same_texts or rollout not in found:
            return found
        return [rollout, *(other for other in found if other != rollout)]


def shared_prompts(asked_a: pd.DataFrame, asked_b: pd.DataFrame) -> SharedPrompts:
    """Pair two sides by their prompts, from what `asked` says of either.

    The work and the memory are those of one pass over either side: B's rollouts are kept once a
    prompt, and a partner is looked for only when a text is chosen.
    """
    answers: dict[str, list[int]] = {}
    for rollout, prompt in zip(asked_b.rollout_id.tolist(), asked_b.prompt, strict=True):
        answers.setdefault(prompt, []).append(rollout)
    prompts_a = dict(zip(asked_a.rollout_id.tolist(), asked_a.prompt, strict=True))
    shared = answers.keys() & set(prompts_a.values())
    return SharedPrompts(
        {rollout: prompt for rollout, prompt in prompts_a.items() if prompt in shared},
        {prompt: sorted(rollouts) for prompt, rollouts in answers.items() if prompt in shared},
        len(set(prompts_a.values())),
        len(answers),
    )
