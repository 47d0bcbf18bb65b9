"""How fast and how right a detection is on logs with planted truth, and how often "learned" is said
where nothing was.

    python tests/benchmarks/detect.py [--positions 1000000 10000000] [--presets default paper]
    [--repeats 3] [--null-logs 200] [--log FOLDER] [--json]

Every detection runs in a fresh process, once stage by stage and once as `detect` does it, on a log
that was written as Parquet, piece by piece; times are medians over `--repeats`, memory is the
process's peak, of each stage where the system tells it (Linux). `--log`: a folder that holds `log`,
and `truth.npz` where its truth is known, in place of logs that are written; it stays.
ROCKCORE_MEMORY sets the limit.

Precision and recall are those of the set of types at the rule's own K and at K = the number of
planted rocks, and of the kept occurrences. On null logs, where all checkpoints are draws of one
distribution, at most 2.5 % of the types may be said to have fallen: one side of a 95 % interval. A
log of 100 million positions takes 2.7 GB in `--folder`.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent))
import planted  # noqa: E402

from rockcore import stats  # noqa: E402
from rockcore.log import Run  # noqa: E402
from rockcore.log.files import table_file  # noqa: E402
from rockcore.log.parts import rows_in  # noqa: E402
from rockcore.rocks.change import LEAST_ROLLOUTS, classify
from rockcore.rocks.detection import Detection  # noqa: E402
from rockcore.rocks.examined import Examined  # noqa: E402
from rockcore.rocks.gather import gather, what_to_read  # noqa: E402
from rockcore.rocks.group_change import group_change
from rockcore.rocks.history import History
from rockcore.rocks.rule import preset  # noqa: E402

STAGES = ("read", "contexts", "stability", "classes", "precision", "rest")
_NOTED = Path("/proc/self/clear_refs")  # where the peak of a process is set back


def alone(work: Callable[..., Any], *arguments: Any) -> Any:
    """The result of a function in a fresh process, whose memory is its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def generate(folder: Path, positions: int) -> float:
    """Write a log and its truth; seconds."""
    start = time.perf_counter()
    planted.write(folder / "log", planted.Plan.sized(positions)).save(folder / "truth.npz")
    return time.perf_counter() - start


class _Pulse:
    """`still`: the longest time in which nobody could have stopped what calls it, seconds."""

    def __init__(self):
        self.still, self._last = 0.0, time.perf_counter()

    def __call__(self) -> None:
        now = time.perf_counter()
        self.still, self._last = max(self.still, now - self._last), now


def at_once(folder: Path, name: str) -> dict[str, float]:
    """One detection as `detect` does it, some stages side by side."""
    pulse, start, cpu = _Pulse(), time.perf_counter(), time.process_time()
    _ = Examined(Run.open(folder / "log"), preset(name), pulse=pulse).report
    pulse()
    return {
        "total_s": time.perf_counter() - start,
        "total_cpu_s": time.process_time() - cpu,
        "peak_gb": _peak_gb(),
        "still_s": pulse.still,
    }


def measure(folder: Path, name: str) -> dict[str, Any]:
    """One detection stage by stage, one after the other. `rest` are groups, control and tables;
    together the stages are all that `detect` does.
    """
    seconds: dict[str, float] = {}
    cpu_seconds: dict[str, float] = {}
    peaks: dict[str, float] = {}
    pulse = _Pulse()

    def timed(stage: str, work: Callable[[], Any]) -> Any:
        if _NOTED.exists():
            _NOTED.write_text("5")
        start, cpu = time.perf_counter(), time.process_time()
        result = work()
        pulse()
        seconds[stage] = time.perf_counter() - start
        cpu_seconds[stage] = time.process_time() - cpu
        peaks[stage] = _peak_gb()
        return result

    run, rule = Run.open(folder / "log"), preset(name)
    examined = Examined(run, rule, pulse=pulse)
    timed("read", lambda: examined.material)
    found = examined.detection
    timed("contexts", lambda: found.consistency)
    timed("stability", lambda: found.cutoff)
    classes = timed("classes", lambda: examined.classes)
    timed("precision", lambda: found.precision)
    timed("rest", lambda: examined.report)
    measured = {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peaks_gb": peaks,
        "persistent": len(found.candidates.at) if found.candidates else 0,
        "k": found.cutoff.k,
        "chosen_by": found.cutoff.chosen_by,
    }
    if not (truth := folder / "truth.npz").exists():
        return measured
    planted_rocks = planted.Truth.load(truth)
    return {
        **measured,
        **correctness(found, planted_rocks),
        **labels(found, classes, planted_rocks),
    }


