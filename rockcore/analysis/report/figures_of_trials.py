"""The figures of the report on experiments: knockouts, and arms of one training."""

from __future__ import annotations

from typing import Any

import pandas as pd

from rockcore.analysis.knockouts import Knockouts
from rockcore.analysis.report.drawing import as_percents, draw, forest
from rockcore.analysis.report.made import Figure
from rockcore.colours import ARMS, NEUTRAL, STUDENT, VERDICTS
from rockcore.log.comparisons import Comparison
from rockcore.spelling import visible

_ROWS = 30
_MARKERS = dict(zip(VERDICTS, "<>Do", strict=True))  # as on the page Knockout


def farthest(found: Knockouts, most: int = _ROWS) -> pd.DataFrame:
    """The types whose knockout moved the accuracy most, by Δ."""
    rows = found.by_token
    first = rows.delta.abs().sort_values(ascending=False, kind="stable").index[:most]
    return rows.loc[rows.index.isin(first)].sort_values("delta", kind="stable")


def deltas(found: Knockouts, about: str) -> Figure:
    """Δ accuracy of the types whose knockout moved it most, by verdict."""
    rows = farthest(found)
    names = [visible(t) for t in rows.token]

    def paint(axes: Any) -> None:
        forest(
            axes, names, rows.delta.tolist(), list(zip(rows.low, rows.high, strict=True)),
            [VERDICTS[v] for v in rows.verdict], [_MARKERS[v] for v in rows.verdict],
        )  # fmt: skip
        for verdict in dict.fromkeys(rows.verdict):
            axes.plot([], [], _MARKERS[verdict], color=VERDICTS[verdict], label=verdict)
        for end in (-found.levels.epsilon, found.levels.epsilon):
            axes.axvline(end, color=NEUTRAL, linewidth=1, linestyle=":")
        as_percents(axes.xaxis, signed=True, unit="")
        axes.set_title("Accuracy without the token, less the baseline's; dotted: ±ε")
        axes.set_xlabel("Δ accuracy (points), 95 %")

    alt = f"Change in accuracy of {len(rows)} of {len(found.by_token)} token types knocked out"
    return draw("knockout", alt, about, paint, height=1.6 + 0.2 * len(rows))


def arm_differences(found: Comparison, measure: str, about: str) -> Figure:
    """What each arm's last milestone is beside the baseline's."""
    rows = found.tests.loc[found.tests.measure == measure]

    def paint(axes: Any) -> None:
        ends = list(zip(rows.low, rows.high, strict=True))
        colours = [ARMS.get(arm, STUDENT) for arm in rows.arm]
        forest(axes, rows.arm.tolist(), rows.difference.tolist(), ends, colours)
        as_percents(axes.xaxis, signed=True, unit="")
        axes.set_title(f"Held-out accuracy ({measure}), less the baseline's")
        axes.set_xlabel("difference at the last milestone (points), 95 %")

    alt = f"Difference in {measure} accuracy of {len(rows)} arms to the baseline"
    return draw("arms", alt, about, paint, height=1.5 + 0.35 * len(rows))


def arm_course(frame: pd.DataFrame, arms: tuple[str, ...], decoding: str, about: str) -> Figure:
    """Held-out accuracy of each arm over the training."""
    dashes = ("-", "--", "-.", ":")

    def paint(axes: Any) -> None:
        for i, arm in enumerate(arms):
            rows = frame.loc[frame.arm == arm]
            if rows.empty:
                continue
            colour = ARMS.get(arm, STUDENT)
            axes.fill_between(rows.step, rows.low, rows.high, color=colour, alpha=0.12, linewidth=0)
            axes.plot(
                rows.step, rows.accuracy, dashes[i % 4], color=colour, marker="o", markersize=3,
                label=arm,
            )  # fmt: skip
        as_percents(axes.yaxis)
        axes.set_title(f"Held-out accuracy ({decoding}) of each arm, 95 %")
        axes.set_xlabel("step (updates)")
        axes.set_ylabel("share right")

    alt = f"Held-out accuracy of {len(arms)} arms over the training"
    return draw("arms-course", alt, about, paint)
