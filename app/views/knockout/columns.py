"""How the tables of this page are headed, formatted and explained. Δ stands in points there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from app.views.knockout import words as sentences

if TYPE_CHECKING:
    import pandas as pd

_SHARES = ("delta", "low", "high", "stderr", "sham_delta")
UNKNOWN = "–"  # in a cell: a window has no sham, a predictor may not be known
ORDER = """name verdict kind delta low high changed needed p q_bh p_max sham_delta stderr
banned""".split()


def table(rows: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """The candidates as they are shown; the same rows in the same order."""
    in_points = {name: [100 * v for v in rows[name]] for name in _SHARES}
    return rows.assign(
        name=names,
        kind=[sentences.KINDS[k] for k in rows.kind],
        banned=[" ".join(map(str, ids)) for ids in rows.ids],
        **in_points,
    ).loc[:, ORDER]


def _number(heading: str, format: str, about: str | None = None) -> Any:
    return st.column_config.NumberColumn(heading, format=format, help=about)


def config() -> dict[str, Any]:
    text = st.column_config.TextColumn
    return {
        "name": text("candidate", help="␣ space, ⏎ line break"),
        "verdict": text("verdict"),
        "kind": text("kind", help=sentences.KINDS_HELP),
        "delta": _number("Δ", "%+.2f", "Points of accuracy: without the token minus with it."),
        "low": _number("95 % from", "%+.2f"),
        "high": _number("to", "%+.2f", "Problems are resampled, the same in all candidates."),
        "changed": _number("changed", "percent", "Share of the rollouts that hold a banned token."),
        "needed": st.column_config.CheckboxColumn(
            "needed", help="The answer itself is written with it: without it none can be right."
        ),
        "p": _number("p", "%.3g", "Raw, of this candidate alone."),
        "q_bh": _number("q (BH)", "%.3g", "Benjamini–Hochberg over all candidates."),
        "p_max": _number("p (max-T)", "%.3g", "Against the largest of all candidates by chance."),
        "sham_delta": _number(
            "sham Δ", "%+.2f", "Points: the same places drawn again with fresh noise and no ban."
        ),
        "stderr": _number("stderr", "%.2f", "Of Δ, points."),
        "banned": text("banned ids"),
    }


def census(found: pd.DataFrame) -> list[dict[str, Any]]:
    """A row a verdict, a column a way of deciding: narrow enough for a narrow screen."""
    heads = {verdict: about.short for verdict, about in sentences.VERDICTS.items()}
    heads["pillars_needed"] = "needed Pillars"
    return [
        {"tokens": head} | {_way(how): n for how, n in zip(found.how, found[name], strict=True)}
        for name, head in heads.items()
    ]


def _way(how: str) -> str:
    """The beginning of what says how."""
    return how.split(":")[0].split(",")[0].replace("Benjamini–Hochberg", "BH")


def ways(found: pd.DataFrame) -> dict[str, Any]:
    return {
        "tokens": st.column_config.TextColumn("tokens", help="That were candidates, each once."),
        **{
            _way(how): _number(
                f"{_way(how)} ✓" if decides else _way(how),
                "%d",
                f"{how}{', which decides here' if decides else ''}",
            )
            for how, decides in zip(found.how, found.decides, strict=True)
        },
    }


def correlations() -> dict[str, Any]:
    return {
        "label": st.column_config.TextColumn("predictor"),
        "r": _number("r", "%+.2f", "Pearson, Δ against the predictor."),
        "low": _number("95 % from", "%+.2f"),
        "high": _number("to", "%+.2f"),
        "p": _number("p", "%.3g"),
        "n": _number("candidates", "%d"),
        "bound": _number(
            "|r| at most",
            "%.2f",
            "The root of the reliability of Δ: what noise leaves of a perfect correlation.",
        ),
    }
