"""The on-policy distillation session: sample from the student, score with the teacher, step, log.
Read from top to bottom.

Step s means the student after s updates. A session runs over s = 0 .. steps: at each s the student
writes fresh rollouts, both models judge them, the log is written, and - but for the last s - one
optimizer step follows. Every random draw is derived from (seed, purpose, step), so a resumed run
continues bit for bit as if it had never stopped.
"""

from __future__ import annotations

import signal
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timezone
from importlib.metadata import version
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rockcore.config import BadConfig, ResolvedConfig, SessionConfig
from rockcore.log import Run, RunWriter
from rockcore.schema import LogWriteError, Prompt, RockError, RunMeta, tokenizer_hash
from rockcore.tasks import Tasks
from rockcore.training import evals, gradient_sums, models
from rockcore.training.checkpoints import Checkpoints
from rockcore.training.columns import (
    alternative_columns,
    eval_columns,
    occurrence_columns,
    rollout_columns,
    step_summary,
)
from rockcore.training.models import SMALL, Model
from rockcore.training.scoring import (
    Alternatives,
    Clock,
    Rollouts,
    Scored,
    rollouts_of,
    sample,
    score,
)
from rockcore.training.threads import choose_threads

# probe texts that are sampled together: a large model has a cache of keys and values for each
_AT_ONCE = 128
_CURE = "Look at the steps before it in the log; a lower --lr, or --dtype float32, usually cures it"


class NonFiniteLoss(RockError, ArithmeticError):
    """A kl that is no number: training cannot go on, the log up to here is kept."""


@dataclass(frozen=True)
class Progress:
    """What a session tells after each step."""

    step: int
    steps: int
    kl: float
    tokens: int
    seconds: float  # of this step
    accuracy: dict[str, float] | None  # by decoding, at the steps where it is measured


Listener = Callable[[Progress], None]


def train(
    config: SessionConfig,
    listen: Listener = lambda _: None,
    say: Callable[[str], object] = lambda _: None,
) -> RunMeta:
    """Run a session and return its final RunMeta; the log is in `config.out`. `say`: takes a
    sentence for the user.

    Ends early, with a usable run, on SIGINT or when a stop is requested. Raises BadConfig,
    BadPrompts, BadResponse, ModelNotFound, VocabularyMismatch or RunExists before anything is
    written, NonFiniteLoss or LogWriteError after keeping what is there; whatever else may go wrong
    is noted in run.json too.
    """
    settings = stored_config(config) if config.resume else config.resolved()
    if not config.resume:
        RunWriter.refuse_existing(settings.out)
    tasks = Tasks.of(settings)
    student, teacher = models.load_pair(
        *tasks.models, models.usable_device(settings.device), settings.dtype
    )
    models.check_room(student, teacher, tasks.known, settings.max_new_tokens)
    session = Session(settings, tasks, student, teacher)
    writer = session.writer
    try:
        with _interrupt_as_flag() as interrupted:
            session.begin(say)
            last = session.run(lambda: interrupted() or writer.stop_requested(), listen)
            session.close(last)
    except KeyboardInterrupt:
        writer.save_meta(status="stopped", reason="interrupted in the middle of a step")
        raise
    except Exception as e:  # whatever it is, the run says so, and the error goes on
        with suppress(LogWriteError):  # on a full disk this may fail too; the first error matters
            writer.save_meta(
                status="failed",
                reason=str(e) if isinstance(e, RockError) else f"{type(e).__name__}: {e}",
            )
        raise
    return writer.meta


