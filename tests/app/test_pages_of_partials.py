"""Every page on the folder that a scan leaves, in which there are no texts."""

from __future__ import annotations

from pathlib import Path

import pytest
from chrome import PAGES
from planted import Plan as Planted
from planted import write
from test_odd_runs import shown, stands

from rockcore.rocks import RockRule
from rockcore.scale.engines import here
from rockcore.scale.partials import PARTIALS, conclude
from rockcore.scale.plan import plan
from rockcore.scale.scan import scan


@pytest.fixture(scope="module")
def partials(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("partials")
    write(folder / "log", Planted(20_000, 400, rocks=20, learned=10, tokens_per_rollout=150))
    planned = plan(str(folder / "log"), RockRule(), 9_000)
    conclude(planned, scan(planned, folder / "out" / PARTIALS, here), folder / "out")
    return folder / "out"


@pytest.mark.parametrize("page", PAGES)
def test_a_page_stands_on_partials_and_speaks_plainly(page: str, partials: Path, open_app):
    stands(open_app(page, partials))


def test_the_overview_says_that_the_numbers_are_from_partials(partials: Path, open_app):
    text = shown(open_app("overview", partials))
    assert "From partials of 3 shards, 20,000 positions" in text and "no texts here: open" in text
    assert "No text is logged" not in text and "Rule default" in text


@pytest.mark.parametrize("page", ["overview", "trace", "steps", "gradients", "compare"])
def test_a_page_of_texts_says_where_they_are_and_how_to_open_them(page, partials: Path, open_app):
    """They were said to come with the first step of a training that had ended."""
    app, log = open_app(page, partials), partials.parent / "log"
    text = shown(app)
    assert f"a scan of {log} found" in text and "stayed in that log" in text
    assert not any(wrong in text for wrong in ("Reload", "No step", "Rescore"))
    assert f"rockcore app {log}" in [code.value for code in app.code]
    assert not [e.label for e in app.expander if "Not in this log" in e.label]


def test_the_lab_of_partials_says_how_to_try_another_rule(partials: Path, open_app):
    app, log = open_app("threshold_lab", partials), partials.parent / "log"
    assert f"rockcore scan {log} --out out --preset NAME" in shown(app)
    assert not [b.label for b in app.button if "rule" in b.label]
    assert f"rockcore app {log}" in [code.value for code in app.code]


def test_the_log_that_was_scanned_is_a_click_away_where_it_is_open_too(partials: Path, open_app):
    app = open_app("trace", partials, partials.parent / "log", run="out")
    links = {e.proto.label: e.proto.query_string for e in app.get("page_link")}
    assert links["Open log"].startswith("run=log") and not app.code


def test_the_rock_tokens_of_partials_are_shown(partials: Path, open_app):
    text = shown(open_app("rock_tokens", partials))
    assert "No Rock Tokens can be found here" not in text and " Rock Tokens, " in text
