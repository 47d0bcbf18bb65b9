"""What a knockout screen costs, beside writing every answer anew for every ban, and how often
screens in which nothing is true have a verdict.

    python tests/benchmarks/knockout.py [--run RUN] [--count 50] [--whole-arms 5]
    [--null-screens 300] [--processes 2] [--json]

Without --run the default scenario is trained first (a minute or two), and that is not counted. The
screen is that of `rockcore knockout`: tokens, spellings, windows, random types, shams, 200 problems
× 4 rollouts. The other side writes all answers of `--whole-arms` of its candidates anew under the
ban, with noise of their own, in one process, and is scaled up to all arms and divided by the
processes: what a screen without coupling takes at the least. Both standard errors are of the same
candidates.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from json import dumps
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parent.parent))
from null_screens import drawn  # noqa: E402

from rockcore.analysis.knockout_candidates import Wanted  # noqa: E402
from rockcore.analysis.knockout_tests import (  # noqa: E402
    benjamini_hochberg,
    sign_flips,
    sign_test,
)
from rockcore.analysis.knockouts import examine  # noqa: E402
from rockcore.config import SessionConfig  # noqa: E402
from rockcore.log.screens import Screen  # noqa: E402
from rockcore.training import screen  # noqa: E402
from rockcore.training.knockout import Row  # noqa: E402
from rockcore.training.screen import ScreenSettings  # noqa: E402
from rockcore.training.session import train  # noqa: E402


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found


def coupled(run: Path, count: int, processes: int | None) -> dict[str, Any]:
    """The screen as it is: seconds, arms, tokens written, bytes on disk."""
    settings = ScreenSettings(Wanted(count=count), processes=processes)
    seconds, done = timed(lambda: screen.run(run, settings))
    own = [c for c in done.candidates if not c.same_as]
    shams = sum(c.kind == "token" for c in own)
    whole = int(done.baseline.texts.ends[-1])
    written = sum(int((o.length - o.branch).sum()) for o in (done.outcomes(c.key) for c in own))
    again = written / (whole * len(own))
    size = sum(f.stat().st_size for f in done.folder.rglob("*") if f.is_file())
    return {
        "seconds": seconds,
        "candidates": len(done.candidates),
        "arms": len(own) + shams,
        "written_again": again,
        "mb": size / 1e6,
    }


def whole(run: Path, candidates: int) -> dict[str, Any]:
    """Some candidates with all answers written anew, with noise of their own: seconds an arm in one
    process, and the standard errors of Δ on either way.
    """
    torch.set_num_threads(1)
    ready, there = screen.prepare(run, ScreenSettings()), Screen.open(run)
    found = examine(there).candidates
    some = found[(found.kind == "token") & ~found.needed & (found.changed > 0.02)]
    some = some.iloc[np.linspace(0, len(some) - 1, candidates).astype(int)]
    shape, took, apart = there.baseline.correct.shape, [], []
    for token_id in some.token_id:
        rows = [Row(i, b, [], 0, 10**6 + token_id) for i, b in np.ndindex(shape)]
        seconds, texts = timed(lambda rows=rows, i=token_id: ready.writer.write(rows, ((i,),)))
        difference = ready.writer.graded(rows, texts).reshape(shape) - 1.0 * there.baseline.correct
        took.append(seconds)
        apart.append(difference.mean(1).std(ddof=1) / np.sqrt(shape[0]))
    return {
        "arm_s": float(np.mean(took)),
        "stderr_coupled": float(some.stderr.median()),
        "stderr_own_noise": float(np.median(apart)),
    }


def null(screens: int) -> dict[str, float]:
    """Shares of screens of 50 candidates, 200 × 4, in which nothing is true: with a p below 0.05
    for some candidate, and of sign tests.
    """
    rng, every = np.random.default_rng(0), np.ones(50, bool)
    seen = []
    for _ in range(screens):
        difference, sham, _ = drawn(rng, np.zeros(50))
        flips = sign_flips(difference, every, 2000, 0)
        delta, centred = difference.mean(0), (difference - sham).mean(0)
        least = (flips.p, benjamini_hochberg(flips.p), flips.p_max)
        tests = (sign_test(delta), sign_test(centred))
        seen.append([*(p.min() <= 0.05 for p in least), *(t.p < 0.05 for t in tests)])
    names = ("uncorrected", "BH", "max-T", "signs, naive", "signs, centred")
    return dict(zip(names, np.mean(seen, 0).tolist(), strict=True))


def main(
    run: Path | None = None,
    count: int = 50,
    whole_arms: int = 5,
    null_screens: int = 300,
    processes: int | None = None,
    json: bool = False,
) -> None:
    """Measure, and print."""
    with tempfile.TemporaryDirectory() as folder:
        if run is None:
            run = train(SessionConfig(Path(folder) / "run")) and Path(folder) / "run"
        if Screen.exists(run):
            raise SystemExit(f"{run} has a screen already: move {run / 'knockout'} away")
        ours, theirs = coupled(run, count, processes), whole(run, whole_arms)
        used = screen_processes(run, processes)
    result = {"coupled": ours, "whole": theirs, "processes": used, "null": null(null_screens)}
    if json:
        print(dumps(result))
        return
    out, uncoupled = Console(), theirs["arm_s"] * ours["arms"] / used
    out.print(
        f"{ours['candidates']} candidates, {ours['arms']} arms with shams, {used} processes: "
        f"{ours['seconds']:.0f} s (start of the processes and detection included), "
        f"{ours['written_again']:.0%} of the tokens written again, {ours['mb']:.2f} MB.\n"
        f"Every answer anew: {theirs['arm_s']:.2f} s an arm, {uncoupled:.0f} s in all, "
        f"{uncoupled / ours['seconds']:.1f} times as long.\n"
        f"Standard error of Δ: {100 * theirs['stderr_coupled']:.2f} points coupled, "
        f"{100 * theirs['stderr_own_noise']:.2f} with noise of its own."
    )
    for name, share in result["null"].items():
        out.print(f"{null_screens} screens in which nothing is true, {name}: {share:.1%}")


def screen_processes(run: Path, processes: int | None) -> int:
    from rockcore.training.screen_workers import Workers

    ready = screen.prepare(run, ScreenSettings())
    return Workers(ready.source, ready.writer, processes).processes


if __name__ == "__main__":
    tyro.cli(main)
