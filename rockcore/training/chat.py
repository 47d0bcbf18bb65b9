"""How a prompt is put to a model: as its chat template says where it has one, else as bare text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from rockcore.prompts import BadPrompts
from rockcore.schema import RockError, Turn
from rockcore.training.failures import shown, told_as

Ids = list[int]
_TRIED = ("a", "1", ".", "What is 2 + 2?")


class BadTemplate(RockError, ValueError):
    """A chat template that cannot put a prompt to its model."""


def prompt_ids(
    name: str, tokenizer: Any, turns: Sequence[Turn], args: Mapping[str, Any], appended: Ids
) -> Ids:
    """The ids of a conversation that the model `name` is to continue, by the tokenizer's chat
    template with `args`, or those of the one turn's bare text without what the tokenizer has
    `appended` to it.

    Raises BadTemplate where the template fails, BadPrompts for a conversation of several turns
    where there is none.
    """
    if tokenizer.chat_template:
        with _failures_of_template(name, turns[-1]):
            return tokenizer.apply_chat_template(
                [turn._asdict() for turn in turns],
                add_generation_prompt=True,
                tokenize=True,
                return_dict=False,
                **args,
            )
    if len(turns) > 1 or turns[0].role != "user":
        raise BadPrompts(
            f"A prompt is a conversation of {len(turns)} turns (the first: {turns[0].role}, "
            f"{brief(turns[0].content)}), and {shown(name)} has no chat template",
            "Nothing says how the model is to read turns",
            "Give a bare text, or a model whose tokenizer has a chat template",
        )
    ids = tokenizer(turns[0].content)["input_ids"]
    return ids[: -len(appended)] if appended and ids[-len(appended) :] == appended else ids


def _failures_of_template(name: str, last: Turn) -> AbstractContextManager[None]:
    return told_as(
        lambda why: BadTemplate(
            f"The chat template of {shown(name)} fails on the prompt {brief(last.content)} ({why})",
            "A model reads its prompts in the form that its template gives them",
            "Correct or remove the template, give what it asks for (--template-args JSON), or "
            "leave out turns that it does not take",
        )
    )


def appended_ids(tokenizer: Any) -> Ids:
    """What a tokenizer puts behind every text: after an end token nothing is to be continued."""
    for text in _TRIED:
        whole = tokenizer(text)["input_ids"]
        bare = tokenizer(text, add_special_tokens=False)["input_ids"]
        for start in range(len(whole) - len(bare) + 1) if bare else ():
            if whole[start : start + len(bare)] == bare:
                return whole[start + len(bare) :]
    return []


def unused_arguments(tokenizer: Any, args: Mapping[str, Any]) -> list[str]:
    """The names of `args` that the tokenizer's chat template, if it has one, never looks at."""
    template = tokenizer.chat_template or ""
    if not isinstance(template, str):  # several, by their names
        template = "\n".join(map(str, template.values()))
    return [name for name in args if not re.search(rf"\b{re.escape(name)}\b", template)]


def brief(text: str) -> str:
    """The beginning of a prompt, for a message."""
    return ascii(text[:80])
