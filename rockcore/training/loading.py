"""Models from folders or the hub: load one, load a pair and check that it fits, find a device.

The only module that knows transformers. Only safetensors are read, and no code that a model brings
along is run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.utils import logging as transformers_logging

from rockcore.schema import RockError, tokenizer_hash
from rockcore.training import llama
from rockcore.training.models import SMALL, Model
from rockcore.training.padding import VocabularyMismatch, shared_ids

transformers_logging.disable_progress_bar()  # a session has its own


class ModelNotFound(RockError, FileNotFoundError):
    """No model can be loaded from this folder or name."""


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
    teacher_device: str | None = None,
    adapted: bool = False,
) -> tuple[Model, Model]:
    """Student and teacher, the teacher frozen, both predicting over the ids that they share; the
    teacher beside the student or on a device of its own. `adapted`: the student's own weights will
    not be trained. Raises VocabularyMismatch unless ids mean the same to both.
    """
    pupil = load(student, device, dtype, trained=not adapted)
    judge = load(teacher, teacher_device or device, dtype)
    vocabularies = [m.tokenizer.get_vocab() for m in (pupil, judge)]
    if tokenizer_hash(vocabularies[0]) != tokenizer_hash(vocabularies[1]):
        differing = set(vocabularies[0].items()) ^ set(vocabularies[1].items())
        raise VocabularyMismatch(
            f"The tokenizers of {student} ({len(vocabularies[0])} tokens) and {teacher} "
            f"({len(vocabularies[1])} tokens) "
            f"differ in {len({token for token, _ in differing})} tokens",
            "A divergence needs both models to mean the same token by the same id",
            "Take a pair from one model family, or retrain one of them with the other's tokenizer",
        )
    rows = {student: pupil.vocab_size, teacher: judge.vocab_size}
    if len(rows) == 2:
        pupil.shared_ids = judge.shared_ids = shared_ids(pupil.tokenizer, rows)
    judge.net.requires_grad_(False)
    return pupil, judge


def restriction(student: Model, teacher: Model) -> str:
    """Which ids a padded pair is restricted to, as a sentence."""
    rows = (model.head.shape[0] for model in (student, teacher))
    return (
        "The student's head has {} rows, the teacher's {}: both are restricted to the {} ids of "
        "their tokenizer and renormalised. The probability cut off is logged at every step "
        "(student_cut, teacher_cut)"
    ).format(*rows, student.vocab_size)


def load(source: str, device: str, dtype: str, trained: bool = False) -> Model:
    """Load a model from a folder or a hub name; raises ModelNotFound.

    A model that will be trained keeps float32 weights and computes in `dtype`: bfloat16 weights
    would round small updates away. Only safetensors are read, and no code that a model brings along
    is run.
    """
    half = trained and dtype == "bfloat16"
    with _named_failures(source):
        _refuse_foreign_words(Path(source))
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    net = read_net(source, torch.float32 if trained else getattr(torch, dtype))
    net = net.to(device).eval()
    ends = net.generation_config.eos_token_id if net.generation_config else None
    ends = {*(ends if isinstance(ends, list) else [ends]), tokenizer.eos_token_id} - {None}
    # a token without an embedding cannot be read, not even as padding; any other will do
    readable = net.get_input_embeddings().weight.shape[0]
    pads = [tokenizer.pad_token_id, *sorted(ends), 0]
    pad = next(i for i in pads if i is not None and 0 <= i < readable)
    # sampling is pure: penalties, top-k or a temperature that a checkpoint brings along would bias
    # the estimate
    net.generation_config = GenerationConfig(
        eos_token_id=sorted(ends), pad_token_id=pad, bos_token_id=tokenizer.bos_token_id
    )
    small = sum(p.numel() for p in net.parameters()) < SMALL
    fast = llama.FastLlama(net) if small and not half and llama.fits(net) else None
    return Model(
        source, net, tokenizer, frozenset(ends), fast, fast is not None or _projects(net), half
    )


def _refuse_foreign_words(folder: Path) -> None:
    """A tokenizer's settings can name any text file of this machine as its words, and the words of
    a tokenizer go into the log. Raises ValueError for such a one.
    """
    file = folder / "tokenizer_config.json"
    if not file.is_file():  # or a hub name
        return
    settings = json.loads(file.read_text(encoding="utf-8"))
    for name in ("vocab", "merges", "init_inputs"):
        value = settings.get(name) if isinstance(settings, dict) else None
        if value and (isinstance(value, str) or name == "init_inputs"):
            raise ValueError(
                f"{file.name} takes its words from elsewhere: {name} = {ascii(value)[:80]}"
            )


@torch.inference_mode()
def _projects(net) -> bool:
    """Whether logits = projection(last hidden states), asked of the model itself: some scale or cap
    their logits.
    """
    decoder, head = net.get_decoder(), net.get_output_embeddings()
    if decoder is None or head is None:
        return False
    ids = torch.arange(8, device=head.weight.device)[None] % head.weight.shape[0]
    out = decoder(ids)
    return hasattr(out, "last_hidden_state") and torch.equal(
        head(out.last_hidden_state), net(ids).logits
    )


def layers_of(net: Any) -> list[Any]:
    """The layers whose activations can be dropped and computed anew, one by one."""
    return [module for module in net.modules() if isinstance(module, GradientCheckpointingLayer)]


def read_net(source: str, dtype: torch.dtype) -> Any:
    """The network of a folder or a hub name, under the names of weights that it has in memory;
    raises ModelNotFound.
    """
    from_pretrained: Any = AutoModelForCausalLM.from_pretrained
    with _named_failures(source):
        config = AutoConfig.from_pretrained(source, trust_remote_code=False)
        text = config.get_text_config()
        padding, rows = (getattr(text, name, None) for name in ("pad_token_id", "vocab_size"))
        if padding is not None and rows is not None and padding >= rows:
            text.pad_token_id = None  # torch makes no embedding whose padding is not in it
        net, report = from_pretrained(
            source,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
        if report["missing_keys"]:
            raise ValueError(
                f"{len(report['missing_keys'])} weights are missing, e.g. "
                f"{sorted(report['missing_keys'])[0]}"
            )
    return net


@contextmanager
def _named_failures(source: str) -> Iterator[None]:
    """What transformers may raise over a folder or a name becomes ModelNotFound."""
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as e:
        raise ModelNotFound(
            f"No model could be loaded from '{source}' "
            f"({str(e).strip().splitlines()[0] if str(e).strip() else type(e).__name__})",
            "It has to be a folder with config.json, a tokenizer and all weights as safetensors, "
            "or a hub name that can be reached",
            "Check the path; offline, give a folder with a model saved by save_pretrained",
        ) from e
