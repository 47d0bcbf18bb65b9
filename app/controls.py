"""Controls that several pages have, so that they look and answer alike."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app import selection
from rockcore.schema import Texts

_ABOUT = (
    "Probe texts were sampled once, by the first or the final student, and are scored again by "
    "the student of every logged step."
)


def source(options: Sequence[str]) -> str:
    """Whose texts, as a value of Texts: by default the last of those there are, and the same as
    long as the run is looked at, even when it logs more meanwhile.
    """
    first = selection.first_shown("source", options[-1])
    return selection.choose(
        "source",
        st.segmented_control,
        "Texts",
        options,
        first if first in options else options[-1],
        format_func=lambda value: Texts(value).label,
        required=True,
        help=_ABOUT,
    )