def stored_config(config: SessionConfig) -> ResolvedConfig:
    """The configuration of the run in `config.out`, for going on with it.

    Raises BadConfig where a flag contradicts the run, or leaves nothing to do.
    """
    if config.out is None:
        raise BadConfig(
            "--resume without --out", "Only a run that is named can go on", "Add --out DIR"
        )
    run = Run.open(config.out)
    known = {f.name: f.default for f in fields(SessionConfig)}
    stored = {name: value for name, value in run.meta.config.items() if name in known}
    stored["prompts"] = Path(stored["prompts"]) if stored.get("prompts") else None
    free = {"out", "resume", "steps", "device", "threads"}
    for name in sorted(known.keys() - free):
        asked = getattr(config, name)
        if asked not in (known[name], stored.get(name)):
            flag = name.replace("_", "-")
            raise BadConfig(
                f"--{flag} {asked} with --resume, but the run has {stored.get(name)}",
                "One run has one setting",
                f"Leave --{flag} away",
            )
    steps, logged = config.steps or stored["steps"], run.steps("metrics")[-1:]
    if logged and (steps < logged[0] or (run.meta.status == "finished" and steps == logged[0])):
        raise BadConfig(
            f"{config.out} has {logged[0]} steps already",
            f"There is nothing left to do up to {steps}",
            "Add --steps N to train it further",
        )
    # the same number of threads, or the log would differ in its last bits from one of a run that
    # never stopped
    threads = config.threads or run.meta.threads or None
    return SessionConfig(
        **{
            **stored,
            "out": config.out,
            "resume": True,
            "device": config.device,
            "threads": threads,
            "steps": steps,
        }
    ).resolved()


