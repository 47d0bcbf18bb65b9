"""What tokens can be coloured by, and the scale of each signal: one for all texts of a run.

A scale is anchored at quantiles of the run's fresh tokens; in a run that logs none, such as an
imported pair of checkpoints, at those of its probe texts, and `Scale.over` says so. Where nothing
is logged a scale has no edges, and nothing is coloured.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rockcore import schema
from rockcore.log import Run
from rockcore.log.holdings import SCORE, Holdings, NotLogged
from rockcore.schema import Texts
from rockcore.spelling import LOSSES

QUANTILES = (0.50, 0.60, 0.70, 0.80, 0.90, 0.95, 0.98, 0.99, 0.999)
SIGNED_QUANTILES = (0.50, 0.75, 0.90, 0.97, 0.99)
USUAL = 0.90  # the quantile that counts as high where no rule says what does
COLUMNS = ("kl", "sampled_loss", "student_entropy", "teacher_entropy", "grad_norm", "weight")
WHOLE_RUN = "the whole run"
PROBES_ONLY = "the probe texts of the run, as no fresh rollout has a value"
_NATS = np.geomspace(1e-3, 20.0, 44)
_SIDE = np.geomspace(1e-2, 20.0, 22)
_SHARE = [k / 20 for k in range(1, 21)]  # each as near to its fraction as a share k/S is
_TOP = f"top-{schema.TOP_ALTERNATIVES} + tail"


class Signal(NamedTuple):
    """What a text can be coloured by. `kind`: sequential, diverging, share (of 1), flag (0 or 1) or
    class (an index).
    """

    kind: str
    unit: str
    meaning: str
    column: str = ""  # the logged column whose scale it is shown on; none for a fixed scale


def _logged(name: str, kind: str = "sequential") -> Signal:
    return Signal(kind, schema.TOKENS[name].unit, schema.TOKENS[name].meaning, name)


SIGNALS: dict[str, Signal] = {
    **{name: _logged(name) for name in COLUMNS},
    "sampled_loss": _logged("sampled_loss", "diverging"),
    "persistence": Signal(
        "share",
        "of the logged steps",
        "Share of the logged steps at which kl of this position is at least τ.",
    ),
    "rock class": Signal("class", "", "What became of the token's type over the training."),
    "reverse_kl": Signal(
        "sequential", "nats", f"KL(student ‖ teacher) from the stored alternatives, {_TOP}.", "kl"
    ),
    "forward_kl": Signal(
        "sequential", "nats", f"KL(teacher ‖ student) from the stored alternatives, {_TOP}.", "kl"
    ),
    "jensen_shannon": Signal(
        "sequential",
        "nats",
        f"Jensen–Shannon divergence from the stored alternatives, {_TOP}; at most 0.693.",
        "kl",
    ),
    "top1_disagreement": Signal(
        "flag", "", "Whether student and teacher find different tokens likeliest."
    ),
}

SPOKEN = {  # what a person is told a signal is called; all else as it is logged
    **LOSSES,
    "student_entropy": "student entropy",
    "teacher_entropy": "teacher entropy",
    "grad_norm": "gradient norm",
    "rock class": "class",
    "reverse_kl": "reverse KL, top-8",
    "forward_kl": "forward KL, top-8",
    "jensen_shannon": "Jensen–Shannon",
    "top1_disagreement": "top-1 disagreement",
    "student_p": "p of the student",
    "teacher_p": "p of the teacher",
}

_OF_ALTERNATIVES = ("reverse_kl", "forward_kl", "jensen_shannon", "top1_disagreement")


def lack(held: Holdings, signal: str, texts: Texts | None = None) -> NotLogged | None:
    """Why a run, or its `texts`, cannot be coloured by a signal, and what would help; None where it
    can.
    """
    if signal in _OF_ALTERNATIVES:
        return None if held.alternatives else _no_alternatives(held)
    if signal == "rock class":
        return None if held.loss else held.lack("kl")
    if signal == "persistence":
        probes = [t for t in held.columns if t.probe_set]
        return held.lack("kl") or (None if probes else _no_probes(held))
    return held.lack(signal, texts)


def offered(held: Holdings, names: Iterable[str] = SIGNALS) -> list[str]:
    """The signals that some text of the run can be coloured by."""
    return [name for name in names if lack(held, name) is None]


def lacks(held: Holdings, names: Iterable[str] = SIGNALS) -> dict[str, NotLogged]:
    """The others, each with what to say of it."""
    found = {name: lack(held, name) for name in names}
    return {name: why for name, why in found.items() if why is not None}


def usual(held: Holdings, names: Sequence[str], texts: Texts) -> str:
    """Of the signals that are offered the one to begin with: the first that these texts have."""
    return next((name for name in names if lack(held, name, texts) is None), names[0])


def _no_alternatives(held: Holdings) -> NotLogged:
    return NotLogged(
        f"{held.name} has no alternatives: what else either model found likely at a token",
        "A divergence is told from the likeliest tokens of both models",
        SCORE,
    )


def _no_probes(held: Holdings) -> NotLogged:
    return NotLogged(
        f"{held.name} has no text that was scored at more than one step",
        "How often one text is hard over the training needs it under several checkpoints",
        f"{SCORE}, with a folder of checkpoints as the student",
    )


@dataclass(frozen=True)
class Scale:
    """A binned colour scale, the same for every text of a run.

    `edges`: between bins, ascending; `quantiles`: where each stands, of |value| if signed, empty
    for a fixed scale; `tokens`: how many have a value; `of`: the column they were read from;
    `over`: which texts they are of.
    """

    name: str
    kind: str
    unit: str
    meaning: str
    of: str
    edges: list[float]
    quantiles: list[float]
    tokens: int
    over: str

    @property
    def signed(self) -> bool:
        return self.kind in ("diverging", "ratio")

    def at(self, quantile: float) -> float | None:
        """The (upper) edge at a quantile; None where the scale has none there."""
        found = [i for i, share in enumerate(self.quantiles) if share == quantile]
        return self.edges[found[-1]] if found else None


def scale(run: Run, signal: str) -> Scale:
    """The scale of a signal over the whole run: edges at QUANTILES of its column, or at
    SIGNED_QUANTILES of |value| on both sides of 0.

    Raises KeyError for what is no signal.
    """
    about = SIGNALS[signal]
    known = (signal, about.kind, about.unit, about.meaning, about.column)
    if not about.column:
        edges = [0.2, 0.4, 0.6, 0.8, 1.0] if about.kind == "share" else [0.5]
        return Scale(*known, edges, [], 0, WHOLE_RUN)
    signed = about.kind == "diverging"
    shares = list(SIGNED_QUANTILES if signed else QUANTILES)
    tokens, edges = run.quantiles(about.column, shares, absolute=signed)
    if signed:
        edges, shares = [-e for e in reversed(edges)] + edges, shares[::-1] + shares
    fresh = Texts.FRESH in run.scale_texts(about.column)
    over = WHOLE_RUN if fresh or not edges else PROBES_ONLY
    return Scale(*known, edges, shares if edges else [], tokens, over)


class Histogram(NamedTuple):
    """Edges of the bars, and how many tokens each of them counts, one more than edges; no counts
    for a fixed scale, whose bars are those of the text shown.
    """

    bins: list[float]
    counts: list[int]


def histogram(run: Run, signal: str) -> Histogram:
    """How the values behind `scale` are spread. Raises KeyError for what is no signal."""
    about = SIGNALS[signal]
    if not about.column:
        return Histogram(_SHARE.copy(), [])
    signed = about.kind == "diverging"
    bins = (np.concatenate([-_SIDE[::-1], [0.0], _SIDE]) if signed else _NATS).tolist()
    return Histogram(bins, run.histogram(about.column, bins))
