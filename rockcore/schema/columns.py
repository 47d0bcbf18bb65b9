"""The columns of the log's tables: types, units and one sentence each."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from rockcore.schema.holds import (
    AMOUNT,
    ANY,
    COUNT,
    KNOWN,
    SHARE,
    SIZE,
    TOKEN,
    UNBOUNDED,
    Holds,
)

TOP_ALTERNATIVES = 8
# rollout r belongs to fold r % FOLDS: what intervals of gradients resample, and even so that halves
# can be told apart
FOLDS = 16
# 64 bins: below 1e-4 nats, 62 of equal width in log kl, above 20 nats.
KL_EDGES: np.ndarray = np.geomspace(1e-4, 20.0, 63)


class Column(NamedTuple):
    """A column of the log: its Arrow type, its unit, and one sentence that pages and docs may
    quote.
    """

    type: pa.DataType
    unit: str
    meaning: str
    optional: bool = False  # a file without it is whole
    holds: Holds = ANY


TOKENS: dict[str, Column] = {
    "step": Column(
        pa.int32(),
        "updates",
        "The student had been updated this often when it wrote the token.",
        holds=COUNT,
    ),
    "rollout_id": Column(pa.int32(), "", "Index of the rollout within its step.", holds=COUNT),
    "position": Column(
        pa.int32(),
        "tokens",
        "Index within the response, from 0; prompts are not counted.",
        holds=COUNT,
    ),
    "token_id": Column(pa.int32(), "", "The token that stands there.", holds=TOKEN),
    "kl": Column(
        pa.float32(),
        "nats",
        "Reverse KL(student ‖ teacher) over the whole vocabulary, for the prediction of this "
        "token; not negative but for rounding. Of a run whose estimator is another one, what that "
        "says.",
        optional=True,
    ),
    "sampled_loss": Column(
        pa.float32(),
        "nats",
        "log p_student − log p_teacher of this token; may be negative.",
        optional=True,
    ),
    "student_logp": Column(
        pa.float32(),
        "nats",
        "log probability that the student gave this token.",
        holds=UNBOUNDED,
        optional=True,
    ),
    "teacher_logp": Column(
        pa.float32(),
        "nats",
        "log probability that the teacher gave this token.",
        holds=UNBOUNDED,
        optional=True,
    ),
    "student_entropy": Column(
        pa.float32(),
        "nats",
        "Entropy of the student's prediction.",
        holds=UNBOUNDED,
        optional=True,
    ),
    "teacher_entropy": Column(
        pa.float32(),
        "nats",
        "Entropy of the teacher's prediction.",
        holds=UNBOUNDED,
        optional=True,
    ),
    "grad_norm": Column(
        pa.float32(), "", "‖∂kl/∂logits‖₂ of this position, from the closed form.", optional=True
    ),
    "proj_grad_norm": Column(
        pa.float16(),
        "",
        "‖∂kl/∂W‖ of the vocabulary projection W, which is ‖g‖·‖h‖ for the last hidden state h; "
        "null where a model has more between them.",
        optional=True,
        holds=UNBOUNDED,
    ),
    "weight": Column(
        pa.float32(),
        "",
        "Factor on this position's kl in the training objective.",
        holds=UNBOUNDED,
        optional=True,
    ),
}
# a likely token; one of the teacher's may be none of the run's vocabulary, and is shown by its id
ALTERNATIVES = Holds(least=0, entries=(1, math.inf))
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
        holds=ALTERNATIVES,
        optional=True,
    ),
    "student_top_logps": Column(
        _LOGPS,
        "nats",
        "Their log probabilities; null where they are.",
        holds=Holds(finite=False, as_long_as="student_top_ids"),
        optional=True,
    ),
}
PROBE_TEACHER: dict[str, Column] = {
    "rollout_id": TOKENS["rollout_id"],
    "position": TOKENS["position"],
    "teacher_top_ids": Column(
        _IDS,
        "",
        "The teacher's likeliest tokens at this position; null for a text logged without "
        "alternatives.",
        holds=ALTERNATIVES,
        optional=True,
    ),
    "teacher_top_logps": Column(
        _LOGPS,
        "nats",
        "Their log probabilities; null where they are.",
        holds=Holds(finite=False, as_long_as="teacher_top_ids"),
        optional=True,
    ),
}
ROLLOUTS: dict[str, Column] = {
    "step": Column(pa.int32(), "updates", "The step whose student wrote the rollout.", holds=COUNT),
    "rollout_id": Column(
        pa.int32(), "", "Index of the rollout within its step or probe set.", holds=COUNT
    ),
    "prompt": Column(pa.string(), "", "What the student read.", holds=KNOWN),
    "teacher_prompt": Column(pa.string(), "", "What the teacher read.", optional=True),
    "response": Column(pa.string(), "", "What the student wrote."),
    "answer": Column(pa.string(), "", "The right answer, where it is known.", optional=True),
    "correct": Column(
        pa.bool_(),
        "",
        "Whether the response was graded as right; null where no answer is known.",
        optional=True,
    ),
    "truncated": Column(
        pa.bool_(), "", "Whether the response was cut at the length limit.", optional=True
    ),
}
TYPES: dict[str, Column] = {
    "step": Column(pa.int32(), "updates", "The step of the rollouts.", holds=COUNT),
    "token_id": Column(pa.int32(), "", "The token type.", holds=TOKEN),
    "n": Column(pa.int64(), "tokens", "Occurrences of the type.", holds=SIZE),
    "kl_sum": Column(
        pa.float64(), "nats", "Σ kl: the Rock Score R(v) of this step.", optional=True
    ),
    "kl_sq_sum": Column(pa.float64(), "nats²", "Σ kl².", holds=AMOUNT, optional=True),
    "sampled_loss_sum": Column(pa.float64(), "nats", "Σ sampled_loss.", optional=True),
    "grad_norm_sum": Column(pa.float64(), "", "Σ grad_norm.", optional=True, holds=AMOUNT),
    "grad_norm_sq_sum": Column(pa.float64(), "", "Σ grad_norm².", optional=True, holds=AMOUNT),
    "proj_grad_norm_sum": Column(
        pa.float64(), "", "Σ proj_grad_norm.", optional=True, holds=UNBOUNDED
    ),
    "kl_histogram": Column(
        pa.list_(pa.int32()),
        "tokens",
        "Occurrences in each bin of KL_EDGES; those whose kl is not known are in none.",
        holds=Holds(known=True, least=0, entries=(len(KL_EDGES) + 1, len(KL_EDGES) + 1)),
    ),
}
METRICS: dict[str, Column] = {
    "step": Column(pa.int32(), "updates", "The step.", holds=COUNT),
    "rollouts": Column(pa.int32(), "", "Fresh rollouts of the step.", holds=COUNT),
    "tokens": Column(pa.int64(), "tokens", "Their response tokens.", holds=COUNT),
    "kl_mean": Column(
        pa.float64(),
        "nats",
        "Mean kl over these tokens; null where not all were judged, because some got no weight.",
        optional=True,
    ),
    "kl_stderr": Column(
        pa.float64(),
        "nats",
        "Standard error of kl_mean, rollouts taken as the independent units; null for one rollout.",
        holds=AMOUNT,
        optional=True,
    ),
    "accuracy": Column(
        pa.float64(),
        "",
        "Share of graded training rollouts that were right; null where nothing was graded.",
        holds=SHARE,
        optional=True,
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
        optional=True,
    ),
    "update_norm": Column(
        pa.float64(),
        "",
        "Gradient norm before clipping; null for the last step.",
        holds=UNBOUNDED,
        optional=True,
    ),
    "trained": Column(
        pa.float64(),  # null is read as NaN
        "tokens",
        "Tokens with a weight above 0 in that update; null for the last step.",
        optional=True,
        holds=AMOUNT,
    ),
    "weight_sum": Column(
        pa.float64(), "", "Σ weight in that update; null for the last step.", optional=True
    ),
    "sample_s": Column(
        pa.float64(),
        "s",
        "Time to sample the rollouts; the teacher may read finished ones meanwhile.",
        holds=AMOUNT,
        optional=True,
    ),
    "teacher_s": Column(
        pa.float64(),
        "s",
        "Time to score them with the teacher; where cores work side by side, a share of the time "
        "that goes by, and so are the next two.",
        holds=AMOUNT,
        optional=True,
    ),
    "student_s": Column(
        pa.float64(),
        "s",
        "Time for the student's forward and backward pass.",
        holds=AMOUNT,
        optional=True,
    ),
    "projection_s": Column(
        pa.float64(),
        "s",
        "Part of teacher_s and student_s: the vocabulary projections, the losses, and the way "
        "back through the student's projection.",
        optional=True,
        holds=AMOUNT,
    ),
    "update_s": Column(
        pa.float64(),
        "s",
        "Time for the optimizer, and to weigh the positions before.",
        holds=AMOUNT,
        optional=True,
    ),
    "log_s": Column(
        pa.float64(),
        "s",
        "Time to write the log of the step, and to judge what gets no weight for it.",
        holds=AMOUNT,
        optional=True,
    ),
}
PHASES = (
    "sample_s",
    "teacher_s",
    "student_s",
    "update_s",
    "log_s",
)  # of METRICS: together the time of a step
EVALS: dict[str, Column] = {
    "step": Column(pa.int32(), "updates", "The step whose student answered.", holds=COUNT),
    "problem_id": Column(
        pa.int32(),
        "",
        "Index of the held-out problem; the same problems at every step.",
        holds=COUNT,
    ),
    "decoding": Column(
        pa.string(),
        "",
        "greedy, or sampled at the run's temperature.",
        holds=Holds(known=True, among=("greedy", "sampled")),
    ),
    "correct": Column(pa.bool_(), "", "Whether the answer was right.", holds=KNOWN),
}
# g is the gradient of kl in the student's logits, divergence.judge; r a rollout of the fold, n_r
# the type's occurrences in it
GRADIENTS: dict[str, Column] = {
    "step": Column(pa.int32(), "updates", "The student had been updated this often.", holds=COUNT),
    "token_id": Column(pa.int32(), "", "The token type.", holds=TOKEN),
    "fold": Column(
        pa.int32(), "", "rollout_id modulo FOLDS.", holds=Holds(known=True, least=0, most=FOLDS - 1)
    ),
    "n": Column(pa.int32(), "tokens", "Occurrences of the type in this fold.", holds=SIZE),
    "n_sq_sum": Column(
        pa.int64(),
        "",
        "Σ_r n_r²: the pairs of occurrences that share a rollout, each with itself included.",
        holds=SIZE,
    ),
    "kl_sum": Column(pa.float64(), "nats", "Σ kl."),
    "norm_sum": Column(pa.float64(), "", "Σ ‖g‖.", holds=AMOUNT),
    "sq_sum": Column(pa.float64(), "", "Σ ‖g‖².", holds=AMOUNT),
    "within_sq_sum": Column(
        pa.float64(),
        "",
        "Σ_r ‖Σ g over the occurrences in r‖², of the projected g where direction is projected.",
        holds=AMOUNT,
    ),
    "texts": Column(
        pa.int32(),
        "",
        "Texts that the sums are taken over: those of the probe set, and further ones of which "
        "nothing else is logged.",
        optional=True,
        holds=AMOUNT,
    ),
    "scale": Column(
        pa.float32(), "", "direction times scale is Σ g.", holds=Holds(known=True, least=0)
    ),
    "direction": Column(
        pa.binary(),  # written and read in a fifth of the time of a list
        "",
        "Σ g over scale as little-endian float16: the vocabulary, or a random projection where it "
        "is too large; small entries are 0.",
        holds=KNOWN,
    ),
}
# the further texts of the first student, for a run that goes on
SUMMED_TEXTS: dict[str, Column] = {
    name: TOKENS[name] for name in ("rollout_id", "position", "token_id")
}
EXACT: dict[str, Column] = {
    "step": Column(pa.int32(), "updates", "The student had been updated this often.", holds=COUNT),
    **{
        name: TOKENS[name]
        for name in ("rollout_id", "position", "token_id", "grad_norm", "proj_grad_norm")
    },
    "exact_norm": Column(
        pa.float32(),
        "",
        "‖∂kl/∂θ‖₂ over all parameters θ of the student, by automatic differentiation.",
        holds=AMOUNT,
    ),
}
WEIGHTS: dict[str, Column] = {
    "step": Column(
        pa.int32(), "updates", "The step from whose update on the weight holds.", holds=COUNT
    ),
    "token_id": Column(
        pa.int32(), "", "The token type; one that is not here has weight 1.", holds=TOKEN
    ),
    "weight": Column(
        pa.float32(), "", "Factor on the kl of its positions.", holds=Holds(known=True, least=0)
    ),
    "change": Column(
        pa.float64(),
        "",
        "Relative change of its mean kl on the starting student's texts since the last milestone: "
        "−0.1 is a fall by a tenth.",
    ),
    "low": Column(pa.float64(), "", "Lower end of its 95 % interval; null for too few texts."),
    "high": Column(pa.float64(), "", "Upper end of its 95 % interval; null for too few texts."),
    "moved": Column(
        pa.int8(),
        "",
        "−1: the weight went down at this step, 1: up, 0: it stayed.",
        holds=Holds(known=True, least=-1, most=1),
    ),
}
OPTIMIZER: dict[str, Column] = {
    "step": Column(pa.int32(), "updates", "The student had been updated this often.", holds=COUNT),
    "token_id": Column(pa.int32(), "", "The row of the vocabulary projection.", holds=TOKEN),
    "second_moment": Column(
        pa.float32(),
        "",
        "Mean over the row of Adam's bias-corrected second moment; of the input embedding too, "
        "where the two are one.",
        holds=AMOUNT,
    ),
}
VOCAB: dict[str, Column] = {
    "token_id": Column(pa.int32(), "", "Token id.", holds=COUNT),
    "token": Column(
        pa.string(), "", "Its text; a byte that is no text by itself is written \\xNN.", holds=KNOWN
    ),
    "special": Column(pa.bool_(), "", "Whether the tokenizer calls it special.", holds=KNOWN),
}


def noise_floor(dtype: str) -> float:
    """Below this many nats a kl is rounding, not divergence, whichever sign it has.

    Identical models, one of them with a bfloat16 log-softmax, were measured up to 0.012 nats apart;
    in float32 a hundred times less.
    """
    return 1e-4 if dtype == "float32" else 0.02


def arrow_schema(columns: dict[str, Column]) -> pa.Schema:
    return pa.schema([pa.field(name, column.type) for name, column in columns.items()])
