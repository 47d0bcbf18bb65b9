"""Damage runs in many ways and ask everything of them: the long campaign behind tests/log/
test_fuzz.py.

    python tests/campaigns/fuzz.py --count 10000 --jobs 2
    python tests/campaigns/fuzz.py --seed 1234 --count 1        one trial again
    python tests/campaigns/fuzz.py --only "a table is cut"      one kind of mutation

Trials are numbered from --seed on; a number is all that a trial depends on. Prints what came of
each kind of mutation, and for each failure what was done, what was wrong and the line that does it
again. Exit code 1 if there was one.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]

from fuzzing.watch import Worker  # noqa: E402


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="number of the first trial")
    parser.add_argument("--count", type=int, default=1000, help="how many trials")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument(
        "--pages-every", type=int, default=20, help="pages of each n-th trial; 0: none"
    )
    parser.add_argument("--only", help="the name of a kind of mutation")
    parser.add_argument("--minutes", type=float, help="start no trial after so long")
    return parser.parse_args()


def again(number: int, with_pages: bool, only: str | None) -> str:
    """The command line that does a trial again."""
    pages = " --pages-every 1" if with_pages else " --pages-every 0"
    kind = f' --only "{only}"' if only else ""
    return f"python tests/campaigns/fuzz.py --seed {number} --count 1{pages}{kind}"


def told(result: dict[str, Any], line: str) -> str:
    done = f"{' + '.join(result.get('mutations', ()))} [{'; '.join(result.get('said', ()))}]"
    wrong = "".join(f"\n    {failure}" for failure in result["failures"])
    return f"trial {result['number']}, {result['base']}: {done}{wrong}\n    {line}\n"


def table(counts: dict[str, Counter[str]]) -> str:
    """A row a kind of mutation, a column an outcome."""
    names = sorted({outcome for row in counts.values() for outcome in row})
    widths = [max(len(name), 5) for name in names]
    first = max(map(len, counts), default=0)
    rows = [" " * first + "  " + "  ".join(n.rjust(w) for n, w in zip(names, widths, strict=True))]
    total: Counter[str] = Counter()
    for kind, row in [*sorted(counts.items()), ("all", total)]:
        cells = (str(row[n] or "·").rjust(w) for n, w in zip(names, widths, strict=True))
        rows.append(kind.ljust(first) + "  " + "  ".join(cells))
        total.update(row)
    return "\n".join(rows)


def main() -> int:
    asked = arguments()
    counts: dict[str, Counter[str]] = {}
    failed, end = 0, time.monotonic() + 60 * (asked.minutes or 1e9)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        workers: SimpleQueue[Worker] = SimpleQueue()
        started = [Worker(Path(folder)) for _ in range(asked.jobs)]
        for worker in started:
            workers.put(worker)

        def one(number: int) -> tuple[dict[str, Any], str] | None:
            if time.monotonic() > end:
                return None
            pages = asked.pages_every > 0 and number % asked.pages_every == 0
            worker = workers.get()
            try:
                result = worker.ask(number, with_pages=pages, only=asked.only)
            finally:
                workers.put(worker)
            return result, again(number, pages, asked.only)

        with ThreadPoolExecutor(asked.jobs) as pool:
            for done in pool.map(one, range(asked.seed, asked.seed + asked.count)):
                if done is None:
                    continue
                result, line = done
                kind = (result.get("mutations") or ["?"])[0]
                counts.setdefault(kind, Counter())[result["outcome"]] += 1
                if result["failures"]:
                    failed += 1
                    print(told(result, line), flush=True)
        for worker in started:
            worker.close()
    print(table(counts))
    print(f"{sum(map(Counter.total, counts.values()))} trials, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
