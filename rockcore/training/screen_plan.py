"""What is asked of a screen, settled and checked before anything is written: which run, how many
problems and answers, which tokens, and whether the screen that is there agrees.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from rockcore.analysis.knockout_candidates import Wanted, choose, joined
from rockcore.config import BadConfig, ResolvedConfig
from rockcore.log import Run
from rockcore.log.screens import FOLDER, PLAN, Screen, why_not
from rockcore.schema import Prompt, tokenizer_hash
from rockcore.schema.screen import Candidate, ScreenPlan
from rockcore.spelling import visible
from rockcore.tasks import Tasks
from rockcore.training import loading
from rockcore.training.checkpoints import Checkpoints, NoCheckpoint
from rockcore.training.knockout import Writer
from rockcore.training.models import Model, encode_all
from rockcore.training.resume import config_of
from rockcore.training.screen_workers import Source

PROBLEMS, ROLLOUTS, LEAST_ROLLOUTS, KEPT_TEXTS = 200, 4, 4, 40


@dataclass(frozen=True)
class ScreenSettings:
    """What is asked of a screen. None: as the screen that is there has it, else the default."""

    wanted: Wanted | None = None  # None: those of the screen that is there, else Wanted()
    problems: int | None = None  # PROBLEMS, or all where the run has fewer
    rollouts: int | None = None  # ROLLOUTS: answers to each problem, each with its noise
    seed: int | None = None  # of the noise; 0
    kept_texts: int = KEPT_TEXTS  # changed rollouts of a candidate whose text is kept, at most
    device: str | None = None
    processes: int | None = None  # a small model on a CPU: one a core


class Ready(NamedTuple):
    """A screen that nothing speaks against."""

    run: Run
    plan: ScreenPlan
    tasks: Sequence[Prompt]
    writer: Writer
    source: Source


def prepare(
    path: str | Path, settings: ScreenSettings, say: Callable[[str], object] = lambda _: None
) -> Ready:
    """All that can be checked before anything is written; see screen.run for what it raises."""
    found = Run.open(path)
    there = Screen(found).plan if Screen.exists(found.path) else None
    _refuse_leftovers(found, there)
    if why := why_not(found):
        raise NoCheckpoint(why, "There is no student to ask", "Give a run that was trained here")
    rollouts = _agreed("rollouts", settings.rollouts, there)
    rollouts = ROLLOUTS if rollouts is None else rollouts
    if rollouts < LEAST_ROLLOUTS:
        raise BadConfig(
            f"--rollouts {rollouts}",
            "Every difference is taken against the same baseline answers: with fewer than "
            f"{LEAST_ROLLOUTS} replicates their luck shifts all candidates together",
            f"Give --rollouts {LEAST_ROLLOUTS} or more",
        )
    seed = _seed(settings.seed, there)
    config, tasks = _tasks(found, _agreed("problems", settings.problems, there))
    checkpoints = Checkpoints(found.path / "checkpoints")
    step = checkpoints.steps()[-1]
    source = Source(
        str(checkpoints.path(step)),
        loading.usable_device(settings.device),
        config.dtype,
        found.meta.vocab_size,
        config.template_arguments(),
    )
    candidates = _chosen(found, settings, there, say)
    model = source.load()
    plan = ScreenPlan(
        step=step,
        student=found.meta.student,
        tokenizer_hash=tokenizer_hash(model.tokenizer.get_vocab()),
        vocab_size=model.vocab_size,
        problems=len(tasks),
        rollouts=rollouts,
        seed=seed,
        temperature=float(config.temperature),
        max_new_tokens=config.max_new_tokens,
        stop_ids=tuple(sorted(model.stop_ids)),
        kept_texts=there.kept_texts if there else settings.kept_texts,
        candidates=candidates,
    )
    _refuse_another(found, plan, there)
    writer = _writer(model, tasks, plan, config.grader)
    _warn_of_grading(found, plan, say)
    return Ready(found, plan, tasks, writer, source)


def _agreed(name: str, asked: int | None, there: ScreenPlan | None) -> int | None:
    """What is asked, else what the screen has, else None. Raises BadConfig where these differ."""
    has = None if there is None else getattr(there, name)
    if asked is not None and has is not None and asked != has:
        raise BadConfig(
            f"--{name} {asked}, but the screen that is there has {has}",
            "All its candidates are paired with one baseline",
            f"Leave --{name} away, or move the folder knockout away and screen anew",
        )
    return has if asked is None else asked


def _seed(asked: int | None, there: ScreenPlan | None) -> int:
    seed = _agreed("seed", asked, there) or 0
    if not 0 <= seed < 2**31:
        raise BadConfig(
            f"--seed {seed}",
            "A screen keeps its seed as a whole number of 31 bits",
            f"Give one between 0 and {2**31 - 1}",
        )
    return seed


def _tasks(found: Run, problems: int | None) -> tuple[ResolvedConfig, Sequence[Prompt]]:
    """The held-out problems with an answer, as many as are wanted. Raises BadConfig for too few."""
    config = config_of(found)
    if config.is_builtin:  # an endless supply, always in the same order
        config = replace(config, held_out=max(config.held_out, problems or PROBLEMS))
    graded = [p for p in Tasks.of(config).held_out if p.answer is not None]
    if len(graded) < 2:
        raise BadConfig(
            f"{found.path.name} has {'only one' if graded else 'no'} held-out "
            f"problem{'s' * (not graded)} with an answer",
            "A screen counts right answers, and resamples the problems",
            "Train with prompts that have an answer, and --held-out N",
        )
    if problems is not None and not 2 <= problems <= len(graded):
        raise BadConfig(
            f"--problems {problems}, and {found.path.name} has {len(graded)} held-out problems "
            "with an answer",
            "A screen resamples problems: it takes two at least, and each once",
            f"Give --problems between 2 and {len(graded)}",
        )
    return config, graded[: problems or PROBLEMS]


def _chosen(
    found: Run, settings: ScreenSettings, there: ScreenPlan | None, say: Callable[[str], object]
) -> tuple[Candidate, ...]:
    known = there.candidates if there else ()
    if known and settings.wanted is None:
        return known
    return joined(known, choose(found, settings.wanted or Wanted(), say))


def _refuse_another(found: Run, plan: ScreenPlan, there: ScreenPlan | None) -> None:
    """Raises BadConfig unless the student is the run's, and that of the screen that is there."""
    if plan.tokenizer_hash != found.meta.tokenizer_hash or plan.vocab_size != found.meta.vocab_size:
        raise BadConfig(
            f"The checkpoint of step {plan.step} has another tokenizer than {found.path.name} says",
            "Its ids mean other tokens",
            "Restore the checkpoint, or train the run again",
        )
    for name in ("step", "problems", "temperature", "max_new_tokens", "stop_ids"):
        if there is not None and getattr(plan, name) != getattr(there, name):
            raise BadConfig(
                f"The screen that is there has {name} = {getattr(there, name)}, the run now "
                f"{getattr(plan, name)}",
                "All candidates of a screen are paired with one baseline of one student",
                "Move the folder knockout away and screen anew",
            )


