"""What the controls at the head of the page ask for."""

from __future__ import annotations

from typing import Any, NamedTuple

from app import data, selection
from app.components import heatmap
from app.views.steps import words


class Asked(NamedTuple):
    """Of which run, whose texts, which signal, with the cursor at which step."""

    run: data.runs.RunKey
    facts: data.runs.Course
    source: str
    signal: str
    step: int

    @property
    def scale(self) -> data.runs.Scale:
        return data.runs.scale(self.run, self.signal)

    @property
    def columns(self) -> dict[str, Any]:
        steps = data.runs.steps(self.run, self.source)
        loss = self.facts.held.loss_of(data.texts.Texts(self.source)) or "kl"
        return words.columns(self.signal, self.scale.unit, steps, self.step, loss)

    def chart(
        self, surface: data.steps.Surface, title: str, rows: str, **more: Any
    ) -> heatmap.Heatmap:
        """A heatmap of these texts."""
        facts = self.facts
        is_loss = self.signal in ("kl", facts.loss)
        estimator = facts.measured(self.signal) if is_loss else f"{self.signal} as logged"
        texts = data.texts.Texts(self.source).phrase
        return heatmap.Heatmap(
            surface,
            self.scale,
            title,
            f"{facts.meta.name} · {texts} · cursor at step {self.step} · {estimator}",
            rows,
            self.step,
            **more,
        )

    def link_to_trace(self, rollout: int | None = None) -> None:
        """Trace opens at the same step, rollout and signal, with what is selected here."""
        what = "the texts" if rollout is None else f"rollout {rollout}"
        selection.link("trace", f"Read {what} at step {self.step} in Trace")
