"""What a screen says, as JSON and CSV take it."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from rockcore import spelling
from rockcore.analysis.knockouts import Knockouts


def as_dict(found: Knockouts, top: int | None = None) -> dict[str, Any]:
    """As JSON takes it: NaN is null, accuracies are shares; at most `top` rows of candidates."""
    return {
        "run": str(found.screen.run.path),
        "settings": found.settings,
        "accuracy": found.accuracy._asdict(),
        "candidates": _records(found.candidates.head(top or len(found.candidates))),
        "tokens": _records(found.by_token),
        "census": _records(found.census),
        "correlations": _records(found.correlations),
        "shams": _records(found.shams),
        "placebo": None if found.placebo is None else found.placebo._asdict(),
        "signs": {name: test._asdict() for name, test in found.signs._asdict().items()},
        "power": found.power._asdict(),
        "notes": list(found.notes),
    }


def as_csv(found: Knockouts, top: int | None = None) -> str:
    """The candidates; texts as JSON strings, which keep every character."""
    rows = found.candidates.head(top or len(found.candidates))
    ids = [" ".join(map(str, i)) for i in rows.ids]
    return spelling.as_csv(rows.assign(ids=ids), quoted=["token", "replaced"])


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    rows: Any = frame.to_dict("records")
    return [{name: _plain(value) for name, value in row.items()} for row in rows]


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value
