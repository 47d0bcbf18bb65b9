"""The parts of README.md that are made: its glossary, and the table of what came out.

    python tests/readme_parts.py

writes them between their markers; a test holds them equal.
"""

from __future__ import annotations

import re
from pathlib import Path

from rockcore.analysis.rock_share import rock_share
from rockcore.glossary import TOPICS, Term
from rockcore.log import Run, comparisons, sample_runs
from rockcore.rocks import Examined
from rockcore.spelling import percent, visible

README = Path(__file__).parents[1] / "README.md"
RUNS = ("habit", "hidden", "skill")


def plain(text: str) -> str:
    """Text that a table of Markdown shows as it is."""
    return re.sub(r"([\\`*_{}\[\]<>|$])", r"\\\1", text)


def _term(term: Term) -> str:
    name = plain(term.name)
    symbol = "" if term.symbol in ("", *term.name.split()) else f"{plain(term.symbol)} "
    told = [plain(term.sentence)]
    told += [f"${each.strip()}$" for each in term.equation.split(r"\qquad") if each.strip()]
    told += [f"*Take care:* {plain(term.trap)}"] if term.trap else []
    return f"| {symbol}**{name}** | {' '.join(told)} | {plain(term.paper)} |"


def glossary() -> str:
    """A table a topic, folded."""
    parts = []
    for topic, terms in TOPICS.items():
        rows = "\n".join(map(_term, terms.values()))
        parts.append(
            f"<details><summary>{topic}: {len(terms)} words</summary>\n\n"
            f"| word | what it is | in the paper |\n|---|---|---|\n{rows}\n\n</details>\n"
        )
    return "\n".join(parts)


def _row(name: str) -> str:
    asked = Examined(Run.open(sample_runs() / name))
    found, share = asked.report, rock_share(asked)
    start = f"| `{name}` |"
    if not found.ids:
        types = f"none of {len(found.tokens)} types: no set is stable" if found.unstable else "none"
        return f"{start} {types} | – | – | – | – | – |"
    inside = found.tokens.loc[found.tokens.in_set]
    shown = ", ".join(f"`{visible(str(token))}`" for token in inside.token)
    became = ", ".join(f"{what} {n}" for what, n in inside["class"].value_counts().items())
    stable = found.stability
    three = (share.token_share, share.kl, share.gradient)
    shares = " | ".join("unknown" if each is None else percent(each.value) for each in three)
    return (
        f"{start} {len(found.ids)} of {len(found.tokens)}: {shown} | {shares} | "
        f"{stable.value:.2f} ({stable.low:.2f}–{stable.high:.2f}) | "
        f"{became} |"
    )


def results() -> str:
    """What the default rule finds in the bundled runs, and what the arms came to."""
    head = (
        "| run | Rock Tokens | of the tokens | of the KL | of the gradient | halves agree, "
        "Jaccard | what became of them |\n|---|---|---|---|---|---|---|\n"
    )
    arms = comparisons.read(sample_runs() / "arms" / "habit").about["verdicts"]
    rows = "\n".join(map(_row, RUNS))
    told = "\n".join(f"- {line}" for line in arms)
    about = "Not training on them, five seeds of `habit` against the baseline:"
    return f"{head}{rows}\n\n{about}\n\n{told}\n"


PARTS = {"results": results, "glossary": glossary}


def between(name: str, text: str) -> tuple[str, str, str]:
    """What stands before, in and behind a part."""
    start, end = f"<!-- {name} -->\n", f"<!-- end {name} -->"
    before, rest = text.split(start)
    inside, behind = rest.split(end)
    return before + start, inside, end + behind


def write() -> None:
    for name, made in PARTS.items():
        before, _, behind = between(name, README.read_text(encoding="utf-8"))
        README.write_text(f"{before}{made()}{behind}", encoding="utf-8")


if __name__ == "__main__":
    write()
