"""The untouched runs that mutations befall: small ones that have every table, a copy of a sample
run, and one run of a comparison of arms.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from conftest import STEPS, WORDS, write_tiny_run
from gradient_rows import rows_of
from small_arms import write_small_arms
from small_logs import write_small_log
from small_screens import write_screen

from rockcore.log import Run, RunWriter, sample_runs
from rockcore.log.files import table_file, write_table
from rockcore.schema import TABLES

CATEGORIES = "[[rule]]\ncategory = \"name\"\npattern = '\\s?(So|apples)'\n"
DIGITS = [i for i, word in enumerate(WORDS) if word.isdigit()]


def write_full_run(path: Path, seed: int = 0) -> Path:
    """A tiny run with every table of the log, a screen and categories of its own."""
    write_tiny_run(path, seed=seed)
    rng, writer = np.random.default_rng(seed), RunWriter.reopen(path)
    run = Run.open(path)
    for probe_set in ("first", "final"):
        for step in STEPS:
            _write_gradients(writer, run, probe_set, step, rng)
    ids = range(len(WORDS))
    for step in STEPS:
        moment = {"second_moment": rng.gamma(1.0, 1e-6, len(WORDS))}
        writer.write("optimizer", {"step": [step] * len(ids), "token_id": ids, **moment}, step)
        values: dict[str, Any] = {"step": [step], "token_id": [7], "weight": [0.5]}
        values |= {"change": [-0.01], "low": [-0.05], "high": [0.03], "moved": [-1]}
        writer.write("weights", values, step)
    write_screen(path, {DIGITS[0]: -0.4, DIGITS[1]: 0.0, 7: -0.1}, random={11: 0.0}, problems=12)
    (path / "categories.toml").write_text(CATEGORIES, encoding="utf-8")
    return path


def _write_gradients(
    writer: RunWriter, run: Run, probe_set: str, step: int, rng: np.random.Generator
) -> None:
    """Sums of drawn gradients by type and fold, and the exact norms of some positions."""
    texts = run.probe_ids(probe_set)
    token_id = np.concatenate(texts)
    rollout = np.repeat(np.arange(len(texts)), [len(t) for t in texts])
    g = rng.normal(0.2, 1.0, (len(token_id), len(WORDS))) * 0.1
    frame, sums = rows_of(token_id, rollout, g)
    scale = np.abs(sums).max(1)
    columns = {name: frame[name].to_numpy() for name in frame} | {"scale": scale}
    columns |= {"step": np.full(len(frame), step), "texts": np.full(len(frame), len(texts))}
    columns["direction"] = (sums / scale[:, None]).astype("<f2")
    writer.write(f"gradients/{probe_set}", columns, step)
    norms = np.linalg.norm(g[:20], axis=1)
    exact = {"step": np.full(20, step), "rollout_id": rollout[:20], "position": np.arange(20)}
    exact |= {"token_id": token_id[:20], "grad_norm": norms, "proj_grad_norm": 2 * norms}
    exact["exact_norm"] = 3 * norms
    file = table_file(run.path, f"gradients/{probe_set}/exact")
    write_table(file, TABLES[f"gradients/{probe_set}/exact"].columns, exact)


def copy_sample(path: Path, seed: int = 0) -> Path:
    return Path(shutil.copytree(sample_runs() / ("hidden" if seed else "habit"), path))


def write_one_of_arms(path: Path, seed: int = 0) -> Path:
    """A run of a comparison: arms.json and the rest lie two folders above it."""
    folder = write_small_arms(path, seeds=2 + seed, arms=("baseline", "dynamic"))
    return folder.run(folder.plan.cells[-1])


# the share of trials that a base gets, and how it is written
BASES: dict[str, tuple[int, Callable[[Path, int], Path]]] = {
    "full": (16, write_full_run),
    "small": (2, lambda path, seed: write_small_log(path)),
    "sample": (1, copy_sample),
    "arms": (2, write_one_of_arms),
}
