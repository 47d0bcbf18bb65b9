"""What a reader should know of a model, or of a pair, that can be trained all the same: settings
left aside, prompts that the two read differently, an end that only one of them knows.
"""

from __future__ import annotations

from typing import Any

from rockcore.schema import Prompt
from rockcore.spelling import visible
from rockcore.training import chat
from rockcore.training.encodings import Difference
from rockcore.training.models import Model

# what would make sampling another distribution than the model's own
_HABITS = (
    "temperature top_k top_p min_p typical_p epsilon_cutoff eta_cutoff repetition_penalty "
    "no_repeat_ngram_size num_beams penalty_alpha suppress_tokens begin_suppress_tokens "
    "bad_words_ids sequence_bias forced_bos_token_id forced_eos_token_id min_new_tokens"
).split()
_TRIED = "What is 2 + 2?"
_LONGEST = 300


def of_model(
    asked: Any,
    beyond: set[int],
    tokenizer: Any,
    appended: list[int],
    otherwise: Difference | None = None,
) -> tuple[str, ...]:
    """Of a model that is loaded: of `asked`, its own GenerationConfig, what is left aside, the end
    ids that it has no row for, what its tokenizer puts behind a text, and where that was read
    `otherwise` than its file has it.
    """
    told = []
    given = asked.to_diff_dict() if asked is not None else {}
    habits = [
        f"{name} {ascii(given[name])[:40]}" for name in _HABITS if given.get(name) is not None
    ]
    if habits:
        told.append(
            f"its own settings of sampling are left aside ({', '.join(habits)}): rollouts are "
            "drawn from the distribution that is judged"
        )
    if beyond:
        told.append(f"it has no row for the end token {_ids(beyond)}, which cannot end a response")
    if appended:
        names = " ".join(visible(str(t)) for t in tokenizer.convert_ids_to_tokens(appended))
        told.append(
            f"its tokenizer puts {names} behind a text: taken off, a prompt is to be continued"
        )
    if otherwise is not None:
        read, meant = (" ".join(visible(str(t)) for t in part) or "nothing" for part in otherwise)
        told.append(
            "its tokenizer.json is taken as it is: the class that transformers has for it cuts "
            f"texts otherwise ({read} for {meant})"
        )
    return tuple(told)


def _restriction(student: Model, teacher: Model) -> str:
    """Which ids a padded pair is restricted to."""
    rows = (model.head.shape[0] for model in (student, teacher))
    return (
        "The student's head has {} rows, the teacher's {}: both are restricted to the {} ids of "
        "their tokenizer and renormalised. The probability cut off is logged at every step "
        "(student_cut, teacher_cut)."
    ).format(*rows, student.vocab_size)


def of_pair(student: Model, teacher: Model) -> list[str]:
    """A sentence for each thing that may surprise in how the two are put together."""
    models = {"student": student, "teacher": teacher}
    told = [_restriction(student, teacher)] if student.restricted or teacher.restricted else []
    told += [f"The {role}: {what}." for role, model in models.items() for what in model.remarks]
    for role, model in models.items():
        if unused := chat.unused_arguments(model.tokenizer, model.template_args):
            told.append(
                f"The {role}: its chat template does not look at {', '.join(unused)}, so this "
                "changes nothing there."
            )
    return told + _of_ends(student, teacher) + _of_templates(student, teacher)


def _of_ends(student: Model, teacher: Model) -> list[str]:
    own, others = student.stop_ids, teacher.stop_ids
    if own == others or own >= others:
        return []
    names = {i: student.tokenizer.convert_ids_to_tokens(i) for i in own | others}
    mine, theirs = (
        ", ".join(f"{visible(str(names[i]))} ({i})" for i in sorted(ids)) or "nothing"
        for ids in (own, others)
    )
    return [
        f"The student ends a response with {mine}, the teacher with {theirs}: responses end with "
        "the student's, and what the teacher would end with is judged as any token is "
        "(--stop both ends them with either)."
    ]


def _of_templates(student: Model, teacher: Model) -> list[str]:
    has = [bool(model.tokenizer.chat_template) for model in (student, teacher)]
    if has[0] != has[1]:
        one, other = ("student", "teacher") if has[0] else ("teacher", "student")
        return [
            f"Only the {one} has a chat template: the {other} reads the bare prompt, and part of "
            "the divergence may come from that alone."
        ]
    if student.encode(_TRIED) != teacher.encode(_TRIED):
        return [
            "The two put a prompt in different forms: compare what each of them reads, part of the "
            "divergence may come from that alone."
        ]
    return []


def what_each_reads(student: Model, teacher: Model, task: Prompt) -> list[str]:
    """The first prompt as each of the two reads it."""
    told = []
    for role, model in (("student", student), ("teacher", teacher)):
        ids = model.encode(task.read_by(role == "teacher"))
        text = visible(model.tokenizer.decode(ids, skip_special_tokens=False), spaces=True)
        if len(text) > _LONGEST:
            text = f"{text[: _LONGEST // 2]} … {text[-_LONGEST // 2 :]}"
        told.append(f"The {role} reads first: {text}")
    return told


def _ids(ids: set[int]) -> str:
    return ", ".join(map(str, sorted(ids)))
