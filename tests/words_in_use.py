"""The words that a page uses and the glossary has, as far as a script can see them."""

from __future__ import annotations

import json
import re
from typing import Any

from pages import words
from streamlit.testing.v1 import AppTest

from rockcore.glossary import TERMS

# words that nobody knows beforehand; what else is small and plain may be a word like any other, and
# counts where it heads something
COINED = set(
    """kl nats rollout rollouts probe probes sham shams knockout knocked logp checkpoint
checkpoints entropy estimator milestone quantile arm arms discourse latex baseline""".split()
)


def headings(app: AppTest) -> list[str]:
    """Of metrics, columns and axes, and the names of controls."""
    named = [m.label for m in app.metric]
    for kind in ("selectbox", "slider", "select_slider", "number_input", "multiselect"):
        named += [each.label for each in getattr(app, kind)]
    for table in app.dataframe:
        columns = json.loads(table.proto.columns or "{}")
        shown = list(table.proto.column_order) or list(table.value.columns)
        named += [columns.get(name, {}).get("label") or name for name in shown]
    return [name for name in named if name]


def of_charts(app: AppTest) -> list[str]:
    """Titles, axes and legends."""
    found: list[str] = []
    for chart in app.get("plotly_chart"):
        figure = json.loads(chart.proto.spec or "{}")  # pyright: ignore[reportAttributeAccessIssue]
        found += _titles(figure.get("layout", {}))
        found += [str(trace.get("name") or "") for trace in figure.get("data", [])]
    return found


def _titles(part: Any) -> list[str]:
    if not isinstance(part, dict):
        return []
    own = [str(part["text"])] if isinstance(part.get("text"), str) else []
    return own + [text for value in part.values() for text in _titles(value)]


def in_use(app: AppTest) -> set[str]:
    """The keys of the terms whose words stand on a page."""
    heads = headings(app)
    running = "\n".join([words(app), *heads, *of_charts(app)])
    return {
        key
        for key, term in TERMS.items()
        if any(_stands(word, heads, running) for word in term.spellings)
    }


def _stands(word: str, heads: list[str], running: str) -> bool:
    plain = len(word) == 1 or (word.isalpha() and word.islower() and word not in COINED)
    if plain and word.isascii():
        return word in heads
    flags = re.IGNORECASE if word.islower() else 0
    return re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", running, flags) is not None


def symbols_in_use(app: AppTest) -> set[str]:
    """Greek letters and signs that only a card explains, wherever they stand, in help texts too."""
    helps = [str(getattr(each.proto, "help", "")) for kind in HELPED for each in getattr(app, kind)]
    running = "\n".join([words(app), *headings(app), *of_charts(app), *helps])
    return set(re.findall(r"[Α-ωϵ‖ḡ␣⏎⇥]", running))


HELPED = ("metric", "selectbox", "slider", "select_slider", "number_input", "caption", "toggle")
