"""Controls that several pages have, so that they look and answer alike."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app import selection

TEXTS = {
    "fresh": "Fresh rollouts",
    "first": "Probe: first student",
    "final": "Probe: final student",
}
_ABOUT = "Probe texts were sampled once, by the first or the final student, and are scored again by the student of every logged step."


def source(options: Sequence[str]) -> str:
    """Which kind of texts, by default the last of those there are: "fresh", "first" or "final"."""
    return selection.choose(
        "source",
        st.segmented_control,
        "Texts",
        options,
        options[-1],
        format_func=TEXTS.get,
        required=True,
        help=_ABOUT,
    )
