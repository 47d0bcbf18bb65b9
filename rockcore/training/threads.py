"""How many CPU threads a small model is fastest with: measured once, then remembered for this
machine.

A remembered choice is what makes two runs with one seed alike to the bit: matrix products add up in
another order when they are shared among threads, and a stopwatch may decide differently the second
time.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import cycle, islice
from pathlib import Path

import torch

from rockcore.config import ResolvedConfig
from rockcore.tasks import Tasks
from rockcore.training.clock import Clock
from rockcore.training.models import SMALL, Model
from rockcore.training.rollouts import sample
from rockcore.training.scoring import Learning, judge_texts


def threads_for(config: ResolvedConfig, tasks: Tasks, student: Model, teacher: Model) -> int:
    """The given number of threads; for small models the faster of one and all, tried on a bit of
    this run's work. Sets it too.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
        return config.threads
    if student.size >= SMALL or student.device.type != "cpu":
        return torch.get_num_threads()
    prompts = list(islice(cycle(tasks.known), config.rollouts))
    length = min(config.max_new_tokens, 64)

    def step_without_update() -> None:
        rollouts = sample(student, teacher, prompts, length, config.temperature, seed=0)
        every = Learning(torch.ones(sum(rollouts.lengths)))
        judge_texts(student, teacher, rollouts, Clock(), every)
        student.net.zero_grad()

    sizes = (student.size, teacher.size, student.vocab_size, config.rollouts, length)
    return choose_threads(step_without_update, " ".join(map(str, sizes)))


def choose_threads(work: Callable[[], object], shape: str) -> int:
    """The faster of one thread and all of them for `work`; sets it and returns it.

    `shape` says what kind of work it is: the choice is kept in the user's cache folder, one for
    each shape, processor and version of torch.
    """
    most = torch.get_num_threads()
    key = f"{shape} | {platform.processor()} {platform.machine()} {most} | {torch.__version__}"
    known = _remembered()
    if key not in known:
        known[key] = min(sorted({1, most}), key=lambda n: _median_seconds(work, n))
        _remember(known)
    torch.set_num_threads(known[key])
    return known[key]


def _median_seconds(work: Callable[[], object], threads: int, repeats: int = 3) -> float:
    torch.set_num_threads(threads)
    work()  # the first call pays for allocation
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return sorted(times)[repeats // 2]


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
