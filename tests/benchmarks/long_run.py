"""What it costs to look at a run of ten thousand logged steps: opening it, and after each new step.

    python tests/benchmarks/long_run.py [--steps 10000] [--folder DIR] [--json]

The run is drawn: every step has its metrics, two short texts with their tokens, and the sums by
type, so that it is as many files as there can be. `first` is the first opening by a process that
finds nothing kept on disk, `second` that by the next process; `look` is what a page asks after one
step more, without the text that it shows; all in CPU seconds of the process that looks. `--folder`:
where such a run is kept between calls.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

sys.path.insert(0, str(Path(__file__).parent.parent))
import long_log  # noqa: E402

from rockcore.analysis import course, signals  # noqa: E402
from rockcore.log import Run, RunWriter  # noqa: E402
from rockcore.schema import RunMeta  # noqa: E402

TEXTS = [24, 24]  # tokens of the fresh texts of a step


class Growing:
    """A run in training that takes one step after another, faster than one does."""

    def __init__(self, path: Path):
        self.words = long_log.Words(np.random.default_rng(0))
        texts = self.words.text
        vocab = {"token_id": range(len(texts)), "token": texts, "special": [False] * len(texts)}
        meta = RunMeta(path.name, "drawn", "drawn", "drawn", len(texts), status="running")
        self.path, self.step = path, 0
        if path.exists():
            self.writer = RunWriter(path, Run.open(path).meta)
            self.step = Run.open(path).steps("metrics")[-1] + 1
        else:
            self.writer = RunWriter.create(path, meta, vocab)

    def grow(self) -> None:
        """One step more."""
        fresh = long_log.Texts.drawn(self.words, TEXTS)
        logged = long_log.values(self.words, fresh, self.step, top=False)
        self.writer.append("rollouts", self.step, fresh.rows(self.words, self.step))
        self.writer.append("tokens", self.step, logged)
        metrics = long_log.metrics(self.step, logged["kl"], len(TEXTS))
        self.writer.append("metrics", self.step, metrics)
        self.step += 1


QUESTIONS: dict[str, Callable[[Run], Any]] = {
    "course": course.course,
    "scale of kl": lambda run: (signals.scale(run, "kl"), signals.histogram(run, "kl")),
    "sums by type": lambda run: run.type_sums(),
}


def look(path: Path) -> dict[str, float]:
    """Seconds of CPU by question, asked of the run as a page does."""
    began = time.process_time()
    run = Run.open(path)
    run.fingerprint()
    found = {"open": time.process_time() - began}
    for name, question in QUESTIONS.items():
        began = time.process_time()
        question(run)
        found[name] = time.process_time() - began
    return found


def looked_at_by_another(path: Path, kept: str) -> dict[str, float]:
    """The same, by a process of its own that keeps what it reads in `kept`."""
    code = (
        "import json, long_run, sys; print(json.dumps(long_run.look(long_run.Path(sys.argv[1]))))"
    )
    found = [str(Path(__file__).parent), *sys.path]
    environment = {"PYTHONPATH": os.pathsep.join(found), "ROCKCORE_CACHE": kept}
    said = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(said.stdout)


def measure(path: Path, steps: int, looks: int) -> dict[str, Any]:
    growing = Growing(path)
    while growing.step < steps:
        growing.grow()
    with tempfile.TemporaryDirectory() as kept:
        first, second = (looked_at_by_another(path, kept) for _ in range(2))
    look(path)
    later = []
    for _ in range(looks):
        growing.grow()
        later.append(look(path))
    return {
        "steps": growing.step,
        "first_s": first,
        "second_s": second,
        "look_s": {name: float(np.median([each[name] for each in later])) for name in first},
    }


def main(
    steps: int = 10_000,
    looks: int = 9,
    folder: Path | None = None,
    as_json: Annotated[bool, tyro.conf.arg(name="json")] = False,
) -> None:
    """Measure looks at a long run in training."""
    with tempfile.TemporaryDirectory() as place:
        results = measure((folder or Path(place)) / "long", steps, looks)
    for when in ("first_s", "second_s", "look_s"):
        told = ", ".join(f"{name} {1000 * s:.0f} ms" for name, s in results[when].items())
        print(f"{when[:-2]} of {results['steps']:,} steps: {told}")
    if as_json:
        print(json.dumps(results))


if __name__ == "__main__":
    sys.exit(tyro.cli(main))
