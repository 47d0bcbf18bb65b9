"""Texts of an export become a run, whatever order they come in."""

import json
from pathlib import Path

import numpy as np
import pytest

from rockcore.importers import BadExport, format_named, import_run
from rockcore.log import Run


def row(step: int, rollout_id: int, length: int = 3, **others: object) -> dict[str, object]:
    rng = np.random.default_rng([step, rollout_id])
    student, teacher = (-rng.exponential(size=(2, length))).round(3).tolist()
    return {
        "step": step,
        "rollout_id": rollout_id,
        "prompt": "p" * rollout_id,
        "token_id": rng.integers(0, 50, length).tolist(),
        "student_logp": student,
        "teacher_logp": teacher,
        **others,
    }


def lines(path: Path, rows: list) -> Path:
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def test_each_text_becomes_a_rollout_of_its_step(tmp_path: Path):
    rows = [row(step, r, 2 + r) for step in (0, 10) for r in range(3)]
    report = import_run(
        format_named("table"), [lines(tmp_path / "a.jsonl", rows)], tmp_path / "run"
    )
    run = Run.open(tmp_path / "run")
    assert (report.texts, report.tokens, report.steps) == (6, 18, [0, 10])
    assert run.meta.status == "finished" and run.meta.source == "table"
    for given in rows:
        trace = run.trace(step=given["step"], rollout_id=given["rollout_id"])
        assert trace.token_id.tolist() == given["token_id"]
        assert trace.student_logp.tolist() == pytest.approx(given["student_logp"])
        loss = np.subtract(given["student_logp"], given["teacher_logp"])
        assert trace.sampled_loss.tolist() == pytest.approx(loss.tolist(), abs=1e-6)


def test_an_export_without_rows_is_refused_and_leaves_nothing(tmp_path: Path):
    file = lines(tmp_path / "a.jsonl", [])
    with pytest.raises(BadExport, match="with no row"):
        import_run(format_named("table"), [file], tmp_path / "run")
    assert [f.name for f in tmp_path.iterdir()] == ["a.jsonl"]
