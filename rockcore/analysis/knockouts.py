"""What a knockout screen says: of each candidate how much accuracy its ban costs, how sure that is,
and a verdict that survives the number of tests.

Δ(v) = Acc(ban of v) − Acc(baseline), over problems and rollouts, each rollout paired with the
baseline rollout of the same noise (arXiv 2605.09253, §4). The coupled difference is an unbiased
estimate, so its test rests on no placebo.

A *sham* writes the same rollouts anew from the same position, with fresh noise and no ban. It
shows how far Δ moves by luck alone; it centres the sign test, gives the placebo band, and its own
p-values check the level. As the branch token is drawn again too, and is often another one, a sham
is a little of a soft ban, not a perfect null.

Where we differ from the paper: *Neutral* has to be shown (the whole interval within ±ε), what is
neither shown neutral nor significant is *undecided*; p-values are corrected for all tests of the
screen, of which a token and its window are two; ids that the answer itself needs are flagged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from rockcore.analysis import knockout_texts
from rockcore.analysis.knockout_predictors import correlations, predictors
from rockcore.analysis.knockout_tests import (
    Levels,
    Power,
    SignTest,
    benjamini_hochberg,
    intervals,
    parts_of_variance,
    power,
    sign_flips,
    sign_test,
)
from rockcore.analysis.knockout_verdicts import (
    CORRECTIONS,
    NEUTRAL,
    PILLAR,
    STUMBLING,
    UNDECIDED,
    VERDICTS,
    by_token,
    census_of,
    verdicts_of,
)
from rockcore.log.screens import NoScreen, Screen
from rockcore.schema.screen import Candidate, ScreenPlan
from rockcore.stats import Interval, proportion

__all__ = [
    "NEUTRAL",
    "PILLAR",
    "STUMBLING",
    "UNDECIDED",
    "VERDICTS",
    "Knockouts",
    "examine",
    "token_verdicts",
    "trained_on",
]
LEVELS, DRAWS, SEED = Levels(), 10_000, 0


class Placebo(NamedTuple):
    """What the shams did: the mean of their Δ, and the band that holds 95 % of them."""

    mean: float
    low: float
    high: float
    n: int
    rejected: int  # of them with p <= alpha: a check of the level


class Signs(NamedTuple):
    """Are there more tokens whose ban costs accuracy than tokens whose ban gains some?"""

    naive: SignTest  # Δ against 0, as the paper: shares one baseline's luck, so it proves little
    centred: SignTest  # Δ against each token's own sham, from which the baseline drops out


@dataclass(frozen=True)
class Knockouts:
    """All that a page or a table shows of a screen.

    `candidates`: one row a finished candidate, by Δ: candidate (its key), kind, token_id, token,
    ids, source, delta with low, high (95 %) and stderr, changed (share of rollouts), p (raw), q_bh,
    p_max, sham_delta, verdict, needed, replaced (what stands in its place, in words), and the
    columns of PREDICTORS; all accuracies are shares, not points. `by_token`: one row a token type:
    see knockout_verdicts. `census`: rows how, and a column for each verdict. `correlations`: see
    knockout_predictors. `shams`: candidate, token, sham_delta, low, high, p.
    """

    screen: Screen
    plan: ScreenPlan
    levels: Levels
    accuracy: Interval  # of the baseline
    candidates: pd.DataFrame
    by_token: pd.DataFrame
    census: pd.DataFrame
    correlations: pd.DataFrame
    shams: pd.DataFrame
    placebo: Placebo | None  # None without a sham
    signs: Signs
    power: Power
    notes: tuple[str, ...]

    @property
    def settings(self) -> dict[str, Any]:
        """What was screened and how, as JSON takes it."""
        left_out = ("candidates", "schema_version")
        plan = {k: v for k, v in vars(self.plan).items() if k not in left_out}
        told = {"planned": len(self.plan.candidates), "finished": len(self.candidates)}
        return {**plan, "stop_ids": list(self.plan.stop_ids), **told, **self.levels._asdict()}

    def pairs(self, key: str) -> pd.DataFrame:
        """Rollouts with and without the token: see knockout_texts.pairs."""
        return knockout_texts.pairs(self.screen, key)

    def replacements(self, key: str) -> pd.DataFrame:
        """What replaced the token: see knockout_texts.replacements."""
        return knockout_texts.replacements(self.screen, key)


class Measured(NamedTuple):
    """Differences by problem, candidate by candidate."""

    difference_IJ: np.ndarray  # mean over rollouts
    sham_IJ: np.ndarray  # NaN for candidates without a sham
    changed_J: np.ndarray  # rollouts that hold a banned id
    flipped_J: np.ndarray  # of them, those graded otherwise under the ban
    sham_flipped_J: np.ndarray
    parts_J: list[tuple[float, float]]  # see parts_of_variance


def examine(
    screen: Screen, levels: Levels = LEVELS, draws: int = DRAWS, seed: int = SEED
) -> Knockouts:
    """Work out everything from the finished candidates of a screen. Raises NoScreen if there is
    none, ValueError for a correction that does not exist.
    """
    chosen = _chosen(screen, levels)
    measured = _measure(screen, chosen)
    known = predictors(screen.run)
    frame = _tested(measured, chosen, screen, levels, draws, seed)
    frame = frame.join(known.frame, on="token_id")
    shams = _shams(measured, frame, screen.plan.rollouts, draws, seed)
    tokens = by_token(frame, levels)
    alone: Any = frame[(frame.kind == "token") & ~frame.needed]
    notes = [known.why_missing] if known.why_missing else []
    if screen.stale:
        notes.append(trained_on(screen))
    return Knockouts(
        screen,
        screen.plan,
        levels,
        _accuracy(screen, draws, seed),
        frame.sort_values(["delta", "candidate"], ignore_index=True),
        tokens,
        census_of(tokens, levels),
        correlations(alone.delta, alone.stderr, alone),
        shams,
        _placebo(shams, levels),
        _signs(frame, measured),
        _power(measured, frame, screen.plan, levels),
        tuple(notes),
    )


def trained_on(screen: Screen) -> str:
    """What is to be said of a screen that is stale."""
    return f"The run was trained on: this screen is of its student after step {screen.plan.step}"


def token_verdicts(
    screen: Screen, levels: Levels = LEVELS, draws: int = DRAWS, seed: int = SEED
) -> pd.DataFrame:
    """`Knockouts.by_token` alone, without the predictors, which take a detection. Raises as
    `examine` does.
    """
    chosen = _chosen(screen, levels)
    return by_token(_tested(_measure(screen, chosen), chosen, screen, levels, draws, seed), levels)


def _chosen(screen: Screen, levels: Levels) -> tuple[Candidate, ...]:
    """The finished candidates."""
    if levels.correction not in CORRECTIONS:
        raise ValueError(f"correction = {levels.correction!r}: {' or '.join(CORRECTIONS)}")
    if not screen.finished:
        raise NoScreen(
            f"{screen.folder} has no finished candidate yet",
            "There is nothing to compare the baseline with",
            f"Go on with it: rockcore knockout {screen.run.path}",
        )
    return screen.finished


def _measure(screen: Screen, chosen: tuple[Candidate, ...]) -> Measured:
    baseline = screen.baseline.correct
    means, shams, parts, counts = [], [], [], []
    for candidate in chosen:
        outcomes = screen.outcomes(candidate.key)
        at = outcomes.problem, outcomes.rollout
        difference_IB = np.zeros(baseline.shape)
        difference_IB[at] = outcomes.correct.astype(float) - baseline[at]
        sham_IB = np.zeros(baseline.shape)
        if outcomes.sham_correct is not None:
            sham_IB[at] = outcomes.sham_correct.astype(float) - baseline[at]
        none = candidate.kind != "token" or (outcomes.sham_correct is None and len(at[0]) > 0)
        means.append(difference_IB.mean(1))
        shams.append(np.full(len(baseline), np.nan) if none else sham_IB.mean(1))
        counts.append((len(at[0]), (difference_IB != 0).sum(), (sham_IB != 0).sum()))
        parts.append(parts_of_variance(difference_IB))
    changed, flipped, sham_flipped = np.array(counts).T
    return Measured(np.stack(means, 1), np.stack(shams, 1), changed, flipped, sham_flipped, parts)


def _tested(
    measured: Measured,
    chosen: tuple[Candidate, ...],
    screen: Screen,
    levels: Levels,
    draws: int,
    seed: int,
) -> pd.DataFrame:
    """The rows of `Knockouts.candidates`, in the order of the plan, without predictors.

    The family of tests that share the level is every candidate with ids of its own: a window or
    spelling that bans the same ids as another candidate is one test with it.
    """
    own = np.array([not c.same_as for c in chosen])
    spread = intervals(
        measured.difference_IJ, measured.flipped_J, screen.plan.rollouts, draws, seed
    )
    flips = sign_flips(measured.difference_IJ, own, draws, seed)
    q = np.full(len(chosen), np.nan)
    q[own] = benjamini_hochberg(flips.p[own])
    place = {c.key: j for j, c in enumerate(chosen)}
    for j, c in enumerate(chosen):
        q[j] = q[place[c.same_as]] if c.same_as in place else q[j]
    needed = knockout_texts.needed_ids(screen)
    texts = screen.run.vocab.set_index("token_id").token
    frame = pd.DataFrame(
        {
            "candidate": [c.key for c in chosen],
            "kind": [c.kind for c in chosen],
            "token_id": [c.token_id for c in chosen],
            "token": [str(texts.get(c.token_id, "")) for c in chosen],
            "ids": [c.ids for c in chosen],
            "source": [c.source for c in chosen],
            "same_as": [c.same_as for c in chosen],
            "delta": measured.difference_IJ.mean(0),
            "low": spread.low,
            "high": spread.high,
            "stderr": spread.stderr,
            "changed": measured.changed_J / screen.baseline.correct.size,
            "p": flips.p,
            "q_bh": q,
            "p_max": flips.p_max,
            "sham_delta": measured.sham_IJ.mean(0),
            "needed": [bool(needed & set(c.ids)) for c in chosen],
            "replaced": [knockout_texts.replaced(screen, c.key) for c in chosen],
        }
    )
    return frame.assign(verdict=verdicts_of(frame, frame[CORRECTIONS[levels.correction]], levels))


def _shams(
    measured: Measured, frame: pd.DataFrame, rollouts: int, draws: int, seed: int
) -> pd.DataFrame:
    with_sham = ~np.isnan(measured.sham_IJ).any(0)
    sham_IJ = measured.sham_IJ[:, with_sham]
    spread = intervals(sham_IJ, measured.sham_flipped_J[with_sham], rollouts, draws, seed)
    p = sign_flips(sham_IJ, np.ones(sham_IJ.shape[1], bool), draws, seed).p
    named = frame.loc[with_sham, ["candidate", "token", "sham_delta"]]
    return named.assign(low=spread.low, high=spread.high, p=p).reset_index(drop=True)


def _placebo(shams: pd.DataFrame, levels: Levels) -> Placebo | None:
    if not len(shams):
        return None
    values = shams.sham_delta.to_numpy(float)
    low, high = np.quantile(values, [0.025, 0.975])
    rejected = int((shams.p <= levels.alpha).sum())
    return Placebo(float(values.mean()), float(low), float(high), len(values), rejected)


def _signs(frame: pd.DataFrame, measured: Measured) -> Signs:
    use = ((frame.kind == "token") & ~frame.needed).to_numpy(bool)
    delta = measured.difference_IJ.mean(0)[use]
    own = delta - measured.sham_IJ.mean(0)[use]
    return Signs(sign_test(delta), sign_test(own[np.isfinite(own)]))


def _power(measured: Measured, frame: pd.DataFrame, plan: ScreenPlan, levels: Levels) -> Power:
    """Of the median candidate among those that change anything and are not needed."""
    use = np.flatnonzero((frame.changed > 0) & ~frame.needed & (frame.same_as == ""))
    parts = sorted(
        (measured.parts_J[j] for j in (use if len(use) else range(len(frame)))),
        key=lambda part: part[0] + part[1] / plan.rollouts,
    )
    tests = int((frame.same_as == "").sum())
    return power(*parts[len(parts) // 2], plan.problems, plan.rollouts, tests, levels)


def _accuracy(screen: Screen, draws: int, seed: int) -> Interval:
    """Of the baseline, with its bootstrap interval over problems; where all of them but one at most
    are always right, or never, Wilson's of as many problems.
    """
    by_problem = screen.baseline.correct.mean(1)
    n, value = len(by_problem), float(by_problem.mean())
    if min((by_problem > 0).sum(), (by_problem < 1).sum()) < 2 or np.ptp(by_problem) == 0:
        return proportion(round(value * n), n)._replace(value=value)
    found = intervals(by_problem[:, None], np.array([0]), screen.plan.rollouts, draws, seed)
    return Interval(value, float(found.low[0]), float(found.high[0]))
