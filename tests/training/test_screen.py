"""A screen of a real student: nothing but what the ban touches is written again, and that exactly
as the whole would be; what is planted is found; what was killed goes on; what cannot work is said.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from patience import PATIENCE_S, wait_until

from rockcore import world
from rockcore.analysis.knockout_candidates import BadCandidates, Wanted, spellings
from rockcore.analysis.knockouts import PILLAR, examine
from rockcore.config import BadConfig, SessionConfig
from rockcore.interventions import BadIntervention
from rockcore.log import Run, lock, sample_runs
from rockcore.log.lock import FolderInUse, RunGone
from rockcore.log.screens import FOLDER, NoScreen, Screen
from rockcore.rocks import RockRule, detect
from rockcore.rocks.rockset import BadRockSet
from rockcore.schema import RockError
from rockcore.tasks import BadPrompts
from rockcore.training import knockout, loading, screen
from rockcore.training.checkpoints import NoCheckpoint
from rockcore.training.knockout import Row, Writer, first_banned
from rockcore.training.screen import ScreenSettings
from rockcore.training.screen_workers import Workers, WorkersLost
from rockcore.training.session import train


def writer_of(problems: int, tokens: int, temperature: float = 1.0, fast: bool = True) -> Writer:
    model = loading.load(str(sample_runs() / "models" / "student-styled"), "cpu", "float32")
    if not fast:
        model.fast = None
    tasks = list(islice(world.prompts("skill", "held-out"), problems))
    prompts, answers = [model.encode(p.prompt) for p in tasks], [p.answer or "" for p in tasks]
    return Writer(model, prompts, answers, 3, temperature, tokens)


def every(problems: int, ban: int = 0) -> list[Row]:
    return [Row(i, b, [], ban) for i in range(problems) for b in range(4)]


def common(texts: list[list[int]], rank: int) -> int:
    return int(np.argsort(-np.bincount(np.concatenate(texts)))[rank])


@pytest.mark.parametrize(
    ("fast", "temperature", "shared", "tokens"),
    [(True, 1.0, None, 150), (True, 0.7, 600, 100), (False, 1.0, None, 60), (False, 0.8, 600, 40)],
)
def test_writing_on_from_the_branch_is_writing_the_whole_under_the_ban(
    fast, temperature, shared, tokens
):
    """Token by token, on either path, also where the vocabulary is restricted."""
    problems = 12 if fast else 4
    writer = writer_of(problems, tokens, temperature, fast)
    writer.model.shared_ids = shared
    baseline = writer.write(every(problems))
    ends = np.cumsum([len(t) for t in baseline])
    for bans in ((common(baseline, 12),), (common(baseline, 3), common(baseline, 20))):
        whole = writer.write(every(problems), (bans,))
        branch = first_banned(np.concatenate(baseline), ends, bans)
        at = np.flatnonzero(branch >= 0).tolist()
        rows = [Row(n // 4, n % 4, baseline[n][: branch[n]]) for n in at]
        assert len(rows) > 0
        again = dict(zip(at, writer.write(rows, (bans,)), strict=True))
        for n, text in enumerate(whole):
            joined = baseline[n][: branch[n]] + again[n] if n in again else baseline[n]
            assert joined == text
            assert not set(text) & set(bans) and len(text) <= tokens


def test_both_paths_write_the_same_and_so_does_any_batch(monkeypatch):
    fast = writer_of(3, 40)
    texts = fast.write(every(3))
    assert writer_of(3, 40, fast=False).write(every(3)) == texts
    monkeypatch.setattr(knockout, "BATCH", 5)
    assert fast.write(every(3)[::-1])[::-1] == texts


def test_rows_never_outgrow_the_model(monkeypatch):
    """A long prefix beside a short one would, if a batch were written to the end of both."""
    writer = writer_of(4, 120)
    whole = writer.write(every(4))
    monkeypatch.setattr(writer.model.net.config, "max_position_embeddings", 190)
    rows = [Row(n // 4, n % 4, t[: (0, len(t) - 1)[n % 2]]) for n, t in enumerate(whole)]
    assert max(len(writer.prompts[r.problem]) + len(r.prefix) for r in rows) + 120 > 190
    for row, text, new in zip(rows, whole, writer.write(rows), strict=True):
        assert row.prefix + new == text


def test_the_first_banned_token_of_each_response():
    rng = np.random.default_rng(0)
    texts = [rng.integers(0, 6, n).tolist() for n in (3, 0, 7, 1, 0, 9)]
    ends = np.cumsum([len(t) for t in texts])
    expected = [next((t for t, i in enumerate(text) if i in (2, 5)), -1) for text in texts]
    assert first_banned(np.array(sum(texts, [])), ends, (2, 5)).tolist() == expected
    assert first_banned(np.array([], int), np.array([0, 0]), (1,)).tolist() == [-1, -1]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A run of two steps with checkpoints."""
    out = tmp_path_factory.mktemp("trained") / "skill"
    config = SessionConfig(
        out, "skill", steps=2, rollouts=8, held_out=8, probes=12, final_probes=32, threads=1
    )
    train(config)
    return out


