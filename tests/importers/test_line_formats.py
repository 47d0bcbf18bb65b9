"""Formats of JSON lines of single rollouts: RLLoggingBoard, opd-viz, tinker."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rockcore.importers import BadExport, Options, Report, format_named, import_run
from rockcore.importers.recognise import recognise
from rockcore.importers.vocabulary import Tokenizer
from rockcore.log import Run


def imported(
    folder: Path, name: str, rows: list[Any], options: Options | None = None
) -> tuple[Report, Run]:
    (folder / "export").mkdir(exist_ok=True)
    file = told(folder / "export/rows.jsonl", rows)
    report = import_run(format_named(name), [file], folder / "run", options)
    return report, Run.open(folder / "run")


def told(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def response(step: int, tokens: list[str], **others: object) -> dict[str, Any]:
    """A line of RLLoggingBoard."""
    student = [-0.5 * n for n in range(len(tokens))]
    return {
        "prompt": "<PAD>ask",
        "response": "".join(tokens),
        "response_tokens": tokens,
        "logprobs": student,
        "ref_logprobs": [value - 0.25 for value in student],
        "values": [9.0] * len(tokens),
        "token_rewards": [7.0] * len(tokens),
        "reward": 1.0,
        "step": step,
        **others,
    }


WORDS = [["a", "b"], ["b", "c", "a", "d"], ["pad"]]


def test_a_reference_model_is_no_teacher_unless_someone_says_so(tmp_path):
    rows = [response(2, words) for words in WORDS]
    report, run = imported(tmp_path, "rlloggingboard", rows)
    assert {"kl", "sampled_loss", "teacher_logp"} <= set(report.missing)
    assert any("--reference-is-teacher" in note for note in run.meta.notes)
    shown = run.trace(step=2, rollout_id=1)
    assert (
        shown.student_logp.tolist() == [0, -0.5, -1, -1.5] and run.meta.student_logps == "trainer"
    )


def test_a_reference_model_that_was_the_teacher_is_named_so(tmp_path):
    rows = [response(2, words) for words in WORDS]
    said = Options(reference_is_teacher=True)
    _, run = imported(tmp_path, "rlloggingboard", rows, said)
    assert run.trace(step=2, rollout_id=1).sampled_loss.tolist() == [0.25] * 4
    assert any("reference model stand as the teacher's" in note for note in run.meta.notes)


def test_a_response_of_text_alone_keeps_its_answer(tmp_path):
    rows = [{"step": 1, "prompt": "2+2?", "response": "4", "ground_truth": n} for n in ("4", 4)]
    _, run = imported(tmp_path, "rlloggingboard", rows)
    assert run.rollouts(1).answer.tolist() == ["4", "4"]


def test_equal_tokens_have_equal_ids_and_the_text_the_export_gives_them(tmp_path):
    _, run = imported(tmp_path, "rlloggingboard", [response(0, words) for words in WORDS])
    called = dict(zip(run.vocab.token_id, run.vocab.token, strict=True))
    said = [[called[i] for i in run.trace(0, r).token_id] for r in range(3)]
    assert said == WORDS


@pytest.mark.parametrize("there", [2, 3, 5])
def test_padding_at_the_end_is_no_token_whether_it_has_values_or_not(tmp_path, there):
    padded = response(0, ["a", "b", "<PAD>", "<PAD>", "<PAD>"])
    for name in ("logprobs", "ref_logprobs"):
        padded[name] = padded[name][:there]
    _, run = imported(tmp_path, "rlloggingboard", [padded])
    assert run.trace(0, 0).student_logp.tolist() == [0, -0.5]


def test_padding_of_another_name_is_told_by_its_lack_of_values(tmp_path):
    padded = response(0, ["a", "b", *["<|endoftext|>"] * 3])
    for name in ("logprobs", "ref_logprobs"):
        padded[name] = padded[name][:2]
    _, run = imported(tmp_path, "rlloggingboard", [padded])
    assert len(run.trace(0, 0)) == 2


@pytest.mark.parametrize(
    ("others", "field"),
    [
        ({"logprobs": [-1.0]}, "logprobs"),
        ({"logprobs": "x"}, "logprobs"),
        ({"response_tokens": [1, 2]}, "response_tokens"),
        ({"step": "soon"}, "step"),
        ({"step": 1.5}, "step"),
        ({"step": True}, "step"),
        ({"step": None}, "step"),
        ({"response": 7}, "response"),
        ({"logprobs": [4.0, 4.0]}, "student_logp"),
    ],
)
def test_a_wrong_response_is_left_out_by_file_line_and_field(tmp_path, others, field):
    wrong = {**response(1, ["a", "b"]), **others}
    rows = [response(1, WORDS[1]), wrong, {**response(1, WORDS[2]), "step": "1"}]
    report, run = imported(tmp_path, "rlloggingboard", rows)
    (error,) = report.errors
    assert error.where.endswith("rows.jsonl, line 2") and error.field == field
    assert len(run.rollouts(1)) == 2


def token(tok: object, kl: object = 0.125, **others: object) -> dict[str, Any]:
    said = {
        "tok": tok,
        "scored": True,
        "kl_jsd": 8.0,
        "kl_rev": kl,
        "kl_fwd": 9.0,
        "s_chosen": -0.5,
        "t_chosen": -0.75,
        "entropy": 1.5,
    }
    return {**said, **others}


def record(*tokens: dict[str, Any]) -> dict[str, Any]:
    """What opd-viz answers to /score."""
    scored = sum(1 for each in tokens if each["scored"])
    return {
        "sample": "live",
        "hint_prompt": "ask, and the answer is 4",
        "n_scored": scored,
        "k": 100,
        "tokens": list(tokens),
    }


TOOL = {"tok": "  ↳ tool result: 4\n", "scored": False}


def test_of_the_three_divergences_the_reverse_one_is_kl(tmp_path):
    drifted = {"tok": "c", "scored": False}
    said = record(token("a", 0.25), TOOL, drifted, token("b", 0.5))
    report, run = imported(tmp_path, "opd-viz", [said])
    assert run.meta.estimator == "topk+tail" and run.meta.student_logps == "sampler"
    shown = run.trace(0, 0)
    assert shown.kl.fillna(-1).tolist() == [0.25, -1, 0.5]
    assert shown.sampled_loss.fillna(-1).tolist() == [0.25, -1, 0.25]
    assert shown.student_entropy.fillna(-1).tolist() == [1.5, -1, 1.5]
    (rollout,) = run.rollouts(0).itertuples()
    assert rollout.response == "acb" and rollout.teacher_prompt == "ask, and the answer is 4"
    assert any("100 likeliest" in note for note in run.meta.notes)
    assert any("three" in note for note in run.meta.notes)


@pytest.mark.parametrize("whole", [True, False])
def test_a_record_or_a_list_of_them_may_be_the_whole_file(tmp_path, whole):
    said = record(token("a"))
    file = tmp_path / "answer.json"
    file.write_text(json.dumps(said if whole else [said, said], indent=1))
    assert recognise([file]).format.name == "opd-viz"
    report = import_run(format_named("opd-viz"), [file], tmp_path / "run", Options(steps=(9,)))
    assert report.texts == (1 if whole else 2) and report.steps == [9]


@pytest.mark.parametrize(
    ("tokens", "field"),
    [
        ([token("a"), {"scored": True}], "tok"),
        ([token(3)], "tok"),
        ([token("a", "x")], "tokens.kl_rev"),
        ([token("a", s_chosen=2.0)], "student_logp"),
        ([token("a", 1e999)], "kl"),
    ],
)
def test_a_wrong_record_is_left_out_by_file_place_and_field(tmp_path, tokens, field):
    text = json.dumps(record(token("a"))), json.dumps(record(*tokens)).replace("Infinity", "1e999")
    file = tmp_path / "a.jsonl"
    file.write_text("\n".join(text))
    report = import_run(format_named("opd-viz"), [file], tmp_path / "run")
    (error,) = report.errors
    assert "record 2" in error.where and error.field == field and report.texts == 1


def sampled(number: int, prompt: int, *answers: list[float], **scope: object) -> dict[str, Any]:
    """A request as tinker's capture writes it."""
    return {
        "kind": "sample",
        "scope": {"split": "train", "iteration": 3, **scope},
        "created_at": 1.0,
        "num_samples": len(answers),
        "sampling_session_id": "s",
        "seq_id": number,
        "base_model": "org/small",
        "prompt_tokens": list(range(prompt)),
        "samples": [
            {"tokens": [40 + n for n in range(len(a))], "logprobs": a, "stop_reason": "length"}
            for a in answers
        ],
        "status": "ok",
    }


