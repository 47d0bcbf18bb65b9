"""What a scoring does: which texts, under which students, into which files of the log.

Everything is settled from the settings, the texts and the checkpoints that there are, so that every
process and every start of the same command come to the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from rockcore.log import RunWriter
from rockcore.log.folders import META
from rockcore.log.writer import RunExists
from rockcore.schema import RockError, Texts
from rockcore.training.score_sources import Source, TextsOfStep
from rockcore.training.score_students import StudentAt, mark_of, name_of, students_in


class BadScoring(RockError, ValueError):
    """Settings of a scoring that contradict each other, the texts or the run that is there."""


@dataclass(frozen=True)
class ScoreSettings:
    """What is scored, under which models, and where the run goes."""

    source: Path
    student: str
    teacher: str
    out: Path
    texts_by: Texts | None = None  # None: as suits the texts and the students
    initial: str | None = None  # the student before its training, as step 0
    device: str | None = None
    dtype: str = "float32"
    alternatives: int = 48  # texts of which the likeliest tokens are kept
    grader: str = "boxed"
    template_args: Mapping[str, Any] = field(default_factory=dict)  # for the chat templates


class Unit(NamedTuple):
    """One file of the log: the texts of one step, or fixed ones, under one student."""

    texts: Texts
    step: int
    student: str

    @property
    def name(self) -> str:
        return f"{self.texts.table.replace('/', '-')}-{self.step:06d}"


@dataclass(frozen=True)
class Plan:
    """What is to be scored: settled from the settings, the texts and the students that there are.
    Every process comes to the same.
    """

    settings: ScoreSettings
    source: Source

    @cached_property
    def students(self) -> list[StudentAt]:
        found = students_in(self.settings.student)
        if self.settings.initial is None:
            return found
        return [StudentAt(0, self.settings.initial), *found]

    @property
    def several(self) -> bool:
        return len(self.students) > 1

    @cached_property
    def texts(self) -> Texts:
        """As whose texts they are logged: one student's of many steps are fresh, all others fixed
        and of the final student.
        """
        if self.settings.texts_by is not None:
            return self.settings.texts_by
        one = not self.several and len(self.source.steps()) > 1
        return Texts.FRESH if one else Texts.FINAL

    @cached_property
    def fixed(self) -> TextsOfStep:
        """The texts that every student judges."""
        return self.source.by(self.texts)

    @cached_property
    def units(self) -> list[Unit]:
        """By step."""
        if self.texts is not Texts.FRESH:
            only = self.students[0].step if self.several else self.fixed.step
            return [
                Unit(self.texts, s.step if s.step is not None else only or 0, s.source)
                for s in self.students
            ]
        steps = self.source.steps()
        if not self.several:
            return [Unit(self.texts, step, self.students[0].source) for step in steps]
        return [Unit(self.texts, s.step, s.source) for s in self.students if s.step in steps]

    def refuse(self) -> None:
        """Raises BadScoring for what cannot come to anything."""
        settings, students = self.settings, self.students
        if settings.initial is not None and (students[1].step in (None, 0)):
            has = "a checkpoint of step 0" if students[1].step == 0 else "one model without a step"
            raise BadScoring(
                f"--initial {settings.initial}, and {settings.student} is {has}",
                "It is the student of step 0, before the checkpoints of its training",
                "Leave it out, or give a folder of checkpoints as --student",
            )
        if self.texts is Texts.FRESH and not self.source.steps():
            raise BadScoring(
                f"--texts-by fresh, and {self.source.name} is of no training step",
                "Fresh texts are judged by the student that wrote them at its step",
                "Leave it out, or give a run",
            )
        if not self.units:
            raise BadScoring(
                f"{self.source.name} has texts of {len(self.source.steps())} steps, "
                f"{settings.student} checkpoints of {len(students)} steps, and none of them agree",
                "Fresh texts are judged by the student that wrote them at its step",
                "Leave --texts-by out, and all checkpoints judge the texts of the last step",
            )

    def texts_of(self, unit: Unit) -> TextsOfStep:
        return self.source.of_step(unit.step) if unit.texts is Texts.FRESH else self.fixed

    def notes(self) -> list[str]:
        """What a reader of the numbers has to know, in sentences."""
        settings, source = self.settings, self.source.name
        notes = [
            f"Scored by rockcore score: every value is of the student {name_of(settings.student)}"
            f" and the teacher {name_of(settings.teacher)}, on the texts of {source}."
        ]
        if self.source.steps():
            notes.append(f"What was logged of a sampler or a teacher is in {source}, and not here.")
        if self.texts is Texts.FRESH and not self.several:
            notes.append(
                "One student judged the texts of all steps: between these the texts differ."
            )
        return notes

    @cached_property
    def config(self) -> dict[str, Any]:
        """What run.json keeps of it, each of which may not differ when it goes on."""
        settings = self.settings
        return {
            "source": place(settings.source),
            "source_mark": self.source.mark,
            "teacher": place(settings.teacher),
            "teacher_mark": mark_of(settings.teacher),
            "texts_by": self.texts.value,
            "dtype": settings.dtype,
            "alternatives": settings.alternatives,
            "grader": settings.grader,
            "template_args": dict(settings.template_args),
            "students": {
                str(s.step if s.step is not None else "only"): [place(s.source), mark_of(s.source)]
                for s in self.students
            },
        }


def place(path: str | Path) -> str:
    """A folder or file by its whole path, a hub name as it is."""
    return str(Path(path).resolve()) if Path(path).exists() else str(path)


def refuse_another(plan: Plan) -> None:
    """Raises RunExists for a folder that holds another run, BadScoring if it scores other texts or
    under other models.
    """
    out = plan.settings.out
    if not (out / META).exists():
        RunWriter.refuse_existing(out)
        return
    stored = RunWriter.reopen(out).meta.config.get("score")
    if not isinstance(stored, dict):
        raise RunExists(
            f"{out} holds a run that was not scored by this command",
            "A scoring writes a run of its own, and over no other",
            "Choose another --out",
        )
    students = stored.get("students")
    known = students if isinstance(students, dict) else {}
    for name, value in plan.config.items():
        if name == "students":
            differing = [s for s in value if s in known and known[s] != value[s]]
            there = differing and known[differing[0]]
        else:
            differing, there = [name] if stored.get(name) != value else [], stored.get(name)
        if differing:
            raise BadScoring(
                f"{out} holds a scoring with another {differing[0].replace('_', ' ')} "
                f"(there: {ascii(there)[:80]})",
                "What was scored before and after would not be comparable",
                "Choose another --out, or delete that run",
            )