def copy_of(trained: Path, folder: Path) -> Path:
    """The same run in a folder of its own, without its screen; its files are shared."""
    shutil.copytree(trained, folder, copy_function=os.link, ignore=shutil.ignore_patterns(FOLDER))
    return folder


@pytest.fixture
def run_with_checkpoints(trained: Path, tmp_path: Path) -> Path:
    return copy_of(trained, tmp_path / "run")


SMALL = ScreenSettings(
    Wanted(names=('"7"', " the", "\\boxed", "<pad>"), random=1), problems=90, processes=1
)


@pytest.fixture(scope="module")
def screened(trained: Path) -> Screen:
    return screen.run(trained, SMALL)


def test_a_screen_of_the_last_student_is_not_stale(screened):
    assert not screened.stale


def test_a_planted_pillar_is_found(screened):
    """Without a digit, or the box, answers cannot be right."""
    found = examine(screened).candidates.set_index("token")
    alone = found[found.kind == "token"]
    for token in ("7", "\\boxed"):
        assert alone.verdict[token] == PILLAR and alone.needed[token], token
        assert alone.high[token] < -0.01
    assert alone.delta["\\boxed"] == -screened.baseline.correct.mean()


def test_an_id_that_is_never_written_changes_no_rollout(screened):
    found = examine(screened).candidates.set_index("token")
    assert found.changed["<pad>"] == 0 and found.delta["<pad>"] == 0 and found.p["<pad>"] == 1


def test_only_rollouts_that_hold_the_token_are_told_and_their_texts_hold_it_no_more(screened):
    baseline = screened.baseline
    for candidate in screened.finished:
        outcomes, banned = screened.outcomes(candidate.key), set(candidate.ids)
        holding = [n for n in range(len(baseline.texts)) if banned & set(baseline.texts[n])]
        assert (outcomes.problem * 4 + outcomes.rollout).tolist() == holding
        for c in np.flatnonzero(outcomes.texts.known):
            text = outcomes.texts[int(c)]
            assert not banned & set(text) and text[0] == outcomes.replacement[c]
            assert len(text) + outcomes.branch[c] == outcomes.length[c]


def test_grades_are_those_of_the_texts(screened):
    writer = screen.prepare(screened.run.path, ScreenSettings()).writer
    pairs = examine(screened).pairs("token-270")
    assert len(pairs)
    for row in pairs.to_dict("records"):
        graded = writer.graded([Row(row["problem"], 0, row["knockout_ids"])], [[]])
        assert graded[0] == row["knockout_correct"]


def test_a_sham_is_written_for_every_token_and_for_no_other_kind(screened):
    for candidate in screened.finished:
        outcomes = screened.outcomes(candidate.key)
        if len(outcomes.problem) and not candidate.same_as:
            assert (outcomes.sham_correct is not None) == (candidate.kind == "token")


