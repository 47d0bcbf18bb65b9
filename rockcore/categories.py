"""What kind of token a token is: an ordered table of rules over its text. The first rule that fits decides.

A category describes the text alone; it knows nothing of losses, so that it can be set against them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple


class Rule(NamedTuple):
    category: str
    pattern: re.Pattern[str]  # must match the whole token
    meaning: str


_DISCOURSE = (
    "So|Let|Lets|We|But|Now|Wait|Then|Since|This|Thus|Hence|Therefore|Next|First|Second|Finally|Final|Okay|OK|Hmm|Well|"
    "However|Also|If|Because|Alternatively|Actually|Note|Given|Suppose|Recall|Similarly|And|Or|Good|In|To|Step"
)

RULES: tuple[Rule, ...] = (
    Rule("whitespace", re.compile(r"\s+"), "line breaks, blank lines and spaces"),
    Rule("digit", re.compile(r" ?\d+"), "digits and numbers"),
    Rule("content", re.compile(r"(\\x[0-9a-f]{2})+"), "bytes that are no text by themselves"),
    Rule("latex", re.compile(r"\s*(\$+|\\.*|[{}^_&]+|.*\\[a-zA-Z].*)\s*", re.S), "LaTeX: delimiters, commands, braces"),
    Rule("markdown", re.compile(r"\s*([:.]?(\*\*+|__+)[:.]?|#+|-{3,}|`+|>)\s*"), "markdown: bold, headings, rules, code"),
    Rule("operator", re.compile(r"\s*[-+*/=<>×÷≤≥≠±]+\s*"), "arithmetic operators and relations"),
    Rule("discourse", re.compile(rf"\s?({_DISCOURSE})"), "words that open or turn a step of reasoning: So, Wait, Then"),
    Rule("punctuation", re.compile(r"\s*[^\w\s\\]+\s*"), "punctuation and brackets"),
    Rule("content", re.compile(r".*", re.S), "everything else: words, names, fragments"),
)
SPECIAL = "special"
CATEGORIES: tuple[str, ...] = (*(rule.category for rule in RULES), SPECIAL)


def categorize(token: str, special: bool = False) -> str:
    """The category of one token; tokens that the tokenizer calls special are `special`."""
    if special:
        return SPECIAL
    return next(rule.category for rule in RULES if rule.pattern.fullmatch(token))


def categorize_all(tokens: Iterable[str], special: Iterable[bool]) -> list[str]:
    return [categorize(t, s) for t, s in zip(tokens, special, strict=True)]
