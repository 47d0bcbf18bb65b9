"""Everything that can be asked of a run under a rule, as one value: what was read, what is
persistent at a threshold, the detection, the report.

Each answer is worked out when it is first asked for, and once. Rules that read the same occurrences
share what was read, its sorted table and the classes: `under` gives another rule on the same run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from rockcore.categories import Rule
from rockcore.log import Run
from rockcore.log.beside import together
from rockcore.rocks.change import classify, unknown_change
from rockcore.rocks.conclusion import conclude, top_types
from rockcore.rocks.context import Pulse
from rockcore.rocks.detection import Detection
from rockcore.rocks.gather import Material, gather
from rockcore.rocks.history import History, draws_for
from rockcore.rocks.report import RockReport
from rockcore.rocks.rule import RockRule
from rockcore.rocks.rule_fields import BadRule
from rockcore.rocks.scanned import Scanned
from rockcore.rocks.thresholds import Course, Instant, Quantiles, ThresholdTable, taus

RULE = RockRule()
READS = ("column", "mode", "probe_set", "pre_step", "post_step")


def reads(rule: RockRule) -> tuple[Any, ...]:
    """What of a rule decides which occurrences are read."""
    return tuple(getattr(rule, name) for name in READS)


class Marks(NamedTuple):
    """How far the persistent occurrences came."""

    at: np.ndarray  # (M,) indices into the corpus, ascending; none where only bounds are known
    mark: np.ndarray  # (M,) 1 persistent, 2 and context-consistent, 3 and of a type in the set


class Results(NamedTuple):
    """A finished detection."""

    report: RockReport
    marks: Marks


class Halves(NamedTuple):
    """Token ids of as many rocks as the set has: by all rollouts, by those of even id alone, by
    those of odd id alone. What chooses on one half may measure on the other.
    """

    all: np.ndarray
    even: np.ndarray
    odd: np.ndarray


class _Reading:
    """What rules that read the same occurrences share."""

    def __init__(self, run: Run, rule: RockRule):
        self._run, self._rule = run, rule
        self._material: Material | None = None
        self.classes: dict[int, pd.DataFrame] = {}  # by seed

    def read(self, pulse: Pulse) -> Material:
        """What was read; `pulse` is that of who asks first."""
        if self._material is None:
            self._material = gather(self._run, self._rule, pulse)
        return self._material

    @property
    def material(self) -> Material:
        return self.read(lambda: None)

    @cached_property
    def quantiles(self) -> Quantiles:
        return Quantiles(self.material.before(), self._run.meta.dtype)

    @cached_property
    def table(self) -> ThresholdTable | None:
        if not self.material.paired:
            return None
        self.quantiles.prepare()
        return ThresholdTable(self.material.last)


class Examined:
    """A run under a rule. Raises BadRule, NothingToCompare, BadLoss or DamagedRun when asked what
    cannot be answered.
    """

    def __init__(
        self,
        run: Run,
        rule: RockRule = RULE,
        other: Run | None = None,
        categories: tuple[Rule, ...] | None = None,
        pulse: Pulse = lambda: None,
    ):
        """`other`: for the score `joint`, the run whose summed loss is the other side, in place of
        this run's first checkpoint. `categories`: rules in place of the run's. `pulse` is called
        all along long work and stops it by raising.
        """
        self.run, self.rule, self.other, self.categories = run, rule, other, categories
        self.pulse = pulse
        self._reading = _Reading(run, rule)

    def under(self, rule: RockRule, pulse: Pulse | None = None) -> Examined:
        """Another rule on the same run. It shares what both read alike."""
        new = Examined(self.run, rule, self.other, self.categories, pulse or self.pulse)
        if reads(rule) == reads(self.rule):
            new._reading = self._reading
        return new

    def loaded(self) -> Examined:
        """The same, with the log read."""
        if self.scanned is None:
            _ = self.material
        return self

    @cached_property
    def scanned(self) -> Scanned | None:
        """What a scan found, where there is only that; None for a run."""
        return Scanned.of_run(self.run.path)

    @property
    def material(self) -> Material:
        """Raises OnlyScanned where the texts are elsewhere."""
        if self.scanned is not None:
            raise self.scanned.needs("What is asked")
        return self._reading.read(self.pulse)

    @property
    def table(self) -> ThresholdTable | None:
        """The occurrences, sorted: answers for moving thresholds. None where the texts before and
        after differ, and so no occurrence has both losses.
        """
        return self._reading.table

    @property
    def tau(self) -> tuple[float, float]:
        """tau_pre and tau_post in nats."""
        return taus(self.rule, self._reading.quantiles)

    @property
    def instant(self) -> Instant | None:
        """What is persistent at the thresholds, in milliseconds; None where there is no table."""
        table, tau = self.table, self.tau
        return None if table is None else Instant(*tau, table.read(*tau))

    def courses(self, as_one: bool) -> list[Course]:
        """What is persistent wherever a hand may put a threshold: both `as_one`, or each while the
        other stays; none where there is no table.
        """
        moved = [("tau_pre", "tau_post")] if as_one else [("tau_pre",), ("tau_post",)]
        table = self.table
        return [] if table is None else [table.course(*self.tau, names) for names in moved]

    @cached_property
    def detection(self) -> Detection:
        """The rule at work, stage by stage."""
        material, dtype = self.material, self.run.meta.dtype
        other = None if self.other is None else self._sums_of(self.other)
        return Detection(material, self.rule, dtype, other, self.pulse, self._reading.quantiles)

    def _sums_of(self, other: Run) -> np.ndarray:
        """(V,) the summed loss of each type in another run."""
        if other.meta.tokenizer_hash != self.run.meta.tokenizer_hash:
            raise BadRule(
                f"joint with {other.path.name}, whose tokenizer is another one",
                "Its token ids mean other tokens",
                "Give a run of the same models",
            )
        last = gather(other, replace(self.rule, pre_step=None, post_step=None)).last
        sums = pd.Series(np.bincount(last.type, last.losses[-1]), index=last.types)
        return sums.reindex(self.material.last.types, fill_value=0.0).to_numpy()

    @property
    def classes(self) -> pd.DataFrame:
        """What became of each type: see `classes_of`. Thresholds do not enter."""
        known, seed = self._reading.classes, self.rule.seed
        if seed not in known:
            known[seed] = classes_of(self.material, self.rule, self.pulse)
        return known[seed]

    @cached_property
    def report(self) -> RockReport:
        """Raises OnlyScanned under another rule than that of a scan."""
        if self.scanned is not None:
            if self.other is not None or self.categories is not None:
                raise self.scanned.needs("A second run, or categories of one's own,")
            return self.scanned.report_under(self.rule)
        found = self.detection
        if self.rule.seed not in self._reading.classes:
            self._find_beside_classes(found)
        return conclude(self.run, found, self.classes, self.categories)

    def _find_beside_classes(self, found: Detection) -> None:
        """The set here, and the classes on another core: neither asks for the other."""
        material, rule = self.material, self.rule
        for corpus in material.corpora:
            corpus.summed(self.pulse)  # both add up its cells

        _, classes = together(
            lambda: (found.cutoff, found.precision),
            lambda pulse: classes_of(material, rule, pulse),
            self.pulse,
        )
        self._reading.classes[rule.seed] = classes

    @cached_property
    def marks(self) -> Marks:
        if self.scanned is not None:
            return Marks(np.zeros(0, np.int64), np.zeros(0, np.int8))
        found = self.detection
        if found.candidates is None or found.consistency is None:
            return Marks(np.zeros(0, np.int64), np.zeros(0, np.int8))
        kept, in_set = found.consistency.kept, found.in_set[found.candidates.type]
        return Marks(found.candidates.at, (1 + kept + (kept & in_set)).astype(np.int8))

    @cached_property
    def halves(self) -> Halves:
        """Who would be chosen on either half of the rollouts."""
        found, corpus = self.detection, self.material.last
        even = corpus.rollout_ids % 2 == 0
        sides = next(iter(found.in_parts(even[None, :])))
        k = int(found.in_set.sum())
        by_half = (top_types(found.score_of(known), corpus.types, k) for known in sides)
        return Halves(*(corpus.types[chosen] for chosen in (found.in_set, *by_half)))

    @property
    def results(self) -> Results:
        """What is worth remembering: the stages behind it are large."""
        return Results(self.report, self.marks)

    def knowing(self, results: Results) -> Examined:
        """The same with what was worked out before."""
        new = self.under(self.rule)
        new.report, new.marks = results
        return new


_free: Callable[[], None] = lambda: None  # noqa: E731


def classes_of(material: Material, rule: RockRule, pulse: Pulse = _free) -> pd.DataFrame:
    """What became of each type over the training: see change.classify. Depends on the rule's
    column, steps and seed alone.
    """
    history = History.of(material.corpora, material.paired, pulse)
    frame = (
        unknown_change(history)
        if material.single
        else classify(history, rule.seed, draws_for(history), pulse=pulse)
    )
    frame.attrs["hard_from"] = history.hard_from
    return frame
