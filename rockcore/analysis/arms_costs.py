"""What the arms of a comparison cost: tokens, time by phase, and accuracy for either. Runs come as
arm -> seed -> Run.

Time is without that of the log, which depends on how often one wants to look: positions that an arm
leaves out are judged there alone.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from rockcore.analysis.crossed import mean_over_seeds
from rockcore.analysis.shares import projection_share
from rockcore.log import Run
from rockcore.log.arms import BASELINE
from rockcore.schema import PHASES
from rockcore.schema.comparison import COMPARISON

Runs = dict[str, dict[int, Run]]
TRAINING = tuple(phase for phase in PHASES if phase != "log_s")


class SoFar(NamedTuple):
    """What had been spent after the update of a step, mean over seeds: both by step."""

    seconds: pd.Series
    trained: pd.Series

    def until(self, step: int) -> dict[str, float]:
        """What had been spent when a step began."""
        before = {name: series[series.index < step] for name, series in self._asdict().items()}
        return {n: float(spent.iloc[-1]) if len(spent) else 0.0 for n, spent in before.items()}


def updates(run: Run) -> pd.DataFrame:
    """The steps that were followed by an update, by step, with `seconds`, `trained` (tokens of
    weight above 0; all, where a log does not say) and `projection_s`.
    """
    metrics = run.metrics().sort_values("step")
    metrics = metrics[metrics.update_norm.notna()]
    trained = metrics.trained if "trained" in metrics else metrics.tokens
    return metrics.assign(
        seconds=metrics[list(TRAINING)].sum(axis=1),
        trained=trained.fillna(metrics.tokens).astype(float),
    )


def progress(of: dict[int, Run]) -> SoFar:
    """What the runs of an arm had spent, step by step."""
    found = [updates(run).set_index("step") for run in of.values()]
    sums = [
        pd.concat([frame[name].cumsum() for frame in found], axis=1, join="inner").mean(axis=1)
        for name in SoFar._fields
    ]
    return SoFar(*sums)


def costs(runs: Runs) -> pd.DataFrame:
    """One row an arm: schema.comparison."""
    times = {arm: [_times(run) for run in of.values()] for arm, of in runs.items()}
    base = dict(zip(runs.get(BASELINE, {}), times.get(BASELINE, []), strict=True))
    shares = [projection_share(run, TRAINING).share for run in runs.get(BASELINE, {}).values()]
    projection = np.mean([np.nan if share is None else share for share in shares] or [np.nan])
    return pd.DataFrame(
        [_cost(arm, of, times[arm], base, float(projection)) for arm, of in runs.items()],
        columns=list(COMPARISON["costs"]),
    )


def _cost(
    arm: str,
    of: dict[int, Run],
    times: list[dict[str, float]],
    base: dict[int, dict[str, float]],
    projection: float,
) -> dict[str, Any]:
    spent = [updates(run) for run in of.values()]
    sums = {
        n: np.array([s[n].sum() for s in spent], float) for n in ("tokens", "trained", "seconds")
    }
    gains = np.array([_gain(run) for run in of.values()])
    paired = [(mine, base[seed]) for seed, mine in zip(of, times, strict=True) if seed in base]
    saved = mean_over_seeds(np.array([1 - a["step_s"] / b["step_s"] for a, b in paired]))
    left_out = 1 - float(sums["trained"].sum() / max(sums["tokens"].sum(), 1))
    per_minute = mean_over_seeds(_by(gains, sums["seconds"] / 60))
    per_million = mean_over_seeds(_by(gains, sums["trained"] / 1e6))
    return {
        "arm": arm,
        "seeds": len(of),
        **{name: float(values.mean()) for name, values in sums.items()},
        "left_out": left_out,
        **{name: float(np.mean([t[name] for t in times])) for name in times[0]},
        **_interval("saved", saved if arm != BASELINE else saved._replace(low=0.0, high=0.0)),
        # only the way through the projections can be left out: later positions see every token
        "bound": projection * left_out,
        "gain": float(gains.mean()),
        **_interval("gain_per_minute", per_minute),
        **_interval("gain_per_million", per_million),
    }


def _by(gains: np.ndarray, spent: np.ndarray) -> np.ndarray:
    """NaN where nothing was spent: an arm without a trained token gains nothing by its tokens."""
    return np.divide(gains, spent, out=np.full(len(gains), np.nan), where=spent > 0)


def _interval(name: str, mean: Any) -> dict[str, float]:
    return {name: mean.value, f"{name}_low": mean.low, f"{name}_high": mean.high}


def _times(run: Run) -> dict[str, float]:
    """Seconds a step spends in each phase: medians over the steps with an update, the first of
    which is warm-up.
    """
    found = updates(run)
    found = found.iloc[1:] if len(found) > 1 else found
    medians = {n: float(found[n].median()) for n in (*PHASES, "projection_s")}
    return medians | {"step_s": float(found.seconds.median())}


def _gain(run: Run) -> float:
    """Sampled accuracy gained from the first to the last milestone; NaN where none is graded."""
    graded = run.evals()
    values = graded[graded.decoding == "sampled"].accuracy
    return float(values.iloc[-1] - values.iloc[0]) if len(values) > 1 else np.nan
