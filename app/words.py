"""Words that several pages say alike: tokens, durations, moments, accuracies and what changed them,
text that Markdown leaves alone.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from rockcore.spelling import file_name, loss_name, percent, printable, visible

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "accuracy_line",
    "delta",
    "duration",
    "file_name",
    "literal",
    "loss_name",
    "moment",
    "percent",
    "points",
    "printable",
    "visible",
]


def literal(text: str) -> str:
    """Text for a Markdown label that shows it as it is."""
    return "".join(
        "\\" + c if c in "\\`*_{}[]()<>#+-.!|~$:^&" else c for c in " ".join(text.split())
    )


def duration(seconds: float) -> str:
    """12 s, 5 min, 3 h, 8 days."""
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def moment(iso: str) -> str:
    """An ISO 8601 time as "2026-11-26 10:15 UTC"; empty for what is none."""
    try:
        at = datetime.fromisoformat(iso)
    except (TypeError, ValueError):
        return ""
    return (
        f"{at.astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC" if at.tzinfo else f"{at:%Y-%m-%d %H:%M}"
    )


def accuracy_line(evals: pd.DataFrame, decoding: str) -> str:
    """First and last held-out accuracy of one decoding, each with its interval and "n of N"."""
    rows = evals[evals.decoding == decoding]
    if rows.empty:
        return "not measured"
    ends = [rows.iloc[0]] if len(rows) == 1 else [rows.iloc[0], rows.iloc[-1]]
    return " → ".join(
        f"{r.correct} of {r.n} ({100 * r.accuracy:.0f} %, {100 * r.low:.0f}–{100 * r.high:.0f} %) "
        f"at step {r.step}"
        for r in ends
    )


def points(share: float) -> str:
    """A difference of accuracies in points, hundredths of the answers: −2.6."""
    return f"{100 * share:+.1f}".replace("-", "−")


def delta(share: float, low: float, high: float) -> str:
    """What a knockout did to the accuracy, with its 95 % interval."""
    return f"Δ {points(share)} points (95 % {points(low)} to {points(high)})"
