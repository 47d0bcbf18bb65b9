"""How many Rock Tokens a rule takes of one planted world, by how much text of it is logged.

    python tests/benchmarks/size_of_log.py [--positions 100000 1000000 10000000] [--seed 0] [--json]

The world stays: types, phrases and the 40 planted rocks are the same at each size, so a rule that
says what a rock is gives the same K. *Before* is the largest K that is stable, which this tool took
once: with more text every ranking is stable. *After* is the default rule. Each detection runs in a
fresh process; ten million positions take some minutes and 3 GB.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]
import planted  # noqa: E402
from detect import alone  # noqa: E402

from rockcore.rocks.cutoff import Cutoff  # noqa: E402
from rockcore.rocks.detection import Detection  # noqa: E402
from rockcore.rocks.gather import Material  # noqa: E402
from rockcore.rocks.rule import RockRule  # noqa: E402
from rockcore.schema import Texts  # noqa: E402

WORLD = planted.Plan.sized(100_000)


class Taken(NamedTuple):
    k: int
    precision: float  # share of the K types that are planted rocks; NaN where there are none
    recall: float  # of the planted rocks


def detect_in(plan: planted.Plan) -> tuple[Detection, planted.Truth]:
    """The default rule on a planted log in memory."""
    corpus, truth = planted.corpus(plan)
    material = Material("paired", Texts.FINAL, corpus.steps, (corpus,))
    return Detection(material, RockRule()), truth


def largest_stable(cut: Cutoff, ranked: int, least: float = 0.7, saturated: float = 0.95) -> int:
    """K as it was chosen before: the largest at which halves agree, while there is loss left to
    cover; the knee of coverage where there is none.
    """
    sensible = min(ranked, int(np.searchsorted(cut.coverage[:ranked], saturated)) + 1)
    stable = np.flatnonzero(cut.jaccard[:sensible] >= least)
    return int(stable[-1]) + 1 if len(stable) else cut.knee


def taken(found: Detection, truth: planted.Truth, k: int) -> Taken:
    hits = int(np.isin(found.corpus.types[found.order[:k]], truth.rocks).sum())
    return Taken(k, hits / k if k else float("nan"), hits / len(truth.rocks))


def at_size(positions: int, seed: int) -> dict[str, Any]:
    """Both rules on so much text of the world."""
    found, truth = detect_in(replace(WORLD, positions=positions, seed=seed))
    cut, ranked = found.cutoff, int((found.scores > 0).sum())
    return {
        "ranked": ranked,
        "before": taken(found, truth, largest_stable(cut, ranked)),
        "after": taken(found, truth, cut.k),
        "chosen_by": cut.chosen_by,
        "jaccard": cut.stability.value,
    }


def size_table(sizes: dict[int, dict[str, Any]], seed: int) -> Table:
    of = f"{WORLD.rocks} planted rocks in {WORLD.vocabulary:,} types, seed {seed}"
    table = Table(
        "positions",
        "types with a score",
        "K before",
        "precision, recall",
        "K after",
        "precision, recall",
        "chosen by",
        "J of the set",
        title=f"K by size of log: {of}",
    )
    for positions, r in sizes.items():
        cells = [
            text
            for name in ("before", "after")
            for text in (str(r[name].k), f"{r[name].precision:.3f}, {r[name].recall:.3f}")
        ]
        more = [r["chosen_by"], f"{r['jaccard']:.2f}"]
        table.add_row(f"{positions:,}", f"{r['ranked']:,}", *cells, *more)
    return table


def main(
    positions: tuple[int, ...] = (100_000, 1_000_000, 10_000_000),
    seed: int = 0,
    as_json: Annotated[bool, tyro.conf.arg(name="json")] = False,
) -> None:
    """Print K, precision and recall by size of log, before and after."""
    sizes = {n: alone(at_size, n, seed) for n in positions}
    Console(width=150).print(size_table(sizes, seed))
    if as_json:
        print(json.dumps(sizes))


if __name__ == "__main__":
    sys.exit(tyro.cli(main))
