"""Categories of tokens over the steps."""

from __future__ import annotations

import streamlit as st

from app import data
from app.views.steps import words
from app.views.steps.asked import Asked
from app.views.steps.surfaces import explain, fit, show_heatmap, show_table

COLUMNS = ["category", "tokens", "first", "cursor", "last", "change", "slope", "slope_steps"]


def show_categories(asked: Asked) -> None:
    found = data.steps.categories(asked.run, asked.source, asked.signal)
    title = f"Mean {asked.signal} by category and step"
    gone = "dotted: the category does not occur"
    surface = fit(found.surface, "category")
    show_heatmap(asked.chart(surface, title, "category", gone=gone), selectable=False)
    explain(found.surface, asked, "category")
    table = data.steps.category_table(found, asked.step)
    show_table(table, COLUMNS, asked, "Categories")
    st.caption(words.IN_ONE_CATEGORY)
