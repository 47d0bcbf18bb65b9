"""From a finished detection to its report: the table of types, groups, control, and what has to be
said beside the numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from rockcore.categories import Rule, categorize_all, sentence_marks, sentence_starts_of
from rockcore.log import Run
from rockcore.rocks import controls
from rockcore.rocks.cutoff import K_MAX, Cutoff
from rockcore.rocks.detection import Detection
from rockcore.rocks.empty import why_empty
from rockcore.rocks.group_change import group_change
from rockcore.rocks.history import History
from rockcore.rocks.report import RockReport
from rockcore.schema import Texts

_OF_GROUPS = "group types tokens naive crossed low high before after".split()


def conclude(
    run: Run,
    found: Detection,
    classes: pd.DataFrame,
    categories: tuple[Rule, ...] | None = None,
) -> RockReport:
    """All stages of a detection as one value. `classes`: of examined.classes_of; `categories`:
    rules in place of the run's.
    """
    cut, corpus, rule = found.cutoff, found.corpus, found.rule
    tokens = _token_table(run, found, classes, categories)
    density = pd.DataFrame({"rollout_id": corpus.rollout_ids, **found.density()})
    return RockReport(
        run=str(run.path),
        name=run.meta.name,
        fingerprint=run.fingerprint(),
        tokenizer_hash=run.meta.tokenizer_hash,
        estimator=run.meta.estimator,
        mode=found.material.mode,
        source=found.material.source,
        steps=found.material.steps,
        rule=replace(rule, tau_pre=found.tau[0], tau_post=found.tau[1], top_k=cut.k, tau_rock=None),
        asked=rule,
        chosen_by=cut.chosen_by,
        knee=cut.knee,
        hard_from=float(classes.attrs["hard_from"]),
        occurrences=_occurrences(found),
        coverage=cut.covered,
        stability=cut.stability,
        density=_overall(density, len(corpus)),
        tokens=tokens,
        rollouts=density,
        curves=_curves(cut),
        groups=pd.DataFrame(columns=_OF_GROUPS) if found.material.single else _groups(found),
        control=_control(found),
        notes=_notes(found),
        why_empty=why_empty(found),
        enough=cut.enough,
    )


def _overall(density: pd.DataFrame, n: int) -> dict[str, float | None]:
    return {
        name: float(density[name].sum() / max(n, 1)) if name in density else None
        for name in ("type", "occurrence")
    }


def _curves(cut: Cutoff) -> pd.DataFrame:
    names = ("coverage", "jaccard", "low", "high", "nested")
    return pd.DataFrame(
        {
            "k": np.arange(1, len(cut.coverage) + 1),
            **{name: getattr(cut, name) for name in names},
        }
    )


def _occurrences(found: Detection) -> dict[str, int | None]:
    n: dict[str, int | None] = {"scored": len(found.corpus)}
    if found.material.single:
        unknown = ("persistent", "persistent_low", "persistent_high", "consistent", "in_set")
        return {**n, **dict.fromkeys(unknown)}
    if found.candidates is None or found.consistency is None or found.rock_occurrences is None:
        low, high = (
            math.floor(found.bounds[0].sum() + 1e-6),
            math.ceil(found.bounds[1].sum() - 1e-6),
        )
        return {
            **n,
            "persistent": None,
            "persistent_low": low,
            "persistent_high": high,
            "consistent": None,
            "in_set": None,
        }
    consistent, in_set = int(found.consistency.kept.sum()), int(found.rock_occurrences.sum())
    return {**n, "persistent": len(found.candidates.at), "consistent": consistent, "in_set": in_set}


def _mostly_open_sentences(found: Detection, run: Run) -> np.ndarray:
    """(V,) bool: at least half of the type's occurrences open a sentence."""
    corpus = found.corpus
    marks = np.zeros(int(max(run.vocab.token_id.max(), corpus.types.max(initial=0))) + 1, np.int8)
    marks[run.vocab.token_id] = sentence_marks(run.vocab.token.tolist())
    first = np.zeros(len(corpus), bool)
    first[corpus.starts] = True
    opening = np.bincount(
        corpus.type[sentence_starts_of(corpus.token_id, first, marks)], minlength=len(corpus.types)
    )
    return 2 * opening >= found.stats.n


def _token_table(
    run: Run, found: Detection, classes: pd.DataFrame, categories: tuple[Rule, ...] | None
) -> pd.DataFrame:
    known, order = found.stats, found.order
    vocab = run.vocab.set_index("token_id").loc[known.token_id]
    total = known.kl_sum.sum()
    share = known.kl_sum / total if total > 0 else np.zeros(len(order))
    unknown = np.full(len(order), np.nan)
    consistent = unknown if found.consistent is None else found.consistent
    low, high = (
        found.bounds if found.material.mode == "bounds" else (found.persistent, found.persistent)
    )
    columns = {
        "token_id": known.token_id,
        "token": vocab.token.to_numpy(),
        "category": categorize_all(
            vocab.token,
            vocab.special,
            _mostly_open_sentences(found, run),
            categories or run.category_rules,
        ),
        "frequency": known.n,
        "mean": known.mean,
        "rock_score": known.kl_sum,
        "share": share,
        "persistent": low,
        "persistent_high": high,
        "consistent": consistent,
        "ccr": consistent / known.n,
        "rock_score_ctx": unknown if found.consistent is None else known.mean * consistent,
        "score": found.scores,
        "precision": found.precision,
        "in_set": found.in_set,
        **{name: classes[name].to_numpy() for name in classes.columns if name != "chosen"},
    }
    frame = pd.DataFrame(columns).iloc[order].reset_index(drop=True)
    frame.insert(7, "coverage", frame.share.cumsum())
    return frame


