"""Students and teachers: load them, check that they fit, sample from one, score with the other.

Every model is a Hugging Face causal language model. Plain small Llama models on a CPU run through
`llama.py`; any other takes the general path. The only module that knows transformers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from transformers.utils import logging as transformers_logging

from rockcore.categories import BYTES
from rockcore.schema import Prompt, RockError, tokenizer_hash
from rockcore.tasks import BadPrompts
from rockcore.training import llama
from rockcore.training.padding import RuleOut, VocabularyMismatch, shared_ids

transformers_logging.disable_progress_bar()  # a session has its own
Ids = list[int]
# parameters, below which the overhead of an operation counts as much as its arithmetic
SMALL = 10_000_000


class ModelNotFound(RockError, FileNotFoundError):
    """No model can be loaded from this folder or name."""


class BadResponse(RockError, ValueError):
    """A prompt and a response that do not fit the model's context."""


class NoDevice(RockError, ValueError):
    """A device that torch cannot use here."""


@dataclass
class Model:
    """A causal language model in the three roles a session needs: writer, judge, pupil."""

    name: str
    net: Any  # the transformers model; its parameters are what training changes
    tokenizer: Any
    stop_ids: frozenset[int]
    fast: llama.FastLlama | None
    projects: (
        bool  # logits are the vocabulary projection of the last hidden states and nothing more
    )
    # compute in bfloat16 from float32 weights: what is trained must be able to take small updates
    half: bool = False
    # with a partner whose vocabulary is padded otherwise, only the ids below it are predicted
    shared_ids: int | None = None

    @property
    def device(self) -> torch.device:
        return next(self.net.parameters()).device

    @property
    def size(self) -> int:
        return sum(p.numel() for p in self.net.parameters())

    @property
    def head(self) -> Tensor:
        """The weight (V, D) of the vocabulary projection."""
        return self.net.get_output_embeddings().weight

    @property
    def vocab_size(self) -> int:
        """The number of ids it predicts over: of rows of its head, or fewer beside its partner."""
        return self.shared_ids or self.head.shape[0]

    @property
    def restricted(self) -> bool:
        """Whether its head has rows that it does not predict over."""
        return self.vocab_size < self.head.shape[0]

    @property
    def readable_ids(self) -> int:
        """The number of ids it can read: those that have an embedding."""
        return self.net.get_input_embeddings().weight.shape[0]

    def encode(self, prompt: str) -> Ids:
        """The ids of a prompt as a user's turn where the tokenizer has a chat template, else of the
        bare text. Raises BadPrompts where there are none, or one that the model cannot read.
        """
        if self.tokenizer.chat_template:
            turn = [{"role": "user", "content": prompt}]
            ids = self.tokenizer.apply_chat_template(
                turn, add_generation_prompt=True, tokenize=True, return_dict=False
            )
        else:
            ids = self.tokenizer(prompt)["input_ids"]
        if not ids:
            raise BadPrompts(
                f"The prompt {prompt!r} becomes no tokens",
                "There is nothing the first word could follow",
                "Leave it out",
            )
        if max(ids) >= self.readable_ids:
            beyond = next(i for i in ids if i >= self.readable_ids)
            raise BadPrompts(
                f"The prompt {prompt[:80]!r} holds {self.tokenizer.convert_ids_to_tokens(beyond)!r}"
                f", token {beyond}, and {self.name} has embeddings for {self.readable_ids} ids",
                "The model cannot read a token that has no embedding",
                "Take the token out of the prompts, or give the model a trained embedding of it",
            )
        return ids

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.half)

    def decode(self, response: Ids) -> str:
        return self.tokenizer.decode(response, skip_special_tokens=True)

    @torch.inference_mode()
    def sample(
        self, prompts: Sequence[Ids], max_new_tokens: int, temperature: float, seed: int
    ) -> list[Ids]:
        """A response to every prompt, up to and including the stop id; temperature 0 is greedy."""
        if self.fast is not None:
            self.check_room(max(map(len, prompts)) + max_new_tokens)
            pick = (
                greedy
                if temperature == 0
                else inverse_cdf(len(prompts), max_new_tokens, temperature, seed)
            )
            head_VD = self.head[: self.vocab_size]
            return self.fast.sample(list(prompts), head_VD, pick, self.stop_ids, max_new_tokens)
        return self._generate(prompts, max_new_tokens, temperature, seed)

    def _generate(
        self, prompts: Sequence[Ids], max_new_tokens: int, temperature: float, seed: int
    ) -> list[Ids]:
        longest = max(map(len, prompts))
        self.check_room(longest + max_new_tokens)
        ids_BT = torch.tensor([[0] * (longest - len(p)) + p for p in prompts], device=self.device)
        mask_BT = torch.tensor(
            [[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=self.device
        )
        choice: dict[str, Any] = (
            {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
            if temperature
            else {"do_sample": False}
        )
        if self.restricted:
            choice["logits_processor"] = [RuleOut(self.vocab_size)]
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), self.autocast():
            torch.manual_seed(seed)
            out_BT = self.net.generate(
                input_ids=ids_BT, attention_mask=mask_BT, max_new_tokens=max_new_tokens, **choice
            )
        return [self._until_stop(row) for row in out_BT[:, longest:].tolist()]

    def _until_stop(self, row: Ids) -> Ids:
        ends = [t for t, token in enumerate(row) if token in self.stop_ids]
        return row[: ends[0] + 1] if ends else row

    def features(self, prompts: Sequence[Ids], responses: Sequence[Ids]) -> Tensor:
        """What `logits` needs for every response token, in order: (N, D), or (N, V) where the model
        does not split.

        Row n predicts the n-th response token: the shift by one happens here and nowhere else.
        Prompts may differ in length from those of another model; the response positions stay the
        same. Only they go through the vocabulary.
        """
        rows = [p + r for p, r in zip(prompts, responses, strict=True)]
        longest = max(map(len, rows))
        self.check_room(longest)
        ids_BT = torch.tensor(
            [row + [0] * (longest - len(row)) for row in rows], device=self.device
        )
        at = [
            b * longest + len(p) - 1 + t
            for b, (p, r) in enumerate(zip(prompts, responses, strict=True))
            for t in range(len(r))
        ]
        at_N = torch.tensor(at, device=self.device)
        if self.fast is not None:
            out_BTD = self.fast.hidden(ids_BT)
        else:
            # padding stands on the right, where a causal model does not look
            with self.autocast():
                net = self.net.get_decoder() if self.projects else self.net
                out = net(ids_BT, use_cache=False)
            out_BTD = out.last_hidden_state if self.projects else out.logits
        return out_BTD.flatten(0, 1)[at_N]

    def logits(self, features: Tensor) -> Tensor:
        """(N, V) predictions from `features`, V = vocab_size."""
        return self.narrowed(self.all_logits(features))

    def narrowed(self, logits: Tensor) -> Tensor:
        """Of predictions over all rows of the head (N, rows) those of the shared ids, (N, V)."""
        return logits[:, : self.vocab_size] if self.restricted else logits

    def all_logits(self, features: Tensor) -> Tensor:
        """(N, rows of the head) predictions from `features`, those of no shared id included."""
        with self.autocast():
            return self.net.get_output_embeddings()(features) if self.projects else features

    def check_room(self, length: int) -> None:
        """Raises BadResponse if a prompt with its response of `length` tokens is longer than the
        model can read.
        """
        most = getattr(self.net.config, "max_position_embeddings", None) or length
        if length > most:
            raise BadResponse(
                f"A prompt with its response takes {length} tokens, {self.name} has room for "
                f"{most}",
                "Positions beyond it were never trained",
                "Shorten the prompts or lower --max-new-tokens",
            )

    def save(self, folder: Path) -> None:
        """Weights and tokenizer in Hugging Face format."""
        self.net.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


def greedy(logits_BV: Tensor, rows_B: Tensor, t: int) -> Tensor:
    return logits_BV.argmax(-1)


def inverse_cdf(B: int, T: int, temperature: float, seed: int) -> llama.Pick:
    """Sampling by one uniform number a token, all drawn beforehand: which rows are still in the
    batch does not matter.

    A cumulated sum and a binary search cost a fifteenth of torch.multinomial at V = 4096.
    """
    uniform_BT = torch.rand(B, T, generator=torch.Generator().manual_seed(seed))

    def pick(logits_BV: Tensor, rows_B: Tensor, t: int) -> Tensor:
        if temperature != 1.0:
            logits_BV = logits_BV / temperature
        cdf_BV = torch.softmax(logits_BV.float(), -1).cumsum(-1)
        # right=True never lands on a token of probability 0
        found = torch.searchsorted(cdf_BV, uniform_BT[rows_B, t, None] * cdf_BV[:, -1:], right=True)
        return found[:, 0].clamp_(max=logits_BV.shape[-1] - 1)

    return pick


def usable_device(name: str | None) -> str:
    """The device to run on, by default a GPU where there is one; raises NoDevice if torch has none
    of this name.
    """
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name).cpu()  # "meta" has no numbers that could be fetched
    except (RuntimeError, AssertionError, NotImplementedError) as e:
        raise NoDevice(
            f"torch cannot use the device '{name}' ({str(e).splitlines()[0]})",
            "Nothing can run there",
            "Give --device cpu",
        ) from e
    return name


def check_room(
    student: Model, teacher: Model, tasks: Sequence[Prompt], max_new_tokens: int
) -> None:
    """Raises BadResponse if the longest prompt and response would not fit a model, before hours
    have gone by.
    """
    for model, is_teacher in ((student, False), (teacher, True)):
        model.check_room(
            max(map(len, encode_all(model, tasks, is_teacher)), default=0) + max_new_tokens
        )


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


def load(source: str, device: str, dtype: str, trained: bool = False) -> Model:
    """Load a model from a folder or a hub name; raises ModelNotFound.

    A model that will be trained keeps float32 weights and computes in `dtype`: bfloat16 weights
    would round small updates away. Only safetensors are read, and no code that a model brings along
    is run.
    """
    half = trained and dtype == "bfloat16"
    with _named_failures(source):
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


def load_pair(student: str, teacher: str, device: str, dtype: str) -> tuple[Model, Model]:
    """Student and teacher, the teacher frozen, both predicting over the ids that they share. Raises
    VocabularyMismatch unless ids mean the same to both.
    """
    pupil, judge = load(student, device, dtype, trained=True), load(teacher, device, dtype)
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


def vocabulary(model: Model) -> dict[str, list]:
    """The columns of schema.VOCAB: every id with its own text, spaces and line breaks kept."""
    ids = list(range(model.vocab_size))
    known = set(model.tokenizer.get_vocab().values())  # they may have gaps
    pieces = [model.tokenizer.convert_ids_to_tokens(i) if i in known else None for i in ids]
    # all_special_ids has those with a role (end, padding); reserved ones and control tokens are
    # only marked so
    marked = {i for i, token in model.tokenizer.added_tokens_decoder.items() if token.special}
    special = set(model.tokenizer.all_special_ids) | marked
    # a byte-level alphabet writes a space as Ġ, SentencePiece as ▁; a large SentencePiece
    # vocabulary has the letter Ġ too
    openings = [p[:1] for p in pieces if p is not None]
    byte_level = openings.count("Ġ") > openings.count("▁")
    texts = [
        f"<unused {i}>" if p is None else p if i in special else piece_text(p, byte_level)
        for i, p in enumerate(pieces)
    ]
    return {"token_id": ids, "token": texts, "special": [i in special for i in ids]}


def piece_text(piece: str, byte_level: bool) -> str:
    r"""The text of a tokenizer's piece; bytes that are no text by themselves are written \xNN."""
    if byte_level:
        if all(c in BYTES for c in piece):
            return bytes(BYTES[c] for c in piece).decode("utf-8", errors="backslashreplace")
        return piece
    if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
        return bytes([int(piece[3:5], 16)]).decode("utf-8", errors="backslashreplace")
    return piece.replace("▁", " ")


def chunks(prompts: Sequence[Ids], responses: Sequence[Ids], budget: int) -> Iterator[list[int]]:
    """Rows grouped by length, each group at most `budget` padded tokens (and at least one row):
    little padding to compute.
    """
    lengths = [len(p) + len(r) for p, r in zip(prompts, responses, strict=True)]
    group: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        if group and (len(group) + 1) * lengths[row] > budget:
            yield group
            group = []
        group.append(row)
    if group:
        yield group


def encode_all(model: Model, prompts: Sequence[Prompt], teacher: bool) -> list[Ids]:
    """The ids of each task's prompt, as the teacher reads it or as the student does. Raises
    BadPrompts for one without ids.
    """
    return [model.encode(p.teacher_prompt if teacher else p.prompt) for p in prompts]
