"""How many CPU threads a pair is fastest with: measured once, then remembered for this machine.
Plain small models take all: each thread has work of its own, and their number changes no number of
the log (see `lanes`).

A remembered choice is what makes two runs with one seed alike to the bit: matrix products add up in
another order when they are shared among threads, and a stopwatch may decide differently the second
time.
"""

from __future__ import annotations

import ctypes
import json
import math
import os
import platform
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import cycle, islice
from pathlib import Path

import torch

from rockcore.config import ResolvedConfig
from rockcore.schema import Prompt
from rockcore.tasks import Tasks
from rockcore.training.clock import Clock
from rockcore.training.models import SMALL, Model, encode_all
from rockcore.training.rollouts import Rollouts, sample
from rockcore.training.scoring import Learning, judge_texts

CORES = torch.get_num_threads()  # as torch found them, before anybody set another number
_MOST_LANES = 8  # a step's rollouts make no more than a few groups
# what a large pair is tried on: beginnings of so many prompts, and so many new tokens of each
_FEW_TEXTS, _FEW_IDS, _FEW_TOKENS = 2, 32, 4
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # names of glibc's malloc.h


def threads_for(config: ResolvedConfig, tasks: Tasks, student: Model, teacher: Model) -> int:
    """The given number of threads, else the faster of one and all, tried on a bit of this run's
    work: of a large pair, which one thread may serve better too where the others are busy, on a few
    tokens. Sets it too: as the student's lanes, where both models are plain and small.
    """
    if (lanes := lanes_for(config, student, teacher)) is not None:
        student.lanes = lanes
        torch.set_num_threads(1)
        keep_freed_memory()
        return lanes
    if config.threads:
        torch.set_num_threads(config.threads)
        return config.threads
    if student.device.type != "cpu":
        return torch.get_num_threads()
    small = student.size < SMALL
    prompts = list(islice(cycle(tasks.known), config.rollouts if small else _FEW_TEXTS))
    length = min(config.max_new_tokens, 64 if small else _FEW_TOKENS)

    def step_without_update() -> None:
        if small:
            rollouts = sample(student, teacher, prompts, length, config.temperature, seed=0)
        else:
            rollouts = _short_texts(student, teacher, prompts, length)
        every = Learning(torch.ones(sum(rollouts.lengths)))
        judge_texts(student, teacher, rollouts, Clock(), every)
        student.net.zero_grad()

    sizes = (student.size, teacher.size, student.vocab_size, config.rollouts, length)
    repeats = 3 if small else 1
    return choose_threads(step_without_update, " ".join(map(str, sizes)), repeats)


def lanes_for(config: ResolvedConfig, student: Model, teacher: Model) -> int | None:
    """On how many lanes a plain small pair works; None for any other."""
    if student.fast and teacher.fast and max(student.size, teacher.size) < SMALL:
        return min(config.threads or CORES, _MOST_LANES)
    return None


def keep_freed_memory() -> None:
    """Let this process keep what it frees, in arrays of up to 32 MB. By default the allocator of
    Linux gives it back after each group of texts, and every lane waits while the kernel clears it
    anew: 14,000 pages a step of the built-in pair, a tenth of the CPU time of judging. Elsewhere
    nothing is changed.
    """
    if platform.libc_ver()[0] == "glibc":
        change = ctypes.CDLL(None).mallopt
        change(_MMAP_THRESHOLD, 32 << 20)  # the most that it takes
        change(_TRIM_THRESHOLD, -1)  # never


def _short_texts(
    student: Model, teacher: Model, tasks: Sequence[Prompt], new_tokens: int
) -> Rollouts:
    """Answers of a few tokens to the beginnings of some prompts."""
    short, privileged = (
        [ids[:_FEW_IDS] for ids in encode_all(model, tasks, is_teacher)]
        for model, is_teacher in ((student, False), (teacher, True))
    )
    responses = student.sample(short, new_tokens, 1.0, seed=0)
    return Rollouts(tasks, short, privileged, responses, [""] * len(tasks))


def choose_threads(work: Callable[[], object], shape: str, repeats: int = 3) -> int:
    """The faster of one thread and all of them for `work`; sets it and returns it.

    `shape` says what kind of work it is: the choice is kept in the user's cache folder, one for
    each shape, processor and version of torch.
    """
    most = torch.get_num_threads()
    key = f"{shape} | {platform.processor()} {platform.machine()} {most} | {torch.__version__}"
    known = _remembered()
    if key not in known:
        best, least = most, math.inf
        for n in sorted({1, most}):
            seconds = _median_seconds(work, n, repeats, least)
            if seconds < least:
                best, least = n, seconds
        known[key] = best
        _remember(known)
    torch.set_num_threads(known[key])
    return known[key]


def _median_seconds(work: Callable[[], object], threads: int, repeats: int, least: float) -> float:
    """Of some calls after a first, which pays for allocation; if that alone took thrice the `least`
    so far, it is not tried again: threads that wait for busy cores may take fifty times as long.
    """
    torch.set_num_threads(threads)
    times: list[float] = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
        if times[0] > 3 * least:
            return times[0]
    return sorted(times[1:])[repeats // 2]


def _file() -> Path:
    return (
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        / "rock-token-explorer"
        / "threads.json"
    )


def _remembered() -> dict[str, int]:
    with suppress(OSError, ValueError):
        found = json.loads(_file().read_text(encoding="utf-8"))
        if isinstance(found, dict) and all(isinstance(n, int) and n > 0 for n in found.values()):
            return found
    return {}


def _remember(choices: dict[str, int]) -> None:
    with suppress(OSError):  # without a cache folder the next run measures again
        _file().parent.mkdir(parents=True, exist_ok=True)
        tmp = _file().with_suffix(f".{os.getpid()}.tmp")
        tmp.write_text(json.dumps(choices, indent=1), encoding="utf-8")
        os.replace(tmp, _file())
