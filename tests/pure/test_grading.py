r"""Answers are found where they stand, and compared as text or as mathematics."""

import pytest

from rockcore import grading
from rockcore.grading import mathematics


@pytest.mark.parametrize(
    ("text", "answer", "right"),
    [
        ("so 6 * 7\n#### 42", "42", True),
        ("#### 41\n#### 42 \nbye", "42", True),
        (r"#### 41, no: \boxed{42}", "42", True),
        ("##### 42", "42", False),  # a heading
        ("#### ", "", False),
        (r"\boxed{42}", "6 * 7 = 42\n#### 42", True),  # the answer is a whole solution
        (r"\boxed{42}", r"so \boxed{42}", True),
        ("42", "42", False),
        (r"\boxed{42.0}", "42", False),  # as text
    ],
)
def test_the_simple_grader_knows_boxes_and_lines_behind_four_hashes(text, answer, right):
    assert grading.grade(text, answer) is right


MATHEMATICS = [
    (r"\boxed{42.0}", "42", True),
    (r"\boxed{1,000}", "1000", True),
    (r"\boxed{1{,}000}", "1000", True),
    (r"\boxed{\dfrac{1}{2}}", "1/2", True),
    (r"\boxed{−5}", "-5", True),
    (r"\boxed{\$42}", "42", True),
    (r"\boxed{\text{A}}", "A", True),
    ("#### 1,000", "1000", True),
    ("The answer is 42.", "42", True),
    (r"first \boxed{1}, no: \boxed{2}", "2", True),
    (r"\boxed{x^2+2x+1}", "(x+1)^2", True),
    (r"\boxed{Mia}", "Mia", True),
    (r"\boxed{43}", "42", False),
    (r"\boxed{B}", "A", False),
    (r"\boxed{}", "0", False),
    ("", "42", False),
    ("no number", "42", False),
]


@pytest.mark.parametrize(("text", "answer", "right"), MATHEMATICS)
def test_math_verify_compares_as_mathematics_does(text, answer, right):
    pytest.importorskip("math_verify")
    assert grading.grade(text, answer, "math-verify") is right


def test_an_answer_that_takes_for_ever_is_wrong_and_the_next_is_compared(monkeypatch):
    pytest.importorskip("math_verify")
    monkeypatch.setattr(mathematics, "MOST_S", 0.5)
    tower, good = r"\boxed{9^{9^{9^{9}}}}", r"\boxed{7.0}"
    grades = grading.graded([tower, good], ["3", "7"], "math-verify")
    assert grades == [(False, True), (True, True)]


def test_a_grader_that_is_not_there_is_refused(monkeypatch):
    with pytest.raises(grading.BadGrader, match="no grader 'x'.*boxed, math-verify"):
        grading.grade("", "", "x")
    monkeypatch.setattr("rockcore.grading.graders.find_spec", lambda name: None)
    with pytest.raises(grading.BadGrader, match="not installed.*pip install"):
        grading.check("math-verify")
    grading.check("boxed")


def test_whether_a_response_holds_any_answer_is_told():
    texts = ["no", r"\boxed{1}", "#### 2", r"\boxed{1"]
    assert [each.found for each in grading.graded(texts, ["1"] * 4)] == [False, True, True, False]
