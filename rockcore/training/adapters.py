"""LoRA: the student's own weights stay as they are, and beside each linear map of its layers a
product of two thin matrices is trained. Source: Hu et al. 2022, arXiv 2106.09685.

peft makes the adapters and says how they are named in files; it is asked for here alone, and only
where adapters are. Its own functions put a model into a wrapper, or go through an integration that
wants a later version of it; here it is given the model itself, whose other roles do not change.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from rockcore.config import BadConfig

ALPHA = 2  # the product is scaled by ALPHA, whatever its rank: peft's lora_alpha over its r
WEIGHTS = "adapter_model.safetensors"  # where peft looks for them
_PREFIX = "base_model.model."  # the wrapper in which peft's files have them


def refuse_missing() -> None:
    """Raises BadConfig where peft cannot be imported."""
    try:
        import peft  # noqa: F401
    except ImportError as e:
        raise BadConfig(
            f"--lora, and peft cannot be imported ({str(e).splitlines()[0]})",
            "It makes the adapters",
            'python -m pip install -e ".[lora]"',
        ) from e


def add(net: Any, rank: int, base: str, seed: int) -> None:
    """Put float32 adapters of this rank beside the linear maps of all layers, in place, and let
    nothing else be trained; the student predicts as before. `base`: where its own weights are, for
    those who will read the adapters. Raises BadConfig where peft refuses the model.
    """
    from peft import LoraConfig, TaskType, inject_adapter_in_model

    place = Path(base)
    settings = LoraConfig(
        r=rank,
        lora_alpha=ALPHA * rank,
        lora_dropout=0.0,  # under dropout the divergence would not be that of who wrote the text
        target_modules="all-linear",
        task_type=TaskType.CAUSAL_LM,
        base_model_name_or_path=str(place.resolve() if place.exists() else base),
    )
    device = next(net.parameters()).device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        try:
            inject_adapter_in_model(settings, net)
        except ValueError as e:
            raise BadConfig(
                f"--lora {rank}, and peft refuses {type(net).__name__} ({str(e).splitlines()[0]})",
                "Its linear maps cannot have adapters beside them",
                "Leave --lora away: all weights are trained then",
            ) from e
    for parameter in net.parameters():
        if parameter.requires_grad:  # what is trained must be able to take small updates
            parameter.data = parameter.data.float()
    net.eval()


def are_in(net: Any) -> bool:
    return bool(getattr(net, "peft_config", None))


def told(net: Any) -> str:
    """How much is trained, as a sentence, and what that changes in the log."""
    trained, all_of_it = (
        sum(p.numel() for p in net.parameters() if p.requires_grad or every)
        for every in (False, True)
    )
    return (
        f"adapters: {trained:,} of {all_of_it:,} parameters are trained. The vocabulary projection "
        "is none of them: proj_grad_norm is the gradient that it would get, and there is no second "
        "moment of it"
    )


def weights_of(net: Any) -> dict[str, Tensor]:
    """The adapters alone, under the names that they have in peft's files."""
    from peft import get_peft_model_state_dict

    return {_PREFIX + k: v.contiguous() for k, v in get_peft_model_state_dict(net).items()}


def put(net: Any, weights: dict[str, Tensor]) -> None:
    """Put the adapters of a file, by the names of `weights_of`, into the model."""
    from peft import set_peft_model_state_dict

    set_peft_model_state_dict(net, {k.removeprefix(_PREFIX): v for k, v in weights.items()})


def save(net: Any, folder: Path) -> None:
    """Write what peft's `PeftModel.from_pretrained(model, folder)` reads. Raises OSError or
    SafetensorError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (settings,) = net.peft_config.values()
    settings.save_pretrained(str(folder))
    save_file(weights_of(net), folder / WEIGHTS)
