"""Record a run of TRL's `DistillationTrainer`:

    with record(trainer, "runs/mine"):
        trainer.train()

Every token that is trained on is logged with the kl that the loss computed for it; the training
itself is the same to the bit, unless a rock set is to weigh it. What cannot be recorded is refused
before anything is trained. What fails later ends the recording with one warning, and the training
goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rockcore.interventions import Arm, Batch, check_set, load_set, weights
from rockcore.log.folders import ROCKS
from rockcore.log.lock import locked
from rockcore.prompts import load_prompts
from rockcore.recorders.guard import RecordingEnded
from rockcore.recorders.rows import CannotRecord, Recording, begun, refuse_weight
from rockcore.recorders.trl_steps import Recorder, name_of, nets_of
from rockcore.recorders.trl_tap import Tap, module_of
from rockcore.rocks.rockset import RockSet
from rockcore.schema import Prompt, RunMeta, tokenizer_hash
from rockcore.training.models import Model
from rockcore.training.vocabulary import vocabulary_columns

__all__ = ["RecordingEnded", "record"]


@contextmanager
def record(
    trainer: Any,
    out: str | Path,
    *,
    probes: str | Path | None = None,
    every: int = 50,
    rock_set: RockSet | str | Path | None = None,
    weight: float = 0.0,
    logps: bool = False,
) -> Iterator[None]:
    """Write the run of a TRL `DistillationTrainer` to the folder `out` while it trains inside.

    Logged for each token: kl (reverse, whole vocabulary, as the loss has it), the student's
    entropy, and the weight that the loss used. `logps`: also both log probabilities, the teacher's
    entropy and the gradient norm, for another projection on the vocabulary by both models; a loss
    of another divergence (beta other than 1, or temperature other than 1) needs it for its kl.
    `probes`: a file of prompts as `rockcore train` reads it; the starting student answers each, and
    the answers are rescored at every `every` updates and at the end, when the final student answers
    once more. Only texts that were scored twice tell which tokens stay hard.
    `rock_set`: the kl of its tokens counts `weight` times in the loss, whose normaliser stays the
    number of tokens.

    Of several processes the first one writes, for all. Raises CannotRecord for a trainer that is
    none of these, BadPrompts, BadRockSet, BadIntervention, RunExists, FolderInUse or LogWriteError;
    all of them before the block begins.
    """
    if every < 1:
        raise CannotRecord(f"every = {every}", "Probes are rescored at each such update", "Give 1")
    module_of(trainer)  # before anything is made
    rocks = _checked(trainer, rock_set)
    refuse_weight(weight)
    prompts = None if probes is None else _prompts(trainer, probes)
    exact = _is_exact(trainer, logps)
    out = Path(out)
    main = trainer.accelerator.is_main_process
    with locked(out, "training") if main else nullcontext() as lock:
        run = None
        if main:
            meta = _meta(trainer, out, rocks, weight, exact or prompts is not None)
            run = Recording.begin(out, meta, _vocabulary(trainer), lock)
            if rocks is not None:
                run.writer.write_text(ROCKS, rocks.to_json())
        recorder = Recorder(trainer, run, prompts, every)
        by_type = None if rocks is None else _by_type(trainer, rocks, weight)
        tap = Tap(trainer, recorder.take, recorder.guard, by_type, exact)
        with recorder.closing(), tap.open(), recorder.following():
            yield


def _is_exact(trainer: Any, logps: bool) -> bool:
    """Whether positions are judged once more. Raises CannotRecord where they cannot be."""
    exact = logps or trainer.beta != 1 or trainer.temperature != 1
    if exact and getattr(trainer, "is_deepspeed_enabled", False):
        raise CannotRecord(
            f"logps = {logps}, beta = {trainer.beta}, temperature = {trainer.temperature} under "
            "DeepSpeed",
            "The log probabilities come from the whole projection, which it cuts into parts",
            "Record without logps a loss with beta = 1 and temperature = 1, or train without it",
        )
    return exact


def _rows(trainer: Any) -> int:
    return nets_of(trainer)[0].get_output_embeddings().weight.shape[0]


def _vocabulary(trainer: Any) -> dict[str, list]:
    student = nets_of(trainer)[0]
    model = Model(name_of(student), student, trainer._tokenizer, frozenset(), None, False)
    return vocabulary_columns(model)


def _prompts(trainer: Any, file: str | Path) -> list[Prompt]:
    """Raises BadPrompts, or CannotRecord where the models are not whole in one process."""
    if any(getattr(trainer, f"is_{how}_enabled", False) for how in ("fsdp", "deepspeed")):
        raise CannotRecord(
            f"probes = {ascii(str(file))[1:-1][:80]} with models in parts (FSDP or DeepSpeed)",
            "Probe texts are sampled and scored by whole models, between two steps",
            "Record without probes, save checkpoints, and `rockcore score` them afterwards",
        )
    return load_prompts(file)


def _checked(trainer: Any, rock_set: RockSet | str | Path | None) -> RockSet | None:
    """Raises BadRockSet or BadIntervention for a set that means nothing to the student."""
    if rock_set is None:
        return None
    rocks = rock_set if isinstance(rock_set, RockSet) else load_set(Path(rock_set))
    name = Path("the rock set") if isinstance(rock_set, RockSet) else Path(rock_set)
    check_set(name, rocks, tokenizer_hash(trainer._tokenizer.get_vocab()), _rows(trainer))
    return rocks


def _by_type(trainer: Any, rocks: RockSet, weight: float) -> torch.Tensor:
    """(V,) the weight of each token id, as the arm `soft` of our own training gives it."""
    V = _rows(trainer)
    batch = Batch(np.arange(V), np.array([V]))
    return torch.from_numpy(weights(Arm("soft", rocks.ids, weight), batch))


def _meta(trainer: Any, out: Path, rocks: RockSet | None, weight: float, logps: bool) -> RunMeta:
    student, teacher = nets_of(trainer)
    args, beta, temperature = trainer.args, trainer.beta, trainer.temperature
    dtype = "bfloat16" if args.bf16 else "float16" if args.fp16 else _dtype(student)
    recorded = {"trainer": type(trainer).__name__, "beta": beta, "temperature": temperature}
    if rocks is not None:
        recorded |= {"rocks": len(rocks.ids), "weight": weight, "fingerprint": rocks.fingerprint}
    return RunMeta(
        name=out.resolve().name,
        student=name_of(student),
        teacher=name_of(teacher),
        tokenizer_hash=tokenizer_hash(trainer._tokenizer.get_vocab()),
        vocab_size=_rows(trainer),
        student_logps="trainer" if logps else "absent",
        source=f"TRL {version('trl')}",
        notes=_notes(trainer, rocks, weight),
        objective=_objective(trainer),
        normaliser="tokens",
        temperature=temperature,
        max_new_tokens=args.max_completion_length or 0,
        seed=args.seed,
        device=str(trainer.accelerator.device),
        dtype=dtype,
        **begun(config={"recorded": recorded}),
    )


def _objective(trainer: Any) -> str:
    names = {0.0: "forward_kl", 1.0: "reverse_kl"}
    name = names.get(trainer.beta, f"generalised_jsd (beta = {trainer.beta})")
    return name if trainer.temperature == 1 else f"{name} at temperature {trainer.temperature}"


def _notes(trainer: Any, rocks: RockSet | None, weight: float) -> list[str]:
    """What a reader must know of the numbers, a sentence each."""
    notes, objective = [], _objective(trainer)
    if objective != "reverse_kl":
        notes.append(
            f"The loss is {objective}; kl is the reverse divergence at temperature 1 all the same, "
            "from the hidden states that the loss saw"
        )
    if rocks is not None:
        notes.append(
            f"The loss counts the divergence of {len(rocks.ids)} token types {weight:g} times, and "
            "is divided by the number of all tokens as before"
        )
    tokens, rows = len(trainer._tokenizer), _rows(trainer)
    if tokens < rows:
        notes.append(f"kl is over all {rows} rows of the head; the tokenizer has {tokens} tokens")
    return notes


def _dtype(net: Any) -> str:
    return str(next(net.parameters()).dtype).removeprefix("torch.")
