"""One number for one thing: every page says the same of the Rock Tokens, to the letter, and in the
words of people.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from pages import words
from streamlit.testing.v1 import AppTest
from words_in_use import headings, of_charts

from rockcore.analysis.rock_share import rock_share
from rockcore.cli import main
from rockcore.log import Run, sample_runs
from rockcore.rocks import Examined, RockRule

HABIT, SKILL = (sample_runs() / name for name in ("habit", "skill"))
# pages that speak of the set, with what makes them do so
SPEAK: dict[str, dict[str, str]] = {
    "overview": {},
    "rock_tokens": {},
    "token": {},
    "gradients": {},
    "compare": {"run_b": "skill"},
    "steps": {"view": "type"},
    "threshold_lab": {},
}
READ = (*SPEAK, "trace", "arms")  # pages with numbers of a run
# how columns, signals, modes and groups are called inside
RAW = re.compile(
    r"jensen_shannon|baseline_others|proj_grad_norm|\bgrad_norm\b|kl_(mean|sum|share)|\bbounds\b"
    r"|rare, high_kl|projection_s\b|token_share|\b(nan|NaN|None|NaT)\b|0\.\d+ of \d+ steps"
    r"|\bmean kl\b|\bof the kl\b|\bsummed kl\b"
)
OLD = re.compile(r"\bclass [“\"]?rock\b|\bA rock\b")  # a Rock Token is a type in the set


def sentence(run: Path, rule: str = "default") -> str:
    return rock_share(Examined(Run.open(run), RockRule.from_short(rule))).sentence


def said(app: AppTest) -> str:
    """All words of a page with their marks taken off, on one line."""
    assert not app.exception
    return " ".join(re.sub(r"\\(.)", r"\1", words(app)).split())


@pytest.fixture(scope="module")
def pages() -> dict[str, AppTest]:
    """Pages of the sample runs that were opened, each once."""
    return {}


@pytest.fixture
def opened(pages: dict[str, AppTest], open_app: Callable[..., AppTest]) -> Callable[..., AppTest]:
    def of(page: str) -> AppTest:
        if page not in pages:
            asks = SPEAK.get(page, {})
            pages[page] = open_app(page, HABIT, SKILL, run="habit", **asks)
        return pages[page]

    return of


@pytest.mark.parametrize("page", SPEAK)
def test_every_page_says_the_same_of_the_rock_tokens(page: str, opened) -> None:
    text = said(opened(page))
    assert sentence(HABIT) in text
    if page == "compare":
        assert f"B, skill · {sentence(SKILL)}" in text.replace("*", "")


@pytest.mark.parametrize("page", ["overview", "gradients", "rock_tokens"])
def test_every_page_says_in_the_same_words_that_there_is_no_set(page: str, open_app) -> None:
    assert sentence(SKILL) in said(open_app(page, SKILL))


@pytest.mark.parametrize("page", ["overview", "rock_tokens"])
def test_the_line_is_of_the_rule_of_the_link(page: str, open_app) -> None:
    text = said(open_app(page, HABIT, rule="default;top_k=3"))
    assert sentence(HABIT, "default;top_k=3") in text and sentence(HABIT) not in text


def test_the_command_line_says_the_same(capsys) -> None:
    for run in (HABIT, SKILL):
        main(["rocks", str(run)])
        assert sentence(run) in " ".join(capsys.readouterr().out.split())


def test_the_numbers_of_the_set_are_those_of_the_line(opened) -> None:
    """Size, coverage and density, wherever a page has a metric of them."""
    share = rock_share(Examined(Run.open(HABIT)))
    value = {m.label: m.value for m in opened("rock_tokens").metric}
    assert value["Rock Tokens K"] == str(share.types)
    assert f"{value['Type density']} of the tokens" in share.sentence
    assert f"{value['Coverage']} of the KL" in share.sentence


def drawn(app: AppTest) -> list[str]:
    """What is read beside running text: headings, options, titles of charts, cells of tables."""
    options = [
        o for kind in ("selectbox", "pills") for each in app.get(kind) for o in _options(each)
    ]
    return [*headings(app), *of_charts(app), *options]


def _options(control) -> list[str]:
    return [str(o) for o in getattr(control, "options", [])]


@pytest.mark.parametrize("page", READ)
def test_no_page_shows_a_name_that_only_the_code_knows(page: str, opened) -> None:
    app = opened(page)
    found = [m.group() for text in [said(app), *drawn(app)] for m in RAW.finditer(text)]
    assert not found


@pytest.mark.parametrize("page", READ)
def test_no_page_calls_what_stays_hard_a_rock(page: str, opened) -> None:
    app = opened(page)
    assert not [text for text in [said(app), *drawn(app)] if OLD.search(text)]


@pytest.mark.parametrize("text", ["mean kl of each type", "Jaccard nan", "class rock", "grad_norm"])
def test_the_search_for_such_names_finds_them(text: str) -> None:
    assert RAW.search(text) or OLD.search(text)


def test_a_link_of_old_shows_the_class_by_its_name_of_today(open_app) -> None:
    app = open_app("rock_tokens", HABIT, **{"class": "rock"})
    shown = next(p for p in app.get("button_group") if "class" in str(p.proto.id))
    assert "stays hard" in json.dumps([str(v) for v in shown.value])
