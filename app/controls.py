"""Controls that several pages have, so that they look and answer alike."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import streamlit as st

from app import cards, data, selection, tables, words
from rockcore.analysis.signals import SPOKEN
from rockcore.schema import Texts

if TYPE_CHECKING:
    import pandas as pd
    from streamlit.delta_generator import DeltaGenerator


def source(options: Sequence[str], **settings: Any) -> str:
    """Whose texts, as a value of Texts: by default the last of those there are, and the same as
    long as the run is looked at, even when it logs more meanwhile.
    """
    first = selection.first_shown("source", options[-1])
    return selection.choose(
        "source",
        st.selectbox,  # a row of buttons is cut on a small screen
        "Texts",
        options,
        first if first in options else options[-1],
        format_func=lambda value: Texts(value).label,
        help=cards.help_of("probe"),
        **settings,
    )


def figure(name: str, labels: Mapping[str, str]) -> str:
    """Which figure of a page is drawn, the first by itself. One at a time: a browser takes a tenth
    of a second for a chart, and what is not drawn is not worked out.
    """
    return selection.choose(
        name,
        st.segmented_control,
        "Figure",
        list(labels),
        next(iter(labels)),
        format_func=labels.get,
        required=True,
    )


_WIDTH, _MOST_LINES, _MOST_PX = 80, 10, 260  # letters a line; more lines are scrolled through


def show_words_first(
    run: data.runs.RunKey, signal: str, text: data.texts.TextPart
) -> DeltaGenerator:
    """The plain words of a text while a large log is measured for its colours, in a place that is
    emptied once it is coloured.
    """
    place = st.empty()
    if data.runs.is_large(run) and not data.texts.is_measured(run, signal):
        shown = words.printable(text.plain)
        place.code(shown, language=None, wrap_lines=True, height=height_of(shown))
    return place


def height_of(text: str) -> int | Literal["content"]:
    """How tall plain words stand: of many lines the first, to be scrolled through, and below a
    short text no empty box.
    """
    lines = sum(1 + len(line) // _WIDTH for line in text.splitlines())
    return _MOST_PX if lines > _MOST_LINES else "content"


def show_size(run: data.runs.RunKey) -> None:
    """Of a large log, on every page: how many tokens it has, before anything else is known."""
    if not data.runs.is_large(run):
        return
    said = [
        f"{data.runs.tokens(run, texts):,} tokens of {Texts(texts).phrase}, judged at "
        f"{len(steps)} step{'s' if len(steps) > 1 else ''}, {selection.span_of(steps)}"
        for texts in data.runs.logged_texts(run)
        for steps in [data.runs.steps(run, texts)]
    ]
    st.caption(
        f"A large log: {'; '.join(said)}. What needs all of them is worked out beside the page."
    )


def show_losses(facts: data.runs.Course) -> None:
    """What the numbers called kl are here, and those of sampled_loss where they stand in for it."""
    for loss in dict.fromkeys(("kl", facts.loss)):
        st.badge(words.literal(facts.measured(loss)), help=cards.help_of(loss))


def signal(
    run: data.runs.RunKey, label: str, names: Sequence[str], texts: Texts, **settings: Any
) -> str | None:
    """One of the signals that some text of the run has, by default one that these texts have; None
    where the run has none of them.
    """
    there = data.runs.offered_signals(run, names)
    if not there:
        return None
    first = data.runs.usual_signal(run, there, texts)
    spoken = {name: SPOKEN.get(name, name) for name in there}
    return selection.choose(
        "signal", st.selectbox, label, there, first, format_func=spoken.get, **settings
    )


MOST_LISTED = 1_000  # texts: a list of more takes megabytes to send, and nobody reads it


def rollout(
    run: data.runs.RunKey, texts: str, step: int, **settings: Any
) -> tuple[int | None, list[int]]:
    """One of the texts of a step, from a list that says of each what it is, or where there are too
    many for a list by its number; and all that there are. None where there is no text.
    """
    ids = data.runs.text_ids(run, texts, step)
    if len(ids) > MOST_LISTED:
        return numbered("rollout", "Rollout", ids, **settings), ids
    hints = data.runs.hints(run, texts, step)
    if not hints:
        return None, []
    ids = list(hints)
    box, options = st.selectbox, {"format_func": hints.get, **settings}
    return selection.choose("rollout", box, "Rollout", ids, ids[0], **options), ids


def numbered(
    name: str, label: str, ids: Sequence[int], first: int | None = None, **settings: Any
) -> int:
    """One of many texts by its number, or the next one where there is none of this number."""
    low, high = ids[0], ids[-1]
    settings.setdefault("help", f"There are {len(ids):,}, numbered from {low} to {high}.")
    asked = selection.count(name, label, low, high, low if first is None else first, **settings)
    return ids[bisect_left(ids, asked)]


def show_lacks(gone: Mapping[str, data.runs.NotLogged]) -> None:
    """What of a page this log does not have: which, why, and what would give it."""
    if not gone:
        return
    with st.expander(f"Not in this log: {', '.join(gone)}"):
        for (why, todo), names in data.runs.by_reason(gone).items():
            st.text(f"{', '.join(names)}: {why}. {todo}.")


def show_rock_line(run: data.runs.RunKey, side: str = "") -> None:
    """The share of the Rock Tokens by the rule of the link, in the one line that all pages say; or
    why there are none. `side`: which run it is of, on a page of two.
    """
    try:
        share = data.rocks.share(run, data.rocks.rule(selection.text("rule", "default")))
    except data.runs.RockError as e:
        said, about = f"No Rock Tokens can be found. {e}", None
    else:
        said, about = share.sentence, words.literal(share.about) or None
    whose = f"**{words.literal(side)}** · " if side else ""
    st.markdown(f":material/diamond: {whose}{words.literal(said)}", help=about)


def show_elsewhere(run: data.runs.RunKey, page: str, why: str = "") -> bool:
    """Of what a scan left: that the texts are in the log which was scanned, and the way to that
    page of it. False for a run, of which nothing is said. `why`: the page has its own words.
    """
    if not data.runs.holdings(run).elsewhere:
        return False
    st.subheader("The texts are in the log that was scanned")
    st.text(why or str(data.runs.holdings(run).lack("kl")))
    name = data.runs.scanned_name(run)
    if name is not None:
        selection.link(page, f"Open {words.literal(name)}", run=name)
    elif command := data.runs.opening(run):
        st.code(command, language="sh", wrap_lines=True)
    selection.link("rock_tokens", "See the Rock Tokens that the scan found")
    return True


def link_token(run: data.runs.RunKey, token_id: int, label: str = "") -> None:
    """A link to all that the run tells of a type; `label`: Markdown, by default its spelling."""
    shown = words.literal(data.token.shown(run, token_id))
    selection.link("token", label or f"**{shown}** · id {token_id}", token=str(token_id))


@st.fragment
def show_types(run: data.runs.RunKey, rows: pd.DataFrame, key: str, **options: Any) -> None:
    """A table of types, each with its token_id; above it the way to the one whose row is picked."""
    above = st.container(horizontal=True, vertical_alignment="center")
    event = tables.show(
        rows,
        hide_index=True,
        on_select="rerun",
        selection_mode=["single-row", "single-cell"],
        key=key,
        **options,
    )
    picked = tables.picked_row(event)
    with above:
        if picked is None or picked >= len(rows):
            st.caption("Pick a row to open its token.")
        else:
            link_token(run, int(rows.token_id.iloc[picked]))
