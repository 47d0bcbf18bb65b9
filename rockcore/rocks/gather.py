"""From a run to the corpora that a rule asks for, and the refusal of logs that cannot answer it.

*Paired*: fixed texts were scored at every checkpoint, so each position has a loss before and after.
*Unpaired*: each checkpoint has fresh texts of its own, a `Corpus` each, and what is said of both
ends is a bound or a match, and says so. *Single*: there is one checkpoint; scores that look at
nothing else can rank its types, and nothing is said of persistence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from pathlib import Path, PurePath
from typing import NamedTuple, Protocol

import numpy as np

from rockcore import memory, schema
from rockcore.log import Run, parts
from rockcore.log.beside import together
from rockcore.log.checks import checked, read_columns, release
from rockcore.log.contents import ascends
from rockcore.log.files import table_file
from rockcore.log.holdings import NotLogged
from rockcore.rocks.context import Pulse
from rockcore.rocks.corpus import Corpus
from rockcore.rocks.rule import RockRule
from rockcore.rocks.rule_fields import BadRule
from rockcore.rocks.scores import NEED_BEFORE, SCORES
from rockcore.schema import DamagedRun, RockError, RunMeta, Texts

_UNKNOWN = np.zeros(0, np.float32)  # of a file without the column
_AGAIN = "Log it again from the models, or leave the step out (pre_step, post_step)"


class NothingToCompare(RockError, ValueError):
    """The run holds no second checkpoint, or no texts that meet the mode the rule asks for."""


class BadLoss(RockError, ValueError):
    """A loss that is no number, or a kl that is negative beyond rounding."""


@dataclass(frozen=True)
class Material:
    """What a detection works on: one corpus with a loss for each checkpoint, or one corpus a
    checkpoint.
    """

    mode: str  # paired | bounds | matched | single
    source: Texts  # whose texts these are
    steps: tuple[int, ...]  # first, middle (where there is one), last; the only one if single
    corpora: tuple[Corpus, ...]  # one if paired, else one for each of `steps`
    lacks: str = ""  # if single: what the run has in place of two checkpoints

    @property
    def last(self) -> Corpus:
        return self.corpora[-1]

    @property
    def paired(self) -> bool:
        return self.mode == "paired"

    @property
    def single(self) -> bool:
        return self.mode == "single"

    def before(self) -> np.ndarray:
        """The losses at the first checkpoint, or the only one, of whatever texts it has."""
        return self.corpora[0].losses[0]


def gather(run: Run, rule: RockRule, pulse: Pulse = lambda: None) -> Material:
    """Read what the rule needs; `pulse` stops it by raising. Raises NotLogged for a loss that this
    log does not have, NothingToCompare, BadLoss, DamagedRun, BadRule for steps that are not logged,
    or TooLittleMemory.
    """
    refuse_words(run, rule.column)
    mode, source, steps, lacks = what_to_read(run, rule)
    files = [table_file(run.path, source.table, step) for step in steps]
    judged = files[-1:] if mode in ("paired", "single") else files
    memory.check_room(sum(map(parts.rows_in, judged)), run.path)
    together = [steps] if mode in ("paired", "single") else [(step,) for step in steps]
    corpora = tuple(_corpus(run, source, each, rule.column, pulse) for each in together)
    release()
    return Material(mode, source, steps, corpora, lacks)


class Listed(Protocol):
    """What a log has, whether it lies here or elsewhere."""

    @property
    def path(self) -> PurePath: ...

    def steps(self, table: str = "tokens") -> list[int]: ...


class Reading(NamedTuple):
    """What a rule reads of a log: the first four of `Material`, and of the last what it lacks."""

    mode: str
    source: Texts
    steps: tuple[int, ...]
    lacks: str = ""


def what_to_read(run: Listed, rule: RockRule) -> Reading:
    """Which texts and steps a rule asks for, from what is listed alone. Raises NothingToCompare, or
    BadRule for steps that are not logged.
    """
    source, steps = _where(run, rule)
    if len(steps) < 2 and rule.mode == "auto" and rule.pre_step is None:
        source, steps = _only_checkpoint(run, rule, source)
        if steps:
            lacks = f"{run.path.name} {_what_is_logged(run, source, steps)}"
            return Reading("single", source, tuple(steps), lacks)
    checkpoints = _checkpoints(run, source, steps, rule)
    if source is not Texts.FRESH:
        return Reading("paired", source, checkpoints)
    return Reading("matched" if rule.mode == "matched" else "bounds", source, checkpoints)


def needs_two(score: str, material: Material) -> NothingToCompare:
    """What to say of a score that one checkpoint cannot give."""
    alone = ", ".join(name for name in SCORES if name not in NEED_BEFORE)
    return NothingToCompare(
        material.lacks,
        f"The score {score} asks what the loss was before and after training, so two checkpoints "
        "are needed",
        "Wait for the next step if the run is training, or rank the one checkpoint without "
        f"persistence: --preset authors, or --set score=rock_score (also {alone})",
    )


def _where(run: Listed, rule: RockRule) -> tuple[Texts, list[int]]:
    """Whose texts to read, and the steps they are logged at."""
    if rule.mode in ("auto", "paired"):
        best_first = (Texts.FINAL, Texts.FIRST)
        texts, steps = Texts.FRESH, list[int]()
        for texts in best_first if rule.probe_set == "auto" else (Texts(rule.probe_set),):
            steps = run.steps(texts.table)
            if len(steps) > 1:
                return texts, steps
        if rule.probe_set != "auto" and rule.mode == "auto" and steps and rule.pre_step is None:
            return texts, steps
        if rule.mode == "paired" or rule.probe_set != "auto":
            raise NothingToCompare(
                f"{run.path.name} has no probe texts of the set {rule.probe_set!r} scored at two "
                "checkpoints",
                "Only a text that was scored before and after training has both losses at one "
                "position",
                "Train with --probes and --final-probes, or set mode to bounds or matched, which "
                "compare different texts",
            )
    return Texts.FRESH, run.steps(Texts.FRESH.table)


def _only_checkpoint(run: Listed, rule: RockRule, source: Texts) -> tuple[Texts, list[int]]:
    """The texts of the one checkpoint that there is; the latest where texts differ in theirs."""
    if rule.probe_set != "auto":
        return source, run.steps(source.table)
    logged = [(t, run.steps(t.table)) for t in (Texts.FINAL, Texts.FRESH, Texts.FIRST)]
    return max((each for each in logged if each[1]), key=lambda e: e[1][-1], default=(source, []))


def _what_is_logged(run: Listed, source: Texts, steps: list[int]) -> str:
    """What a run has that cannot be compared. `steps`: at which the texts in question are logged,
    fewer than two.
    """
    if not steps:
        probes = any(run.steps(texts.table) for texts in Texts if texts.probe_set)
        return "has probe texts and no fresh rollouts" if probes else "has no logged tokens yet"
    fresh = source is Texts.FRESH or run.steps(Texts.FRESH.table)
    only = "" if fresh else ", and no fresh rollouts"
    return f"has tokens of one checkpoint only, step {steps[0]}{only}"


def _checkpoints(run: Listed, source: Texts, steps: list[int], rule: RockRule) -> tuple[int, ...]:
    if len(steps) < 2:
        raise NothingToCompare(
            f"{run.path.name} {_what_is_logged(run, source, steps)}",
            "Losses before and after training are to be compared, so two checkpoints are needed",
            "Wait for the next step if the run is training, or log a second checkpoint; a score "
            "that looks at one alone ranks it without persistence: --preset authors (mode auto, "
            "without pre_step)",
        )
    texts = f"the probe set {source}" if source.probe_set else "its texts"
    for name in ("pre_step", "post_step"):
        if getattr(rule, name) not in (None, *steps):
            raise BadRule(
                f"{name} = {getattr(rule, name)}, but {run.path.name} has {texts} at {len(steps)} "
                f"steps from {steps[0]} to {steps[-1]}",
                "A loss is known at these steps only",
                f"Choose one of {', '.join(map(str, steps[:20]))}{' …' if len(steps) > 20 else ''}",
            )
    pre, post = (
        (steps[0] if rule.pre_step is None else rule.pre_step),
        (steps[-1] if rule.post_step is None else rule.post_step),
    )
    if pre >= post:
        raise BadRule(
            f"pre_step = {pre} is not before post_step = {post}",
            "Nothing was trained between them",
            "Change one of them",
        )
    between = [s for s in steps if pre < s < post]
    middle = [min(between, key=lambda s: abs(s - (pre + post) / 2))] if between else []
    return (pre, *middle, post)


def _corpus(run: Run, source: Texts, steps: Sequence[int], column: str, pulse: Pulse) -> Corpus:
    """Texts of one kind with the losses at `steps`, in the order of rollout and position."""
    losses, first, grad = [], None, None
    paths = [table_file(run.path, source.table, step) for step in steps]
    for path, later in zip_longest(paths, paths[1:]):
        (text, values), _ = together(
            partial(_rows, path, [column, *["grad_norm"][: later is None]], pulse),
            partial(_look_through, later),
            pulse,
        )
        loss = values.get(column, _UNKNOWN)
        if len(text.token_id) and not np.isfinite(loss).any():
            _refuse_unlogged(run, column, source)
        if first is None:
            first = text
        elif not all(map(np.array_equal, text, first)):
            raise other_tokens(path, steps[0])
        loss = np.full(len(text.token_id), np.nan) if loss is _UNKNOWN else loss
        losses.append(checked_loss(path, column, loss, lowest(run.meta)))
        grad = values.get("grad_norm")  # a log may lack it
    if first is None or not len(first.token_id):
        raise no_tokens(run.path, source)
    return Corpus(
        tuple(steps), first.rollout_ids, first.starts, first.token_id, tuple(losses), grad
    )


def refuse_words(run: Run, column: str) -> None:
    """Raises NotLogged for a run that holds the words of its texts alone."""
    logged = any(run.steps(texts.table) for texts in Texts)
    if not logged and (held := run.holdings()).words:
        held.require(column)


def other_tokens(path: PurePath, first: int) -> DamagedRun:
    """What to say of a file of a probe set that has not the tokens of its `first` step."""
    return DamagedRun(
        f"{path} holds other tokens than the same probe set at step {first}",
        "The losses before and after would belong to different texts",
        "Log the probe set again under every checkpoint, or set mode to bounds",
    )


def no_tokens(log: PurePath, source: Texts) -> NothingToCompare:
    """What to say of texts that are all empty."""
    return NothingToCompare(
        f"{log.name} has texts without a single token in {source.table}",
        "There is nothing to judge",
        "Look at the first steps of the training: the student may end every response at once",
    )


def _refuse_unlogged(run: Run, column: str, source: Texts) -> None:
    """Raises NotLogged for a loss of which these texts have no value anywhere."""
    held = run.holdings()
    if (gone := held.lack(column, source)) is None:
        return
    found, why, todo = gone.parts
    other = held.loss_of(source)
    instead = f", or rank by what there is: --set column={other}" if other else ""
    raise NotLogged(found, why, f"{todo}{instead}")


def _look_through(later: Path | None, _: Pulse) -> None:
    """Check a file while the one before it is read."""
    if later is not None:
        checked(later)


class _Texts(NamedTuple):
    """The texts of a file, one after the other: as a log has checked it, positions count from 0."""

    rollout_ids: np.ndarray  # (B,)
    starts: np.ndarray  # (B,)
    token_id: np.ndarray  # (N,)


def _rows(path: Path, columns: list[str], pulse: Pulse) -> tuple[_Texts, dict[str, np.ndarray]]:
    """The texts and the columns that there are, in the order of rollout and position."""
    rows = read_columns(path, ["rollout_id", "position", "token_id", *columns], pulse)
    rollout, position = rows["rollout_id"], rows["position"]
    if not _in_order(rollout, position):
        order = np.lexsort((position, rollout))
        rows = {name: values[order] for name, values in rows.items()}
    rollout, position = rows.pop("rollout_id"), rows.pop("position")
    starts = np.flatnonzero(position == 0)
    return _Texts(rollout[starts], starts, rows.pop("token_id")), rows


def _in_order(rollout: np.ndarray, position: np.ndarray) -> bool:
    for at in range(0, len(rollout), _AT_ONCE):
        block = slice(at, at + _AT_ONCE + 1)  # the last one is the first of the next
        if not ascends([rollout[block], position[block]]):
            return False
    return True


_AT_ONCE = 4_000_000  # rows


def lowest(meta: RunMeta) -> float:
    """How far below 0 a kl may be: a sum over likely tokens alone is no divergence."""
    return np.inf if meta.estimator == "topk" else schema.noise_floor(meta.dtype)


def checked_loss(path: PurePath, column: str, loss: np.ndarray, floor: float) -> np.ndarray:
    """The losses as they are. Raises BadLoss for those that nobody can rank by."""
    bad = np.flatnonzero(~np.isfinite(loss))
    if len(bad):
        raise BadLoss(
            f"{path} has {len(bad)} of {len(loss)} values in {column!r} that are no numbers",
            "They cannot be ranked",
            _AGAIN,
        )
    below = int((loss < -floor).sum()) if column == "kl" else 0
    if below:
        raise BadLoss(
            f"{path} has {below} of {len(loss)} values in 'kl' below {-floor:g} nats, the lowest "
            f"{loss.min():.3g}",
            "A divergence is not negative: this may be log p_student - log p_teacher of the "
            "sampled token",
            "Import that column as sampled_loss and set column to sampled_loss",
        )
    return loss
