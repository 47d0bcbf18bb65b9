"""Who writes the answers of a screen: for a small model on a CPU a process a core, each with one
thread; for any other this process alone, in larger batches.

A small model gains nothing from threads, and from processes all there is to gain. What is written
does not depend on how many there are: the noise belongs to the rollout, not to the batch.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from rockcore.schema import RockError
from rockcore.training import loading
from rockcore.training.knockout import BATCH, Job, Row, Writer, knock_out
from rockcore.training.models import SMALL, Ids, Model

MOST_PROCESSES = 16
Answered = tuple[Sequence[Row], list[Ids], np.ndarray]


class WorkersLost(RockError, RuntimeError):
    """A process that writes answers came to an end before its work did."""


@dataclass(frozen=True)
class Source:
    """Where the student is, as a process of its own can load it."""

    folder: str
    device: str
    dtype: str
    vocab_size: int
    template_args: Mapping[str, Any] = field(default_factory=dict)

    def load(self) -> Model:
        """The student, in the run's precision; ids beyond the run's vocabulary are never predicted.

        Weights are of that precision too, as nothing is trained: cast anew at every token, those of
        a model of half a billion parameters wrote half as fast on a GPU.
        """
        model = loading.load(self.folder, self.device, self.dtype, template_args=self.template_args)
        if self.vocab_size < model.vocab_size:
            model.shared_ids = self.vocab_size
        return model


class Workers:
    """Answers rows and knocks out candidates, in any order, as they are done."""

    def __init__(self, source: Source, writer: Writer, processes: int | None = None):
        self.source, self.writer = source, writer
        small = writer.model.size < SMALL and writer.model.device.type == "cpu"
        cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
        alone = min(cores, MOST_PROCESSES) if small else 1
        self.processes = processes or alone
        self.pool: Executor | None = None
        self.others: set[Any] = set()  # processes of whoever called

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        if self.pool is not None:
            if kind is not None and issubclass(kind, KeyboardInterrupt):
                for child in set(multiprocessing.active_children()) - self.others:
                    child.terminate()  # what it answers now may take minutes, and would be lost
            self.pool.shutdown(wait=True, cancel_futures=True)

    def answered(self, rows: Sequence[Row]) -> Iterator[Answered]:
        """The rows in parts, each with its texts and whether they are right."""
        parts = [rows[n : n + BATCH] for n in range(0, len(rows), BATCH)]
        for part, (written, correct) in self._each(_answer, parts):
            yield part, written, correct

    def knocked_out(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, dict[str, Any]]]:
        """Each job with the columns of its outcomes."""
        yield from self._each(knock_out, jobs)

    def _each(self, work: Any, items: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
        if self.processes == 1 or len(items) < 2:
            for item in items:
                yield item, work(self.writer, item)
            return
        pool = self.pool or self._start()
        try:
            futures: dict[Future, Any] = {
                pool.submit(_in_process, work, item): item for item in items
            }
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool as e:
            raise WorkersLost(
                "A process that wrote answers was ended from outside",
                "Each holds a student of its own: there may be too little memory for "
                f"{self.processes} of them",
                "Run the command again with --processes 1: what is finished is kept",
            ) from e

    def _start(self) -> Executor:
        w = self.writer
        about = (w.prompts, w.answers, w.seed, w.temperature, w.max_new_tokens)
        self.others = set(multiprocessing.active_children())
        self.pool = ProcessPoolExecutor(
            self.processes,
            multiprocessing.get_context("spawn"),
            _begin,
            (self.source, about),
        )
        return self.pool


def _answer(writer: Writer, rows: Sequence[Row]) -> tuple[list[Ids], np.ndarray]:
    written = writer.write(rows)
    return written, writer.graded(rows, written)


_mine: list[Writer] = []  # of a process of its own


def _begin(source: Source, about: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides, and ends this process
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    _mine.append(Writer(source.load(), *about))


def _end_with_parent() -> None:
    """A parent that is killed cannot end its processes, which would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _in_process(work: Any, item: Any) -> Any:
    return work(_mine[0], item)
