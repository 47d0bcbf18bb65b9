"""Dumps of text alone become runs that can be read and judged afterwards."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rockcore.importers import BadExport, Options, format_named, import_run
from rockcore.importers.recognise import files_of, recognise
from rockcore.log import Run

MODEL = Path(__file__).parents[2] / "sample_runs" / "models" / "teacher"
TEXTS = {3: [("2+2=", " 4"), ("What is 10 and 20?", " It is 30.")], 12: [("a", "b\n")]}


def write_lines(file: Path, records: list) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")


def write_trl(folder: Path) -> None:
    for step, texts in TEXTS.items():
        folder.joinpath("completions").mkdir(exist_ok=True)
        columns = {
            "step": [step] * len(texts),
            "prompt": [p for p, _ in texts],
            "completion": [r for _, r in texts],
        }
        pq.write_table(pa.table(columns), folder / f"completions/completions_{step:05d}.parquet")


def write_ms_swift(folder: Path) -> None:
    write_lines(
        folder / "completions.jsonl",
        [
            {
                "step": [str(step)] * len(texts),
                "prompt": [p for p, _ in texts],
                "completion": [r for _, r in texts],
            }
            for step, texts in TEXTS.items()
        ],
    )


def write_megatron_swift(folder: Path) -> None:
    write_lines(
        folder / "completions.jsonl",
        [
            {
                "gen_step": step,
                "prompt": [[{"role": "user", "content": p}] for p, _ in texts],
                "completion": [r for _, r in texts],
            }
            for step, texts in TEXTS.items()
        ],
    )


def write_verl(folder: Path) -> None:
    for step, texts in TEXTS.items():
        rows = [{"input": p, "output": r, "gts": "4", "score": 1.0, "step": step} for p, r in texts]
        write_lines(folder / f"{step}.jsonl", rows)


def write_roll(folder: Path) -> None:
    for step, texts in TEXTS.items():
        line = {
            "prompt": [p for p, _ in texts],
            "responses": [r for _, r in texts],
            "scores": [0.5] * len(texts),
            "global_step": [step] * len(texts),
        }
        write_lines(folder / f"rollout_dump_data.step_{step}.jsonl", [line])


def write_kdflow(folder: Path) -> None:
    for step, texts in TEXTS.items():
        rows = [{"prompt": p, "output": r} for p, r in texts]
        write_lines(folder / "rollout_data" / f"{step}.jsonl", rows)


WRITERS = {
    "trl": write_trl,
    "ms-swift": write_ms_swift,
    "verl": write_verl,
    "roll": write_roll,
    "kdflow": write_kdflow,
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_dump_is_recognised_and_its_texts_are_kept_by_step(name: str, tmp_path: Path):
    export = tmp_path / "export"
    export.mkdir()
    WRITERS[name](export)
    format, files = recognise([export])
    assert format.name == name
    report = import_run(format, files, tmp_path / "run")
    run = Run.open(tmp_path / "run")
    assert run.steps("rollouts") == report.steps == [3, 12] and not run.steps()
    for step, texts in TEXTS.items():
        frame = run.rollouts(step)
        assert list(zip(frame.prompt, frame.response, strict=True)) == texts
    assert (run.meta.estimator, run.meta.student_logps, run.meta.vocab_size) == (
        "absent",
        "absent",
        0,
    )
    assert any("rockcore score" in note for note in run.meta.notes)


@pytest.mark.parametrize("name", WRITERS)
def test_with_a_tokenizer_its_texts_have_tokens(name: str, tmp_path: Path):
    from rockcore.importers import Options

    export = tmp_path / "export"
    export.mkdir()
    WRITERS[name](export)
    format = format_named(name)
    import_run(format, files_of(format, [export]), tmp_path / "run", Options(tokenizer=MODEL))
    run = Run.open(tmp_path / "run")
    assert run.steps() == [3, 12]
    assert "".join(run.trace(3, 1).token) == " It is 30."
    own = Run.open(MODEL.parents[1] / "habit")
    assert run.meta.tokenizer_hash == own.meta.tokenizer_hash
    assert run.vocab.equals(own.vocab)


def test_the_prompt_of_a_chat_is_shown_by_its_messages(tmp_path: Path):
    write_megatron_swift(tmp_path)
    format, files = recognise([tmp_path])
    import_run(format, files, tmp_path / "run")
    assert Run.open(tmp_path / "run").rollouts(3).prompt[0] == "user: 2+2="


def test_columns_of_several_lengths_are_left_out_and_counted(tmp_path: Path):
    write_ms_swift(tmp_path)
    with (tmp_path / "completions.jsonl").open("a") as file:
        file.write(json.dumps({"step": ["9"], "prompt": ["a", "b"], "completion": ["c"]}) + "\n")
        file.write('{"step": ["12"], "prompt": ["cut o')
    format, files = recognise([tmp_path])
    report = import_run(format, files, tmp_path / "run")
    assert report.skipped == 2 and report.steps == [3, 12]
    assert "line 3" in report.errors[0].where and "several lengths" in report.errors[0].what
    assert "line 4" in report.errors[1].where


def test_what_is_no_format_is_refused_with_what_was_found(tmp_path: Path):
    write_lines(tmp_path / "1.jsonl", [{"question": "a", "reply": "b"}])
    with pytest.raises(BadExport, match="jsonl with question, reply"):
        recognise([tmp_path / "1.jsonl"])


@pytest.mark.parametrize(
    "broken",
    [
        {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}},  # a panic
        {"normalizer": {"type": "Replace", "pattern": {"Regex": "["}, "content": "x"}},
    ],
    ids=["panic", "exception"],
)
def test_a_tokenizer_that_its_library_fails_on_is_refused_in_words(tmp_path: Path, broken: dict):
    whole = json.loads((MODEL / "tokenizer.json").read_text(encoding="utf-8"))
    (file := tmp_path / "tokenizer.json").write_text(json.dumps(whole | broken), encoding="utf-8")
    write_trl(tmp_path)
    files = files_of(format_named("trl"), [tmp_path])
    with pytest.raises(BadExport, match="no readable tokenizer"):
        import_run(format_named("trl"), files, tmp_path / "run", Options(tokenizer=file))
