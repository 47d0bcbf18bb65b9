"""Trains the runs of a comparison as child processes `rockcore train …`, and shows how far it is.

A child prints into output.txt of its run's folder. A run that is finished is kept, one that is half
done goes on with --resume, so the same call is right after any interruption. One process at a time
may work on a comparison: the children inherit its lock, which falls with the last of them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn

from rockcore.commands.console import Bar, out
from rockcore.log import request_stop
from rockcore.log.arms import is_finished
from rockcore.log.files import table_files
from rockcore.log.folders import META, STDOUT, STOP
from rockcore.log.lock import Lock
from rockcore.schema import RockError
from rockcore.training.ending import as_interrupt

_LOOK_EVERY_S = 0.25
_PATIENCE_S = 10  # for a child that is to quit at once, to say so in its run
_ROOT = Path(__file__).resolve().parents[2]


class ArmFailed(RockError, RuntimeError):
    """A run of a comparison ended before its last step."""


@dataclass(frozen=True)
class Job:
    """One run: how it is called, where it lies, and the flags of `rockcore train` that make it."""

    name: str
    folder: Path
    flags: tuple[str, ...] = ()


def run_jobs(lock: Lock, jobs: Sequence[Job], steps: int, processes: int) -> None:
    """Train those of the jobs that are not finished, at most `processes` at once; `lock` is that of
    the comparison.

    Raises ArmFailed with the end of the run's own output, and whatever Run.open raises for a
    damaged run; KeyboardInterrupt after all children have come to a clean stop.
    """
    todo = [job for job in jobs if not is_finished(job.folder)]
    done, started = len(jobs) - len(todo), time.monotonic()
    running: dict[subprocess.Popen[bytes], Job] = {}
    with as_interrupt(), _Bar(len(jobs) * (steps + 1)) as bar:
        try:
            while todo or running:
                while todo and len(running) < processes:
                    job = todo.pop(0)
                    running[_start(job, lock.fd)] = job
                for child in [c for c in running if c.poll() is not None]:
                    job = running.pop(child)
                    _check(job, child.returncode)
                    done += 1
                    bar.say(f"{job.name}: finished, {done} of {len(jobs)}")
                logged = {job.name: _logged(job.folder) for job in running.values()}
                bar.show(done * (steps + 1) + sum(logged.values()), logged)
                time.sleep(_LOOK_EVERY_S if running else 0)
        finally:
            if running:
                _stop(running)
    if len(jobs) > 1:
        out.print(f"{done} runs are finished ({time.monotonic() - started:.0f} s)")


def _start(job: Job, lock: int) -> subprocess.Popen[bytes]:
    resume = (job.folder / META).exists()
    if not resume and job.folder.exists():
        shutil.rmtree(job.folder)  # killed before its first word: there is nothing to go on with
    job.folder.mkdir(parents=True, exist_ok=True)
    again = ["--resume"] if resume else []
    command = [sys.executable, "-m", "rockcore", "train", "--out", str(job.folder)]
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
    with (job.folder / STDOUT).open("ab") as output:
        return subprocess.Popen(
            [*command, *job.flags, *again],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | environment,
            pass_fds=(lock,) if os.name != "nt" else (),
        )


def _logged(folder: Path) -> int:
    """How many steps the run has behind it."""
    return len(table_files(folder, "metrics"))


def _check(job: Job, code: int) -> None:
    """Raises ArmFailed unless the run has ended as it should."""
    if code == 0 and is_finished(job.folder):
        return
    text = (job.folder / STDOUT).read_text(encoding="utf-8", errors="replace")
    end = " ".join(" ".join(text.splitlines()[-6:]).split())[-600:]
    raise ArmFailed(
        f"{job.folder} ended with exit code {code} and is not finished ({end})",
        "A comparison with a hole is none",
        "Mend what it says, then give the same command again: finished runs are kept",
    )


def _stop(running: dict[subprocess.Popen[bytes], Job]) -> None:
    """Let every child end after its step. Ctrl-C in a terminal has reached them too; a signal to
    this process alone has not.
    """
    try:
        with suppress(OSError):  # a full disk
            out.print("stopping after this step; once more to quit at once")
        while any(child.poll() is None for child in running):
            for child, job in running.items():
                if child.poll() is None:  # asked again: a run that begins lifts an old request
                    with suppress(OSError):
                        request_stop(job.folder)
            time.sleep(_LOOK_EVERY_S)
    except KeyboardInterrupt:
        _quit(list(running))
        raise
    finally:
        for child, job in running.items():
            child.wait()
            (job.folder / STOP).unlink(missing_ok=True)


def _quit(children: Sequence[subprocess.Popen[bytes]]) -> None:
    """Let every child end at once, and say so in its run; one that does not is killed."""
    deadline = time.monotonic() + _PATIENCE_S
    try:
        while any(c.poll() is None for c in children) and time.monotonic() < deadline:
            for child in children:
                child.terminate()  # the first asks, the second interrupts
            time.sleep(_LOOK_EVERY_S)
    finally:
        for child in children:
            child.kill()


class _Bar(Bar):
    """How many steps of all runs are done, which run is at which, and the time left; where there is
    no terminal, only the lines.
    """

    def __init__(self, total: int):
        self.total = total
        super().__init__(
            out,
            TextColumn("steps"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.description}", markup=False),
            # a step takes less than a second, the milestones and the ends of runs many: only over
            # several runs does the mean tell how long it will take
            speed_estimate_period=1800,
        )
        self.task: int | None = None

    def say(self, sentence: str) -> None:
        out.print(sentence, markup=False, highlight=False)

    def show(self, completed: int, running: dict[str, int]) -> None:
        about = ", ".join(f"{name} step {max(n - 1, 0)}" for name, n in running.items())
        if self.task is None:  # what is there already is no speed
            self.task = self.bar.add_task(about, total=self.total, completed=completed)
        self.bar.update(self.bar.task_ids[0], description=about, completed=completed)
