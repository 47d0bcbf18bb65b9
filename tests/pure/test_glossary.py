"""The glossary: every name in use is in it, and every sentence stands by itself."""

from __future__ import annotations

import re

import pytest

from rockcore.analysis.card_values import values_of
from rockcore.analysis.knockout_verdicts import VERDICTS
from rockcore.analysis.signals import SIGNALS
from rockcore.categories import CATEGORIES
from rockcore.glossary import TERMS, TOPICS
from rockcore.interventions.arms import ARMS
from rockcore.log import Run, sample_runs
from rockcore.rocks import Examined
from rockcore.rocks.change import CLASSES
from rockcore.rocks.rule_fields import KNOBS, MODES
from rockcore.world import SCENARIOS

SPELLINGS = {word for term in TERMS.values() for word in term.spellings}


def test_no_term_is_told_twice():
    """A key that two topics have would hide the first without a word."""
    assert sum(map(len, TOPICS.values())) == len(TERMS)
    names = [term.name for term in TERMS.values()]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("a class of change", CLASSES),
        ("a category", CATEGORIES),
        ("a verdict", VERDICTS),
        ("an arm", ARMS),
        ("a signal of a text", SIGNALS),
        ("a way to compare", set(MODES) - {"auto"}),
        ("a scenario", SCENARIOS),
    ],
)
def test_every_name_that_a_page_may_show_is_explained(what: str, names):
    assert not set(names) - SPELLINGS, what


def test_every_greek_letter_and_capital_among_the_knobs_is_explained():
    symbols = {about.symbol for about in KNOBS.values() if len(about.symbol.split("_")[0]) == 1}
    assert {"τ_pre", "γ", "η", "w", "K", "τ_R", "J"} <= symbols <= SPELLINGS


@pytest.mark.parametrize("key", TERMS)
def test_a_term_is_told_in_whole_plain_sentences(key: str):
    term = TERMS[key]
    for text in filter(None, (term.sentence, term.here, term.paper, term.trap)):
        assert text.endswith((".", "?")) and "  " not in text
        assert not re.search(r"[$`*]|\\", text), "plain text: cards escape it"
    assert len(term.sentence) <= 220
    assert "|" not in term.equation, "a table of the README would break there"
    assert term.equation.count("{") == term.equation.count("}")


def test_the_numbers_of_a_run_fill_every_card_that_has_room_for_some():
    run = Run.open(sample_runs() / "habit")
    known = values_of(run.meta, Examined(run).report)
    of_pages = {"kl_measured", "epsilon"}  # which their pages put in
    for term in TERMS.values():
        assert set(term.values) <= set(known) | of_pages, term.name
        if set(term.values) <= set(known):
            assert not re.search(r"nan|None|[{}]", term.here.format(**known))
    assert known["gamma_of_window"] == 4 and known["K"] == len(Examined(run).report.ids)


def test_without_a_set_no_card_tells_its_size():
    run = Run.open(sample_runs() / "skill")
    known = values_of(run.meta, Examined(run).report)
    assert "K" not in known and "coverage" not in known
    assert known["persistent"] > 0 and known["hard_from"] > 0
