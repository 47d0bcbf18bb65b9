"""What is being looked at, kept in the URL: a copied link shows the same thing. Alone touches
session and query state.

Streamlit's own `bind="query-params"` is not used: it writes a widget's *label* into the URL, drops
a value equal to the default (the default step moves while a run trains), and forgets a page's
values on the next page. Here the URL holds plain values, always all that are shown; what a person
picked is remembered across pages and runs, and a value that does not exist where it is asked for
falls back to the default of that place.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

import streamlit as st

from app.data.runs import RunKey

T = TypeVar("T")

_PICKED = "picked"  # name -> text: what the person, or the link, asked for
_SHOWN = "shown"  # name -> text: what this script run shows
_PUBLISHED = "published"  # name -> text: what this session last wrote into the URL
_TOUCHED = "touched"  # whether this script run was asked for by a control
_COMPLAINT = "complaint"  # why the last change was not taken
_BEFORE = "before"  # name -> what stood there earlier, the latest last: for undo
_RUN = "open run"
_PAGE = "page"  # the one whose URL the browser has for certain
_MOST_UNDONE = 100
_ARRIVAL_S = 0.2


def begin() -> None:
    """Adopt what the URL says where this session did not write it: a fresh link, the Back button,
    an edited address.

    Not when a person has just moved a control: a second quick press arrives with the URL from
    before the first.
    """
    published = st.session_state.get(_PUBLISHED, {})
    url = {} if st.session_state.get(_TOUCHED, False) else st.query_params.to_dict()
    changed = {name: text for name, text in url.items() if published.get(name) != text}
    st.session_state[_PICKED] = st.session_state.get(_PICKED, {}) | changed
    st.session_state[_SHOWN] = {}


def publish() -> None:
    """Write what is shown into the URL. Only at the end of a page or fragment: one cut short by
    st.rerun has not shown all yet.
    """
    st.session_state[_TOUCHED] = False
    shown = {name: text for name, text in st.session_state[_SHOWN].items() if text}
    if st.query_params.to_dict() != shown:
        st.query_params.from_dict(shown)
    st.session_state[_PUBLISHED] = dict(shown)


def arrive(page: str) -> None:
    """After publish: on another page than before, write the URL a second time, as it has been seen
    to stay bare under load.

    The browser empties it on its way to a page, at a moment of its own, and takes no notice of a
    URL that it has already.
    """
    if st.session_state.get(_PAGE, page) != page:
        time.sleep(_ARRIVAL_S)
        st.query_params.from_dict(st.session_state[_PUBLISHED])
    st.session_state[_PAGE] = page


def stop() -> NoReturn:
    """End the page here, with the URL up to date."""
    publish()
    st.stop()


def open_run(run: RunKey | None) -> None:
    st.session_state[_RUN] = run


def run() -> RunKey:
    """The open run; a page that needs one is only shown when there is one."""
    return st.session_state[_RUN]


def opened() -> RunKey | None:
    """The open run, for a page that can do without."""
    return st.session_state[_RUN]


def _key(name: str) -> str:
    return f"widget {name}"


def _remember(name: str) -> None:
    st.session_state[_TOUCHED] = True
    value = st.session_state[_key(name)]
    st.session_state[_PICKED][name] = (
        ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    )


def _draw(
    name: str, widget: Callable[..., Any], label: str, value: Any, *args: Any, **look: Any
) -> None:
    st.session_state[_key(name)] = value
    st.session_state[_SHOWN][name] = (
        ",".join(map(str, value)) if isinstance(value, list) else str(value)
    )
    widget(label, *args, key=_key(name), on_change=_remember, args=(name,), **look)


def choose(
    name: str, widget: Callable[..., Any], label: str, options: Sequence[T], default: T, **look: Any
) -> T:
    """Draw `widget` to choose one of `options`; the URL carries str(option), whatever `format_func`
    shows.
    """
    picked = st.session_state[_PICKED].get(name)
    value = next((o for o in options if str(o) == picked), default)
    if len(options) > 1 or widget is not st.select_slider:  # a slider needs two ends
        _draw(name, widget, label, value, options, **look)
    else:
        st.session_state[_SHOWN][name] = str(value)
        st.caption(f"{label}: {value}, the only one logged")
    return value


def choose_some(
    name: str, widget: Callable[..., Any], label: str, options: Sequence[str], **look: Any
) -> list[str]:
    """Draw `widget` to choose any of `options`, none at first."""
    picked = st.session_state[_PICKED].get(name, "").split(",")
    value = [o for o in options if o in picked]
    _draw(name, widget, label, value, options, **look)
    return value


def count(name: str, label: str, low: int, high: int, default: int, **look: Any) -> int:
    """Draw a number input for a whole number from `low` to `high`."""
    picked = st.session_state[_PICKED].get(name, "")
    value = min(max(int(picked) if picked.isdecimal() and len(picked) < 10 else default, low), high)
    _draw(name, st.number_input, label, value, min_value=low, max_value=high, **look)
    return value


def words(name: str, label: str, **look: Any) -> str:
    """Draw a text input."""
    value = st.session_state[_PICKED].get(name, "")
    _draw(name, st.text_input, label, value, **look)
    return value


def asked(name: str) -> str:
    """What the person, or the link, asked for, whether or not it can be had."""
    return st.session_state[_PICKED].get(name, "")


def link(view: str, label: str, **changes: str) -> None:
    """A link to another page that shows the same there but for `changes`, in a tab of its own too."""
    asked = {
        name: text
        for name, text in (st.session_state[_PICKED] | st.session_state[_SHOWN] | changes).items()
        if text
    }
    st.page_link(f"views/{view}/page.py", label=label, query_params=asked)


def is_new(name: str, value: Any) -> bool:
    """Whether a value that a widget keeps reporting, such as a picked row, has just become this
    one.
    """
    before = st.session_state.get(f"seen {name}")
    st.session_state[f"seen {name}"] = value
    return value is not None and value != before


def pick(name: str, text: str) -> None:
    """Pick a value from code, as if the person had."""
    st.session_state[_PICKED][name] = text


def text(name: str, default: str) -> str:
    """A value that no single control holds, such as a rule; the URL carries it unless it is the
    default.
    """
    value = st.session_state[_PICKED].get(name) or default
    st.session_state[_SHOWN][name] = "" if value == default else value
    return value


def put(name: str, value: str) -> None:
    """Change such a value from a control's callback; `undo` takes it back."""
    st.session_state[_TOUCHED] = True
    before = st.session_state.setdefault(_BEFORE, {}).setdefault(name, [])
    before.append(st.session_state[_PICKED].get(name, ""))
    del before[:-_MOST_UNDONE]
    st.session_state[_PICKED][name] = value


