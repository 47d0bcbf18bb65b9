r"""What kind of token a token is: an ordered table of rules over its text and its place. The first
rule that fits decides.

A category describes text and place alone; it knows nothing of losses, so that it can be set against
them. A user's rules come from a TOML file: `builtin = false` at its top leaves out the built-in
ones, and each rule is a table

    [[rule]]
    category = "name"
    pattern = '\s?(Tom|Ana)'  # a Python regular expression that has to match the whole token
    meaning = "who the task speaks of"  # optional
    sentence_start = false  # optional; true: only where the token opens a sentence

A token *type* has no place of its own. Where the share of its occurrences that open a sentence is
known, judge the type with `sentence_start = share >= 0.5`; where it is not, as if it always opened
one.

Texts and patterns come from outside. The built-in rules take time that grows with the length of a
token and no faster; a user's pattern, which may take any, is tried in a process of its own.
"""

from rockcore.categories.joins import join_marks, joins, joins_of
from rockcore.categories.judging import categorize, categorize_all
from rockcore.categories.own import load_rules
from rockcore.categories.patterns import BadRules
from rockcore.categories.pieces import BYTES, text_of_piece
from rockcore.categories.rules import CATEGORIES, RULES, SPECIAL, Rule, categories_of
from rockcore.categories.sentences import (
    BETWEEN,
    BREAKS,
    ENDS,
    PLAIN,
    sentence_marks,
    sentence_starts,
    sentence_starts_of,
)

__all__ = [
    "BETWEEN",
    "BREAKS",
    "BYTES",
    "CATEGORIES",
    "ENDS",
    "PLAIN",
    "RULES",
    "SPECIAL",
    "BadRules",
    "Rule",
    "categories_of",
    "categorize",
    "categorize_all",
    "join_marks",
    "joins",
    "joins_of",
    "load_rules",
    "sentence_marks",
    "sentence_starts",
    "sentence_starts_of",
    "text_of_piece",
]
