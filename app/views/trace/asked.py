"""What a link asks of the text pane, as far as the text has it: of what it has not, the page says
so.
"""

from __future__ import annotations

from typing import NamedTuple

from app import data, links, selection
from app.components import token_pane


class Place(NamedTuple):
    """Of what is read: whose text, which, at which step."""

    source: str
    step: int
    rollout: int

    @property
    def text_name(self) -> str:
        """What a link calls the text: a fresh one is another at each step."""
        at = f"{self.source}.{self.rollout}"
        return at if data.texts.Texts(self.source).probe_set else f"{at}.{self.step}"


def pinned(name: str, length: int) -> list[int]:
    """The positions pinned in this text, if it has them."""
    of, _, listed = selection.text("pins", "").rpartition(":")
    asked = links.listed(listed) if of == name else []
    there = [int(i) for i in asked if links.is_count(i) and int(i) < length]
    gone = [i for i in asked if not (links.is_count(i) and int(i) < length)]
    there_is = f"0 to {length - 1:,}" if length else "none"
    selection.explain_gone("pins", "Pinned", links.span_of(gone) if gone else "", there_is)
    return list(dict.fromkeys(there))[: token_pane.MOST_PINS]


def search() -> tuple[str, int]:
    """The words searched for, and which of their places, from 1."""
    find = selection.text("find", "")[: token_pane.LONGEST_SEARCH]
    hit = selection.text("hit", "")
    return find, int(hit) if find and links.is_count(hit) else 0


def selected_span(length: int) -> list[int]:
    """The positions selected on the page Steps, if the text has them."""
    asked = selection.text("span", "")
    try:
        return list(data.steps.span_of(asked, length) or ())
    except data.steps.NoSpan:
        there_is = f"0 to {length - 1:,}" if length else "none"
        selection.explain_gone("span", "Positions", asked, there_is, "all")
        return []


def selected_types() -> list[int]:
    """The token types to mark, as far as the vocabulary has them."""
    asked = links.listed(selection.text("types", ""))
    size = data.runs.facts(selection.run()).meta.vocab_size
    known = [int(i) for i in asked if links.is_count(i) and int(i) < size]
    gone = [i for i in asked if not (links.is_count(i) and int(i) < size)]
    selection.explain_gone(
        "types",
        "Types",
        links.span_of(gone) if gone else "",
        f"0 to {size - 1:,}",
        links.span_of(known),
    )
    return known


def asked_look() -> tuple[str, str]:
    """What becomes of the tokens that are not lit, and the threshold of a colour, as asked for."""
    rest, cut = (selection.text(name, "") for name in ("rest", "cut"))
    if rest and rest not in token_pane.RESTS:
        selection.explain_gone("rest", "Other tokens", rest, ", ".join(token_pane.RESTS), "dim")
        rest = ""
    if cut and not token_pane.is_cut(cut):
        selection.explain_gone("cut", "Threshold", cut, "a signal and a number, as kl:0.5")
        cut = ""
    return rest or "dim", cut


def asked_state(
    place: Place, length: int, categories: list[str], classes: list[str]
) -> token_pane.State:
    """What the link asks of the pane, as far as it can be had."""
    rest, cut = asked_look()
    find, hit = search()
    return token_pane.State(
        rollout=place.rollout,
        step=place.step,
        token=selection.place("token_at", "Token", length),
        light=selection.chosen("light", "Categories", categories),
        classes=selection.chosen("light_class", "Classes", classes) if classes else [],
        only=selection.chosen("only", "Only", token_pane.ONLY),
        span=selected_span(length),
        types=selected_types(),
        rest=rest,
        cut=cut,
        pins=pinned(place.text_name, length),
        find=find,
        hit=hit,
    )
