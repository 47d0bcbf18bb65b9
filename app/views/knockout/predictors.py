"""Could one have known without knocking out? Δ against what a log already tells of a token."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import data, selection, tables
from app.views.knockout import charts, columns
from app.views.knockout import words as sentences
from app.views.knockout.asked import Asked, names_of

SHOWN = 3
ACROSS = 3


def show_predictors(asked: Asked) -> None:
    found = asked.found
    rows: dict[str, Any] = dict(
        zip(found.correlations.predictor, found.correlations.itertuples(), strict=True)
    )
    chosen = choose_predictors(list(rows))
    for i in range(0, len(chosen), ACROSS):
        for place, name in zip(st.columns(ACROSS), chosen[i : i + ACROSS], strict=False):
            with place:
                show_predictor(asked, name, rows[name])
    st.text(sentences.bound(found))
    tables.show(
        found.correlations,
        hide_index=True,
        column_order=["label", "r", "low", "high", "p", "n", "bound"],
        column_config=columns.correlations(),
        placeholder=columns.UNKNOWN,
        alt="Correlation of the change of accuracy with each predictor",
    )


def choose_predictors(known: list[str]) -> list[str]:
    """The first of those that are logged, or the ones that were picked."""
    chosen = selection.choose_some(
        "predictors",
        st.pills,
        f"Predictors (none picked: the first {SHOWN})",
        known,
        selection_mode="multi",
        format_func=lambda name: data.knockouts.PREDICTORS[name].split(",")[0],
    )
    return chosen or known[:SHOWN]


def show_predictor(asked: Asked, name: str, row: Any) -> None:
    axis = data.knockouts.PREDICTORS[name]
    rows = data.knockouts.alone(asked.key)
    figure = charts.predictor(rows, names_of(rows), name, axis, sentences.correlation(row))
    st.plotly_chart(figure, key=f"predictor {name}", alt=f"Change of accuracy against {axis}")
