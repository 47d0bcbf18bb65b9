"""Ends a small training in every way, at random moments, and lets it go on: is the log whole each
time, and in the end the very one of a training that nothing disturbed?

    python tests/campaigns/kills.py --kills 100 --seed 0

The measured times aside, logs are compared to the bit. Exits with 1 if anything is not as it should
be. One process loads torch and is forked for each training, so a kill costs about a second.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

from rockcore import cli
from rockcore.log import Run
from rockcore.log.files import table_files
from rockcore.schema import TABLES

TIMES = {"sample_s", "teacher_s", "student_s", "projection_s", "update_s", "log_s"}
FLAGS = (
    "--steps=6 --rollouts=3 --probes=2 --final-probes=2 --held-out=2 --probe-every=2 --threads=1 "
    "--max-new-tokens=24 --gradients=full --exact-positions=1 --gradient-texts=3"
).split()
NEVER_S = 300
MOST_STRIKES = 4  # a training suffers before it may end


class Process:
    """A training in a process of its own, and what it prints: little enough to wait in a pipe."""

    def __init__(self, arguments: Sequence[str]):
        self.code: int | None = None
        self.begun = time.monotonic()
        self._output, writing = os.pipe()
        self._said = b""
        self.pid = os.fork()
        if self.pid == 0:
            _become(arguments, writing)
        os.close(writing)

    def poll(self) -> int | None:
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code

    def wait(self) -> int:
        deadline = time.monotonic() + NEVER_S
        while self.poll() is None:
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
                raise Wrong(f"it has not ended {NEVER_S} s after it should have", "")
            time.sleep(0.005)
        return self.code  # pyright: ignore[reportReturnType]

    def send(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def said(self) -> str:
        """All that it has printed; it has to have ended."""
        while self._output >= 0:
            more = os.read(self._output, 1 << 16)
            self._said += more
            if not more:
                os.close(self._output)
                self._output = -1
        return self._said.decode(errors="replace")


def _become(arguments: Sequence[str], output: int) -> None:
    """What a forked process does: one command, as from a shell. It never returns."""
    code = 70
    try:
        os.dup2(output, 1)
        os.dup2(output, 2)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for s in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(s, signal.SIG_DFL)
        cli.main(list(arguments))
        code = 0
    except SystemExit as e:
        code = e.code if isinstance(e.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


class Wrong(Exception):
    """Something is not as it should be."""


class Strike(NamedTuple):
    """A way to end a training: what is done to it, and how it may end then."""

    name: str
    do: Callable[[Process, Path, random.Random], Path]  # returns where the run is afterwards
    codes: tuple[int, ...]
    says_so: bool = True  # whether run.json has to say that it ended


def once(number: int) -> Callable[[Process, Path, random.Random], Path]:
    def do(process: Process, out: Path, rng: random.Random) -> Path:
        process.send(number)
        return out

    return do


def twice(process: Process, out: Path, rng: random.Random) -> Path:
    for _ in range(3):
        process.send(rng.choice((signal.SIGTERM, signal.SIGINT, signal.SIGHUP)))
        time.sleep(rng.random() * 0.05)
    return out


def delete(process: Process, out: Path, rng: random.Random) -> Path:
    shutil.rmtree(out, ignore_errors=True)  # it may write while it is deleted
    shutil.rmtree(out, ignore_errors=True)
    return out


def rename(process: Process, out: Path, rng: random.Random) -> Path:
    away = out.with_name(f"{out.name}x")
    if out.exists():
        os.rename(out, away)
    return away


def fill_disk(process: Process, out: Path, rng: random.Random) -> Path:
    """The limit on the size of a file stands in for it: the kernel refuses the write too."""
    size = rng.choice((0, 200, 1_500, 4_000, 20_000, 60_000))
    if process.poll() is None:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, size))
    return out


def refused(said: str) -> bool:
    """Whether a second training was: also one that came when the first had just finished."""
    return "FolderInUse" in said or "nothing left to do" in " ".join(said.split())


def rival(process: Process, out: Path, rng: random.Random) -> Path:
    """Another process that would go on with the run, and is refused; then the kill of the first."""
    if (out / "run.json").exists() and process.poll() is None:
        second = Process(["train", f"--out={out}", "--resume"])
        code = second.wait()
        if process.poll() is None and (code != 1 or not refused(second.said())):
            raise Wrong(f"a second training of one run ended with {code}", second.said())
    process.send(signal.SIGKILL)
    return out


STRIKES = (
    Strike("SIGKILL", once(signal.SIGKILL), (0, -9), says_so=False),
    Strike("SIGTERM", once(signal.SIGTERM), (0, 130, -15)),
    Strike("SIGINT", once(signal.SIGINT), (0, 130)),
    Strike("SIGHUP", once(signal.SIGHUP), (0, 130, -1)),
    Strike("signals in a row", twice, (0, 130, -15, -1)),
    Strike("folder deleted", delete, (0, 1), says_so=False),
    Strike("folder renamed", rename, (0, 1), says_so=False),
    Strike("full disk", fill_disk, (0, 1)),
    Strike("a rival, SIGKILL", rival, (0, -9), says_so=False),
)


def logged(path: Path) -> dict[str, list]:
    """Everything in the tables of a run but the clock."""
    files = [file for name in TABLES for file in table_files(Run.open(path).path, name)]
    tables = {str(file.relative_to(path)): pq.read_table(file) for file in files}
    return {
        name: t.drop_columns([c for c in t.column_names if c in TIMES]).to_pylist()
        for name, t in tables.items()
    }


def check(out: Path, strike: Strike, process: Process, before: bytes) -> str:
    """What is left of a run after a strike; returns how it stands in a word. `before`: its run.json
    when it was begun. Raises Wrong.
    """
    code, said = process.wait(), process.said()
    if code not in strike.codes or "Traceback" in said:
        raise Wrong(f"after {strike.name} it ended with {code}", said)
    if not (out / "run.json").exists():
        if strike.do is delete and out.exists():
            raise Wrong("a deleted folder is there again", str(list(out.rglob("*"))))
        return "not begun"
    run = Run.open(out)
    logged(out)
    steps = run.steps("metrics")
    if steps != list(range(len(steps))):
        raise Wrong(f"steps are missing: {steps}", said)
    if run.is_in_training() is not False:
        raise Wrong(f"it is said to be in training, and is not ({run.holder()})", said)
    if process.code and (out / "run.json").read_bytes() == before:
        return "as it was"  # it was loading
    if strike.says_so and run.meta.status == "running" and strike.do is not fill_disk:
        raise Wrong("it is said to be running", said)
    if strike.says_so and run.meta.status != "running" and (left := list(out.rglob(".*"))):
        raise Wrong(f"{left} are left", said)
    return run.meta.status


def go_on(out: Path) -> Process:
    """Begin a training, or go on with it."""
    flags = ["--resume"] if (out / "run.json").exists() else FLAGS
    return Process(["train", f"--out={out}", *flags])


def trial(folder: Path, strikes: Sequence[Strike], rng: random.Random, length_s: float) -> Counter:
    """One training that is struck several times and then let go to its end; how it stood after each
    strike.
    """
    out, seen = folder / "run", Counter()
    for strike in strikes:
        file = out / "run.json"
        before = file.read_bytes() if file.exists() else b""
        process = go_on(out)
        wait_for_moment(process, out, rng, length_s)
        early = process.poll() is not None
        was = out
        out = strike.do(process, out, rng)
        how = "ended before" if early else check(out, strike, process, before)
        if strike.do is rename and was.exists():
            raise Wrong("something is where a renamed folder was", str(list(was.rglob("*"))))
        seen[strike.name, how] += 1
        if out.exists() and (out / "run.json").exists() and Run.open(out).meta.status == "finished":
            break
    process = go_on(out)
    if process.wait() and "There is nothing left to do" not in process.said():
        raise Wrong("it does not go on", process.said())
    return seen


def wait_for_moment(process: Process, out: Path, rng: random.Random, length_s: float) -> None:
    """Wait for a file that the training writes, drawn from all it will, and then a little more; or
    for its end.
    """
    steps = [out / "metrics" / f"step={step:06d}.parquet" for step in range(7)]
    awaited = [out / ".lock", out / "run.json", *(f for f in steps if not f.exists())]
    file = rng.choice([*awaited, out / "probe" / "final" / "rollouts.parquet"])
    while not file.exists() and process.poll() is None:
        time.sleep(0.001)
    moment = time.monotonic() + rng.random() * length_s / len(steps)
    while time.monotonic() < moment and process.poll() is None:
        time.sleep(0.001)


def compare(out: Path, want: dict[str, list]) -> None:
    """Raises Wrong unless a run holds what it should, to the bit, and nothing else."""
    found = logged(out)
    wrong = sorted(name for name in want.keys() | found.keys() if want.get(name) != found.get(name))
    if wrong:
        raise Wrong(f"{len(wrong)} files differ from those of an undisturbed training", str(wrong))
    if left := list(out.rglob(".*")):
        raise Wrong("half-written files are left", str(left))


def campaign(kills: int, seed: int, place: Path) -> int:
    """So many strikes; prints a table and returns how many trainings went wrong."""
    rng = random.Random(seed)
    begun = time.monotonic()
    first = Process(["train", f"--out={place / 'whole'}", *FLAGS])
    if first.wait():
        raise Wrong("the undisturbed training failed", first.said())
    length_s, want = time.monotonic() - first.begun, logged(place / "whole")
    seen, same, wrong, n = Counter(), 0, 0, 0
    planned = [STRIKES[i % len(STRIKES)] for i in range(kills)]
    rng.shuffle(planned)
    while planned:
        strikes, planned = planned[:MOST_STRIKES], planned[MOST_STRIKES:]
        folder = place / f"run-{n}"
        folder.mkdir()
        try:
            told = trial(folder, strikes, rng, length_s)
            compare(next(p.parent for p in folder.glob("*/run.json")), want)
        except Wrong as e:
            wrong += 1
            print(f"{folder} ({', '.join(s.name for s in strikes)}): {e.args[0]}\n{e.args[1]}")
        else:
            seen, same = seen + told, same + 1
            planned += strikes[told.total() :]  # it had finished before they came
            shutil.rmtree(folder)
        n += 1
    print(f"seed {seed}: {seen.total()} strikes in {n} trainings of about {length_s:.1f} s")
    for name in sorted({name for name, _ in seen}):
        ways = {how: k for (of, how), k in sorted(seen.items()) if of == name}
        print(
            f"  {name:18} {sum(ways.values()):4}  {', '.join(f'{k} {h}' for h, k in ways.items())}"
        )
    print(f"{same} of {n} went on to the log of an undisturbed training, to the bit")
    print(f"{time.monotonic() - begun:.0f} s")
    return wrong


def load_once() -> None:
    """Load here what each training needs, without a thread that a fork would not have."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    import torch

    import rockcore.training.session  # noqa: F401
    from rockcore.log import sample_runs
    from rockcore.training import loading

    torch.set_num_threads(1)
    loading.load(str(sample_runs() / "models" / "teacher"), "cpu", "float32")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    load_once()
    place = Path(tempfile.mkdtemp(prefix="kills-"))
    wrong = campaign(options.kills, options.seed, place)
    if wrong:
        print(f"{wrong} went wrong; they are in {place}")
        raise SystemExit(1)
    shutil.rmtree(place)


if __name__ == "__main__":
    main()
