"""One token, looked at closely, for a reader who is new: what both models held likely there, what
that became over the steps, and what one drawn token says of the kl that all together make.

Axes: T positions, S steps, C outcomes of a position: what is listed, and one tail for the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from rockcore.analysis import texts
from rockcore.log import Run
from rockcore.log.checks import read_columns
from rockcore.log.files import table_file
from rockcore.rocks import Examined, occurrences
from rockcore.schema import RockError, Texts
from rockcore.stats import MeanOfTokens, mean_over_rollouts

TAIL = -1  # in place of a token id: every token that neither model lists
DRAWS = 100
_SHOWN = 5  # alternatives that are followed over the steps
_AROUND = 12  # tokens of the text on each side
_LOOKED_AT = 24  # texts: alternatives are logged of the first ones
_ENOUGH = (3.0, 1.0, -0.1)  # in the set, told by its alternatives, near the next share
_NEGATIVE = 0.25  # the share of negative draws that shows best that there are some
_UNKNOWN = np.zeros(0, np.float32)  # of a file without the column
_LEAST = 1e-6  # of the teacher, where it lists nothing: as in texts.divergences


class NothingToDraw(RockError, LookupError):
    """No occurrence has both models' alternatives."""


class Near(NamedTuple):
    """A token of the text around an occurrence."""

    token: str
    kl: float
    here: bool  # whether it is the occurrence


@dataclass(frozen=True)
class Occurrence:
    """A place in a text that was scored at several steps, as one step sees it."""

    texts: Texts
    rollout: int
    position: int
    step: int
    token_id: int
    token: str
    mark: int  # as in examined.Marks: 3 in the set, 2 recurring, 1 high, 0 none of these
    kl: float  # as logged, nats
    ids: np.ndarray  # (C,) TAIL for the last
    names: list[str]  # C
    student: np.ndarray  # (C,) probabilities that sum to 1
    teacher: np.ndarray  # (C,)
    near: list[Near]  # the text around it, itself included

    @property
    def losses(self) -> np.ndarray:
        """(C,) log p_student - log p_teacher of each outcome: what one draw of it would say."""
        teacher = np.maximum(self.teacher, _LEAST)
        with np.errstate(divide="ignore"):
            return np.where(self.student > 0, np.log(self.student) - np.log(teacher), 0.0)

    @property
    def exact(self) -> float:
        """The KL over these outcomes: the mean that draws have in the long run, nats."""
        return float(self.student @ self.losses)

    @property
    def negative(self) -> float:
        """How probable a draw of less than 0 is."""
        return float(self.student[self.losses < 0].sum())


class Draws(NamedTuple):
    """Tokens drawn from the student at one place, and what each says."""

    outcome: np.ndarray  # (n,) index of the outcome
    loss: np.ndarray  # (n,) its log p_student - log p_teacher, nats
    mean: np.ndarray  # (n,) of the first 1, 2, … of them
    negative: int  # of them below 0
    stderr: float


def draw(at: Occurrence, n: int = DRAWS, seed: int = 0) -> Draws:
    """Draw `n` tokens from the student there. Each loss is an unbiased estimate of `at.exact`."""
    outcome = np.random.default_rng(seed).choice(len(at.student), n, p=at.student)
    loss = at.losses[outcome]
    mean = loss.cumsum() / np.arange(1, n + 1)
    error = float(loss.std(ddof=1) / np.sqrt(n)) if n > 1 else float("nan")
    return Draws(outcome, loss, mean, int((loss < 0).sum()), error)


def chosen(found: Examined) -> Occurrence:
    """The occurrence that shows most: in the set where there is one, else recurring, else high, and
    of these one where a draw below 0 is no rarity. Raises NothingToDraw.
    """
    material, report = found.material, found.report
    source, step = material.source, report.steps[-1]
    best: tuple[tuple[float, ...], Occurrence] | None = None
    rollouts = material.last.rollout_ids[:_LOOKED_AT].tolist() if source.probe_set else []
    for rollout in rollouts:
        frame = found.run.trace(step, rollout, source.probe_set)
        if "kl" not in frame or not texts.has_alternatives(frame):
            continue
        marks = occurrences.marks_of(found, rollout)
        if len(marks) != len(frame):
            continue
        at = _best_of(found.run, source, frame, marks)
        if best is None or at[0] > best[0]:
            best = at
        if best[0] >= _ENOUGH:
            break
    if best is None:
        raise NothingToDraw(
            f"{report.name} has no text with the alternatives of both models",
            "To draw a token again one has to know what else was likely there",
            "Open a bundled run, or log probe texts with alternatives",
        )
    return best[1]


