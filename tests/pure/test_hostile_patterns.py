"""Tokens and patterns made to hang `re`: the built-in rules read any token in time that grows with
its length, a user's pattern is given up and named.
"""

import json
import os
import re
import subprocess
import sys
import threading
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rockcore import categories
from rockcore.categories import (
    RULES,
    BadRules,
    categorize_all,
    load_rules,
    patterns,
    sentence_marks,
)
from rockcore.log import Run

HANG_S = 300  # far more than any of this takes; what is quadratic takes hours

# Built-in rules

KINDS = " \n_$\\{a1*#-=:Ġ▁é"
JUDGE = """
import json, sys
from rockcore.categories import categorize_all, sentence_marks
tokens = json.load(sys.stdin)
categorize_all(tokens, [False] * len(tokens))
sentence_marks(tokens)
"""


def judged_elsewhere(tokens: list[str]) -> None:
    """Raises where it takes too long: a hanging `re` would hold all threads of this process."""
    subprocess.run(
        [sys.executable, "-c", JUDGE],
        input=json.dumps(tokens).encode(),
        check=True,
        timeout=HANG_S,
        cwd=Path(categories.__file__).parents[2],
    )


def test_a_token_of_a_hundred_thousand_line_breaks_is_judged_at_once():
    judged_elsewhere(["\n" * 100_000 + "a", "$" * 100_000 + "a", "_" * 100_000 + " a"])


def test_no_two_kinds_of_characters_in_a_row_make_a_rule_slow():
    judged_elsewhere([x * 20_000 + y * 20_000 + "a" for x, y in product(KINDS, KINDS)])


# as one reads them: behind a common \s*, and forwards; these take quadratic time
LATEX = re.compile(
    r"\s*(\\.*|[\W_]*[$\\^][\W_]*|([{}&]|_(?!_))+|.*\\[a-zA-Z].*|(?<!\s)("
    r"[dt]?frac|sqrt|boxed|c?dots?|ldots|cdots|leq|geq|neq|infty|math(bb|bf|cal|rm)))\s*",
    re.S,
)
ENDING = re.compile(
    r"""[\n\r.!?:…。！？：｡؟।][\s*_#>\-–—"'“”‘’„«»「」『』()\[\]{}（）【】$\\`~|•·]*\Z"""
)
SIGNS = st.lists(st.sampled_from([*' \n\t_$\\^{}&ab1.*#`->="(:!\r\x1c', "frac", "boxed"])).map(
    "".join
)


@given(SIGNS)
def test_latex_is_what_its_plain_pattern_matches(text):
    latex = next(rule.pattern for rule in RULES if rule.category == "latex")
    assert bool(latex.fullmatch(text)) == bool(LATEX.fullmatch(text))


@given(SIGNS)
def test_a_sentence_ends_where_its_plain_pattern_matches(text):
    assert (sentence_marks([text])[0] == categories.ENDS) == bool(ENDING.search(text))


# A user's patterns


def written(folder: Path, *patterns: str) -> Path:
    rules = [f"[[rule]]\ncategory = 'c{i}'\npattern = '{p}'\n" for i, p in enumerate(patterns)]
    file = folder / "rules.toml"
    file.write_text("".join(rules), encoding="utf-8")
    return file


def judged(file: Path, *tokens: str) -> list[str]:
    return categorize_all(tokens, [False] * len(tokens), rules=load_rules(file))


@pytest.mark.parametrize(
    ("pattern", "token"),
    [("(a+)+b", "a" * 60), ("(a|aa)+$", "a" * 100_000 + "b")],
)
def test_a_pattern_that_hangs_is_named_with_the_token(tmp_path, pattern, token):
    with pytest.raises(BadRules) as caught:
        judged(written(tmp_path, "fine", pattern), "So", token)
    assert f"rules.toml, rule 2 (c1): pattern is '{pattern}'" in str(caught.value)
    assert f"on '{token[:20]}" in str(caught.value) and len(str(caught.value)) < 600 + len(
        str(tmp_path)
    )


def test_what_hung_once_is_refused_without_another_try(tmp_path, monkeypatch):
    file = written(tmp_path, "(a+)+b")
    with pytest.raises(BadRules):
        judged(file, "a" * 60)
    monkeypatch.setattr(subprocess, "run", None)
    with pytest.raises(BadRules, match=r"\(a\+\)\+b"):
        judged(file, "So")


