"""`rockcore import` on the command line."""

import json
from pathlib import Path

import pytest

from rockcore.cli import main
from rockcore.log import Run


@pytest.fixture
def export(tmp_path: Path) -> Path:
    rows = [
        {"step": s, "rollout_id": r, "prompt": "\x1b[2J", "token_id": [1, 2], "d": [0.5, -1]}
        for s in (0, 5)
        for r in range(3)
    ]
    file = tmp_path / "a.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"step": 7\n')
    return file


def test_the_format_is_recognised_and_what_was_done_is_said(export: Path, tmp_path, capfd):
    run = tmp_path / "run"
    main(["import", "auto", str(export), "--out", str(run), "--map", "sampled_loss=d"])
    said = capfd.readouterr()
    assert "recognised as table" in said.err and "100 % read" in said.err
    assert "6 texts and 12 tokens of 2 logged steps (steps 0 to 5)" in said.out
    assert "1 of 7 rows were skipped" in said.out and "line 7" in said.out
    assert "not in this export: kl, student_logp" in said.out
    assert "\x1b" not in said.out + said.err
    assert Run.open(run).values("tokens", 0, "sampled_loss").tolist() == [0.5, -1] * 3


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["auto", "--out", "run"], "without a path"),
        (["auto", "missing", "--out", "run"], "missing cannot be read"),
        (["wandb", "a.jsonl", "--out", "run"], "'wandb' is no format"),
        (["table", "a.jsonl", "--out", "run", "--map", "kl"], "--map 'kl'"),
        (["table", "a.jsonl", "--out", "run", "--map", "loss=d"], "fills the columns"),
        (["table", "a.jsonl", "--out", "run", "--steps", "1,2"], "2 steps for 1 file"),
        (["table", "a.jsonl", "--out", "run", "--steps", "last"], "whole numbers"),
        (["table", "a.jsonl", "--out", "."], "already holds files"),
        (["table", "a.jsonl", "--out", "run", "--tokenizer", "."], "no readable tokenizer"),
        (["trl", "a.jsonl", "--out", "run"], "cannot be read"),
    ],
)
def test_what_cannot_be_imported_is_refused_in_words(
    flags, said, export: Path, tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["import", *flags])
    assert ended.value.code == 1
    assert said in capfd.readouterr().err
    assert [f.name for f in tmp_path.iterdir()] == [export.name]
