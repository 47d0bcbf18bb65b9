"""Read a file of prompts, and refuse what cannot be trained on."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from rockcore.schema import Prompt, RockError

_SHAPE = 'Each row needs `prompt` (text), and may have `teacher_prompt` (text) and `answer` (text or number): {"prompt": "2+2?", "answer": "4"}'


class BadPrompts(RockError, ValueError):
    """A prompts file that is not what was asked for."""


def load_prompts(path: str | Path) -> list[Prompt]:
    """The prompts of a .jsonl or .parquet file, in order; `teacher_prompt` defaults to `prompt`.

    Raises BadPrompts, which names the file, the first bad row and what is wrong with it.
    """
    path = Path(path)
    frame = _read(path)
    if "prompt" not in frame.columns:
        raise BadPrompts(f"{path} has no column 'prompt' (found: {', '.join(map(str, frame.columns)) or 'nothing'})", "There is nothing to answer", _SHAPE)
    if frame.empty:
        raise BadPrompts(f"{path} holds no rows", "There is nothing to answer", _SHAPE)
    rows = [_prompt(path, i, row) for i, row in enumerate(frame.to_dict("records"), 1)]
    return rows


def _read(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise BadPrompts(f"{path} does not exist", "Prompts are read from a file", "Give the path of a .jsonl or .parquet file")
    try:
        if path.suffix in {".jsonl", ".json"}:
            return pd.read_json(path, lines=True, dtype=False, convert_dates=False)
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
    except (ValueError, OSError) as e:
        raise BadPrompts(f"{path} cannot be read ({str(e).splitlines()[0]})", "It is not valid JSON lines or Parquet", _SHAPE) from e
    raise BadPrompts(f"{path} ends in '{path.suffix}'", "Only JSON lines and Parquet are read", "Convert it to .jsonl: one JSON object a line")


def _prompt(path: Path, number: int, row: dict) -> Prompt:
    for name in ("prompt", "teacher_prompt"):
        text = row.get(name)
        if name == "teacher_prompt" and (text is None or text != text):
            continue
        if not isinstance(text, str) or not text.strip():
            raise BadPrompts(f"{path}, row {number}: {name} is {text!r}", "A prompt is a text that is not empty", _SHAPE)
    teacher, answer = row.get("teacher_prompt"), row.get("answer")
    if isinstance(answer, float) and answer.is_integer():
        answer = int(answer)  # a column with gaps turns 4 into 4.0
    return Prompt(
        prompt=row["prompt"],
        teacher_prompt=teacher if isinstance(teacher, str) else row["prompt"],
        answer=None if answer is None or answer != answer else str(answer),
    )
