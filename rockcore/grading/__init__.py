r"""Whether a response is right: the answer that it ends with against the one that is known.

Two graders: `boxed`, which the built-in world needs, compares integers as numbers and the rest as
text; `math-verify` compares as mathematics does, by the package of that name.
"""

from rockcore.grading.boxed import box_span, final_answer, known, same
from rockcore.grading.graders import GRADERS, BadGrader, Grade, check, grade, graded

__all__ = [
    "GRADERS",
    "BadGrader",
    "Grade",
    "box_span",
    "check",
    "final_answer",
    "grade",
    "graded",
    "known",
    "same",
]
