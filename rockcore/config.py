"""What a training session can be told: one dataclass, which is also the command line of `rockcore
train`.

It needs no torch, so the dashboard can show the same fields.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from itertools import count
from pathlib import Path
from typing import Any, Literal

from rockcore.schema import RockError

ScenarioName = Literal["habit", "hidden", "skill"]


class BadConfig(RockError, ValueError):
    """A setting that cannot work."""


def unless_given(value: Any) -> Any:
    """A field that is None until it is given, so that a flag which repeats its default can be told
    from one left away; `value` is what it then stands for.
    """
    return field(default=None, metadata={"default": value})


@dataclass(frozen=True)
class SessionConfig:
    """Train a student by on-policy distillation and log every token.

    Without --student, --teacher and --prompts the built-in small pair is trained on the built-in
    world; settings left out then take the values tuned for the scenario.
    """

    out: Path | None = None
    """Folder of the run; must be new, or hold the run to go on with (--resume). Default: the next
    free ./runs/SCENARIO-N.
    """
    scenario: ScenarioName | None = unless_given("habit")
    """Built-in task: habit (other earlier habits), hidden (privileged prompt of the teacher), skill
    (lacks arithmetic); without it habit.
    """
    student: str | None = None
    """Folder or hub name of the student."""
    teacher: str | None = None
    """Folder or hub name of the teacher; same tokenizer as the student."""
    prompts: Path | None = None
    """JSONL or Parquet with `prompt`, and optionally `teacher_prompt` and `answer`."""
    steps: int | None = None
    """Updates of the student."""
    rollouts: int | None = None
    """Fresh rollouts a step."""
    lr: float | None = None
    """Peak learning rate (AdamW, ten steps of warm-up, linear decay that stops at a tenth)."""
    max_new_tokens: int | None = None
    """Longest response."""
    temperature: float | None = unless_given(1.0)
    """Sampling temperature of the rollouts; 1, as without it, makes the objective an unbiased
    estimate of the reverse KL.
    """
    seed: int | None = unless_given(0)
    """Fixes prompts, sampling and the log: bit for bit on the same CPU. Without it 0."""
    log_every: int | None = unless_given(1)
    """Log the fresh rollouts of every n-th step (and of the first and last), without it of all;
    metrics are logged at every step.
    """
    probe_every: int | None = None
    """Rescore the fixed texts, grade held-out problems and save a checkpoint every n steps
    (default: 10 times a run).
    """
    probes: int | None = unless_given(48)
    """Fixed texts of the starting student, rescored over training; 0 for none, without it 48. Of
    the final texts only as many carry alternatives.
    """
    final_probes: int | None = None
    """Fixed texts of the final student, where Rock Tokens are found; 0 for none (default: --probes
    if that is 0 or above 128, else 128).
    """
    held_out: int | None = unless_given(256)
    """Held-out problems graded at each of these steps; 0 for none, without it 256."""
    gradients: Literal["off", "sums", "full"] | None = unless_given("sums")
    """sums, as without it: sums of the fixed texts' gradients by token type (of the starting
    student's texts at every second scoring); full: also exact norms of a sample, for a stated
    price.
    """
    exact_positions: int | None = unless_given(200)
    """How many positions get an exact norm with --gradients full: one backward pass each, after the
    last step; without it 200.
    """
    resume: bool = False
    """Go on with the run in --out from its last checkpoint; only --steps, --device and --threads
    may change, another flag has to repeat what the run has.
    """
    device: str | None = None
    """cpu or cuda; default: cuda where there is one."""
    dtype: Literal["float32", "bfloat16"] | None = unless_given("float32")
    """What the models compute in, without it float32; the student's own weights and the divergences
    are always float32.
    """
    threads: int | None = None
    """CPU threads; default: the faster of one and all, measured once for this machine and kind of
    run.
    """

    def resolved(self) -> ResolvedConfig:
        """The same configuration with its gaps filled. Raises BadConfig if it cannot work."""
        own = [
            name for name in ("student", "teacher", "prompts") if getattr(self, name) is not None
        ]
        if own and self.prompts is None:
            raise BadConfig(
                f"--{' and --'.join(own)} without --prompts",
                "The built-in world fits the built-in pair only: another model needs prompts of "
                "its own",
                'Add --prompts FILE.jsonl with one {"prompt": …} a line',
            )
        if self.prompts is not None and (self.student is None or self.teacher is None):
            raise BadConfig(
                "--prompts without --student and --teacher",
                "The built-in pair only speaks the built-in world",
                "Name both models",
            )
        filled: dict[str, Any] = {
            f.name: f.metadata.get("default") if value is None else value
            for f in fields(self)
            for value in [getattr(self, f.name)]
        }
        tuned = OWN_PAIR if own else TUNED[filled["scenario"]]
        filled |= {name: value for name, value in tuned.items() if filled[name] is None}
        if filled["probe_every"] is None:
            filled["probe_every"] = max(1, filled["steps"] // 10)
        if filled["final_probes"] is None:
            probes = filled["probes"]
            filled["final_probes"] = max(FINAL_PROBES, probes) if probes else 0
        filled["out"] = self.out or free_folder(filled["scenario"] if self.is_builtin else "own")
        resolved = ResolvedConfig(**filled)
        resolved.check()
        return resolved

    def refuse_unused(self) -> None:
        """Raises BadConfig for a setting that was given and that nothing would look at."""
        if self.scenario is not None and not self.is_builtin:
            raise BadConfig(
                f"--scenario {self.scenario} with --prompts",
                "A scenario is a task of the built-in world, and the prompts come from a file",
                "Leave one of them away",
            )
        if self.exact_positions is not None and self.gradients != "full":
            raise BadConfig(
                f"--exact-positions {self.exact_positions} with --gradients "
                f"{self.gradients or 'sums'}",
                "Exact norms are only taken with --gradients full",
                "Add --gradients full, or leave --exact-positions away",
            )

    @property
    def is_builtin(self) -> bool:
        return self.prompts is None


@dataclass(frozen=True)
class ResolvedConfig(SessionConfig):
    """A configuration in which nothing but device and threads is left open."""

    out: Path = Path()
    scenario: ScenarioName = "habit"
    temperature: float = 0.0
    seed: int = 0
    log_every: int = 0
    probes: int = 0
    held_out: int = 0
    gradients: Literal["off", "sums", "full"] = "sums"
    exact_positions: int = 0
    dtype: Literal["float32", "bfloat16"] = "float32"
    steps: int = 0
    rollouts: int = 0
    lr: float = 0.0
    max_new_tokens: int = 0
    probe_every: int = 0
    final_probes: int = 0

    def check(self) -> None:
        """Raises BadConfig, which names the first setting out of its range."""
        least: dict[str, int] = dict.fromkeys(
            ("steps", "rollouts", "max_new_tokens", "log_every", "probe_every", "exact_positions"),
            1,
        )
        least |= dict.fromkeys(("probes", "final_probes", "held_out", "seed"), 0)
        if self.threads is not None:
            least["threads"] = 1
        for name, low in least.items():
            if getattr(self, name) < low:
                raise BadConfig(
                    f"{name} = {getattr(self, name)}",
                    f"It counts something and is at least {low}",
                    f"Give --{name.replace('_', '-')} {low} or more",
                )
        for name in ("lr", "temperature"):
            if not 0 < getattr(self, name) < float("inf"):
                raise BadConfig(
                    f"{name} = {getattr(self, name)}",
                    "It has to be a positive number",
                    f"Give --{name} a value above 0",
                )


def free_folder(name: str) -> Path:
    """The first of ./runs/NAME-1, ./runs/NAME-2, … that does not exist."""
    return next(path for i in count(1) if not (path := Path("runs") / f"{name}-{i}").exists())


FINAL_PROBES = 128
TUNED: dict[str, dict[str, float | int]] = {
    "habit": {"steps": 150, "rollouts": 32, "lr": 1e-3, "max_new_tokens": 150},
    "hidden": {"steps": 150, "rollouts": 32, "lr": 2e-3, "max_new_tokens": 150},
    "skill": {"steps": 200, "rollouts": 32, "lr": 2e-3, "max_new_tokens": 150},
}
OWN_PAIR: dict[str, float | int] = {"steps": 100, "rollouts": 8, "lr": 1e-5, "max_new_tokens": 256}
