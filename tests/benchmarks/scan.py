"""How fast a scan is: rows a second and worker in each stage, the most memory of a worker, and the
time to put the sums of many shards together, beside a detection of the whole log in one process.

    python tests/benchmarks/scan.py --log /tmp/planted/log --workers 2 --shards 100
"""

from __future__ import annotations

import argparse
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from rockcore.log import Run
from rockcore.rocks import RockRule
from rockcore.rocks.examined import Examined
from rockcore.scale.engines import Processes
from rockcore.scale.merged import totals
from rockcore.scale.plan import plan
from rockcore.scale.scan import Task, scan


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    asked.add_argument("--log", required=True)
    asked.add_argument("--workers", type=int, default=2)
    asked.add_argument("--shards", type=int, default=100)
    asked.add_argument("--whole", action="store_true", help="also in one process, for the set")
    given = asked.parse_args()
    rule, out = RockRule(), Path(tempfile.mkdtemp(prefix="scan-"))
    planned = plan(given.log, rule)
    planned = plan(given.log, rule, max(1, planned.rows // given.shards))
    spent: dict[str, float] = {}

    def timed(tasks: Sequence[Task]) -> Iterator[str]:
        start = time.perf_counter()
        yield from pool(tasks)
        spent[tasks[0].stage] = time.perf_counter() - start

    try:
        with closing(Processes(given.workers)) as pool:
            found = scan(planned, out, timed)
            ids = found.corpus.types[found.order[: found.cutoff.k]].tolist()
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"{planned.rows:,} positions, {len(planned.shards)} shards, {given.workers} workers")
        for stage, seconds in spent.items():
            rate = planned.rows / seconds / given.workers
            print(f"{stage:8} {seconds:8.1f} s {rate:12,.0f} rows a second and worker")
        start = time.perf_counter()
        totals(planned, out)
        print(f"merge    {time.perf_counter() - start:8.1f} s for {len(planned.shards)} shards")
        print(f"a worker held {peak:,.0f} MB at most")
        size = sum(file.stat().st_size for file in out.glob("*/*.parquet"))
        stored = (each / planned.rows for each in (size, planned.bytes))
        print("partials {:.1f} bytes a row, log {:.1f}".format(*stored))
    finally:
        shutil.rmtree(out)
    if given.whole:
        start = time.perf_counter()
        whole = Examined(Run.open(given.log), rule).report
        print(f"whole    {time.perf_counter() - start:8.1f} s in one process")
        print("the same set" if whole.ids == ids else "ANOTHER SET")
        sys.exit(whole.ids != ids)


if __name__ == "__main__":
    main()
