"""How long a training will take, from one that has been timed.

Two things take time: steps, by their number and their rollouts, and milestones, by the texts that
are scored and the problems that are graded at each. Both are taken from a finished run. The range
is from its quick steps and half of its milestones' time to its slow steps and half as much again;
it says nothing of a machine that is slower, or busier, than the one that trained that run.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from rockcore.config import ResolvedConfig
from rockcore.log import Run
from rockcore.schema import PHASES

_QUICK, _SLOW = 0.1, 0.9  # quantiles of the steps
_LESS, _MORE = 0.5, 1.5  # of the time at milestones, which is not logged by itself


class Expected(NamedTuple):
    """Seconds, and the run that they follow from: its steps, rollouts of each, and seconds."""

    low_s: float
    high_s: float
    run: str
    steps: int
    rollouts: int
    took_s: float


def expected(run: Run, plan: ResolvedConfig) -> Expected | None:
    """How long `plan` will take by what `run` took; None where the run does not say."""
    told = {**run.meta.config}
    took_s = _seconds(run.meta.started, run.meta.ended)
    seconds = run.metrics()[list(PHASES)].dropna().sum(axis=1)
    texts = _scored(told)
    if took_s is None or seconds.empty or not texts or not told.get("rollouts"):
        return None
    one = seconds / int(told["rollouts"])
    between = max(took_s - float(seconds.sum()), 0.0) / texts
    work, marks = plan.steps * plan.rollouts, _scored(vars(plan))
    return Expected(
        work * float(one.quantile(_QUICK)) + marks * between * _LESS,
        work * float(one.quantile(_SLOW)) + marks * between * _MORE,
        run.meta.name,
        len(seconds),
        int(told["rollouts"]),
        took_s,
    )


def _seconds(started: str, ended: str) -> float | None:
    try:
        return (datetime.fromisoformat(ended) - datetime.fromisoformat(started)).total_seconds()
    except (TypeError, ValueError):
        return None


def _scored(config: dict) -> int:
    """Texts that are scored or graded at all milestones together, held-out problems twice: greedily
    and sampled. 0 where the settings do not say.
    """
    names = ("steps", "probe_every", "probes", "final_probes", "held_out")
    if any(not isinstance(config.get(name), int) for name in names) or not config["probe_every"]:
        return 0
    steps, every, *numbers = (int(config[name]) for name in names)
    probes, final, held_out = numbers
    return (steps // every + 1) * (probes + final + 2 * held_out)
