"""prime-rl's traces become a run in each of their layouts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from rockcore.importers import BadExport, Options, Report, format_named, import_run
from rockcore.importers.recognise import files_of, recognise
from rockcore.importers.vocabulary import Tokenizer
from rockcore.log import Run

PROMPTS = [3, 1, 5]  # tokens of the prompt of each text, with as many of the answer less one


def node(parent: int | None, ids: list[int], said: str, sampled: int = 0, **streams: Any) -> dict:
    """A message; its last `sampled` tokens are the student's."""
    return {
        "parent": parent,
        "message": {"role": "assistant" if sampled else "user", "content": said},
        "sampled": bool(sampled),
        "token_ids": ids,
        "mask": [False] * (len(ids) - sampled) + [True] * sampled,
        "logprobs": [],
        **streams,
    }


def trace(number: int, prompt: int = 3, **streams: Any) -> dict[str, Any]:
    """A question and an answer, whose first token is of the template."""
    rng = np.random.default_rng(number)
    sampled = prompt + 1
    student, teacher = (-rng.exponential(size=(2, sampled))).round(4).tolist()
    own = {"logprobs": student, "reference_logprobs": teacher, **streams}
    return {
        "id": f"trace{number}",
        "nodes": [
            node(None, rng.integers(1, 90, prompt).tolist(), f"ask {number}"),
            node(0, rng.integers(1, 90, sampled + 1).tolist(), f"say {number}", sampled, **own),
        ],
        "calls": [
            {"node": 1, "model": "org/small", "finish_reason": "length" if number else "stop"}
        ],
        "task": {"data": {"answer": "42"}},
        "info": {},
    }


def episode(*traces: dict[str, Any], step: int = 0, kind: str = "train") -> dict[str, Any]:
    run = {"type": "train", "id": "r", "work": {"type": kind, "step": step}}
    return {"id": "e", "task": {}, "run": run, "traces": list(traces)}


