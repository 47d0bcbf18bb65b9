"""The answers behind a screen: which ids the answers themselves need, what was written in place of
a banned token, and rollouts with and without it side by side.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from rockcore.analysis.texts import spelled
from rockcore.grading import box_span
from rockcore.log.screens import Screen
from rockcore.spelling import visible


def needed_ids(screen: Screen) -> frozenset[int]:
    r"""The ids without which no right answer could be written as it was: those that stand inside
    the last \boxed{…} of a right baseline answer, with the box itself, and the end token after it.

    To knock one of them out makes answers ungradable or wrong, whatever it does to the reasoning.
    """
    baseline = screen.baseline
    known = np.unique(baseline.texts.ids)
    pieces = dict(zip(known.tolist(), spelled(screen.run, known), strict=True))
    needed: set[int] = set()
    for n in np.flatnonzero(baseline.correct.ravel()):
        ids = baseline.texts[int(n)]
        needed |= _inside_box(ids, [pieces[i] for i in ids])
        needed |= set(ids[-1:]) & set(screen.plan.stop_ids)
    return frozenset(needed)


def _inside_box(ids: list[int], pieces: list[str]) -> set[int]:
    span = box_span("".join(pieces))
    if span is None:
        return set()
    ends = np.cumsum([len(p) for p in pieces])
    begins = ends - [len(p) for p in pieces]
    return {ids[i] for i in np.flatnonzero((begins < span[1]) & (ends > span[0]))}


def replacements(screen: Screen, key: str) -> pd.DataFrame:
    """What is written where the first banned token stood: token_id, token, n, share; the commonest
    first.
    """
    ids, n = np.unique(screen.outcomes(key).replacement, return_counts=True)
    frame = pd.DataFrame(
        {"token_id": ids, "token": spelled(screen.run, ids), "n": n, "share": n / n.sum()}
    )
    return frame.sort_values(["n", "token_id"], ascending=[False, True], ignore_index=True)


def replaced(screen: Screen, key: str, most: int = 3) -> str:
    """The commonest of them in words: `␣But 41 %, ⏎ 12 %`."""
    first = replacements(screen, key).head(most)
    return ", ".join(
        f"{visible(str(token))} {100 * share:.0f} %"
        for token, share in zip(first.token, first.share, strict=True)
    )


def pairs(screen: Screen, key: str) -> pd.DataFrame:
    """The changed rollouts of which a text is kept, those whose grade changed first: problem,
    rollout, branch (position of the first banned token), prompt, answer, baseline_ids,
    knockout_ids (whole answers, lists of ids), baseline_correct, knockout_correct.
    """
    outcomes, baseline = screen.outcomes(key), screen.baseline
    prompts, answers = screen.problems["prompt"], screen.problems["answer"]
    rows = []
    for c in np.flatnonzero(outcomes.texts.known):
        i, b, at = int(outcomes.problem[c]), int(outcomes.rollout[c]), int(outcomes.branch[c])
        without = baseline.texts[i * baseline.correct.shape[1] + b]
        rows.append(
            {
                "problem": i,
                "rollout": b,
                "branch": at,
                "prompt": prompts[i],
                "answer": answers[i],
                "baseline_ids": without,
                "knockout_ids": without[:at] + outcomes.texts[int(c)],
                "baseline_correct": bool(baseline.correct[i, b]),
                "knockout_correct": bool(outcomes.correct[c]),
            }
        )
    frame = pd.DataFrame(rows, columns=PAIR_COLUMNS)
    changed = frame.baseline_correct != frame.knockout_correct
    return frame.loc[np.argsort(~changed.to_numpy(bool), kind="stable")].reset_index(drop=True)


PAIR_COLUMNS = """problem rollout branch prompt answer baseline_ids knockout_ids baseline_correct
knockout_correct""".split()
