"""Adapters (LoRA and its kin) beside or instead of whole weights: laid over them by peft where it
is installed, and named where it is not. They are merged: what is trained and logged is the sum.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rockcore.training.model_files import ADAPTER, CONFIG, read

_WEIGHTS = "adapter_model.safetensors"


def base_of(source: str, find: Callable[[str], Path | None]) -> str:
    """The folder or hub name whose weights are meant: `source`, or what its adapter says that it
    was trained on. Raises ValueError, or ImportError where an adapter is there and peft is not.
    """
    settings = find(ADAPTER)
    if settings is None:
        return source
    if find_spec("peft") is None:
        raise ImportError(
            "it holds an adapter, adapter_config.json, which only peft can lay over its model: "
            'python -m pip install -e ".[lora]", or merge it (merge_and_unload) and save the result'
        )
    if find(_WEIGHTS) is None:
        raise ValueError(f"it holds an adapter without {_WEIGHTS}, and nothing else is read")
    if find(CONFIG) is not None:
        return source
    base = read(settings).get("base_model_name_or_path")
    if not isinstance(base, str) or not base.strip():
        raise ValueError(f"{ADAPTER} does not say which model it was trained on")
    return base


def merged(net: Any, find: Callable[[str], Path | None]) -> Any:
    """The network with the adapter that `find` finds, if any, added to its weights. Raises
    ValueError for one that does not fit it.
    """
    settings = find(ADAPTER)
    if settings is None:
        return net
    from peft import PeftModel  # an extra: who has no adapters needs none

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        whole = PeftModel.from_pretrained(net, str(settings.parent))
    lacking = [str(w.message) for w in said if "missing adapter keys" in str(w.message)]
    if lacking:  # they would be as if they were not there
        raise ValueError(f"{_WEIGHTS} does not fit {ADAPTER}: {lacking[0][:200]}")
    return whole.merge_and_unload()
