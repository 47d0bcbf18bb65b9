"""What share the Rock Tokens of a rule have: of the tokens, of the loss and of the gradient, of the
texts that the rule judges. One answer for every page, the command line and the report.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rockcore.analysis.rollout_sums import sums_by_rollout
from rockcore.rocks.corpus import Corpus
from rockcore.rocks.examined import Examined
from rockcore.rocks.report import RockReport
from rockcore.rocks.scanned import Scanned
from rockcore.schema import Texts
from rockcore.spelling import loss_name, percent
from rockcore.stats import Interval, share_over_rollouts


@dataclass(frozen=True)
class RockShare:
    """The share of a set on the texts that its rule judges, at the rule's last checkpoint.

    A share comes with its 95 % interval over rollouts for this very set; how the set would differ
    on other texts is not in it. Where a share is unknown it is None.
    """

    rule: str  # as RockRule.called
    types: int  # in the set
    of_types: int
    tokens: int  # of these types
    of_tokens: int
    texts: int  # how many the rule judges
    source: Texts  # whose texts
    step: int  # the checkpoint after
    before: int | None  # the checkpoint before; None where there is one alone
    column: str  # the loss of the rule
    token_share: Interval | None  # type density
    loss_share: Interval | None  # coverage: of the rule's loss
    gradient: Interval | None  # of the summed length of the gradient in the logits
    why_empty: str  # that there is no set, and why; empty if there is one

    @property
    def kl(self) -> Interval | None:
        """Share of the summed KL; None where the rule judges another loss."""
        return self.loss_share if self.column == "kl" else None

    @property
    def steps(self) -> tuple[int, ...]:
        """Before and after, or the one checkpoint."""
        return (self.step,) if self.before is None else (self.before, self.step)

    @property
    def where(self) -> str:
        """The texts and the checkpoint, in words."""
        if self.source is Texts.FRESH:
            return f"{self.texts:,} fresh rollouts of step {self.step}"
        return f"{self.texts:,} {self.source.phrase}, step {self.step}"

    @property
    def sentence(self) -> str:
        """The one line that every page says of the set, or why there is none."""
        if self.why_empty:
            return f"Rule {self.rule}: no Rock Tokens ({self.where}). {self.why_empty}"
        named = "1 Rock Token" if self.types == 1 else f"{self.types:,} Rock Tokens"
        return f"Rule {self.rule}: {named}, {self.shares} ({self.where})"

    @property
    def shares(self) -> str:
        """The three shares; empty without a set."""
        if self.why_empty:
            return ""
        shares = {
            "the tokens": self.token_share,
            f"the {loss_name(self.column)}": self.loss_share,
            "the gradient": self.gradient,
        }
        return ", ".join(f"{_said(share)} of {whole}" for whole, share in shares.items())

    @property
    def about(self) -> str:
        """What was counted, and how sure the shares are; empty without a set."""
        if self.why_empty:
            return ""
        said = [
            f"{self.tokens:,} of {self.of_tokens:,} tokens are of {self.types:,} of "
            f"{self.of_types:,} types."
        ]
        shares = {"tokens": self.token_share, "loss": self.loss_share, "gradient": self.gradient}
        known = [
            f"{name} {percent(s.low)} to {percent(s.high)}"
            for name, s in shares.items()
            if s is not None and np.isfinite(s.low)
        ]
        if known:
            said.append(f"95 % over the texts, for this set: {', '.join(known)}.")
        said.append(
            f"The loss is the {loss_name(self.column)} of the step after training; the gradient is "
            "the summed length of the gradients in the logits. The set was chosen on the same "
            "texts."
        )
        if self.gradient is None:
            said.append("The gradient is not logged for these texts.")
        return " ".join(said)


def _said(share: Interval | None) -> str:
    return "an unknown share" if share is None else percent(share.value)


def rock_share(examined: Examined) -> RockShare:
    """The share of the set of a run under a rule. Raises as `Examined.report` does."""
    report = examined.report
    if examined.scanned is not None:
        return _of_scan(report, examined.scanned)
    corpus, empty = examined.material.last, not report.ids
    parts = _Parts(corpus, np.isin(corpus.types, report.ids))
    loss = None if empty else parts.of_loss()
    return RockShare(
        rule=report.asked.called,
        types=len(report.ids),
        of_types=len(report.tokens),
        tokens=int(parts.tokens.sum()),
        of_tokens=len(corpus),
        texts=corpus.rollouts,
        source=report.source,
        step=report.steps[-1],
        before=report.steps[0] if len(report.steps) > 1 else None,
        column=report.rule.column,
        token_share=None if empty else parts.of_tokens(),
        # the report's own number, so that a coverage and this never differ by rounding
        loss_share=None if loss is None else loss._replace(value=report.coverage),
        gradient=None if empty else parts.of_gradient(),
        why_empty=report.no_set,
    )


def _of_scan(report: RockReport, scanned: Scanned) -> RockShare:
    """From partials, which have counted the set in every rollout."""
    empty, tokens = not report.ids, report.tokens
    shares = dict.fromkeys(scanned.shares) if empty else scanned.shares
    loss = shares["loss"]
    return RockShare(
        rule=report.asked.called,
        types=len(report.ids),
        of_types=len(tokens),
        tokens=int(tokens.frequency[tokens.in_set].sum()),
        of_tokens=scanned.positions,
        texts=scanned.rollouts,
        source=report.source,
        step=report.steps[-1],
        before=report.steps[0] if len(report.steps) > 1 else None,
        column=report.rule.column,
        token_share=shares["tokens"],
        loss_share=None if loss is None else loss._replace(value=report.coverage),
        gradient=shares["gradient"],
        why_empty=report.no_set,
    )


class _Parts:
    """Sums by rollout over the tokens of a set (V,) of types, and over all."""

    def __init__(self, corpus: Corpus, in_set_V: np.ndarray):
        self._corpus, self._in_set = corpus, in_set_V
        self.tokens = self._of_cells(corpus.cells.n)  # (B,)

    def _of_cells(self, values_C: np.ndarray) -> np.ndarray:
        cells = self._corpus.cells
        chosen = self._in_set[cells.type]
        return np.bincount(cells.rollout[chosen], values_C[chosen], self._corpus.rollouts)

    def of_tokens(self) -> Interval:
        return share_over_rollouts(self.tokens, self._corpus.lengths)

    def of_loss(self) -> Interval | None:
        """Of the loss at the last checkpoint; None where it does not sum to more than 0."""
        cells = self._corpus.cells
        whole = np.bincount(cells.rollout, cells.sums[-1], self._corpus.rollouts)
        return _known(self._of_cells(cells.sums[-1]), whole)

    def of_gradient(self) -> Interval | None:
        """Of the gradient norm at the last checkpoint; None where it is not logged throughout."""
        norm, corpus = self._corpus.grad_norm, self._corpus
        if norm is None or not np.isfinite(norm).all():
            return None
        part = sums_by_rollout(corpus, norm, self._in_set[corpus.type])
        return _known(part, sums_by_rollout(corpus, norm))


def _known(part_B: np.ndarray, whole_B: np.ndarray) -> Interval | None:
    return share_over_rollouts(part_B, whole_B) if whole_B.sum() > 0 else None
