"""Formula cards: no word stands on a page without one, and each says what it is in this run."""

from __future__ import annotations

import pytest
from words_in_use import in_use, symbols_in_use

from app import cards
from app.page_words import WORDS
from app.pages import PAGES
from rockcore.glossary import TERMS
from rockcore.log import sample_runs

KEYS = set(TERMS)
SIGNS = {c for term in TERMS.values() for word in term.spellings for c in word}


@pytest.mark.parametrize("page", [page.name for page in PAGES])
def test_every_word_of_a_page_has_a_card_there(page: str, open_app):
    app = open_app(page, sample_runs())
    assert not app.exception
    assert in_use(app) <= set(WORDS[page])
    assert symbols_in_use(app) <= SIGNS


def test_every_term_is_used_on_a_page_and_every_card_is_a_term():
    named = {key for keys in WORDS.values() for key in keys}
    assert named <= KEYS
    assert named == KEYS


def test_the_cards_of_a_page_open_behind_a_button_and_any_word_is_found(open_app):
    app = open_app("rock_tokens", sample_runs() / "habit")
    opened = app.button(key="words").click().run()
    told = [m.value for m in opened.markdown]
    assert sum(r"\bar\ell_v" in text for text in told) >= 2  # R and R_ctx
    assert any("Here: K \\= 7" in text or "Here\\: K = 7" in text for text in told)


@pytest.mark.parametrize(
    ("wanted", "key"), [("R", "R"), ("rock score", "R"), ("␣", "space"), ("max-t", "max_T")]
)
def test_the_term_that_is_called_so_is_found_first(wanted: str, key: str):
    assert cards.found(wanted)[0] == key
    assert not cards.found("no such word")


def test_a_card_shows_text_of_a_log_as_it_is():
    body = cards.body(TERMS["student"], {"student": "<b>x</b> $y$ [z](http://elsewhere)"})
    assert "<b>" not in body and "](" not in body and "$y$" not in body


def test_a_card_without_the_numbers_leaves_their_sentence_out():
    assert "Here" not in cards.body(TERMS["tau"], {"tau_pre": 0.5})
    assert "0.5 nats before" in cards.body(TERMS["tau"], {"tau_pre": 0.5, "tau_post": 0.5}).replace(
        "\\", ""
    )