def datum(prompt: int, length: int, lead: int = 1, **others: Any) -> dict[str, Any]:
    """A datum as a loss takes it: targets are the sequence without its first token."""
    total = prompt + length - 1
    mask = [0.0] * (prompt - 1) + [1.0] * length
    values = [0.0] * (prompt - 1) + [-float(n + 1) for n in range(length)]
    teacher = [None] * lead + [-9.0] * (prompt - 1) + [-0.5] * length
    inputs = {
        "target_tokens": {"data": list(range(1, total + 1)), "dtype": "int64", "shape": [total]},
        "logprobs": {"data": values, "dtype": "float32", "shape": [total]},
        "mask": {"data": mask, "dtype": "float32", "shape": [total]},
        "teacher_logprobs": teacher,
        **others,
    }
    return {"iteration": 0, "model_input": {"chunks": []}, "loss_fn_inputs": inputs}


def test_each_captured_sequence_is_a_text_without_a_teacher(tmp_path):
    rows = [sampled(0, 4, [-1.0, -2.0], [-3.0]), sampled(1, 1, [-4.0, -5.0, -6.0])]
    report, run = imported(tmp_path, "tinker", rows)
    assert report.steps == [3] and report.texts == 3
    assert [run.trace(3, r).student_logp.tolist() for r in range(3)] == [
        [-1, -2],
        [-3],
        [-4, -5, -6],
    ]
    assert run.trace(3, 2).token_id.tolist() == [40, 41, 42]
    assert {"kl", "sampled_loss", "teacher_logp"} <= set(report.missing)
    assert run.meta.student == "org/small" and run.rollouts(3).truncated.all()
    assert any("No teacher values" in note for note in run.meta.notes)