def _best_of(
    run: Run, source: Texts, frame: pd.DataFrame, marks_T: np.ndarray
) -> tuple[tuple[float, ...], Occurrence]:
    """The position of a text that shows most, and how much."""
    both = texts.beside(texts.alternatives(frame, "student"), texts.alternatives(frame, "teacher"))
    teacher = np.maximum(both.teacher, _LEAST)
    with np.errstate(divide="ignore", invalid="ignore"):
        losses = np.where(both.student > 0, np.log(both.student / teacher), 0.0)
    exact, kl = (both.student * losses).sum(axis=1), np.nan_to_num(frame.kl.to_numpy(float))
    negative = np.where(losses < 0, both.student, 0.0).sum(axis=1)
    told = np.abs(exact - kl) <= 0.05 * np.maximum(kl, 0.01)  # the lists say all of it
    shows = np.where(marks_T > 0, -np.abs(negative - _NEGATIVE), kl)
    order = np.lexsort((shows, told, marks_T))
    t = int(order[-1])
    return (
        (float(marks_T[t]), float(told[t]), float(shows[t])),
        _occurrence(run, source, frame, t, int(marks_T[t]), both),
    )


def _occurrence(
    run: Run, source: Texts, frame: pd.DataFrame, t: int, mark: int, both: texts.Beside
) -> Occurrence:
    row, first = frame.iloc[t], max(t - _AROUND, 0)
    part = frame.iloc[first : t + 1 + _AROUND]
    near = [
        Near(token, float(kl), i == t)
        for i, (token, kl) in enumerate(zip(part.token, part.kl, strict=True), first)
    ]
    keep = np.append((both.student[t, :-1] > 0) | (both.teacher[t, :-1] > 0), True)
    ids = np.append(both.ids[t], TAIL)[keep]
    student, teacher = both.student[t][keep], both.teacher[t][keep]
    order = np.append(np.argsort(-student[:-1], kind="stable"), len(ids) - 1)
    ids = ids[order]
    return Occurrence(
        source,
        int(row.rollout_id),
        int(row.position),
        int(row.step),
        int(row.token_id),
        str(row.token),
        mark,
        float(row.kl),
        ids,
        [*texts.spelled(run, ids[:-1]), "any other"],
        student[order] / student.sum(),
        teacher[order] / teacher.sum(),
        near,
    )


def over_steps(run: Run, at: Occurrence) -> pd.DataFrame:
    """The same place under every logged step's student: step, kl (nats), and of its likeliest
    outcomes one row each: token_id, token, student, teacher (probabilities, NaN where a list lacks
    it).
    """
    probe_set = at.texts.probe_set
    likely = np.argsort(-np.maximum(at.student, at.teacher)[:-1], kind="stable")[:_SHOWN]
    rows = []
    for step in run.steps(at.texts.table):
        frame = run.trace(step, at.rollout, probe_set)
        if len(frame) <= at.position or not texts.has_alternatives(frame):
            continue
        sides = [texts.alternatives(frame, who) for who in ("student", "teacher")]
        for c in likely.tolist():
            student, teacher = (_probability(side, at.position, int(at.ids[c])) for side in sides)
            about = {"token_id": int(at.ids[c]), "token": at.names[c]}
            kl = float(frame.kl.iloc[at.position])
            rows.append({"step": step, "kl": kl, **about, "student": student, "teacher": teacher})
    return pd.DataFrame(rows, columns="step kl token_id token student teacher".split())


def _probability(side: texts.Alternatives, t: int, token_id: int) -> float:
    there = side.p[t][side.ids[t] == token_id]
    return float(there[0]) if len(there) else float("nan")


class OneSample(NamedTuple):
    """Both losses over the fresh rollouts of a step, or the texts of the final student: the sampled
    one hovers around the kl.
    """

    texts: Texts
    step: int
    tokens: int
    negative: int  # of the tokens: sampled_loss < 0
    sampled_loss: MeanOfTokens
    kl: MeanOfTokens | None  # None where it is not logged


def one_sample(run: Run) -> OneSample | None:
    """How often the loss of the sampled token is negative; None where it is not logged.

    Of texts that the judged student wrote itself: only there is its mean that of the kl.
    """
    for source in (Texts.FINAL, Texts.FRESH):
        if not (steps := run.steps(source.table)):
            continue
        names = ["rollout_id", "kl", "sampled_loss"]
        rows = read_columns(table_file(run.path, source.table, steps[-1]), names)
        sampled = rows.get("sampled_loss", _UNKNOWN).astype(float)
        if not len(sampled) or not np.isfinite(sampled).all():
            continue
        order = np.argsort(rows["rollout_id"], kind="stable")
        lengths = np.unique(rows["rollout_id"], return_counts=True)[1]
        kl = rows.get("kl", _UNKNOWN).astype(float)
        known = len(kl) > 0 and bool(np.isfinite(kl).all())
        return OneSample(
            source,
            steps[-1],
            len(sampled),
            int((sampled < 0).sum()),
            mean_over_rollouts(sampled[order], lengths),
            mean_over_rollouts(kl[order], lengths) if known else None,
        )
    return None
