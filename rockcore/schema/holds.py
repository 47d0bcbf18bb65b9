"""What the values of a column are, beside of their type: what a file is checked for before it is
believed.

Declared with each column, read by one checker: `rockcore.log.checks`.
"""

from __future__ import annotations

import math
from typing import NamedTuple


class Holds(NamedTuple):
    """What holds of every value of a column; of the entries where the values are lists.

    A number that is not known is null or NaN. Of lists every entry is known.
    """

    known: bool = False  # null stands nowhere
    finite: bool = True  # of numbers: never infinite
    least: float | None = None
    most: float | None = None
    among: tuple[str, ...] = ()
    in_vocab: bool = False  # ids of the run's vocabulary
    entries: tuple[int, float] = (0, math.inf)  # lists are as long as this, at least and at most
    as_long_as: str = ""  # lists are as long as those of this column, and null where they are


ANY = Holds()  # a number may be unknown, but is never infinite
KNOWN = Holds(known=True)
COUNT = Holds(known=True, least=0)  # also an index
SIZE = Holds(known=True, least=1)
TOKEN = Holds(known=True, least=0, in_vocab=True)
AMOUNT = Holds(least=0)  # a square, a time, a number of tokens that may be unknown
SHARE = Holds(least=0, most=1)
# few bits may have made it infinite, or it is the logarithm of 0; who sums it up leaves those out
UNBOUNDED = Holds(finite=False)
