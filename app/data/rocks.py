"""The door from the pages to detection: each function answers one question about a run under a
rule.

What a moving threshold needs comes from a sorted table in milliseconds; whole detections run beside
the page, give way to the next setting, and are remembered. Raises RockError where rockcore does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import streamlit as st

from app import words
from app.components.loss_histogram import Histogram
from app.data import rules, runs, texts
from app.data.runs import RunKey
from app.data.texts import packed
from app.work import known, remember, work
from rockcore.rocks import search
from rockcore.rocks.change import CLASSES, HARD
from rockcore.rocks.detection import Detection
from rockcore.rocks.gather import Material, gather
from rockcore.rocks.rockset import RockSet
from rockcore.rocks.rule import COLUMNS, CONTROLS, KNOBS, MODES, PRESETS, BadRule, RockRule
from rockcore.rocks.scores import SCORES
from rockcore.rocks.thresholds import Reading, ThresholdTable

__all__ = [
    "CLASSES",
    "COLUMNS",
    "CONTROLS",
    "HARD",
    "KNOBS",
    "MODES",
    "PRESETS",
    "SCORES",
    "BadRule",
    "RockRule",
    "RockSet",
]

save_rule = rules.save

_EDGES = np.geomspace(1e-4, 20.0, 121)
_CHOICES = 300  # token types offered by name, the most frequent
_LARGE = (
    2_000_000  # from here on presets are only compared on request: each is a detection of its own
)
_MOMENT = 300_000  # occurrences that a detection is done with in about a second
_EXAMPLES, _AROUND = 200, 8  # occurrences listed, tokens of context on each side


def rule(text: str) -> RockRule:
    """The rule of a link; raises BadRule."""
    return RockRule.from_short(text)


def named_rule(name: str) -> RockRule:
    """A preset or a saved rule."""
    return PRESETS[name] if name in PRESETS else rules.load(name)


def rule_names() -> list[str]:
    """Presets, then the rules that were saved."""
    return [*PRESETS, *rules.names()]


_READS = ("column", "mode", "probe_set", "pre_step", "post_step")


def _reads(rule: RockRule) -> tuple[Any, ...]:
    """What of a rule decides which occurrences are read."""
    return tuple(getattr(rule, name) for name in _READS)


@st.cache_resource(max_entries=2, show_spinner="Reading the log")
def _material(run: RunKey, reads: tuple[Any, ...]) -> Material:
    return gather(runs.log(run), RockRule(**dict(zip(_READS, reads, strict=True))))


@st.cache_resource(max_entries=2, show_spinner="Sorting the occurrences")
def _table(run: RunKey, reads: tuple[Any, ...]) -> ThresholdTable:
    return ThresholdTable(_material(run, reads).last)


class Instant(NamedTuple):
    """What is known the moment a threshold moves: the thresholds in nats, and what is persistent at
    them.
    """

    tau_pre: float
    tau_post: float
    reading: Reading


def instant(run: RunKey, rule: RockRule) -> Instant | None:
    """Answers from the sorted table; None where the texts before and after differ, and so no
    occurrence has both losses.
    """
    if not _material(run, _reads(rule)).paired:
        return None
    table = _table(run, _reads(rule))
    tau = table.tau(rule, runs.log(run).meta.dtype)
    return Instant(*tau, table.read(*tau))


def taus(run: RunKey, rule: RockRule) -> dict[str, float]:
    """Thresholds in nats where there is no table to ask."""
    pre, post = Detection(_material(run, _reads(rule)), rule, runs.log(run).meta.dtype).tau
    return {"tau_pre": pre, "tau_post": post}


class Found(NamedTuple):
    """A finished detection: the set, and which occurrences it judged how."""

    rocks: RockSet
    at: (
        np.ndarray
    )  # (M,) persistent occurrences, indices into the corpus; empty where only bounds are known
    mark: np.ndarray  # (M,) 1 persistent, 2 and context-consistent, 3 and of a type in the set


def found(run: RunKey, rule: RockRule) -> Found:
    """The whole detection, in a moment or while the page says what is being done."""
    log, material = runs.log(run), _material(run, _reads(rule))
    classes_key = ("classes", run, _reads(rule), rule.seed)

    def task(pulse: Callable[[], None]) -> Found:
        detection = search.examine(log, rule, pulse=pulse, material=material)
        classes = known(
            classes_key
        )  # they do not depend on thresholds: worked out once for many rules
        if classes is None:
            classes = remember(classes_key, search.classes_of(material, rule, pulse))
        return Found(search.conclude(log, detection, classes), *_marks(detection))

    return work((run, rule), task, "Looking for recurring contexts and stable types")


def chosen_by_halves(run: RunKey, rule: RockRule) -> tuple[np.ndarray, ...]:
    """rocks.chosen_by_halves, from a detection of its own: only one page asks, and all others would
    wait for it.
    """
    log, material = runs.log(run), _material(run, _reads(rule))
    task = lambda pulse: search.chosen_by_halves(
        search.examine(log, rule, pulse=pulse, material=material)
    )  # noqa: E731
    return work(("halves", run, rule), task, "Choosing on either half")


def found_before(run: RunKey, rule: RockRule) -> RockSet | None:
    """The set, if it was computed already."""
    done = known((run, rule))
    return None if done is None else done.rocks


def _marks(detection: Detection) -> tuple[np.ndarray, np.ndarray]:
    if detection.candidates is None or detection.consistency is None:
        return np.zeros(0, np.int64), np.zeros(0, np.int8)
    kept = detection.consistency.kept
    return detection.candidates.at, (
        1 + kept + (kept & detection.in_set[detection.candidates.type])
    ).astype(np.int8)


def is_large(run: RunKey, rule: RockRule) -> bool:
    """Whether a detection takes minutes here."""
    return len(_material(run, _reads(rule)).last) > _LARGE


def beside_presets(run: RunKey, rule: RockRule) -> pd.DataFrame:
    """This rule and each preset, on the texts this rule reads: rule, K, coverage, stability, kept,
    densities, jaccard with this set.
    """
    mine = set(found(run, rule).rocks.ids)
    rows = []
    for name, other in {"this rule": rule, **PRESETS}.items():
        rocks = found(run, replace(other, **dict(zip(_READS, _reads(rule), strict=True)))).rocks
        ids = set(rocks.ids)
        rows.append(
            {
                "rule": name,
                "K": len(ids),
                "coverage": f"{rocks.coverage:.0%}",
                "stability": f"{rocks.stability.value:.2f} "
                f"({rocks.stability.low:.2f}–{rocks.stability.high:.2f})"
                if ids
                else "–",
                "persistent": rocks.occurrences["persistent"],
                "kept": rocks.occurrences["consistent"],
                "type density": f"{rocks.density['type']:.1%}",
                "occurrence density": "unknown"
                if (d := rocks.density["occurrence"]) is None
                else f"{d:.1%}",
                "J with this": f"{len(ids & mine) / len(ids | mine):.2f}" if ids | mine else "",
            }
        )
    return pd.DataFrame(rows)


def token_names(run: RunKey, rule: RockRule) -> dict[int, str]:
    """Id -> visible text of the most frequent types, and of those that the rule names."""
    named = (*rule.excluded_types, *(token for _, token in rule.excluded_contexts))
    return _token_names(run, _reads(rule), named)


@st.cache_data(max_entries=16, show_spinner=False)
def _token_names(run: RunKey, reads: tuple[Any, ...], named: tuple[int, ...]) -> dict[int, str]:
    corpus = _material(run, reads).last
    token_texts = runs.log(run).vocab.set_index("token_id").token
    most = corpus.types[np.argsort(-np.bincount(corpus.type), kind="stable")[:_CHOICES]].tolist()
    return {
        i: f"{words.visible(str(token_texts.get(i, '?')))} · id {i}"
        for i in dict.fromkeys((*most, *named))
    }


def histogram(run: RunKey, rule: RockRule) -> Histogram:
    """Occurrences by loss before and after, on the texts that the rule reads."""
    return _histogram(run, _reads(rule))


@st.cache_data(max_entries=16, show_spinner=False)
def _histogram(run: RunKey, reads: tuple[Any, ...]) -> Histogram:
    material = _material(run, reads)
    series = {
        f"step {material.steps[0]}": material.before(),
        f"step {material.steps[-1]}": material.last.losses[-1],
    }
    bins = np.concatenate([[-np.inf], _EDGES, [np.inf]])
    return Histogram(
        _EDGES.tolist(),
        {name: np.histogram(loss, bins)[0].tolist() for name, loss in series.items()},
        "nats",
    )


def corpus_line(run: RunKey, rule: RockRule) -> str:
    """What is being looked at, in one line: whose texts, how many, at which steps."""
    material = _material(run, _reads(rule))
    whose = {
        "final": "texts of the final student",
        "first": "texts of the first student",
        "fresh": "fresh rollouts of each step",
    }
    last = material.last
    steps = f"steps {', '.join(map(str, material.steps[:-1]))} and {material.steps[-1]}"
    return (
        f"{material.mode}: {last.rollouts} {whose[material.source]}, {len(last):,} tokens, {steps}"
    )


def steps(run: RunKey, rule: RockRule) -> list[int]:
    """Checkpoints that the rule could compare."""
    source = _material(run, _reads(replace(rule, pre_step=None, post_step=None))).source
    return runs.steps(run, source)


def source(run: RunKey, rule: RockRule) -> str:
    return _material(run, _reads(rule)).source


def rollouts(run: RunKey, rule: RockRule) -> list[int]:
    """Rollouts of the last checkpoint, those with most kept occurrences first."""
    corpus = _material(run, _reads(rule)).last
    done = found(run, rule)
    kept = np.bincount(corpus.rollout[done.at[done.mark > 1]], minlength=corpus.rollouts)
    return corpus.rollout_ids[np.argsort(-kept, kind="stable")].tolist()


class Judged(NamedTuple):
    """What a rule makes of one text, for the token pane: JSON."""

    tau: float | None  # τ_post in nats
    names: list[str]  # of the classes
    # (T,) u1, base64: index into `names`, 255 where the rule does not know the type; empty if `why`
    classes: str
    marks: (
        str  # (T,) u1, base64: 0, or as in Found; empty where the text is none that the rule judges
    )
    why: str  # why something is missing; empty if nothing is
    later: bool = False  # whether more can be known in a moment


def judged(
    run: RunKey, rule: RockRule, where: str, rollout: int, ids: np.ndarray, at_once: bool = False
) -> Judged:
    """The text `rollout` of the source `where`, token ids (T,), under a rule.

    `at_once`: only if it has been worked out before. Never raises for a rule that finds nothing:
    then `why` says so.
    """
    try:
        if at_once and known((run, rule)) is None:
            if len(_material(run, _reads(rule)).last) <= _MOMENT:
                return Judged(
                    taus(run, rule)["tau_post"],
                    [],
                    "",
                    "",
                    "The rule is being worked out.",
                    later=True,
                )
            return Judged(
                None,
                [],
                "",
                "",
                "This log is large: open the page Rock tokens once, which works the rule out.",
            )
        material, done = _material(run, _reads(rule)), found(run, rule)
    except runs.RockError as e:
        return Judged(None, [], "", "", str(e))
    tokens = done.rocks.tokens
    names = list(CLASSES)
    class_of = dict(
        zip(
            tokens.token_id,
            (names.index(c) if c in names else 255 for c in tokens["class"]),
            strict=True,
        )
    )
    classes = packed([class_of.get(i, 255) for i in ids.tolist()], "u1")
    tau = done.rocks.rule.tau_post
    if where != material.source:
        return Judged(
            tau,
            names,
            classes,
            "",
            f"The rule judges other texts (source {material.source}): no occurrence here is kept "
            "by it.",
        )
    return Judged(tau, names, classes, packed(_marks_of(material, done, rollout), "u1"), "")


def _marks_of(material: Material, done: Found, rollout: int) -> np.ndarray:
    """(T,) the mark of each token of a text that the rule judged."""
    corpus = material.last
    b = int(np.searchsorted(corpus.rollout_ids, rollout))
    begin, length = int(corpus.starts[b]), int(corpus.lengths[b])
    marks = np.zeros(length, np.int8)
    low, high = np.searchsorted(done.at, [begin, begin + length])
    marks[done.at[low:high] - begin] = done.mark[low:high]
    return marks


def preview(run: RunKey, rule: RockRule, rollout: int, step: int) -> dict[str, Any]:
    """One rollout at a step for the token pane: its text and values, and its occurrences marked as
    the rule judges them.
    """
    material, done = _material(run, _reads(rule)), found(run, rule)
    return {
        "text": texts.text(run, material.source, step, rollout),
        "values": texts.values(run, material.source, step, rollout),
        "marks": _marks_of(material, done, rollout).tolist(),
    }


def table(run: RunKey, rule: RockRule) -> pd.DataFrame:
    """The types with rank, shown (visible whitespace), series (mean over the logged steps),
    interval of the change in words.
    """
    key = ("table", run, rule)
    if (before := known(key)) is not None:
        return before
    tokens = found(run, rule).rocks.tokens
    series = _series(run, source(run, rule), rule.column)
    change = [
        "" if np.isnan(low) else f"{low:+.2f} to {high:+.2f}"
        for low, high in zip(tokens.change_low, tokens.change_high, strict=True)
    ]
    n = tokens.frequency.sum()
    frame = tokens.assign(
        rank=np.arange(1, len(tokens) + 1),
        shown=[words.visible(t) for t in tokens.token],
        series=[series.get(t, []) for t in tokens.token_id],
        interval=change,
        type_density=tokens.frequency / n,
        occurrence_density=tokens.consistent / n,
    )
    return remember(key, frame)


@st.cache_data(max_entries=8, show_spinner=False)
def _series(run: RunKey, source: str, column: str) -> dict[int, list[float]]:
    frame = runs.log(run).type_means(runs.table(source), column)
    wide = frame.pivot(index="token_id", columns="step", values="mean").sort_index(axis=1)
    return {
        int(token): row[~np.isnan(row)].round(4).tolist()
        for token, row in zip(wide.index, wide.to_numpy(), strict=True)
    }


def narrowed(
    frame: pd.DataFrame, search: str, categories: list[str], classes: list[str], only_set: bool
) -> pd.DataFrame:
    """The rows whose token (text or id) holds `search`, of the picked categories and classes; no
    pick means all.
    """
    keep = np.ones(len(frame), bool)
    if search:
        keep &= (
            frame.shown.str.contains(search, regex=False)
            | frame.token.str.contains(search, regex=False)
            | (frame.token_id.astype(str) == search)
        )
    if categories:
        keep &= frame.category.isin(categories)
    if classes:
        keep &= frame["class"].isin(classes)
    return frame.loc[keep & (frame.in_set | (not only_set))]


def examples(run: RunKey, rule: RockRule, token_id: int) -> pd.DataFrame:
    """Occurrences of a type in context, those in the set first, then kept, then by loss.

    Columns: left, shown, right, before, after (nats), judged, rollout, position.
    """
    material, done = _material(run, _reads(rule)), found(run, rule)
    corpus = material.last
    at = np.flatnonzero(corpus.token_id == token_id)
    mark = np.zeros(len(at), int)
    place = np.searchsorted(done.at, at)
    there = place < len(done.at)
    there[there] = done.at[place[there]] == at[there]
    mark[there] = done.mark[place[there]]
    order = np.lexsort((-corpus.losses[-1][at], -mark))[:_EXAMPLES]
    token_texts = runs.log(run).vocab.set_index("token_id").token
    rows = [
        _in_context(corpus, int(i), int(m), token_texts, material.paired)
        for i, m in zip(at[order], mark[order], strict=True)
    ]
    return pd.DataFrame(rows)


_JUDGED = ("not persistent", "persistent", "kept", "kept, in the set")


def _in_context(
    corpus: Any, i: int, mark: int, token_texts: pd.Series, paired: bool
) -> dict[str, Any]:
    b = int(corpus.rollout[i])
    begin, end = int(corpus.starts[b]), int(corpus.starts[b] + corpus.lengths[b])

    def text(low: int, high: int) -> str:
        return words.visible(
            "".join(token_texts.loc[corpus.token_id[max(low, begin) : min(high, end)]]), spaces=True
        )

    return {
        "left": text(i - _AROUND, i),
        "shown": words.visible(str(token_texts.loc[corpus.token_id[i]])),
        "right": text(i + 1, i + 1 + _AROUND),
        "before": float(corpus.losses[0][i]) if paired else None,
        "after": float(corpus.losses[-1][i]),
        "judged": _JUDGED[mark],
        "rollout": int(corpus.rollout_ids[b]),
        "position": i - begin,
    }


def _control_ids(material: Material, control: dict[str, Any]) -> np.ndarray:
    """The token at each position of the control."""
    corpus = material.last
    b = np.searchsorted(corpus.rollout_ids, np.array(control.get("rollout_id", []), int))
    return corpus.token_id[corpus.starts[b] + np.array(control.get("position", []), int)]


def control_types(run: RunKey, rule: RockRule) -> list[int]:
    """Token types that hold positions of the control."""
    return np.unique(
        _control_ids(_material(run, _reads(rule)), found(run, rule).rocks.control)
    ).tolist()


def category_pair(run: RunKey, rule: RockRule) -> pd.DataFrame:
    """Share of each category among rock occurrences and the control's positions: category, rocks,
    control, n_rocks, n_control.
    """
    material, done = _material(run, _reads(rule)), found(run, rule)
    category = done.rocks.tokens.set_index("token_id").category
    positions = {
        "n_rocks": material.last.token_id[done.at[done.mark == 3]],
        "n_control": _control_ids(material, done.rocks.control),
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


def densities(run: RunKey, rule: RockRule) -> pd.DataFrame:
    """Per rollout: share of its tokens that are of a rock type (type), and that are kept rock
    occurrences (occurrence).
    """
    counts = found(run, rule).rocks.rollouts
    shares = {
        name: counts[name] / counts.tokens for name in ("type", "occurrence") if name in counts
    }
    return pd.DataFrame({"rollout_id": counts.rollout_id, **shares})


def flow(run: RunKey, rule: RockRule) -> pd.DataFrame:
    """Types by whether they are hard at the first, middle and last checkpoint: first, middle, last
    (bool), types, tokens.
    """
    done = found(run, rule).rocks
    hard = {
        name: done.tokens[f"mean_{name}"] >= done.hard_from for name in ("first", "middle", "last")
    }
    frame = pd.DataFrame({**hard, "tokens": done.tokens.frequency})
    return (
        frame.groupby(["first", "middle", "last"])
        .agg(types=("tokens", "size"), tokens=("tokens", "sum"))
        .reset_index()
    )
