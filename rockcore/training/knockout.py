"""The answers under a ban: only rollouts that hold a banned token are written again, and those from
its first occurrence on.

With the same noise for each problem, rollout, position and id (`sampling.Gumbel`) nothing else can
change: before the first banned token a ban takes nothing away that was chosen. So an arm that is
written anew from there is, token by token, the arm that would be written whole under the ban.

In bfloat16 two batches round logits in two ways, and where two ids are nearly equal another one
may come first: an arm is then still a draw from the student under the ban, and what is copied is
still the baseline's, but the whole written twice differs by itself (measured on a random model).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from rockcore.grading import graded
from rockcore.training.models import Ids, Model
from rockcore.training.sampling import Gumbel, row_keys

BATCH = 64  # rows; more gain nothing on a CPU (measured: 32 to 128 within a tenth)
GPU_BATCH = 256
SHAM_SALT = 1  # + token id: each sham has noise of its own


class Row(NamedTuple):
    """A rollout to be written, or to be written on."""

    problem: int
    rollout: int
    prefix: Ids  # what of the response stays
    ban: int = 0  # which of the bans holds for it
    salt: int = 0  # 0: the noise that all arms share


@dataclass(frozen=True)
class Writer:
    """A student, and the problems that it answers with its noise."""

    model: Model
    prompts: Sequence[Ids]
    answers: Sequence[str]
    seed: int
    temperature: float
    max_new_tokens: int
    grader: str = "boxed"

    def write(self, rows: Sequence[Row], bans: Sequence[Sequence[int]] = ((),)) -> list[Ids]:
        """What follows the prefix of each row, its stop id included; row r may write none of
        bans[r.ban].
        """
        written: list[Ids] = [[] for _ in rows]
        for at in self._batches(rows):
            batch = [rows[n] for n in at]
            for n, ids in zip(at, self._write(batch, bans), strict=True):
                written[n] = ids
        return written

    def graded(self, rows: Sequence[Row], written: Sequence[Ids]) -> np.ndarray:
        """Whether prefix and continuation together are a right answer, (rows,) bool."""
        pairs = zip(rows, written, strict=True)
        texts = [self.model.decode(row.prefix + ids) for row, ids in pairs]
        answers = [self.answers[row.problem] for row in rows]
        return np.array([each.right for each in graded(texts, answers, self.grader)], bool)

    def _write(self, batch: list[Row], bans: Sequence[Sequence[int]]) -> list[Ids]:
        start_B = np.array([len(row.prefix) for row in batch])
        keys_B = np.zeros(len(batch), np.uint64)
        for salt in {row.salt for row in batch}:
            mine = np.array([row.salt == salt for row in batch])
            problem_B, rollout_B = np.array([row[:2] for row in batch])[mine].T
            keys_B[mine] = row_keys(self.seed, salt, problem_B, rollout_B)
        stop = min(self.model.stop_ids, default=None)
        ban_B = np.array([row.ban for row in batch])
        choice = Gumbel(keys_B, start_B, bans, ban_B, self.temperature, self.max_new_tokens, stop)
        model = self.model
        new = model.sample_by(
            [self.prompts[row.problem] + row.prefix for row in batch],
            self.max_new_tokens - int(start_B.min()),
            choice.pick(model.vocab_size, model.device),
        )
        return [ids[: self.max_new_tokens - start] for ids, start in zip(new, start_B, strict=True)]

    def _batches(self, rows: Sequence[Row]) -> Iterator[list[int]]:
        """Rows grouped by how much of them is there already: little padding, and they end together.
        A group always fits the model, if each row does.
        """
        most = getattr(self.model.net.config, "max_position_embeddings", None) or 2**31
        size = BATCH if self.model.device.type == "cpu" else GPU_BATCH
        lengths = [len(self.prompts[row.problem]) + len(row.prefix) for row in rows]
        group: list[int] = []
        for n in sorted(range(len(rows)), key=lambda n: (len(rows[n].prefix), lengths[n], n)):
            left = self.max_new_tokens - len(rows[(group or [n])[0]].prefix)
            longest = max(lengths[m] for m in [*group, n])
            if len(group) == size or (group and longest + left > most):
                yield group
                group = []
            group.append(n)
        if group:
            yield group


@dataclass(frozen=True)
class Job:
    """A candidate with the rollouts that its ban changes."""

    key: str
    token_id: int
    ids: tuple[int, ...]
    sham: bool
    problem: np.ndarray  # (C,)
    rollout: np.ndarray
    branch: np.ndarray  # position of the first banned token
    prefixes: list[Ids]  # the responses up to it
    correct: np.ndarray  # whether each was right with it
    kept_texts: int
    tokens: int  # about how many there are to write


def knock_out(writer: Writer, job: Job) -> dict[str, Any]:
    """The columns of schema.screen.OUTCOMES of a candidate: its ban from the branch on, and for a
    sham the same with fresh noise and no ban.
    """
    places = list(zip(job.problem.tolist(), job.rollout.tolist(), job.prefixes, strict=True))
    banned = [Row(i, b, prefix, 0) for i, b, prefix in places]
    salt = SHAM_SALT + job.token_id
    fresh = [Row(i, b, prefix, 1, salt) for i, b, prefix in places] if job.sham else []
    written = writer.write([*banned, *fresh], (job.ids, ()))
    correct = writer.graded([*banned, *fresh], written)
    new, n = written[: len(banned)], len(banned)
    flipped = correct[:n] != job.correct
    kept = set(np.argsort(~flipped, kind="stable")[: job.kept_texts].tolist())
    return {
        "problem": job.problem,
        "rollout": job.rollout,
        "branch": job.branch,
        "replacement": [ids[0] for ids in new],
        "length": [len(p) + len(ids) for p, ids in zip(job.prefixes, new, strict=True)],
        "correct": correct[:n],
        "sham_correct": correct[n:] if job.sham else [None] * n,
        "ids": [ids if m in kept else None for m, ids in enumerate(new)],
    }


def first_banned(ids_N: np.ndarray, ends_B: np.ndarray, banned: Sequence[int]) -> np.ndarray:
    """Position of the first banned id in each of B responses, (B,); -1 where it holds none.

    `ids_N` are their ids one after another, response b ends before `ends_B[b]`.
    """
    hits = np.flatnonzero(np.isin(ids_N, list(banned)))
    of = np.searchsorted(ends_B, hits, side="right")
    first, where = np.unique(of, return_index=True)
    found = np.full(len(ends_B), -1)
    found[first] = hits[where] - np.append(0, ends_B[:-1])[first]
    return found
