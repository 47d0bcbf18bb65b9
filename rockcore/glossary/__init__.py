"""Every symbol, statistic and invented word of the pages, each explained once: the one source of
formula cards, of the glossary in README.md and of whatever else wants to say what a word means.

A term says what a thing is, not what it came to: a run's own numbers are put into `Term.here` by
whoever has them.
"""

from __future__ import annotations

from rockcore.glossary.answers import ANSWERS
from rockcore.glossary.change import CHANGE
from rockcore.glossary.gradients import GRADIENTS
from rockcore.glossary.losses import LOSSES
from rockcore.glossary.sets import SETS
from rockcore.glossary.signs import SIGNS
from rockcore.glossary.term import Term
from rockcore.glossary.texts import TEXTS

__all__ = ["TERMS", "TOPICS", "Term"]

# heading -> key -> term, in the order in which they are best read
TOPICS: dict[str, dict[str, Term]] = {
    "Training and texts": TEXTS,
    "The loss of a token": LOSSES,
    "Rock Tokens": SETS,
    "What became of a token": CHANGE,
    "Gradients": GRADIENTS,
    "Answers, knockouts and arms": ANSWERS,
    "Signs and kinds of tokens": SIGNS,
}
TERMS: dict[str, Term] = {key: term for terms in TOPICS.values() for key, term in terms.items()}