def lines(path: Path, rows: Sequence[dict], pack: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = [json.dumps(row).encode() + b"\n" for row in rows]
    frames = [pa.compress(each, codec="zstd", asbytes=True) for each in raw] if pack else raw
    path.write_bytes(b"".join(frames))
    return path


TRACES = [trace(number, prompt) for number, prompt in enumerate(PROMPTS)]


def imported(
    folder: Path, options: Options | None = None, name: str = "prime-rl"
) -> tuple[Report, Run]:
    format = format_named(name)
    files = files_of(format, [folder / "export"])
    report = import_run(format, files, folder / "run", options)
    return report, Run.open(folder / "run")


def old(folder: Path, step: int, traces: Sequence[dict], subset: str = "effective") -> Path:
    file = folder / f"export/rollouts/step_{step}/train/{subset}/traces.jsonl"
    return lines(file, [episode(each) for each in traces])


def stream(folder: Path, rows: Sequence[dict], updates: Sequence[dict], layout: str) -> None:
    """The later layouts: one file, or a packed chunk and the live one."""
    at = folder / "export/monitors/file/traces"
    lines(at / "stream.index.jsonl", [{"id": "e", "chunk": 0, "offset": 0}])
    if layout == "file":
        lines(at / "stream.jsonl", rows)
        lines(at / "annotations/trainer.jsonl", updates)
        return
    lines(at / "stream/00000.jsonl.zst", rows[:1], pack=True)
    lines(at / "stream/00001.jsonl", rows[1:])
    lines(at / "annotations/trainer.index.jsonl", [{"trace_id": "trace0", "chunk": 0}])
    lines(at / "annotations/trainer/00000.jsonl.zst", updates[:1], pack=True)
    lines(at / "annotations/trainer/00001.jsonl", updates[1:])


LAYOUTS = ["old", "file", "chunks"]


def laid_out(folder: Path, layout: str, traces: Sequence[dict], step: int = 4) -> None:
    if layout == "old":
        old(folder, step, traces)
        old(folder, step, traces, "all")
    else:
        stream(folder, [episode(each, step=step) for each in traces], [], layout)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_values_sit_at_their_tokens_in_each_layout(tmp_path, layout):
    laid_out(tmp_path, layout, TRACES)
    report, run = imported(tmp_path)
    assert report.steps == [4] and report.skipped == 0 and run.meta.student_logps == "sampler"
    for number, given in enumerate(TRACES):
        answer = given["nodes"][1]
        shown = run.trace(step=4, rollout_id=number)
        assert shown.token_id.tolist() == answer["token_ids"][1:]
        assert shown.student_logp.tolist() == pytest.approx(answer["logprobs"])
        assert shown.teacher_logp.tolist() == pytest.approx(answer["reference_logprobs"])
        loss = np.subtract(answer["logprobs"], answer["reference_logprobs"])
        assert shown.sampled_loss.tolist() == pytest.approx(loss.tolist(), abs=1e-6)
    rollouts = run.rollouts(4)
    assert rollouts.prompt.tolist() == ["ask 0", "ask 1", "ask 2"]
    assert rollouts.response.tolist() == ["say 0", "say 1", "say 2"]
    assert rollouts.truncated.tolist() == [False, True, True] and set(rollouts.answer) == {"42"}
    assert run.meta.student == "org/small"
    assert any("four decimals" in note for note in run.meta.notes)
    assert any("ref_kl" in note for note in run.meta.notes)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_is_recognised_by_its_fields(tmp_path, layout):
    laid_out(tmp_path, layout, TRACES)
    assert recognise([tmp_path / "export"]).format.name == "prime-rl"


@pytest.mark.parametrize("judged", [True, False])
def test_traces_without_a_run_are_recognised_by_what_a_teacher_said(tmp_path, judged):
    given = trace(0)
    if not judged:
        del given["nodes"][1]["reference_logprobs"]
    lines(tmp_path / "export/traces.jsonl", [given])
    found = recognise([tmp_path / "export"]).format.name
    assert found == ("prime-rl" if judged else "verifiers")


def test_a_student_that_is_its_teacher_differs_by_nothing(tmp_path):
    same = [-1.25, -0.5, -0.0001, -3.0]
    old(tmp_path, 1, [trace(0, logprobs=same, reference_logprobs=same)])
    assert imported(tmp_path)[1].trace(step=1, rollout_id=0).sampled_loss.tolist() == [0] * 4


def test_traces_from_before_they_were_scored_are_refused(tmp_path):
    file = old(tmp_path, 1, TRACES, "all")
    with pytest.raises(BadExport, match="before a teacher"):
        import_run(format_named("prime-rl"), [file], tmp_path / "run")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_innermost_folder_may_be_given(tmp_path, layout):
    laid_out(tmp_path, layout, TRACES)
    (folder,) = {
        "old": tmp_path.glob("export/rollouts/step_4/train/effective"),
        "file": tmp_path.glob("export/monitors/file/traces"),
        "chunks": tmp_path.glob("export/monitors/file/traces/stream"),
    }[layout]
    (tmp_path / "export").rename(tmp_path / "elsewhere")
    folder = tmp_path / "elsewhere" / folder.relative_to(tmp_path / "export")
    found = recognise([folder])
    report = import_run(found.format, found.files, tmp_path / "run")
    assert found.format.name == "prime-rl" and report.texts == 3 and report.steps == [4]


def test_updates_are_found_from_within_the_folder_of_chunks(tmp_path, monkeypatch):
    told = update(0, entropies=[0.5] * 8)
    stream(tmp_path, [episode(TRACES[0])], [told], "chunks")
    monkeypatch.chdir(tmp_path / "export/monitors/file/traces/stream")
    format = format_named("prime-rl")
    report = import_run(format, files_of(format, [Path(".")]), tmp_path / "run")
    assert "student_entropy" not in report.missing


def test_a_tokenizer_spells_prompts_as_the_student_read_them(tmp_path):
    old(tmp_path, 1, TRACES)
    models = Path(__file__).parents[2] / "sample_runs/models/teacher"
    _, run = imported(tmp_path, Options(tokenizer=models))
    tokenizer = Tokenizer(models)
    for number, given in enumerate(TRACES):
        asked, said = given["nodes"]
        read = [*asked["token_ids"], said["token_ids"][0]]
        assert run.rollouts(1).prompt[number] == tokenizer.decode(np.array(read))


def test_a_chunk_that_is_there_plain_and_packed_counts_once(tmp_path):
    stream(tmp_path, [episode(each) for each in TRACES], [], "chunks")
    at = tmp_path / "export/monitors/file/traces/stream"
    lines(at / "00001.jsonl.zst", [episode(each) for each in TRACES[1:]], pack=True)
    report, _ = imported(tmp_path)
    assert report.texts == 3 and report.skipped == 0


def test_evaluations_are_told_by_their_folder_too(tmp_path):
    old(tmp_path, 1, TRACES)
    plain = {**episode(trace(9)), "run": {"type": "train"}}
    lines(tmp_path / "export/rollouts/step_1/eval/effective/traces.jsonl", [plain])
    assert imported(tmp_path)[0].texts == 3


@pytest.mark.parametrize("layout", LAYOUTS)
def test_two_runs_are_not_mixed(tmp_path, layout):
    for name in ("export/one", "export/two"):
        laid_out(tmp_path / name, layout, TRACES)
    with pytest.raises(BadExport, match="2 runs"):
        imported(tmp_path)


def test_without_a_teacher_the_text_and_the_student_are_imported(tmp_path):
    old(tmp_path, 1, [trace(n, reference_logprobs=None) for n in range(3)])
    report, run = imported(tmp_path)
    assert {"sampled_loss", "teacher_logp"} <= set(report.missing) and report.texts == 3
    assert any("No teacher values" in note for note in run.meta.notes)


def test_finer_numbers_are_not_called_rounded(tmp_path):
    old(tmp_path, 1, [trace(0, logprobs=[-0.123456, -0.5, -1.0, -2.0])])
    assert not any("four decimals" in note for note in imported(tmp_path)[1].meta.notes)


def update(number: int, info: dict | None = None, **streams: list) -> dict[str, Any]:
    branches = [{"index": 0, **streams}] if streams else []
    return {"version": 1, "trace_id": f"trace{number}", "info": info or {}, "branches": branches}


@pytest.mark.parametrize("layout", ["file", "chunks"])
def test_the_newest_update_wins_and_null_leaves_what_was_known(tmp_path, layout):
    prompt = [None] * 4  # three of the prompt, one of the template
    first = update(0, trainer_logprobs=[*prompt, -1.0, -2.0, -3.0, -4.0], entropies=[0.5] * 8)
    second = update(0, trainer_logprobs=[*prompt, -9.0, None, -7.0, None])
    stream(tmp_path, [episode(TRACES[0], step=2)], [first, second], layout)
    _, run = imported(tmp_path, Options(student_logps="trainer"))
    shown = run.trace(step=2, rollout_id=0)
    assert shown.student_logp.tolist() == [-9, -2, -7, -4] and run.meta.student_logps == "trainer"
    assert shown.student_entropy.tolist() == [0.5] * 4
    loss = shown.student_logp - TRACES[0]["nodes"][1]["reference_logprobs"]
    assert shown.sampled_loss.tolist() == pytest.approx(loss.tolist())


@pytest.mark.parametrize("layout", ["file", "chunks"])
def test_texts_are_of_the_step_whose_batch_took_them_and_others_are_left_out(tmp_path, layout):
    rows = [episode(each, step=5) for each in TRACES]
    shipped = [update(n, {"effective": True, "ship": {"step": 6 + n}}) for n in (0, 2)]
    stream(tmp_path, rows, shipped, layout)
    report, run = imported(tmp_path)
    assert report.steps == [6, 8] and report.texts == 2 and report.skipped == 0
    assert "Left out: 1 texts that no batch took." in run.meta.notes


@pytest.mark.parametrize("layout", ["file", "chunks"])
def test_the_order_of_a_stream_is_of_no_matter(tmp_path, layout):
    rows = [episode(trace(n, 1 + n % 4), step=n % 3) for n in range(9)]
    runs = []
    for name, given in (("ahead", rows), ("back", rows[::-1])):
        (tmp_path / name).mkdir()
        stream(tmp_path / name, given, [], layout)
        runs.append(imported(tmp_path / name)[1])
    for step in range(3):
        one, other = (run.trace(step, 1) for run in runs)
        assert one.equals(other) and len(one)


def test_what_the_trainer_dropped_has_no_weight(tmp_path):
    dropped = update(0, is_masked=[None] * 4 + [False, True, None, False])
    stream(tmp_path, [episode(TRACES[0])], [dropped], "file")
    assert imported(tmp_path)[1].trace(step=0, rollout_id=0).weight.tolist() == [1, 0, 1, 1]


@pytest.mark.parametrize(
    "wrong",
    [
        update(0, trainer_logprobs=[-1.0] * 5),
        update(0, trainer_logprobs=["a"] * 8),
        {"trace_id": "trace0", "branches": [{"index": 7, "entropies": [0.0] * 8}]},
        {"trace_id": "trace0", "branches": 3},
    ],
)
def test_an_update_that_does_not_fit_is_counted_and_its_trace_stays(tmp_path, wrong):
    stream(tmp_path, [episode(TRACES[0])], [wrong], "file")
    report, run = imported(tmp_path)
    assert report.texts == 1
    assert any("1 updates that do not fit" in note for note in run.meta.notes)


def test_evaluations_and_agents_that_are_not_trained_are_left_out(tmp_path):
    frozen = {**trace(7), "agent": {"trainable": False}}
    rows = [episode(TRACES[0]), episode(TRACES[1], kind="eval"), episode(frozen)]
    stream(tmp_path, rows, [], "file")
    report, run = imported(tmp_path)
    assert report.texts == 1 and report.skipped == 0
    assert sum(note.startswith("Left out: 1") for note in run.meta.notes) == 2


def test_branches_say_only_what_no_branch_before_them_said(tmp_path):
    root = node(None, [1, 2], "ask")
    shared = node(0, [3, 4, 5], "think", 2, logprobs=[-1, -2])
    ends = [node(1, [6, 7], w, 2, logprobs=[-p, -p]) for w, p in (("yes", 3), ("no", 4))]
    old(tmp_path, 1, [{"id": "t", "nodes": [root, shared, *ends]}])
    report, run = imported(tmp_path)
    assert report.texts == 2
    assert [run.trace(1, r).token_id.tolist() for r in (0, 1)] == [[4, 5, 6, 7], [6, 7]]
    assert run.trace(1, 1).student_logp.tolist() == [-4, -4]
    assert run.rollouts(1).prompt[1] == "user: ask\n\nassistant: think"


def test_what_others_say_between_two_turns_has_no_values_and_no_weight(tmp_path):
    nodes = [
        node(None, [1], "ask"),
        node(0, [2, 3], "call", 1, logprobs=[-1], reference_logprobs=[-2]),
        node(1, [4, 5], "tool"),
        node(2, [6], "end", 1, logprobs=[-3], reference_logprobs=[-4]),
    ]
    old(tmp_path, 1, [{"id": "t", "nodes": nodes}])
    shown = imported(tmp_path)[1].trace(step=1, rollout_id=0)
    assert shown.token_id.tolist() == [3, 4, 5, 6] and shown.weight.tolist() == [1, 0, 0, 1]
    assert np.isnan(shown.sampled_loss).tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"logprobs": [-1.0] * 3}, "nodes.logprobs"),
        ({"logprobs": ["a"] * 4}, "nodes.logprobs"),
        ({"mask": [True]}, "nodes.mask"),
        ({"mask": ["x"] * 5}, "nodes.mask"),
        ({"parent": 1}, "nodes.parent"),
        ({"parent": -1}, "nodes.parent"),
        ({"token_ids": [0.5] * 5}, "nodes.token_ids"),
        ({"reference_logprobs": [2.0] * 4}, "teacher_logp"),
    ],
)
def test_a_wrong_trace_is_left_out_by_file_line_and_field(tmp_path, change, field):
    wrong = trace(8)
    wrong["nodes"][1].update(change)
    old(tmp_path, 1, [TRACES[0], wrong, TRACES[2]])
    report, _ = imported(tmp_path)
    (error,) = report.errors
    assert error.where.endswith("traces.jsonl, line 2") and error.field == field
    assert report.texts == 2


def test_a_trace_twice_is_left_out_once(tmp_path):
    old(tmp_path, 1, [TRACES[0], TRACES[1], TRACES[1]])
    report, _ = imported(tmp_path)
    assert report.texts == 2 and report.skipped == 1


def test_the_traces_of_an_evaluation_are_text_and_ids(tmp_path):
    plain = {**episode(TRACES[0]), "run": {"type": "eval", "id": "r"}}
    relayed = trace(1)
    for each in relayed["nodes"]:
        each.update(token_ids=[], mask=[], logprobs=[], reference_logprobs=None)
    lines(tmp_path / "export/traces.jsonl", [plain])
    assert recognise([tmp_path / "export"]).format.name == "verifiers"
    report, run = imported(tmp_path, name="verifiers")
    assert "teacher_logp" in report.missing and run.trace(0, 0).student_logp.notna().all()
    lines(tmp_path / "export/traces.jsonl", [{**plain, "traces": [relayed]}])
    report = import_run(
        format_named("verifiers"), [tmp_path / "export/traces.jsonl"], tmp_path / "text"
    )
    assert report.texts == 1 and report.tokens == 0
