"""The definitions once more, slow and plain: what tests hold the library against, and the small
logs to do it on.

Occurrences are (rollout, position) pairs, every comparison is a loop over pairs, every share is a
fraction. The library lends the rule, the container that a log is handed over in, the writer of a
run and the names of the columns, nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from rockcore import schema
from rockcore.log import Run, RunWriter
from rockcore.rocks.corpus import Corpus
from rockcore.rocks.rule import RockRule
from rockcore.schema import RunMeta

Occurrence = tuple[int, int]  # rollout, position


@dataclass(frozen=True)
class Log:
    """Rollouts of token ids, and at each checkpoint a loss for each token."""

    tokens: list[list[int]]
    losses: list[list[list[float]]]  # checkpoint, rollout, position

    @property
    def occurrences(self) -> list[Occurrence]:
        return [(b, t) for b, row in enumerate(self.tokens) for t in range(len(row))]

    @property
    def types(self) -> list[int]:
        return sorted({token for row in self.tokens for token in row})

    def token(self, o: Occurrence) -> int:
        return self.tokens[o[0]][o[1]]

    def loss(self, o: Occurrence, checkpoint: int) -> np.float32:
        return np.float32(self.losses[checkpoint][o[0]][o[1]])

    def columns(self, checkpoint: int, step: int = 0) -> dict[str, Any]:
        """Of schema.TOKENS and PROBE, without alternatives; every column in nats is the loss."""
        at = self.occurrences
        loss = np.array([self.loss(o, checkpoint) for o in at], np.float32)
        values: dict[str, Any] = {
            name: loss for name, column in schema.TOKENS.items() if column.unit == "nats"
        }
        values |= {
            name: [None] * len(at)
            for name in (*schema.PROBE, *schema.PROBE_TEACHER)
            if "_top_" in name
        }
        values |= {
            "step": [step] * len(at),
            "rollout_id": [o[0] for o in at],
            "position": [o[1] for o in at],
        }
        return {
            **values,
            "token_id": np.array([self.token(o) for o in at], np.int32),
            "grad_norm": loss / 2,
            "weight": [1.0] * len(at),
        }

    def corpus(self) -> Corpus:
        logged = [b for b, row in enumerate(self.tokens) if row]
        ends = np.cumsum([len(self.tokens[b]) for b in logged])
        starts = ends - [len(self.tokens[b]) for b in logged]
        every = [self.columns(c) for c in range(len(self.losses))]
        losses = tuple(columns["kl"] for columns in every)
        return Corpus(
            tuple(range(len(every))),
            np.array(logged),
            starts,
            every[0]["token_id"],
            losses,
            every[-1]["grad_norm"],
        )


def write(
    path: Path,
    probes: Log | None = None,
    fresh: Sequence[Log] = (),
    probe_set: str = "final",
    **meta: Any,
) -> Run:
    """A run with one probe set, scored at the log's checkpoints, and a log of fresh texts for each
    step 0, 10, 20 …
    """
    about = {
        "name": path.name,
        "student": "s",
        "teacher": "t",
        "tokenizer_hash": "0",
        "vocab_size": 600,
        **meta,
    }
    logs = [*fresh, *([] if probes is None else [probes])]
    size = 1 + max([599, *(token for log in logs for row in log.tokens for token in row)])
    vocab = {
        "token_id": range(size),
        "token": [f" w{i}" for i in range(size)],
        "special": [False] * size,
    }
    writer = RunWriter.create(path, RunMeta(**about), vocab)
    for c in range(0 if probes is None else len(probes.losses)):
        writer.append_probe(probe_set, 10 * c, probes.columns(c, 10 * c))
    for c, log in enumerate(fresh):
        writer.append("tokens", 10 * c, log.columns(0, 10 * c))
    return Run.open(path)


def eighths(checkpoints: int, rollouts: int, length: int, types: int, seed: int = 0) -> Log:
    """Texts of equal length with losses of 0 to 1 in steps of 1/8: ties everywhere, and sums
    without rounding.
    """
    rng = np.random.default_rng(seed)
    losses = rng.integers(0, 9, (checkpoints, rollouts, length)) / 8
    return Log(rng.integers(0, types, (rollouts, length)).tolist(), losses.tolist())


def examples(n: int) -> settings:
    """The same n examples at every run."""
    return settings(max_examples=n, derandomize=True, deadline=None)


def logs(checkpoints: int = 2, rollouts: int = 8) -> st.SearchStrategy[Log]:
    """1 to 8 rollouts of 1 to 14 tokens of 1 to 5 types, some of them alike; losses of 0 to 1 in
    steps of 1/8.

    Hypothesis draws the seed only: left to itself it has one rollout in a third of the logs, and no
    knob above 0 in most rules.
    """

    def log(seed: int) -> Log:
        rng = np.random.default_rng(seed)
        types = rng.integers(1, 6)
        rows = [rng.integers(0, types, rng.integers(1, 15)) for _ in range(rng.integers(1, 4))]
        tokens = [
            rows[rng.integers(len(rows))].copy() for _ in range(rng.integers(1, rollouts + 1))
        ]
        for row in tokens:
            row[rng.integers(len(row), size=rng.integers(0, 3))] = rng.integers(types)
        losses = [
            [(rng.integers(0, 9, len(row)) / 8).tolist() for row in tokens]
            for _ in range(checkpoints)
        ]
        return Log([row.tolist() for row in tokens], losses)

    return st.integers(0, 10**6).map(log)


def rules(widest: int = 6, **fixed: Any) -> st.SearchStrategy[RockRule]:
    """Rules over windows up to the widest, gamma in eighths, and every kind of support."""

    def rule(seed: int) -> RockRule:
        rng = np.random.default_rng(seed)
        w = int(rng.choice([w for w in (1, 2, 3, 4, 4, 6) if w <= widest]))
        offsets = [*range(-w, 0), *range(1, w + 1)]
        excluded = [
            (int(rng.choice(offsets)), int(rng.integers(5)))
            for _ in range(rng.choice([0, 0, 1, 2]))
        ]
        knobs = {
            "gamma": int(rng.integers(1, 9)) / 8,
            "eta": float(rng.choice([0, 0.05, 0.07, 0.1, 0.3, 0.5, 1])),
            "min_support": int(rng.integers(4)),
            "min_rollouts": int(rng.integers(3)),
            "excluded_contexts": tuple(excluded),
        }
        return RockRule(window=w, **{**knobs, **fixed})

    return st.integers(0, 10**6).map(rule)


def window(tokens: list[list[int]], o: Occurrence, w: int) -> list[int | str | None]:
    """The 2w neighbours; the response's start and end are one token each, beyond them there is
    None.
    """
    row = tokens[o[0]]
    found: list[int | str | None] = []
    for at in range(o[1] - w, o[1] + w + 1):
        if at != o[1]:
            found.append(
                "start"
                if at == -1
                else "end"
                if at == len(row)
                else row[at]
                if 0 <= at < len(row)
                else None
            )
    return found


def alike(a: list[int | str | None], b: list[int | str | None], gamma: float) -> bool:
    agree = sum(x is not None and x == y for x, y in zip(a, b, strict=True))
    return Fraction(agree, len(a)) >= Fraction(str(gamma))


def allowed(tokens: list[list[int]], o: Occurrence, rule: RockRule) -> bool:
    row = tokens[o[0]]
    return not any(
        0 <= o[1] + offset < len(row) and row[o[1] + offset] == token
        for offset, token in rule.excluded_contexts
    )


def persistent(log: Log, tau: tuple[float, float], rule: RockRule) -> list[Occurrence]:
    high = [
        o
        for o in log.occurrences
        if log.loss(o, 0) >= np.float32(tau[0]) and log.loss(o, -1) >= np.float32(tau[1])
    ]
    return [o for o in high if allowed(log.tokens, o, rule)]


class Judged(NamedTuple):
    similar: int
    rho: Fraction
    kept: bool
    alone: bool  # no other persistent occurrence of its type


def judge(log: Log, found: list[Occurrence], rule: RockRule) -> dict[Occurrence, Judged]:
    """rho(o), and whether o is kept: rho(o) >= eta, and enough support."""
    around = {o: window(log.tokens, o, rule.window) for o in found}
    eta, judged = Fraction(str(rule.eta)), {}
    for o in found:
        others = [p for p in found if p != o and log.token(p) == log.token(o)]
        near = [p for p in others if alike(around[o], around[p], rule.gamma)]
        rho = Fraction(len(near), len(others)) if others else Fraction(0)
        overlap = [p for p in near if p[0] == o[0] and abs(p[1] - o[1]) <= 2 * rule.window]
        support = len(near) - (len(overlap) if rule.min_rollouts > 0 else 0)
        elsewhere = {p[0] for p in near} - {o[0]}
        kept = (
            rho >= eta
            and support >= max(rule.min_support, eta * len(others))
            and len(elsewhere) >= rule.min_rollouts
        )
        judged[o] = Judged(len(near), rho, kept, not others)
    return judged


def precision(
    log: Log, found: list[Occurrence], kept: list[Occurrence], token: int, rule: RockRule
) -> float | None:
    """kappa: the persistent share of all that stands in contexts similar to the kept occurrences of
    a type.
    """
    every = [p for p in log.occurrences if log.token(p) == token and allowed(log.tokens, p, rule)]
    around = {p: window(log.tokens, p, rule.window) for p in every}
    near = [
        p
        for o in kept
        if log.token(o) == token
        for p in every
        if p != o and alike(around[o], around[p], rule.gamma)
    ]
    return sum(p in found for p in near) / len(near) if near else None


def matched(
    before: Log, after: Log, tau: tuple[float, float], rule: RockRule
) -> tuple[list[Occurrence], int]:
    """High after, with half or more of its like high before; and how many high ones had no like
    before.
    """
    kept, without = [], 0
    earlier = [
        (p, window(before.tokens, p, rule.window))
        for p in before.occurrences
        if allowed(before.tokens, p, rule)
    ]
    for o in persistent(Log(after.tokens, [after.losses[-1]] * 2), (0.0, tau[1]), rule):
        mine = window(after.tokens, o, rule.window)
        near = [
            p
            for p, its in earlier
            if before.token(p) == after.token(o) and alike(mine, its, rule.gamma)
        ]
        high = [p for p in near if before.loss(p, 0) >= np.float32(tau[0])]
        if near and 2 * len(high) >= len(near):
            kept.append(o)
        without += not near
    return kept, without


def rock_score(log: Log, token: int) -> float:
    """R(v), summed rollout by rollout in float64."""
    total = 0.0
    for b, row in enumerate(log.tokens):
        if token in row:
            part = 0.0
            for t, other in enumerate(row):
                part += float(log.loss((b, t), -1)) if other == token else 0.0
            total += part
    return total


def best(scores: dict[int, float], k: int) -> list[int]:
    """The K types with the highest score above 0, ties by token id."""
    return sorted((v for v in scores if scores[v] > 0), key=lambda v: (-scores[v], v))[:k]


def automatic_k(
    scores: dict[int, Fraction],
    loss: Fraction,
    types: int,
    jaccard: Sequence[float],
    shares: tuple[Fraction, Fraction, float],
) -> tuple[int, str]:
    """K and how it was chosen: the types that hold at least the first share of the loss and more
    than so many even ones, but at most the largest number on which halves agree better than
    random orders are expected to. `jaccard`: for K = 1, 2, …
    """
    least, even, agree = shares
    held = [s for s in scores.values() if s > 0 and loss > 0]
    enough = sum(h >= least * loss and h > even * loss / types for h in held)
    stable = 0
    for k, agreed in enumerate(jaccard, 1):
        if agreed >= agree and (k <= enough or k / (2 * len(held) - k) < agree):
            stable = k
    k = min(enough, stable)
    if not stable and held and (enough or jaccard[0] >= 0):
        return 0, "none"
    return k, "share" if k == enough else "stability"
