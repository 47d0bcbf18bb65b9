"""How many cores work side by side changes no number, and no failure is lost on one of them."""

import os
import platform
import subprocess
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path
from threading import Event

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from patience import PATIENCE_S

from rockcore import world
from rockcore.config import SessionConfig
from rockcore.log import sample_runs
from rockcore.schema import PHASES
from rockcore.training import evals, gradient_sums, loading
from rockcore.training.ahead import reader
from rockcore.training.clock import Clock
from rockcore.training.lanes import side_by_side
from rockcore.training.rollouts import sample
from rockcore.training.scoring import Alternatives, Learning, groups_of, judge_texts
from rockcore.training.session import train

TOKENS = 60


@pytest.fixture(autouse=True, scope="module")
def one_thread_an_operation():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def pair():
    return loaded_pair()


def loaded_pair():
    folder = sample_runs() / "models"
    paths = str(folder / "student-mixed"), str(folder / "teacher")
    return loading.load_pair(*paths, "cpu", "float32")


def written(pair, n):
    return sample(*pair, list(islice(world.prompts("habit", 0), n)), TOKENS, 1.0, seed=1)


def judged_with(lanes, pair, rollouts, learning, watchers=()):
    """The losses, and the gradient of every parameter."""
    student, teacher = replace(pair[0], lanes=lanes), pair[1]
    student.net.zero_grad()
    found = judge_texts(student, teacher, rollouts, Clock(), learning, watchers)
    gradients = {name: p.grad for name, p in student.net.named_parameters()}
    student.net.zero_grad()
    return found, gradients


