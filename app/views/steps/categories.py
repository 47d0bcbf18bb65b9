"""Categories of tokens over the steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from app import data
from app.views.steps import words
from app.views.steps.asked import Asked
from app.views.steps.surfaces import (
    choose_shade,
    explain,
    explain_change,
    fit,
    show_heatmap,
    show_table,
)

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

COLUMNS = ["category", "tokens", "first", "cursor", "last", "change", "factor", "low", "high"]
COLUMNS += ["slope", "slope_steps"]


def show_categories(asked: Asked, row: DeltaGenerator) -> None:
    as_ratio = choose_shade(asked, row)
    found = data.steps.categories(asked.run, asked.source, asked.signal)
    title = f"Mean {asked.spoken} by category and step"
    gone = "dotted: the category does not occur"
    surface = fit(found.surface, "category")
    chart = asked.chart(surface, title, "category", as_ratio, gone=gone)
    show_heatmap(chart, selectable=False)
    every = data.steps.types(asked.run, asked.source, asked.signal).frame
    changed = data.steps.changes(asked.run, asked.source, asked.signal, every, "category")
    explain_change(changed, asked, "category")
    explain(found.surface, asked, "category", as_ratio)
    table = data.steps.category_table(found, asked.step)
    table = data.steps.with_factors(table, "category", changed.frame)
    show_table(table, COLUMNS, asked, "Categories")
    st.caption(words.IN_ONE_CATEGORY)
