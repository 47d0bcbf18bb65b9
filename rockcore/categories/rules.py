"""What a rule is, and the rules that are built in: their time grows with the length of a token and
no faster.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from rockcore.categories.function_words import FUNCTION_WORDS
from rockcore.categories.patterns import OwnPattern


class Rule(NamedTuple):
    category: str
    # must match the whole token, as `text_of_piece` writes it
    pattern: re.Pattern[str] | OwnPattern
    meaning: str
    # only where the token opens a sentence, or it is not known where it stands
    sentence_start: bool = False
    place_known: bool = False  # not where that is unknown
    joins: bool = False  # only where the token is a hyphen that joins


_DISCOURSE = (
    "So|Let|Lets|We|But|Now|Wait|Then|Since|This|Thus|Hence|Therefore|Next|First|Second|Finally|Final|Okay|OK|Hmm|Well|"
    "However|Also|If|Because|Alternatively|Actually|Note|Given|Suppose|Recall|Similarly|And|Or|Good|In|To|Step"
)
_TURNS = set(_DISCOURSE.lower().split("|"))
_FUNCTION = "|".join(
    sorted(FUNCTION_WORDS)
    # with a capital they open a sentence, where those that turn it are discourse
    + sorted(w.capitalize() for w in FUNCTION_WORDS if w.isalpha() and w not in _TURNS)
)
# how a command looks where the tokenizer cuts its backslash off; no word that English has too, but
# for `boxed`
_COMMANDS = "[dt]?frac|sqrt|boxed|c?dots?|ldots|cdots|leq|geq|neq|infty|math(bb|bf|cal|rm)"
# all that is punctuation. A list of what is not (emoji, control characters, vowel signs, ...) would
# never end
_SIGNS = (
    r"!-/:-@\[\]^-`{-~¡-©«¬®-±´¶-¸»¿\u060c\u061b\u061f\u0964\u0965\u2010-\u2027\u2030-\u205e\u20a0-\u20cf"
    r"\u3001-\u3003\u3008-\u301f\ufe30-\ufe4f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"
)

RULES: tuple[Rule, ...] = (
    Rule("whitespace", re.compile(r"\s+"), "line breaks, blank lines and spaces"),
    Rule("digit", re.compile(r" ?\d+ ?"), "digits and numbers"),
    # above 0x7f only: a lower byte is a character. \xi and \xrightarrow are commands, \xe2 is not
    Rule(
        "content",
        re.compile(r".*\\x[89a-f][0-9a-f].*", re.S),
        "bytes that are no text by themselves",
    ),
    # each alternative by itself: in one behind a common \s*, which shares line breaks with [\W_]*,
    # all ways to share 100,000 of them would be tried
    Rule(
        "latex",
        re.compile(
            r"\s*\\.*|(?=.*[$\\^])[\W_]+|\s*([{}&]|_(?!_))+\s*|.*\\[a-zA-Z].*"
            rf"|({_COMMANDS})\s*",
            re.S,
        ),
        "LaTeX: delimiters, commands, braces",
    ),
    Rule(
        "markdown",
        re.compile(r"\s*([:.,!?()]*\*\*+[:.,!?()]*|__+|#+|-{3,}|`+|(?<! )>)\s*"),
        "markdown: bold, headings, rules, code, bullets",
    ),
    Rule("markdown", re.compile(r"\s*[-*•]\s*"), "bullets", sentence_start=True, place_known=True),
    Rule("punctuation", re.compile(r"\s*--\s*"), "dashes"),
    Rule("punctuation", re.compile(r" ?-"), "hyphens between words", joins=True),
    Rule(
        "operator",
        re.compile(r"\s*[-+*/=<>×÷±\u2190-\u22ff]+\s*"),
        "arithmetic operators, relations and arrows",
    ),
    Rule(
        "discourse",
        re.compile(rf"\s*({_DISCOURSE}) ?"),
        "words that open or turn a step of reasoning: So, Wait, Then",
        True,
    ),
    Rule(
        "function",
        re.compile(rf" ?({_FUNCTION}) ?"),
        "words that hold a sentence together: the, of, is, and",
    ),
    Rule("punctuation", re.compile(rf"\s*[{_SIGNS}]+\s*"), "punctuation and brackets"),
    Rule("content", re.compile(r".*", re.S), "everything else: words, names, fragments"),
)
SPECIAL = "special"


def categories_of(rules: Iterable[Rule]) -> tuple[str, ...]:
    """The categories that tokens can have under `rules`: each once, by their first rule, `special`
    last.
    """
    return (*dict.fromkeys(rule.category for rule in rules), SPECIAL)


CATEGORIES = categories_of(RULES)