def correctness(found: Detection, truth: planted.Truth) -> dict[str, Any]:
    """Precision and recall of types and occurrences against the planted ones; of occurrences also
    the recall of the persistent ones.
    """
    ids, rocks = found.corpus.types[found.order], truth.rocks
    kept = found.rock_occurrences
    assert kept is not None

    def against(k: int) -> tuple[float, float]:
        hits = int(np.isin(ids[:k], rocks).sum())
        return hits / max(k, 1), hits / len(rocks)

    hits, high = int((kept & truth.stubborn).sum()), np.asarray(found.high)
    return {
        "planted": len(rocks),
        "own_k": against(found.cutoff.k),
        "planted_k": against(len(rocks)),
        "occurrences": (
            hits / max(int(kept.sum()), 1),
            hits / int(truth.stubborn.sum()),
            hits / int((high & truth.stubborn).sum()),
        ),
    }


def labels(found: Detection, classes: Any, truth: planted.Truth) -> dict[str, Any]:
    """For each kind of type, how many have which class."""
    kind = truth.kind[found.corpus.types]
    return {
        "classes": {
            name: classes["class"][kind == k].value_counts().to_dict()
            for k, name in enumerate(planted.KINDS)
        }
    }


def threshold_queries(folder: Path, questions: int = 100) -> dict[str, float]:
    """The live path of the Threshold lab: seconds to prepare a log, milliseconds a question, with
    one threshold and with two.
    """
    from rockcore.rocks.thresholds import ThresholdTable

    corpus = gather(Run.open(folder / "log"), preset("default")).last
    start = time.perf_counter()
    table = ThresholdTable(corpus)
    prepared, rng = time.perf_counter() - start, np.random.default_rng(0)
    sample = np.sort(rng.choice(corpus.losses[0], min(len(corpus), 100_000)))
    took: dict[str, list[float]] = {"one": [], "two": []}
    for _ in range(questions):
        one, two = sample[(rng.uniform(0.8, 0.95, 2) * len(sample)).astype(int)]
        for name, pair in (("one", (one, one)), ("two", (one, two))):
            start = time.perf_counter()
            table.read(*map(float, pair))
            took[name].append(1e3 * (time.perf_counter() - start))
    worst = {f"{name}_worst_ms": float(np.max(ms)) for name, ms in took.items()}
    medians = {f"{name}_ms": float(np.median(ms)) for name, ms in took.items()}
    return {"prepare_s": prepared, **medians, **worst, "peak_gb": _peak_gb()}