def test_spellings_go_together(screened):
    alike = spellings(screened.run.vocab)
    texts = screened.run.vocab.set_index("token_id").token
    steered = {c.token_id: c for c in screened.candidates if c.kind == "steered"}
    the = next(i for i in steered if texts[i] == " the")
    assert {texts[i] for i in steered[the].ids} == {" the", "The"} and alike[the] == steered[
        the
    ].ids


def files(run: Path) -> dict[str, bytes]:
    folder = run / FOLDER
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*.parquet"))}


def test_a_screen_goes_on_where_it_was_stopped_and_takes_more(
    trained, run_with_checkpoints, tmp_path
):
    """Bit for bit as if it had never stopped; the same with two processes."""
    few = ScreenSettings(Wanted(names=('"7"', " the", " are")), problems=6, processes=1)
    whole = screen.run(copy_of(trained, tmp_path / "whole"), few).run.path
    seen = []

    def stop(now: screen.ScreenProgress) -> None:
        seen.append(now)
        if now.finished == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        screen.run(run_with_checkpoints, few, stop)
    half = Screen.open(run_with_checkpoints)
    assert 0 < len(half.finished) < len(half.candidates)
    screen.run(run_with_checkpoints, ScreenSettings(processes=2))
    assert files(run_with_checkpoints) == files(whole)
    assert seen[-1].candidates == sum(not c.same_as for c in half.candidates)
    more = ScreenSettings(Wanted(names=(" has",)), processes=1)
    longer = screen.run(run_with_checkpoints, more)
    assert len(longer.candidates) > len(half.candidates) and longer.finished == longer.candidates
    assert files(run_with_checkpoints).items() >= files(whole).items()


def children_of(pid: int) -> list[int]:
    """Where the system tells them."""
    file = Path(f"/proc/{pid}/task/{pid}/children")
    return list(map(int, file.read_text().split())) if file.exists() else []


