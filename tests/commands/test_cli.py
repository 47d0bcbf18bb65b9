"""The command line as a user meets it: same numbers as the library, clear errors, no traceback."""

import csv
import io
import json
import re
import subprocess
import sys

import numpy as np
import pytest
from small_logs import meta, tokens

from rockcore.cli import main
from rockcore.log import Run, RunWriter
from rockcore.rocks import search
from rockcore.rocks.rule import preset


def rockcore(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "rockcore", *arguments], capture_output=True, text=True
    )


def test_rocks_json_prints_the_rock_set_of_the_library(tiny_run, capsys):
    run = tiny_run()
    main(
        [
            "rocks",
            str(run),
            "--preset",
            "lenient",
            "--set",
            "window=2",
            "--set",
            "tau_pre=0.3",
            "--json",
            "--step",
            "10",
        ]
    )
    rule = preset("lenient").changed(window=2, tau_pre=0.3, tau_post=0.3, post_step=10)
    assert capsys.readouterr().out.strip() == search.detect(Run.open(run), rule).to_json()


def test_rocks_csv_has_a_row_a_type_and_gives_every_token_back(tiny_run, capsys):
    run = tiny_run()
    main(["rocks", str(run), "--csv"])
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [json.loads(row["token"]) for row in rows] == search.detect(
        Run.open(run)
    ).tokens.token.tolist()
    assert not any(
        value.startswith(("=", "+", "@"))
        for row in rows
        for value in (row["token"], row["category"])
    )


def test_what_json_prints_holds_a_rule_that_finds_the_same_set_again(tiny_run, tmp_path, capsys):
    run = tiny_run()
    main(["rocks", str(run), "--json"])
    first = json.loads(capsys.readouterr().out)
    (tmp_path / "rule.json").write_text(json.dumps(first["rule"]))
    main(["rocks", str(run), "--rule", str(tmp_path / "rule.json"), "--json"])
    again = json.loads(capsys.readouterr().out)
    assert [t["token_id"] for t in again["tokens"] if t["in_set"]] == [
        t["token_id"] for t in first["tokens"] if t["in_set"]
    ]
    assert again["occurrences"] == first["occurrences"] and again["rule"] == first["rule"]


def test_categories_come_from_the_file_that_is_named_or_lies_in_the_run(tiny_run, tmp_path, capsys):
    run = tiny_run()
    own = tmp_path / "mine.toml"
    own.write_text('[[rule]]\ncategory = "fruit"\npattern = " apples"\n')

    def fruits(*flags: str) -> list[str]:
        main(["rocks", str(run), "--json", *flags])
        return [
            t["token"]
            for t in json.loads(capsys.readouterr().out)["tokens"]
            if t["category"] == "fruit"
        ]

    assert fruits() == [] and fruits("--categories", str(own)) == [" apples"]
    (run / "categories.toml").write_text(own.read_text())
    assert fruits() == [" apples"]


def test_the_summary_says_how_k_was_chosen_and_names_both_densities(tiny_run, capsys):
    main(["rocks", str(tiny_run()), "--set", "score=rock_score", "--set", "top_k=3"])
    out = " ".join(capsys.readouterr().out.split())
    assert "K = 3 (as the rule says)" in out
    assert re.search(r"split-half Jaccard 0\.\d\d \(20 splits, middle 95 %: \d\.\d\d to ", out)
    assert "type density" in out and "occurrence density" in out


def test_rocks_prints_a_table_whatever_the_tokens_look_like(tmp_path, capsys):
    hostile = {
        "token_id": [0, 1, 2],
        "token": ["[red]x", "[/]", "\x1b[31m\n"],
        "special": [False] * 3,
    }
    writer = RunWriter.create(tmp_path / "r", meta(), hostile)
    for step in (0, 10):
        writer.append("tokens", step, {**tokens(step), "token_id": np.arange(10) % 3})
    main(["rocks", str(tmp_path / "r")])
    out = capsys.readouterr().out
    assert "'[red]x'" in out and "'[/]'" in out and "\x1b[31m" not in out and "3 of 3 types" in out


def test_a_run_may_be_named_like_markup(run_path, capsys):
    odd = run_path.rename(run_path.with_name("a[red]b"))
    main(["rocks", str(odd)])
    RunWriter.reopen(odd).save_meta(name="[red]x[-]")
    main(["rocks", str(odd)])
    assert "[red]x[-]" in capsys.readouterr().out


def test_json_needs_no_unicode_from_the_terminal(run_path, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    assert rockcore("rocks", str(run_path), "--json").returncode == 0


def test_python_dash_m_is_the_same_program(run_path):
    done = rockcore("rocks", str(run_path), "--json", "--top", "1")
    assert done.returncode == 0 and len(json.loads(done.stdout)["tokens"]) == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["rocks", "nowhere"], "nowhere is missing"),
        (["rocks", "x", "--set", "gamma=2"], "gamma = 2"),
        (["rocks", "x", "--set", "gamma"], "--set gamma"),
        (["rocks", "x", "--set", "tau=1"], "No field tau"),
        (["rocks", "x", "--preset", "best"], "No preset 'best'"),
        (["rocks", "x", "--rule", "none.json"], "none.json cannot be read"),
        (["rocks", "x", "--json", "--csv"], "--json and --csv"),
        (["app", "nowhere", "--headless"], "nowhere is missing"),
        (["train", "--out", "x", "--steps", "0"], "steps = 0"),
        (
            ["train", "--out", "x", "--prompts", "none.jsonl", "--student", "a", "--teacher", "b"],
            "none.jsonl does not exist",
        ),
        (["train", "--out", "x", "--resume"], "x is missing"),
        (["train", "--resume"], "--resume without --out"),
        (["train", "--out", "x", "--seed", "-1"], "seed = -1"),
        (["train", "--out", "x", "--threads", "0"], "threads = 0"),
        (["train", "--out", "x", "--device", "gpu"], "cannot use the device 'gpu'"),
        (["train", "--out", "x", "--max-new-tokens", "600"], "has room for 512"),
    ],
)
def test_errors_are_told_in_words_with_exit_code_one(arguments, says, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 1 and says in capsys.readouterr().err


def test_an_error_leaves_the_program_with_exit_code_one_and_no_traceback():
    done = rockcore("train", "--out", "x", "--steps", "0")
    assert (
        done.returncode == 1
        and done.stderr.startswith("error: BadConfig\nsteps = 0")
        and "Traceback" not in done.stderr
    )


def test_a_step_that_is_not_logged_names_those_that_are(run_path):
    done = rockcore("rocks", str(run_path), "--step", "5")
    assert (
        done.returncode == 1
        and "post_step = 5" in done.stderr
        and "Choose one of 0, 10" in done.stderr
    )


def test_help_names_every_command():
    out = rockcore("--help").stdout
    assert all(command in out for command in ("train", "rocks", "compare", "app"))


NO_TORCH = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")

sys.meta_path.insert(0, NoTorch())
from rockcore.cli import main

main(sys.argv[1:])
"""


def test_without_torch_training_says_how_to_install_it_and_reading_works(run_path):
    def without_torch(*arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-c", NO_TORCH, *arguments], capture_output=True, text=True
        )

    done = without_torch("train", "--out", str(run_path / "new"))
    assert (
        done.returncode == 1
        and 'pip install -e ".[train]"' in done.stderr
        and "Traceback" not in done.stderr
    )
    assert without_torch("rocks", str(run_path)).returncode == 0
