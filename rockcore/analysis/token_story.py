"""Everything that a run tells of one token type under a rule, as one value. What cannot be told
raises with the reason, part by part, so that the others stand.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd

from rockcore.analysis import token_history, token_instead, token_verdict
from rockcore.analysis.rollout_sums import sums_by_rollout
from rockcore.analysis.token_history import History
from rockcore.analysis.token_instead import Instead
from rockcore.analysis.token_verdict import Verdict
from rockcore.log.holdings import NotLogged
from rockcore.rocks import occurrences
from rockcore.rocks.change import CLASSES
from rockcore.rocks.examined import Examined
from rockcore.schema import RockError, Texts
from rockcore.spelling import percent
from rockcore.stats import Interval, share_over_rollouts


class Share(NamedTuple):
    """What one type takes of the texts that the rule judges, at its last checkpoint."""

    n: int
    of_tokens: int
    texts: int
    step: int
    tokens: Interval  # each with its 95 % interval over texts
    loss: Interval | None  # of the rule's column; None where it does not sum to more than 0
    gradient: Interval | None  # of the summed gradient norm; None where it is not logged

    @property
    def told(self) -> dict[str, str]:
        """What is shared -> the share with its interval, in words."""
        parts = {"tokens": self.tokens, "KL": self.loss, "gradient": self.gradient}
        return {name: _told(share) for name, share in parts.items()}


def _told(share: Interval | None) -> str:
    if share is None:
        return "not known"
    if not np.isfinite(share.low):
        return f"{percent(share.value)} (no interval from one text)"
    return f"{percent(share.value)} (95 % {percent(share.low)} to {percent(share.high)})"


def _signed(nats: float) -> str:
    return f"{nats:+.3g}".replace("-", "−")


class TokenStory:
    """One type of a run under a rule. Each part raises RockError where it cannot be told."""

    def __init__(self, found: Examined, token_id: int):
        self.found, self.token_id = found, token_id

    @cached_property
    def verdict(self) -> Verdict:
        """Whether it is a Rock Token, and why."""
        return token_verdict.judge_type(self.found, self.token_id)

    @cached_property
    def history(self) -> History:
        """Its mean loss at every step: in the texts that the rule judges, or, where it does not
        stand in these, in others that are logged.
        """
        held = self.found.run.holdings()
        column = self.found.rule.column
        if not held.has(column):
            if held.loss is None:
                held.require(column)
            column = held.loss or column
        order = (self.texts or Texts.FINAL, Texts.FINAL, Texts.FRESH, Texts.FIRST)
        asked = [texts for texts in dict.fromkeys(order) if held.has(column, texts)]
        every = (token_history.history(self.found.run, self.token_id, t, column) for t in asked)
        first = next(every)
        return first if first.steps else next((h for h in every if h.steps), first)

    @property
    def texts(self) -> Texts | None:
        """Whose texts the rule judges; None where it can judge none."""
        try:
            return self.found.material.source
        except RockError:
            return None

    @cached_property
    def change(self) -> str:
        """What became of it, on texts that did not choose it; empty where it does not occur."""
        report = self.found.report
        rows = report.tokens.loc[report.tokens.token_id == self.token_id]
        if rows.empty:
            return ""
        row = rows.iloc[0]
        if report.single:
            return "There is one checkpoint, so no change can be told."
        name = str(row["class"])
        said = f"Class: {name}. {CLASSES.get(name, '')}"
        if np.isnan(row.change_low):
            return f"{said} Too few texts hold it for an interval of its change."
        fell, rose = row.change_high < 0, row.change_low > 0
        verdict = "it fell" if fell else "it rose" if rose else "whether it moved cannot be told"
        return (
            f"{said} On the half of the texts that did not choose it, it changed by "
            f"{_signed(row.change)} nats (95 % {_signed(row.change_low)} to "
            f"{_signed(row.change_high)}): {verdict}."
        )

    @cached_property
    def share(self) -> Share:
        """Its share of tokens, loss and gradient. Raises NotLogged where it does not occur."""
        corpus, token_id = self.found.material.last, self.token_id
        mine = corpus.token_id == token_id
        if not mine.any():
            raise NotLogged(
                "It takes no share",
                f"It does not occur in the {corpus.rollouts:,} {self.found.material.source.phrase}",
                "Look at a type that does",
            )
        loss = corpus.losses[-1]
        norm = corpus.grad_norm

        def share(values: np.ndarray) -> Interval | None:
            whole = sums_by_rollout(corpus, values)
            part = np.bincount(corpus.rollout[mine], values[mine], corpus.rollouts)
            return share_over_rollouts(part, whole) if whole.sum() > 0 else None

        known = norm is not None and np.isfinite(norm).all()
        tokens_B = np.bincount(corpus.rollout[mine], minlength=corpus.rollouts)
        return Share(
            n=int(mine.sum()),
            of_tokens=len(corpus),
            texts=corpus.rollouts,
            step=self.found.material.steps[-1],
            tokens=share_over_rollouts(tokens_B, corpus.lengths),
            loss=share(loss),
            gradient=share(norm) if known and norm is not None else None,
        )

    @cached_property
    def contexts(self) -> pd.DataFrame:
        """Where it stands: see occurrences.examples."""
        return occurrences.examples(self.found, self.token_id)

    @cached_property
    def instead(self) -> Instead:
        """What student and teacher would have said in its place."""
        return token_instead.instead(self.found.run, self.token_id, self.texts or Texts.FINAL)