def is_at_work(pid: int) -> bool:
    """Not gone, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(("by", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 130)])
def test_a_screen_that_was_killed_goes_on(run_with_checkpoints, monkeypatch, by, code):
    """It ends with its processes, and until then nobody else may train or screen the run."""
    command = [sys.executable, "-m", "rockcore", "knockout", str(run_with_checkpoints)]
    begun = [*command, "--problems", "8", "--processes", "2", "--count", "6", "--no-windows"]
    process = subprocess.Popen(begun, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: [*run_with_checkpoints.glob(f"{FOLDER}/outcomes/*.parquet")], process)
    process.send_signal(signal.SIGSTOP)  # it is in the middle, however slow all else is here
    children = children_of(process.pid)
    monkeypatch.setattr(lock, "PATIENCE_S", 0.0)
    for other in (
        lambda: screen.run(run_with_checkpoints, SMALL),
        lambda: train(SessionConfig(run_with_checkpoints, resume=True, steps=9)),
    ):
        with pytest.raises(FolderInUse, match=f"process {process.pid} on .* screens its student"):
            other()
    monkeypatch.undo()
    process.send_signal(by)
    process.send_signal(signal.SIGCONT)
    assert process.wait(PATIENCE_S) == code
    wait_until(lambda: not any(map(is_at_work, children)))  # none waits for work for ever
    kept = files(run_with_checkpoints)
    (run_with_checkpoints / FOLDER / "outcomes" / ".t1.parquet.9.tmp").touch()
    screen.run(run_with_checkpoints, ScreenSettings(processes=1))
    done = Screen.open(run_with_checkpoints)
    assert done.finished == done.candidates and not list(run_with_checkpoints.rglob(".*"))
    assert files(run_with_checkpoints).items() >= kept.items()


def test_a_screen_whose_run_is_deleted_stops_and_makes_nothing_again(run_with_checkpoints):
    def delete(now: screen.ScreenProgress) -> None:
        if now.finished == 1:
            shutil.rmtree(run_with_checkpoints)

    few = ScreenSettings(Wanted(names=('"7"', " the", " are")), problems=6, processes=1)
    with pytest.raises(RunGone):
        screen.run(run_with_checkpoints, few, delete)
    assert not run_with_checkpoints.exists()


def end(writer: Writer, item: int) -> None:
    os._exit(1)  # as the system ends a process when memory is short


def test_a_process_that_is_lost_is_told(run_with_checkpoints):
    ready = screen.prepare(run_with_checkpoints, names(" the"))
    lost = pytest.raises(WorkersLost, match="--processes 1")
    with Workers(ready.source, ready.writer, 2) as workers, lost:
        list(workers._each(end, [1, 2]))


def test_before_it_starts_it_says_what_it_can_detect(run_with_checkpoints):
    told: list[str] = []
    settings = replace(SMALL, problems=12, wanted=Wanted(names=(" the", "<eos>", "\\boxed")))
    screen.run(run_with_checkpoints, settings, say=told.append)
    power = next(sentence for sentence in told if "you can detect" in sentence)
    assert "With 12 problems × 4 rollouts" in power and "you need" in power
    assert any("Grading will fail without <eos>" in s and "can end" in s for s in told)
    assert any("Grading will fail without \\boxed" in s for s in told)
    assert any("answers themselves need" in s for s in told)


def names(*given: str) -> ScreenSettings:
    return ScreenSettings(Wanted(names=given), problems=8, processes=1)


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        (names("99999"), BadCandidates, "99999 is outside the vocabulary"),
        (names("-1"), BadCandidates, "-1 is outside the vocabulary"),
        (names("--1"), BadCandidates, "is no single token"),
        (names("9" * 5000), BadCandidates, "is no single token"),
        (names("two words"), BadCandidates, "is no single token"),
        (names("the"), BadCandidates, "There is ' the'"),
        (names("no.json"), BadRockSet, "no.json cannot be read"),
        (ScreenSettings(Wanted(count=0)), BadCandidates, "--count 0"),
        (ScreenSettings(rollouts=3), BadConfig, "--rollouts 3"),
        (ScreenSettings(seed=2**31), BadConfig, "--seed 2147483648"),
        (ScreenSettings(seed=-1), BadConfig, "--seed -1"),
        (ScreenSettings(problems=0), BadConfig, "--problems 0"),
        (ScreenSettings(problems=1), BadConfig, "--problems 1"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_written(
    run_with_checkpoints, settings, error, says
):
    before = sorted(run_with_checkpoints.rglob("*"))
    with pytest.raises(error, match=says):
        screen.run(run_with_checkpoints, settings)
    assert sorted(run_with_checkpoints.rglob("*")) == before


def test_a_set_is_taken_and_one_of_another_tokenizer_refused(run_with_checkpoints, tmp_path):
    run = Run.open(run_with_checkpoints)
    data = {
        "ids": [5, 7],
        "rule": {},
        "tokenizer_hash": run.meta.tokenizer_hash,
        "fingerprint": "",
        "control": {},
    }
    file = tmp_path / "set.json"
    file.write_text(json.dumps(data))
    ready = screen.prepare(run_with_checkpoints, names(str(file)))
    assert [c.token_id for c in ready.plan.candidates if c.kind == "token"] == [5, 7]
    report = tmp_path / "report.json"
    best = detect(run, RockRule(top_k=3))
    report.write_text(best.to_json())
    ready = screen.prepare(run_with_checkpoints, names(str(report)))
    assert [c.token_id for c in ready.plan.candidates if c.kind == "token"] == best.ids
    for change, says in (
        ({"tokenizer_hash": "0"}, "was found under tokenizer 0"),
        ({"ids": [5, 99999]}, "names token 99999"),
        ({"ids": []}, "holds no token"),
    ):
        file.write_text(json.dumps({**data, **change}))
        with pytest.raises(BadIntervention, match=says):
            screen.run(run_with_checkpoints, names(str(file)))
    assert not (run_with_checkpoints / FOLDER).exists()


def test_a_run_without_checkpoints_or_settings_is_refused(tiny_run, run_with_checkpoints):
    for path in (sample_runs() / "habit", tiny_run("plain")):
        there = sorted(path.rglob("*"))
        with pytest.raises(NoCheckpoint, match="has no checkpoints"):
            screen.run(path)
        assert sorted(path.rglob("*")) == there
    file = run_with_checkpoints / "run.json"
    data = json.loads(file.read_text())
    file.unlink()
    file.write_text(json.dumps({**data, "config": {}}))
    with pytest.raises(RockError, match="settings"):
        screen.run(run_with_checkpoints)


def test_own_prompts_are_asked_as_the_run_held_them_out(run_with_checkpoints, tmp_path):
    file = run_with_checkpoints / "run.json"
    data = json.loads(file.read_text())
    file.unlink()
    models = sample_runs() / "models"
    own = {"student": str(models / "student-styled"), "teacher": str(models / "teacher")}

    def prompts(answers: bool) -> None:
        rows = [
            {"prompt": p.prompt, **({"answer": p.answer} if answers else {})}
            for p in islice(world.prompts("skill", "own"), 40)
        ]
        (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, rows)))

    config = {**data["config"], **own, "prompts": str(tmp_path / "own.jsonl"), "scenario": None}
    file.write_text(json.dumps({**data, "config": config}))
    with pytest.raises(BadPrompts, match="does not exist"):
        screen.run(run_with_checkpoints)
    prompts(answers=False)
    with pytest.raises(BadConfig, match="no held-out problems with an answer"):
        screen.run(run_with_checkpoints)
    prompts(answers=True)
    with_one = {**config, "held_out": 1}
    file.write_text(json.dumps({**data, "config": with_one}))
    with pytest.raises(BadConfig, match="has only one held-out problem with an answer"):
        screen.run(run_with_checkpoints)
    file.write_text(json.dumps({**data, "config": config}))
    with pytest.raises(BadConfig, match="has 8 held-out problems"):
        screen.run(run_with_checkpoints, ScreenSettings(problems=9))
    assert not (run_with_checkpoints / FOLDER).exists()
    assert screen.prepare(run_with_checkpoints, names(" the")).plan.problems == 8


def test_settings_that_contradict_the_screen_that_is_there_are_refused(screened):
    path = screened.run.path
    before = files(path)
    for settings, says in (
        (ScreenSettings(problems=41), "--problems 41, but the screen that is there has 90"),
        (ScreenSettings(rollouts=5), "--rollouts 5, but the screen"),
        (ScreenSettings(seed=1), "--seed 1, but the screen"),
    ):
        with pytest.raises(BadConfig, match=says):
            screen.run(path, settings)
    assert files(path) == before


def test_a_screen_of_another_student_is_not_gone_on_with(run_with_checkpoints):
    screen.run(run_with_checkpoints, replace(SMALL, problems=4, wanted=Wanted(names=(" the",))))
    last = run_with_checkpoints / "checkpoints" / "step=000002"
    os.rename(last, last.with_name("step=000003"))
    with pytest.raises(BadConfig, match="has step = 2, the run now 3"):
        screen.run(run_with_checkpoints, ScreenSettings(processes=1))


@pytest.mark.parametrize(
    ("gone", "says"),
    [
        ("screen.json", "holds baseline.parquet and no screen.json"),
        ("baseline.parquet", "token-1.parquet and no baseline.parquet"),
    ],
)
def test_answers_that_are_left_over_are_not_taken_for_those_of_this_screen(
    run_with_checkpoints, gone, says
):
    folder = run_with_checkpoints / FOLDER
    (folder / "outcomes").mkdir(parents=True)
    plan = screen.prepare(run_with_checkpoints, names(" the")).plan
    (folder / "screen.json").write_text(plan.to_json())
    for file in ("baseline.parquet", "outcomes/token-1.parquet"):
        (folder / file).write_bytes(b"of another student")
    (folder / gone).unlink()
    before = files(run_with_checkpoints)
    with pytest.raises(BadConfig, match=says):
        screen.run(run_with_checkpoints, names(" the"))
    assert files(run_with_checkpoints) == before


def test_without_a_screen_there_is_none(trained, tiny_run):
    with pytest.raises(NoScreen):
        Screen.open(tiny_run("without"))
