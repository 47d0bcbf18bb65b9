"""From intervals and p-values to verdicts: of a candidate, of a token from its own ban and that of
its window, and how many there are with and without correction.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from rockcore.analysis.knockout_tests import Levels

PILLAR, NEUTRAL, STUMBLING, UNDECIDED = (
    "Strong Pillar",
    "Neutral",
    "Strong Stumbling",
    "undecided",
)
VERDICTS = (PILLAR, NEUTRAL, STUMBLING, UNDECIDED)
CORRECTIONS = {"max-T": "p_max", "BH": "q_bh"}


def verdicts_of(frame: pd.DataFrame, p: pd.Series, levels: Levels) -> list[str]:
    """Of each row, with these p-values."""
    far = p <= levels.alpha
    within = (frame.low >= -levels.epsilon) & (frame.high <= levels.epsilon)
    return np.select(
        [far & (frame.delta <= -levels.epsilon), far & (frame.delta >= levels.epsilon), within],
        [PILLAR, STUMBLING, NEUTRAL],
        UNDECIDED,
    ).tolist()


def by_token(frame: pd.DataFrame, levels: Levels) -> pd.DataFrame:
    """One row a token type that was knocked out alone: token_id, token, kind, verdict, delta, low,
    high, p, q_bh, p_max, needed, decided_by, and verdicts uncorrected and by either correction.

    §4 takes the lower of token and window. So a token is a Pillar (Stumbling) if its own ban or
    that of its window is; numbers are those of the candidate that decided, else the token's own.
    Raw p is twice the smaller of the two. Corrected p-values count both as tests already. Neutral
    are both or neither. A window that bans an id that the answer needs, where the token is no such
    id, does not speak for the token: what it loses is the answer.
    """
    windows = frame[frame.kind == "window"].set_index("token_id")
    alone: Any = frame[frame.kind.isin(["token", "random"])]
    # drawn at random in one call and named in another: it speaks as the token that was asked for
    alone = alone.sort_values("kind", key=lambda k: k == "random", kind="stable")
    alone = alone.drop_duplicates("token_id").sort_index()
    rows = []
    for row in alone.to_dict("records"):
        both = [row]
        if row["kind"] == "token" and row["token_id"] in windows.index:
            window: Any = windows.loc[row["token_id"]].to_dict()
            if window["same_as"] != row["candidate"] and window["needed"] <= row["needed"]:
                both.append({**row, **window, "kind": "window"})
        rows.append(_joined(pd.DataFrame(both), levels) | {"kind": row["kind"]})
    return pd.DataFrame(rows, columns=TOKEN_COLUMNS)


def _joined(both: pd.DataFrame, levels: Levels) -> dict[str, Any]:
    """A token's row from its own and its window's."""
    raw = np.minimum(1.0, len(both) * both.p)
    by = {
        "uncorrected": _strongest(both, verdicts_of(both, raw, levels)),
        **{
            f"by {n}": _strongest(both, verdicts_of(both, both[c], levels))
            for n, c in CORRECTIONS.items()
        },
    }
    verdict, decided = by[f"by {levels.correction}"]
    row = both.iloc[decided]
    told = {n: row[n] for n in ("token_id", "token", "delta", "low", "high", "needed")}
    least = {"p": float(raw.min()), "q_bh": float(both.q_bh.min()), "p_max": both.p_max.min()}
    return {
        **told,
        **least,
        "verdict": verdict,
        "decided_by": row.kind if row.kind == "window" else "token",
        **{name: found.verdict for name, found in by.items()},
        "paper": _as_the_paper(both, levels),
    }


TOKEN_COLUMNS = (
    """token_id token kind verdict delta low high p q_bh p_max needed decided_by paper
uncorrected""".split()
    + [f"by {name}" for name in CORRECTIONS]
)


class _Strongest(NamedTuple):
    verdict: str
    row: int  # whose numbers tell it


def _strongest(both: pd.DataFrame, verdicts: list[str]) -> _Strongest:
    decided = [j for j, v in enumerate(verdicts) if v in (PILLAR, STUMBLING)]
    if decided:
        j = min(decided, key=lambda j: (both.p.iloc[j], -abs(both.delta.iloc[j])))
        return _Strongest(verdicts[j], j)
    return _Strongest(NEUTRAL if set(verdicts) == {NEUTRAL} else UNDECIDED, 0)


def _as_the_paper(both: pd.DataFrame, levels: Levels) -> str:
    """The rule of §4: the lower (higher) of both Δ beyond ε with its raw p below the level; what is
    not, is Neutral.
    """
    far = both[both.p <= levels.alpha]
    if (far.delta <= -levels.epsilon).any():
        return PILLAR
    return STUMBLING if (far.delta >= levels.epsilon).any() else NEUTRAL


_HOW = {
    "paper": "as the paper: raw p, everything else neutral",
    "uncorrected": "raw p, token and window as two tests",
    "by BH": "Benjamini–Hochberg",
    "by max-T": "max-T",
}


def census_of(tokens: pd.DataFrame, levels: Levels) -> pd.DataFrame:
    """How many tokens have which verdict, with and without correction: how, one column for each of
    VERDICTS, pillars_needed (of the Pillars, ids that the answer needs), decides.
    """
    candidates = tokens[tokens.kind == "token"]
    rows = []
    for column, how in _HOW.items():
        counts = {v: int((candidates[column] == v).sum()) for v in VERDICTS}
        needed = int((candidates.needed & (candidates[column] == PILLAR)).sum())
        decides = column == f"by {levels.correction}"
        rows.append({"how": how, **counts, "pillars_needed": needed, "decides": decides})
    return pd.DataFrame(rows)
