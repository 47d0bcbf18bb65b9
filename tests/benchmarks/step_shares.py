"""Which operations a training step of the built-in pair consists of, on one thread.

    python tests/benchmarks/step_shares.py [--passes 4]

Of each operation, by the shapes that it is given, the median of its times in all passes counts, as
often as it is called: what another process takes of the core in between is not in it.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable
from itertools import islice

import numpy as np
import torch
import tyro
from torch.profiler import ProfilerActivity, profile

from rockcore import world
from rockcore.log import sample_runs
from rockcore.training import loading
from rockcore.training.clock import Clock
from rockcore.training.rollouts import sample
from rockcore.training.scoring import Learning, judge_texts
from rockcore.training.threads import keep_freed_memory

KINDS = {
    "matrix products": ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm"),
    "attention": ("flash_attention",),
    "norms": ("rms_norm", "aten::pow", "aten::mean", "aten::rsqrt"),
    "exponentials": ("aten::exp", "log_softmax", "aten::_softmax", "silu"),
    "copies": ("aten::copy_", "aten::cat", "aten::index", "aten::fill_", "aten::gather"),
    "products and sums by element": ("aten::mul", "aten::add", "aten::sub", "aten::sum", "clamp"),
}


def shares(work: Callable[[], object], passes: int) -> tuple[float, dict[str, float]]:
    """Milliseconds of a pass in torch's operations, and the share of each kind."""
    work()
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as found:
        for _ in range(passes):
            work()
    times = defaultdict(list)
    for event in found.events() or ():
        times[event.name, str(event.input_shapes)].append(event.self_cpu_time_total)
    kinds: dict[str, float] = defaultdict(float)
    for (name, _), microseconds in times.items():
        kind = next((k for k, words in KINDS.items() if any(w in name for w in words)), "the rest")
        kinds[kind] += float(np.median(microseconds)) * len(microseconds) / passes / 1e3
    total = sum(kinds.values())
    return total, {kind: kinds[kind] / total for kind in sorted(kinds, key=lambda k: -kinds[k])}


def main(passes: int = 4) -> None:
    """Print the shares of writing and of judging with learning."""
    torch.set_num_threads(1)
    keep_freed_memory()
    folder = sample_runs() / "models"
    paths = str(folder / "student-mixed"), str(folder / "teacher")
    pair = loading.load_pair(*paths, "cpu", "float32")
    tasks, longest = list(islice(world.prompts("habit", 0), 32)), 150
    rollouts = sample(*pair, tasks, longest, 1.0, seed=0)
    weights = torch.full((N := sum(rollouts.lengths),), 1 / N)
    for name, work in {
        "writing": lambda: sample(*pair, tasks, longest, 1.0, seed=0),
        "judging": lambda: judge_texts(*pair, rollouts, Clock(), Learning(weights)),
    }.items():
        total, kinds = shares(work, passes)
        told = ", ".join(f"{kind} {share:.0%}" for kind, share in kinds.items())
        print(f"{name}, {N} tokens, {total:.0f} ms in operations: {told}", flush=True)


if __name__ == "__main__":
    sys.exit(tyro.cli(main))