class Session:
    """The state of a run in training: models, optimizer, log."""

    def __init__(self, config: ResolvedConfig, tasks: Tasks, student: Model, teacher: Model):
        self.config, self.tasks, self.student, self.teacher = config, tasks, student, teacher
        self.optimizer = torch.optim.AdamW(
            student.net.parameters(), lr=config.lr, weight_decay=0.0, betas=(0.9, 0.98), fused=True
        )
        self.checkpoints = Checkpoints(config.out / "checkpoints")
        self.threads = self._set_threads()
        self.first_step, self.metrics_seconds = 0, 0.0
        self.probes: Rollouts | None = None
        if config.resume:
            self.writer = RunWriter.reopen(config.out)
            if self.writer.meta.tokenizer_hash != tokenizer_hash(student.tokenizer.get_vocab()):
                raise BadConfig(
                    f"The tokenizer of {student.name} is not the one this run began with",
                    "Its ids mean other tokens",
                    "Restore it",
                )
            self.first_step = self.checkpoints.restore_last(student, self.optimizer)
            self.writer.save_meta(
                status="running",
                reason="",
                steps_planned=config.steps,
                config=_plain(config),
                threads=self.threads,
            )
        else:
            self.writer = RunWriter.create(config.out, self._meta(), models.vocabulary(student))

    def begin(self, say: Callable[[str], object]) -> None:
        """Let the first student write its probe texts; a run that goes on drops what it will write
        again, and reads them back.
        """
        if self.config.resume:
            self.probes = self._old_probes()
            self.tasks.batch(self.first_step * self.config.rollouts)  # already used
            self.writer.drop_from(self.first_step)
            self.writer.clear_stop()
        else:
            self.probes = self._new_probes("first", 0)
        if self.config.gradients == "full":
            say(
                gradient_sums.exact_price(
                    self.student,
                    self.teacher,
                    self.probes or self._short_texts(),
                    self.config.exact_positions,
                )
            )

    def run(self, stop: Callable[[], bool], listen: Listener) -> int:
        """All steps, or until `stop`; returns the last step that was logged."""
        for step in range(self.first_step, self.config.steps + 1):
            ending = step == self.config.steps or stop()
            clock = Clock(self.student.device)
            with clock.phase("step_s"):
                accuracy = (
                    self.milestone(step) if ending or step % self.config.probe_every == 0 else None
                )
                rollouts, scored = self.judge_fresh_rollouts(step, clock, learn=not ending)
                self.log_tokens(step, rollouts, scored, clock, ending)
                update_norm = None if ending else self.update(step, clock)
                self.log_metrics(step, rollouts, scored, clock, update_norm)
            kl = float(scored.losses["kl"].mean())
            listen(
                Progress(
                    step,
                    self.config.steps,
                    kl,
                    len(scored.losses["kl"]),
                    clock.seconds["step_s"],
                    accuracy,
                )
            )
            if ending:
                break
        return step

    def judge_fresh_rollouts(self, step: int, clock: Clock, learn: bool) -> tuple[Rollouts, Scored]:
        """Sample, score, and leave the gradient of the mean kl in the student. Normaliser: the
        number of tokens.
        """
        config = self.config
        with clock.phase("sample_s"):
            batch = self.tasks.batch(config.rollouts)
            seed = derived_seed(config.seed, "rollouts", step)
            rollouts = sample(
                self.student, self.teacher, batch, config.max_new_tokens, config.temperature, seed
            )
        n = sum(rollouts.lengths)
        self.optimizer.zero_grad()
        weight_N = torch.full((n,), 1.0 / n, device=self.student.device) if learn else None
        scored = score(self.student, self.teacher, rollouts, clock, weight_N)
        self._refuse_non_finite(step, rollouts, scored)
        return rollouts, scored

    def update(self, step: int, clock: Clock) -> float:
        """One step of the optimizer; returns the norm of the gradient before it was clipped to 1.
        Raises NonFiniteLoss.
        """
        parameters = list(self.student.net.parameters())
        with clock.phase("update_s"):
            norm = float(torch.nn.utils.clip_grad_norm_(parameters, 1.0))
            if not np.isfinite(norm):
                raise NonFiniteLoss(
                    f"At step {step} the gradient has norm {norm}",
                    "An update with it would ruin the student",
                    _CURE,
                )
            for group in self.optimizer.param_groups:
                group["lr"] = self.learning_rate(step)
            self.optimizer.step()
            if not np.isfinite(float(torch.nn.utils.get_total_norm(parameters))):
                raise NonFiniteLoss(
                    f"The update of step {step} made weights that are no numbers",
                    "Nothing can be sampled from them",
                    _CURE,
                )
        return norm

    def learning_rate(self, step: int) -> float:
        """Ten steps of warm-up; a line that would reach 0 at the last step, but stops at a tenth of
        the peak.
        """
        return self.config.lr * min(1.0, (step + 1) / 10) * max(0.1, 1 - step / self.config.steps)

    def milestone(self, step: int) -> dict[str, float]:
        """What is measured now and then: held-out accuracy, the probe texts rescored, a checkpoint.
        Returns the accuracy.
        """
        config, accuracy = self.config, {}
        if self.tasks.held_out:
            for decoding, temperature in (("greedy", 0.0), ("sampled", config.temperature)):
                seed = derived_seed(config.seed, "held-out", 0)
                accuracy[decoding] = evals.graded(
                    self.student, self.tasks.held_out, config.max_new_tokens, temperature, seed
                )
            self.writer.append("evals", step, eval_columns(step, accuracy))
        if self.probes is not None:
            # of small models with large vocabularies the sums at every scoring would take 4 % of
            # the time between two
            self.log_probes(
                "first",
                step,
                self.probes,
                sums=step % (2 * config.probe_every) == 0 or step == config.steps,
            )
        if config.gradients != "off" and (
            moments := gradient_sums.second_moments(step, self.optimizer, self.student.head)
        ):
            self.writer.append("optimizer", step, moments)
        self.checkpoints.save(step, self.student, self.optimizer, every=config.probe_every)
        return {decoding: float(outcome.mean()) for decoding, outcome in accuracy.items()}

    def log_tokens(
        self, step: int, rollouts: Rollouts, scored: Scored, clock: Clock, ending: bool
    ) -> None:
        """Write the fresh rollouts and their tokens, at the steps that are logged in full."""
        with clock.phase("log_s"):
            if ending or step % self.config.log_every == 0:
                tokens = occurrence_columns(step, rollouts, scored)
                self.writer.append("rollouts", step, rollout_columns(step, rollouts, self.student))
                self.writer.append(
                    "tokens", step, {**tokens, "weight": np.ones(len(tokens["kl"]), np.float32)}
                )

    def log_metrics(
        self, step: int, rollouts: Rollouts, scored: Scored, clock: Clock, update_norm: float | None
    ) -> None:
        """Write the one row of this step; what it costs is told in the row of the next."""
        row = {
            **step_summary(step, rollouts, scored),
            "learning_rate": None if update_norm is None else self.learning_rate(step),
            "update_norm": update_norm,
            **{
                name: clock.seconds.get(name, 0.0)
                for name in ("sample_s", "teacher_s", "student_s", "projection_s", "update_s")
            },
            "log_s": clock.seconds["log_s"] + self.metrics_seconds,
        }
        own = Clock()
        with own.phase("write"):
            self.writer.append("metrics", step, {name: [value] for name, value in row.items()})
        self.metrics_seconds = own.seconds["write"]

    def close(self, last: int) -> None:
        """Let the final student write the second probe set, rescore it under every checkpoint, and
        say how the run ended.
        """
        final = self._new_probes("final", last)
        if final is not None:
            for step in self.checkpoints.steps():
                self.checkpoints.load_weights(step, self.student)
                self.log_probes("final", step, final)
            self.checkpoints.load_weights(last, self.student)
        if self.config.gradients == "full":
            self._log_exact(last, *(("first", self.probes) if final is None else ("final", final)))
        if last == self.config.steps:
            self.writer.save_meta(status="finished", reason="")
        else:
            self.writer.save_meta(
                status="stopped",
                reason=f"stopped by request after step {last} of {self.config.steps}",
            )

    def _new_probes(self, probe_set: str, step: int) -> Rollouts | None:
        """The fixed texts of a probe set, written by the student of this step, a batch at a time."""
        config, tasks = self.config, self.tasks.probes[probe_set]
        if not tasks:
            return None
        responses = []
        for start in range(0, len(tasks), _AT_ONCE):
            prompts = models.encode_all(
                self.student, tasks[start : start + _AT_ONCE], teacher=False
            )
            seed = derived_seed(config.seed, f"probe {probe_set}", start)
            responses += self.student.sample(
                prompts, config.max_new_tokens, config.temperature, seed
            )
        rollouts = rollouts_of(self.student, self.teacher, tasks, responses)
        self.writer.write_probe_rollouts(probe_set, rollout_columns(step, rollouts, self.student))
        return rollouts

    def _old_probes(self) -> Rollouts | None:
        """The first probe set of a run that goes on: its writer is gone, its prompts and tokens are
        in the log.
        """
        run = Run.open(self.config.out)
        texts = run.rollouts(probe_set="first").sort_values("rollout_id")
        tasks = [
            Prompt(p, q, None) for p, q in zip(texts.prompt, texts.teacher_prompt, strict=True)
        ]
        return (
            rollouts_of(self.student, self.teacher, tasks, run.probe_ids("first"))
            if tasks
            else None
        )

    def log_probes(self, probe_set: str, step: int, probes: Rollouts, sums: bool = True) -> None:
        """Score the texts of a probe set; alternatives are kept of the first texts only, or they
        would fill the log.
        """
        tops = Alternatives(sum(probes.lengths[: self.config.probes]))
        added = (
            gradient_sums.sums_of(self.student, probes)
            if sums and self.config.gradients != "off"
            else None
        )
        scored = score(
            self.student,
            self.teacher,
            probes,
            Clock(),
            watchers=[tops] if added is None else [tops, added],
        )
        self._refuse_non_finite(step, probes, scored)
        scored = replace(scored, alternatives=tops.arrays())
        self.writer.append_probe(
            probe_set,
            step,
            {**occurrence_columns(step, probes, scored), **alternative_columns(scored)},
        )
        if added is not None:
            self.writer.append_gradients(probe_set, step, added.columns(step, scored))

    def _log_exact(self, step: int, probe_set: str, probes: Rollouts | None) -> None:
        """Exact gradients of a random sample of the positions of a probe set, beside the closed
        forms of the same ones.
        """
        if probes is None:
            return
        at = gradient_sums.exact_sample(
            probes, self.config.exact_positions, derived_seed(self.config.seed, "exact", step)
        )
        columns = occurrence_columns(
            step, probes, score(self.student, self.teacher, probes, Clock())
        )
        norms = gradient_sums.exact_norms(self.student, self.teacher, probes, at)
        self.writer.write_exact(
            probe_set,
            {**{name: values[at] for name, values in columns.items()}, "exact_norm": norms},
        )

    def _short_texts(self) -> Rollouts:
        """A few responses to try things on, where there are no fixed texts."""
        return sample(
            self.student,
            self.teacher,
            self.tasks.known[:3],
            self.config.max_new_tokens,
            self.config.temperature,
            seed=0,
        )

    @staticmethod
    def _refuse_non_finite(step: int, rollouts: Rollouts, scored: Scored) -> None:
        kl = scored.losses["kl"]
        bad = np.flatnonzero(~np.isfinite(kl))
        if len(bad):
            where = occurrence_columns(step, rollouts, scored)
            rollout, position = where["rollout_id"][bad[0]], where["position"][bad[0]]
            raise NonFiniteLoss(
                f"At step {step}, rollout {rollout}, position {position}, kl is {kl[bad[0]]} "
                f"({len(bad)} of {len(kl)} tokens)",
                "An update with it would ruin the student",
                _CURE,
            )

    def _set_threads(self) -> int:
        """The given number of threads; for small models the faster of one and all, tried on a bit
        of this run's work.
        """
        if self.config.threads:
            torch.set_num_threads(self.config.threads)
            return self.config.threads
        if self.student.size >= SMALL or self.student.device.type != "cpu":
            return torch.get_num_threads()
        config = self.config
        tasks = list(islice(cycle(self.tasks.known), config.rollouts))
        length = min(config.max_new_tokens, 64)

        def step_without_update() -> None:
            rollouts = sample(self.student, self.teacher, tasks, length, config.temperature, seed=0)
            score(self.student, self.teacher, rollouts, Clock(), torch.ones(sum(rollouts.lengths)))
            self.optimizer.zero_grad()

        shape = f"{self.student.size} {self.teacher.size} {self.student.vocab_size} {config.rollouts} {length}"
        return choose_threads(step_without_update, shape)

    def _meta(self) -> RunMeta:
        config = self.config
        return RunMeta(
            name=config.out.name,
            student=config.student or Path(self.student.name).name,
            teacher=config.teacher or Path(self.teacher.name).name,
            tokenizer_hash=tokenizer_hash(self.student.tokenizer.get_vocab()),
            vocab_size=self.student.vocab_size,
            temperature=config.temperature,
            max_new_tokens=config.max_new_tokens,
            seed=config.seed,
            steps_planned=config.steps,
            scenario=config.scenario if config.is_builtin else "",
            origin=self.tasks.origin,
            threads=self.threads,
            device=str(self.student.device),
            dtype=config.dtype,
            code_version=version("rock-token-explorer"),
            started=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            config=_plain(config),
        )


