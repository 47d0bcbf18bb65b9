"""From logits to numbers per token: the divergences, the entropies and the closed-form gradient.

Everything is computed in float32, whatever the models run in: a bfloat16 log-softmax gives two
identical models a divergence of about 0.01 nats.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from rockcore.training.padding import VocabularyMismatch

__all__ = [
    "Judgement",
    "TokenLosses",
    "VocabularyMismatch",
    "judge",
    "token_losses",
    "top_alternatives",
]
_RULED_OUT = -1e30  # stands for a log probability of -inf


class TokenLosses(NamedTuple):
    """One number per position, each of the shape of the token ids, float32."""

    kl: Tensor  # reverse, whole vocabulary, nats, >= 0
    sampled_loss: Tensor  # log p_student - log p_teacher of the token, nats, may be negative
    student_entropy: Tensor  # nats
    teacher_entropy: Tensor  # nats
    grad_norm: Tensor  # norm of d kl / d student_logits
    student_logp: Tensor  # log probability of the token, nats
    teacher_logp: Tensor


class Judgement(NamedTuple):
    losses: TokenLosses
    logit_gradient: Tensor  # d kl / d student_logits, shape of the logits


def token_losses(student_logits: Tensor, teacher_logits: Tensor, token_ids: Tensor) -> TokenLosses:
    """Judge each sampled token by how far the student is from the teacher.

    Logits (B, T, V), ids (B, T); any other leading shape will do. `logits[:, t]` must be the
    prediction *for* `token_ids[:, t]`: the caller has shifted once, and from here on every value
    sits at the index of the token it judges.

    Returns `kl` and `sampled_loss`, both entropies, `grad_norm` and both log probabilities, each
    (B, T), in nats. Differentiable. Raises VocabularyMismatch if the last axes differ; nothing is
    cut to fit. Source: arXiv 2605.09253, eq. 1 and 2. The paper defines one and averages the other;
    both are kept.
    """
    return judge(student_logits, teacher_logits, token_ids).losses


def judge(student_logits: Tensor, teacher_logits: Tensor, token_ids: Tensor) -> Judgement:
    """`token_losses` together with the gradient of kl with respect to the student's logits.

    The gradient has a closed form, g_u = p_u (log p_u - log q_u - kl), built from tensors that are
    there anyway, so training needs no automatic differentiation through the softmax. Its rounding
    is relative to p_u and the size of the logits, not to g_u: where the student is certain and g is
    tiny, few of its digits are right. Source: arXiv 2605.09253, section 3.
    """
    if student_logits.shape != teacher_logits.shape or student_logits.shape[:-1] != token_ids.shape:
        raise VocabularyMismatch(
            f"Student logits {tuple(student_logits.shape)}, teacher logits "
            f"{tuple(teacher_logits.shape)}, ids {tuple(token_ids.shape)}",
            "A divergence compares two distributions over one vocabulary, position by position",
            "Use a student and a teacher with the same tokenizer and vocabulary size",
        )
    # -inf becomes finite, so that a token the student rules out adds 0 and not 0 * inf; clamping
    # costs a tenth of masking
    lp, lq = (
        torch.log_softmax(x.float(), -1).clamp(min=_RULED_OUT)
        for x in (student_logits, teacher_logits)
    )
    p = lp.exp()
    gap = lp - lq
    kl = (p * gap).sum(-1)
    gradient = p * (gap - kl[..., None])
    at = token_ids[..., None]
    student_logp, teacher_logp = lp.gather(-1, at)[..., 0], lq.gather(-1, at)[..., 0]
    losses = TokenLosses(
        kl=kl.masked_fill(kl > -1e-10 * _RULED_OUT, torch.inf),
        sampled_loss=student_logp - teacher_logp,
        student_entropy=-(p * lp).sum(-1),
        teacher_entropy=-(lq.exp() * lq).sum(-1),
        grad_norm=gradient.norm(dim=-1),
        student_logp=student_logp,
        teacher_logp=teacher_logp,
    )
    return Judgement(losses, gradient)


def top_alternatives(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k likeliest tokens of every position: ids and log probabilities (nats), each (..., k),
    likeliest first.

    A vocabulary of fewer than k tokens is filled up with id -1 and log probability -inf.
    """
    missing = max(0, k - logits.shape[-1])
    logp, ids = torch.log_softmax(logits.float(), -1).topk(k - missing, -1)
    return F.pad(ids, (0, missing), value=-1), F.pad(logp, (0, missing), value=-torch.inf)
