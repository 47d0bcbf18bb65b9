"""The histogram of a run's per-token loss at up to two checkpoints, with thresholds to drag.

While a handle is dragged, the counts above it are worked out in the browser from the bins alone,
and what else follows is looked up in what Python has sent along; Python only hears where it went.
The drawing is built once; new thresholds only move what is there.
Every string reaches the page through `textContent`. The component refuses what it cannot draw,
above all NaN: one in its data and the page shows nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamlit.components.v2 import component

from app.components import colours, script, style
from app.components.colours import themed

_HERE = Path(__file__).parent
_COLOURS = {"before": colours.PAIR[0], "after": colours.PAIR[1], "both": themed(colours.BOTH)}
_component = component(
    "rock_loss_histogram",
    css=style(_HERE / "histogram.css", _COLOURS, ".chart"),
    js=script("base", _HERE / "readings.js", _HERE / "histogram.js"),
)


class BadHistogram(ValueError):
    """Bins or thresholds that cannot be drawn."""


@dataclass(frozen=True)
class Histogram:
    """Counts of tokens per bin of a value with a logarithmic axis, for one or two checkpoints.

    `edges`: n interior edges, ascending, > 0, in `unit`; `series`: name -> n + 1 counts, the first
    for all tokens below edges[0], the last for all at or above edges[-1]. A token that lies on an
    edge counts in the bin above it (`np.searchsorted(edges, values, side="right")`), so that a
    threshold on an edge is counted exactly. Raises BadHistogram.
    """

    edges: list[float]
    series: dict[str, list[int]]
    unit: str

    def __post_init__(self) -> None:
        ascending = all(
            0 < low < high < math.inf for low, high in zip(self.edges, self.edges[1:], strict=False)
        )
        if len(self.edges) < 2 or not ascending:
            raise BadHistogram(
                f"the {len(self.edges)} edges {list(self.edges)[:4]}… are not at least two "
                "ascending numbers above 0: they have no "
                "place on a logarithmic axis. Give the interior edges only, such as "
                "rockcore.schema.KL_EDGES."
            )
        if len(self.series) > 2:
            raise BadHistogram(
                f"{len(self.series)} series: more than two overlaid outlines cannot be told "
                "apart. Give one or two."
            )
        for name, counts in self.series.items():
            if len(counts) != len(self.edges) + 1:
                raise BadHistogram(
                    f"series {name!r} has {len(counts)} counts for {len(self.edges)} edges. There "
                    "is one bin more than edges: "
                    "the first below all of them, the last above."
                )


@dataclass(frozen=True)
class Numbers:
    """What follows from the thresholds, told over the plot: at once while a handle moves.

    `labels`: of each number; `digits`: behind its point; `units`: behind it. `now` and `before`:
    where the thresholds stand and where they stood before the last change, None where that is not
    known. `courses`: for each handle that can be moved while the others stay, "moved" (the names
    of its thresholds), "at" (nats, ascending, all edges among them) and "numbers", a list for each
    label. A number that is not known is None. All are rounded to what is shown of them.
    """

    labels: list[str]
    digits: list[int]
    units: list[str]
    now: list[float | None]
    before: list[float | None] | None
    courses: list[dict[str, Any]]


def show(
    key: str,
    histogram: Histogram,
    thresholds: dict[str, float],
    linked: bool,
    caption: str,
    on_move: Callable[[], None],
    numbers: Numbers | None = None,
) -> None:
    """Draw `histogram` with a handle for each of `thresholds` ("tau_pre", "tau_post": nats); a
    handle that moves calls `on_move`.

    The n-th series is counted at or above the n-th threshold; the one there is serves both.
    `linked`: both thresholds are one value, drawn as one handle. `caption` names run, steps and
    estimator.

    In the run that `on_move` begins, the session state holds under [key]["moved"] the thresholds as
    they now stand: the names of `thresholds`, finite numbers (2 nats come as the int 2), and under
    "gesture" a whole number that is the same as long as a handle or a key is held. It is a trigger,
    not a state: a state's callback stays silent when a handle returns to where a hand last left it,
    though the thresholds were changed elsewhere since. Keep the numbers as they came (`str(x)`
    does) and give them back here in the next run; until the newest has come back, an
    older answer does not move the handle. Dragging gives three significant digits, or the
    nearest place of a course of `numbers`; the keyboard exact edges. Raises BadHistogram for a
    threshold that is not finite.
    """
    if not thresholds or not all(math.isfinite(value) for value in thresholds.values()):
        raise BadHistogram(
            f"thresholds {thresholds}: a handle needs a finite number to stand at. Give one or "
            f"two, in {histogram.unit}."
        )
    bins = {
        "edges": [float(edge) for edge in histogram.edges],
        "series": [
            {"name": name, "counts": [int(n) for n in counts]}
            for name, counts in histogram.series.items()
        ],
        "unit": histogram.unit,
    }
    stand = {name: float(value) for name, value in thresholds.items()}
    _component(
        key=key,
        data={
            "histogram": bins,
            "thresholds": stand,
            "linked": linked,
            "caption": caption,
            "numbers": None if numbers is None else vars(numbers),
        },
        on_moved_change=on_move,
    )
