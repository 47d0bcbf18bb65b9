"""One short text through a model before anything is written: it is encoded, read, continued, and
what comes out has to be numbers. So a template that raises, an operation that a precision lacks or
weights that are no numbers are told at once, and not in the middle of a training.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from rockcore.training.failures import ModelNotFound, shown, told_as
from rockcore.training.models import Model

TEXT = "What is 2 + 2?"


def projects(net: Any) -> bool:
    """Whether logits = projection(last hidden states), asked of the model itself: some scale or cap
    their logits.
    """
    decoder, head = net.get_decoder(), net.get_output_embeddings()
    if decoder is None or head is None:
        return False
    ids = torch.arange(8, device=head.weight.device)[None] % head.weight.shape[0]
    with torch.inference_mode():
        out = decoder(ids, use_cache=False)
        return hasattr(out, "last_hidden_state") and torch.equal(
            head(out.last_hidden_state), net(ids, use_cache=False).logits
        )


def named_use(name: str) -> AbstractContextManager[None]:
    """What is raised over the use of a model becomes ModelNotFound."""
    return told_as(
        lambda why: ModelNotFound(
            f"{shown(name)} cannot be used: on a short text it failed ({why})",
            "A text has to be read and continued, and it would fail in the middle of a training",
            "Try another --dtype or --device, or save the model anew with this version of "
            "transformers",
        )
    )


def refuse_unusable(model: Model) -> None:
    """Raises ModelNotFound for a model that cannot encode, read or continue a short text, or whose
    logits are no numbers.
    """
    words = set(model.tokenizer.get_vocab()) - {
        str(token) for token in model.tokenizer.added_tokens_decoder.values()
    }
    if not words:
        raise ModelNotFound(
            f"The tokenizer of {shown(model.name)} has no words",
            "Nothing can be written with it",
            "Check that tokenizer.json is there; save it beside the weights by save_pretrained",
        )
    ids = [model.encode(TEXT)]
    with named_use(model.name):
        with torch.inference_mode():
            logits = model.logits(model.features(ids, [ids[0][:1]]))
            _refuse_no_numbers(model, logits)
        model.sample(ids, 2, 1.0, seed=0)


def _refuse_no_numbers(model: Model, logits: Tensor) -> None:
    if bool(torch.isnan(logits).any()) or bool(torch.isposinf(logits).any()):
        raise ModelNotFound(
            f"The logits of {shown(model.name)} are no numbers, already on a short text",
            "No probability follows from NaN or infinity",
            "Check its weights, or try --dtype float32",
        )


def refuse_ruled_out(teacher: Model) -> None:
    """Raises ModelNotFound for a teacher that gives some tokens no probability at all: the reverse
    KL of whoever might write them is infinite.
    """
    ids = [teacher.encode(TEXT)]
    with torch.inference_mode():
        logits = teacher.logits(teacher.features(ids, [ids[0][:1]]))[0]
    out = torch.isneginf(logits).nonzero()[:, 0].tolist()
    if out:
        token = teacher.tokenizer.convert_ids_to_tokens(out[0])
        raise ModelNotFound(
            f"The teacher {shown(teacher.name)} has logits of -inf at {len(out)} of "
            f"{len(logits)} ids, e.g. {out[0]} ({ascii(token)[:80]})",
            "The reverse KL is infinite wherever the student may write what the teacher rules out, "
            "from the first step on",
            "Take another teacher, or give its head finite weights",
        )