def previous(name: str) -> str | None:
    """What stood there before the last `put`; None if nothing did."""
    before = st.session_state.get(_BEFORE, {}).get(name)
    return before[-1] if before else None


def undo(name: str) -> None:
    """Take the last `put` back."""
    st.session_state[_TOUCHED] = True
    st.session_state[_PICKED][name] = st.session_state[_BEFORE][name].pop()


def control(
    name: str,
    widget: Callable[..., Any],
    label: str,
    value: Any,
    changed: Callable[[Any], None],
    *args: Any,
    **look: Any,
) -> None:
    """Draw `widget` showing `value`, and call `changed` with the new one when a person moves it."""
    st.session_state[_key(name)] = value
    widget(
        label,
        *args,
        key=_key(name),
        on_change=lambda: changed(st.session_state[_key(name)]),
        **look,
    )


def moved(key: str) -> dict[str, float] | None:
    """Where the thresholds of a loss histogram stand after a hand has moved one, inside its
    callback.
    """
    return st.session_state[key].get("moved")


def flag(name: str) -> bool:
    """Whether a switch that no choice depends on is on."""
    return text(name, "off") == "on"


def put_flag(name: str, on: bool) -> None:
    st.session_state[_TOUCHED] = True
    st.session_state[_PICKED][name] = "on" if on else "off"


def complain(why: str) -> None:
    """Say on the next run why a change was not taken."""
    st.session_state[_COMPLAINT] = why


def complaint() -> str | None:
    return st.session_state.pop(_COMPLAINT, None)
