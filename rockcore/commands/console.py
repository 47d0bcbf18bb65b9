"""What the commands print on: the two consoles, their progress bars, and that of a training
session. No text from a log, a model or a file's name reaches the terminal as a command to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.segment import Segment

from rockcore.spelling import printable

if TYPE_CHECKING:
    from rockcore.training.session import Progress as StepProgress


class PlainConsole(Console):
    """Writes control characters of what is printed as symbols; only Rich's own reach the terminal.

    All that Rich draws, lines, tables and bars, passes through `render`.
    """

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))


out, err = PlainConsole(), PlainConsole(stderr=True)


def progress(console: Console, *columns: ProgressColumn, **options: Any) -> Progress:
    """The columns, then the time gone and left; where there is no terminal, nothing is drawn."""
    return Progress(
        *columns,
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        **options,
    )


B = TypeVar("B", bound="Bar")


class Bar:
    """A bar that is drawn within a `with` block."""

    def __init__(self, console: Console, *columns: ProgressColumn, **options: Any):
        self.console, self.bar = console, progress(console, *columns, **options)

    def __enter__(self: B) -> B:
        self.bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.bar.stop()


class TrainingBar(Bar):
    """Shows step, KL, accuracy, tokens a second and the time left; where there is no terminal, only
    the lines.
    """

    def __init__(self, console: Console):
        super().__init__(
            console,
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn(
                "KL {task.fields[kl]}  accuracy {task.fields[accuracy]}  {task.fields[speed]} "
                "tokens/s"
            ),
        )
        self.task = self.bar.add_task("", total=None, kl="…", accuracy="…", speed="…")
        self.accuracy = "…"

    def say(self, sentence: str) -> None:
        """Print a line; one that cannot be printed, on a full disk or a terminal that is gone, ends
        no training.
        """
        with suppress(OSError):
            self.console.print(sentence, markup=False, highlight=False)

    def listen(self, step: StepProgress) -> None:
        if step.accuracy is not None:
            self.accuracy = (
                ", ".join(f"{value:.2f} {decoding}" for decoding, value in step.accuracy.items())
                or "not graded"
            )
            kl = "not known" if step.kl is None else f"{step.kl:.4f} nats"
            self.say(f"step {step.step} of {step.steps}: KL {kl}, accuracy {self.accuracy}")
        speed = f"{step.tokens / step.seconds:,.0f}"
        self.bar.update(
            self.task,
            total=step.steps,
            completed=step.step,
            kl="–" if step.kl is None else f"{step.kl:.4f}",
            accuracy=self.accuracy,
            speed=speed,
        )