def test_what_was_no_training_is_left_out_and_counted(tmp_path):
    rows = [
        sampled(0, 2, [-1.0]),
        sampled(1, 2, [-1.0], split="test"),
        sampled(2, 2, [-1.0], purpose="eval"),
        {**sampled(3, 2), "status": "error"},
        {"kind": "train_op", "op": "optim_step", "scope": {}, "created_at": 1.0},
    ]
    report, run = imported(tmp_path, "tinker", rows)
    assert report.texts == 1 and report.skipped == 0
    notes = " ".join(run.meta.notes)
    assert "2 sequences of evaluations" in notes and "1 requests without an answer" in notes


@pytest.mark.parametrize(
    ("row", "read"),
    [
        (sampled(0, 4, [-1.0]), [0, 1, 2, 3]),
        (
            {**datum(3, 2), "model_input": {"chunks": [{"tokens": [9, 1]}, {"tokens": [2, 3]}]}},
            [9, 1, 2],
        ),
    ],
)
def test_a_tokenizer_spells_the_prompts_of_tinker(tmp_path, row, read):
    models = Path(__file__).parents[2] / "sample_runs/models/teacher"
    _, run = imported(tmp_path, "tinker", [row], Options(tokenizer=models))
    asked = run.rollouts(run.steps()[0]).prompt[0]
    assert asked == Tokenizer(models).decode(np.array(read))


def test_two_runs_of_a_capture_are_not_mixed(tmp_path):
    rows = [sampled(n, 2, [-1.0], run_id=run) for n, run in enumerate("aab")]
    with pytest.raises(BadExport, match="line 3 is of the run 'b'"):
        imported(tmp_path, "tinker", rows)


def test_rows_of_the_store_are_sequences_too(tmp_path):
    row = {
        "run_id": "r",
        "split": "train",
        "iteration": 5,
        "sampling_session_id": "s",
        "seq_id": 1,
        "sample_idx": 0,
        "prompt_tokens": [1, 2],
        "sampled_tokens": [7, 8],
        "logprobs": [-1.0, -2.0],
        "metadata": {"base_model": "org/small"},
    }
    assert recognise([told(tmp_path / "a.jsonl", [row])]).format.name == "tinker"
    report, run = imported(tmp_path, "tinker", [row, row])
    assert report.texts == 1 and report.skipped == 1
    assert run.trace(5, 0).student_logp.tolist() == [-1, -2]


def store(path: Path, *rows: dict[str, Any], table: str = "wire_rows") -> Path:
    """A store as the daemon of a capture keeps it: lists as JSON."""
    names = ("cursor", "run_id", "split", "iteration", "sampling_session_id", "seq_id")
    names += ("sample_idx", "sampled_tokens", "logprobs", "metadata")
    with sqlite3.connect(path) as database:
        database.execute(f"create table {table} ({', '.join(names)})")
        for row in rows:
            cells = [row.get(name) for name in names]
            cells = [json.dumps(c) if isinstance(c, (list, dict)) else c for c in cells]
            database.execute(f"insert into {table} values ({', '.join('?' * len(names))})", cells)
    database.close()
    return path


ROW = {"run_id": "r", "iteration": 5, "seq_id": 1, "sampling_session_id": "s"}