def _refuse_leftovers(found: Run, there: ScreenPlan | None) -> None:
    """Raises BadConfig for answers of which nothing says what they were written by: they would be
    taken for those of this screen.
    """
    folder = found.path / FOLDER
    baseline, outcomes = folder / "baseline.parquet", list(folder.glob("outcomes/*.parquet"))
    needs = PLAN if there is None else baseline.name
    left = [baseline.name] * baseline.exists() if there is None else []
    if there is None or not baseline.exists():
        left += [f.name for f in outcomes[:1]]
    if left:
        raise BadConfig(
            f"{folder} holds {left[0]} and no {needs}",
            "It cannot be told of which student and which problems its answers are",
            "Move the folder knockout away and screen anew",
        )


def _writer(model: Model, tasks: Sequence[Prompt], plan: ScreenPlan, grader: str) -> Writer:
    prompts = encode_all(model, tasks, teacher=False)
    model.check_room(max(map(len, prompts)) + plan.max_new_tokens)
    answers = [p.answer or "" for p in tasks]
    how = (plan.seed, plan.temperature, plan.max_new_tokens)
    return Writer(model, prompts, answers, *how, grader)


def _warn_of_grading(found: Run, plan: ScreenPlan, say: Callable[[str], object]) -> None:
    """Say which candidates make answers that cannot be graded."""
    texts = found.vocab.set_index("token_id").token
    ends = [c for c in plan.candidates if set(c.ids) & set(plan.stop_ids)]
    boxes = [c for c in plan.candidates if any("boxed" in str(texts.get(i)) for i in c.ids)]
    for chosen, why in ((ends, "no answer can end"), (boxes, "no answer can be boxed")):
        if chosen:
            names = ", ".join(visible(str(texts.get(c.token_id))) for c in chosen)
            say(f"Grading will fail without {names}: {why}. Their Δ says that, and no more.")
