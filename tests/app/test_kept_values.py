"""What is kept for all sessions is handed out without a copy: no page may change it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from chrome import PAGES
from streamlit.testing.v1 import AppTest

from app import memory
from rockcore.log import sample_runs


def reached(value: Any) -> Iterator[Any]:
    """All containers, arrays and frames that hang on a value, each once."""
    seen: set[int] = set()
    todo = deque([value])
    while todo:
        at = todo.popleft()
        if id(at) in seen or isinstance(at, type) or callable(at):
            continue
        seen.add(id(at))
        if isinstance(at, (pd.DataFrame, pd.Series, np.ndarray)):
            yield at
            continue
        if isinstance(at, (list, dict, set)):
            yield at
        todo.extend(memory._parts(at))


def content(value: Any) -> object:
    """What a change in place would change; of a container which objects it holds."""
    if isinstance(value, pd.DataFrame):
        return [(str(name), content(value[name])) for name in value.columns]
    if isinstance(value, pd.Series):
        return content(value.to_numpy())
    if isinstance(value, np.ndarray):
        # texts of a frame are made anew whenever they are asked for
        return value.shape, list(map(repr, value.flat)) if value.dtype == object else bytes(value)
    if isinstance(value, Mapping):
        return [(key, id(each)) for key, each in value.items()]
    return sorted(map(id, value)) if isinstance(value, set) else list(map(id, value))


def kept_now() -> list[tuple[object, Any, object]]:
    """Each thing that is kept, behind the question it belongs to, with its content."""
    return [
        (key, thing, content(thing))
        for key, entry in list(memory._done.items())
        for thing in reached(entry.value)
    ]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_leaves_what_is_kept_as_it_was(page: str, open_app: Callable[..., AppTest]) -> None:
    memory.forget()
    open_app(page, sample_runs(), run="habit", run_b="hidden")
    before = kept_now()
    app = open_app(page, sample_runs(), run="habit", run_b="hidden", step="50", rollout="3")
    for toggle in app.toggle:
        toggle.set_value(not toggle.value).run()
    open_app(page, sample_runs(), run="hidden", run_b="habit", texts="final", rule="paper")
    changed = [key for key, thing, was in before if content(thing) != was]
    assert not changed, changed[:3]


def test_a_change_in_place_would_be_seen() -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})
    for change in (
        lambda: frame.__setitem__("c", 1),
        lambda: frame.insert(0, "d", 0),
        lambda: frame.loc.__setitem__((0, "b"), "z"),
    ):
        was = content(frame)
        change()
        assert content(frame) != was