def derived_seed(seed: int, purpose: str, step: int) -> int:
    """An independent seed for every purpose and step: nothing of a random stream has to be saved to
    go on with a run.
    """
    return int(
        np.random.SeedSequence([seed, zlib.crc32(purpose.encode()), step]).generate_state(1)[0]
    )


def _plain(config: SessionConfig) -> dict[str, Any]:
    """The configuration as JSON takes it, without what is said anew when a run goes on; paths
    absolute, to resume from anywhere.
    """
    kept = {k: v for k, v in asdict(config).items() if k not in ("out", "resume")}
    places = {
        k: str(Path(v).resolve())
        for k in ("student", "teacher", "prompts")
        if (v := kept[k]) is not None and Path(v).exists()
    }
    return {**kept, **places}


@contextmanager
def _interrupt_as_flag() -> Iterator[Callable[[], bool]]:
    """Within it, the first Ctrl-C (or SIGTERM) only raises a flag; the second one interrupts as
    usual.
    """
    raised = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield raised.is_set
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {s: signal.getsignal(s) for s in signals}

    def note(number: int, frame: object) -> None:
        raised.set()
        print("stopping after this step; once more to quit at once", file=sys.stderr, flush=True)
        for s in signals:
            signal.signal(s, before[s])

    for s in signals:
        signal.signal(s, note)
    try:
        yield raised.is_set
    finally:
        for s in signals:
            signal.signal(s, before[s])
