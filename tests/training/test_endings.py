"""However a session ends, run.json says so, the folder is free again, and it goes on to the bit."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from patience import PATIENCE_S
from test_session import SHORT, config, logged

from rockcore.config import SessionConfig
from rockcore.log import Run, files
from rockcore.log.holders import LOCK, holder_of
from rockcore.log.lock import FolderInUse, RunGone, locked
from rockcore.schema import LogWriteError
from rockcore.training import checkpoints, loading, session
from rockcore.training.checkpoints import Checkpoints
from rockcore.training.session import Progress, Session, train

ENDINGS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
EVERYTHING = {
    **SHORT,
    "steps": 4,
    "rollouts": 3,
    "probes": 2,
    "final_probes": 2,
    "held_out": 2,
    "gradients": "full",
    "exact_positions": 1,
    "gradient_texts": 3,
    "max_new_tokens": 24,
}


@pytest.fixture(autouse=True)
def usual_signals():
    """A shell that runs the tests in the background has Ctrl-C ignored."""
    before = {s: signal.signal(s, signal.SIG_DFL) for s in (signal.SIGTERM, signal.SIGHUP)}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for s, handler in before.items():
        signal.signal(s, handler)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A run that nothing disturbed, with every table there is but those of arms."""
    out = tmp_path_factory.mktemp("whole") / "run"
    train(SessionConfig(out=out, **EVERYTHING))
    return out


def at(step: int, act: Callable[[], object]) -> Callable[[Progress], None]:
    """A listener that acts once a step is done."""
    return lambda progress: act() and None if progress.step == step else None


def leftovers(out: Path) -> list[Path]:
    return list(out.rglob(".*"))


@pytest.mark.parametrize("by", ENDINGS, ids=lambda s: s.name)
def test_a_signal_lets_the_step_end_and_the_run_goes_on_to_the_bit(whole, tmp_path, by):
    out = tmp_path / "r"
    meta = train(SessionConfig(out=out, **EVERYTHING), at(2, lambda: os.kill(os.getpid(), by)))
    assert (meta.status, meta.reason) == ("stopped", "stopped by request after step 3 of 4")
    assert Run.open(out).steps("probe/final")[-1] == 3 and not leftovers(out)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert train(SessionConfig(out=out, resume=True)).status == "finished"
    assert logged(out) == logged(whole)


@pytest.mark.parametrize(
    ("place", "where"),
    [
        ("update", "in the middle of step 2"),
        ("begin", "before its first step"),
        ("close", "after step 4, while its final texts were scored"),
    ],
)
def test_a_second_signal_ends_it_at_once_and_a_third_changes_nothing(
    whole, tmp_path, monkeypatch, place, where
):
    """In whatever it does, and run.json says in what."""
    out, noted = tmp_path / "r", []
    inner = {"update": (Session, "update"), "begin": (session.Probes, "write")}
    owner, name = inner.get(place, (Checkpoints, "load_weights"))
    original, save_meta = getattr(owner, name), session.RunWriter.save_meta

    def hurried(self, *arguments):
        if place != "update" or arguments[0] == 2:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, *arguments)

    def save(self, **changes):
        if "status" in changes:  # not where notes are added to it
            os.kill(os.getpid(), signal.SIGTERM)
            noted.append(changes)
        save_meta(self, **changes)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, hurried)
        patch.setattr(session.RunWriter, "save_meta", save)
        with pytest.raises(KeyboardInterrupt):
            train(SessionConfig(out=out, **EVERYTHING))
    meta = Run.open(out).meta
    assert (meta.status, meta.reason) == ("stopped", f"interrupted {where}")
    assert len(noted) == 1 and not leftovers(out)
    assert train(SessionConfig(out=out, resume=True)).status == "finished"
    assert logged(out) == logged(whole)


