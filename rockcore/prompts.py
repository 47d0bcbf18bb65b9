"""Read a file of prompts, and refuse what cannot be trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from rockcore.schema import Prompt, RockError

_SHAPE = 'Give each row `prompt`, and optionally `teacher_prompt` and `answer`: {"prompt": "2+2?", "answer": "4"}'


class BadPrompts(RockError, ValueError):
    """A prompts file that is not what was asked for."""


def load_prompts(path: str | Path) -> list[Prompt]:
    """The prompts of a .jsonl or .parquet file, in order; `teacher_prompt` defaults to `prompt`.

    Raises BadPrompts, which names the file, the first bad row and what is wrong with it.
    """
    path = Path(path)
    rows = _read(path)
    if not rows:
        raise BadPrompts(f"{path} holds no rows", "There is nothing to answer", _SHAPE)
    return [_prompt(f"{path}, row {number}", row) for number, row in enumerate(rows, 1)]


def _read(path: Path) -> list[Any]:
    if not path.is_file():
        raise BadPrompts(f"{path} does not exist", "Prompts are read from a file", "Give the path of a .jsonl or .parquet file")
    try:
        if path.suffix in {".jsonl", ".json"}:
            with path.open(encoding="utf-8") as lines:  # not splitlines(), which also splits at U+2028 inside a string
                return [json.loads(line) for line in lines if line.strip()]
        if path.suffix == ".parquet":
            return pq.read_table(path).to_pylist()
    except (ValueError, OSError) as e:
        raise BadPrompts(f"{path} cannot be read ({str(e).splitlines()[0]})", "It is not valid JSON lines or Parquet", _SHAPE) from e
    why = "Only JSON lines and Parquet are read"
    raise BadPrompts(f"{path} ends in '{path.suffix}'", why, "Convert it to .jsonl: one JSON object a line")


def _prompt(where: str, row: Any) -> Prompt:
    if not isinstance(row, dict) or "prompt" not in row:
        found = ", ".join(row) if isinstance(row, dict) else repr(row)[:80]
        raise BadPrompts(f"{where} has no 'prompt' (found: {found})", "There is nothing to answer", _SHAPE)
    prompt, answer = row["prompt"], row.get("answer")
    teacher = prompt if row.get("teacher_prompt") is None else row["teacher_prompt"]
    for name, text in (("prompt", prompt), ("teacher_prompt", teacher)):
        if not isinstance(text, str) or not text.strip():
            raise BadPrompts(f"{where}: {name} is {repr(text)[:80]}", "A prompt is a text that is not empty", _SHAPE)
    if isinstance(answer, float) and answer.is_integer():
        answer = int(answer)  # a column of numbers with gaps makes 4.0 of 4
    return Prompt(prompt, teacher, None if answer is None or answer != answer else str(answer))
