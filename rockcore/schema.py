"""The log contract: what a run on disk holds, column by column, and the errors that speak of it.

Everything else in the project imports this module; it imports nothing of ours. A run is a folder:

    run.json                       RunMeta
    vocab.parquet                  VOCAB
    metrics/step=000050.parquet    METRICS: one row a step
    rollouts/step=000050.parquet   ROLLOUTS: the fresh rollouts of a step
    tokens/step=000050.parquet     TOKENS: one row an occurrence of these rollouts
    types/step=000050.parquet      TYPES: additive sums over these occurrences, by token type
    optimizer/step=000050.parquet  OPTIMIZER: what Adam has gathered about each row of the
    vocabulary projection
    probe/SET/rollouts.parquet     ROLLOUTS: texts that stay the same over training (SET: first,
    final)
    probe/SET/step=000050.parquet  PROBE: these texts rescored by the student of step 50
    probe/SET/teacher.parquet      PROBE_TEACHER: what the teacher would have said there, which no
    step changes
                                   (of `final` only the first texts have alternatives, the others
                                   have null)
    gradients/SET/step=000050.parquet  GRADIENTS: summed gradients over a probe set, by token type
    and fold of rollouts
    gradients/SET/exact.parquet    EXACT: gradients in all parameters, for a sample of the positions
    of a probe set
    evals/step=000050.parquet      EVALS: graded answers to held-out problems
    checkpoints/step=000050/       students, and what is needed to resume

*Step s is the student after s updates*, everywhere: its fresh rollouts, its probe values, its
accuracy. *A value sits at the index of the token it judges*: position t of a response carries what
student and teacher predicted for the token at t. Prompts are not scored.

A column may be *optional*: a log written before it existed, or by a trainer that cannot tell it,
lacks it or has null there, opens all the same, and is read as NaN.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

SCHEMA_VERSION = 1
TOP_ALTERNATIVES = 8
PROBE_SETS = ("first", "final")
# rollout r belongs to fold r % FOLDS: what intervals of gradients resample, and even so that halves
# can be told apart
FOLDS = 16


class Texts(str, Enum):
    """Whose texts a question is about. Its value is what links and the command line say."""

    FRESH = "fresh"  # new rollouts at every step
    FIRST = "first"  # written once, by the starting student
    FINAL = "final"  # written once, by the trained student

    __str__ = str.__str__

    @property
    def probe_set(self) -> str | None:
        """The probe set; None for fresh rollouts, which are other texts at every step."""
        return None if self is Texts.FRESH else self.value

    @property
    def table(self) -> str:
        """The table of the log that holds their tokens."""
        return "tokens" if self.probe_set is None else f"probe/{self.value}"

    @property
    def label(self) -> str:
        """As a control names them."""
        return _LABELS[self.value]

    @property
    def phrase(self) -> str:
        """As a sentence names them."""
        return _PHRASES[self.value]


_LABELS = {
    "fresh": "Fresh rollouts",
    "first": "Probe: first student",
    "final": "Probe: final student",
}
_PHRASES = {
    "fresh": "fresh rollouts of each step",
    "first": "texts of the first student",
    "final": "texts of the final student",
}


class RockError(Exception):
    """An error a user can act on: what was found, why it cannot work, what to do."""

    def __init__(self, found: str, why: str, todo: str):
        super().__init__(" ".join(part.rstrip(". ") + "." for part in (found, why, todo)))


class RunNotFound(RockError, FileNotFoundError):
    """There is no run at this path."""


class DamagedRun(RockError, ValueError):
    """A file of the run cannot be read, or lacks what the schema asks for."""


class SchemaMismatch(RockError, ValueError):
    """The run was written under another version of this contract."""


class LogWriteError(RockError, OSError):
    """A file of the run could not be written; what was finished before is still there."""


class NoGradients(RockError, LookupError):
    """The run does not hold the gradients that a question needs."""


class Prompt(NamedTuple):
    """One task: what the student reads, what the teacher reads (privileged context allowed), the
    answer if known.
    """

    prompt: str
    teacher_prompt: str
    answer: str | None


@dataclass(frozen=True)
class RunMeta:
    """`run.json`: what a reader must know to judge the numbers of a run."""

    name: str
    student: str
    teacher: str
    tokenizer_hash: str
    vocab_size: int
    estimator: str = "full"  # what `kl` is: full | topk+tail | absent
    objective: str = "reverse_kl"
    normaliser: str = "tokens"  # what the summed kl of a batch is divided by
    temperature: float = 1.0
    top_p: float = 1.0
    max_new_tokens: int = 0
    seed: int = 0
    steps_planned: int = 0
    scenario: str = ""  # of the built-in world; empty for other prompts
    origin: str = ""  # where a persisting divergence can come from, in words for the reader
    status: str = "running"  # running | finished | stopped | failed
    reason: str = ""  # why it stopped or failed
    threads: int = 0
    device: str = "cpu"
    dtype: str = "float32"
    code_version: str = ""
    started: str = ""  # ISO 8601, UTC
    config: dict[str, Any] = field(default_factory=dict)  # the full SessionConfig
    schema_version: int = SCHEMA_VERSION

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes, path: Path) -> RunMeta:
        """Raises DamagedRun if `text` is no such object, SchemaMismatch if it is of another
        version.
        """
        todo = "Copy the file from a backup, or train or import the run again"
        try:
            data = json.loads(text)
        except ValueError as e:
            raise DamagedRun(
                f"{path} is not JSON ({e})", "It says what the run's numbers mean", todo
            ) from e
        if not isinstance(data, dict) or "schema_version" not in data:
            raise DamagedRun(
                f"{path} has no schema_version",
                "A run cannot be read without knowing its format",
                todo,
            )
        if data["schema_version"] != SCHEMA_VERSION:
            raise SchemaMismatch(
                f"{path} has schema version {data['schema_version']}, this program reads "
                f"{SCHEMA_VERSION}",
                "Columns may mean something else there",
                "Open the run with the version of rock-token-explorer that wrote it, or train or "
                "import it again",
            )
        missing = [
            f.name
            for f in fields(cls)
            if f.name in ("name", "student", "teacher", "tokenizer_hash", "vocab_size")
            and f.name not in data
        ]
        if missing:
            raise DamagedRun(
                f"{path} lacks {', '.join(missing)}", "A run cannot be shown without them", todo
            )
        known = {f.name for f in fields(cls)}
        return cls(**{k: v for k, v in data.items() if k in known})


class Column(NamedTuple):
    """A column of the log: its Arrow type, its unit, and one sentence that pages and docs may
    quote.
    """

    type: pa.DataType
    unit: str
    meaning: str
    optional: bool = False  # a file without it is whole


TOKENS: dict[str, Column] = {
    "step": Column(
        pa.int32(), "updates", "The student had been updated this often when it wrote the token."
    ),
    "rollout_id": Column(pa.int32(), "", "Index of the rollout within its step."),
    "position": Column(
        pa.int32(), "tokens", "Index within the response, from 0; prompts are not counted."
    ),
    "token_id": Column(pa.int32(), "", "The token that stands there."),
    "kl": Column(
        pa.float32(),
        "nats",
        "Reverse KL(student ‖ teacher) over the whole vocabulary, for the prediction of this "
        "token; not negative but for rounding.",
    ),
    "sampled_loss": Column(
        pa.float32(), "nats", "log p_student − log p_teacher of this token; may be negative."
    ),
    "student_logp": Column(
        pa.float32(), "nats", "log probability that the student gave this token."
    ),
    "teacher_logp": Column(
        pa.float32(), "nats", "log probability that the teacher gave this token."
    ),
    "student_entropy": Column(pa.float32(), "nats", "Entropy of the student's prediction."),
    "teacher_entropy": Column(pa.float32(), "nats", "Entropy of the teacher's prediction."),
    "grad_norm": Column(
        pa.float32(), "", "‖∂kl/∂logits‖₂ of this position, from the closed form.", optional=True
    ),
    "proj_grad_norm": Column(
        pa.float16(),
        "",
        "‖∂kl/∂W‖ of the vocabulary projection W, which is ‖g‖·‖h‖ for the last hidden state h; "
        "null where a model has more between them.",
        optional=True,
    ),
    "weight": Column(pa.float32(), "", "Factor on this position's kl in the training objective."),
}
# TOP_ALTERNATIVES entries each; float16 tells a probability to a thousandth of itself in half the
# space
_IDS, _LOGPS = pa.list_(pa.int32()), pa.list_(pa.float16())
PROBE: dict[str, Column] = {
    **{name: column for name, column in TOKENS.items() if name != "weight"},
    "student_top_ids": Column(
        _IDS,
        "",
        "The student's likeliest tokens at this position; null for a text logged without "
        "alternatives.",
    ),
    "student_top_logps": Column(_LOGPS, "nats", "Their log probabilities; null where they are."),
}
PROBE_TEACHER: dict[str, Column] = {
    "rollout_id": TOKENS["rollout_id"],
    "position": TOKENS["position"],
    "teacher_top_ids": Column(
        _IDS,
        "",
        "The teacher's likeliest tokens at this position; null for a text logged without "
        "alternatives.",
    ),
    "teacher_top_logps": Column(_LOGPS, "nats", "Their log probabilities; null where they are."),
}
ROLLOUTS: dict[str, Column] = {
    "step": Column(pa.int32(), "updates", "The step whose student wrote the rollout."),
    "rollout_id": Column(pa.int32(), "", "Index of the rollout within its step or probe set."),
    "prompt": Column(pa.string(), "", "What the student read."),
    "teacher_prompt": Column(pa.string(), "", "What the teacher read."),
    "response": Column(pa.string(), "", "What the student wrote."),
    "answer": Column(pa.string(), "", "The right answer, where it is known."),
    "correct": Column(
        pa.bool_(), "", "Whether the response was graded as right; null where no answer is known."
    ),
    "truncated": Column(pa.bool_(), "", "Whether the response was cut at the length limit."),
}
TYPES: dict[str, Column] = {
    "step": Column(pa.int32(), "updates", "The step of the rollouts."),
    "token_id": Column(pa.int32(), "", "The token type."),
    "n": Column(pa.int64(), "tokens", "Occurrences of the type."),
    "kl_sum": Column(pa.float64(), "nats", "Σ kl: the Rock Score R(v) of this step."),
    "kl_sq_sum": Column(pa.float64(), "nats²", "Σ kl²."),
    "sampled_loss_sum": Column(pa.float64(), "nats", "Σ sampled_loss."),
    "grad_norm_sum": Column(pa.float64(), "", "Σ grad_norm.", optional=True),
    "grad_norm_sq_sum": Column(pa.float64(), "", "Σ grad_norm².", optional=True),
    "proj_grad_norm_sum": Column(pa.float64(), "", "Σ proj_grad_norm.", optional=True),
    "kl_histogram": Column(pa.list_(pa.int32()), "tokens", "Occurrences in each bin of KL_EDGES."),
}
METRICS: dict[str, Column] = {
    "step": Column(pa.int32(), "updates", "The step."),
    "rollouts": Column(pa.int32(), "", "Fresh rollouts of the step."),
    "tokens": Column(pa.int64(), "tokens", "Their response tokens."),
    "kl_mean": Column(pa.float64(), "nats", "Mean kl over these tokens."),
    "kl_stderr": Column(
        pa.float64(), "nats", "Standard error of kl_mean, rollouts taken as the independent units."
    ),
    "accuracy": Column(
        pa.float64(),
        "",
        "Share of graded training rollouts that were right; null where nothing was graded.",
    ),
    **{
        f"{model}_cut": Column(
            pa.float64(),
            "",
            f"Mean probability that the {model} put on ids the pair does not share, before both "
            "were restricted to the shared ones; null where none are cut off.",
            optional=True,
        )
        for model in ("student", "teacher")
    },
    "learning_rate": Column(
        pa.float64(),
        "",
        "Learning rate of the update that followed; null for the last step, which is not followed "
        "by one.",
    ),
    "update_norm": Column(
        pa.float64(), "", "Gradient norm before clipping; null for the last step."
    ),
    "sample_s": Column(pa.float64(), "s", "Time to sample the rollouts."),
    "teacher_s": Column(pa.float64(), "s", "Time to score them with the teacher."),
    "student_s": Column(pa.float64(), "s", "Time for the student's forward and backward pass."),
    "projection_s": Column(
        pa.float64(),
        "s",
        "Part of teacher_s and student_s: the vocabulary projections, the losses, and the way "
        "back through the student's projection.",
        optional=True,
    ),
    "update_s": Column(pa.float64(), "s", "Time for the optimizer."),
    "log_s": Column(pa.float64(), "s", "Time to write the log of the step."),
}
PHASES = (
    "sample_s",
    "teacher_s",
    "student_s",
    "update_s",
    "log_s",
)  # of METRICS: together the time of a step
EVALS: dict[str, Column] = {
    "step": Column(pa.int32(), "updates", "The step whose student answered."),
    "problem_id": Column(
        pa.int32(), "", "Index of the held-out problem; the same problems at every step."
    ),
    "decoding": Column(pa.string(), "", "greedy, or sampled at the run's temperature."),
    "correct": Column(pa.bool_(), "", "Whether the answer was right."),
}
# g is the gradient of kl in the student's logits, divergence.judge; r a rollout of the fold, n_r
# the type's occurrences in it
GRADIENTS: dict[str, Column] = {
    "step": Column(pa.int32(), "updates", "The student had been updated this often."),
    "token_id": Column(pa.int32(), "", "The token type."),
    "fold": Column(pa.int32(), "", "rollout_id modulo FOLDS."),
    "n": Column(pa.int32(), "tokens", "Occurrences of the type in this fold."),
    "n_sq_sum": Column(
        pa.int64(),
        "",
        "Σ_r n_r²: the pairs of occurrences that share a rollout, each with itself included.",
    ),
    "kl_sum": Column(pa.float64(), "nats", "Σ kl."),
    "norm_sum": Column(pa.float64(), "", "Σ ‖g‖."),
    "sq_sum": Column(pa.float64(), "", "Σ ‖g‖²."),
    "within_sq_sum": Column(
        pa.float64(),
        "",
        "Σ_r ‖Σ g over the occurrences in r‖², of the projected g where direction is projected.",
    ),
    "scale": Column(pa.float32(), "", "direction times scale is Σ g."),
    "direction": Column(
        pa.binary(),  # written and read in a fifth of the time of a list
        "",
        "Σ g over scale as little-endian float16: the vocabulary, or a random projection where it "
        "is too large; small entries are 0.",
    ),
}
EXACT: dict[str, Column] = {
    "step": Column(pa.int32(), "updates", "The student had been updated this often."),
    **{
        name: TOKENS[name]
        for name in ("rollout_id", "position", "token_id", "grad_norm", "proj_grad_norm")
    },
    "exact_norm": Column(
        pa.float32(),
        "",
        "‖∂kl/∂θ‖₂ over all parameters θ of the student, by automatic differentiation.",
    ),
}
OPTIMIZER: dict[str, Column] = {
    "step": Column(pa.int32(), "updates", "The student had been updated this often."),
    "token_id": Column(pa.int32(), "", "The row of the vocabulary projection."),
    "second_moment": Column(
        pa.float32(),
        "",
        "Mean over the row of Adam's bias-corrected second moment; of the input embedding too, "
        "where the two are one.",
    ),
}
VOCAB: dict[str, Column] = {
    "token_id": Column(pa.int32(), "", "Token id."),
    "token": Column(
        pa.string(), "", "Its text; a byte that is no text by itself is written \\xNN."
    ),
    "special": Column(pa.bool_(), "", "Whether the tokenizer calls it special."),
}
TABLES = {
    "metrics": METRICS,
    "rollouts": ROLLOUTS,
    "tokens": TOKENS,
    "types": TYPES,
    "evals": EVALS,
    "optimizer": OPTIMIZER,
}

# 64 bins: below 1e-4 nats, 62 of equal width in log kl, above 20 nats.
KL_EDGES: np.ndarray = np.geomspace(1e-4, 20.0, 63)


def noise_floor(dtype: str) -> float:
    """Below this many nats a kl is rounding, not divergence, whichever sign it has.

    Identical models, one of them with a bfloat16 log-softmax, were measured up to 0.012 nats apart;
    in float32 a hundred times less.
    """
    return 1e-4 if dtype == "float32" else 0.02


def arrow_schema(columns: dict[str, Column]) -> pa.Schema:
    return pa.schema([pa.field(name, column.type) for name, column in columns.items()])


def tokenizer_hash(vocabulary: dict[str, int]) -> str:
    """A fingerprint of the map from token to id; two tokenizers with the same one give ids the same
    meaning.
    """
    text = json.dumps(sorted(vocabulary.items(), key=lambda item: item[1]), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
