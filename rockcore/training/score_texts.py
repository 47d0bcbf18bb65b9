"""How both models of a pair read the texts that are scored.

A run's token ids are taken where they are the student's, else its texts are tokenised anew. What
cannot be judged is left out and counted: an empty response, one that does not fit a model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from rockcore.grading import graded
from rockcore.schema import Turn, tokenizer_hash
from rockcore.training.models import BadResponse, Ids, Model
from rockcore.training.rollouts import Rollouts
from rockcore.training.score_sources import NoTexts, Source, Text


class Readable(NamedTuple):
    """Texts as both models read them."""

    texts: Sequence[Text]
    rollouts: Rollouts
    said: tuple[str, ...]  # what became of the others, and how these are read, in sentences
    correct: Sequence[bool | None]  # by the answer, else as the log says; None if nobody knows


def readable(
    source: Source, texts: Sequence[Text], pair: tuple[Model, Model], grader: str
) -> Readable:
    """The texts that both models of a pair can read, with their ids. Raises NoTexts if there are
    none, BadPrompts for a prompt that becomes no tokens.
    """
    student, teacher = pair
    ids, said = _response_ids(source, texts, student)
    ready = _begins_as_read(student)
    prompts = [
        [_prompt_ids(model, ready, text.task.read_by(model is teacher)) for text in texts]
        for model in (student, teacher)
    ]
    as_read = sum(ready(t.task.prompt) for t in texts)
    if as_read and student.tokenizer.chat_template:
        said.append(
            f"{as_read} of {len(texts)} prompts begin with a special token: they are read as they "
            "are, without the chat template"
        )
    if talks := sum(bool(t.task.turns) for t in texts):
        said.append(
            f"{talks} of {len(texts)} prompts are conversations, and are put to the models turn by "
            "turn"
        )
    kept, left_out = [], Counter[str]()
    for i, response in enumerate(ids):
        why = _unfit(student, teacher, prompts[0][i], prompts[1][i], response)
        if why:
            left_out[why] += 1
        else:
            kept.append(i)
    said += [f"{n} of {len(texts)} texts are left out: {why}" for why, n in left_out.items()]
    if not kept:
        raise NoTexts(
            f"None of the {len(texts)} texts of {source.name} can be scored"
            + "".join(f"; {n}: {why}" for why, n in left_out.items()),
            "A text has a prompt and a response that both models can read",
            "Check that the texts belong to these models",
        )
    chosen = [texts[i] for i in kept]
    rollouts = Rollouts(
        [t.task for t in chosen],
        [prompts[0][i] for i in kept],
        [prompts[1][i] for i in kept],
        [ids[i] for i in kept],
        [_written(student, texts[i], ids[i]) for i in kept],
    )
    return Readable(chosen, rollouts, tuple(said), _correct(chosen, rollouts.texts, grader))


def _correct(texts: Sequence[Text], responses: Sequence[str], grader: str) -> list[bool | None]:
    right = [text.correct for text in texts]
    known = [i for i, text in enumerate(texts) if text.task.answer is not None]
    answers = [texts[i].task.answer or "" for i in known]
    for i, grade in zip(known, graded([responses[i] for i in known], answers, grader), strict=True):
        right[i] = grade.right
    return right


def _response_ids(
    source: Source, texts: Sequence[Text], student: Model
) -> tuple[list[Ids], list[str]]:
    """The ids of each response, and a sentence where they are not those of the log."""
    logged = [t for t in texts if t.ids is not None]
    own = source.tokenizer == tokenizer_hash(student.tokenizer.get_vocab())
    if own or all(_spells(student, t) for t in logged):
        bare = 0 if own else sum(t.response is None for t in logged)
        return [_tokenised(student, t) if t.ids is None else t.ids for t in texts], [
            f"{source.name} does not say of which tokenizer its ids are, nor their text: they are "
            f"read as those of {student.name}"
        ] * (bare > 0)
    return [_tokenised(student, t) for t in texts], [
        f"The token ids of {source.name} are not those of {student.name}: its texts are tokenised "
        "anew, so positions are other ones than there"
    ]


def _spells(student: Model, text: Text) -> bool:
    """Whether the ids of a text give its response, or nothing speaks against it."""
    ids = text.ids or []
    if text.response is None or not ids:
        return True
    if max(ids) >= len(student.tokenizer):
        return False
    spelled = (student.tokenizer.decode(ids, skip_special_tokens=skip) for skip in (True, False))
    return text.response.strip() in (each.strip() for each in spelled)


def _written(student: Model, text: Text, ids: Ids) -> str:
    return student.decode(ids) if text.response is None else text.response


def _tokenised(student: Model, text: Text) -> Ids:
    if not text.response:
        return []
    return student.tokenizer(text.response, add_special_tokens=False)["input_ids"]


def _begins_as_read(model: Model) -> Callable[[str], bool]:
    """Whether a prompt is the text that a chat template made: it begins with a special token."""
    special = tuple(
        token.content for token in model.tokenizer.added_tokens_decoder.values() if token.special
    )
    return lambda prompt: bool(special) and prompt.startswith(special)


def _prompt_ids(model: Model, ready: Callable[[str], bool], turns: Sequence[Turn]) -> Ids:
    text = turns[0].content if len(turns) == 1 else ""
    if len(turns) == 1 and not text.strip():
        return []
    if ready(text):
        return model.tokenizer(text, add_special_tokens=False)["input_ids"]
    return model.encode(turns)


def _unfit(student: Model, teacher: Model, prompt: Ids, teacher_prompt: Ids, ids: Ids) -> str:
    """Why a text cannot be judged; empty where it can."""
    if not ids:
        return "the response is empty"
    if not prompt or not teacher_prompt:
        return "there is no prompt, so nothing the first token could follow"
    most = min(student.vocab_size, student.readable_ids, teacher.readable_ids)
    if max(ids) >= most:
        return f"the response holds ids beyond the {most} that both models know"
    for model, before in ((student, prompt), (teacher, teacher_prompt)):
        if max(before) >= model.readable_ids:
            return f"the prompt holds a token for which {model.name} has no embedding"
        try:
            model.check_room(len(before) + len(ids))
        except BadResponse:
            return f"prompt and response are longer than what {model.name} has room for"
    return ""