def test_other_threads_go_on_while_a_pattern_hangs(tmp_path, monkeypatch):
    file, run, went_on = written(tmp_path, "(a+)+b"), subprocess.run, threading.Event()
    load_rules(file)

    def tried(*arguments, **options):
        threading.Timer(0.01, went_on.set).start()  # a pattern is given up after much more
        done = run(*arguments, **options)
        assert went_on.is_set()
        return done

    monkeypatch.setattr(subprocess, "run", tried)
    with pytest.raises(BadRules):
        judged(file, "a" * 60)
    assert went_on.is_set()


def test_each_pattern_is_tried_once_on_each_token(tmp_path, monkeypatch):
    file = written(tmp_path, "S.", "[0-9]+")
    assert judged(file, "So", "12", "So", "x") == ["c0", "c1", "c0", "content"]
    monkeypatch.setattr(subprocess, "run", None)  # no process is started for what is known
    assert judged(file, "12", "So", "12") == ["c1", "c0", "c1"]


def test_patterns_that_are_slow_together_are_refused(tmp_path, monkeypatch):
    """No single match is slow enough to be given up."""
    monkeypatch.setattr(patterns, "MOST_S", 1.0)
    tokens = [f"{i:03}" + "a" * 100 for i in range(1_000)]
    with pytest.raises(BadRules, match=r"its 200 patterns take more than 1 s on 1,000 tokens"):
        judged(written(tmp_path, *[".*.*.*" + f"{i}b" for i in range(200)]), *tokens)


def test_half_a_character_is_judged_like_any_other(tmp_path):
    assert judged(written(tmp_path, r"\ud800"), "\ud800", "x") == ["c0", "content"]


def test_a_process_that_is_ended_from_outside_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(BadRules, match=r"ended the process that tried them.*exit code 1"):
        load_rules(written(tmp_path, "a"))


# A user's file


RULE = "[[rule]]\ncategory = 'a'\npattern = '{}'\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (RULE.format("x") * 1_001, r"has 1,001 rules\. .*at most 1,000"),
        (RULE.format("x" * 2**20), r"has more than 1,048,576 bytes"),
        ("x = " + "[" * 100_000, r"cannot be read \(.*\)\. It is not valid TOML"),
        ("a." * 5_000 + "a = 1", r"line 1 has 5,000 dots"),
        ("[[rule]]\ncategory = " + "0x" + "f" * 5_000, r"has no pattern"),
        (RULE.format("x") + "meaning = 0x" + "f" * 5_000, r"is a number of thousands of digits"),
        (RULE.format("(" * 5_000 + ")" * 5_000), r"rule 1 \(a\): pattern is '\(+…\. It is no"),
        (RULE.format("a{4294967296}"), r"repetition number is too large"),
        (RULE.format("(?i)" + r"[\x00-\U0010ffff]" * 2_000), r"half a second of CPU before any"),
        (
            "[[rule]]\npattern = 'a'\ncategory = '" + "x" * 10**5 + "'",
            r"is 'x+…\. A category",
        ),
        ('[[rule]]\npattern = "a"\ncategory = "\\u001b]0;x"', r"is '\\x1b\]0;x'\. .*be seen"),
        ('[[rule]]\npattern = "a"\ncategory = "\\u202ex"', r"is '\\u202ex'\. .*be seen"),
        ('"\\u001b[2J" = 1', r"rules.toml has '\\x1b\[2J'"),
    ],
    ids="rules bytes deep dots hex digits parentheses count sets letters title bidi key".split(),
)
def test_a_file_made_to_be_slow_or_to_draw_is_refused(tmp_path, text, message):
    file = tmp_path / "rules.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(BadRules, match=message) as caught:
        load_rules(file)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 1_000


@pytest.mark.parametrize("make", [os.mkfifo, lambda f: os.symlink(f, f)], ids=["fifo", "loop"])
def test_what_is_no_file_is_refused_also_in_the_folder_of_a_run(tmp_path, make):
    make(tmp_path / "categories.toml")
    with pytest.raises(BadRules, match="categories.toml is no file"):
        _ = Run(tmp_path, None).category_rules  # pyright: ignore[reportArgumentType]


def test_patterns_that_are_nested_deep_but_good_still_work(tmp_path):
    file = written(
        tmp_path, "(?:(?:a{1000}){1000}){1000}", r"(?<=x)b|(?!c)[a-z]{3}", r"(?P<q>.)(?P=q)"
    )
    assert judged(file, "abc", "cde", "==") == ["c1", "content", "c2"]
