"""The occurrences behind a set, one by one: in their contexts, in a rollout, beside the control."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from rockcore.rocks.change import CLASSES
from rockcore.rocks.corpus import Corpus
from rockcore.rocks.examined import Examined
from rockcore.rocks.gather import Material
from rockcore.rocks.report import RockReport
from rockcore.rocks.thresholds import EDGES
from rockcore.spelling import visible

VERDICTS = ("not high", "high", "recurring", "recurring, in the set")  # by Marks.mark
UNKNOWN = 255  # the code of a type that a report does not know
_EXAMPLES, _AROUND = 200, 8  # occurrences listed, tokens of context on each side


def examples(found: Examined, token_id: int, most: int = _EXAMPLES) -> pd.DataFrame:
    """At most `most` occurrences of a type in context, those in the set first, then kept, then by
    loss.

    Columns: left, shown, right, before (only where texts are paired), after (nats), verdict,
    rollout, position.
    """
    corpus, (marked, marks) = found.material.last, found.marks
    at = np.flatnonzero(corpus.token_id == token_id)
    mark = np.zeros(len(at), int)
    place = np.searchsorted(marked, at)
    there = place < len(marked)
    there[there] = marked[place[there]] == at[there]
    mark[there] = marks[place[there]]
    order = np.lexsort((-corpus.losses[-1][at], -mark))[:most]
    known = found.report.occurrences["persistent"] is not None
    texts = found.run.vocab.set_index("token_id").token
    rows = [
        _in_context(found.material, int(i), texts)
        | {"verdict": VERDICTS[m] if known else "unknown"}
        for i, m in zip(at[order], mark[order], strict=True)
    ]
    columns = ["left", "shown", "right", "before", "after", "verdict", "rollout", "position"]
    if not found.material.paired:
        columns.remove("before")
    return pd.DataFrame(rows, columns=columns)


def _in_context(material: Material, i: int, texts: pd.Series) -> dict[str, Any]:
    corpus = material.last
    b = int(corpus.rollout[i])
    begin, end = int(corpus.starts[b]), int(corpus.starts[b] + corpus.lengths[b])

    def text(low: int, high: int) -> str:
        ids = corpus.token_id[max(low, begin) : min(high, end)]
        return visible("".join(texts.loc[ids]), spaces=True)

    return {
        "left": text(i - _AROUND, i),
        "shown": visible(str(texts.loc[corpus.token_id[i]])),
        "right": text(i + 1, i + 1 + _AROUND),
        "before": float(corpus.losses[0][i]) if material.paired else None,
        "after": float(corpus.losses[-1][i]),
        "rollout": int(corpus.rollout_ids[b]),
        "position": i - begin,
    }


def by_kept(found: Examined) -> list[int]:
    """Rollouts of the last checkpoint, those with most kept occurrences first."""
    corpus, (at, mark) = found.material.last, found.marks
    kept = np.bincount(corpus.rollout[at[mark > 1]], minlength=corpus.rollouts)
    return corpus.rollout_ids[np.argsort(-kept, kind="stable")].tolist()


def judges(found: Examined, rollout: int, ids_T: np.ndarray) -> bool:
    """Whether the rule judged this very text: fresh rollouts of another step bear the same ids."""
    corpus = found.material.last
    b = int(np.searchsorted(corpus.rollout_ids, rollout))
    if b == corpus.rollouts or corpus.rollout_ids[b] != rollout:
        return False
    begin = int(corpus.starts[b])
    return np.array_equal(corpus.token_id[begin : begin + int(corpus.lengths[b])], ids_T)


def marks_of(found: Examined, rollout: int) -> np.ndarray:
    """(T,) int8: the mark of each token of a text that the rule judged, 0 where it has none."""
    corpus, (at, mark) = found.material.last, found.marks
    b = int(np.searchsorted(corpus.rollout_ids, rollout))
    begin, length = int(corpus.starts[b]), int(corpus.lengths[b])
    marks = np.zeros(length, np.int8)
    low, high = np.searchsorted(at, [begin, begin + length])
    marks[at[low:high] - begin] = mark[low:high]
    return marks


def class_codes(report: RockReport, ids_T: np.ndarray) -> np.ndarray:
    """(T,) uint8: the place of each token's class in CLASSES; UNKNOWN for other types."""
    code = {name: i for i, name in enumerate(CLASSES)}
    tokens = report.tokens
    codes = pd.Series(
        [code.get(c, UNKNOWN) for c in tokens["class"]], index=tokens.token_id, dtype=np.uint8
    )
    return codes.reindex(ids_T, fill_value=UNKNOWN).to_numpy()


def _control_ids(found: Examined) -> np.ndarray:
    """The token at each position of the control."""
    corpus, control = found.material.last, found.report.control
    b = np.searchsorted(corpus.rollout_ids, np.array(control.get("rollout_id", []), int))
    return corpus.token_id[corpus.starts[b] + np.array(control.get("position", []), int)]


def control_types(found: Examined) -> list[int]:
    """Token types that hold positions of the control."""
    return np.unique(_control_ids(found)).tolist()


def category_pair(found: Examined) -> pd.DataFrame:
    """Share of each category among rock occurrences and the control's positions: category, rocks,
    control, n_rocks, n_control.
    """
    if found.report.occurrences["in_set"] is None:  # nothing to set beside a control
        return pd.DataFrame(columns=["category", "rocks", "control", "n_rocks", "n_control"])
    at, mark = found.marks
    category = found.report.tokens.set_index("token_id").category
    positions = {
        "n_rocks": found.material.last.token_id[at[mark == 3]],
        "n_control": _control_ids(found),
    }
    counts = (
        pd.DataFrame({name: category.loc[ids].value_counts() for name, ids in positions.items()})
        .fillna(0)
        .astype(int)
    )
    shares = counts / counts.sum().clip(lower=1)
    frame = (
        counts.assign(rocks=shares.n_rocks, control=shares.n_control)
        .rename_axis("category")
        .reset_index()
    )
    return frame.sort_values("rocks", ascending=False, ignore_index=True)


class LossHistogram(NamedTuple):
    """Occurrences by loss: the first bin is below edges[0], the last at or above edges[-1]."""

    edges: list[float]  # nats
    series: dict[str, list[int]]  # checkpoint -> counts


def loss_histogram(material: Material) -> LossHistogram:
    """Occurrences by loss before and after, on the texts that a rule reads."""
    bins = np.concatenate([[-np.inf], EDGES, [np.inf]])
    ends = {
        f"step {material.steps[0]}": material.before(),
        f"step {material.steps[-1]}": material.last.losses[-1],
    }
    counts = {name: np.histogram(loss, bins)[0].tolist() for name, loss in ends.items()}
    return LossHistogram(EDGES.tolist(), counts)


def most_frequent(corpus: Corpus, n: int) -> list[int]:
    """The token ids that occur most often, ties by token id."""
    return corpus.types[np.argsort(-np.bincount(corpus.type), kind="stable")[:n]].tolist()


def line(material: Material) -> str:
    """What is being looked at, in one line: whose texts, how many, at which steps."""
    last, steps = material.last, material.steps
    where = (
        f"step {steps[0]} alone"
        if material.single
        else f"steps {', '.join(map(str, steps[:-1]))} and {steps[-1]}"
    )
    return (
        f"{material.mode}: {last.rollouts} {material.source.phrase}, {len(last):,} tokens, {where}"
    )
