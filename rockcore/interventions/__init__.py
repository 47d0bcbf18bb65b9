"""What is done to a set of tokens, position by position: weights in a loss, bans in a decoding.

One place for both, in the convention of the detection (a value sits at the token it judges), so
that what is found, frozen, knocked out and logged are the same positions. Numpy only.
"""

from rockcore.interventions.arms import ARMS, Arm, weights
from rockcore.interventions.bans import Window, bans
from rockcore.interventions.batch import Batch
from rockcore.interventions.sets import BadIntervention, check_set, load_set

__all__ = [
    "ARMS",
    "Arm",
    "BadIntervention",
    "Batch",
    "Window",
    "bans",
    "check_set",
    "load_set",
    "weights",
]
