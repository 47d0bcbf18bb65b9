"""What is taken back at once: one gesture of a hand."""

from __future__ import annotations

from itertools import groupby

from hypothesis import given
from hypothesis import strategies as hs

from app.undo import MOST_STEPS, SAME_GESTURE_S, History

SLOW, QUICK = 2 * SAME_GESTURE_S, SAME_GESTURE_S / 2
CHANGES = hs.lists(hs.tuples(hs.sampled_from(["tau", "eta", None]), hs.sampled_from([SLOW, QUICK])))


@given(CHANGES)
def test_there_are_as_many_steps_back_as_gestures(changes: list[tuple[str | None, float]]) -> None:
    """A gesture goes on where the same control is dragged again soon; None is a click."""
    history, at, gesture, gestures = History(), 0.0, 0, []
    for i, (control, pause) in enumerate(changes):
        at += pause
        goes_on = i and control is not None and control == changes[i - 1][0] and pause == QUICK
        gesture += not goes_on
        gestures.append(gesture)
        history.add("rule", str(i), control, at)
    first = [str(next(steps)[0]) for _, steps in groupby(enumerate(gestures), lambda g: g[1])]
    assert [history.take_back("rule") for _ in first] == first[::-1]
    assert history.previous("rule") is None


def test_no_more_than_the_last_steps_are_kept() -> None:
    history = History()
    for i in range(MOST_STEPS + 5):
        history.add("rule", str(i), None, float(i))
    steps = [history.take_back("rule") for _ in range(MOST_STEPS)]
    assert steps[-1] == "5" and history.previous("rule") is None


def test_each_name_has_its_own_steps() -> None:
    history = History()
    history.add("rule", "a", "tau", 0.0)
    history.add("span", "b", "tau", 0.1)
    history.add("rule", "c", "tau", 0.2)
    assert [history.take_back("rule"), history.take_back("rule")] == ["c", "a"]
    assert history.previous("span") == "b"


def test_a_gesture_that_tells_when_it_begins_may_pause_and_is_one_step() -> None:
    history = History()
    for at, gesture in ((0.0, "tau 1"), (9.0, "tau 1"), (9.1, "tau 2")):
        history.add("rule", gesture + str(at), gesture, at, held=True)
    assert [history.take_back("rule"), history.take_back("rule")] == ["tau 29.1", "tau 10.0"]
    assert history.previous("rule") is None


def test_what_is_taken_back_can_be_done_again_until_something_else_changes() -> None:
    history = History()
    history.add("rule", "a", None, 0.0)
    assert not history.can_redo("rule") and history.take_back("rule", "b") == "a"
    assert history.can_redo("rule") and history.redo("rule", "a") == "b"
    assert history.previous("rule") == "a" and not history.can_redo("rule")
    history.take_back("rule", "b")
    history.add("rule", "a", None, 1.0)
    assert not history.can_redo("rule")
