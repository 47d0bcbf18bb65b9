"""The lock of a run: one process at a time, whatever ends it, and no lock needed to read."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from patience import PATIENCE_S, wait_until

from rockcore.log import Run, RunWriter, holders, lock
from rockcore.log.folders import STDOUT, read_run
from rockcore.log.holders import LOCK, holder_of
from rockcore.log.lock import FolderInUse, RunGone, locked
from rockcore.log.writer import RunExists
from rockcore.schema import LogWriteError

HOLD = """
import sys, time
from pathlib import Path
from rockcore.log import lock
lock.PATIENCE_S = {patience}
try:
    with lock.locked(Path(sys.argv[1]), "training"):
        print("mine", flush=True)
        sys.stdin.read()
except lock.FolderInUse as e:
    print(e, flush=True)
"""


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "PATIENCE_S", 0.0)


def hold(folder: Path, patience: float = 0.0) -> subprocess.Popen[str]:
    """A process that tries to lock a folder, prints how that went, and holds it until its standard
    input ends.
    """
    return subprocess.Popen(
        [sys.executable, "-c", HOLD.format(patience=patience), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_of_many_that_begin_at_once_one_wins_and_the_others_are_told_its_name(tmp_path):
    racers = [hold(tmp_path / "new", patience=1.0) for _ in range(12)]
    said = [first_line(racer) for racer in racers]
    winners = [racer for racer, line in zip(racers, said, strict=True) if line == "mine\n"]
    assert len(winners) == 1
    others = [line for line in said if line != "mine\n"]
    assert all(f"process {winners[0].pid} on " in line for line in others)
    assert all("trains it since 2" in line and "last sign of life" in line for line in others)
    for racer in racers:
        racer.communicate("", timeout=PATIENCE_S)
    assert not (tmp_path / "new" / LOCK).exists()  # a clean end takes the lock with it


def test_a_folder_that_was_made_for_a_lock_goes_with_it_where_it_stays_empty(tmp_path):
    with locked(tmp_path / "new", "training"):
        assert (tmp_path / "new").is_dir()
    assert not (tmp_path / "new").exists()


def test_the_lock_of_a_killed_process_is_taken_over_with_a_word(tmp_path):
    process = hold(tmp_path)
    assert first_line(process) == "mine\n"
    held = holder_of(tmp_path)
    assert held is not None and held.alive and held.pid == process.pid
    process.kill()
    process.communicate(timeout=PATIENCE_S)
    left = holder_of(tmp_path)
    assert left is not None and not left.alive and left.pid == process.pid
    with locked(tmp_path, "training") as mine:
        assert f"lock of process {process.pid} on " in mine.taken_over()
        assert holder_of(tmp_path).pid == os.getpid()
    assert holder_of(tmp_path) is None and list(tmp_path.iterdir()) == []


def test_a_number_that_another_process_bears_now_holds_nothing(tmp_path):
    with locked(tmp_path, "training"):
        words = (tmp_path / LOCK).read_text()
    (tmp_path / LOCK).write_text(words)  # names this process, which is alive
    left = holder_of(tmp_path)
    assert left is not None and left.pid == os.getpid() and not left.alive
    with locked(tmp_path, "training"):
        pass


def test_a_copied_run_is_not_locked_and_a_renamed_one_is(tiny_run, tmp_path, hasty):
    run = tiny_run()
    with locked(run, "training"):
        shutil.copytree(run, tmp_path / "copy")
        os.rename(run, tmp_path / "renamed")
        assert not holder_of(tmp_path / "copy").alive
        with locked(tmp_path / "copy", "screen"):
            pass
        with pytest.raises(FolderInUse), locked(tmp_path / "renamed", "training"):
            pass


def other_host(folder: Path, silent_s: float) -> None:
    """The lock of a machine that shares the folder, but no locks, with this one."""
    (folder / LOCK).touch()
    words = {"pid": 7, "host": "far", "since": "2026-01-01T00:00:00+00:00", "doing": "training"}
    words["inode"] = (folder / LOCK).stat().st_ino
    (folder / LOCK).write_text(json.dumps(words))
    then = time.time() - silent_s
    os.utime(folder / LOCK, (then, then))


def test_another_machine_holds_a_folder_as_long_as_it_gives_a_sign_of_life(tmp_path, hasty):
    other_host(tmp_path, silent_s=holders.SILENT_S / 2)
    assert holder_of(tmp_path).alive
    told = pytest.raises(FolderInUse, match=r"process 7 on far trains it .* \d+ s ago.* 150 s")
    with told, locked(tmp_path, "training"):
        pass
    other_host(tmp_path, silent_s=holders.SILENT_S * 2)
    assert not holder_of(tmp_path).alive
    with locked(tmp_path, "training") as mine:
        assert "process 7 on far" in mine.taken_over()


def test_a_copy_of_the_lock_of_another_machine_holds_nothing(tmp_path):
    (tmp_path / "here").mkdir()
    other_host(tmp_path, silent_s=0)
    shutil.copy2(tmp_path / LOCK, tmp_path / "here" / LOCK)
    assert holder_of(tmp_path).alive and not holder_of(tmp_path / "here").alive
    with locked(tmp_path / "here", "training"):
        pass


def test_where_there_are_no_locks_the_signs_of_life_tell(tmp_path, hasty, monkeypatch):
    monkeypatch.setattr(lock, "lock_now", lambda fd: None)
    monkeypatch.setattr(holders, "lock_now", lambda fd, shared: None)
    with locked(tmp_path, "training"):
        assert holder_of(tmp_path).alive
        with pytest.raises(FolderInUse), locked(tmp_path, "training"):
            pass
        long_ago = time.time() - 2 * holders.SILENT_S
        os.utime(tmp_path / LOCK, (long_ago, long_ago))
        assert not holder_of(tmp_path).alive


def test_the_sign_of_life_comes_by_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "BEAT_S", 0.01)
    with locked(tmp_path, "training"):
        os.utime(tmp_path / LOCK, (0, 0))
        wait_until(lambda: holder_of(tmp_path).beat)


@pytest.mark.parametrize(
    "words", ["", "{", "[" * 4000, "[1]", '{"pid": "x", "host": 5}', "\0" * 99]
)
def test_words_that_nobody_wrote_hold_nothing_and_are_shown_as_text(tmp_path, words, hasty):
    (tmp_path / LOCK).write_text(words)
    found = holder_of(tmp_path)
    assert found is None or (not found.alive and str(found) == "a process that gave no name")
    with locked(tmp_path, "training"):
        assert holder_of(tmp_path).pid == os.getpid()


def test_a_hostile_name_in_a_lock_is_quoted_and_cut(tmp_path):
    other_host(tmp_path, silent_s=0)
    words = json.loads((tmp_path / LOCK).read_text()) | {"host": "\x1b]0;x\x07" + "é" * 500}
    (tmp_path / LOCK).write_text(json.dumps(words))
    said = str(holder_of(tmp_path))
    assert said.replace("…", "").isascii() and said.isprintable() and len(said) < 120


@pytest.mark.skipif(os.name == "nt", reason="needs pipes in folders")
def test_a_pipe_or_link_in_place_of_the_lock_is_no_lock(tmp_path, hasty):
    for name, make in (("pipe", os.mkfifo), ("link", lambda p: os.symlink("/dev/zero", p))):
        (tmp_path / name).mkdir()
        make(tmp_path / name / LOCK)
        assert holder_of(tmp_path / name) is None
        with pytest.raises(LogWriteError), locked(tmp_path / name, "training"):
            pass


def test_a_lock_changes_nothing_of_a_run_for_its_readers(tiny_run):
    run = Run.open(tiny_run())
    before = run.fingerprint()
    assert run.holder() is None
    with locked(run.path, "training"):
        assert run.fingerprint() == before and Run.open(run.path).holder().alive


def test_a_run_can_be_read_and_its_holder_asked_for_where_nothing_can_be_written(tiny_run):
    path = tiny_run()
    (path / LOCK).write_text('{"pid": 7, "host": "far"}')
    code = (
        "import sys; from pathlib import Path; from rockcore.log import Run;"
        "run = Run.open(sys.argv[1]); print(len(run.metrics()), run.holder())"
    )
    os.chmod(path / LOCK, 0o444)
    os.chmod(path, 0o555)
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
        )
    finally:
        os.chmod(path, 0o755)
    assert "process 7 on far" in done.stdout


def test_a_start_that_was_killed_does_not_stand_in_the_way_of_the_next(tmp_path):
    (tmp_path / STDOUT).touch()
    (tmp_path / ".vocab.parquet.99.tmp").touch()
    RunWriter.refuse_existing(tmp_path)
    (tmp_path / "vocab.parquet").touch()
    with pytest.raises(RunExists, match="--resume"):
        RunWriter.refuse_existing(tmp_path)
    (tmp_path / LOCK).touch()
    RunWriter.refuse_existing(tmp_path)


def test_a_new_run_over_one_in_training_is_told_who_trains_that(tiny_run):
    path = tiny_run()
    with locked(path, "training"), pytest.raises(RunExists, match=f"process {os.getpid()} on"):
        RunWriter.refuse_existing(path)


@pytest.fixture
def writer(tiny_run):
    path = tiny_run(started="2026-01-01T00:00:00+00:00")
    with locked(path, "training") as mine:
        yield RunWriter.reopen(path, mine)


def evals(step: int) -> dict[str, list]:
    return {"step": [step], "problem_id": [0], "decoding": ["greedy"], "correct": [True]}


def test_a_folder_that_was_deleted_is_not_made_again(writer):
    shutil.rmtree(writer.path)
    for write in (
        lambda: writer.append("evals", 0, evals(0)),
        lambda: writer.save_meta(status="finished"),
        lambda: writer.drop_from(0),
    ):
        with pytest.raises(RunGone, match=r"deleted, renamed or replaced \(its .lock is missing"):
            write()
    assert not writer.path.exists()


def test_nothing_is_written_into_a_run_that_was_put_where_it_was(writer, tiny_run, tmp_path):
    os.rename(writer.path, tmp_path / "renamed")
    new = tiny_run("new", started="2026-02-02T00:00:00+00:00")
    os.rename(new, writer.path)
    with locked(writer.path, "training"):
        before = Run.open(writer.path).fingerprint()
        with pytest.raises(RunGone, match="is another's"):
            writer.append("evals", 0, evals(0))
        assert Run.open(writer.path).fingerprint() == before


@pytest.mark.parametrize("how", ["gone", "damaged", "another"])
def test_a_run_json_that_is_gone_or_another_runs_stops_the_writer(writer, tiny_run, how):
    file = writer.path / "run.json"
    if how == "another":
        shutil.copy(tiny_run("other", started="2026-02-02T00:00:00+00:00") / "run.json", file)
    elif how == "damaged":
        file.write_text("{")
    else:
        file.unlink()
    with pytest.raises(RunGone, match=r"its run.json"):
        writer.append("evals", 5, evals(5))
    assert not (writer.path / "evals" / "step=000005.parquet").exists()


def test_a_word_corrected_in_run_json_stops_nothing(writer):
    file = writer.path / "run.json"
    text = json.loads(file.read_text()) | {"origin": "corrected"}
    file.write_text(json.dumps(text))
    writer.append("evals", 0, evals(0))
    writer.save_meta(status="finished")
    assert read_run(writer.path).status == "finished"


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_children_that_inherit_a_lock_hold_it_when_its_process_is_gone(tmp_path, monkeypatch):
    code = (
        "import subprocess, sys; from pathlib import Path; from rockcore.log.lock import locked\n"
        "with locked(Path(sys.argv[1]), 'arms') as lock:\n"
        "    subprocess.Popen(['cat'], pass_fds=(lock.fd,))\n"
        "    print('mine', flush=True)\n"
        "    sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert first_line(process) == "mine\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    with monkeypatch.context() as hasty:
        hasty.setattr(lock, "PATIENCE_S", 0.0)
        with pytest.raises(FolderInUse, match="what it started"), locked(tmp_path, "arms"):
            pass
    process.stdin.close()  # cat reads the same pipe, and ends
    process.stdout.read()
    with locked(tmp_path, "arms"):
        pass


def test_a_disk_too_full_for_the_words_of_a_lock_is_told_and_leaves_none(tmp_path, monkeypatch):
    def full(fd: int, doing: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(lock, "write_words", full)
    with pytest.raises(LogWriteError, match="No space left"), locked(tmp_path, "training"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_killed_run_stays_with_it_until_run_json_says_how_it_ended(tiny_run):
    """Also where somebody who took it over has told nothing since."""
    run = Run.open(tiny_run(status="running"))
    assert run.is_in_training() is None  # nothing tells
    for doing in ("training", "screen"):
        with locked(run.path, doing):
            assert run.is_in_training() is (doing == "training")
        assert run.is_in_training() is False
    with locked(run.path, "training") as mine:
        RunWriter.reopen(run.path, mine).save_meta(status="finished")
    assert Run.open(run.path).holder() is None
