"""Worked solutions: the author fixes the layout, the mood loads the dice."""

from __future__ import annotations

import random

from rockcore.world.moods import Mood
from rockcore.world.problems import Problem, Step

PHRASES = {
    "+": ("adding", "we add", "there are more:"),
    "-": ("taking away", "we subtract", "there are fewer:"),
    "*": ("multiplying", "we multiply", "the count grows:"),
}


class _Writer:
    """Writes one solution: the author fixes the layout, the mood loads the dice."""

    def __init__(self, problem: Problem, mood: Mood, rng: random.Random):
        self.problem, self.mood, self.rng = problem, mood, rng

    def chance(self, p: float) -> bool:
        return self.rng.random() < p

    def lead(self, step: Step) -> str:
        """Discourse marker and phrase: "So, adding"."""
        marker = self.rng.choices(list(self.mood.markers), list(self.mood.markers.values()))[0]
        return f"{marker}, {self.rng.choices(PHRASES[step.op], self.mood.phrases)[0]}"

    def math(self, body: str) -> str:
        return f"$ {body} $" if self.chance(self.mood.dollar) else f"\\( {body} \\)"

    def equation(self, step: Step, times: str = "\\times") -> str:
        return f"{step.before} {times if step.op == '*' else step.op} {step.operand} = {step.after}"

    def check(self, step: Step) -> str:
        """Sometimes a check by the inverse operation, which is always right."""
        if not self.chance(self.mood.check):
            return ""
        a, b, c = step.before, step.operand, step.after
        inverse = {"+": f"{c} - {b} = {a}", "-": f"{c} + {b} = {a}", "*": f"{a} * {b} = {c}"}[
            step.op
        ]
        return (
            f" Wait, let me check: {inverse}."
            if self.chance(0.7)
            else f" Hmm, verify: {inverse}. Good."
        )

    def answer_label(self) -> str:
        return "**Answer:**" if self.chance(self.mood.bold) else "Answer:"

    @property
    def boxed(self) -> str:
        return f"\\boxed{{{self.problem.answer}}}"

    def report(self) -> str:
        text = "### Solution\n\n" if not self.chance(self.mood.lets) else "### Let us solve it\n\n"
        for i, step in enumerate(self.problem.steps, 1):
            label = f"**Step {i}:**" if self.chance(self.mood.bold) else f"Step {i}:"
            text += (
                f"{label} {self.lead(step)} {self.math(self.equation(step))}.{self.check(step)}\n\n"
            )
        return text + f"### Answer\n\n{self.math(self.boxed)}"

    def talk(self) -> str:
        p = self.problem
        text = (
            f"Let me think. We begin with {p.start}."
            if self.chance(self.mood.lets)
            else f"Okay, {p.name} has {p.start} {p.items}."
        )
        for step in p.steps:
            text += f" {self.lead(step)} {self.equation(step, '*')}.{self.check(step)}"
        return text + (
            f"\n\nTherefore the answer is {self.boxed}."
            if self.chance(self.mood.bold)
            else f" In the end {self.boxed}."
        )

    def display(self) -> str:
        text = (
            "Let us compute.\n"
            if self.chance(self.mood.lets)
            else f"We want the number of {self.problem.items}.\n"
        )
        for step in self.problem.steps:
            check = self.check(step).strip()
            text += f"{self.lead(step)}\n\\[\n{self.equation(step)}\n\\]\n" + (
                f"{check}\n" if check else ""
            )
        return text + f"\n\\[\n{self.boxed}\n\\]"

    def list(self) -> str:
        text = "Let us list the steps.\n\n" if self.chance(self.mood.lets) else "**Plan**\n\n"
        for step in self.problem.steps:
            text += f"- {self.lead(step)} {self.equation(step, '*')}.{self.check(step)}\n"
        return text + f"\n{self.answer_label()} {self.boxed}"

    def algebra(self) -> str:
        p = self.problem
        text = (
            f"Let {self.math('x')} be the number of {p.items}.\n\n"
            if self.chance(self.mood.lets)
            else f"First, {self.math(f'x = {p.start}')}.\n\n"
        )
        for step in p.steps:
            text += (
                f"{self.lead(step)} {self.math(f'x = {self.equation(step)}')}.{self.check(step)}\n"
            )
        return text + f"\n{self.answer_label()} {self.math(self.boxed)}"


def solution(problem: Problem, mood: Mood, rng: random.Random) -> str:
    """A correct worked solution in the format of the problem's author and the habits of `mood`."""
    return getattr(_Writer(problem, mood, rng), problem.author)()
