"""The category of tokens under a table of rules: the first that fits decides."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from rockcore.categories.patterns import OwnPattern
from rockcore.categories.pieces import text_of_piece
from rockcore.categories.rules import RULES, SPECIAL, Rule


def categorize(
    token: str,
    special: bool = False,
    sentence_start: bool | None = None,
    rules: Sequence[Rule] = RULES,
    joins: bool = False,
) -> str:
    """The category of one token; `special` if the tokenizer calls it so, that of the last rule if
    no rule fits. Where it stands: whether it opens a sentence, None if that is unknown, and whether
    it is a hyphen that joins.
    """
    if special:
        return SPECIAL
    text = text_of_piece(token)
    for rule in rules:
        if _fits_place(rule, sentence_start, joins) and rule.pattern.fullmatch(text):
            return rule.category
    return rules[-1].category


def _fits_place(rule: Rule, sentence_start: bool | None, joins: bool) -> bool:
    if rule.joins and not joins:
        return False
    if not rule.sentence_start:
        return True
    return bool(sentence_start) if rule.place_known else sentence_start is None or sentence_start


def categorize_all(
    tokens: Iterable[str],
    special: Iterable[bool],
    sentence_start: Iterable[bool] | None = None,
    rules: Sequence[Rule] = RULES,
    joins: Iterable[bool] | None = None,
    pulse: Callable[[], None] = lambda: None,
) -> list[str]:
    """The category of each token; without `sentence_start` it is not known where they stand, and
    words that turn a sentence count as if they opened one. `pulse` is called for each, and stops
    the work by raising.

    Raises ValueError if these differ in length, BadRules for a user's pattern that takes too
    long.
    """
    tokens = list(tokens)
    keys = list(
        zip(
            tokens,
            special,
            [None] * len(tokens) if sentence_start is None else map(bool, sentence_start),
            [False] * len(tokens) if joins is None else map(bool, joins),
            strict=True,
        )
    )
    _try_own(rules, tokens)
    known: dict[tuple[str, bool, bool | None, bool], str] = {}
    for key in set(keys):
        pulse()
        known[key] = categorize(*key[:3], rules, key[3])
    return [known[key] for key in keys]


def _try_own(rules: Sequence[Rule], tokens: Iterable[str]) -> None:
    """Try a user's patterns on all tokens at once, not by a process for each."""
    own = {rule.pattern.matches for rule in rules if isinstance(rule.pattern, OwnPattern)}
    if own:
        texts = [text_of_piece(token) for token in set(tokens)]
        for matches in own:
            matches.learn(texts)
