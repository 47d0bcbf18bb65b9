"""The door from the page Compare to the rankings of two sides: by a rule, or by the Rock Score of
two steps.

Raises RockError where rockcore does.
"""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app import words
from app.data import rocks, runs
from app.data.runs import RunKey
from rockcore.analysis import compare
from rockcore.analysis.compare import TOP, Overlap, Ranking, Sides

__all__ = ["TOP", "Overlap", "Ranking", "Sides"]


def by_rule(a: RunKey, b: RunKey, rule: rocks.RockRule) -> Sides:
    """Both runs by a rule, in a moment or while the page says what is being done."""
    compare.check_estimators(runs.log(a).meta, runs.log(b).meta, rule.column)
    return Sides(*(Ranking.of_set(rocks.found(run, rule).report) for run in (a, b)))


@st.cache_data(max_entries=16, show_spinner=False)
def by_score(a: RunKey, step_a: int, b: RunKey, step_b: int, top: int) -> Sides:
    """Two steps by Rock Score over their fresh rollouts."""
    compare.check_estimators(runs.log(a).meta, runs.log(b).meta)
    return Sides(
        Ranking.of_step(runs.log(a), step_a, top), Ranking.of_step(runs.log(b), step_b, top)
    )


def overlap(sides: Sides) -> Overlap:
    """Which token types are in which set."""
    return compare.overlap(sides.a.ids, sides.b.ids)


def table(sides: Sides) -> pd.DataFrame:
    """compare.rank_changes with `shown`, the token with visible whitespace; whole numbers as float,
    NaN where there are none.
    """
    frame = compare.rank_changes(*sides)
    whole = dict.fromkeys(("rank_a", "rank_b", "moved", "frequency_a", "frequency_b"), float)
    return frame.astype(whole).assign(shown=[words.visible(t) for t in frame.token])


def line(sides: Sides, ids: list[int], most: int = 40) -> str:
    """Tokens as one line of text, whitespace made visible."""
    token = (
        pd.concat([side.types for side in sides])
        .drop_duplicates("token_id")
        .set_index("token_id")
        .token
    )
    more = f"  … and {len(ids) - most:,} more" if len(ids) > most else ""
    return "  ".join(words.visible(str(token[i])) for i in ids[:most]) + more
