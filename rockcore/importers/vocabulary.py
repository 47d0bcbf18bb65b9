"""What the tokens of an import are called: by a tokenizer that is given, by the export itself, or
by their ids.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from rockcore import schema
from rockcore.importers.format import MOST_ID, BadExport
from rockcore.log.files import state_of
from rockcore.log.vocabulary import is_of_tokenizers, marks_of, vocab_columns

_ENDS = 2**16  # bytes at each end of a file that tell it from others


class Tokenizer:
    """A tokenizer.json, read without torch or transformers."""

    def __init__(self, path: Path):
        """Raises BadExport where there is none, or `tokenizers` is not installed; DamagedRun for a
        pipe."""
        file = path / "tokenizer.json" if path.is_dir() else path
        try:
            from tokenizers import Tokenizer as Reader
        except ImportError as e:
            raise BadExport(
                f"--tokenizer {path}, and the package tokenizers is not installed",
                "It turns ids into text",
                "pip install tokenizers, or leave --tokenizer out: tokens are shown by their ids",
            ) from e
        try:
            state_of(file)
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as e:
            raise _no_tokenizer(file, e) from e
        self._file = file
        with _told(file):
            self._reader: Any = Reader.from_str(text)
        if self.last > MOST_ID:
            raise BadExport(
                f"{file} has the id {self.last:,} among {len(self.ids):,} tokens",
                f"A vocabulary is as long as its highest id, and none goes beyond {MOST_ID:,}",
                "Give the tokenizer that the student was trained with",
            )
        self._reader.no_truncation()
        self._reader.no_padding()

    @cached_property
    def ids(self) -> dict[str, int]:
        """From piece to id."""
        return self._reader.get_vocab(with_added_tokens=True)

    @cached_property
    def hash(self) -> str:
        """The same as of a model that is trained here."""
        return schema.tokenizer_hash(self.ids)

    @cached_property
    def last(self) -> int:
        """The highest id; -1 without any."""
        return max(self.ids.values(), default=-1)

    def columns(self) -> dict[str, list]:
        """The columns of schema.VOCAB."""
        pieces: list[str | None] = [None] * (self.last + 1)
        for piece, i in self.ids.items():
            pieces[i] = piece
        added = self._reader.get_added_tokens_decoder()
        special = {i for i, token in added.items() if token.special}
        return vocab_columns(pieces, special, marks_of(self._reader.model))

    def encode(self, text: str) -> np.ndarray:
        """Token ids of a text, (T,) int32, no special ones added."""
        with _told(self._file):
            return np.array(self._reader.encode(text, add_special_tokens=False).ids, np.int32)

    def decode(self, ids: np.ndarray) -> str:
        """Special tokens are written out."""
        with _told(self._file):
            return self._reader.decode(ids.tolist(), skip_special_tokens=False)


class SeenTokens:
    """The ids that an export holds, and what it says they are called."""

    def __init__(self) -> None:
        self.ids: set[int] = set()
        self.texts: dict[int, str] = {}
        self._by_text: dict[str, int] = {}

    @property
    def last(self) -> int:
        """The highest id; -1 without any."""
        return max(self.ids, default=-1)

    def add(self, ids: np.ndarray, tokens: Sequence[str] | None) -> None:
        unique, first = np.unique(ids, return_index=True)
        self.ids.update(unique.tolist())
        if tokens is not None:
            for i, at in zip(unique.tolist(), first.tolist(), strict=True):
                self.texts.setdefault(i, str(tokens[at]))

    def number(self, tokens: Iterable[str]) -> np.ndarray:
        """Ids for tokens that an export gives by their text alone: (T,) int32, counted as they
        come.
        """
        known = self._by_text
        return np.array([known.setdefault(t, len(known)) for t in tokens], np.int32)

    def columns(self, tokenizer: Tokenizer | None) -> dict[str, list]:
        """The columns of schema.VOCAB: of the whole tokenizer, or of what was seen."""
        columns = tokenizer.columns() if tokenizer else {"token_id": [], "token": [], "special": []}
        known = len(columns["token_id"])
        for i in sorted(self.ids):
            if i >= known:
                columns["token_id"].append(i)
                columns["token"].append(self.texts.get(i, f"⟨{i}⟩"))
                columns["special"].append(False)
        return columns

    def beyond(self, tokenizer: Tokenizer) -> int:
        """How many of the ids the tokenizer lacks."""
        return sum(i > tokenizer.last for i in self.ids)


@contextmanager
def _told(file: Path) -> Iterator[None]:
    """Raises BadExport for what tokenizers raises over its file."""
    try:
        yield
    except BaseException as e:
        if not is_of_tokenizers(e):
            raise
        raise _no_tokenizer(file, e) from e


def _no_tokenizer(file: Path, cause: BaseException) -> BadExport:
    return BadExport(
        f"{file} is no readable tokenizer ({ascii(str(cause))[1:-1][:80]})",
        "It turns ids into text",
        "Give a tokenizer.json, or the folder of a model that holds one",
    )


def unknown_hash(files: Iterable[Path]) -> str:
    """The tokenizer of an export that does not name it: equal for the same files alone."""
    digest = hashlib.sha256()
    for file in files:
        size = file.stat().st_size
        with file.open("rb") as bytes_of:
            digest.update(f"{size}:".encode() + bytes_of.read(_ENDS))
            bytes_of.seek(max(0, size - _ENDS))
            digest.update(bytes_of.read(_ENDS))
    return f"unknown:{digest.hexdigest()[:16]}"
