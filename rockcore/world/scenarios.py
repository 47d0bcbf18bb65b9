"""The ways of making teacher and student differ."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scenario:
    """One way of making teacher and student differ; `origin` tells a reader where the divergence
    comes from.
    """

    name: str
    summary: str
    origin: str
    teacher_note: bool  # the teacher's prompt carries the style note
    student_note: bool  # the student's prompt carries it too


SCENARIOS = {
    s.name: s
    for s in (
        Scenario(
            "habit",
            "Same prompt for both; the student learned earlier from texts with other discourse "
            "habits.",
            "The student was first trained on solutions whose mood had nothing to do with the "
            "prompt. The teacher has "
            "learned which mood belongs to which prompt. What stays is the part of these habits "
            "that the student has "
            "not learned in this run: slow, not impossible.",
            teacher_note=False,
            student_note=False,
        ),
        Scenario(
            "hidden",
            "The teacher reads a style note that the student never sees.",
            "The mood is drawn at random and only the teacher's prompt names it. Until its own "
            "words give the mood away, "
            "no student can match the teacher here: this part is irreducible by construction, not "
            "a matter of training.",
            teacher_note=True,
            student_note=False,
        ),
        Scenario(
            "skill",
            "Same prompt and same habits; the student mainly lacks arithmetic.",
            "Both read the style note and the student has learned its habits. What is left is "
            "mostly arithmetic, which "
            "distillation does teach: expect the loss to sit on digits, and to fall.",
            teacher_note=True,
            student_note=True,
        ),
    )
}
