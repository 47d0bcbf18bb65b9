"""Pins and the page that lists them: who may keep a note, what it is on, and the way back to it."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from test_odd_runs import shown, stands

from app import access, data
from app.access import Terms
from rockcore.log import notes

HOSTILE = "<img src=x onerror=alert(1)> $x$ **b** ` \u202e [a](javascript:b)\n# big"


@pytest.fixture
def may_act(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "may_act", lambda: True)


def pin(app: AppTest, text: str) -> AppTest:
    app.text_area(key="pin text view").set_value(text)
    return next(b for b in app.button if b.label == "Keep the note").click().run()


def test_a_pinned_view_is_listed_found_and_leads_back_to_what_was_seen(
    may_act: None, open_app, tiny_run
) -> None:
    run = tiny_run()
    app = pin(open_app("steps", run, view="category"), HOSTILE)
    stands(app)
    [note] = notes.notes_of(run).found
    assert note.text == HOSTILE and note.page == "steps" and note.values["view"] == "category"
    page = open_app("notes", run)
    assert "<img src=x" in shown(page) and "\u202e" not in shown(page)
    [link] = [e.proto for e in page.get("page_link") if e.proto.label == "Open Steps"]
    assert "view=category" in link.query_string and "run=" in link.query_string
    page.text_input(key="widget find").set_value("no such words").run()
    assert "0 of 1 notes" in shown(page)


def test_a_note_that_cannot_be_kept_is_refused_in_words(may_act: None, open_app, tiny_run) -> None:
    run = tiny_run()
    app = open_app("overview", run)
    (run / "notes").write_text("a file in its place")
    app = pin(app, "something")
    assert not app.exception and "does not take notes" in shown(app)
    assert "Copy the run" in shown(app).replace("\\", "")


def test_who_may_only_look_reads_why_and_has_no_button(
    open_app, tiny_run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "_terms", Terms(acting="s" * 20))
    run: Path = tiny_run()
    kept = notes.keep_note(run, notes.Note("view", "Steps", "mine", "steps"))
    app = open_app("notes", run)
    assert "Notes are not kept for this browser" in shown(app) and "mine" in shown(app)
    assert not [b for b in app.button if b.label in ("Keep the note", "Delete")]
    assert notes.notes_of(run).found == (kept,)


def test_a_note_is_deleted_where_it_is_listed(may_act: None, open_app, tiny_run) -> None:
    run = tiny_run()
    kept = notes.keep_note(run, notes.Note("view", "Steps", "mine", "steps"))
    app = open_app("notes", run)
    app.button(key=f"delete {kept.id}").click().run()
    assert not app.exception and not notes.notes_of(run).found and "mine" not in shown(app)


def test_who_may_look_has_the_report_made_part_by_part_with_the_notes_in_it(
    open_app, tiny_run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "may_act", lambda: False)
    run = tiny_run()
    notes.keep_note(run, notes.Note("view", "Steps", HOSTILE, "steps", {"view": "category"}))
    files = sorted(run.rglob("*"))
    app = open_app("notes", run, rule="default;tau_quantile=0.5")
    app.button(key="make report").click().run()
    assert not app.exception and not app.warning
    [save] = app.get("download_button")
    assert save.proto.label.startswith("Save the report")
    assert any("--set tau_quantile=0.5" in code.value for code in app.code)
    key = data.runs.key(str(run))
    html = data.reports.document(key, data.rocks.rule("default;tau_quantile=0.5"), "http://h:1")
    assert b"http://h:1/steps?run=tiny&amp;view=category" in html and b"&lt;img src=x" in html
    assert sorted(run.rglob("*")) == files  # it writes nothing


def test_in_the_lab_the_rule_is_pinned(may_act: None, open_app, tiny_run) -> None:
    run = tiny_run()
    app = open_app("threshold_lab", run, rule="default;tau_quantile=0.5")
    app.text_area(key="pin text rule").set_value("takes more in")
    next(b for b in app.button if b.label == "Keep the note").click().run()
    [note] = notes.notes_of(run).found
    assert not app.exception and note.kind == "rule" and note.page == "threshold_lab"
    assert note.about == "rule default;tau_quantile=0.5" and note.values["rule"] in note.about