def test_an_interrupt_while_a_checkpoint_is_written_leaves_nothing_half_done(
    whole, tmp_path, monkeypatch
):
    out, saved = tmp_path / "r", []

    def save_file(*arguments):
        saved.append(arguments)
        if len(saved) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        original = checkpoints.save_file
        patch.setattr(checkpoints, "save_file", lambda *a: (original(*a), save_file(*a)))
        with pytest.raises(KeyboardInterrupt):
            train(SessionConfig(out=out, **EVERYTHING))
    assert Run.open(out).meta.status == "stopped" and not leftovers(out)
    train(SessionConfig(out=out, resume=True))
    assert logged(out) == logged(whole)


@pytest.mark.parametrize("resume", [False, True])
def test_a_signal_while_models_load_leaves_everything_as_it_was(
    whole, tmp_path, monkeypatch, resume
):
    out = tmp_path / "r"
    if resume:
        shutil.copytree(whole, out)
    before = (out / "run.json").read_bytes() if resume else b""
    load = loading.load_pair

    def load_pair(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        return load(*arguments)

    monkeypatch.setattr(loading, "load_pair", load_pair)
    with pytest.raises(KeyboardInterrupt):
        train(SessionConfig(out=out, resume=True, steps=9) if resume else config(out))
    if resume:
        assert (out / "run.json").read_bytes() == before and not leftovers(out)
    else:
        assert not out.exists()


def test_the_end_of_a_terminal_is_ignored_where_nohup_has_it_ignored(tmp_path):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    hangup = at(0, lambda: os.kill(os.getpid(), signal.SIGHUP))
    assert train(config(tmp_path / "r", steps=2, held_out=0), hangup).status == "finished"


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs terminals")
def test_a_terminal_that_is_closed_ends_the_training_in_it_cleanly(tmp_path):
    """Printing there would be an error from then on."""
    import fcntl
    import termios

    ours, theirs = os.openpty()

    def take_terminal() -> None:
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    sizes = ["--rollouts=3", "--probes=0", "--held-out=0", "--threads=1", "--steps=5000"]
    child = subprocess.Popen(
        [sys.executable, "-m", "rockcore", "train", f"--out={tmp_path / 'r'}", *sizes],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=take_terminal,
    )
    os.close(theirs)
    while not (tmp_path / "r" / "metrics" / "step=000001.parquet").exists():
        assert child.poll() is None and os.read(ours, 1 << 16)  # what it prints is what we wait on
    os.close(ours)
    assert child.wait(timeout=PATIENCE_S) == 0
    meta = Run.open(tmp_path / "r").meta
    assert meta.status == "stopped" and meta.reason.startswith("stopped by request after step")


def test_a_run_in_training_is_not_gone_on_with_by_another(tmp_path, monkeypatch):
    from rockcore.log import lock

    monkeypatch.setattr(lock, "PATIENCE_S", 0.0)
    out, told = tmp_path / "r", []

    def resume() -> None:
        steps = Run.open(out).steps("metrics")
        with pytest.raises(FolderInUse, match=f"process {os.getpid()} on .* trains it since"):
            train(SessionConfig(out=out, resume=True, steps=90))
        told.append(steps == Run.open(out).steps("metrics"))

    assert train(config(out, steps=3, held_out=0), at(1, resume)).status == "finished"
    assert told == [True] and Run.open(out).steps("metrics") == [0, 1, 2, 3]


def test_a_run_that_was_killed_goes_on_with_a_word(whole, tmp_path):
    out, said = tmp_path / "r", []
    shutil.copytree(whole, out)
    text = (out / "run.json").read_text().replace('"finished"', '"running"')
    (out / "run.json").write_text(text)
    (out / LOCK).write_text('{"pid": 7, "host": "far", "since": "then"}')
    assert Run.open(out).is_in_training() is False
    train(SessionConfig(out=out, resume=True), say=said.append)
    assert len([s for s in said if "process 7 on far" in s and "goes on from step 4" in s]) == 1
    assert logged(out) == logged(whole) and not leftovers(out)


def test_while_it_trains_a_run_says_so_and_whether_it_was_killed_can_be_told(tmp_path):
    seen = []
    look = at(1, lambda: seen.append(Run.open(tmp_path / "r").is_in_training()))
    train(config(tmp_path / "r", steps=2, held_out=0), look)
    assert seen == [True] and Run.open(tmp_path / "r").is_in_training() is False
    assert holder_of(tmp_path / "r") is None


@pytest.mark.parametrize("how", ["deleted", "renamed", "replaced"])
def test_a_run_that_is_taken_away_stops_and_nothing_is_put_in_its_place(whole, tmp_path, how):
    out, away = tmp_path / "r", tmp_path / "renamed"
    held = []

    def take_away() -> None:
        os.rename(out, away)
        if how == "replaced":
            shutil.copytree(whole, out)
            held.append(locked(out, "training"))
            held[0].__enter__()
        if how == "deleted":
            shutil.rmtree(away)

    with pytest.raises(RunGone, match="deleted, renamed or replaced"):
        train(SessionConfig(out=out, **EVERYTHING), at(2, take_away))
    if how == "replaced":
        held[0].__exit__(None, None, None)
        assert logged(out) == logged(whole) and not leftovers(out)
    else:
        assert not out.exists()
    if how != "deleted":  # where it is now it goes on
        assert Run.open(away).is_in_training() is False
        train(SessionConfig(out=away, resume=True))
        assert logged(away) == logged(whole) and not leftovers(away)


@pytest.mark.parametrize("moment", ["weights", "optimizer", "written"])
def test_a_folder_deleted_while_a_checkpoint_is_written_stays_deleted(
    tmp_path, monkeypatch, moment
):
    """Whoever saves a model makes the folders above it again."""
    out = tmp_path / "r"
    save_file = checkpoints.save_file
    model_save = session.Model.save

    def save_model(self, folder):
        if "step=000002" in str(folder) and moment == "weights":
            shutil.rmtree(out)
        model_save(self, folder)

    def save_optimizer(tensors, file):
        there = "step=000002" in str(file)
        if there and moment == "optimizer":
            shutil.rmtree(out)
        save_file(tensors, file)
        if there and moment == "written":
            shutil.rmtree(out)

    monkeypatch.setattr(session.Model, "save", save_model)
    monkeypatch.setattr(checkpoints, "save_file", save_optimizer)
    with pytest.raises(RunGone):
        train(config(out, held_out=0))
    assert not out.exists()


def test_a_disk_that_refuses_each_kind_of_file_once_costs_no_step_and_no_bit(
    whole, tmp_path, monkeypatch
):
    out, refused = tmp_path / "r", set()
    replace = os.replace

    def kind_of(target: Path) -> str:
        parts = target.relative_to(out).parts
        return "/".join(p.split("step=")[0] for p in parts)

    def refuse_once(source, target):
        kind = kind_of(Path(target))
        if kind not in refused and (out / "run.json").exists():
            refused.add(kind)
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(files.os, "replace", refuse_once)
    resume, endings = False, 0
    while True:
        try:
            how = {"resume": True} if resume else EVERYTHING
            train(SessionConfig(out=out, **how))
            break
        except LogWriteError as e:
            assert "No space left" in str(e) and "--resume" in str(e)
            endings += 1
            resume = True
            steps = Run.open(out).steps("metrics")
            assert steps == list(range(len(steps))) and Run.open(out).is_in_training() is False
    assert endings == len(refused) - 1 >= 15, sorted(refused)  # one when it was to say so
    assert "run.json" in refused
    assert logged(out) == logged(whole) and not leftovers(out)


def test_a_few_kills_of_the_campaign_leave_whole_logs_that_go_on_to_the_bit():
    campaign = Path(__file__).parents[1] / "campaigns" / "kills.py"
    command = [sys.executable, str(campaign), "--kills", "3", "--seed", "3"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "went on to the log of an undisturbed" in done.stdout, done