def _groups(found: Detection) -> pd.DataFrame:
    """Rocks, rare types with a high loss before, and all others: relative change, naive and
    cross-fitted.

    The rare ones are chosen at the first checkpoint, also where it has texts of its own: chosen at
    the last they would seem to have risen.
    """
    history, k, ids = (
        History.of(found.material.corpora, found.material.paired),
        found.cutoff.k,
        found.corpus.types,
    )
    one, two = history.halves(found.rule.seed)
    everyone = [np.ones((1, sums.rollouts)) for sums in history.sums]
    sides = next(iter(found.in_parts(one[2] > 0)))
    rows: dict[str, list[np.ndarray]] = {"rocks": [], "rare, high before": [], "others": []}
    for known, rollouts in ((found.stats, everyone), (sides[0], one), (sides[1], two)):
        rocks = top_types(found.score_of(known), ids, k)
        first = history.sums[0]
        n, before = first.counts(rollouts[0])[0], np.nan_to_num(first.means(rollouts[0])[0])
        rare = top_types(np.where((n >= 2) & ~rocks, before, 0.0), ids, k)
        for name, chosen in zip(rows, (rocks, rare, ~rocks & ~rare), strict=True):
            rows[name].append(chosen)
    return pd.DataFrame(
        {"group": name, "types": int(c[0].sum()), "tokens": int(found.stats.n[c[0]].sum())}
        | group_change(history, c[0], (c[1], c[2]), found.rule.seed)
        for name, c in rows.items()
    )


def top_types(score: np.ndarray, ids: np.ndarray, k: int) -> np.ndarray:
    """(V,) bool: the k types of highest score above 0; ties by token id."""
    chosen = np.zeros(len(score), bool)
    chosen[np.lexsort((ids, -score))[:k]] = True
    return chosen & (score > 0)


def _control(found: Detection) -> dict[str, Any]:
    """The control set with how it was drawn, its positions by rollout_id and position."""
    rocks = found.rock_occurrences
    if rocks is None and found.rule.controls != "authors":
        return {
            "kind": found.rule.controls,
            "how": "Not drawn: without paired texts there are no rock occurrences to match.",
            "n": 0,
        }
    corpus, types = found.corpus, controls.Types(found.in_set, found.next_in_rank)
    rocks = np.zeros(len(corpus), bool) if rocks is None else rocks
    drawn = controls.draw(found.rule.controls, corpus, rocks, types, found.tau[1], found.rule.seed)
    return {
        "kind": drawn.kind,
        "how": drawn.how,
        "seed": drawn.seed,
        "n": len(drawn.at),
        "short": drawn.short,
        "mean": float(corpus.losses[-1][drawn.at].mean(dtype=np.float64))
        if len(drawn.at)
        else None,
        "types": list(drawn.types),
        "rollout_id": corpus.rollout_ids[corpus.rollout[drawn.at]].tolist(),
        "position": (drawn.at - corpus.starts[corpus.rollout[drawn.at]]).tolist(),
    }


def _notes(found: Detection) -> tuple[str, ...]:
    """What has to be said beside the numbers."""
    return (*_notes_on_texts(found), *_notes_on_thresholds(found), *_notes_on_set(found))


def _notes_on_texts(found: Detection) -> Iterator[str]:
    differ = "The texts before and after training differ"
    if found.material.single:
        yield (
            f"There is one checkpoint, step {found.material.steps[0]}: types are ranked by their "
            "loss there, without persistence. What became of them, and what of it recurs in "
            "contexts, is unknown."
        )
    if found.material.mode == "bounds":
        yield (
            f"{differ}, so no position has both losses: the number of persistent occurrences is "
            "bounded, and whether they recur in similar "
            "contexts is unknown."
        )
    if found.score != found.rule.score:
        yield "Types are ranked by R(v) instead of R_ctx(v)."
    if found.material.mode == "matched":
        yield (
            f"{differ}: an occurrence counts as persistent if half of those of its type in "
            "similar contexts were high before. "
            f"{found.unmatched} high ones had no similar context and are left out."
        )
    if found.material.source is Texts.FIRST:
        yield "The texts are those of the starting student: the trained one may write others."


def _notes_on_thresholds(found: Detection) -> Iterator[str]:
    """Which knobs do nothing for this set."""
    if found.score == "rock_score_ctx":
        return
    rest = {
        "single": "here they change nothing",
        "bounds": "thresholds move the bounds on what is persistent, contexts nothing",
    }
    yield (
        f"Thresholds and contexts (τ_pre, τ_post, w, γ, η, support) do not change this set: "
        f"{found.score} ranks types by their loss alone and looks at no occurrence; "
        f"{rest.get(found.material.mode, 'they change what is persistent and kept')}."
    )


def _notes_on_set(found: Detection) -> Iterator[str]:
    cut, rule = found.cutoff, found.rule
    if cut.chosen_by == "given" and 0 < cut.k < (rule.top_k or 0):
        yield (
            f"Only {cut.k} types have a {found.score} above 0: the set is smaller than "
            f"the K = {rule.top_k} of the rule."
        )
    if cut.chosen_by == "stability" and cut.k == K_MAX:
        yield f"K is searched for up to {K_MAX} types; more may be stable too. Give top_k to see."
    if cut.chosen_by == "stability" and cut.k < K_MAX:
        yield (
            f"{cut.enough} types hold enough of the loss; disjoint halves of the rollouts agree "
            f"on the first {cut.k} of them (Jaccard {rule.min_jaccard:g} or more). More text may "
            "settle the others."
        )
    if cut.k and math.isnan(cut.stability.value):
        yield (
            "These texts are one rollout, which has no halves: how stable the set is, is unknown."
        )
