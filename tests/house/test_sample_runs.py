"""The bundled runs are what they claim to be: real, complete, small, and made by the bundled
models.
"""

import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from rockcore import world
from rockcore.log import Run, sample_runs
from rockcore.rocks import ranking, search
from rockcore.rocks.rule import preset
from rockcore.schema import Prompt
from rockcore.tasks import STARTING_STUDENT
from rockcore.training.clock import Clock
from rockcore.training.loading import load_pair
from rockcore.training.rollouts import rollouts_of
from rockcore.training.scoring import judge_texts

FOLDER = sample_runs()


@pytest.fixture(params=list(world.SCENARIOS))
def run(request) -> Run:
    return Run.open(FOLDER / request.param)


def test_a_sample_run_is_finished_and_opens_without_a_warning(run):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = Run.open(run.path)
        run.metrics(), run.evals(), ranking.rank(run), run.rollouts(probe_set="final")
    assert run.meta.status == "finished" and run.meta.origin
    assert run.steps("metrics") == list(range(run.meta.steps_planned + 1))
    assert run.steps("probe/first") == run.steps("probe/final") == run.steps("evals")


def test_rock_scores_of_a_sample_run_sum_to_its_kl(run):
    for step in run.steps()[:: max(1, len(run.steps()) // 4)]:
        kl = pq.read_table(run.path / "tokens" / f"step={step:06d}.parquet")["kl"].to_numpy()
        assert np.isclose(
            ranking.rank(run, step).rock_score.sum(), kl.sum(dtype=np.float64), rtol=1e-9
        )


def test_distillation_lowers_the_kl_and_lifts_accuracy_beyond_its_interval(run):
    kl, sampled = (
        run.metrics().kl_mean,
        run.evals().query("decoding == 'sampled'").sort_values("step"),
    )
    assert kl[-10:].mean() < kl[:10].mean()
    assert sampled.low.iloc[-1] > sampled.high.iloc[0]


def test_the_first_values_are_those_of_the_bundled_student_and_teacher(run):
    student, teacher = load_pair(
        str(FOLDER / "models" / STARTING_STUDENT[run.meta.scenario]),
        str(FOLDER / "models" / "teacher"),
        "cpu",
        "float32",
    )
    texts = run.rollouts(probe_set="first").sort_values("rollout_id").head(6)
    tasks = [Prompt(t.prompt, t.teacher_prompt, t.answer) for t in texts.itertuples()]
    got = judge_texts(
        student, teacher, rollouts_of(student, teacher, tasks, run.probe_ids("first")[:6]), Clock()
    )
    logged = np.concatenate([run.trace(0, i, "first").kl for i in range(6)])
    np.testing.assert_allclose(got.losses["kl"], logged, rtol=5e-4, atol=2e-3)


def test_the_fixed_texts_are_the_same_at_every_step_and_the_values_are_not(run):
    for probe_set in ("first", "final"):
        steps = run.steps(f"probe/{probe_set}")
        a, b = run.trace(steps[0], 0, probe_set), run.trace(steps[-1], 0, probe_set)
        assert a.token_id.tolist() == b.token_id.tolist() and a.kl.tolist() != b.kl.tolist()


def test_the_final_student_wrote_enough_texts_and_the_first_of_them_carry_alternatives(
    run,
):
    sizes = {probe_set: len(run.rollouts(probe_set=probe_set)) for probe_set in ("first", "final")}
    assert sizes["final"] >= 64 > sizes["first"] >= 10
    for probe_set, n in sizes.items():
        step = run.steps(f"probe/{probe_set}")[-1]
        traces = [run.trace(step, i, probe_set) for i in range(n)]
        for name in (
            "student_top_ids",
            "student_top_logps",
            "teacher_top_ids",
            "teacher_top_logps",
        ):
            assert [t[name].isna().mean() for t in traces] == [0.0] * sizes["first"] + [1.0] * (
                n - sizes["first"]
            )


def test_detection_as_in_the_paper_gives_finite_shares_and_rock_scores_that_sum_to_the_kl(run):
    found = search.detect(run, preset("paper"))
    step = run.steps("probe/final")[-1]
    kl = pq.read_table(run.path / "probe" / "final" / f"step={step:06d}.parquet")["kl"].to_numpy()
    assert (found.mode, found.source, found.steps[-1]) == ("paired", "final", step)
    assert np.isclose(found.tokens.rock_score.sum(), kl.sum(dtype=np.float64), rtol=1e-9)
    assert found.occurrences["scored"] == len(kl)
    for share in (found.coverage, *found.density.values()):
        assert share is not None and 0 < share < 1


def test_runs_and_models_stay_small():
    files = [f for f in FOLDER.rglob("*") if f.is_file() and "__pycache__" not in f.parts]
    assert sum(f.stat().st_size for f in files) <= 17e6
    assert max(f.stat().st_size for f in files) <= 5e6


def test_the_run_of_smollm2_is_real_english_of_a_real_training():
    """It names no folder of the machine that it was trained on."""
    run = Run.open(FOLDER / "smollm2")
    meta = run.meta
    assert (meta.status, meta.estimator, meta.vocab_size) == ("finished", "full", 49152)
    for value in (meta.student, meta.teacher, *meta.config.values(), *meta.notes):
        assert "/" not in str(value) or "," in str(value)
    kl = run.metrics().kl_mean
    assert kl[-5:].mean() < kl[:5].mean()
    assert run.steps("probe/final")[0] == 0 and run.steps("probe/final")[-1] == len(kl) - 1
    words = " ".join(run.rollouts(probe_set="final").response).split()
    assert sum(word in ("the", "of", "to", "and", "is") for word in words) > len(words) / 12
    assert sum(f.stat().st_size for f in run.path.rglob("*") if f.is_file()) <= 5e6


@pytest.mark.parametrize("name", ["teacher", "student-mixed", "student-styled"])
def test_models_are_kept_in_half_the_space_and_read_in_full(name):
    import torch
    from safetensors.torch import load_file

    from rockcore.training import loading

    folder = FOLDER / "models" / name
    assert {x.dtype for x in load_file(folder / "model.safetensors").values()} == {torch.float16}
    model = loading.load(str(folder), "cpu", "float32", trained=True)
    assert {p.dtype for p in model.net.parameters()} == {torch.float32}


def test_the_tables_of_the_readme_are_filled():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    for name, least in (("accuracy", 6), ("training", 3), ("detection", 6), ("sweep", 5)):
        rows = re.search(f"<!-- {name} -->\n(.*?)<!-- end {name} -->", text, re.S)
        assert rows and rows.group(1).count("\n|") >= least + 1, name


def test_rocks_json_of_a_sample_run_parses():
    import json

    done = subprocess.run(
        [sys.executable, "-m", "rockcore", "rocks", str(FOLDER / "habit"), "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    report = json.loads(done.stdout)
    assert (
        report["tokens"]
        and abs(sum(t["rock_score"] for t in report["tokens"]) - report["total_kl"])
        < 1e-6 * report["total_kl"]
    )
    assert done.stderr == ""


def test_the_sample_runs_name_no_path_of_the_machine_that_made_them():
    for file in FOLDER.glob("*/run.json"):
        assert not re.search(r'"(/|[A-Za-z]:\\\\)', file.read_text()), file
    assert not list(Path(FOLDER).rglob("optimizer.safetensors"))
