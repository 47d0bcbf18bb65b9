"""`rockcore score`: texts that are there already, judged by two models."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro
from rich.progress import BarColumn, TextColumn

from rockcore.commands.console import Bar, out
from rockcore.commands.options import BadOptions
from rockcore.config import template_arguments
from rockcore.grading import check
from rockcore.lazy import loaded_for_good

if TYPE_CHECKING:
    from rockcore.training.score import ScoreProgress


@dataclass(frozen=True)
class Score:
    """Score the texts of a run or a file with two models: kl over the whole vocabulary, both log
    probabilities and entropies, gradient norms. Writes a new run; the same command goes on with it.
    """

    texts: tyro.conf.Positional[Path]
    """Folder of a run, of whatever trainer, or a .jsonl or .parquet file with `prompt` and
    `response`, and optionally `teacher_prompt` and `answer`.
    """
    student: str
    """The student: a folder or hub name, or a folder of checkpoints (checkpoint-100, …), each of
    which scores the same texts.
    """
    teacher: str
    """The teacher: a folder or hub name."""
    out: Path | None = None
    """Folder of the new run; default: runs/NAME-scored."""
    texts_by: Literal["first", "final", "fresh"] | None = None
    """Who wrote the texts: the first or the final student (one set, scored by every student), or at
    each step its own (fresh). Default: final; fresh for a run of several steps and one student.
    """
    initial: str | None = None
    """The student before its training, as step 0 in front of the checkpoints."""
    device: str | None = None
    """cpu or cuda; default: cuda where there is one."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """What the models compute in; divergences are float32 in any case."""
    grader: Literal["boxed", "math-verify"] = "boxed"
    """How a response is compared with the answer, where one is known."""
    template_args: str | None = None
    """Arguments of the chat templates as a JSON object."""
    alternatives: int = 48
    """Of so many texts the likeliest tokens are kept, too."""


def run(command: Score) -> None:
    if command.alternatives < 0:
        raise BadOptions(
            f"--alternatives {command.alternatives}", "It is a number of texts", "Give 0 or more"
        )
    check(command.grader)
    try:
        with loaded_for_good():
            from rockcore.schema import Texts
            from rockcore.training.score import ScoreSettings, score
    except ModuleNotFoundError as e:
        raise BadOptions(
            f"{e.name} is not installed",
            "Scoring needs torch and transformers",
            'python -m pip install -e ".[train]"',
        ) from e
    settings = ScoreSettings(
        command.texts,
        command.student,
        command.teacher,
        command.out or Path("runs") / f"{_name_of(command.texts)}-scored",
        None if command.texts_by is None else Texts(command.texts_by),
        command.initial,
        command.device,
        command.dtype,
        command.alternatives,
        command.grader,
        template_arguments(command.template_args),
    )
    with _Bar() as bar:
        meta = score(settings, bar.listen, bar.say)
    if bar.speaks:
        bar.say(f"{meta.status}: {settings.out}" + (f" ({meta.reason})" if meta.reason else ""))
        bar.say(f"look at it: rockcore app {settings.out}")


def _name_of(texts: Path) -> str:
    path = texts.resolve()
    return path.name if path.is_dir() else path.stem


class _Bar(Bar):
    """Shows how far a scoring is, and its speed."""

    def __init__(self) -> None:
        super().__init__(
            out,
            TextColumn("step {task.fields[step]}"),
            BarColumn(),
            TextColumn("{task.percentage:.0f} %  {task.fields[speed]} tokens/s"),
        )
        self.task = self.bar.add_task("", total=None, step="…", speed="…")
        self.speaks = False  # of several processes one does

    def say(self, sentence: str) -> None:
        self.speaks = True
        out.print(sentence, markup=False, highlight=False, soft_wrap=True)

    def listen(self, now: ScoreProgress) -> None:
        speed = f"{now.tokens / max(now.seconds, 1e-9):,.0f}"
        self.bar.update(self.task, total=now.steps, completed=now.done, step=now.step, speed=speed)
