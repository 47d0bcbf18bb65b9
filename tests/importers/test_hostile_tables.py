"""What a table should not hold is left out and counted, or refused in words; nothing else ends."""

import json
import os
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rockcore.importers import BadExport, format_named, import_run
from rockcore.importers.recognise import files_of, recognise
from rockcore.log import Run
from rockcore.schema import RockError

TABLE = format_named("table")
GOOD = {"step": 0, "rollout_id": 9, "prompt": "p", "token_id": [1, 2], "kl": [0.1, 0.2]}
ROWS = {
    "rollout_id: is True": {"rollout_id": True},
    "rollout_id: is 1180591620717411303424": {"rollout_id": 2**70},
    "rollout_id: is [1]": {"rollout_id": [1]},
    "correct: is 'yes'": {"correct": "yes"},
    "token_id: is of type object": {"token_id": [2**70, 1]},
    "token_id: has entries that are no numbers": {"token_id": [[1], [2]]},
    "token_id: is of type bool": {"token_id": [True, False]},
    "kl: has a number beyond": {"kl": [10**400, 1]},
    "kl: is an object": {"kl": {"a": 1}},
    "kl: has entries that are no numbers": {"kl": ["0.1", "0.2"]},
    "kl: has 1 values for 2 tokens": {"kl": [0.1]},
    "step: is '5'": {"step": "5"},
    "step: is 1099511627776": {"step": 2**40},
    "prompt: is neither text nor": {"prompt": 5},
}


@pytest.mark.parametrize("said", ROWS)
def test_a_row_that_cannot_be_a_text_is_left_out_and_named(said: str, tmp_path: Path):
    rows = [GOOD | ROWS[said], *(GOOD | {"rollout_id": r} for r in range(2))]
    file = tmp_path / "a.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = import_run(TABLE, [file], tmp_path / "run")
    assert (report.skipped, report.texts) == (1, 2)
    assert str(report.errors[0]).startswith(f"{file}, line 1, {said}")


CSV = {
    "": "no row",
    "step,rollout_id,position,token_id\n": "no row",
    "step,step,rollout_id,position,token_id\n0,0,1,0,1\n": "more than one column 'step'",
    "step,rollout_id,token_id\n0,1,1\n": "no column position.*--map position=FIELD",
    "step,position,token_id\n0,0,1\n": "no column rollout_id.*--map rollout_id=FIELD",
    "step,rollout_id,position,token_id\n0,1,,1\n": "position: is missing for a token",
    "step,rollout_id,position,token_id\n0,1,0,1,9\n": "5 cells for 4 columns",
    "rollout_id,prompt\n1,\udce9\n": "cannot be read",
}


@pytest.mark.parametrize("text", CSV)
def test_a_csv_that_is_no_table_is_refused_in_words(text: str, tmp_path: Path):
    file = tmp_path / "a.csv"
    file.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(BadExport, match=CSV[text]):
        import_run(TABLE, [file], tmp_path / "run")


PARQUET = {
    "token_id: is of type object": pa.table(
        {"step": [0], "rollout_id": [0], "token_id": [["a", "b"]]}
    ),
    "kl: has entries that are no numbers": pa.table(
        {"step": [0], "rollout_id": [0], "token_id": [[1, 2]], "kl": [[[0.1], [0.2]]]}
    ),
    "step: is datetime": pa.table(
        {
            "step": pa.array([0], pa.timestamp("s")),
            "rollout_id": [0],
            "position": [0],
            "token_id": [1],
        }
    ),
    "neither a whole number nor text": pa.table(
        {
            "step": [0],
            "rollout_id": pa.array([2**64 - 1], pa.uint64()),
            "position": [0],
            "token_id": [1],
        }
    ),
    "token_id: is missing at some": pa.table(
        {"step": [0, 0], "rollout_id": [0, 0], "position": [0, 1], "token_id": [1, None]}
    ),
    "with no row": pa.table({"step": [], "rollout_id": [], "token_id": []}),
}


@pytest.mark.parametrize("said", PARQUET)
def test_a_parquet_of_other_types_is_refused_in_words(said: str, tmp_path: Path):
    pq.write_table(PARQUET[said], tmp_path / "a.parquet")
    with pytest.raises(BadExport, match=said):
        import_run(TABLE, [tmp_path / "a.parquet"], tmp_path / "run")


def test_messages_of_a_chat_and_names_of_a_dictionary_are_text(tmp_path: Path):
    table = pa.table(
        {
            "rollout_id": pa.array(["b", "a"]).dictionary_encode(),
            "prompt": [[{"role": "user", "content": "x"}]] * 2,
            "response": ["of b", "of a"],
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    import_run(TABLE, [tmp_path / "a.parquet"], tmp_path / "run")
    frame = Run.open(tmp_path / "run").rollouts(0)
    assert frame.prompt.tolist() == ["user: x"] * 2
    assert frame.response.tolist() == ["of a", "of b"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pipes among its files")
def test_a_pipe_is_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "a.jsonl")
    for ask in (lambda path: files_of(TABLE, [path]), lambda path: recognise([path])):
        with pytest.raises(RockError, match="no regular file"):
            ask(tmp_path / "a.jsonl")
