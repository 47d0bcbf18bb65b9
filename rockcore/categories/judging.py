"""The category of tokens under a table of rules: the first that fits decides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rockcore.categories.patterns import OwnPattern
from rockcore.categories.pieces import text_of_piece
from rockcore.categories.rules import RULES, SPECIAL, Rule


def categorize(
    token: str, special: bool = False, sentence_start: bool = True, rules: Sequence[Rule] = RULES
) -> str:
    """The category of one token; `special` if the tokenizer calls it so, that of the last rule if
    no rule fits.
    """
    if special:
        return SPECIAL
    text = text_of_piece(token)
    for rule in rules:
        if rule.pattern.fullmatch(text) and (sentence_start or not rule.sentence_start):
            return rule.category
    return rules[-1].category


def categorize_all(
    tokens: Iterable[str],
    special: Iterable[bool],
    sentence_start: Iterable[bool] | None = None,
    rules: Sequence[Rule] = RULES,
) -> list[str]:
    """The category of each token; without `sentence_start`, each is judged as if it opened a
    sentence.

    Raises ValueError if the three differ in length, BadRules for a user's pattern that takes too
    long.
    """
    tokens = list(tokens)
    keys = list(
        zip(
            tokens,
            special,
            [True] * len(tokens) if sentence_start is None else sentence_start,
            strict=True,
        )
    )
    _try_own(rules, tokens)
    known = {key: categorize(*key, rules) for key in set(keys)}
    return [known[key] for key in keys]


def _try_own(rules: Sequence[Rule], tokens: Iterable[str]) -> None:
    """Try a user's patterns on all tokens at once, not by a process for each."""
    own = {rule.pattern.matches for rule in rules if isinstance(rule.pattern, OwnPattern)}
    if own:
        texts = [text_of_piece(token) for token in set(tokens)]
        for matches in own:
            matches.learn(texts)
