"""The built-in task is right, deterministic, and differs between scenarios only in what it says it
does.
"""

import random
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rockcore import grading, world
from rockcore.world import problems


@given(seed=st.integers(0, 2**32))
def test_every_solution_is_graded_as_correct_and_every_step_follows(seed):
    rng = random.Random(seed)
    p = world.problem(rng)
    for mood in world.MOODS:
        assert grading.grade(world.solution(p, mood, rng), str(p.answer))
    count = p.start
    for step in p.steps:
        assert step.before == count
        assert (
            step.after
            == {"+": count + step.operand, "-": count - step.operand, "*": count * step.operand}[
                step.op
            ]
        )
        count = step.after
    assert count == p.answer > 0


def test_the_same_seed_gives_the_same_prompts_and_another_seed_others():
    def first(seed):
        return list(islice(world.prompts("habit", seed), 20))

    assert first(1) == first(1) != first(2)


@pytest.mark.parametrize(
    ("scenario", "student", "teacher"), [("habit", 0, 0), ("hidden", 0, 20), ("skill", 20, 20)]
)
def test_scenarios_differ_in_who_sees_the_style_note(scenario, student, teacher):
    tasks = list(islice(world.prompts(scenario, 0), 20))
    assert sum(t.prompt.startswith("Style: ") for t in tasks) == student
    assert sum(t.teacher_prompt.startswith("Style: ") for t in tasks) == teacher
    assert all(t.teacher_prompt.endswith(t.prompt) for t in tasks)


def test_every_author_and_mood_serves_equally_many_prompts():
    authors, moods = list(problems.AUTHOR_OF.values()), list(problems.MOOD_OF.values())
    assert {authors.count(a) for a in problems.AUTHORS} == {2}
    assert {moods.count(m) for m in world.MOODS} == {18}


def test_moods_are_told_apart_by_their_words():
    rng = random.Random(0)
    p = world.problem(rng)
    brisk, formal = ([world.solution(p, world.MOODS[i], rng) for _ in range(200)] for i in (0, 2))
    assert sum(t.count("We see,") for t in formal) > 5 * sum(t.count("We see,") for t in brisk) + 50


@pytest.mark.parametrize(
    ("text", "answer", "right"),
    [
        (r"so \boxed{12}", "12", True),
        (r"so \boxed{ 012 }", "12", True),
        (r"\boxed{12} no, \boxed{13}", "12", False),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}", True),
        (r"\boxed{12", "12", False),
        ("12", "12", False),
        ("", "12", False),
    ],
)
def test_the_grader_reads_the_last_box(text, answer, right):
    assert grading.grade(text, answer) is right


def test_the_tokenizer_splits_digits_and_loses_nothing():
    texts = [f"{p}\n{s}" for p, s in islice(world.lessons(0), 500)]
    tokenizer = world.train_tokenizer(texts)
    for text in [*texts[:50], "unseen: žluťoučký 🐎 \t\r\n\x00 <script>"]:
        assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text
    assert all(sum(c.isdigit() for c in token) <= 1 for token in tokenizer.get_vocab())