def test_the_store_of_a_capture_is_read_as_its_rows(tmp_path):
    rows = [
        {**ROW, "sample_idx": 0, "sampled_tokens": [7, 8], "logprobs": [-1.0, -2.0]},
        {**ROW, "sample_idx": 1, "sampled_tokens": [9], "logprobs": [-3.0], "split": "test"},
        {**ROW, "sample_idx": 2, "sampled_tokens": [9], "logprobs": "[-3.0"},
        {**ROW, "sample_idx": 3, "sampled_tokens": [9], "logprobs": None},
    ]
    file = store(tmp_path / "capture.sqlite", *rows)
    report = import_run(format_named("tinker"), [file], tmp_path / "run")
    (error,) = report.errors
    assert report.texts == 2 and error.field == "logprobs" and error.where.endswith("row 3")
    assert Run.open(tmp_path / "run").trace(5, 0).student_logp.tolist() == [-1, -2]


@pytest.mark.parametrize("damage", ["cut", "other", "view"])
def test_a_database_that_is_no_store_is_refused(tmp_path, damage):
    file = store(tmp_path / "a.sqlite", ROW, table="wire_rows" if damage == "cut" else "others")
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:3000])
    if damage == "view":
        with sqlite3.connect(file) as database:
            database.execute("create view wire_rows as select * from others")
        database.close()
    with pytest.raises(BadExport, match="table wire_rows|as a database"):
        import_run(format_named("tinker"), [file], tmp_path / "run")


@pytest.mark.parametrize("lead", [0, 1])
def test_a_datum_is_shifted_as_a_whole_for_prompts_of_any_length(tmp_path, lead):
    shapes = [(1, 3), (4, 2), (2, 5)]
    _, run = imported(tmp_path, "tinker", [datum(p, n, lead) for p, n in shapes])
    for number, (prompt, length) in enumerate(shapes):
        shown = run.trace(0, number)
        assert shown.token_id.tolist() == list(range(prompt, prompt + length))
        assert shown.student_logp.tolist() == [-float(n + 1) for n in range(length)]
        assert shown.teacher_logp.tolist() == [-0.5] * length
        assert shown.sampled_loss.tolist() == [-n - 0.5 for n in range(length)]


def test_a_student_that_is_its_teacher_differs_by_nothing(tmp_path):
    same = [0.0, -1.5, -2.25]
    row = datum(2, 2, logprobs=same, teacher_logprobs=same)
    _, run = imported(tmp_path, "tinker", [row])
    assert run.trace(0, 0).sampled_loss.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("row", "field"),
    [
        (datum(2, 2, logprobs=[-1.0]), "loss_fn_inputs.logprobs"),
        (datum(2, 2, mask=[0.0] * 3), "loss_fn_inputs.mask"),
        (datum(2, 2, target_tokens=["a"]), "loss_fn_inputs.target_tokens"),
        (sampled(9, 1, [-1.0], iteration=None), "scope.iteration"),
        (sampled(9, 1, ["x"]), "logprobs"),  # pyright: ignore
        ({**sampled(9, 1), "samples": [3]}, "samples"),
        (sampled(9, 1, []), "token_id"),
    ],
)
def test_a_wrong_sequence_is_left_out_by_file_line_and_field(tmp_path, row, field):
    report, _ = imported(tmp_path, "tinker", [sampled(0, 1, [-1.0]), row, sampled(1, 1, [-1.0])])
    (error,) = report.errors
    assert "rows.jsonl, line 2" in error.where and error.field == field and report.texts == 2


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("rlloggingboard", response(0, ["a"])),
        ("tinker", sampled(0, 1, [-1.0])),
        ("tinker", datum(2, 2)),
        ("opd-viz", record(token("a"))),
    ],
)
def test_each_is_recognised_by_its_fields_alone(tmp_path, name, row):
    assert recognise([told(tmp_path / "x.jsonl", [row])]).format.name == name


@pytest.mark.parametrize("name", ["nemo-rl", "prime-rl", "verifiers", "rlloggingboard", "tinker"])
def test_lines_of_another_program_are_refused_and_leave_nothing(tmp_path, name):
    file = told(tmp_path / "train_data_step1.jsonl", [{"a": n} for n in range(3)])
    with pytest.raises(BadExport):
        import_run(format_named(name), [file], tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_half_a_character_can_be_written(tmp_path):
    _, run = imported(tmp_path, "rlloggingboard", [response(0, ["a", "\ud800"], prompt="\udfff")])
    assert run.rollouts(0).prompt[0] == "\\udfff"
    assert np.array_equal(run.trace(0, 0).token_id, [0, 1])
