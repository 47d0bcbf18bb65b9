"""What is being looked at, kept in the URL: a copied link shows the same thing. Alone touches
session and query state.

Streamlit's own `bind="query-params"` is not used: it writes a widget's *label* into the URL, drops
a value equal to the default (the default step moves while a run trains), and forgets a page's
values on the next page. Here the URL holds plain values, always all that are shown; what a person
picked is remembered across pages and runs.

What is asked for and cannot be had is never replaced without a word: the place of its control says
what is missing, what there is and what is shown instead. That holds for every value of a link. Of
what a person picked earlier, on another page or run, it holds for the things that are looked at
(`THINGS`); a view or a filter that a page does not have falls back in silence.

`hide=step,rollout` in a link leaves these controls out: they keep their values, so that a link can
be a lesson. A control has the name that it has in the link, or that of its field in a rule.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

import streamlit as st

from app.data.runs import RunKey
from app.echoes import Echoes
from app.links import is_count, joined, listed, span_of, today
from app.undo import History

T = TypeVar("T")

# What can be looked at; the names of all else in a link are views, filters and rules.
THINGS = ("run", "run_b", "source", "source_b", "step", "step_a", "step_b", "rollout", "rollout_b",
          "signal", "token", "token_at")  # fmt: skip
_PICKED = "picked"  # name -> text: what the person, or the link, asked for
_LINKED = "linked"  # name -> text: the part of it that a link asked for
_SHOWN = "shown"  # name -> text: what this script run shows
_PUBLISHED = "published"  # name -> text: what this session last wrote into the URL
_DRAWN = "drawn"  # page -> the names that it showed last, those left out of the URL included
_TOUCHED = "touched"  # whether this script run was asked for by a control
_COMPLAINT = "complaint"  # why the last change was not taken
_EXPLAINED = "explained"  # the names of which this script run has said that they cannot be had
_CONTROLS = "controls"  # the names of the controls that this script run had, hidden or not
_HIDING = "hiding"  # the page to which a link with a list of hidden controls led
_HISTORY = "history"  # what stood there earlier: for undo
_MOVING = "moving"  # (what a hand drags, whether that names one gesture), while a callback runs
_ECHOES = "echoes"  # what a browser may still send though it was changed
_HANDLES = "handles"  # the keys of what a hand has dragged
_SETTLED = "settled"  # (run, name) -> the default first shown there
_RUN = "open run"
_LAST_RUN = "last open run"
_BARE = "came bare"  # whether this session began with an address that asked for nothing
_PAGE = "page"
_TURN = "turn to"  # the page that a callback asks for


def begin(page: str) -> None:
    """Adopt what the URL says where this session did not write it: a fresh link, the Back button,
    an edited address. What the page showed and such a URL does not name is at its default there.

    Not when a person has just moved a control: a second quick press arrives with the URL from
    before the first. And an empty one on the way to another page is a click on its name.
    """
    state = st.session_state
    published, picked = state.get(_PUBLISHED, {}), state.get(_PICKED, {})
    state.setdefault(_BARE, not st.query_params.to_dict())
    same = state.get(_PAGE, page) == page
    url = published if state.get(_TOUCHED, False) else st.query_params.to_dict()
    if url != published and (url or same):
        left_out = state.get(_DRAWN, {}).get(page, set()) - set(url)
        changed = {
            name: today(name, text) for name, text in url.items() if published.get(name) != text
        }
        picked = {n: text for n, text in picked.items() if n not in left_out} | changed
        state[_LINKED] = state.get(_LINKED, {}) | changed
        if "hide" in changed:
            state[_HIDING] = page
    state[_PICKED], state[_PAGE], state[_SHOWN] = picked, page, {}
    state[_EXPLAINED], state[_CONTROLS] = set(), set()
    state.setdefault(_LINKED, {})
    text("hide", "")  # both hold on every page
    flag("present")


def publish() -> None:
    """Write what is shown into the URL. Only at the end of a page or fragment: one cut short by
    st.rerun has not shown all yet.

    Always, even if the server has it so: on the way to a page the browser may already have sent
    the new page's name with the old page's URL, and then empties it.
    """
    state = st.session_state
    state[_TOUCHED], state[_EXPLAINED] = False, set()
    shown = {name: text for name, text in state[_SHOWN].items() if text}
    st.query_params.from_dict(shown)
    state[_PUBLISHED] = dict(shown)
    state.setdefault(_DRAWN, {})[state[_PAGE]] = set(state[_SHOWN])


def stop() -> NoReturn:
    """End the page here, with the URL up to date."""
    publish()
    st.stop()


def open_run(run: RunKey | None) -> None:
    st.session_state[_RUN] = run
    if run is not None:
        st.session_state[_LAST_RUN] = run


def last_opened() -> RunKey | None:
    """The run that was open last, which may have gone since."""
    return st.session_state.get(_LAST_RUN)


def run() -> RunKey:
    """The open run; a page that needs one is only shown when there is one."""
    return st.session_state[_RUN]


def opened() -> RunKey | None:
    """The open run, for a page that can do without."""
    return st.session_state.get(_RUN)


def _key(name: str) -> str:
    return f"widget {name}"


def _written(value: Any) -> str:
    return joined(value) if isinstance(value, (list, tuple)) else str(value)


def _pick(name: str, text: str) -> None:
    st.session_state[_TOUCHED] = True
    keep(name, text)


def _remember(name: str) -> None:
    _pick(name, _written(st.session_state[_key(name)]))


def _draw(
    name: str, widget: Callable[..., Any], label: str, value: Any, *args: Any, **settings: Any
) -> None:
    st.session_state[_SHOWN][name] = _written(value)
    if hidden(name):
        return
    st.session_state[_key(name)] = value
    widget(label, *args, key=_key(name), on_change=_remember, args=(name,), **settings)


def hidden(name: str) -> bool:
    """Whether a link asked to leave out the control of this name; who asks has such a control."""
    st.session_state[_CONTROLS].add(name)
    return name in listed(asked("hide"))


def all_hidden() -> list[str]:
    """The controls that are left out, as the link names them."""
    return listed(asked("hide"))


def explain_hidden() -> None:
    """At the end of the page to which a link led: which controls it hides that the page has not."""
    controls: set[str] = st.session_state[_CONTROLS]
    gone = [name for name in all_hidden() if name not in controls]
    if gone and st.session_state.get(_HIDING) == st.session_state[_PAGE]:
        found = [name for name in all_hidden() if name in controls]
        there_is = ", ".join(sorted(controls)) or "none"
        explain_gone("hide", "Hidden controls", span_of(gone), there_is, span_of(found))


def _must_explain(name: str) -> bool:
    """Whether the page has to say that what was asked for under this name cannot be had."""
    picked = st.session_state[_PICKED].get(name, "")
    return bool(picked) and (name in THINGS or st.session_state[_LINKED].get(name) == picked)


def _explain_missing(name: str, label: str, missing: str, there_is: str, shown: str) -> None:
    """Once, on a page that asks twice: a text is drawn before and after its verdict is known."""
    explained: set[str] = st.session_state[_EXPLAINED]
    if name in explained:
        return
    explained.add(name)
    asks = "the link asks for" if name in st.session_state[_LINKED] else "picked before was"
    wanted = missing if len(missing) <= 60 else f"{missing[:59]}…"
    st.text(f"{label}: {asks} {wanted}, which is not here. There is {there_is}. Shown: {shown}.")


def choose(
    name: str,
    widget: Callable[..., Any],
    label: str,
    options: Sequence[T],
    default: T,
    **settings: Any,
) -> T:
    """Draw `widget` to choose one of `options`; the URL carries str(option), whatever `format_func`
    shows.
    """
    picked = st.session_state[_PICKED].get(name)
    value = next((o for o in options if str(o) == picked), default)
    if len(options) > 1 or widget is not st.select_slider:  # a slider needs two ends
        _draw(name, widget, label, value, options, **settings)
    else:
        st.session_state[_SHOWN][name] = str(value)
        if not hidden(name):
            st.caption(f"{label}: {value}, the only one logged")
    if picked != str(value) and _must_explain(name):
        _explain_missing(name, label, str(picked), span_of(options), str(value))
    return value


def choose_if_there(
    name: str, widget: Callable[..., Any], label: str, options: Sequence[str], value: str
) -> str | None:
    """Draw `widget` to choose one of `options` that shows `value`, or nothing where it is none of
    them: then the URL keeps saying what was asked for.
    """
    if value in options:
        _draw(name, widget, label, value, options)
        return value
    st.session_state[_SHOWN][name] = value
    st.session_state.pop(_key(name), None)
    if hidden(name):
        return None
    about = {"key": _key(name), "on_change": _remember, "args": (name,)}
    widget(label, options, index=None, placeholder="Choose one", **about)
    return None


def choose_some(
    name: str, widget: Callable[..., Any], label: str, options: Sequence[str], **settings: Any
) -> list[str]:
    """Draw `widget` to choose any of `options`, none at first."""
    picked = listed(st.session_state[_PICKED].get(name, ""))
    value = [o for o in options if o in picked]
    _draw(name, widget, label, value, options, **settings)
    _explain_strangers(name, label, picked, options, value)
    return value


def chosen(name: str, label: str, options: Sequence[str]) -> list[str]:
    """The values of a list that no single control holds, in the order of the link."""
    picked = list(dict.fromkeys(listed(st.session_state[_PICKED].get(name, ""))))
    value = [v for v in picked if v in options]
    st.session_state[_SHOWN][name] = joined(value)
    _explain_strangers(name, label, picked, options, value)
    return value


def _explain_strangers(
    name: str, label: str, picked: list[str], options: Sequence[str], value: list[str]
) -> None:
    strangers = [v for v in picked if v not in options]
    if strangers and _must_explain(name):
        _explain_missing(name, label, span_of(strangers), span_of(options), span_of(value))


def count(name: str, label: str, low: int, high: int, default: int, **settings: Any) -> int:
    """Draw a number input for a whole number from `low` to `high`."""
    picked = st.session_state[_PICKED].get(name, "")
    value = min(max(int(picked) if is_count(picked) else default, low), high)
    _draw(name, st.number_input, label, value, min_value=low, max_value=high, **settings)
    if picked != str(value) and _must_explain(name):
        _explain_missing(name, label, picked, f"{low:,} to {high:,}", str(value))
    return value


def place(name: str, label: str, length: int) -> int | None:
    """A place from 0 that a link may name among `length`, and no single control holds."""
    picked = text(name, "")
    if not picked:
        return None
    if is_count(picked) and int(picked) < length:
        return int(picked)
    if _must_explain(name):
        there_is = f"0 to {length - 1:,}" if length else "none"
        _explain_missing(name, label, picked, there_is, "none")
    return None


def words(name: str, label: str, **settings: Any) -> str:
    """Draw a text input."""
    value = st.session_state[_PICKED].get(name, "")
    _draw(name, st.text_input, label, value, **settings)
    return value


def explain_gone(name: str, label: str, missing: str, there_is: str, shown: str = "none") -> None:
    """Say what a value asks for and cannot have that no single control holds, if it has to be
    said.
    """
    if missing and _must_explain(name):
        _explain_missing(name, label, missing, there_is, shown)


def asked(name: str) -> str:
    """What the person, or the link, asked for, whether or not it can be had."""
    return st.session_state[_PICKED].get(name, "")


def came_bare() -> bool:
    """Whether the address that this session began with asked for nothing."""
    return st.session_state.get(_BARE, False)


def remembered(name: str, first: T) -> T:
    """What this session keeps beside the link, such as a set that grows; `first` to begin with."""
    return st.session_state.setdefault(f"remembered {name}", first)


def everything_asked() -> dict[str, str]:
    """All that the person, or the link, asked for, by name."""
    return dict(st.session_state[_PICKED])


def link(view: str, label: str, **changes: str) -> None:
    """A link to another page that shows the same there but for `changes`, in a tab of its own
    too.
    """
    asked = {
        name: text
        for name, text in (st.session_state[_PICKED] | st.session_state[_SHOWN] | changes).items()
        if text
    }
    st.page_link(f"views/{view}/page.py", label=label, query_params=asked)


def view() -> tuple[str, dict[str, str]]:
    """The page, and the values in its address as they were when it was last whole."""
    return st.session_state[_PAGE], dict(st.session_state.get(_PUBLISHED, {}))


def link_back(view: str, label: str, values: Mapping[str, str], **options: Any) -> None:
    """A link to a page as an address describes it: what that leaves out is at its default."""
    given = {name: text for name, text in values.items() if text}
    st.page_link(f"views/{view}/page.py", label=label, query_params=given, **options)


def first_shown(name: str, default: str) -> str:
    """The default that this session saw first for the open run, and keeps: what is read does not
    change because the run has logged something else meanwhile.
    """
    settled = st.session_state.setdefault(_SETTLED, {})
    return settled.setdefault((_open_path(), name), default)


def _open_path() -> str:
    return open_now.path if (open_now := opened()) else ""


def is_new(name: str, value: Any) -> bool:
    """Whether a value that a widget keeps reporting, such as a picked row, has just become this
    one.
    """
    before = st.session_state.get(f"seen {name}")
    st.session_state[f"seen {name}"] = value
    return value is not None and value != before


def pick(name: str, text: str) -> None:
    """Pick a value from code, as if the person had."""
    _pick(name, text)


def keep(name: str, text: str) -> None:
    """Take what is shown as picked: it stays so when the default becomes another."""
    st.session_state[_PICKED][name] = text
    st.session_state[_LINKED].pop(name, None)


def text(name: str, default: str) -> str:
    """A value that no single control holds, such as a rule; the URL carries it unless it is the
    default.
    """
    value = st.session_state[_PICKED].get(name) or default
    st.session_state[_SHOWN][name] = "" if value == default else value
    return value


def put(name: str, value: str) -> None:
    """Change such a value from a control's callback; `undo` takes it back, and with it all that one
    drag of a hand has changed.
    """
    state = st.session_state
    before, (dragged, held) = state[_PICKED].get(name, ""), state.pop(_MOVING, (None, False))
    _history().add(name, before, dragged, time.monotonic(), held)
    _pick(name, value)


def previous(name: str) -> str | None:
    """What stood there before the last `put`; None if nothing did."""
    return _history().previous(name)


def undo(name: str) -> None:
    """Take the last `put` back."""
    _echoes().stir(time.monotonic())
    _pick(name, _history().take_back(name, asked(name)))


def can_redo(name: str) -> bool:
    """Whether the last change of this value was an `undo`."""
    return _history().can_redo(name)


def redo(name: str) -> None:
    """Put again what `undo` has taken back."""
    _echoes().stir(time.monotonic())
    _pick(name, _history().redo(name, asked(name)))


def _history() -> History:
    return st.session_state.setdefault(_HISTORY, History())


def _echoes() -> Echoes:
    return st.session_state.setdefault(_ECHOES, Echoes())


def control(
    name: str,
    widget: Callable[..., Any],
    label: str,
    value: Any,
    changed: Callable[[Any], None],
    *args: Any,
    **settings: Any,
) -> None:
    """Draw `widget` showing `value`, and call `changed` with the new one when a person moves it."""
    if hidden(name):
        return

    def answer() -> None:
        new = st.session_state[_key(name)]
        if _handle_moves() or _echoes().is_echo(name, new, time.monotonic()):
            return
        slides = widget in (st.slider, st.select_slider)
        st.session_state[_MOVING] = (name if slides else None), False
        changed(new)
        st.session_state.pop(_MOVING, None)

    _echoes().show(name, value, time.monotonic())
    st.session_state[_key(name)] = value
    widget(label, *args, key=_key(name), on_change=answer, **settings)


def _handle_moves() -> bool:
    """Whether this message of the browser tells of a handle: a hand moves one thing at a time, so
    whatever else seems moved in it is an echo, however late it comes.
    """
    handles = st.session_state.get(_HANDLES, ())
    return any((st.session_state.get(key) or {}).get("moved") for key in handles)


def moved(key: str) -> dict[str, float] | None:
    """Where the thresholds of a loss histogram stand after a hand has moved one, inside its
    callback. What one gesture moves is one step of `undo`.
    """
    told = st.session_state[key].get("moved")
    if told is None:
        return None
    _echoes().stir(time.monotonic())
    if "gesture" in told:
        st.session_state.setdefault(_HANDLES, set()).add(key)
    st.session_state[_MOVING] = f"{key} {told.get('gesture')}", True
    return {name: value for name, value in told.items() if name != "gesture"}


def told(key: str, what: str) -> dict[str, Any]:
    """What a component asks for by its trigger `what`, inside the callback of that."""
    return dict(st.session_state[key].get(what) or {})


def turn_to(view: str, **changes: str) -> None:
    """From a callback: the page that is being asked for gives way to another that shows the same
    but for `changes`, as `link` leads there; `turn` does it.
    """
    for name, value in changes.items():
        _pick(name, value)
    st.session_state[_TURN] = view


def turn() -> None:
    """Give way to the page that a callback turned to."""
    if view := st.session_state.pop(_TURN, None):
        st.switch_page(f"views/{view}/page.py", query_params=st.session_state[_PICKED])


def flag(name: str) -> bool:
    """Whether a switch that no choice depends on is on."""
    return text(name, "off") == "on"


def put_flag(name: str, on: bool) -> None:
    _pick(name, "on" if on else "off")


def presents() -> bool:
    """Whether the page is shown to a hall, in large letters; not outside of a page."""
    return st.session_state.get(_PICKED, {}).get("present") == "on"


def reset() -> None:
    """All that the page showed last to what it is at first, but the run and what holds on every
    page.
    """
    state = st.session_state
    for name in state.get(_DRAWN, {}).get(state.get(_PAGE), set()) - {"run", "hide", "present"}:
        for kept in (_PICKED, _LINKED):
            state[kept].pop(name, None)
        state.get(_SETTLED, {}).pop((_open_path(), name), None)
    state[_TOUCHED] = True


def complain(why: str) -> None:
    """Say on the next run why a change was not taken."""
    st.session_state[_COMPLAINT] = why


def complaint() -> str | None:
    return st.session_state.pop(_COMPLAINT, None)
