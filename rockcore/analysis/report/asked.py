"""What a report is asked of: a run under a rule, and what its parts share. Each answer is worked
out once, when a part first needs it.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import pandas as pd

from rockcore.analysis import knockouts, shares
from rockcore.analysis.course import Course, course
from rockcore.analysis.knockouts import Knockouts
from rockcore.log import comparisons
from rockcore.log.arms import RUNS, NoArms, find_arms
from rockcore.log.comparisons import Comparison
from rockcore.log.notes import Notes, notes_of
from rockcore.log.screens import Screen
from rockcore.rocks import Examined, RockReport, occurrences
from rockcore.schema import Texts


class Asked:
    """A run under a rule, for the parts of a report. Raises RockError where a part cannot be had,
    when it is asked for.
    """

    def __init__(self, examined: Examined, arms: Path | None = None, known: Course | None = None):
        """`arms`: the folder of the comparison of arms that belongs to the run; None to look for
        one beside it. `known`: the run's course, where it was worked out before.
        """
        self.examined, self._arms, self._known = examined, arms, known
        self.run = examined.run

    @cached_property
    def course(self) -> Course:
        return course(self.run) if self._known is None else self._known

    @property
    def name(self) -> str:
        return self.course.meta.name

    @property
    def found(self) -> RockReport:
        return self.examined.report

    @cached_property
    def estimator(self) -> str:
        """What the rule's loss is."""
        return self.course.measured(self.examined.rule.column)

    @property
    def corpus(self) -> str:
        """Whose texts the rule judges, how many, at which steps."""
        scanned = self.examined.scanned
        return occurrences.line(self.examined.material) if scanned is None else scanned.line

    @property
    def texts(self) -> Texts:
        """Whose texts the rule judges."""
        return self.found.source

    @cached_property
    def type_shares(self) -> pd.DataFrame:
        """analysis.shares.type_shares of the texts that the rule judges. Raises NoGradients."""
        return shares.type_shares(self.run, self.texts.table)

    @cached_property
    def screen(self) -> Knockouts:
        """Raises NoScreen where the run has none."""
        return knockouts.examine(Screen.open(self.run))

    @cached_property
    def comparison(self) -> Comparison:
        """The comparison of arms of this very training. Raises NoArms where there is none beside
        the run, NotCompared where it was not worked out.
        """
        for folder in self.folders():
            found = comparisons.read(folder)
            if self._arms is not None or self._is_of_this(found):
                return found
        raise NoArms(
            f"no comparison of arms of this training lies beside {self.run.path.name}",
            "Whether it matters that these tokens are trained on takes the same training again "
            "without them",
            "Make one: rockcore arms --arms baseline,rock-freeze,random-freeze --seeds 5 "
            "--out runs/arms, then rockcore compare-arms runs/arms; name it with --arms runs/arms",
        )

    def folders(self) -> list[Path]:
        """Where a comparison of arms of this training may lie."""
        if self._arms is not None:
            return [self._arms]
        here = self.run.path.resolve()
        near = here.parent.parent if here.parent.name == RUNS else here.parent
        found = find_arms([near])
        if near != here.parent:
            return found
        return [folder for folder in found if (folder / "comparison").is_dir()]

    def _is_of_this(self, found: Comparison) -> bool:
        """Whether the arms are of the training of this run: one scenario, student and teacher."""
        meta = self.course.meta
        mine = (meta.scenario, meta.student, meta.teacher)
        theirs = (found.plan.settings.get("scenario"), *(found.about[n] for n in _MODELS))
        return mine == theirs

    @cached_property
    def notes(self) -> Notes:
        """What readers pinned in the run."""
        return notes_of(self.run.path)


_MODELS = ("student", "teacher")