def _peak_gb() -> float:
    if _NOTED.exists():
        status = Path("/proc/self/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line) / 1e6
    return (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        * (1 if sys.platform == "darwin" else 1024)
        / 1e9
    )


def null_log(seed: int, **plan: Any) -> dict[str, Any]:
    """Of one log in which nothing is learned: (said to have fallen, chosen) for each way to choose
    and to test, and more.

    `naive` chooses and tests on all rollouts; `crossed` chooses on one half and tests on the other,
    as `classify` does. `hard` types have at least the mean loss of all tokens at the first
    checkpoint; the `top` tenth the highest mean there.
    """
    corpus, _ = planted.corpus(planted.Plan.null(seed, **plan))
    history, split = (
        History.of((corpus,), True),
        seed + 1_000_000,
    )  # the split must not follow the draws of the log
    classes, everyone = classify(history, split), np.ones((1, corpus.rollouts))
    bar = float(corpus.losses[0].mean(dtype=np.float64))
    one, other = (half[0] for half in history.halves(split))
    hard, *hard_by_half = (
        history.sums[0].means(rollouts)[0] >= bar for rollouts in (everyone, one, other)
    )
    naive_high, crossed_high = (
        _fall_beyond(history, everyone, split),
        classes.change_high.to_numpy(),
    )
    wrong = classes["class"].isin(["learned", "resolved"]).to_numpy()
    chosen = classes.chosen.to_numpy()
    return {
        "naive hard": _fallen(naive_high, hard),
        "crossed hard": _fallen(crossed_high, chosen),
        "naive top": _fallen(naive_high, _top_tenth(history, everyone, naive_high)),
        "crossed top": _fallen(crossed_high, _top_tenth(history, one, crossed_high)),
        "label": (int(wrong.sum()), len(wrong)),
        "label of chosen": (int((wrong & chosen).sum()), int(chosen.sum())),
        "group": group_change(history, hard, (hard_by_half[0], hard_by_half[1]), split),
    }


def _fall_beyond(history: History, rollouts: np.ndarray, seed: int) -> np.ndarray:
    """(V,) upper end of the 95 % interval of a type's change, on all rollouts: what classify does
    on a half.
    """
    weights = history.resampled([rollouts] * 3, 1000, seed)
    held = np.asarray(rollouts @ (history.sums[0].n > 0).astype(np.float32)).ravel()
    change = history.sums[2].means(weights[2]) - history.sums[0].means(weights[0])
    return np.where(held >= LEAST_ROLLOUTS, stats.percentile_interval(change, held)[1], np.nan)


def _fallen(high: np.ndarray, chosen: np.ndarray) -> tuple[int, int]:
    known = chosen & np.isfinite(high)
    return int((high[known] < 0).sum()), int(known.sum())


def _top_tenth(history: History, rollouts: np.ndarray, high: np.ndarray) -> np.ndarray:
    mean = np.where(np.isfinite(high), np.nan_to_num(history.sums[0].means(rollouts)[0]), 0.0)
    return mean >= np.quantile(mean[np.isfinite(high)], 0.9)


def null_rates(logs: int, **plan: Any) -> dict[str, Any]:
    """Over many null logs: each rate with its Wilson interval, types of one log taken as
    independent, and the change of the hard group.
    """
    each = [null_log(seed, **plan) for seed in range(logs)]
    rates: dict[str, Any] = {}
    for name in (n for n in each[0] if n != "group"):
        successes, n = (sum(log[name][i] for log in each) for i in (0, 1))
        rates[name] = {"said": successes, "of": n, **stats.proportion(successes, n)._asdict()}
    group = {
        key: np.array([log["group"][key] for log in each])
        for key in ("naive", "crossed", "low", "high")
    }
    summary = {
        key: (float(group[key].mean()), float(group[key].std(ddof=1) / logs**0.5))
        for key in ("naive", "crossed")
    }
    fell = stats.proportion(int((group["high"] < 0).sum()), logs)._asdict()
    rose = stats.proportion(int((group["low"] > 0).sum()), logs)._asdict()
    return {**rates, "group": {**summary, "fell": fell, "rose": rose}}


def size_results(
    positions: int, presets: Sequence[str], repeats: int, root: Path
) -> dict[str, Any]:
    """All that is measured at one size; the log is deleted afterwards."""
    folder = Path(tempfile.mkdtemp(dir=root))
    try:
        generated = alone(generate, folder, positions)
        return {"generate_s": generated, **log_results(folder, presets, repeats)}
    finally:
        shutil.rmtree(folder)


def log_results(folder: Path, presets: Sequence[str], repeats: int) -> dict[str, Any]:
    """All that is measured of one log."""
    result: dict[str, Any] = {"presets": {}}
    result["disk_gb"] = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 1e9
    for name in presets:
        rounds = [alone(measure, folder, name) for _ in range(repeats)]
        medians = {
            of: {stage: float(np.median([r[of][stage] for r in rounds])) for stage in STAGES}
            for of in ("seconds", "cpu_seconds", "peaks_gb")
        }
        whole = [alone(at_once, folder, name) for _ in range(repeats)]
        of_whole = {what: float(np.median([r[what] for r in whole])) for what in whole[0]}
        result["presets"][name] = {**rounds[0], **medians, **of_whole}
    result["thresholds"] = alone(threshold_queries, folder)
    return result


def speed_table(sizes: dict[int, dict[str, Any]]) -> Table:
    table = Table(
        "positions",
        "preset",
        "persistent",
        *STAGES,
        "all at once, s (CPU)",
        "peak, GB",
        "no stop, s",
        title="Time and memory: seconds (of the CPU; peak GB of the stage where it is told)",
    )
    for positions, result in sizes.items():
        for name, r in result["presets"].items():
            times = [
                f"{r['seconds'][s]:.2f} ({r['cpu_seconds'][s]:.2f}; {r['peaks_gb'][s]:.2f})"
                for s in STAGES
            ]
            table.add_row(
                f"{positions:,}",
                name,
                f"{r['persistent']:,}",
                *times,
                f"{r['total_s']:.1f} ({r['total_cpu_s']:.1f})",
                f"{r['peak_gb']:.2f}",
                f"{r['still_s']:.1f}",
            )
    return table


def truth_table(sizes: dict[int, dict[str, Any]]) -> Table:
    title = (
        "Precision and recall against the planted rocks; of occurrences also recall of the "
        "persistent ones"
    )
    table = Table(
        "positions",
        "preset",
        "planted",
        "K of the rule",
        "at that K",
        "at K = planted",
        "occurrences",
        title=title,
    )
    for positions, result in sizes.items():
        for name, r in result["presets"].items():
            shares = [
                "  ".join(f"{share:.3f}" for share in r[key])
                for key in ("own_k", "planted_k", "occurrences")
            ]
            table.add_row(
                f"{positions:,}", name, str(r["planted"]), f"{r['k']} ({r['chosen_by']})", *shares
            )
    return table


def class_table(sizes: dict[int, dict[str, Any]]) -> Table:
    table = Table("positions", "planted kind", "classes given to its types", title="Classes")
    for positions, result in sizes.items():
        for kind, counts in next(iter(result["presets"].values()))["classes"].items():
            table.add_row(
                f"{positions:,}", kind, ", ".join(f"{n} {name}" for name, n in counts.items())
            )
    return table


def threshold_table(sizes: dict[int, dict[str, Any]]) -> Table:
    title = "Threshold questions: median (worst)"
    table = Table(
        "positions",
        "prepare, s",
        "one threshold, ms",
        "two thresholds, ms",
        "peak, GB",
        "log, GB",
        "generated, s",
        title=title,
    )
    for positions, result in sizes.items():
        t = result["thresholds"]
        answers = [f"{t[f'{n}_ms']:.2f} ({t[f'{n}_worst_ms']:.2f})" for n in ("one", "two")]
        generated = f"{result['generate_s']:.0f}" if "generate_s" in result else "–"
        sizes_ = [f"{t['peak_gb']:.2f}", f"{result['disk_gb']:.2f}", generated]
        table.add_row(f"{positions:,}", f"{t['prepare_s']:.2f}", *answers, *sizes_)
    return table


def null_table(null: dict[str, Any], logs: int) -> Table:
    table = Table(
        "on null logs",
        "rate",
        "95 % interval",
        "said, of",
        title=f"Said to have fallen where nothing was learned, {logs} logs",
    )
    for name, r in null.items():
        if name != "group":
            table.add_row(
                name,
                f"{r['value']:.2%}",
                f"{r['low']:.2%} – {r['high']:.2%}",
                f"{r['said']} of {r['of']}",
            )
    group = null["group"]
    for name in ("naive", "crossed"):
        mean, error = group[name]
        table.add_row(
            f"change of the hard group, {name}",
            f"{mean:+.2%}",
            f"{mean - 1.96 * error:+.2%} – {mean + 1.96 * error:+.2%}",
            "",
        )
    for way in ("fell", "rose"):
        r = group[way]
        said = f"{round(r['value'] * logs)} of {logs}"
        table.add_row(
            f"hard group {way}, crossed",
            f"{r['value']:.2%}",
            f"{r['low']:.2%} – {r['high']:.2%}",
            said,
        )
    return table


def _positions_of(folder: Path) -> int:
    run = Run.open(folder / "log")
    reading = what_to_read(run, preset("default"))
    return rows_in(table_file(run.path, reading.source.table, reading.steps[-1]))


def main(
    positions: tuple[int, ...] = (1_000_000, 10_000_000),
    presets: tuple[str, ...] = ("default", "paper"),
    repeats: int = 3,
    null_logs: int = 200,
    folder: Path | None = None,
    log: Path | None = None,
    as_json: Annotated[bool, tyro.conf.arg(name="json")] = False,
) -> None:
    """Measure detections on planted logs, and false changes on null logs."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    console, results = Console(width=170), {}
    if log is not None:
        sizes = {_positions_of(log): log_results(log, presets, repeats)}
    else:
        with tempfile.TemporaryDirectory(dir=folder) as root:
            sizes = {n: size_results(n, presets, repeats, Path(root)) for n in positions}
    if sizes:
        results["sizes"] = sizes
        known = log is None or (log / "truth.npz").exists()
        of_truth = (truth_table, class_table) if known else ()
        for table in (speed_table, *of_truth, threshold_table):
            console.print(table(sizes))
    if null_logs:
        results["null"] = null_rates(null_logs)
        console.print(null_table(results["null"], null_logs))
    if as_json:
        print(json.dumps(results))


if __name__ == "__main__":
    sys.exit(tyro.cli(main))
