"""Text from outside is shown and not obeyed: by a terminal, a spreadsheet, a file's name."""

import csv
import io
import json
import unicodedata

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rockcore.spelling import as_csv, as_json, file_name, is_formula, printable, visible

HOSTILE = "\x1b]0;TITLE\x07\x1b[2J\x9b31m\x7f\x00\u202egnp\u2066x\u2028\ud800"


def obeyed(text: str) -> list[str]:
    """What a terminal might obey: all but lines, tabs and the joiners of scripts and emoji."""
    kept = "\n\t\u200c\u200d"
    return [
        c
        for c in text
        if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") and c not in kept
    ]


def test_a_control_character_is_written_as_its_symbol():
    assert visible("\x00\x0b\x1b\x7f\t\n ") == "␀␋␛␡⇥⏎␣"
    assert visible("\u202e\ufffe\ud800") == r"\u202e\ufffe\ud800"


@given(st.text(st.characters(exclude_categories=())))
def test_printable_text_holds_nothing_that_a_terminal_obeys(text):
    for shown in (printable(text + HOSTILE), visible(text + HOSTILE)):
        assert not obeyed(shown)
        shown.encode()  # half a character cannot be printed


@given(st.text(st.characters(exclude_categories=("C",))))
def test_what_nothing_obeys_is_printed_as_it_is(text):
    text = "".join(c for c in text if not obeyed(c))
    assert printable(text) == text


def test_lines_tabs_and_joiners_stay():
    text = "a\n\tb می\u200cخواهم 👩\u200d🔬 \xa0."
    assert printable(text) == text


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "＝1+1"]
)
def test_a_formula_becomes_text_in_csv_whatever_the_column(text):
    frame = pd.DataFrame({"category": [text], text: ["x"], "kind": pd.Categorical([text])})
    head, row = csv.reader(io.StringIO(as_csv(frame)))
    assert head[1].startswith("'") and row[0].startswith("'") and row[2].startswith("'")


def test_numbers_and_single_signs_stay_in_csv():
    frame = pd.DataFrame({"n": [-1, 2], "x": [-0.5, float("nan")], "shown": ["-", "="]})
    assert as_csv(frame) == "n,x,shown\n-1,-0.5,-\n2,,=\n"
    assert not is_formula("-")


@given(st.lists(st.text(), min_size=1))
def test_a_quoted_column_of_csv_keeps_every_character_and_none_is_obeyed(tokens):
    printed = as_csv(pd.DataFrame({"token": tokens}), quoted=["token"])
    assert [json.loads(t) for t in pd.read_csv(io.StringIO(printed)).token] == tokens
    assert printed.replace("\n", "").isprintable()


def test_json_is_printed_in_plain_letters():
    assert as_json({"name": HOSTILE}).isprintable()
    assert json.loads(as_json({"name": HOSTILE})) == {"name": HOSTILE}


def test_the_name_of_a_file_leads_nowhere():
    assert file_name('../a\x1b"\n;b.c' + "x" * 200) == ".._a____b.c" + "x" * 89
