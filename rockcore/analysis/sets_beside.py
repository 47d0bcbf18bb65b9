"""Two rules on the same texts: which types each puts in its set, and what share each set has."""

from __future__ import annotations

from dataclasses import dataclass

from rockcore.analysis.rock_share import RockShare, rock_share
from rockcore.rocks.examined import Examined


@dataclass(frozen=True)
class SetsBeside:
    """Two sets of Rock Tokens, as token ids, each in the order of its own ranking."""

    called: tuple[str, str]  # the rules
    shares: tuple[RockShare, RockShare]
    only_first: tuple[int, ...]
    shared: tuple[int, ...]  # in the order of the first
    only_second: tuple[int, ...]
    names: dict[int, str]  # the text of each type named above

    @property
    def jaccard(self) -> float | None:
        """Types in both of the types in either; None where neither set has one."""
        either = len(self.only_first) + len(self.shared) + len(self.only_second)
        return len(self.shared) / either if either else None

    @property
    def sentence(self) -> str:
        """What the two have in common."""
        first, second = self.called
        if self.jaccard is None:
            return f"Neither {first} nor {second} finds a set here, so there is nothing to compare."
        return (
            f"J = {self.jaccard:.2f}: {len(self.shared):,} types in both sets, "
            f"{len(self.only_first):,} only by {first}, {len(self.only_second):,} only by {second}."
        )


def sets_beside(first: Examined, second: Examined, called: tuple[str, str]) -> SetsBeside:
    """The sets of one run under two rules. Raises as `Examined.report` does."""
    one, two = first.report, second.report
    names: dict[int, str] = {}
    for report in (one, two):
        rows = report.tokens.loc[report.tokens.in_set]
        names |= {int(i): str(t) for i, t in zip(rows.token_id, rows.token, strict=True)}
    in_one, in_two = set(one.ids), set(two.ids)
    return SetsBeside(
        called,
        (rock_share(first), rock_share(second)),
        only_first=tuple(i for i in one.ids if i not in in_two),
        shared=tuple(i for i in one.ids if i in in_two),
        only_second=tuple(i for i in two.ids if i not in in_one),
        names=names,
    )
