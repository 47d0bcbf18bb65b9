"""A knockout screen of the last student of a run: which tokens its answers need, one ban at a time.

`run` is the door: it settles what is asked, lets the student answer held-out problems with all its
tokens (the baseline, several replicates of it), and then every candidate's changed rollouts anew.
Each finished candidate is on disk before the next is told, so a screen that was killed goes on, and
one that is done takes more candidates.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rockcore.analysis.knockout_tests import expected_spread, power
from rockcore.analysis.knockout_texts import needed_ids
from rockcore.analysis.knockouts import LEVELS
from rockcore.log import Run
from rockcore.log.files import sweep
from rockcore.log.lock import Lock, locked
from rockcore.log.screens import Screen, ScreenWriter
from rockcore.spelling import visible
from rockcore.training.knockout import Job, Row, first_banned
from rockcore.training.screen_plan import Ready, ScreenSettings, prepare
from rockcore.training.screen_workers import Workers

__all__ = ["ScreenProgress", "ScreenSettings", "prepare", "run"]


class ScreenProgress(NamedTuple):
    """How far a screen is."""

    phase: str  # baseline | candidates
    done: int  # tokens, about
    total: int
    finished: int  # candidates
    candidates: int


Listener = Callable[[ScreenProgress], None]


def run(
    path: str | Path,
    settings: ScreenSettings = ScreenSettings(),  # noqa: B008  (frozen)
    listen: Listener = lambda _: None,
    say: Callable[[str], object] = lambda _: None,
) -> Screen:
    """Screen a run, or go on with its screen; `say` takes sentences for the user.

    Raises before anything is written: FolderInUse while the run is trained or screened, as it is
    locked meanwhile; NoCheckpoint, BadConfig (no answers, too few rollouts or problems, a setting
    that contradicts the screen that is there), BadCandidates, BadRockSet, BadIntervention,
    ModelNotFound, BadResponse; LogWriteError or WorkersLost later, with every finished candidate
    kept.

    Small models on a CPU answer in processes of their own, which import the main module again: a
    script that calls this keeps the call under `if __name__ == "__main__":`.
    """
    with locked(Run.open(path).path, "screen") as lock:
        return _run(prepare(path, settings, say), settings.processes, lock, listen, say)


def _run(
    ready: Ready,
    processes: int | None,
    lock: Lock,
    listen: Listener,
    say: Callable[[str], object],
) -> Screen:
    writer = ScreenWriter(ready.run.path, ready.plan, lock)
    sweep(writer.folder)
    with Workers(ready.source, ready.writer, processes) as workers:
        if not (writer.folder / "baseline.parquet").exists():
            writer.save_plan(ready.plan.candidates)
            writer.write_problems([p.prompt for p in ready.tasks], ready.writer.answers)
            _baseline(ready, writer, workers, listen)
        else:
            writer.save_plan(ready.plan.candidates)
        screen = Screen(ready.run)
        jobs = _jobs(screen)
        _tell_power(screen, jobs, say)
        _tell_needed(screen, say)
        _candidates(screen, jobs, writer, workers, listen)
    return Screen(ready.run)


def _baseline(ready: Ready, writer: ScreenWriter, workers: Workers, listen: Listener) -> None:
    """Let the student answer everything with all its tokens, and write that."""
    plan, n = ready.plan, ready.plan.problems * ready.plan.rollouts
    order = sorted(range(plan.problems), key=lambda i: (len(ready.writer.prompts[i]), i))
    rows = [Row(i, b, []) for i in order for b in range(plan.rollouts)]
    texts: list[list[int]] = [[] for _ in range(n)]
    correct_IB = np.zeros((plan.problems, plan.rollouts), bool)
    done = 0
    for part, written, correct in workers.answered(rows):
        for row, ids, right in zip(part, written, correct, strict=True):
            texts[row.problem * plan.rollouts + row.rollout] = ids
            correct_IB[row.problem, row.rollout] = right
        done += len(part)
        listen(ScreenProgress("baseline", done, n, 0, len(plan.candidates)))
    writer.write_baseline(correct_IB, texts)


def _jobs(screen: Screen) -> list[Job]:
    """What is to be written of every candidate with ids of its own, finished or not."""
    baseline, b = screen.baseline, screen.plan.rollouts
    texts, correct = baseline.texts, baseline.correct.ravel()
    jobs = []
    for candidate in screen.candidates:
        if candidate.same_as:
            continue
        branch = first_banned(texts.ids, texts.ends, candidate.ids)
        at = np.flatnonzero(branch >= 0)
        jobs.append(
            Job(
                candidate.key,
                candidate.token_id,
                candidate.ids,
                candidate.kind == "token",
                at // b,
                at % b,
                branch[at],
                [texts[n][: branch[n]] for n in at.tolist()],
                correct[at],
                screen.plan.kept_texts,
                int((np.diff(texts.ends, prepend=0)[at] - branch[at]).sum()),
            )
        )
    return jobs


def _candidates(
    screen: Screen, jobs: list[Job], writer: ScreenWriter, workers: Workers, listen: Listener
) -> None:
    """Write every candidate that is not there yet, each as soon as it is done."""
    own = sum(not c.same_as for c in screen.candidates)
    there = {c.key for c in screen.finished}
    left = [job for job in jobs if job.key not in there]
    total, done, finished = sum(job.tokens for job in left), 0, own - len(left)
    listen(ScreenProgress("candidates", done, total, finished, own))
    for job, rows in workers.knocked_out(left):
        writer.write_outcomes(job.key, rows)
        done, finished = done + job.tokens, finished + 1
        listen(ScreenProgress("candidates", done, total, finished, own))


def _tell_power(screen: Screen, jobs: list[Job], say: Callable[[str], object]) -> None:
    """Say what the screen will be able to see, from its baseline and the rollouts that hold the
    tokens: before anything else is written.
    """
    plan, needed = screen.plan, needed_ids(screen)
    parts = []
    for job in jobs:
        if len(job.branch) and not needed & set(job.ids):
            changed_IB = np.zeros((plan.problems, plan.rollouts), bool)
            changed_IB[job.problem, job.rollout] = True
            parts.append(expected_spread(screen.baseline.correct, changed_IB))
    accuracy = screen.baseline.correct.mean()
    if not parts:
        say(f"Baseline accuracy {accuracy:.1%}. No candidate occurs in it, or all are needed.")
        return
    between, within = sorted(parts, key=sum)[len(parts) // 2]
    told = power(between, within, plan.problems, plan.rollouts, len(jobs), LEVELS)
    say(f"Baseline accuracy {accuracy:.1%}. {told.sentence(LEVELS.epsilon)}")


def _tell_needed(screen: Screen, say: Callable[[str], object]) -> None:
    needed, texts = needed_ids(screen), screen.run.vocab.set_index("token_id").token
    mine = [i for c in screen.candidates if c.kind == "token" for i in c.ids if i in needed]
    if mine:
        names = ", ".join(visible(str(texts.get(i))) for i in mine[:8])
        more = f" and {len(mine) - 8} more" if len(mine) > 8 else ""
        say(f"The answers themselves need {names}{more}: their loss says no more than that.")
