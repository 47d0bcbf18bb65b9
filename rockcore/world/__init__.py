"""The built-in task: word problems with worked solutions, small enough to distil on a laptop
without a download.

A problem names a person, a thing, a day and a place. *Who writes* the solution (its format:
headings, lists, display mathematics) follows from the thing; *in which mood* it is written
(discourse markers, phrases, delimiters, checks) follows from the pair of person and place, unless a
style note in front of the problem names the mood. Nothing here knows about losses: where a student
diverges from its teacher is decided by what each has seen.
"""

from rockcore.world.lessons import lessons, prompts, train_tokenizer
from rockcore.world.moods import MOODS, note
from rockcore.world.problems import problem
from rockcore.world.scenarios import SCENARIOS
from rockcore.world.solutions import solution

__all__ = [
    "MOODS",
    "SCENARIOS",
    "lessons",
    "note",
    "problem",
    "prompts",
    "solution",
    "train_tokenizer",
]
