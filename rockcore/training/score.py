"""Scoring texts that are there already: a run without teacher values, or a file of texts, under one
student or under every checkpoint of a training. Read from top to bottom.

What comes out is a run of its own. Texts of several steps that one student judges are its fresh
rollouts; texts that stay the same are its probe texts, rescored under each student, which is what a
detection of Rock Tokens compares. A step that is written is never scored again, so the same command
goes on after a kill, and takes in checkpoints that were added since.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import datetime, timezone
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np
import torch

from rockcore.log import RunWriter
from rockcore.log.files import table_file
from rockcore.log.folders import META
from rockcore.log.lock import Lock, locked
from rockcore.schema import LogWriteError, RockError, RunMeta, Texts, tokenizer_hash
from rockcore.training import loading, remarks, score_price
from rockcore.training.clock import Clock
from rockcore.training.columns import (
    NonFiniteLoss,
    Update,
    alternative_columns,
    metrics_row,
    occurrence_columns,
    rollout_columns,
)
from rockcore.training.ending import Ending, endings
from rockcore.training.models import Model
from rockcore.training.ranks import Ranks, launched
from rockcore.training.score_parts import Parts, sweep
from rockcore.training.score_plan import BadScoring, Plan, ScoreSettings, Unit, refuse_another
from rockcore.training.score_sources import NoTexts, open_source
from rockcore.training.score_students import name_of
from rockcore.training.score_texts import Readable, readable
from rockcore.training.scoring import Judged
from rockcore.training.vocabulary import vocabulary_columns

__all__ = ["BadScoring", "ScoreProgress", "ScoreSettings", "score"]

_MOST_NOTES = 100


class TooLarge(RockError, MemoryError):
    """Models and texts that do not fit on the device."""


class ScoreProgress(NamedTuple):
    """How far a scoring is."""

    step: int
    done: float  # of the steps, with the part of this one
    steps: int
    tokens: int  # judged by this process
    seconds: float


Listener = Callable[[ScoreProgress], None]
Say = Callable[[str], object]


def score(
    settings: ScoreSettings, listen: Listener = lambda _: None, say: Say = lambda _: None
) -> RunMeta:
    """Score the texts, or go on with that, and return the RunMeta of the run in `settings.out`.

    Started by `accelerate launch` or `torchrun`, the processes share the work; the first one locks
    and writes the log. Raises before anything is written RunNotFound, DamagedRun, BadPrompts,
    NoTexts, BadScoring, ModelNotFound, VocabularyMismatch, NoDevice, RunExists or FolderInUse;
    NonFiniteLoss, TooLarge or LogWriteError later, with every finished step kept.
    """
    with endings() as ending, launched() as ranks, ExitStack() as stack:
        plan = Plan(settings, open_source(settings.source))
        plan.refuse()
        lock = None
        if ranks.first:
            refuse_another(plan)
            lock = stack.enter_context(locked(settings.out, "scoring"))
            refuse_another(plan)
        mute: Any = lambda _: None  # noqa: E731
        told = (listen, say) if ranks.first else (mute, mute)
        scoring = _Scoring(plan, ranks, lock, *told)
        try:
            return scoring.run(ending)
        except LogWriteError as e:
            todo = (
                "Mend that, and give the same command again, with --out as the folder is called now"
            )
            raise type(e)(*e.parts[:2], todo) from e
        except torch.OutOfMemoryError as e:
            raise TooLarge(
                f"{scoring.device} has too little memory ({str(e).splitlines()[0][:160]})",
                "Both models and a piece of their predictions have to fit",
                "Give --dtype bfloat16, another --device, or leave out the longest texts; what was "
                "scored is kept",
            ) from e


class _Scoring:
    """A scoring at work: the models that are loaded, and the log."""

    def __init__(self, plan: Plan, ranks: Ranks, lock: Lock | None, listen: Listener, say: Say):
        self.plan, self.ranks, self.lock = plan, ranks, lock
        self.listen, self.say = listen, say
        settings = plan.settings
        self.device = ranks.device(loading.usable_device(settings.device))
        self.teacher = self.loaded(settings.teacher)
        self._student: Model | None = None
        self.writer: RunWriter | None = None
        self.at = "before its first text"
        self.said: set[str] = set()
        self.tokens, self.clock = 0, Clock()

    def run(self, ending: Ending) -> RunMeta:
        """All units that are not written yet, or until it is asked to end."""
        texts = self.first_texts()  # what cannot be read is told before anything is written
        ending.begin()
        student = self.student(self.plan.units[0].student)
        writer = self.opened(student) if self.ranks.first else None
        with ExitStack() as stack:
            if writer is not None:
                stack.enter_context(ending.noted(writer, lambda: self.at))
            open_ = self.ranks.told(self.open_units())
            if open_:
                self.announce(open_, student, texts)
            asked = False
            for number, unit in enumerate(open_):
                self.at = f"in the middle of step {unit.step}"
                asked = self.score_unit(unit, (number, len(open_)), ending)
                if asked:
                    break
            return self.closed(asked)

    def first_texts(self) -> Readable:
        """The texts of the first unit, or of fresh ones of the first that has any. Raises NoTexts
        where none has.
        """
        for unit in self.plan.units:
            try:
                return self.read(unit)
            except NoTexts:
                if unit == self.plan.units[-1] or unit.texts is not Texts.FRESH:
                    raise
        raise AssertionError("a plan has units")

    def loaded(self, source: str) -> Model:
        settings = self.plan.settings
        return loading.load(
            source, self.device, settings.dtype, template_args=settings.template_args
        )

    def student(self, source: str) -> Model:
        """The student, loaded; the one before is let go."""
        if self._student is None or self._student.name != source:
            self._student = None
            student = self.loaded(source)
            loading.match(student, self.teacher)
            student.net.requires_grad_(False)
            self._student = student
        return self._student

    def read(self, unit: Unit) -> Readable:
        """The texts of a unit, and what there is to say of them, once."""
        student = self.student(unit.student)
        texts, grader = self.plan.texts_of(unit).texts, self.plan.settings.grader
        found = readable(self.plan.source, texts, (student, self.teacher), grader)
        for sentence in found.said:
            if sentence not in self.said:
                self.said.add(sentence)
                self.say(sentence)
        return found

    def opened(self, student: Model) -> RunWriter:
        """The log, new or gone on with."""
        out = self.plan.settings.out
        if (out / META).exists():
            self.writer = RunWriter.reopen(out, self.lock)
            self.writer.clear_stop()
            self.writer.save_meta(status="running", reason="", config={"score": self.plan.config})
        else:
            meta = self.first_meta(student)
            self.writer = RunWriter.create(out, meta, vocabulary_columns(student), self.lock)
        for sentence in remarks.of_pair(student, self.teacher):
            self.say(sentence)
        return self.writer

    def first_meta(self, student: Model) -> RunMeta:
        """What run.json says when a scoring begins."""
        settings = self.plan.settings
        return RunMeta(
            name=settings.out.resolve().name,
            student=name_of(settings.student),
            teacher=name_of(settings.teacher),
            tokenizer_hash=tokenizer_hash(student.tokenizer.get_vocab()),
            vocab_size=student.vocab_size,
            notes=[*self.plan.notes(), *remarks.of_pair(student, self.teacher)],
            **self.plan.source.kept,
            steps_planned=self.plan.units[-1].step,
            device=str(student.device),
            dtype=settings.dtype,
            code_version=version("rock-token-explorer"),
            started=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            config={"score": self.plan.config},
        )

    def open_units(self) -> list[Unit]:
        """The units that are not in the log; of the first process, who alone reads it."""
        if self.writer is None:
            return []
        out = self.writer.path
        open_ = [
            unit
            for unit in self.plan.units
            if not (
                table_file(out, unit.texts.table, unit.step).exists()
                and table_file(out, "metrics", unit.step).exists()
            )
        ]
        sweep(out, [unit.name for unit in open_])
        return open_

    def announce(self, open_: list[Unit], student: Model, texts: Readable) -> None:
        """Say what there is to do, and about what it takes in memory and time."""
        if not self.ranks.first:
            return
        done = len(self.plan.units) - len(open_)
        if done:
            self.say(f"{done} of {len(self.plan.units)} steps are there; going on")
        for sentence in score_price.sentences(
            student, self.teacher, texts.rollouts, len(open_), self.ranks.world
        ):
            self.say(sentence)

    def score_unit(self, unit: Unit, number: tuple[int, int], ending: Ending) -> bool:
        """Judge and write one unit; returns whether to end after it, or in the middle of it."""
        try:
            texts = self.read(unit)
        except NoTexts as e:  # of fresh texts a step may have none; the others have theirs
            self.say(str(e))
            return self.ranks.any(ending.is_asked)
        whole = 0 if unit.texts is Texts.FRESH else self.plan.settings.alternatives
        parts = Parts(self.plan.settings.out, unit.name, texts.rollouts, whole)
        missing = self.ranks.told(parts.missing())
        asked = False
        for done, block in enumerate(mine := missing[self.ranks.rank :: self.ranks.world]):
            with self.clock.phase("judging"):
                scored = parts.judge(block, self.student(unit.student), self.teacher)
            self.tokens += parts.tokens(block)
            _refuse_non_finite(unit, texts, parts.blocks[block], scored)
            fraction = number[0] + (done + 1) / len(mine)
            self.listen(
                ScoreProgress(
                    unit.step, fraction, number[1], self.tokens, self.clock.seconds["judging"]
                )
            )
            asked = ending.is_asked or (self.writer is not None and self.writer.stop_requested())
            if asked:
                break
        asked = self.ranks.any(asked)  # all blocks are there when all have come this far
        if self.writer is not None and not parts.missing():
            self.write(self.writer, unit, texts, *parts.joined())
            parts.clear()
        return asked

    def write(
        self,
        writer: RunWriter,
        unit: Unit,
        texts: Readable,
        scored: Judged,
        seconds: dict[str, float],
    ) -> None:
        """Write one unit into the log; its row of metrics last, which says that it is whole."""
        rollouts, student = texts.rollouts, self.student(unit.student)
        ids = np.array([text.rollout_id for text in texts.texts], np.int32)
        columns = occurrence_columns(unit.step, rollouts, scored)
        columns["rollout_id"] = ids[columns["rollout_id"]]
        written = _rollout_columns(unit, texts, student, self.plan.texts_of(unit).step)
        if unit.texts.probe_set is None:
            writer.append("rollouts", unit.step, written)
            writer.append("tokens", unit.step, columns)
        else:
            if not table_file(writer.path, f"{unit.texts.table}/rollouts").exists():
                writer.write_probe_rollouts(unit.texts.probe_set, written)
            columns = {**columns, **alternative_columns(scored)}
            writer.append_probe(unit.texts.probe_set, unit.step, columns)
        self.note(writer, texts.said)
        writer.append("metrics", unit.step, _metrics(unit, texts, scored, seconds))

    def note(self, writer: RunWriter, said: Sequence[str]) -> None:
        """Keep in run.json what a reader of the numbers has to know, each sentence once."""
        notes = list(dict.fromkeys([*writer.meta.notes, *said]))[:_MOST_NOTES]
        if notes != writer.meta.notes:
            writer.save_meta(notes=notes)

    def closed(self, asked: bool) -> RunMeta:
        """Say in run.json how it ended; returns that."""
        if self.writer is None:
            return self.first_meta(self.student(self.plan.units[0].student))
        left = len(self.open_units())
        if asked and left:
            reason = f"stopped by request with {left} of {len(self.plan.units)} steps to score"
            self.writer.save_meta(status="stopped", reason=reason)
        else:
            sweep(self.writer.path)
            self.writer.save_meta(
                status="finished", reason="", steps_planned=self.plan.units[-1].step
            )
        return self.writer.meta


def _metrics(
    unit: Unit, texts: Readable, scored: Judged, seconds: dict[str, float]
) -> dict[str, list]:
    """The columns of schema.METRICS that a scoring can tell."""
    row = metrics_row(unit.step, texts.rollouts, scored, seconds, None)
    known = [right for right in texts.correct if right is not None]
    row["accuracy"] = [sum(known) / len(known) if known else None]
    absent = {"sample_s", "update_s", "log_s", *Update._fields}
    return {name: value for name, value in row.items() if name not in absent}


def _rollout_columns(
    unit: Unit, texts: Readable, student: Model, written_at: int | None
) -> dict[str, Any]:
    """The columns of schema.ROLLOUTS, with what the log or the file said of the texts."""
    step = unit.step if written_at is None else written_at
    return {
        **rollout_columns(step, texts.rollouts, student),
        "rollout_id": [text.rollout_id for text in texts.texts],
        "correct": texts.correct,
        "truncated": [text.truncated for text in texts.texts],
    }


def _refuse_non_finite(unit: Unit, texts: Readable, rows: list[int], scored: Judged) -> None:
    """Raises NonFiniteLoss, which names the first text with a kl that is no number."""
    bad = np.flatnonzero(~np.isfinite(scored.losses["kl"]))
    if len(bad):
        lengths = np.cumsum([len(texts.rollouts.responses[r]) for r in rows])
        row = int(np.searchsorted(lengths, bad[0], side="right"))
        position = bad[0] - (lengths[row - 1] if row else 0)
        raise NonFiniteLoss(
            f"At step {unit.step}, rollout {texts.texts[rows[row]].rollout_id}, position "
            f"{position}, kl is {scored.losses['kl'][bad[0]]} ({len(bad)} of "
            f"{len(scored.losses['kl'])} tokens)",
            "A model that gives a token the probability 0, or no number at all, cannot be compared",
            "Look at the weights of both models; --dtype float32 rules out an overflow",
        )
