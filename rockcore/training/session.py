"""The on-policy distillation session: sample from the student, judge with both models, step, log.
Read from top to bottom.

Step s means the student after s updates. A session runs over s = 0 .. steps: at each s the student
writes fresh rollouts, both models judge them, the log is written, and - but for the last s - one
optimizer step follows. Every random draw is derived from (seed, purpose, step), so a resumed run
continues bit for bit as if it had never stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rockcore import grading
from rockcore.config import ResolvedConfig, SessionConfig
from rockcore.interventions import Arm, dynamic
from rockcore.log import RunWriter
from rockcore.log.files import table_files
from rockcore.log.lock import Lock, locked
from rockcore.schema import RunMeta
from rockcore.tasks import Tasks
from rockcore.training import (
    adapters,
    evals,
    loading,
    memory,
    models,
    recomputing,
    remarks,
    updates,
)
from rockcore.training.ahead import reader
from rockcore.training.checkpoints import Checkpoints
from rockcore.training.clock import Clock
from rockcore.training.columns import (
    Update,
    eval_columns,
    metrics_row,
    occurrence_columns,
    rollout_columns,
)
from rockcore.training.ending import Ending, endings
from rockcore.training.models import Model
from rockcore.training.objective import Fresh, Objective
from rockcore.training.probes import Probes, shortfalls
from rockcore.training.resume import (
    checked_set,
    claim,
    first_meta,
    keep_set,
    reopened,
    run_to_resume,
    set_of,
    stored_config,
    unfinished,
)
from rockcore.training.rollouts import Rollouts, derived_seed, sample
from rockcore.training.threads import threads_for
from rockcore.training.vocabulary import vocabulary_columns


@dataclass(frozen=True)
class Progress:
    """What a session tells after each step."""

    step: int
    steps: int
    kl: float | None  # None where not all tokens were judged
    tokens: int
    seconds: float  # of this step
    accuracy: dict[str, float] | None  # by decoding, at the steps where it is measured


Listener = Callable[[Progress], None]


class Told(NamedTuple):
    """To whom a session tells how it goes."""

    listen: Listener
    say: Callable[[str], object]


def train(
    config: SessionConfig,
    listen: Listener = lambda _: None,
    say: Callable[[str], object] = lambda _: None,
) -> RunMeta:
    """Run a session and return its final RunMeta; the log is in `config.out`, locked meanwhile.
    `say`: takes a sentence for the user.

    Ends early, with a usable run, on SIGINT, SIGTERM, SIGHUP or when a stop is requested. Raises
    BadConfig, BadPrompts, BadResponse, BadRockSet, BadIntervention, ModelNotFound,
    BadTemplate, BadGrader, VocabularyMismatch, RunExists or FolderInUse before anything is written,
    NonFiniteLoss or LogWriteError (RunGone, where the folder was deleted or renamed) after keeping
    what is there; whatever else may go wrong is noted in run.json too.
    """
    settings = None if config.resume else config.resolved()
    if settings is not None:
        RunWriter.refuse_existing(settings.out)
    out = run_to_resume(config).path if settings is None else settings.out
    with endings() as ending, locked(out, "training") as lock:
        # asked again where nobody else writes: the run may have gone on, or begun, since
        if settings is None:
            settings = stored_config(config)
        else:
            RunWriter.refuse_existing(out)
        return _train(config, settings, lock, ending, Told(listen, say))


def _train(
    asked: SessionConfig, settings: ResolvedConfig, lock: Lock, ending: Ending, told: Told
) -> RunMeta:
    tasks, rocks = Tasks.of(settings), set_of(settings)
    for sentence in shortfalls(asked, tasks):
        told.say(sentence)
    grading.check(settings.grader)
    student, teacher = _loaded(settings, tasks)
    models.check_room(student, teacher, tasks.known, settings.max_new_tokens)
    notes = _notes(settings, tasks, student, teacher)
    for sentence in notes:
        told.say(sentence)
    arm = Arm.of(settings, checked_set(settings, rocks, student))
    for sentence in memory.told(settings, student, teacher, tasks.known):
        told.say(sentence)
    ending.begin()
    session = Session(settings, tasks, student, teacher, arm, lock, notes)
    writer = session.writer
    with ending.noted(writer, lambda: session.at):
        if rocks is not None:
            keep_set(writer, rocks)
        session.begin(told.say)
        last = session.run(lambda: ending.is_asked or writer.stop_requested(), told.listen)
        session.close(last)
    return writer.meta


def _loaded(settings: ResolvedConfig, tasks: Tasks) -> tuple[Model, Model]:
    """Student and teacher where they are to be, the student made ready to learn."""
    if settings.lora:
        adapters.refuse_missing()
    device, elsewhere = loading.usable_device(settings.device), settings.teacher_device
    if elsewhere is not None:
        elsewhere = loading.usable_device(elsewhere, "--teacher-device")
    student, teacher = loading.load_pair(
        *tasks.models,
        device,
        settings.dtype,
        settings.template_arguments(),
        settings.stop,
        elsewhere,
        bool(settings.lora),
    )
    student.micro_batch = settings.micro_batch
    if settings.lora:
        seed = derived_seed(settings.seed, "lora", 0)
        adapters.add(student.net, settings.lora, student.name, seed)
        student.half, student.fast = settings.dtype == "bfloat16", None
    if settings.gradient_checkpointing:
        recomputing.recompute(student)
    return student, teacher


def _notes(config: ResolvedConfig, tasks: Tasks, student: Model, teacher: Model) -> list[str]:
    """What may surprise in what is trained, and in how prompts and models of the user's are put
    together. The built-in pair is known.
    """
    told = [adapters.told(student.net)] if config.lora else []
    if config.is_builtin:
        return told
    told += [*remarks.of_pair(student, teacher), *tasks.notes]
    if tasks.held_out and (warning := evals.unmatchable(tasks.held_out, config.grader)):
        told.append(warning)
    return told + remarks.what_each_reads(student, teacher, tasks.known[0])


class Session:
    """The state of a run in training: models, optimizer, log."""

    def __init__(
        self,
        config: ResolvedConfig,
        tasks: Tasks,
        student: Model,
        teacher: Model,
        arm: Arm,
        lock: Lock | None = None,
        notes: Sequence[str] = (),
    ):
        """`notes`: what a reader of a new run must know, for its run.json."""
        self.config, self.tasks, self.student, self.teacher = config, tasks, student, teacher
        self.at = "before its first step"  # where it is, for the reason why it ended there
        self.optimizer = updates.adamw(student, config.lr)
        self.threads = threads_for(config, tasks, student, teacher)
        self.first_step, self.metrics_seconds = 0, 0.0
        self.say: Callable[[str], object] = lambda _: None
        self.first_texts: Rollouts | None = None
        self.objective = Objective(config, arm, student, teacher)
        if config.resume:
            self.writer = reopened(config, student, lock)
        else:
            meta = first_meta(config, tasks, student, teacher, self.threads, notes)
            self.writer = RunWriter.create(config.out, meta, vocabulary_columns(student), lock)
        self.checkpoints = Checkpoints(config.out / "checkpoints", self.writer.still_there)
        if config.resume:
            self.first_step = self.restore()
        self.probes = Probes(config, tasks, student, teacher, self.writer)

    def restore(self) -> int:
        """The student and the optimizer of the last checkpoint; returns its step. A run that was
        killed before its first one is still at its beginning. Raises NoCheckpoint.
        """
        self.checkpoints.sweep()
        if not self.checkpoints.steps() and not table_files(self.config.out, "metrics"):
            return 0
        return self.checkpoints.restore_last(self.student, self.optimizer)

    def begin(self, say: Callable[[str], object]) -> None:
        """Let the first student write its probe texts; a run that goes on drops what it will write
        again, and reads them back.
        """
        if self.config.resume:
            if self.writer.meta.status == "running":
                say(unfinished(self.writer, self.first_step))
            claim(self.writer, self.config, self.threads)
            if self.first_step:
                self.first_texts = self.probes.read_back()
            self.tasks.batch(self.first_step * self.config.rollouts)  # already used
            self.writer.drop_from(self.first_step)
            self.objective.read_back(self.writer)
            self.writer.clear_stop()
        if not self.first_step:  # also again: a kill may have come between dropping and scoring
            self.first_texts = self.probes.write("first", 0)
        self.say = say
        if self.config.arm == "dynamic":
            lengths = self.first_texts.lengths if self.first_texts is not None else []
            for sentence in dynamic.doubts(lengths, self.config.probe_every, self.config.steps):
                say(sentence)
        if self.config.gradients == "full":
            say(self.probes.exact_price(self.first_texts))

    def run(self, stop: Callable[[], bool], listen: Listener) -> int:
        """All steps, or until `stop`; returns the last step that was logged."""
        for step in range(self.first_step, self.config.steps + 1):
            self.at = f"in the middle of step {step}"
            ending = step == self.config.steps or stop()
            clock = Clock(self.student.device)
            with clock.phase("step_s"):
                due = ending or step % self.config.probe_every == 0
                accuracy = self.milestone(step) if due else None
                fresh = self.judge_fresh_rollouts(step, clock, ending)
                self.log_tokens(step, fresh, clock, ending)
                update_norm = None if ending else self.update(step, clock)
                self.log_metrics(step, fresh, clock, update_norm)
            seconds, tokens = clock.seconds["step_s"], len(fresh.weight)
            kl = float(fresh.scored.losses["kl"].mean()) if fresh.scored.known.all() else None
            listen(Progress(step, self.config.steps, kl, tokens, seconds, accuracy))
            if ending:
                break
        return step

    def judge_fresh_rollouts(self, step: int, clock: Clock, ending: bool) -> Fresh:
        """Sample, judge, and leave the gradient of the weighted kl in the student, unless the run
        ends here.
        """
        config = self.config
        with clock.phase("sample_s"):
            batch = self.tasks.batch(config.rollouts)
            seed = derived_seed(config.seed, "rollouts", step)
            ahead = reader(self.student, self.teacher)
            how = config.max_new_tokens, config.temperature, seed
            rollouts = sample(self.student, self.teacher, batch, *how, ahead)
        self.optimizer.zero_grad()
        whole = self.is_logged(step, ending)
        fresh = self.objective.judge(step, rollouts, clock, not ending, whole, ahead)
        if not fresh.trained and not ending:
            self.say(
                f"step {step}: no position has a weight above 0, so the student stays as it is"
            )
            self.say = lambda _: None  # once is enough
        return fresh

    def is_logged(self, step: int, ending: bool) -> bool:
        """Whether the tokens of a step are written."""
        return ending or step % self.config.log_every == 0

    def update(self, step: int, clock: Clock) -> float:
        """One step of the optimizer; returns the norm of the gradient before it was clipped."""
        with clock.phase("update_s"):
            rate = updates.learning_rate(self.config, step)
            return updates.update(self.student, self.optimizer, step, rate)

    def milestone(self, step: int) -> dict[str, float]:
        """What is measured now and then: held-out accuracy, the probe texts rescored, a checkpoint.
        Returns the accuracy.
        """
        config = self.config
        accuracy: dict[str, evals.Outcome] = {}
        if self.tasks.held_out:
            accuracy = evals.graded(
                self.student,
                self.tasks.held_out,
                config.max_new_tokens,
                {"greedy": 0.0, "sampled": config.temperature},
                derived_seed(config.seed, "held-out", 0),
                config.grader,
            )
            right = {decoding: outcome.right for decoding, outcome in accuracy.items()}
            self.writer.append("evals", step, eval_columns(step, right))
        if step == 0 and (warning := evals.without_answers(accuracy, config.grader)):
            self.note(warning)
        if self.first_texts is not None:
            # of small models with large vocabularies the sums at every scoring would take 4 % of
            # the time between two
            sums = step % (2 * config.probe_every) == 0 or step == config.steps
            self.probes.rescore("first", step, self.first_texts, sums)
            self.objective.follow(step, self.writer)
        if config.gradients != "off":
            moments = updates.second_moments(
                step, self.optimizer, self.student.head, self.student.vocab_size
            )
            if moments is not None:
                self.writer.append("optimizer", step, moments)
        self.checkpoints.save(step, self.student, self.optimizer, every=config.probe_every)
        return {decoding: float(outcome.right.mean()) for decoding, outcome in accuracy.items()}

    def note(self, sentence: str) -> None:
        """Tell the user, and every later reader of the run."""
        self.say(sentence)
        if sentence not in (known := self.writer.meta.notes):  # as it is where a run goes on
            self.writer.save_meta(notes=[*known, sentence])

    def log_tokens(self, step: int, fresh: Fresh, clock: Clock, ending: bool) -> None:
        """Write the fresh rollouts and their tokens, at the steps that are logged in full."""
        with clock.phase("log_s"):
            if self.is_logged(step, ending):
                texts = rollout_columns(step, fresh.rollouts, self.student, self.config.grader)
                tokens = occurrence_columns(step, fresh.rollouts, fresh.scored)
                self.writer.append("rollouts", step, texts)
                self.writer.append("tokens", step, {**tokens, "weight": fresh.weight})

    def log_metrics(self, step: int, fresh: Fresh, clock: Clock, update_norm: float | None) -> None:
        """Write the one row of this step; what it costs is told in the row of the next."""
        seconds = {**clock.seconds, "log_s": clock.seconds["log_s"] + self.metrics_seconds}
        update = None
        if update_norm is not None:
            rate = updates.learning_rate(self.config, step)
            update = Update(rate, update_norm, fresh.trained, fresh.weight_sum)
        own = Clock()
        with own.phase("write"):
            row = metrics_row(
                step, fresh.rollouts, fresh.scored, seconds, update, self.config.grader
            )
            self.writer.append("metrics", step, row)
        self.metrics_seconds = own.seconds["write"]

    def close(self, last: int) -> None:
        """Let the final student write the second probe set, rescore it under every checkpoint, and
        say how the run ended.
        """
        self.at = f"after step {last}, while its final texts were scored"
        final = self.probes.write("final", last)
        if final is not None:
            for step in self.checkpoints.steps():
                self.writer.still_there()
                self.checkpoints.load_weights(step, self.student)
                self.probes.rescore("final", step, final)
            self.checkpoints.load_weights(last, self.student)
        exact = ("first", self.first_texts) if final is None else ("final", final)
        if self.config.gradients == "full" and exact[1] is not None:
            self.probes.log_exact(exact[0], last, exact[1])
        finished = last == self.config.steps
        self.writer.save_meta(
            status="finished" if finished else "stopped",
            reason=""
            if finished
            else f"stopped by request after step {last} of {self.config.steps}",
        )