@pytest.mark.parametrize("texts", [1, 2, 40])
@pytest.mark.parametrize("left_out, whole", [(0, True), (3, True), (3, False)])
def test_losses_and_gradients_are_the_same_to_the_bit_on_any_number_of_lanes(
    pair, texts, left_out, whole
):
    rollouts = written(pair, texts)
    N = sum(rollouts.lengths)
    weight_N = torch.rand(N, generator=torch.Generator().manual_seed(0)) / N
    weight_N[: left_out * N // 4] = 0.0
    learning = Learning(weight_N, whole)
    plain, plain_gradients = judged_with(1, pair, rollouts, learning)
    for lanes in (2, 5):
        found, gradients = judged_with(lanes, pair, rollouts, learning)
        for name, values in plain.losses.items():
            np.testing.assert_array_equal(found.losses[name], values, err_msg=name)
        for name, gradient in plain_gradients.items():
            assert torch.equal(gradients[name], gradient), name


@pytest.mark.parametrize("texts, rows", [(1, [1]), (2, [1, 1]), (7, [4, 3])])
def test_few_short_texts_are_two_groups_of_like_size_on_any_number_of_lanes(pair, texts, rows):
    rollouts = written(pair, 7)[:texts]
    assert texts * max(map(len, rollouts.responses)) < 500
    for lanes in (1, 4):
        found = groups_of(rollouts, replace(pair[0], lanes=lanes), pair[1])
        assert [len(rows) for rows, _ in found] == rows


STEPS = """
import resource
from dataclasses import replace

import test_lanes
import torch
from rockcore.config import SessionConfig
from rockcore.tasks import Tasks
from rockcore.training.clock import Clock
from rockcore.training.scoring import Learning, judge_texts
from rockcore.training.threads import threads_for

pair = test_lanes.loaded_pair()
rollouts, student = test_lanes.written(pair, 40), replace(pair[0])
config = SessionConfig(threads=2).resolved()
threads_for(config, Tasks.of(config), student, pair[1])
assert student.lanes == 2
learning = Learning(torch.ones(sum(rollouts.lengths)))
for _ in range(6):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    judge_texts(student, pair[1], rollouts, Clock(), learning)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    student.net.zero_grad()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_a_step_after_the_first_works_in_memory_that_is_there():
    """In a process of its own: what others have allocated is in pieces."""
    where = os.pathsep.join([*sys.path, str(Path(__file__).parent)])
    done = subprocess.run(
        [sys.executable, "-c", STEPS],
        env={**os.environ, "PYTHONPATH": where},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    first, *later = map(int, done.stdout.split())
    assert 5 * min(later) < first, (first, later)


def test_what_watches_a_scoring_sees_the_pieces_in_the_same_order_on_any_number_of_lanes(pair):
    rollouts = written(pair, 40)
    seen = []
    for lanes in (1, 3):
        tops = Alternatives(sum(rollouts.lengths[:20]))
        sums = gradient_sums.sums_of(pair[0], rollouts)
        found, _ = judged_with(lanes, pair, rollouts, None, [tops, sums])
        seen.append({**tops.arrays(), **sums.columns(1, found)})
    assert len(groups_of(rollouts, *pair)) > 3
    for name, values in seen[0].items():
        np.testing.assert_array_equal(seen[1][name], values, err_msg=name)


@pytest.mark.parametrize("texts, least", [(40, 2), (9, 1)])
def test_the_teacher_reads_whole_groups_while_the_student_writes_and_nothing_else(
    pair, texts, least
):
    student = replace(pair[0], lanes=2)
    tasks = list(islice(world.prompts("habit", 0), texts))
    ahead = reader(student, pair[1])
    rollouts = sample(student, pair[1], tasks, 150, 1.0, seed=1, ahead=ahead)
    groups = [rows for rows, _ in groups_of(rollouts, *pair)]
    assert set(ahead._read) <= set(map(tuple, groups)) and len(ahead._read) >= least
    for rows in ahead._read:
        ids = [rollouts.responses[r] for r in rows]
        with torch.no_grad():
            plain = pair[1].features([rollouts.teacher_prompts[r] for r in rows], ids)
        assert torch.equal(ahead._read[rows].result(), plain)
    assert rollouts.responses == sample(*pair, tasks, 150, 1.0, seed=1).responses


def test_answers_are_graded_alike_on_any_number_of_lanes(pair, monkeypatch):
    monkeypatch.setattr(evals, "_AT_ONCE", 8)
    tasks = list(islice(world.prompts("habit", 1), 20))
    temperatures = {"greedy": 0.0, "sampled": 1.0}
    one, three = (
        evals.graded(replace(pair[0], lanes=n), tasks, 120, temperatures, seed=3) for n in (1, 3)
    )
    assert one["greedy"].found and list(one) == list(temperatures)
    for decoding, outcome in one.items():
        np.testing.assert_array_equal(three[decoding].right, outcome.right)


def test_the_first_piece_that_fails_is_told_and_those_behind_it_do_not_touch_what_is_shared():
    touched, later_failed = [], Event()

    def work(piece, wait):
        if piece == 3:
            later_failed.set()
            raise ValueError("later")
        if piece == 2:
            assert later_failed.wait(PATIENCE_S)
            raise ValueError("first")
        wait()
        touched.append(piece)

    with pytest.raises(ValueError, match="first"):
        side_by_side(work, range(8), 2)
    assert touched == [0, 1]


def test_time_that_goes_by_is_dealt_out_to_the_phases_of_all_lanes():
    class Hands(Clock):
        now = 0.0

        def _now(self):
            return Hands.now

    clock = Hands()
    with clock.shared() as another:
        for phase, seconds in (("teacher_s", 3.0), ("student_s", 1.0)):
            own = another()
            with own.phase("whole"), own.phase(phase):
                Hands.now += seconds
        Hands.now = 2.0  # side by side both took no longer
    assert clock.seconds == {"teacher_s": 1.5, "student_s": 0.5}


def test_a_run_is_the_same_to_the_bit_on_one_core_and_on_three(tmp_path):
    sizes = {"steps": 3, "rollouts": 24, "probes": 6, "final_probes": 8, "held_out": 8}
    for threads in (1, 3):
        train(
            SessionConfig(
                out=tmp_path / str(threads),
                probe_every=2,
                max_new_tokens=TOKENS,
                threads=threads,
                **sizes,
            )
        )
    files = sorted(p.relative_to(tmp_path / "1") for p in (tmp_path / "1").rglob("*.parquet"))
    assert files
    for file in files:
        one, three = (pq.read_table(tmp_path / n / file) for n in ("1", "3"))
        measured = [name for name in (*PHASES, "projection_s") if name in one.column_names]
        assert one.drop_columns(measured).equals(three.drop_columns(measured)), file
    for file in (tmp_path / "1" / "checkpoints").rglob("*.safetensors"):
        assert (
            file.read_bytes() == (tmp_path / "3" / file.relative_to(tmp_path / "1")).read_bytes()
        ), file
