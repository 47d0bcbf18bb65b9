"""A file of prompts: JSON lines or Parquet, one task a row, as text or as a conversation."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rockcore.schema import Prompt, RockError, Turn, strict_json

_SHAPE = (
    "Give each row `prompt`, and optionally `teacher_prompt` and `answer`: "
    '{"prompt": "2+2?", "answer": "4"}; a conversation is a list of {"role": …, "content": …}'
)
_TEXTS = (
    "Give each row `prompt` and `response`, and optionally `teacher_prompt` and `answer`: "
    '{"prompt": "2+2?", "response": "It is 4.", "answer": "4"}; what a trainer wrote is read by '
    "`rockcore import`"
)
_COLUMNS = ("prompt", "messages", "teacher_prompt", "system", "answer")
_ROLES = ("system", "developer", "user", "assistant", "tool")
_HEAD = re.compile(rf"^(?:\[({'|'.join(_ROLES)})\]\n|({'|'.join(_ROLES)}): )", re.M)
MOST_BYTES = 1 << 26  # of a line: a prompt is read by a model
MOST_TURNS = 10_000


class BadPrompts(RockError, ValueError):
    """A prompts file that is not what was asked for, or a prompt that a model cannot read."""


def load_prompts(path: str | Path, note: Callable[[str], object] = lambda _: None) -> list[Prompt]:
    """The prompts of a .jsonl or .parquet file, in order; `teacher_prompt` defaults to `prompt`.

    `prompt` and `teacher_prompt` are texts or conversations, `messages` is another name of a
    conversation, whose last turn is left out where it is the assistant's; `system` goes before
    either. `note` is told once what of the file is not used. Raises BadPrompts, which names the
    file, the first bad row and what is wrong with it.
    """
    path = Path(path)
    prompts, left_out, answered = [], dict[str, None](), 0
    for number, row in _rows(path):
        where = f"{path}, row {number}"
        fields = _fields(where, row)
        left_out |= dict.fromkeys(name for name in fields if name not in _COLUMNS)
        turns = fields.get("messages")
        answered += isinstance(turns, list) and len(turns) > 1 and _is_answered(turns)
        prompts.append(_prompt(where, fields))
    if not prompts:
        raise BadPrompts(f"{path} holds no rows", "There is nothing to answer", _SHAPE)
    if left_out:
        names = ", ".join(ascii(name)[1:-1][:40] for name in list(left_out)[:10])
        more = f" and {len(left_out) - 10} more" if len(left_out) > 10 else ""
        note(
            f"{path.name}: not used: {names}{more} (used are {', '.join(_COLUMNS)})",
        )
    if answered:
        note(
            f"{path.name}: the assistant's last turn of {answered} of {len(prompts)} conversations "
            "is left out, for the student to write"
        )
    return prompts


def load_texts(path: str | Path) -> list[tuple[Prompt, str]]:
    """The prompts of such a file, each with what was written on it: its `response`, or the
    assistant's last turn in `messages`. Raises BadPrompts, also for a row with neither.
    """
    path = Path(path)
    texts = []
    for number, row in _rows(path):
        where = f"{path}, row {number}"
        fields = _fields(where, row)
        turns, response = fields.get("messages"), fields.get("response")
        if response is None and isinstance(turns, list) and turns and _is_answered(turns):
            response = turns[-1].get("content")
        if not isinstance(response, str):
            found = "has no 'response'" if response is None else "has a response that is no text"
            raise BadPrompts(f"{where} {found}", "Only what was written can be scored", _TEXTS)
        _checked_text(f"{where}: response", response, empty=True)
        texts.append((_prompt(where, fields), response))
    if not texts:
        raise BadPrompts(f"{path} holds no rows", "There is nothing to score", _TEXTS)
    return texts


def _rows(path: Path) -> Iterator[tuple[int, Any]]:
    """The rows with their numbers: in JSON lines those of the lines."""
    if not path.is_file():
        raise BadPrompts(
            f"{path} does not exist",
            "Prompts are read from a file",
            "Give the path of a .jsonl or .parquet file",
        )
    if path.suffix in {".jsonl", ".json"}:
        yield from _lines(path)
    elif path.suffix == ".parquet":
        try:
            rows = pq.read_table(path).to_pylist()
        except (ValueError, OSError, pa.ArrowException) as e:
            raise BadPrompts(
                f"{path} cannot be read ({_first_line(e)})", "It is no valid Parquet", _SHAPE
            ) from e
        yield from enumerate(rows, 1)
    else:
        raise BadPrompts(
            f"{path} ends in '{path.suffix}'",
            "Only JSON lines and Parquet are read",
            "Convert it to .jsonl: one JSON object a line",
        )


def _lines(path: Path) -> Iterator[tuple[int, Any]]:
    number = 0
    try:
        with path.open("rb") as file:  # a line ends at \n alone: U+2028 may stand inside a string
            while line := file.readline(MOST_BYTES + 1):
                number += 1
                if len(line) > MOST_BYTES:
                    raise BadPrompts(
                        f"{path}, row {number} is longer than {MOST_BYTES:,} bytes",
                        "No model reads such a prompt",
                        "Write one JSON object a line",
                    )
                # an editor of Windows begins a file with a mark of its encoding
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                if text.strip():
                    yield number, strict_json.parse(text)
    except (ValueError, OSError) as e:
        if isinstance(e, RockError):
            raise
        raise BadPrompts(
            f"{path}, row {number} cannot be read ({_first_line(e)})",
            "Each line is one JSON object in UTF-8",
            _SHAPE,
        ) from e


def _first_line(e: BaseException) -> str:
    """Of what a library says; never what the file holds. The line that JSON counts is the row."""
    if isinstance(e, json.JSONDecodeError):
        return f"{e.msg} at character {e.colno}"
    if isinstance(e, UnicodeDecodeError):
        return "it is not UTF-8"
    if isinstance(e, ValueError) and str(e).endswith(" stands there twice"):
        return "a key stands there twice"
    return (str(e).splitlines() or [type(e).__name__])[0][:200]


def _kind(value: Any) -> str:
    """What a value of JSON or Parquet is, in a word."""
    kinds: dict[type, str] = {bool: "truth value", int: "number", float: "number", str: "text"}
    kinds |= {list: "list", type(None): "null", dict: "object"}
    return kinds.get(type(value), type(value).__name__)


def _fields(where: str, row: Any) -> dict[str, Any]:
    """The fields of a row that say something. Raises BadPrompts where none is a prompt."""
    fields = {k: v for k, v in row.items() if v is not None} if isinstance(row, dict) else {}
    if "prompt" not in fields and "messages" not in fields:
        # never what it says: a page shows this to who may not read the file
        found = f"{len(row)} other fields" if isinstance(row, dict) else f"a {_kind(row)}"
        raise BadPrompts(
            f"{where} has no 'prompt' (found: {found})", "There is nothing to answer", _SHAPE
        )
    if "prompt" in fields and "messages" in fields:
        raise BadPrompts(
            f"{where} has both 'prompt' and 'messages'",
            "Either is what the student reads",
            "Leave one of them out",
        )
    return fields


def _prompt(where: str, fields: dict[str, Any]) -> Prompt:
    system = fields.get("system")
    if system is not None:
        _checked_text(f"{where}: system", system)
    name = "prompt" if "prompt" in fields else "messages"
    turns = _turns(f"{where}: {name}", fields[name], system, cut=name == "messages")
    of_teacher = turns
    if "teacher_prompt" in fields:
        of_teacher = _turns(f"{where}: teacher_prompt", fields["teacher_prompt"], system)
    answer = _answer(f"{where}: answer", fields.get("answer"))
    told = (_as_text(turns), _as_text(of_teacher), answer)
    return Prompt(*told, _unless_bare(turns), _unless_bare(of_teacher))


def _turns(where: str, value: Any, system: str | None, cut: bool = False) -> tuple[Turn, ...]:
    """A text or a conversation as turns, behind those of `system`; `cut`: the assistant's last one
    is left out.
    """
    if isinstance(value, list):
        if cut and len(value) > 1 and _is_answered(value):
            value = value[:-1]
        turns = tuple(_turn(f"{where}, turn {n}", each) for n, each in enumerate(value, 1))
        _check_turns(where, turns, system)
    else:
        turns = (Turn("user", _checked_text(where, value)),)
    return turns if system is None else (Turn("system", system), *turns)


def _check_turns(where: str, turns: tuple[Turn, ...], system: str | None) -> None:
    if not turns or len(turns) > MOST_TURNS:
        raise BadPrompts(
            f"{where} has {len(turns):,} turns",
            f"A conversation has at least one, and at most {MOST_TURNS:,}",
            _SHAPE,
        )
    if turns[-1].role == "assistant":
        raise BadPrompts(
            f"{where} ends with a turn of the assistant",
            "That is what the student is to write",
            "End it with a turn of the user",
        )
    if system is not None and any(turn.role == "system" for turn in turns):
        raise BadPrompts(
            f"{where} has a turn of the system, and the row a 'system' too",
            "Only one of them can come first",
            "Leave one of them out",
        )


def _is_answered(turns: list[Any]) -> bool:
    return isinstance(turns[-1], dict) and turns[-1].get("role") == "assistant"


def _turn(where: str, turn: Any) -> Turn:
    role = turn.get("role") if isinstance(turn, dict) else None
    if not isinstance(turn, dict) or role not in _ROLES:
        found = f"a {_kind(turn)}" if not isinstance(turn, dict) else "no role that is known"
        raise BadPrompts(
            f"{where} is {found}",
            f"A turn has a role ({', '.join(_ROLES)}) and a content",
            _SHAPE,
        )
    others = [name for name, value in turn.items() if name not in ("role", "content") and value]
    if others:
        raise BadPrompts(
            f"{where} has more than role and content ({len(others)} other fields)",
            "Calls of tools, pictures and names are not put to a model",
            "Leave them out",
        )
    content = turn.get("content")
    if isinstance(content, list):  # parts, as some programs write them
        kinds = [isinstance(part, dict) and part.get("type") == "text" for part in content]
        content = "".join(str(part.get("text")) for part in content) if all(kinds) else content
    # a system's turn may say nothing
    return Turn(role, _checked_text(where, content, empty=role == "system"))


def _checked_text(where: str, text: Any, empty: bool = False) -> str:
    """The text; raises BadPrompts for what is none, or with `empty` only for what cannot be."""
    if not isinstance(text, str) or not (empty or text.strip()):
        raise BadPrompts(
            f"{where} is {'empty' if isinstance(text, str) else f'a {_kind(text)}'}",
            "A prompt is a text that is not empty, or a list of such turns",
            _SHAPE,
        )
    if (half := next((c for c in text if "\ud800" <= c <= "\udfff"), None)) is not None:
        raise BadPrompts(
            f"{where} holds {ascii(half)}",
            "Half of a surrogate pair is no character: no model can read it, no file hold it",
            "Write the text anew, without cutting characters in two",
        )
    return text


def _answer(where: str, answer: Any) -> str | None:
    if answer is None or answer != answer:  # NaN, of a column with gaps
        return None
    if isinstance(answer, (bool, list, dict, bytes)):
        raise BadPrompts(
            f"{where} is a {_kind(answer)}",
            "What a response should hold is one text or one number",
            'Write it as text: "answer": "42"',
        )
    if isinstance(answer, float) and answer.is_integer():
        answer = int(answer)  # a column of numbers with gaps makes 4.0 of 4
    if isinstance(answer, str) and answer:
        _checked_text(where, answer, empty=True)
    return str(answer)


def _as_text(turns: tuple[Turn, ...]) -> str:
    """A conversation as the one text that stands in a log and on a page."""
    if not _unless_bare(turns):
        return turns[0].content
    return "\n\n".join(f"[{role}]\n{content}" for role, content in turns)


def turns_in(text: str) -> tuple[Turn, ...]:
    """The turns of a conversation that stands in a log as one text, as `load_prompts` spells it or
    as "user: …" of an import; empty where the text begins with no role.
    """
    heads = list(_HEAD.finditer(text))
    if not heads or heads[0].start():
        return ()
    ends = [*(head.start() for head in heads[1:]), len(text)]
    return tuple(
        Turn(head[1] or head[2], text[head.end() : end].rstrip("\n"))
        for head, end in zip(heads, ends, strict=True)
    )


def _unless_bare(turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
    """None for a single turn of the user, which its text says."""
    return () if [turn.role for turn in turns] == ["user"] else turns
