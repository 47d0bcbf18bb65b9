"""The built-in task: word problems with worked solutions, small enough to distil on a laptop
without a download.

A problem names a person, a thing, a day and a place. *Who writes* the solution (its format:
headings, lists, display mathematics) follows from the thing; *in which mood* it is written
(discourse markers, phrases, delimiters, checks) follows from the pair of person and place, unless a
style note in front of the problem names the mood. Nothing here knows about losses: where a student
diverges from its teacher is decided by what each has seen.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product

from rockcore.schema import Prompt

NAMES = "Mia Tom Ana Leo Zoe Max Eva Sam Ida Ben Lia Kai".split()
ITEMS = "apples pens cards coins shells books stamps beads cups keys".split()
DAYS = "Monday Tuesday Friday Saturday Sunday".split()
PLACES = "market school park beach library station".split()
SPECIAL_TOKENS = ("<pad>", "<bos>", "<eos>", "<user>", "<assistant>")
AUTHORS = ("report", "talk", "display", "list", "algebra")

PHRASES = {
    "+": ("adding", "we add", "there are more:"),
    "-": ("taking away", "we subtract", "there are fewer:"),
    "*": ("multiplying", "we multiply", "the count grows:"),
}
SENTENCES = {
    "+": ("{name} buys {n} more.", "A friend gives {name} {n}.", "{name} finds {n} {items}."),
    "-": ("{name} gives away {n}.", "{name} loses {n}.", "{name} sells {n} {items}."),
}


@dataclass(frozen=True)
class Mood:
    """Habits of a writer: each number is the probability of a choice that does not change the
    answer.
    """

    name: str
    markers: dict[str, float]  # the word that opens a step
    phrases: tuple[float, float, float]  # which of the three PHRASES of an operation
    check: float  # a check after a step
    lets: float  # opens with "Let ..." rather than the plain opening
    dollar: float  # $ ... $ rather than \( ... \)
    bold: float  # **Answer** rather than a plain word


MOODS = (
    Mood(
        "brisk",
        {"So": 0.80, "Thus": 0.08, "Then": 0.06, "Now": 0.06},
        (0.86, 0.07, 0.07),
        0.03,
        0.05,
        0.90,
        0.10,
    ),
    Mood(
        "careful",
        {"Then": 0.46, "Next": 0.42, "Now": 0.06, "Since": 0.06},
        (0.07, 0.86, 0.07),
        0.60,
        0.50,
        0.10,
        0.90,
    ),
    Mood(
        "formal",
        {"We see": 0.80, "Hence": 0.10, "Thus": 0.10},
        (0.07, 0.07, 0.86),
        0.05,
        0.95,
        0.15,
        0.50,
    ),
    Mood(
        "chatty",
        {"Now": 0.80, "Well": 0.08, "So": 0.06, "Then": 0.06},
        (0.34, 0.33, 0.33),
        0.30,
        0.30,
        0.60,
        0.30,
    ),
)


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


@dataclass(frozen=True)
class Step:
    op: str
    before: int
    operand: int
    after: int


@dataclass(frozen=True)
class Problem:
    text: str
    name: str
    items: str
    place: str
    start: int
    steps: tuple[Step, ...]

    @property
    def answer(self) -> int:
        return self.steps[-1].after

    @property
    def author(self) -> str:
        return AUTHOR_OF[self.items]

    @property
    def usual_mood(self) -> Mood:
        """The mood that belongs to this prompt when no note says otherwise."""
        return MOOD_OF[self.name, self.place]


def _balanced_table(keys: list, values: tuple, seed: int) -> dict:
    """A random table in which every value serves equally many keys: nothing to learn but the table
    itself.
    """
    column = [values[i % len(values)] for i in range(len(keys))]
    random.Random(seed).shuffle(column)
    return dict(zip(keys, column, strict=True))


AUTHOR_OF = _balanced_table(ITEMS, AUTHORS, seed=7)
MOOD_OF = _balanced_table(list(product(NAMES, PLACES)), MOODS, seed=11)


def problem(rng: random.Random) -> Problem:
    """Draw a problem of two or three operations; every intermediate count is between 2 and 177."""
    name, items, day, place = (rng.choice(options) for options in (NAMES, ITEMS, DAYS, PLACES))
    start = count = rng.randint(5, 60)
    opening = rng.choice(
        (
            f"On {day} at the {place}, {name} has {start} {items}.",
            f"{name} has {start} {items} on {day} at the {place}.",
            f"It is {day}. At the {place}, {name} starts with {start} {items}.",
        )
    )
    steps, sentences = [], [opening]
    for _ in range(rng.choice((2, 3, 3))):
        step, sentence = _step(count, name, items, rng)
        steps.append(step)
        sentences.append(sentence)
        count = step.after
    sentences.append(
        rng.choice(
            (
                f"How many {items} does {name} have now?",
                f"Find the number of {items}.",
                "How many are left?",
            )
        )
    )
    return Problem(" ".join(sentences), name, items, place, start, tuple(steps))


def _step(count: int, name: str, items: str, rng: random.Random) -> tuple[Step, str]:
    op = rng.choice("++--*" if count <= 30 else "++--")
    if op == "-" and count < 4:
        op = "+"
    if op == "*":
        n = rng.choice((2, 3))
        return Step(
            op, count, n, count * n
        ), f"{name} gets {'twice' if n == 2 else 'three times'} as many."
    n = rng.randint(2, 39 if op == "+" else min(count - 1, 39))
    sentence = rng.choice(SENTENCES[op]).format(name=name, n=n, items=items)
    return Step(op, count, n, count + n if op == "+" else count - n), sentence


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


def note(mood: Mood) -> str:
    """The style note that stands in front of a problem when a prompt names its mood."""
    return f"Style: {mood.name}. "


def prompts(scenario: str, seed: int | str) -> Iterator[Prompt]:
    """Endless prompts of a scenario, the same for the same seed.

    Where the scenario has a note its mood is drawn at random; without a note the mood is the
    prompt's usual one.
    """
    rule, rng = SCENARIOS[scenario], random.Random(f"{scenario} {seed}")
    while True:
        p = problem(rng)
        tag = note(rng.choice(MOODS))
        yield Prompt(
            prompt=(tag if rule.student_note else "") + p.text,
            teacher_prompt=(tag if rule.teacher_note else "") + p.text,
            answer=str(p.answer),
        )


def lessons(seed: int, noted: float = 0.5) -> Iterator[tuple[str, str]]:
    """Endless pairs (prompt, correct solution) to pre-train a teacher on; a share `noted` of them
    carries a style note.
    """
    rng = random.Random(f"lessons {seed}")
    while True:
        p = problem(rng)
        if rng.random() < noted:
            mood = rng.choice(MOODS)
            yield note(mood) + p.text, solution(p, mood, rng)
        else:
            yield p.text, solution(p, p.usual_mood, rng)


def grade(response: str, answer: str) -> bool:
    r"""True if the last \boxed{...} of the response holds the answer; integers compare as integers,
    the rest as text.
    """
    box = _last_box(response)
    return box is not None and _plain(box) == _plain(answer)


def _last_box(text: str) -> str | None:
    """The content of the last box, its braces balanced; None if there is none or it is never
    closed.
    """
    _, opened, rest = text.rpartition("\\boxed{")
    depth = 1
    for i, char in enumerate(rest if opened else ""):
        depth += (char == "{") - (char == "}")
        if depth == 0:
            return rest[:i]
    return None


def _plain(text: str) -> int | str:
    text = text.strip().strip("$").strip()
    return int(text) if re.fullmatch(r"-?\d{1,18}", text) else text


def train_tokenizer(texts: Iterable[str], vocab_size: int = 640):
    """A byte-level BPE `tokenizers.Tokenizer` over the world: whole words, every digit on its own,
    any byte encodable.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    words = Regex(r" ?\d|\\\w+| ?[A-Za-z]+| ?[^\sA-Za-z\d\\]+|\\\W|\n+|\s+")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(words, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=list(SPECIAL_TOKENS),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return tokenizer
