"""The texts of an export as they are read: checked, counted, and kept by step with the vocabulary
that they show.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from rockcore.importers.report import Report
from rockcore.importers.rows import (
    BadRow,
    RowError,
    Text,
    refuse_impossible,
    refuse_no_tokens,
    spelled_out,
    with_sampled_loss,
)
from rockcore.importers.spool import Spool
from rockcore.importers.vocabulary import SeenTokens, Tokenizer


class Gathered:
    """What is known of an export, complete once it has been read."""

    def __init__(self, spool: Spool, tokenizer: Tokenizer | None, report: Report):
        self.spool, self.tokenizer, self.report = spool, tokenizer, report
        self.seen = SeenTokens()
        self.columns: set[str] = set()  # of OF_TOKENS: some token has a value
        self.with_ids = self.encoded = self.numbered = 0  # texts
        self._common: dict[int | str, np.ndarray] | None = None  # ids of texts that all steps have

    def gather(self, rows: Iterator[Text | RowError]) -> None:
        """Read all rows. Raises BadExport where most cannot be read, LogWriteError."""
        for row in rows:
            self.report.rows += 1
            if isinstance(row, Text):
                try:
                    row = self._checked(row)
                except BadRow as e:
                    row = RowError(row.where, e.field, e.what)
            if isinstance(row, RowError):
                self.report.skip(row)
            else:
                self._keep(row)

    def _checked(self, text: Text) -> Text:
        """The text with its ids, where it can have any."""
        refuse_impossible(text)
        text = spelled_out(text)
        if text.token_ids is None and text.tokens is not None:
            text = replace(text, token_ids=self.seen.number(text.tokens))
            self.numbered += 1
        elif text.token_ids is None and self.tokenizer is not None and text.response:
            ids = self.tokenizer.encode(text.response)
            refuse_no_tokens(len(ids))
            text = replace(text, token_ids=ids)
            self.encoded += 1
        if text.token_ids is not None:
            self.seen.add(text.token_ids, text.tokens)
        return with_sampled_loss(text)

    def _keep(self, text: Text) -> None:
        self.with_ids += text.token_ids is not None
        new = [c for c in text.values if c not in self.columns]
        self.columns.update(c for c in new if not np.isnan(text.values[c]).all())
        self.spool.add(text)

    def of_step(self, step: int) -> list[Text]:
        """The texts of a step by their keys, or as they came where not all have one; of two with
        one key the first. To ask again counts what is left out again.
        """
        texts: list[Text] = []
        keys: set[int | str] = set()
        for text in self.spool.read(step):
            if text.token_ids is None and self.with_ids:
                self._leave_out(text, "token_id", "is missing, and other texts have it")
            elif text.key is not None and text.key in keys:
                self._leave_out(text, "rollout_id", f"{ascii(text.key)[:80]} is in its step twice")
            else:
                texts.append(text)
                keys.update([] if text.key is None else [text.key])
        if len(keys) == len(texts):
            texts.sort(key=lambda t: (isinstance(t.key, str), t.key))
        return texts

    def same_at_all_steps(self, step: int) -> list[Text]:
        """Those texts of a step that are the same, by key and token ids, at every step; the others
        are counted as left out.
        """
        if self._common is None:
            self._common = self._find_common()
        kept: list[Text] = []
        for text in self.of_step(step):
            if text.key in self._common:
                kept.append(text)
            else:
                self._leave_out(
                    text, "rollout_id", f"{ascii(text.key)[:80]} is not the same at all steps"
                )
        return kept

    def _find_common(self) -> dict[int | str, np.ndarray]:
        common: dict[int | str, np.ndarray] | None = None
        for step in self.spool.steps():
            here: dict[int | str, np.ndarray] = {}
            for text in self.spool.read(step):
                if text.key is not None and text.token_ids is not None:
                    here.setdefault(text.key, text.token_ids)
            common = (
                here
                if common is None
                else {
                    key: ids
                    for key, ids in common.items()
                    if key in here and np.array_equal(ids, here[key])
                }
            )
        return common or {}

    def _leave_out(self, text: Text, field: str, what: str) -> None:
        self.report.skip(RowError(text.where, field, what))
