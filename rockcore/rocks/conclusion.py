"""From a finished detection to its report: the table of types, groups, control, and what has to be
said beside the numbers.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from rockcore.categories import Rule, categorize_all
from rockcore.categories.places import Places, usual_places
from rockcore.log import Run
from rockcore.log.beside import together
from rockcore.rocks import controls
from rockcore.rocks.cutoff import Cutoff
from rockcore.rocks.detection import Detection
from rockcore.rocks.empty import why_empty
from rockcore.rocks.group_change import group_change
from rockcore.rocks.history import History
from rockcore.rocks.notes import notes_on
from rockcore.rocks.report import RockReport

OF_GROUPS = "group types tokens naive crossed low high before after".split()


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
    _ = found.in_set, found.order  # both ask for them
    (groups, control), tokens = together(
        lambda: (_groups(found), _control(found)),
        lambda pulse: _tokens(run, found.heeding(pulse), classes, categories),
        found.pulse,
    )
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
        covered_elsewhere=cut.covered_elsewhere,
        stability=cut.stability,
        density=_overall(density, len(corpus)),
        tokens=tokens,
        rollouts=density,
        curves=curves(cut),
        groups=groups,
        control=control,
        notes=notes_on(found),
        why_empty=why_empty(found),
        enough=cut.enough,
    )


def _overall(density: pd.DataFrame, n: int) -> dict[str, float | None]:
    return {
        name: float(density[name].sum() / max(n, 1)) if name in density else None
        for name in ("type", "occurrence")
    }


def curves(cut: Cutoff) -> pd.DataFrame:
    """Coverage and stability by K."""
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


def _usual_places(found: Detection, run: Run) -> Places:
    """Where each type mostly stands, (K,)."""
    corpus = found.corpus
    first = np.zeros(len(corpus), bool)
    first[corpus.starts] = True
    vocab = run.vocab.token_id.to_numpy(), run.vocab.token
    places = usual_places(corpus.token_id, first, *vocab, found.pulse)
    return Places(*(each[corpus.types] for each in places))


def _tokens(
    run: Run, found: Detection, classes: pd.DataFrame, categories: tuple[Rule, ...] | None
) -> pd.DataFrame:
    return token_table(run, found, classes, _usual_places(found, run), categories)


def token_table(
    run: Run,
    found: Detection,
    classes: pd.DataFrame,
    places: Places,
    categories: tuple[Rule, ...] | None = None,
) -> pd.DataFrame:
    """One row a type, the best first. `places`: of each of the types (V,)."""
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
            places.opens,
            categories or run.category_rules,
            places.joins,
            found.pulse,
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
    if found.material.single:
        return pd.DataFrame(columns=OF_GROUPS)
    history, k, ids = (
        History.of(found.material.corpora, found.material.paired, found.pulse),
        found.cutoff.k,
        found.corpus.types,
    )
    one, two = history.halves(found.rule.seed)
    everyone = [np.ones((1, sums.rollouts)) for sums in history.sums]
    sides = next(iter(found.in_parts(one[2] > 0)))
    rows: dict[str, list[np.ndarray]] = {"Rock Tokens": [], "rare, high before": [], "others": []}
    for known, rollouts in ((found.stats, everyone), (sides[0], one), (sides[1], two)):
        found.pulse()
        rocks = top_types(found.score_of(known), ids, k)
        first = history.sums[0]
        n, before = first.counts(rollouts[0])[0], np.nan_to_num(first.means(rollouts[0])[0])
        rare = top_types(np.where((n >= 2) & ~rocks, before, 0.0), ids, k)
        for name, chosen in zip(rows, (rocks, rare, ~rocks & ~rare), strict=True):
            rows[name].append(chosen)
    history = history.by_rollout(found.pulse)  # and let go of what it was
    return pd.DataFrame(
        {"group": name, "types": int(c[0].sum()), "tokens": int(found.stats.n[c[0]].sum())}
        | group_change(history, c[0], (c[1], c[2]), found.rule.seed, found.pulse)
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
        return {"kind": found.rule.controls, "how": controls.NO_ROCKS, "n": 0}
    corpus, types = found.corpus, controls.Types(found.in_set, found.next_in_rank)
    rocks = np.zeros(len(corpus), bool) if rocks is None else rocks
    drawn = controls.draw(
        found.rule.controls, corpus, rocks, types, found.tau[1], found.rule.seed, found.pulse
    )
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
