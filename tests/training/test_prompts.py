"""A prompts file is read as it is meant, or refused with the row that is wrong."""

import json

import pandas as pd
import pytest

from rockcore.schema import Prompt
from rockcore.tasks import BadPrompts, load_prompts

ROWS = [
    {"prompt": "2+2?", "answer": 4},
    {"prompt": "3+3?", "teacher_prompt": "Be brief. 3+3?", "answer": "6"},
    {"prompt": "Hello"},
]
WANT = [
    Prompt("2+2?", "2+2?", "4"),
    Prompt("3+3?", "Be brief. 3+3?", "6"),
    Prompt("Hello", "Hello", None),
]


def test_jsonl_and_parquet_give_the_same_prompts(tmp_path):
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    pd.DataFrame(ROWS).astype({"answer": str}).replace("nan", None).to_parquet(
        tmp_path / "p.parquet"
    )
    assert load_prompts(tmp_path / "p.jsonl") == WANT
    assert load_prompts(tmp_path / "p.parquet") == WANT


def test_text_that_looks_like_a_number_or_a_date_stays_text(tmp_path):
    (tmp_path / "p.jsonl").write_text(
        '{"prompt": "2020-01-01", "answer": "007"}\n{"prompt": "12", "answer": "1e3"}'
    )
    assert [p.prompt for p in load_prompts(tmp_path / "p.jsonl")] == ["2020-01-01", "12"]
    assert [p.answer for p in load_prompts(tmp_path / "p.jsonl")] == ["007", "1e3"]


def test_line_separators_inside_a_text_do_not_end_the_row(tmp_path):
    (tmp_path / "p.jsonl").write_text('{"prompt": "a\u2028b\u0085c"}\n', encoding="utf-8")
    assert [p.prompt for p in load_prompts(tmp_path / "p.jsonl")] == ["a\u2028b\u0085c"]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("p.jsonl", '{"question": "2+2?"}', "row 1 has no 'prompt'.*found: 1 other fields"),
        ("p.jsonl", '{"prompt": "a"}\n{"prompt": ""}', "row 2: prompt is empty"),
        ("p.jsonl", '{"prompt": "a"}\n{"prompt": 7}', "row 2: prompt is a number"),
        ("p.jsonl", '{"prompt": "a", "teacher_prompt": 3}', "row 1: teacher_prompt is a number"),
        ("p.jsonl", "not json", "cannot be read"),
        ("p.jsonl", "[1, 2]", "row 1 has no 'prompt'"),
        ("p.jsonl", "", "no rows"),
        ("p.parquet", "not parquet", "cannot be read"),
        ("p.csv", "prompt\na", "ends in '.csv'"),
    ],
)
def test_a_file_that_is_not_one_of_prompts_says_what_is_wrong_and_what_is_wanted(
    tmp_path, name, content, says
):
    (tmp_path / name).write_text(content)
    with pytest.raises(BadPrompts, match=f"(?s){name}.*{says}"):
        load_prompts(tmp_path / name)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BadPrompts, match="does not exist"):
        load_prompts(tmp_path / "none.jsonl")
