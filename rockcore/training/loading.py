"""Models from folders or the hub: load one, load a pair and check that it fits, find a device.

The only module that knows transformers. Only safetensors are read, and no code that a model brings
along is run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedTokenizerFast,
)
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.utils import logging as transformers_logging
from transformers.utils.hub import cached_file

from rockcore.schema import RockError
from rockcore.training import chat, given_adapters, heads, llama, model_files, remarks, trial
from rockcore.training.encodings import Difference, difference
from rockcore.training.failures import ModelNotFound, named_failures
from rockcore.training.models import SMALL, Model
from rockcore.training.padding import refuse_other_tokens, shared_ids

__all__ = ["ModelNotFound", "NoDevice", "load", "load_pair", "read_net", "usable_device"]
transformers_logging.disable_progress_bar()  # a session has its own


class NoDevice(RockError, ValueError):
    """A device that torch cannot use here."""


def usable_device(name: str | None, flag: str = "--device") -> str:
    """The device to run on, by default a GPU where there is one; raises NoDevice, which names the
    flag, if torch has none of this name.
    """
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name).cpu()  # "meta" has no numbers that could be fetched
    except (RuntimeError, AssertionError, NotImplementedError) as e:
        raise NoDevice(
            f"torch cannot use the device '{name}' ({str(e).splitlines()[0]})",
            "Nothing can run there",
            f"Give {flag} cpu",
        ) from e
    return name


def load_pair(
    student: str,
    teacher: str,
    device: str,
    dtype: str,
    template_args: Mapping[str, Any] | None = None,
    stop: Literal["student", "both"] = "student",
    teacher_device: str | None = None,
    adapted: bool = False,
) -> tuple[Model, Model]:
    """Student and teacher, the teacher frozen, both predicting over the ids that they share;
    `stop`: whose end tokens end a response. The teacher is beside the student or on a device of its
    own; `adapted`: the student's own weights will not be trained. Raises VocabularyMismatch unless
    ids mean the same to both, ModelNotFound or BadTemplate for what cannot be used.
    """
    pupil = load(student, device, dtype, trained=not adapted, template_args=template_args)
    judge = load(teacher, teacher_device or device, dtype, template_args=template_args)
    match(pupil, judge)
    if stop == "both":
        pupil.end_at(judge.stop_ids)
    return pupil, judge


def match(student: Model, teacher: Model) -> None:
    """Freeze the teacher, and let both predict over the ids that they share. Raises
    VocabularyMismatch unless ids mean the same to both, ModelNotFound for a teacher that rules out
    tokens.
    """
    refuse_other_tokens(student, teacher)
    rows = {model.name: model.head.shape[0] for model in (student, teacher)}
    student.shared_ids = teacher.shared_ids = shared_ids(student.tokenizer, rows)
    trial.refuse_ruled_out(teacher)
    teacher.net.requires_grad_(False)


def load(
    source: str,
    device: str,
    dtype: str,
    trained: bool = False,
    template_args: Mapping[str, Any] | None = None,
) -> Model:
    """Load a model from a folder or a hub name and try it on a short text; raises ModelNotFound or
    BadTemplate.

    A model that will be trained keeps float32 weights and computes in `dtype`: bfloat16 weights
    would round small updates away. Only safetensors are read, and no code that a model brings along
    is run. `template_args` go into its chat template.
    """
    half = trained and dtype == "bfloat16"
    net = read_net(source, torch.float32 if trained else getattr(torch, dtype))
    with named_failures(source):
        tokenizer, otherwise = _read_tokenizer(source)
        net = net.to(device).eval()
        readable = net.get_input_embeddings().weight.shape[0]
        asked = net.generation_config
        ends, beyond = _end_ids(asked, tokenizer, readable)
        pad = _padding_id(tokenizer, ends, readable)
        # sampling is pure: penalties, top-k or a temperature that a checkpoint brings along would
        # bias the estimate
        appended = chat.appended_ids(tokenizer)
        net.generation_config = GenerationConfig(
            eos_token_id=sorted(ends), pad_token_id=pad, bos_token_id=tokenizer.bos_token_id
        )
        small = sum(p.numel() for p in net.parameters()) < SMALL
        fast = llama.FastLlama(net) if small and not half and llama.fits(net) else None
        with trial.named_use(source):  # an error of ours, which stays
            projects = fast is not None or trial.projects(net)
            finishes = not projects and heads.finishes(net)
        model = Model(
            source,
            net,
            tokenizer,
            frozenset(ends),
            fast,
            projects,
            half,
            template_args=dict(template_args or {}),
            appended=appended,
            finishes=finishes,
            remarks=remarks.of_model(asked, beyond, tokenizer, appended, otherwise),
        )
    trial.refuse_unusable(model)
    return model


def _padding_id(tokenizer: Any, ends: set[int], readable: int) -> int:
    """A token without an embedding cannot be read, not even as padding; any other will do."""
    pads = [tokenizer.pad_token_id, *sorted(ends), 0]
    return next(i for i in pads if i is not None and 0 <= i < readable)


class EndIds(NamedTuple):
    """The end tokens of a model, and those that it names and has no row for."""

    known: set[int]
    beyond: set[int]


def _end_ids(asked: GenerationConfig | None, tokenizer: Any, readable: int) -> EndIds:
    """The ids that end a response, and those that would if the model had them. Raises ValueError
    for what is no id.
    """
    named = asked.eos_token_id if asked else None
    named = [*(named if isinstance(named, list) else [named]), tokenizer.eos_token_id]
    for i in named:
        if i is not None and type(i) is not int:
            raise ValueError(f"eos_token_id is {ascii(i)[:80]}, which is no id of a token")
    ids = {i for i in named if i is not None}
    return EndIds({i for i in ids if 0 <= i < readable}, {i for i in ids if not 0 <= i < readable})


def layers_of(net: Any) -> list[Any]:
    """The layers whose activations can be dropped and computed anew, one by one."""
    return [module for module in net.modules() if isinstance(module, GradientCheckpointingLayer)]


def read_net(source: str, dtype: torch.dtype) -> Any:
    """The network of a folder or a hub name, under the names of weights that it has in memory;
    raises ModelNotFound.
    """
    from_pretrained: Any = AutoModelForCausalLM.from_pretrained
    with named_failures(source):
        find = _finder(source)
        model_files.check(find)
        base = given_adapters.base_of(source, find)
        if base != source:
            model_files.check(_finder(base))
        config = AutoConfig.from_pretrained(base, trust_remote_code=False)
        text = config.get_text_config()
        padding, rows = (getattr(text, name, None) for name in ("pad_token_id", "vocab_size"))
        if padding is not None and rows is not None and padding >= rows:
            text.pad_token_id = None  # torch makes no embedding whose padding is not in it
        try:
            net, report = from_pretrained(
                base,
                config=config,
                dtype=dtype,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
                # of itself transformers would lay over an adapter that lies beside the weights,
                # also a pickled one; where it is told to look, there is none
                adapter_kwargs={"subfolder": "none"},
            )
        except RuntimeError as e:
            if "ignore_mismatched_sizes" not in str(e):
                raise
            raise ValueError("its weights have other shapes than config.json says") from e
        if report["missing_keys"]:
            raise ValueError(
                f"{len(report['missing_keys'])} weights are missing, e.g. "
                f"{sorted(report['missing_keys'])[0]}"
            )
        return given_adapters.merged(net, find)


def _read_tokenizer(source: str) -> tuple[Any, Difference | None]:
    """That of the folder or hub name, or of the model that its adapter was trained on; and where
    the class that transformers has for it would cut texts otherwise than its file says.
    """
    find = _finder(source)
    own = any(find(name) for name in ("tokenizer.json", "tokenizer_config.json", "tokenizer.model"))
    place = source if own or find(model_files.CONFIG) else given_adapters.base_of(source, find)
    tokenizer = AutoTokenizer.from_pretrained(place, trust_remote_code=False)
    file = _finder(place)("tokenizer.json")
    otherwise = None if file is None else difference(tokenizer, file)
    if otherwise is not None:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(place)
    return tokenizer, otherwise


def _finder(source: str) -> Callable[[str], Path | None]:
    """Where a file of a folder or of a hub name lies, by its name; None where there is none."""

    def find(name: str) -> Path | None:
        if Path(source).is_dir():
            path = Path(source) / name
            return path if path.is_file() else None
        found = cached_file(
            source,
            name,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
        )
        return Path(found) if found else None

    return find
