"""The types in the set by name, what came in and went with the last change, and in which
contexts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import streamlit as st

from app import data, selection, words
from app.views.threshold_lab.presets import find_stored

MOST_NAMED = 40  # of the set
MOST_NEW = 3  # types whose contexts are shown
CONTEXTS = 3  # of each
WIDTH = 34  # characters on either side


class Earlier(NamedTuple):
    """The rule before the last change, and what it found."""

    rule: data.rocks.RockRule
    report: data.rocks.RockReport


def show_types(
    run: data.runs.RunKey,
    rule: data.rocks.RockRule,
    report: data.rocks.RockReport,
    before: Earlier | None,
) -> None:
    """The set by name; each type leads to its own page."""
    names = dict(zip(report.tokens.token_id, report.tokens.token, strict=True))
    old = set() if before is None else set(before.report.ids)
    came = [] if before is None else [i for i in report.ids if i not in old]
    if report.ids:
        more = len(report.ids) - MOST_NAMED
        show_links("In the set", report.ids[:MOST_NAMED], names, came)
        if more > 0:
            selection.link("rock_tokens", f"{more:,} more in the table", only="the set")
    if before is None:
        return
    went = [i for i in before.report.ids if i not in set(report.ids)]
    st.caption(words.literal(moved_line(rule, before.rule, len(came), len(went))))
    if went:
        known = before.report.tokens
        gone = dict(zip(known.token_id, known.token, strict=True))
        show_links("Out", went[:MOST_NAMED], gone, [], "remove")
    if came:
        show_contexts(run, rule, came[:MOST_NEW])


def show_links(
    label: str, ids: Sequence[int], names: dict[int, str], new: list[int], icon: str | None = None
) -> None:
    """Types in a row, those that are new with a plus."""
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        st.markdown(f"**{label}**", width="content")
        for i in ids:
            sign = "add" if i in new else icon
            shown = words.literal(words.visible(str(names.get(i, i))))
            mark = f":material/{sign}: " if sign else ""
            selection.link("token", f"{mark}{shown}", token=str(i))


def moved_line(
    rule: data.rocks.RockRule, earlier: data.rocks.RockRule, came: int, went: int
) -> str:
    """How many types came in and went, and since when."""
    stored = find_stored(earlier.name) == earlier
    since = f"the rule {earlier.name}" if stored else "the last change"
    fields = ", ".join(rule.changes_from(earlier)[:3])
    what = f" ({fields})" if fields else ""
    moved = f"{came} in (+), {went} out (−)" if came or went else "the same types"
    return f"Since {since}{what}: {moved}."


def show_contexts(run: data.runs.RunKey, rule: data.rocks.RockRule, ids: list[int]) -> None:
    """Where the types stand that just came in, the occurrences in the set first."""
    lines = [in_line(at) for i in ids for at in data.rocks.contexts(run, rule, i, CONTEXTS)]
    st.caption("In which contexts the new types stand: rollout, and what the rule says.")
    st.code("\n".join(lines), language=None)


def in_line(at: dict[str, Any]) -> str:
    """An occurrence with its context, the token under that of the line before."""
    left = at["left"].replace("\n", " ")[-WIDTH:].rjust(WIDTH)
    right = at["right"].replace("\n", " ")[:WIDTH].ljust(WIDTH)
    return f"{left} ▸{at['shown']}◂ {right}  rollout {at['rollout']}: {at['verdict']}"
