"""What was measured of not training on a token type: comparisons of arms whose set holds it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd

from rockcore.log import Run
from rockcore.log.comparisons import Comparison

MEASURES = {
    "greedy": "greedy accuracy",
    "sampled": "sampled accuracy",
    "text_kl": "mean KL of the fixed texts",
}
FILTERING = ("rock-freeze", "soft")  # arms that weigh down the types of a set, and no others


class NotTrained(NamedTuple):
    """A comparison in which arms left this type out, or weighed it down, along with the others of
    a set.
    """

    comparison: str  # its name
    student: str
    teacher: str
    types: int  # in its set
    seeds: int
    rows: pd.DataFrame  # arm, measure, difference, low, high, p_holm, seeds, problems
    same_models: bool  # whether its models are called as those of the run

    @property
    def sentences(self) -> list[str]:
        """A line a measured difference."""
        return [_told(row) for row in self.rows.itertuples()]


def not_trained(run: Run, token_id: int, found: Mapping[str, Comparison]) -> list[NotTrained]:
    """Of the comparisons by name: those whose set holds this very type, with what their filtering
    arms did against the baseline. An id says nothing by itself, so its text has to be the same too.
    """
    tokens = run.vocab.set_index("token_id").token
    text = tokens.get(token_id)
    told = []
    for name, one in found.items():
        about = one.about
        named = dict(zip(about["rock_ids"], about["rock_tokens"], strict=False))
        tests = one.tables["tests"]
        rows = tests.loc[tests.arm.isin(FILTERING)]
        if text is None or named.get(token_id) != text or rows.empty:
            continue
        same = (about["student"], about["teacher"]) == (run.meta.student, run.meta.teacher)
        told.append(
            NotTrained(
                name,
                about["student"],
                about["teacher"],
                len(named),
                int(rows.seeds.max()),
                rows.reset_index(drop=True),
                same,
            )
        )
    return told


def _told(row: Any) -> str:
    known = row.low == row.low
    unit, factor, digits = ("nats", 1, 4) if row.measure == "text_kl" else ("points", 100, 1)
    value, low, high = (
        f"{factor * x:+.{digits}f}".replace("-", "−") for x in (row.difference, row.low, row.high)
    )
    interval = f"95 % {low} to {high}" if known else "one seed: no interval"
    none = known and row.low <= 0 <= row.high
    verdict = "; no difference can be told" if none else ""
    corrected = f", Holm p = {row.p_holm:.2g}" if row.p_holm == row.p_holm else ""
    return (
        f"{row.arm}, {MEASURES.get(row.measure, row.measure)}: {value} {unit} against the baseline "
        f"({interval}{corrected}, {row.seeds} seeds × {row.problems}){verdict}."
    )
