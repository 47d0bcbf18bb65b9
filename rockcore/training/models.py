"""A model in the roles a session needs: it reads prompts, samples responses and predicts tokens.

Every model is a Hugging Face causal language model; `loading.py` brings it in. Plain small Llama
models on a CPU run through `llama.py`; any other takes the general path.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rockcore.prompts import BadPrompts
from rockcore.schema import Prompt, RockError, Turn
from rockcore.training import adapters, chat, generation, heads, llama
from rockcore.training.llama import Pick, Wrote
from rockcore.training.padding import ChosenBy
from rockcore.training.sampling import greedy, inverse_cdf

Ids = list[int]
# parameters, below which the overhead of an operation counts as much as its arithmetic
SMALL = 10_000_000
# what families call the number of positions that they were made for
_ROOM = "max_position_embeddings n_positions n_ctx max_seq_len max_sequence_length".split()


class BadResponse(RockError, ValueError):
    """A prompt and a response that do not fit the model's context."""


@dataclass
class Model:
    """A causal language model in the three roles a session needs: writer, judge, pupil."""

    name: str
    net: Any  # the transformers model
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
    template_args: Mapping[str, Any] = field(default_factory=dict)  # for its chat template
    appended: Ids = field(default_factory=list)  # what its tokenizer puts behind every text
    remarks: Sequence[str] = ()  # what a reader should know of how it was loaded
    # rollouts that go through it at once where texts are judged; None: as `scoring` thinks best
    micro_batch: int | None = None
    lanes: int = 1  # groups of rollouts that are worked on side by side, on a core each
    # what it does behind its last hidden states can be asked for position by position
    finishes: bool = False

    @property
    def splits(self) -> bool:
        """Whether `features` are hidden states, of which `logits` makes predictions in pieces."""
        return self.projects or self.finishes

    @property
    def device(self) -> torch.device:
        return next(self.net.parameters()).device

    @cached_property
    def size(self) -> int:
        """Parameters, counted once, adapters included: a step asks for it some sixty times, and
        each walk through the modules takes 0.04 ms of Python.
        """
        return sum(p.numel() for p in self.net.parameters())

    @property
    def trained(self) -> list[Tensor]:
        """The parameters that training changes: all, or its adapters."""
        return [p for p in self.net.parameters() if p.requires_grad]

    @property
    def head(self) -> Tensor:
        """The weight (V, D) of the vocabulary projection."""
        return self.net.get_output_embeddings().weight

    @property
    def vocab_size(self) -> int:
        """The number of ids it predicts over: of rows of its head, or fewer beside its partner."""
        return self.shared_ids or self.head.shape[0]

    @property
    def width(self) -> int:
        """Numbers in a hidden state."""
        return self.head.shape[1]

    @property
    def restricted(self) -> bool:
        """Whether its head has rows that it does not predict over."""
        return self.vocab_size < self.head.shape[0]

    @property
    def readable_ids(self) -> int:
        """The number of ids it can read: those that have an embedding."""
        return self.net.get_input_embeddings().weight.shape[0]

    @property
    def room(self) -> int | None:
        """The number of positions that it was made for, where its settings say it."""
        config = self.net.config.get_text_config()
        found = [getattr(config, name, None) for name in _ROOM]
        return min((n for n in found if type(n) is int and n > 0), default=None)

    def encode(self, prompt: str | Sequence[Turn]) -> Ids:
        """The ids of a prompt, a user's text or a conversation, as `chat.prompt_ids` has them.
        Raises BadPrompts where there are none, or one that the model cannot read; BadTemplate.
        """
        turns = (Turn("user", prompt),) if isinstance(prompt, str) else tuple(prompt)
        ids = chat.prompt_ids(self.name, self.tokenizer, turns, self.template_args, self.appended)
        if not ids:
            raise BadPrompts(
                f"The prompt {chat.brief(turns[-1].content)} becomes no tokens",
                "There is nothing the first word could follow",
                "Leave it out",
            )
        if max(ids) >= self.readable_ids:
            beyond = next(i for i in ids if i >= self.readable_ids)
            raise BadPrompts(
                f"The prompt {chat.brief(turns[-1].content)} holds "
                f"{ascii(self.tokenizer.convert_ids_to_tokens(beyond))[:80]}, token {beyond}, and "
                f"{self.name} has embeddings for {self.readable_ids} ids",
                "The model cannot read a token that has no embedding",
                "Take the token out of the prompts, or give the model a trained embedding of it",
            )
        return ids

    def end_at(self, ids: Iterable[int]) -> None:
        """Let a response end with these ids too, as far as the model can write them."""
        self.stop_ids |= {i for i in ids if i < self.vocab_size}
        self.net.generation_config.eos_token_id = sorted(self.stop_ids)

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.half)

    def decode(self, response: Ids) -> str:
        return self.tokenizer.decode(response, skip_special_tokens=True)

    def sample(
        self,
        prompts: Sequence[Ids],
        max_new_tokens: int,
        temperature: float,
        seed: int,
        wrote: Wrote | None = None,
    ) -> list[Ids]:
        """A response to every prompt, up to and including the stop id; temperature 0 is greedy. The
        draws of a row depend on the seed and its place alone, not on which rows are beside it.
        `wrote` may be told of rows that end before the others.
        """
        self.check_room(max(map(len, prompts)) + max_new_tokens)
        drawn = len(prompts), max_new_tokens, temperature, seed
        pick = greedy if temperature == 0 else inverse_cdf(*drawn, self.device)
        return self.sample_by(prompts, max_new_tokens, pick, wrote)

    @torch.inference_mode()
    def sample_by(
        self,
        prompts: Sequence[Ids],
        max_new_tokens: int,
        pick: Pick,
        wrote: Wrote | None = None,
    ) -> list[Ids]:
        """The same with each next id chosen by `pick`. A pick may end a row early; the caller sees
        to it that all rows fit the model.
        """
        written: dict[int, Ids] = {}
        places = generation.places(self.net, self.half)
        for rows in generation.together(list(map(len, prompts)), max_new_tokens, places):
            group, whole = [prompts[r] for r in rows], len(rows) == len(prompts)
            chosen = pick if whole else generation.of_rows(pick, rows, self.device)
            if self.fast is not None:
                head_VD = self.head[: self.vocab_size]
                told = wrote if whole else None
                found = self.fast.sample(
                    group, head_VD, chosen, self.stop_ids, max_new_tokens, told
                )
            else:
                found = self._generate(group, max_new_tokens, chosen)
            written.update(zip(rows, found, strict=True))
        return [written[r] for r in range(len(prompts))]

    def _generate(self, prompts: Sequence[Ids], max_new_tokens: int, pick: Pick) -> list[Ids]:
        longest = max(map(len, prompts))
        ids_BT = torch.tensor([[0] * (longest - len(p)) + p for p in prompts], device=self.device)
        mask_BT = torch.tensor(
            [[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=self.device
        )
        with self.autocast():
            out_BT = self.net.generate(
                input_ids=ids_BT,
                attention_mask=mask_BT,
                max_new_tokens=max_new_tokens,
                do_sample=False,  # the pick draws
                logits_processor=[ChosenBy(pick, longest, self.vocab_size)],
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
        at_N = torch.tensor(at, dtype=torch.long, device=self.device)  # there may be none
        if self.fast is not None:
            return self.fast.hidden(ids_BT, at_N)
        # padding stands on the right, where a causal model does not look
        with self.autocast():
            net = self.net.get_decoder() if self.splits else self.net
            out = net(ids_BT, use_cache=False)
        out_BTD = out.last_hidden_state if self.splits else out.logits
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
            if self.projects:
                return self.net.get_output_embeddings()(features)
            return heads.finished(self.net, features) if self.finishes else features

    def check_room(self, length: int) -> None:
        """Raises BadResponse if a prompt with its response of `length` tokens is longer than the
        model can read.
        """
        most = self.room or length
        if length > most:
            raise BadResponse(
                f"A prompt with its response takes {length} tokens, {self.name} has room for "
                f"{most}",
                "Positions beyond it were never trained",
                "Shorten the prompts or lower --max-new-tokens",
            )

    def save(self, folder: Path) -> None:
        """Weights and tokenizer in Hugging Face format, or the adapters alone where they are what
        is trained. Raises OSError or SafetensorError.
        """
        if adapters.are_in(self.net):
            adapters.save(self.net, folder)
        else:
            self.net.save_pretrained(folder)
        try:
            self.tokenizer.save_pretrained(folder)
        except Exception as e:
            if type(e) is not Exception:
                raise
            raise OSError(str(e)) from e  # so tokenizers tells of a full disk


def encode_all(model: Model, prompts: Sequence[Prompt], teacher: bool) -> list[Ids]:
    """The ids of each task's prompt, as the teacher reads it or as the student does. Raises
    BadPrompts for one without ids.
    """
    return [model.encode(p.read_by(teacher)) for p in prompts]


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


def chunks(
    prompts: Sequence[Ids], responses: Sequence[Ids], budget: float, most_rows: float = math.inf
) -> Iterator[list[int]]:
    """Rows grouped by length: little padding to compute. A group has at most `budget` padded tokens
    and `most_rows` rows, and at least one row.
    """
    lengths = [len(p) + len(r) for p, r in zip(prompts, responses, strict=True)]
    group: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        padded = (len(group) + 1) * lengths[row]
        if group and (padded > budget or len(group) >= most_rows):
            yield group
            group = []
        group.append(row)
    if group:
        yield group
