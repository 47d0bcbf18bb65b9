"""How much each position of a batch counts in the loss, by the arm of a comparison.

An arm is one way to train; arms share seed, prompts, budget and evaluation, and differ in the
weights alone. The loss takes its weights from `weights`, and the log writes the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rockcore.config import ArmName, ResolvedConfig
from rockcore.interventions.batch import Batch
from rockcore.interventions.sets import BadIntervention
from rockcore.rocks import controls
from rockcore.rocks.rockset import RockSet


@dataclass(frozen=True)
class Arm:
    """An arm with what it looks at; what it does not look at is left as it is here."""

    name: ArmName = "baseline"
    rocks: tuple[int, ...] = ()  # token ids
    lambda_: float = 0.0  # weight of what is held back
    tau: float | None = None  # nats: the windows of the rocks join them; None: they do not
    share: float = 1.0  # of the positions, that an arm by entropy keeps
    gamma: float = 0.0  # iw-opd
    match_kl: bool = False  # random-freeze

    @classmethod
    def of(cls, config: ResolvedConfig, rocks: RockSet | None = None) -> Arm:
        """The arm that the settings name, with the set that they name, if any. Raises
        BadIntervention for windows of a set that does not say where high loss begins.
        """
        tau = rocks.rule.tau_post if rocks and config.window else None
        if config.window and tau is None:
            raise BadIntervention(
                f"--window with {config.rocks}, whose rule has no tau_post",
                "A window is where the mean kl stays at or above it",
                "Write the set again: rockcore rocks RUN --json",
            )
        soft = config.lambda_ if config.arm == "soft" else None
        return cls(
            config.arm,
            rocks.ids if rocks else (),
            soft or 0.0,
            tau,
            1.0 if config.share is None else config.share,
            config.gamma or 0.0,
            config.match_kl,
        )

    @property
    def needs(self) -> tuple[str, ...]:
        """The values of a Batch that have to be known, beside the ids, before it can be weighed;
        empty: what gets no weight need not be judged at all.
        """
        by_kl = self.tau is not None or self.match_kl
        return ("kl",) * by_kl + _NEEDS.get(self.name, ())


_NEEDS = {
    "top-entropy": ("student_entropy",),
    "low-entropy": ("student_entropy",),
    "iw-opd": ("student_logp", "teacher_logp"),
}


def weights(arm: Arm, batch: Batch, seed: int = 0, by_type: np.ndarray | None = None) -> np.ndarray:
    """(N,) float32, not negative: the factor on each position's kl in the loss.

    `seed`: for what is drawn at random, anew for each batch. `by_type` (V,): for the arm dynamic,
    the weight of each token id. Raises ValueError if the batch lacks a value that `arm.needs`.
    Source: arXiv 2605.09253, section 5, w = λ where x_t is in the set or t in its windows, else 1;
    there the weight is looked up by the token that is read, here by the token that is predicted,
    as in the detection.
    """
    if not len(batch):
        return np.zeros(0, np.float32)
    missing = [name for name in arm.needs if getattr(batch, name) is None]
    if missing:
        raise ValueError(f"{arm.name} needs {', '.join(missing)}, which this batch does not have")
    return np.asarray(ARMS[arm.name](arm, batch, seed, by_type), np.float32)


def held(arm: Arm, batch: Batch) -> np.ndarray:
    """(N,) bool: the positions of the set's tokens, and their windows where the arm has a tau."""
    rocks_N = np.isin(batch.token_id, arm.rocks)
    if arm.tau is None or batch.kl is None:
        return rocks_N
    return controls.windows(batch.rows, batch.kl, rocks_N, arm.tau)


def random_like(arm: Arm, batch: Batch, seed: int) -> np.ndarray:
    """(N,) bool: in each rollout as many positions as the rocks hold there, none of theirs.

    They lie in stretches of the same lengths (`controls.stretches`), with `arm.match_kl` of a
    summed kl that is as near as the rollout allows. What finds no place as a stretch is made up for
    by single positions, so that the numbers agree wherever the rollout has enough other tokens.
    """
    rocks_N, rng = held(arm, batch), np.random.default_rng(seed)
    drawn = controls.stretches(batch.rows, rocks_N, rng, batch.kl if arm.match_kl else None)
    found_N = np.zeros(len(batch), bool)
    found_N[drawn.at] = True
    count = [
        np.bincount(batch.rollout[m], minlength=len(batch.lengths)) for m in (rocks_N, found_N)
    ]
    free = np.flatnonzero(~(rocks_N | found_N))
    found_N[controls.positions(batch.rows, free, count[0] - count[1], rng)] = True
    return found_N


def _baseline(arm: Arm, batch: Batch, seed: int, by_type: np.ndarray | None) -> np.ndarray:
    return np.ones(len(batch))


def _rocks(arm: Arm, batch: Batch, seed: int, by_type: np.ndarray | None) -> np.ndarray:
    return np.where(held(arm, batch), arm.lambda_, 1.0)


def _random(arm: Arm, batch: Batch, seed: int, by_type: np.ndarray | None) -> np.ndarray:
    return np.where(random_like(arm, batch, seed), arm.lambda_, 1.0)


def _entropy(arm: Arm, batch: Batch, seed: int, by_type: np.ndarray | None) -> np.ndarray:
    """1 at a share of the batch's positions, rounded to whole ones, ties by their order; else 0."""
    assert batch.student_entropy is not None
    sign = -1.0 if arm.name == "top-entropy" else 1.0
    order = np.argsort(sign * batch.student_entropy, kind="stable")
    kept = np.zeros(len(batch))
    kept[order[: int(arm.share * len(batch) + 0.5)]] = 1.0
    return kept


def _iw_opd(arm: Arm, batch: Batch, seed: int, by_type: np.ndarray | None) -> np.ndarray:
    """w_t = 1 + gamma (1 - sum_{s<t} |a_s| / sum_s |a_s|) within each rollout, a = log q - log p of
    the sampled token: 1 + gamma at the first position. The prefix leaves the position itself out,
    as in TRL; where a rollout has no discrepancy at all the quotient is 0. Source: arXiv
    2606.22600, algorithm 1, there a factor on the sampled log ratio, here on the kl of the whole
    vocabulary.
    """
    assert batch.student_logp is not None and batch.teacher_logp is not None
    size = np.abs(batch.teacher_logp.astype(np.float64) - batch.student_logp)
    size = np.minimum(size, 1e6)  # a token that the teacher rules out
    total = np.bincount(batch.rollout, size, len(batch.lengths))[batch.rollout]
    before = np.append(0.0, np.cumsum(size))
    prefix = before[:-1] - np.repeat(before[batch.rows.starts], batch.lengths)
    return 1 + arm.gamma * (1 - np.divide(prefix, total, out=np.zeros(len(batch)), where=total > 0))


def _dynamic(arm: Arm, batch: Batch, seed: int, by_type: np.ndarray | None) -> np.ndarray:
    return np.ones(len(batch)) if by_type is None else by_type[batch.token_id]


Weigh = Callable[[Arm, Batch, int, "np.ndarray | None"], np.ndarray]
ARMS: dict[str, Weigh] = {
    "baseline": _baseline,
    "rock-freeze": _rocks,
    "soft": _rocks,
    "random-freeze": _random,
    "top-entropy": _entropy,
    "low-entropy": _entropy,
    "iw-opd": _iw_opd,
    "dynamic": _dynamic,
}
