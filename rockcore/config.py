"""What a training session can be told: one dataclass, which is also the command line of `rockcore
train`.

It needs no torch, so the dashboard can show the same fields.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from itertools import count, pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from rockcore.schema import RockError, strict_json

ScenarioName = Literal["habit", "hidden", "skill"]
ArmName = Literal[
    "baseline",
    "rock-freeze",
    "soft",
    "random-freeze",
    "top-entropy",
    "low-entropy",
    "iw-opd",
    "dynamic",
]
# which of the settings of arms each one looks at; it cannot do without `rocks` where it is named
ARM_SETTINGS: dict[str, tuple[str, ...]] = {
    "baseline": (),
    "rock-freeze": ("rocks", "window"),
    "soft": ("rocks", "window", "lambda_"),
    "random-freeze": ("rocks", "window", "match_kl"),
    "top-entropy": ("share",),
    "low-entropy": ("share",),
    "iw-opd": ("gamma",),
    "dynamic": (),
}
_ONE_OF: dict[str, tuple[str, ...]] = {
    "arm": get_args(ArmName),
    "normaliser": ("tokens", "weights"),
    "stop": ("student", "both"),
    "grader": ("boxed", "math-verify"),
}
_OF_ARMS = ("rocks", "lambda_", "window", "share", "gamma", "match_kl")


class BadConfig(RockError, ValueError):
    """A setting that cannot work."""


def about(
    label: str = "",
    least: int | None = None,
    above: float | None = None,
    unit: str = "",
    in_form: bool = False,
    within: tuple[float, float] | None = None,
    most: float | None = None,
) -> Mapping[str, Any]:
    """What is known of a setting beside its type, as the metadata of its field: the check and the
    form of the dashboard follow from it.

    `label`: in words of a page. `least`: it counts something, and is at least this. `above`: it is
    a finite number greater than this. `in_form`: whether the dashboard asks for it. `within`: it
    lies between these two, which it may be too. `most`: the dashboard takes no more, the command
    line does.
    """
    return {
        "label": label,
        "least": least,
        "above": above,
        "unit": unit,
        "in_form": in_form,
        "within": within,
        "most": most,
    }


def unless_given(value: Any, known: Mapping[str, Any] | None = None) -> Any:
    """A field that is None until it is given, so that a flag which repeats its default can be told
    from one left away; `value` is what it then stands for, `known` what `about` tells.
    """
    return field(default=None, metadata={**(known or about()), "default": value})


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
    student: str | None = field(default=None, metadata=about("Student"))
    """Folder or hub name of the student."""
    teacher: str | None = field(default=None, metadata=about("Teacher"))
    """Folder or hub name of the teacher; same tokenizer as the student."""
    prompts: Path | None = field(default=None, metadata=about("Prompts"))
    """JSONL or Parquet with `prompt`, and optionally `teacher_prompt` and `answer`."""
    steps: int | None = field(
        default=None, metadata=about("Steps", least=1, in_form=True, most=100_000)
    )
    """Updates of the student."""
    rollouts: int | None = field(
        default=None, metadata=about("Rollouts a step", least=1, in_form=True, most=1024)
    )
    """Fresh rollouts a step."""
    lr: float | None = field(
        default=None, metadata=about("Learning rate", above=0, in_form=True, most=1)
    )
    """Peak learning rate (AdamW, ten steps of warm-up, linear decay that stops at a tenth)."""
    max_new_tokens: int | None = field(default=None, metadata=about(least=1, unit="tokens"))
    """Longest response."""
    temperature: float | None = unless_given(1.0, about(above=0))
    """Sampling temperature of the rollouts; 1, as without it, makes the objective an unbiased
    estimate of the reverse KL.
    """
    seed: int | None = unless_given(0, about("Seed", least=0, in_form=True, most=2**32 - 1))
    """Fixes prompts, sampling and the log: bit for bit on the same CPU. Without it 0."""
    log_every: int | None = unless_given(1, about(least=1, unit="steps"))
    """Log the fresh rollouts of every n-th step (and of the first and last), without it of all;
    metrics are logged at every step.
    """
    probe_every: int | None = field(default=None, metadata=about(least=1, unit="steps"))
    """Rescore the fixed texts, grade held-out problems and save a checkpoint every n steps
    (default: 10 times a run).
    """
    probes: int | None = unless_given(48, about(least=0, unit="texts"))
    """Fixed texts of the starting student, rescored over training; 0 for none, without it 48. Of
    the final texts only as many carry alternatives.
    """
    final_probes: int | None = field(default=None, metadata=about(least=0, unit="texts"))
    """Fixed texts of the final student, where Rock Tokens are found; 0 for none (default: --probes
    if that is 0 or above 128, else 128).
    """
    held_out: int | None = unless_given(256, about(least=0, unit="problems"))
    """Held-out problems graded at each of these steps; 0 for none, without it 256."""
    gradients: Literal["off", "sums", "full"] | None = unless_given("sums")
    """sums, as without it: sums of the fixed texts' gradients by token type (of the starting
    student's texts at every second scoring); full: also exact norms of a sample, for a stated
    price.
    """
    gradient_texts: int | None = unless_given(0, about(least=0, unit="texts"))
    """Sum gradients over so many texts of either student, for lengths and directions that are told
    from noise: the fixed texts, and further ones of which nothing else is logged. 0, as without it:
    the fixed texts alone.
    """
    exact_positions: int | None = unless_given(200, about(least=1, unit="positions"))
    """How many positions get an exact norm with --gradients full: one backward pass each, after the
    last step; without it 200.
    """
    template_args: str | None = None
    """Arguments for both models' chat templates, as a JSON object: {"enable_thinking": false}."""
    stop: Literal["student", "both"] | None = unless_given("student")
    """Whose end tokens end a response: the student's, as without it, or either model's."""
    grader: Literal["boxed", "math-verify"] | None = unless_given("boxed")
    """How the last boxed answer of a response, or its line behind ####, is compared: boxed, as
    without it (integers as numbers, the rest as text); math-verify (as mathematics, by the package
    of that name).
    """
    arm: ArmName | None = unless_given("baseline")
    """Which positions are trained on, and how much: baseline, as without it (all alike);
    rock-freeze (no token of the set --rocks); soft (these times --lambda); random-freeze (as many
    other positions, drawn anew at each step); top-entropy, low-entropy (a --share of the positions
    by the student's entropy); iw-opd (early positions more, by --gamma); dynamic (types that do not
    move on the fixed texts weigh less and less). Positions of weight 0 are not projected on the
    vocabulary. Those by entropy, iw-opd, --window and --match-kl have to judge all positions before
    they weigh them: they read each text twice, and save no time.
    """
    rocks: Path | None = None
    """The set for rock-freeze, soft and random-freeze, as `rockcore rocks RUN --json` prints it or
    the dashboard saves it.
    """
    lambda_: float | None = unless_given(0.5, about(within=(0.0, 1.0)))
    """Weight of the tokens of the set with --arm soft, 0 to 1; without it 0.5."""
    window: bool = False
    """Take the stretch of high kl around each token of the set along with it."""
    normaliser: Literal["tokens", "weights"] | None = unless_given("tokens")
    """What the weighted sum of kl is divided by: the number of tokens, as without it, or the sum of
    the weights, which makes the other tokens weigh more the more are left out.
    """
    share: float | None = unless_given(0.2, about(within=(0.0, 1.0)))
    """Share of the positions that top-entropy and low-entropy keep; without it 0.2."""
    gamma: float | None = unless_given(0.5, about(above=0))
    """How much more the first position weighs than the last with iw-opd; without it 0.5, as in
    TRL.
    """
    match_kl: bool = False
    """Let random-freeze choose positions whose kl is near that of the tokens of the set."""
    micro_batch: int | None = field(default=None, metadata=about(least=1, unit="rollouts"))
    """Take at most so many rollouts through the models at once where texts are judged and learned
    from: it bounds the memory of activations and changes results by rounding alone. Default: as
    many as have 8,192 tokens, with padding (a small model on a CPU: 1,024).
    """
    lora: int | None = field(default=None, metadata=about(least=1))
    """Train LoRA adapters of this rank beside all linear maps of the student's layers, and nothing
    else; needs peft. A pair of your own then has --lr 1e-4 by default, and --dtype bfloat16 keeps
    the student's own weights in half the memory.
    """
    gradient_checkpointing: bool = False
    """Keep one activation a layer and token and compute the others anew for the gradient: a forward
    pass more, for a fraction of the memory.
    """
    vllm: str | None = None
    """Refused, with the reason: a server would have to be given the student's weights anew at every
    step.
    """
    resume: bool = False
    """Go on with the run in --out from its last checkpoint; only --steps, --device,
    --teacher-device, --threads, --micro-batch and --gradient-checkpointing may change, another flag
    has to repeat what the run has.
    """
    device: str | None = None
    """cpu or cuda; default: cuda where there is one."""
    teacher_device: str | None = None
    """Where the teacher is, e.g. cuda:1 or cpu; default: beside the student. Its predictions are
    compared on the student's device, a piece at a time.
    """
    dtype: Literal["float32", "bfloat16"] | None = unless_given("float32")
    """What the models compute in, without it float32; the student's own weights and the divergences
    are always float32.
    """
    threads: int | None = field(default=None, metadata=about(least=1))
    """CPU threads; default: all for small Llama models, which each thread works on by itself, for
    others the faster of one and all, measured once for this machine and kind of run.
    """

    def resolved(self) -> ResolvedConfig:
        """The same configuration with its gaps filled. Raises BadConfig if it cannot work."""
        self._refuse_strangers()
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
        for name in _unused(filled["arm"]):  # it would tell of what was not done
            filled[name] = getattr(self, name)
        tuned = (OWN_LORA if self.lora else OWN_PAIR) if own else TUNED[filled["scenario"]]
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

    def _refuse_strangers(self) -> None:
        """Raises BadConfig for a name, such as that of an arm, that there is none of, and for a
        server that is to write the student's texts.
        """
        if self.vllm is not None:
            raise BadConfig(
                f"--vllm {ascii(self.vllm)[:80]}",
                "A server answers with the weights that it was started with: after the first "
                "update its texts are not the student's any more, and nothing here gives it the "
                "new ones",
                "Leave --vllm away: the student writes its texts itself, many at a time",
            )
        for name, known in _ONE_OF.items():
            if (value := getattr(self, name)) is not None and value not in known:
                raise BadConfig(
                    f"{flag_of(name)} {value}",
                    f"It is one of {', '.join(known)}",
                    f"Give {flag_of(name)} one of them, or leave it away",
                )

    def refuse_unused(self) -> None:
        """Raises BadConfig for a setting that was given and that nothing would look at."""
        if self.scenario is not None and not self.is_builtin:
            raise BadConfig(
                f"--scenario {self.scenario} with --prompts",
                "A scenario is a task of the built-in world, and the prompts come from a file",
                "Leave one of them away",
            )
        if self.template_args is not None and self.is_builtin:
            raise BadConfig(
                f"--template-args {ascii(self.template_args)[:80]} without --prompts",
                "The built-in pair has no chat template",
                "Leave it away",
            )
        if self.gradient_texts and self.gradients == "off":
            raise BadConfig(
                f"--gradient-texts {self.gradient_texts} with --gradients off",
                "Nothing is summed over these texts, nor logged of them",
                "Leave one of them away",
            )
        if self.exact_positions is not None and self.gradients != "full":
            raise BadConfig(
                f"--exact-positions {self.exact_positions} with --gradients "
                f"{self.gradients or 'sums'}",
                "Exact norms are only taken with --gradients full",
                "Add --gradients full, or leave --exact-positions away",
            )
        arm = self.arm or "baseline"
        for name in _unused(arm):
            if is_given(getattr(self, name)):
                users = [other for other, used in ARM_SETTINGS.items() if name in used]
                raise BadConfig(
                    f"{flag_of(name)} with --arm {arm}",
                    f"Only {' and '.join(users)} look{'s' * (len(users) == 1)} at it",
                    f"Choose --arm {users[0]}, or leave {flag_of(name)} away",
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
    gradient_texts: int = 0
    exact_positions: int = 0
    dtype: Literal["float32", "bfloat16"] = "float32"
    stop: Literal["student", "both"] = "student"
    grader: Literal["boxed", "math-verify"] = "boxed"
    arm: ArmName = "baseline"
    normaliser: Literal["tokens", "weights"] = "tokens"
    steps: int = 0
    rollouts: int = 0
    lr: float = 0.0
    max_new_tokens: int = 0
    probe_every: int = 0
    final_probes: int = 0

    def check(self) -> None:
        """Raises BadConfig, which names the first setting out of its range."""
        for setting in settings():
            value, flag = getattr(self, setting.name), setting.flag
            if value is None:
                continue
            if setting.least is not None and value < setting.least:
                raise BadConfig(
                    f"{setting.name} = {value}",
                    f"It counts something and is at least {setting.least}",
                    f"Give {flag} {setting.least} or more",
                )
            if setting.above is not None and not setting.above < value < float("inf"):
                raise BadConfig(
                    f"{setting.name} = {value}",
                    f"It has to be a finite number above {setting.above:g}",
                    f"Give {flag} a value above {setting.above:g}",
                )
            low, high = setting.within or (value, value)
            if setting.within and not low <= value <= high:
                raise BadConfig(
                    f"{flag} {value}",
                    f"It lies between {low:g} and {high:g}",
                    f"Give {flag} a value from {low:g} to {high:g}",
                )
        if "rocks" in ARM_SETTINGS[self.arm] and self.rocks is None:
            raise BadConfig(
                f"--arm {self.arm} without --rocks",
                "It weighs the tokens of a set, and there is none",
                "Add --rocks FILE, which `rockcore rocks RUN --json` prints",
            )
        self.template_arguments()
        if self.arm == "dynamic" and not self.probes:
            raise BadConfig(
                "--arm dynamic with --probes 0",
                "It follows how the kl of the fixed texts of the starting student moves",
                "Give --probes 1 or more",
            )

    def template_arguments(self) -> dict[str, Any]:
        """`template_args` as they go into a chat template. Raises BadConfig."""
        return template_arguments(self.template_args)


def template_arguments(text: str | None) -> dict[str, Any]:
    """What --template-args says, as it goes into a chat template. Raises BadConfig."""
    try:
        given = {} if text is None else strict_json.parse(text)
    except ValueError as e:
        given, why = None, str(e)
    else:
        why = "it is no object"
    if not isinstance(given, dict):
        raise BadConfig(
            f"--template-args {ascii(text)[:80]} ({why[:80]})",
            "Arguments have names: they are a JSON object",
            "Give one, such as '{\"enable_thinking\": false}'",
        )
    if own := sorted(_OF_TEMPLATES & given.keys()):
        raise BadConfig(
            f"--template-args with {', '.join(own)}",
            "What is put to a model, and in which form, is settled already",
            "Leave that out",
        )
    return given


# what `apply_chat_template` is told by the training itself
_OF_TEMPLATES = frozenset(
    "conversation messages tools documents chat_template add_generation_prompt tokenize padding "
    "continue_final_message truncation max_length return_tensors return_dict tokenizer_kwargs "
    "return_assistant_tokens_mask".split()
)


class Setting(NamedTuple):
    """A field of SessionConfig as its check, a form and the documents know it; see `about`."""

    name: str
    flag: str
    help: str  # what the command line says of it
    whole: bool  # a whole number, where it is one
    label: str
    least: int | None
    above: float | None
    unit: str
    in_form: bool
    within: tuple[float, float] | None
    most: float | None


def refuse_beyond_form(config: SessionConfig) -> None:
    """Raises BadConfig for a number that the dashboard does not take: the trainings of one person
    are in the way of all others there.
    """
    for setting in settings():
        value = getattr(config, setting.name)
        if setting.most is not None and value is not None and value > setting.most:
            raise BadConfig(
                f"{setting.name} = {value if value < 1e15 else float(value):,}",
                f"From a page it is at most {setting.most:,}: a slip of the hand would keep the "
                "machine busy for all",
                f"Give less, or train on the command line with {setting.flag}",
            )


def flag_of(name: str) -> str:
    """What the command line calls a setting; lambda is a word of Python's own."""
    return f"--{name.rstrip('_').replace('_', '-')}"


def is_given(value: Any) -> bool:
    """Whether a setting was given: 0 is, a switch that is off is not."""
    return value is not None and value is not False


def _unused(arm: str) -> list[str]:
    """The settings of arms that this one does not look at."""
    return [name for name in _OF_ARMS if name not in ARM_SETTINGS[arm]]


@cache
def settings() -> tuple[Setting, ...]:
    """All settings, in the order of the command line."""
    sentences = _sentences()
    return tuple(
        Setting(
            f.name,
            flag_of(f.name),
            sentences[f.name],
            str(f.type).startswith("int"),
            **{**about(), **{k: v for k, v in f.metadata.items() if k in about()}},
        )
        for f in fields(SessionConfig)
    )


def defaults() -> dict[str, Any]:
    """What each setting that is left away stands for, where that is the same for every task."""
    known = {f.name: f.metadata.get("default", f.default) for f in fields(SessionConfig)}
    return {name: value for name, value in known.items() if value is not None}


def _sentences() -> dict[str, str]:
    """What stands below each field, where the command line reads it too."""
    (described,) = ast.parse(inspect.getsource(SessionConfig)).body
    assert isinstance(described, ast.ClassDef)
    return {
        str(getattr(field.target, "id", "")): " ".join(sentence.value.value.split())
        for field, sentence in pairwise(described.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(sentence, ast.Expr)
        and isinstance(sentence.value, ast.Constant)
        and isinstance(sentence.value.value, str)
    }


def free_folder(name: str, taken: Collection[str] = ()) -> Path:
    """The first of ./runs/NAME-1, ./runs/NAME-2, … that does not exist and is not taken."""
    numbered = (Path("runs") / f"{name}-{i}" for i in count(1))
    return next(path for path in numbered if path.name not in taken and not path.exists())


FINAL_PROBES = 128
TUNED: dict[str, dict[str, float | int]] = {
    "habit": {"steps": 150, "rollouts": 32, "lr": 1e-3, "max_new_tokens": 150},
    "hidden": {"steps": 150, "rollouts": 32, "lr": 2e-3, "max_new_tokens": 150},
    "skill": {"steps": 200, "rollouts": 32, "lr": 2e-3, "max_new_tokens": 150},
}
OWN_PAIR: dict[str, float | int] = {"steps": 100, "rollouts": 8, "lr": 1e-5, "max_new_tokens": 256}
# adapters want about ten times the rate of all weights (Schulman et al. 2025, LoRA Without Regret)
OWN_LORA: dict[str, float | int] = {**OWN_PAIR, "lr": 1e-4}
