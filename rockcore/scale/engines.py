"""What makes the partials of a scan: this process, some processes here, or a Ray cluster. All of
them call the same function; none of them sends data, only names of files.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import Any

from rockcore import memory
from rockcore.scale.errors import BadScan, NoEngine
from rockcore.scale.scan import Task, do

_TRIES = 3  # of a task whose worker was killed


def here(tasks: Sequence[Task]) -> Iterator[str]:
    """One after the other, in this process."""
    return map(do, tasks)


@dataclass
class Processes:
    """Some processes on this machine, for all stages of a scan. A task whose worker is killed is
    given to another one.
    """

    workers: int
    bytes_each: int | None = None  # what each may take; None: as much as this process
    _pool: ProcessPoolExecutor | None = None

    def __call__(self, tasks: Sequence[Task]) -> Iterator[str]:
        left, tries = list(tasks), 0
        while left:
            done: list[Task] = []
            try:
                for task, path in self._round(left):
                    done.append(task)
                    yield path
                return
            except BrokenProcessPool as e:
                self.close()
                left = [task for task in left if task not in done]
                tries = 0 if done else tries + 1
                if tries == _TRIES:
                    raise _lost(left[0]) from e

    @property
    def pids(self) -> list[int]:
        """Of the processes at work."""
        return [] if self._pool is None else list(self._pool._processes or {})

    def close(self) -> None:
        """End the processes, when each has finished what it is doing."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def stop(self) -> None:
        """End them at once, whatever they are doing; what they leave half-written is nobody's
        partial.
        """
        for worker in list((self._pool and self._pool._processes or {}).values()):
            worker.kill()
        self.close()

    def _round(self, tasks: list[Task]) -> Iterator[tuple[Task, str]]:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            of = (self.bytes_each,)
            self._pool = ProcessPoolExecutor(self.workers, context, initializer=_alone, initargs=of)
        waiting: dict[Future[str], Task] = {}
        queue = iter(tasks)
        while True:
            while len(waiting) < 2 * self.workers and (task := next(queue, None)) is not None:
                waiting[self._pool.submit(do, task)] = task
            if not waiting:
                return
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                yield waiting[future], future.result()
                del waiting[future]


def _alone(bytes_each: int | None) -> None:
    """A worker is one thread, for there is one for each core; it ends with the scan, also with one
    that is killed, after which nobody would tell it to. Ctrl-C is for the scan, which stops it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["OMP_NUM_THREADS"] = "1"
    if bytes_each is not None:
        memory.take(f"{bytes_each}B")
    if (parent := multiprocessing.parent_process()) is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def _lost(task: Task) -> BadScan:
    return BadScan(
        f"The worker of {task.stage} {task.index} was killed {_TRIES} times",
        "Mostly the system does so when memory runs out",
        "Give fewer --workers or a smaller --shard-rows; what is finished is kept",
    )


@dataclass
class Ray:
    """A Ray cluster. Its workers have to see the log and the folder of the partials under the same
    names, and to have this package installed.
    """

    address: str  # "local" for one of its own on this machine
    options: dict[str, Any] = field(default_factory=dict)  # of ray.init

    def __post_init__(self) -> None:
        _ray()  # before anything is read

    def __call__(self, tasks: Sequence[Task]) -> Iterator[str]:
        ray = _ray()
        if not ray.is_initialized():
            self._start(ray)
        # a task is pure and writes its partial whole or not at all, so it may be tried again
        remote = ray.remote(num_cpus=1, max_retries=_TRIES, retry_exceptions=False)(do)
        queue, waiting = iter(tasks), list[Any]()
        most = 4 * max(1, int(ray.cluster_resources().get("CPU", 1)))
        try:
            while True:
                while len(waiting) < most and (task := next(queue, None)) is not None:
                    waiting.append(remote.remote(task))
                if not waiting:
                    return
                ready, waiting = ray.wait(waiting)
                for each in ready:
                    yield _result(ray, each)
        finally:
            for each in waiting:
                ray.cancel(each)

    def close(self) -> None:
        """Leave the cluster; one that was started for the scan ends."""
        _ray().shutdown()

    stop = close  # a task that is cancelled takes its half-written file away itself

    def _start(self, ray: Any) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            ray.init(
                self.address,
                log_to_driver=False,
                configure_logging=False,
                **self.options,
            )
        except (ConnectionError, ValueError, RuntimeError) as e:
            raise NoEngine(
                f"No Ray cluster at {self.address} ({str(e).splitlines()[0][:160]})",
                "The tasks of the scan are to run there",
                "Give the address of a cluster, auto for the one of this machine, or local to "
                "start one",
            ) from e


def _result(ray: Any, each: Any) -> str:
    """Raises what the task raised."""
    try:
        return ray.get(each)
    except ray.exceptions.RayTaskError as e:
        raise e.cause if isinstance(e.cause, Exception) else e from e
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError) as e:
        raise BadScan(
            f"A task of the scan was killed {_TRIES + 1} times",
            "Mostly a node does so when memory runs out",
            "Give a smaller --shard-rows, or larger nodes; what is finished is kept",
        ) from e


def _ray() -> Any:
    try:
        import ray
    except ImportError as e:
        raise NoEngine(
            "Ray is not installed",
            "--ray gives the tasks of a scan to a Ray cluster",
            "pip install rock-token-explorer[ray], or leave --ray out: the scan then runs in "
            "processes of this machine",
        ) from e
    return ray
