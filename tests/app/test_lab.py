"""Threshold lab: the set by name, what a change did to it, another rule beside it, and the text."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from app import data
from app.words import visible
from rockcore.log import sample_runs
from rockcore.rocks import RockRule

HABIT = sample_runs() / "habit"


def links(app: AppTest) -> dict[str, str]:
    """Label -> query of the links to a type."""
    found = [e.proto for e in app.get("page_link")]
    return {p.label.replace("\\", ""): p.query_string for p in found if "token=" in p.query_string}


def report(rule: str) -> data.rocks.RockReport:
    return data.rocks.found(data.runs.key(str(HABIT)), data.rocks.rule(rule)).report


def names(rule: str, ids: set[int]) -> list[str]:
    found = report(rule)
    rows = found.tokens[found.tokens.in_set & found.tokens.token_id.isin(ids)]
    return [visible(str(t)) for t in rows.token]


@pytest.fixture
def moved(open_app) -> AppTest:
    """The lab after one change: a lower threshold, of which more types come in."""
    app = open_app("threshold_lab", HABIT)
    app.slider(key="widget tau_quantile").set_value(0.8).run()
    assert not app.exception
    return app


LOWER = "default;tau_quantile=0.8"


def test_the_set_is_named_and_what_came_in_is_marked_with_its_contexts(moved: AppTest) -> None:
    now, old = set(report(LOWER).ids), set(report("default").ids)
    came = names(LOWER, now - old)
    assert came and old <= now
    shown = links(moved)
    assert {f":material/add: {name}" for name in came} <= set(shown)
    assert set(names(LOWER, now & old)) <= set(shown)
    assert all(f"token={i}" in " ".join(shown.values()) for i in now)
    [told] = [c.value.replace("\\", "") for c in moved.caption if c.value.startswith("Since")]
    assert f"{len(came)} in" in told and "rule default" in told and "0.8" in told
    [contexts] = [c.value for c in moved.code if "▸" in c.value]
    assert all(f"▸{name}◂" in contexts for name in came[:3])
    assert contexts.count("▸") == 3 * min(len(came), 3)


def test_what_went_is_named_and_a_step_back_and_forth_shows_both(moved: AppTest) -> None:
    app = moved
    went = set(report(LOWER).ids) - set(report("default").ids)
    app.pills(key="widget preset").set_value("default").run()
    assert {f":material/remove: {name}" for name in names(LOWER, went)} <= set(links(app))
    press(app, "Undo")
    assert app.query_params["rule"] == LOWER
    press(app, "Redo")
    assert "rule" not in app.query_params


def press(app: AppTest, label: str) -> None:
    next(b for b in app.button if b.label == label).click().run()


def test_the_text_stays_when_the_rule_changes(moved: AppTest) -> None:
    app, key = moved, data.runs.key(str(HABIT))
    shown = app.query_params["rollout"]
    app.pills(key="widget preset").set_value("strict").run()
    first = data.rocks.rollouts(key, data.rocks.rule("strict"))[0]
    assert app.query_params["rollout"] == shown != str(first)


def test_thresholds_can_be_typed_in_nats_and_as_a_quantile(open_app) -> None:
    app = open_app("threshold_lab", HABIT)
    app.number_input(key="widget typed tau_pre").set_value(0.25).run()
    rule = RockRule.from_short(app.query_params["rule"])
    assert (rule.tau_pre, rule.tau_post) == (0.25, 0.25)
    app.toggle(key="widget apart").set_value(True).run()
    app.number_input(key="widget typed tau_post").set_value(0.5).run()
    rule = RockRule.from_short(app.query_params["rule"])
    assert (rule.tau_pre, rule.tau_post) == (0.25, 0.5)
    app.number_input(key="widget typed quantile").set_value(0.9).run()
    assert "rule" not in app.query_params and not app.exception


def test_another_rule_beside_this_one_names_what_only_one_of_them_holds(open_app) -> None:
    app = open_app("threshold_lab", HABIT, beside="lenient")
    one, two = set(report("default").ids), set(report("lenient").ids)
    text = " ".join(t.value for t in app.text)
    assert f"J = {len(one & two) / len(one | two):.2f}: {len(one & two)} types in both sets" in text
    assert f"{len(two - one)} only by lenient." in text
    assert set(names("lenient", two - one)) <= set(links(app))
    assert not app.exception and app.query_params["beside"] == "lenient"


@pytest.mark.parametrize("knob", ["tau", "context", "cutoff", "out", "texts"])
def test_a_link_opens_a_knob_and_marks_it(knob: str, open_app, tiny_run) -> None:
    app = open_app("threshold_lab", tiny_run(), knob=knob)
    marked = [e for e in app.expander if e.proto.expanded]
    assert not app.exception and len(marked) == (3 if knob in ("tau", "context", "cutoff") else 4)
