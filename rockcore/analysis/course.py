"""The course of a session: how far it is, how its loss fell, how fast it goes, which of its texts
are written out already. Nothing here looks at single tokens.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from rockcore.config import ARM_SETTINGS, flag_of, is_given
from rockcore.log import Run
from rockcore.schema import PHASES, RunMeta, Texts
from rockcore.world import SCENARIOS

_RECENT = 50  # steps that tell how fast it goes


class Progress(NamedTuple):
    """How far a training is. `left_s` is reckoned from the median step; milestones come on top."""

    step: int
    steps: int
    kl_mean: float | None  # None where not all tokens of the step were judged
    step_s: float
    tokens_per_s: float
    left_s: float


@dataclass(frozen=True)
class Course:
    """A session as its log tells it step by step."""

    meta: RunMeta
    summary: str  # one sentence on the scenario; empty for other prompts
    # schema.METRICS by step, and low, high: kl_mean ± 1.96 standard errors, NaN where those are
    # unknown, and both in words: `interval`
    metrics: pd.DataFrame
    evals: pd.DataFrame
    logged: list[int]  # the steps whose tokens are logged; metrics exist for all

    @property
    def kl(self) -> pd.DataFrame:
        """The steps of `metrics` whose mean kl is known: an arm that leaves tokens out judges all
        of them only where they are logged.
        """
        return self.metrics.dropna(subset=["kl_mean"])

    @property
    def objective(self) -> str:
        """What was trained on, in one line: the arm with its settings, and the normaliser."""
        return _objective(self.meta)

    @property
    def tokens(self) -> int:
        """Tokens in the log."""
        return int(self.metrics.tokens[self.metrics.step.isin(self.logged)].sum())

    @property
    def generated(self) -> int:
        """Tokens that the student wrote on training prompts, logged or not."""
        return int(self.metrics.tokens.sum())

    @property
    def estimator(self) -> str:
        """The badge of every chart: what kl is, its direction, its unit."""
        kind = {
            "full": "full vocabulary, reverse, nats",
            "topk+tail": "top-k with tail, reverse, nats",
            "topk": "top-k without tail, reverse, nats",
        }
        return f"kl: {kind.get(self.meta.estimator, 'not logged')}"

    @property
    def progress(self) -> Progress | None:
        """None: no step is finished yet."""
        if self.metrics.empty:
            return None
        last, recent = self.metrics.iloc[-1], self.metrics.tail(_RECENT)
        seconds = recent[list(PHASES)].sum(axis=1)
        step, step_s = int(last.step), float(seconds.median())
        rate = float(recent.tokens.sum() / seconds.sum()) if seconds.sum() > 0 else 0.0
        steps = max(self.meta.steps_planned, step)
        kl = None if pd.isna(last.kl_mean) else float(last.kl_mean)
        return Progress(step, steps, kl, step_s, rate, step_s * (steps - step))

    @property
    def last_rollouts(self) -> int:
        """Fresh rollouts of the last finished step; at least 1."""
        return 1 if self.metrics.empty else max(1, int(self.metrics.rollouts.iloc[-1]))


def course(run: Run) -> Course:
    """What the metrics, the evals and the meta data of a run say. Raises DamagedRun."""
    metrics = run.metrics().sort_values("step", ignore_index=True)
    # 95 %, rollouts taken as the independent units; logs of old say 0 for a single one
    around = 1.96 * metrics.kl_stderr.where(metrics.rollouts > 1)
    low, high = (metrics.kl_mean - around).clip(lower=0), metrics.kl_mean + around
    words = [_interval(a, b, int(n)) for a, b, n in zip(low, high, metrics.rollouts, strict=True)]
    metrics = metrics.assign(low=low, high=high, interval=words)
    scenario = SCENARIOS.get(run.meta.scenario)
    summary = scenario.summary if scenario else ""
    return Course(run.meta, summary, metrics, run.evals(), run.steps())


def _interval(low: float, high: float, rollouts: int) -> str:
    of = f"{rollouts:,} rollout{'s' if rollouts != 1 else ''}"
    if math.isnan(low):
        return f"no interval from {of}"
    return f"95 % interval {low:.4f} to {high:.4f}, over {of}"


_OVER = {"tokens": "the number of tokens", "weights": "the sum of the weights"}


def _objective(meta: RunMeta) -> str:
    arm = str(meta.config.get("arm") or "baseline")
    given = [(name, meta.config.get(name)) for name in ARM_SETTINGS.get(arm, ())]
    how = [
        flag_of(name) if value is True else f"{flag_of(name)} {value}"
        for name, value in given
        if is_given(value)
    ]
    over = _OVER.get(meta.normaliser, meta.normaliser)
    return f"Arm: {' '.join([arm, *how])} · weighted kl over {over}"


class Unscored(NamedTuple):
    """The final student's texts, scored again under `scored` of `checkpoints` checkpoints."""

    scored: int
    checkpoints: int


def unscored(run: Run) -> Unscored | None:
    """How far the rescoring of the final student's texts is; None if it is complete, or has not
    begun.

    A training that ends writes these texts and then scores them under one checkpoint after
    another; until it is through, whatever is said of them rests on half the checkpoints. So it
    stays in a run that died meanwhile.
    """
    texts = run.path / Texts.FINAL.table / "rollouts.parquet"
    if run.meta.status == "finished" or not texts.exists():
        return None
    kept = [p for p in (run.path / "checkpoints").glob("step=*") if _STEP.fullmatch(p.name)]
    scored = len(run.steps(Texts.FINAL.table))
    return Unscored(scored, len(kept)) if scored < len(kept) else None


_STEP = re.compile(r"step=\d+")


def graded_texts(run: Run, texts: Texts, step: int) -> pd.DataFrame:
    """Each text at a step in one line, by rollout_id, and `hint`: how it was graded, how long it
    is, its mean kl in nats. Raises RunNotFound for a step that is not logged.
    """
    fresh_step = step if texts is Texts.FRESH else None
    written = run.rollouts(fresh_step, texts.probe_set)
    frame = written.merge(run.rollout_sums(step, texts.probe_set), on="rollout_id")
    frame = frame.sort_values("rollout_id", ignore_index=True)  # the order of rows means nothing
    graded = ["not graded" if pd.isna(c) else "correct" if c else "wrong" for c in frame.correct]
    cut = [", cut at the limit" if c else "" for c in frame.truncated.fillna(False)]
    loss = ["" if pd.isna(m) else f", mean kl {m:.3f} nats" for m in frame.kl_mean]
    hints = [
        f"{r} · {g}, {n} tokens{t}{m}"
        for r, g, n, t, m in zip(frame.rollout_id, graded, frame.tokens, cut, loss, strict=True)
    ]
    return pd.DataFrame({"rollout_id": frame.rollout_id, "hint": hints})
