"""Every token is in exactly one category, and the examples of the paper are where it puts them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rockcore.categories import CATEGORIES, categorize

EXAMPLES = {
    "latex": ["$", " $", "$$", "\\", "\\(", " \\(", "\\]", "\\boxed", "\\frac", " \\times", "{", "}", "^", "_"],
    "markdown": ["**", " **", ":**", "###", "##", "---", "```"],
    "whitespace": ["\n", "\n\n", " ", "\t"],
    "discourse": ["So", " So", "Let", "We", "Wait", "Then", "Since", "\nBut"],
    "digit": ["0", " 7", "42"],
    "operator": ["=", " =", " +", "-", "*"],
    "punctuation": [".", ",", ":", ").", "("],
    "content": ["apples", " so", "Mia", "x", "\\xe2\\x80", "", "né"],
}


@pytest.mark.parametrize(("token", "category"), [(t, c) for c, tokens in EXAMPLES.items() for t in tokens])
def test_examples(token, category):
    assert categorize(token) == category


@given(st.text())
def test_any_text_has_a_category(token):
    assert categorize(token) in CATEGORIES


def test_special_tokens_are_special_whatever_they_look_like():
    assert categorize("42", special=True) == "special"
