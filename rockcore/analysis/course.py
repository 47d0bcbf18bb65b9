"""The course of a session: how far it is, how its loss fell, how fast it goes, which of its texts
are written out already. Nothing here looks at single tokens.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import pandas as pd

from rockcore.analysis.loss_means import loss_means
from rockcore.analysis.signals import SPOKEN
from rockcore.config import ARM_SETTINGS, flag_of, is_given
from rockcore.log import Run
from rockcore.log.holdings import Holdings
from rockcore.schema import METRICS, PHASES, RunMeta, Texts
from rockcore.world import SCENARIOS

_RECENT = 50  # steps that tell how fast it goes


class Pace(NamedTuple):
    """How fast a training goes. `left_s` is reckoned from the median step; milestones come on
    top.
    """

    step_s: float
    tokens_per_s: float
    left_s: float


class Progress(NamedTuple):
    """How far a training is."""

    step: int
    steps: int
    kl_mean: float | None  # None where not all tokens of the step were judged
    pace: Pace | None  # None where the log has no times


@dataclass(frozen=True)
class Course:
    """A session as its log tells it step by step."""

    meta: RunMeta
    summary: str  # one sentence on the scenario; empty for other prompts
    metrics: pd.DataFrame  # schema.METRICS by step; of a log without any, those its tokens tell
    evals: pd.DataFrame
    logged: list[int]  # the steps whose tokens are logged; metrics exist for all
    held: Holdings
    # by step, where the mean of `loss` is known: step, rollouts, tokens, mean, and low, high: the
    # mean ± 1.96 standard errors, NaN where those are unknown, and both in words: `interval`. An
    # arm that leaves tokens out judges all of them only where they are logged.
    means: pd.DataFrame

    @property
    def loss(self) -> str:
        """What `means` are of: kl, or sampled_loss in a log that has no kl."""
        return self.held.loss or "kl"

    @property
    def objective(self) -> str:
        """What was trained on, in one line: the arm with its settings, and the normaliser. Of a log
        of another program as far as it says, and of texts that were scored alone nothing.
        """
        meta = self.meta
        if meta.source == "rockcore":
            return "" if "score" in meta.config else _objective(meta)
        # an import leaves it as it is by default, whatever was trained on
        return "" if meta.objective == RunMeta.objective else f"Objective: {meta.objective}"

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
        if self.held.columns and not self.held.has("kl"):
            return "kl: not logged"
        unnamed = "of a kind that the log does not name" if self.held.has("kl") else "not logged"
        return f"kl: {_ESTIMATORS.get(self.meta.estimator, unnamed)}"

    def measured(self, column: str) -> str:
        """What the values of a loss are, as a chart names it."""
        if column == "kl":
            return self.estimator
        by = _JUDGES.get(self.meta.student_logps, "a student that is not named")
        return f"{column}: of the sampled token alone, by {by}, nats"

    @property
    def provenance(self) -> list[str]:
        """Where the log of another program comes from and what else its reader must know, a
        sentence or two each; empty for a log of this one.
        """
        meta = self.meta
        found = []
        if meta.source != "rockcore":
            found.append(f"The log of another program: {meta.source}.")
        if meta.student_logps != "trainer" and self.held.has("student_logp"):
            by = _JUDGES.get(meta.student_logps, "a student that the log does not name")
            lag = ", which rounds otherwise and may lag behind the model that is trained"
            found.append(
                f"student_logp, and what follows from it, are by {by}"
                f"{lag if meta.student_logps == 'sampler' else ''}."
            )
        return [*found, *meta.notes]

    @property
    def is_timed(self) -> bool:
        """Whether some step says how long it took."""
        return bool(self.metrics[list(PHASES)].notna().to_numpy().any())

    @property
    def phase_seconds(self) -> pd.DataFrame:
        """By step, what each of schema.PHASES took that some step says; 0 where a step does not, as
        in a stack nothing stands on what is not known.
        """
        times = self.metrics[list(PHASES)].dropna(axis="columns", how="all").fillna(0.0)
        return times.assign(step=self.metrics.step)

    @property
    def progress(self) -> Progress | None:
        """None: no step is finished yet."""
        if self.metrics.empty:
            return None
        last, recent = self.metrics.iloc[-1], self.metrics.tail(_RECENT)
        step = int(last.step)
        steps = max(self.meta.steps_planned, step)
        kl = None if pd.isna(last.kl_mean) else float(last.kl_mean)
        return Progress(step, steps, kl, _pace(recent, steps - step))

    @property
    def last_rollouts(self) -> int:
        """Fresh rollouts of the last finished step; at least 1."""
        return 1 if self.metrics.empty else max(1, int(self.metrics.rollouts.iloc[-1]))


def _pace(recent: pd.DataFrame, left: int) -> Pace | None:
    times = recent[list(PHASES)]
    if times.isna().to_numpy().all():
        return None
    seconds = times.sum(axis=1)
    step_s, total = float(seconds.median()), float(seconds.sum())
    rate = float(recent.tokens.sum()) / total if total > 0 else 0.0
    return Pace(step_s, rate, step_s * left)


_ESTIMATORS = {
    "full": "full vocabulary, reverse, nats",
    "topk+tail": "top-k with tail, reverse, nats",
    "topk": "top-k without tail, reverse, nats",
}
_JUDGES = {"trainer": "the model that is trained", "sampler": "the engine that sampled"}


def course(run: Run) -> Course:
    """What the metrics, the evals and the meta data of a run say. Raises DamagedRun."""
    held, metrics = run.holdings(), run.metrics().sort_values("step", ignore_index=True)
    if metrics.empty and Texts.FRESH in held.columns:
        told = loss_means(run, "kl").rename(columns={"mean": "kl_mean", "stderr": "kl_stderr"})
        metrics = told.reindex(columns=list(METRICS))
    scenario = SCENARIOS.get(run.meta.scenario)
    summary = scenario.summary if scenario else ""
    least = -math.inf if held.loss == "sampled_loss" else 0.0
    means = _with_intervals(_means(run, held, metrics), least)
    return Course(run.meta, summary, metrics, run.evals(), run.steps(), held, means)


def _means(run: Run, held: Holdings, metrics: pd.DataFrame) -> pd.DataFrame:
    if held.loss == "sampled_loss":
        return loss_means(run, held.loss)
    named = metrics.loc[:, ["step", "rollouts", "tokens", "kl_mean", "kl_stderr"]]
    return named.rename(columns={"kl_mean": "mean", "kl_stderr": "stderr"})


def _with_intervals(means: pd.DataFrame, least: float) -> pd.DataFrame:
    """95 %, rollouts taken as the independent units; logs of old say 0 for a single one."""
    means = means.dropna(subset=["mean"]).reset_index(drop=True)
    around = 1.96 * means.stderr.where(means.rollouts > 1).astype(float)
    low, high = (means["mean"] - around).clip(lower=least), means["mean"] + around
    words = [_interval(a, b, int(n)) for a, b, n in zip(low, high, means.rollouts, strict=True)]
    return means.assign(low=low, high=high, interval=words)


@lru_cache(maxsize=1 << 15)  # of a run that is followed, all steps but the last were told before
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


def text_ids(run: Run, texts: Texts, step: int) -> list[int]:
    """The numbers of the texts of a step, ascending, those without a token too. Raises RunNotFound
    for a step that is not logged.
    """
    fresh_step = step if texts is Texts.FRESH else None
    return run.rollout_ids(fresh_step, texts.probe_set)


def graded_texts(run: Run, texts: Texts, step: int, rollout: int | None = None) -> pd.DataFrame:
    """Each text at a step in one line, or one of them, by rollout_id, and `hint`: how it was
    graded, how long it is, its mean kl in nats, or its mean sampled_loss where no kl is logged. Of
    a text without tokens its characters are counted. Raises RunNotFound for a step that is not
    logged.
    """
    fresh_step = step if texts is Texts.FRESH else None
    frame = run.rollouts(fresh_step, texts.probe_set, rollout)
    if step in run.steps(texts.table):
        sums = run.rollout_sums(step, texts.probe_set, rollout)
        frame = frame.merge(sums, on="rollout_id")
    frame = frame.sort_values("rollout_id", ignore_index=True)  # the order of rows means nothing
    graded = ["not graded" if pd.isna(c) else "correct" if c else "wrong" for c in frame.correct]
    cut = [", cut at the limit" if c else "" for c in frame.truncated.fillna(False)]
    hints = [
        f"{r} · {g}, {how}{t}"
        for r, g, how, t in zip(frame.rollout_id, graded, _lengths(frame), cut, strict=True)
    ]
    loss = [f"{h}{m}" for h, m in zip(hints, _losses(frame), strict=True)]
    return pd.DataFrame({"rollout_id": frame.rollout_id, "hint": loss})


def _lengths(frame: pd.DataFrame) -> list[str]:
    if "tokens" in frame:
        return [f"{n} tokens" for n in frame.tokens]
    return [f"{len(text or ''):,} characters" for text in frame.response]


def _losses(frame: pd.DataFrame) -> list[str]:
    found = [""] * len(frame)
    if "tokens" not in frame:
        return found
    for name in ("sampled_loss", "kl"):  # kl where both are known
        for i, mean in enumerate(frame[f"{name}_mean"]):
            found[i] = found[i] if pd.isna(mean) else f", mean {SPOKEN[name]} {mean:.3f} nats"
    return found
