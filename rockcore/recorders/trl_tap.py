"""Where TRL computes the divergence of each token: found by what its functions take, never by a
version, tapped while a recording lasts, and put back behind it.

TRL's `DistillationTrainer` reduces a micro-batch of B rows and T completion positions in the module
function `_chunked_divergence_loss`, which takes the mask and calls `ChunkedDivergenceFunction` on
the hidden states: there a value per position exists, already at the index of the token it judges.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rockcore.recorders.rows import CannotRecord
from rockcore.training.divergence import token_losses
from rockcore.training.scoring import pieces

_LOSS, _FUNCTION, _COMPUTE = (
    "_chunked_divergence_loss",
    "ChunkedDivergenceFunction",
    "_compute_loss",
)
_TAKES_LOSS = ("student_hidden_states", "teacher_hidden_states", "completion_mask", "beta")
_TAKES_FUNCTION: tuple[str, ...] = (
    "student_hidden",
    "student_weight",
    "student_bias",
    "teacher_hidden",
    "teacher_weight",
    "teacher_bias",
    "beta",
    "temperature",
    "student_logit_scale",
    "student_final_logit_softcapping",
    "teacher_logit_scale",
    "teacher_final_logit_softcapping",
)
_TAKES_COMPUTE = ("unwrapped_student", "inputs", "num_items_in_batch")


class Head(NamedTuple):
    """What turns N hidden states of a model into logits."""

    hidden: Tensor  # (N, D)
    weight: Tensor  # (V, D)
    bias: Tensor | None
    scale: float
    softcap: float | None

    def logits(self, at: slice | Tensor, weight: Tensor) -> Tensor:
        """(P, V) float32; `weight` is the projection in float32, made once for all pieces. bfloat16
        logits would add a divergence of about 0.01 nats.
        """
        bias = None if self.bias is None else self.bias.float()
        logits = torch.nn.functional.linear(self.hidden[at].float(), weight, bias) * self.scale
        return logits if self.softcap is None else self.softcap * torch.tanh(logits / self.softcap)


class MicroBatch(NamedTuple):
    """What was judged in one call of the loss, still on its device."""

    inputs: dict[str, Tensor]  # prompt_ids, prompt_mask, completion_ids, completion_mask, …
    judged: Tensor  # (B, T) bool: completion positions that are in the loss, not those of a tool
    weight: Tensor  # (B, T) the factors that the loss used; 0 where it judged nothing
    values: dict[str, Tensor]  # of rows.VALUES, (B, T)


def module_of(trainer: Any) -> ModuleType:
    """The module whose functions the trainer's loss goes through. Raises CannotRecord where they
    are not there or take something else.
    """
    owner = next((c for c in type(trainer).__mro__ if _COMPUTE in vars(c)), None)
    if owner is None:
        raise _unknown(trainer, f"it has no {_COMPUTE}")
    module, compute = sys.modules[owner.__module__], inspect.unwrap(vars(owner)[_COMPUTE])
    above = type(trainer).__mro__[: type(trainer).__mro__.index(owner)]
    own = next((c for c in above if "compute_loss" in vars(c)), None)
    if own is not None:
        raise _unknown(trainer, f"its compute_loss is that of {own.__name__}")
    loss: Any = getattr(module, _LOSS, None)
    function: Any = getattr(module, _FUNCTION, None)
    if not callable(loss) or not hasattr(function, "forward"):
        raise _unknown(trainer, f"{module.__name__} has no {_LOSS} and {_FUNCTION}")
    taken = [name for name in _parameters(function.forward) if name != "ctx"]
    for what, differs in (
        (f"{_COMPUTE} takes", _parameters(compute)[-3:] != list(_TAKES_COMPUTE)),
        (f"{_COMPUTE} calls", _LOSS not in compute.__code__.co_names),
        (f"{_LOSS} takes", not set(_TAKES_LOSS) <= set(_parameters(loss))),
        (f"{_LOSS} calls", _FUNCTION not in inspect.unwrap(loss).__code__.co_names),
        (f"{_FUNCTION} takes", taken != list(_TAKES_FUNCTION)),
    ):
        if differs:
            raise _unknown(trainer, f"what {what} is not what it was in TRL 1.16")
    return module


def _parameters(function: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(function).parameters)


def _unknown(trainer: Any, why: str) -> CannotRecord:
    return CannotRecord(
        f"{type(trainer).__name__} cannot be recorded: {why}",
        "The divergence of each token is taken where TRL 1.16's DistillationTrainer computes it, "
        "and a teacher behind a server, or a loss of one's own, never has it whole",
        "Use DistillationTrainer with a teacher that is loaded beside the student; or save the "
        "student's checkpoints, and `rockcore score` its texts with both models",
    )


class Tap:
    """Taps the loss of one trainer: hands on each micro-batch it trains on, weighed by `by_type`
    where that is given.

    `exact`: judge the positions once more from the hidden states, which gives every column, and the
    reverse kl at temperature 1 where the loss is another divergence; it costs both projections on
    the vocabulary again, without a way back. Otherwise the loss's own numbers are the kl.
    """

    def __init__(
        self,
        trainer: Any,
        take: Callable[[MicroBatch], None],
        guard: Callable[[Callable[[], None]], None],
        by_type: Tensor | None,
        exact: bool,
    ):
        self.trainer, self.module = trainer, module_of(trainer)
        self.take, self.guard, self.by_type, self.exact = take, guard, by_type, exact
        self._inputs: dict[str, Tensor] | None = None  # of the micro-batch that is in the loss
        self._mask: Tensor | None = None

    @contextmanager
    def open(self) -> Iterator[None]:
        """Tapped within; whatever happens there, what was replaced is put back."""
        loss, function = getattr(self.module, _LOSS), getattr(self.module, _FUNCTION)
        compute = getattr(self.trainer, _COMPUTE)
        signature = inspect.signature(loss)

        def computed(unwrapped_student: Any, inputs: Any, num_items_in_batch: Any) -> Any:
            # an evaluation trains nothing, and its texts are no step's
            self._inputs = inputs if self.trainer.model.training else None
            try:
                return compute(unwrapped_student, inputs, num_items_in_batch)
            finally:
                self._inputs = self._mask = None

        def masked(*args: Any, **kwargs: Any) -> Any:
            self._mask = signature.bind(*args, **kwargs).arguments["completion_mask"]
            return loss(*args, **kwargs)

        class Tapped(function):
            apply = staticmethod(lambda *args: self._apply(function.apply, args))

        with ExitStack() as stack:
            for place, name, value in (
                (self.module, _LOSS, masked),
                (self.module, _FUNCTION, Tapped),
                (self.trainer, _COMPUTE, computed),
            ):
                stack.enter_context(replaced(place, name, value))
            yield

    def _apply(self, apply: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        divergence_N, entropy_N = apply(*args)
        inputs, mask_BT = self._inputs, self._mask
        if inputs is None or mask_BT is None:  # another trainer's, or an evaluation
            return divergence_N, entropy_N
        weight_BT = mask_BT.float()
        loss_N = divergence_N
        if self.by_type is not None:  # not guarded: weighed otherwise it is another loss
            self.by_type = self.by_type.to(mask_BT.device)
            weight_BT = weight_BT * self.by_type[inputs["completion_ids"].to(mask_BT.device)]
            loss_N = divergence_N * _compact(weight_BT, len(divergence_N), mask_BT)
        self.guard(
            lambda: self._record(inputs, mask_BT, weight_BT, args, (divergence_N, entropy_N))
        )
        return loss_N, entropy_N

    @torch.no_grad()
    def _record(
        self,
        inputs: dict[str, Tensor],
        mask_BT: Tensor,
        weight_BT: Tensor,
        args: tuple[Any, ...],
        own: tuple[Tensor, Tensor],
    ) -> None:
        judged_BT = mask_BT != 0
        kept = {name: x for name, x in inputs.items() if isinstance(x, Tensor) and x.dim() == 2}
        if self.exact:
            values = _judged_again(inputs["completion_ids"], judged_BT, args)
        else:
            names = ("kl", "student_entropy")
            values = {n: _expand(x, judged_BT) for n, x in zip(names, own, strict=True)}
        self.take(MicroBatch(kept, judged_BT, weight_BT, values))


@contextmanager
def replaced(place: Any, name: str, value: Any) -> Iterator[None]:
    """Within it an attribute of a module or an object is another; behind it, it is as it was."""
    own, before = name in vars(place), getattr(place, name)
    setattr(place, name, value)
    try:
        yield
    finally:
        if own:
            setattr(place, name, before)
        else:  # it came from the class
            delattr(place, name)


def _compact(values_BT: Tensor, n: int, mask_BT: Tensor) -> Tensor:
    """(n,) of all positions, or of the masked ones: TRL projects only these where it has Triton."""
    flat = values_BT.reshape(-1)
    return flat if n == len(flat) else flat[mask_BT.reshape(-1) != 0]


def _expand(values_N: Tensor, judged_BT: Tensor) -> Tensor:
    """(B, T), NaN where nothing is judged, of values for all positions or for the judged ones."""
    flat = torch.full_like(judged_BT, torch.nan, dtype=torch.float32).reshape(-1)
    at = judged_BT.reshape(-1)
    values_N = values_N.detach().float()
    flat[at] = values_N[at] if len(values_N) == len(flat) else values_N
    return flat.reshape(judged_BT.shape)


def _judged_again(ids_BT: Tensor, judged_BT: Tensor, args: tuple[Any, ...]) -> dict[str, Tensor]:
    """All values of the judged positions, (B, T) each, from the hidden states that the loss saw; a
    piece of the positions at a time, so that no (B, T, V) is ever there.
    """
    named: dict[str, Any] = dict(zip(_TAKES_FUNCTION, args, strict=False))
    at = judged_BT.reshape(-1)
    heads = [
        Head(
            named[f"{who}_hidden"]
            if len(named[f"{who}_hidden"]) != len(at)
            else named[f"{who}_hidden"][at],
            named[f"{who}_weight"],
            named[f"{who}_bias"],
            named.get(f"{who}_logit_scale", 1.0),
            named.get(f"{who}_final_logit_softcapping"),
        )
        for who in ("student", "teacher")
    ]
    weights = [head.weight.float() for head in heads]
    ids_N = ids_BT.to(at.device).reshape(-1)[at]
    found = [
        token_losses(heads[0].logits(p, weights[0]), heads[1].logits(p, weights[1]), ids_N[p])
        for p in pieces(len(ids_N), len(weights[0]), at.device)
    ]
    names = found[0]._fields if found else ()
    return {n: _expand(torch.cat([getattr(f, n) for f in found]), judged_BT) for n in names}
