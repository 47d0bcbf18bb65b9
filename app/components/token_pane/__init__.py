"""The text pane: one rollout as running text, each token coloured by a signal on the run's own
scale, with its values at hand.

The text is built once; another signal, step, threshold or toggle only changes which layer a token
is in. Text, values, paint and view are mounts of their own, so that a rerun sends again only the
part that changed, and never the script. Every string reaches the page through `textContent`, so a
log cannot bring markup with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.components.v2 import component

from app.components import colours, script, style
from app.components.colours import themed
from app.components.packing import Body, message
from app.components.token_pane.parts import TextPart, ValuesPart, paint_part
from rockcore.analysis.signals import SPOKEN

_HERE = Path(__file__).parent
_FILES = (
    "signals marks layers words legend card filters bar export pane".split()
)  # one script in this order
_COLOURS = {
    "here": colours.TEACHER,
    "student": themed(colours.STUDENT_BAR),
    "teacher": themed(colours.TEACHER_BAR),
}
_THEME = {  # on a page of Streamlit its own two colours; an export falls back
    "page": f"var(--st-background-color, {themed(colours.PAGE)})",
    "text": f"var(--st-text-color, {themed(colours.TEXT)})",
}
_component = component(
    "rock_token_pane",
    css=style(_HERE / "pane.css", _COLOURS, ".pane"),
    js=script("base", "unpacking", *(_HERE / f"{name}.js" for name in _FILES)),
)
_part = component("rock_token_part", js=script("message", _HERE / "part.js"))


@dataclass(frozen=True)
class State:
    """What of the pane a link keeps. `light`: categories; `span`: first and last of the selected
    positions, or empty; `types`: the selected token ids; `cut`: "signal:value", empty for the
    default; `rest`: dim, hide, underline; `pins`: positions whose cards are pinned; `find`: the
    words searched for; `hit`: which of their places, from 1, 0 for none.
    """

    rollout: int
    step: int
    token: int | None = None
    light: list[str] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    only: list[str] = field(default_factory=list)
    span: list[int] = field(default_factory=list)
    types: list[int] = field(default_factory=list)
    rest: str = "dim"
    cut: str = ""
    pins: list[int] = field(default_factory=list)
    find: str = ""
    hit: int = 0


RESTS = ("dim", "hide", "underline")
ONLY = ("above", "top1", "kept")
_CUT = re.compile(r"[a-z0-9_ ]+:-?\d+(\.\d+)?(e-?\d+)?")
MOST_PINS, LONGEST_SEARCH = 30, 200
NO_VERDICT: dict[str, Any] = {"tau": None, "names": [], "classes": b"", "marks": b"", "why": ""}


def is_cut(text: str) -> bool:
    """Whether `text` is a threshold as `State.cut` writes it."""
    return bool(_CUT.fullmatch(text))


@dataclass(frozen=True)
class View:
    """How a text is shown. `steps`: those that can be stepped through; `before` and `after`: the
    neighbouring rollouts; `mark`: what most of the run lies below, in nats of kl, a threshold where
    `verdict` has none; `verdict`: data.rocks.Verdict as a dict; `about`: what else can be said,
    folded away; `text_name`: what a link calls the text that is pinned; `rule`: what a hand has
    just changed of the rule, and can be taken back; `quiet`: a picture beside a control that says
    all else: no bar, no toggles, nothing told to Python; `knockouts`: data.knockouts.OfText as a
    dict; `palette`: a pair a class, where the classes are not those of a rule.
    """

    scale: dict[str, Any]  # traces.scale
    caption: str  # names run, step and estimator
    categories: list[str]  # that text["categories"] counts through
    state: State
    steps: list[int]
    verdict: dict[str, Any] = field(default_factory=NO_VERDICT.copy)
    mark: float | None = None
    before: int | None = None
    after: int | None = None
    file: str = "tokens"
    narrow: bool = False
    quiet: bool = False
    knockouts: dict[str, Any] | None = None
    palette: tuple[colours.Pair, ...] = ()
    about: str = ""
    text_name: str = ""
    rule: str = ""


def fills(
    scale: dict[str, Any], palette: tuple[colours.Pair, ...] = ()
) -> list[dict[str, str] | None]:
    """The fill of a token in each bin of a scale, with the ink on it, as CSS colours; None where
    the page shows. `palette`: as in View.
    """
    pairs = palette or (
        colours.CLASSES
        if scale["kind"] == "class"
        else colours.palette(len(scale["edges"]) + 1, signed=scale["kind"] == "diverging")
    )
    return [
        None if pair == colours.CLEAR else {"fill": themed(pair), "ink": themed(colours.ink(pair))}
        for pair in pairs
    ]


def show(
    key: str,
    text: TextPart,
    values: ValuesPart,
    view: View,
    on_move: Callable[[], None] | None = None,
    on_ask: Callable[[], None] | None = None,
) -> Callable[[View], None]:
    """Draw `text` with `values` (data.texts.text and .values of one rollout) as `view` says.

    Returns what shows them, in this run, in another view: one that has taken a while to work out.

    In the run that `on_move` begins, the session state holds under [key]["moved"] the fields of
    `State` as a dict: a trigger, not a state, for the reason given in app.loss_histogram. Give them
    back in `view.state` in the next run. In the run that `on_ask` begins, [key]["asked"] is what a
    button asks for: {"what": "type", "token": id} the page of a type, {"what": "tau", "tau": nats}
    the threshold as the rule's, {"what": "undo"} the rule as it was.
    """
    _component(
        key=key,
        data={"pane": key, "quiet": view.quiet},
        on_moved_change=on_move or (lambda: None),
        on_asked_change=on_ask or (lambda: None),
    )

    def send(part: str, body: Body, mount: str) -> None:
        _part(key=f"{key} {mount}", data=message(body, pane=key, part=part))

    with st.container(gap=None):  # what shows nothing takes no room
        send("text", text.body, "text")
        send("values", values.body, "values")
        # mounts arrive in any order: of two views only the last may be on the page
        slot = st.empty()

    def draw(view: View, name: str = "later view") -> None:
        verdict = {**view.verdict}
        classes, marks = verdict.pop("classes"), verdict.pop("marks")
        paint = paint_part(values, view.scale["name"], classes, marks)
        with slot.container(gap=None):
            send("paint", paint, f"{name} paint")
            _part(
                key=f"{key} {name}",
                data=vars(view)
                | {
                    "verdict": verdict,
                    "state": vars(view.state),
                    "palette": fills(view.scale, view.palette),
                    "colours": _THEME,
                    "spoken": SPOKEN,
                    "key": text.key,
                    "paint": paint.stamp,
                    "pane": key,
                    "part": "view",
                },
            )

    draw(view, "view")
    return draw
