"""A prompts file is read as it is meant, or refused with the row that is wrong."""

import json

import pandas as pd
import pytest

from rockcore.schema import Prompt, Turn
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
        ("p.jsonl", "not json", "row 1 cannot be read"),
        ("p.jsonl", '{"prompt": "a"}\n' * 6 + '{"prompt": "b", }', "row 7 cannot be read"),
        ("p.jsonl", '{"prompt": "a"}\n\n{"prompt": 7}', "row 3: prompt is a number"),
        ("p.jsonl", '{"prompt": "a"}\n' + "[" * 100_000, "row 2 cannot be read .*brackets"),
        ("p.jsonl", '{"prompt": "a", "answer": ' + "[" * 100_000, "row 1 cannot be read"),
        ("p.jsonl", '{"prompt": "cut \\ud83d"}', r"row 1: prompt holds '\\ud83d'"),
        ("p.jsonl", '{"prompt": "a", "answer": "\\ud83d"}', "row 1: answer holds"),
        ("p.jsonl", '{"prompt": "a", "teacher_prompt": "\\udc00"}', "row 1: teacher_prompt holds"),
        ("p.jsonl", '{"prompt": "a", "answer": [1, 2]}', "row 1: answer is a list"),
        ("p.jsonl", '{"prompt": "a", "answer": {"x": 1}}', "row 1: answer is a object"),
        ("p.jsonl", '{"prompt": "a", "answer": true}', "row 1: answer is a truth value"),
        ("p.jsonl", '{"prompt": "a", "prompt": "b"}', "row 1 cannot be read .*twice"),
        ("p.jsonl", '{"prompt": "a", "messages": []}', "both 'prompt' and 'messages'"),
        ("p.jsonl", '{"messages": []}', "row 1: messages has 0 turns"),
        ("p.jsonl", '{"prompt": [1]}', "row 1: prompt, turn 1 is a number"),
        ("p.jsonl", '{"prompt": [{"role": "king", "content": "a"}]}', "no role that is known"),
        ("p.jsonl", '{"prompt": [{"role": "user"}]}', "prompt, turn 1 is a null"),
        ("p.jsonl", '{"prompt": [{"role": "user", "content": [{"type": "image"}]}]}', "a list"),
        ("p.jsonl", '{"prompt": [{"role": "user", "content": "\\ud83d"}]}', "turn 1 holds"),
        (
            "p.jsonl",
            '{"prompt": [{"role": "assistant", "content": "", "tool_calls": [1]}]}',
            "turn 1 has more than role and content",
        ),
        (
            "p.jsonl",
            '{"prompt": [{"role": "assistant", "content": "a"}]}',
            "ends with a turn of the assistant",
        ),
        (
            "p.jsonl",
            '{"prompt": [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}], '
            '"system": "c"}',
            "and the row a 'system' too",
        ),
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


def test_a_mark_of_the_encoding_at_the_beginning_is_no_part_of_the_first_row(tmp_path):
    (tmp_path / "p.jsonl").write_text('{"prompt": "a"}\n{"prompt": "b"}', encoding="utf-8-sig")
    assert [p.prompt for p in load_prompts(tmp_path / "p.jsonl")] == ["a", "b"]


TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "2+2?"},
    {"role": "assistant", "content": "4"},
    {
        "role": "user",
        "content": [{"type": "text", "text": "And 3"}, {"type": "text", "text": "+3?"}],
    },
]
READ = (
    Turn("system", "Be brief."),
    Turn("user", "2+2?"),
    Turn("assistant", "4"),
    Turn("user", "And 3+3?"),
)


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_conversations_are_read_in_each_form_that_they_are_given_in(tmp_path, kind):
    plain = [turn._asdict() for turn in READ]
    rows = [
        {"prompt": plain},
        {"messages": [*plain, {"role": "assistant", "content": "6"}]},
        {"prompt": plain[1:], "system": "Be brief."},
        {"prompt": "2+2?", "system": "Be brief.", "teacher_prompt": plain[1:2]},
        {"prompt": [plain[1]]},
    ]
    path = tmp_path / f"p.{kind}"
    if kind == "jsonl":
        rows[0] = {"prompt": TURNS}
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        rows[3:] = []
        pd.DataFrame(rows).to_parquet(path)
    told: list[str] = []
    got = load_prompts(path, told.append)
    assert [p.turns for p in got[:3]] == [READ, READ, READ]
    assert got[0].prompt.startswith("[system]\nBe brief.\n\n[user]\n2+2?\n\n[assistant]\n4")
    assert "last turn of 1 of" in told[0] and len(told) == 1
    if kind == "jsonl":
        assert got[3].turns == got[3].teacher_turns == READ[:2]
        assert got[4] == Prompt("2+2?", "2+2?", None)


def test_columns_that_are_not_used_are_named_once(tmp_path):
    rows = [{"prompt": f"{i}?", "data_source": "x", "reward_model": {"a": 1}} for i in range(9)]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, rows)))
    told: list[str] = []
    assert len(load_prompts(tmp_path / "p.jsonl", told.append)) == 9
    assert len(told) == 1 and "not used: data_source, reward_model (used are prompt" in told[0]
