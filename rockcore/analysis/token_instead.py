"""What student and teacher would have said where a token type stands: their likeliest tokens there,
over all its occurrences that have them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from rockcore import schema
from rockcore.analysis.texts import alternatives
from rockcore.log import Run
from rockcore.log.holdings import SCORE, NotLogged
from rockcore.schema import Texts
from rockcore.spelling import visible

_SHOWN = 5  # likeliest tokens of either model that are named
_TOP = ["student_top_ids", "student_top_logps", "teacher_top_ids", "teacher_top_logps"]


class Instead(NamedTuple):
    """Of `n` occurrences out of `of` in these texts at one step.

    `frame`, one row a token, the likeliest of the teacher first: token_id, shown, itself (whether
    it is the type in question), teacher_p and student_p (mean over the n; where a model does not
    list it among its likeliest it counts as 0, so these are lower bounds), teacher_first and
    student_first (occurrences at which it is the likeliest).
    """

    frame: pd.DataFrame
    n: int
    of: int
    texts: Texts
    step: int

    @property
    def sentence(self) -> str:
        """What either model says first most often."""
        return f"{self._most('teacher')} {self._most('student')}"

    def _most(self, who: str) -> str:
        row = self.frame.loc[self.frame[f"{who}_first"].idxmax()]
        name = "this very token" if row.itself else row.shown
        return (
            f"The {who}’s likeliest token is most often {name}: at {row[f'{who}_first']} of "
            f"{self.n} places."
        )


def instead(run: Run, token_id: int, preferred: Texts = Texts.FINAL) -> Instead:
    """What would have been said in place of a type, at the last logged step of the texts that have
    alternatives, `preferred` first. Raises NotLogged where none of its occurrences has them.
    """
    found: Instead | None = None
    for texts in dict.fromkeys((preferred, Texts.FINAL, Texts.FIRST)):
        steps = run.steps(texts.table) if texts.probe_set else []
        if not steps:
            continue
        rows = run.alternatives_of(texts, steps[-1], token_id)
        known = rows.loc[rows[_TOP].notna().all(axis=1)]
        if len(known):
            return Instead(_summed(run, known, token_id), len(known), len(rows), texts, steps[-1])
        found = found or Instead(known, 0, len(rows), texts, steps[-1])
    raise _not_logged(run, found)


def _not_logged(run: Run, found: Instead | None) -> NotLogged:
    why = (
        f"Both models' {schema.TOP_ALTERNATIVES} likeliest tokens are logged beside probe texts, "
        "and not beside all of them"
    )
    if found is None and (held := run.holdings()).elsewhere and (gone := held.lack(_TOP[0])):
        return gone
    if found is None:
        return NotLogged(f"{run.path.name} has no probe texts", why, SCORE)
    if not found.of:
        what = f"{run.path.name} has no occurrence of this type in its {found.texts.phrase}"
        return NotLogged(what, why, "Look at a type that these texts hold")
    what = (
        f"{run.path.name} has no alternatives at any of the {found.of:,} occurrences of this type "
        f"in its {found.texts.phrase}"
    )
    return NotLogged(what, why, SCORE)


def _summed(run: Run, rows: pd.DataFrame, token_id: int) -> pd.DataFrame:
    sides = {who: alternatives(rows, who) for who in ("teacher", "student")}
    ids = np.unique(np.concatenate([side.ids.ravel() for side in sides.values()] + [[token_id]]))
    columns = {}
    for who, (top_Nk, p_Nk) in sides.items():
        at_Nk = np.searchsorted(ids, top_Nk)
        columns[f"{who}_p"] = np.bincount(at_Nk.ravel(), p_Nk.ravel(), len(ids)) / len(rows)
        columns[f"{who}_first"] = np.bincount(at_Nk[:, 0], minlength=len(ids))
    frame = pd.DataFrame({"token_id": ids, **columns})
    likeliest = [frame[f"{who}_p"].nlargest(_SHOWN, keep="first").index for who in sides]
    chosen = frame.index.isin(np.concatenate(likeliest)) | (frame.token_id == token_id)
    frame = frame.loc[chosen].sort_values(
        ["teacher_p", "student_p", "token_id"], ascending=[False, False, True], ignore_index=True
    )
    tokens = run.vocab.set_index("token_id").token
    return frame.assign(
        shown=[visible(str(tokens.get(i, f"id {i}"))) for i in frame.token_id],
        itself=frame.token_id == token_id,
    )
