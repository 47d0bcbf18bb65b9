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
    def spoken(self) -> str:
        """The signal, as a person is told."""
        return data.texts.SPOKEN.get(self.signal, self.signal)

    @property
    def scale(self) -> data.runs.Scale:
        return data.runs.scale(self.run, self.signal)

    @property
    def axis(self) -> data.steps.StepAxis:
        return data.steps.step_axis(self.run, self.source)

    @property
    def has_ratio(self) -> bool:
        """Whether a value is never below zero, and there are two steps to compare."""
        signed = data.texts.SIGNALS[self.signal].kind == "diverging"
        return not signed and len(data.runs.steps(self.run, self.source)) > 1

    @property
    def columns(self) -> dict[str, Any]:
        steps = data.runs.steps(self.run, self.source)
        loss = self.facts.held.loss_of(data.texts.Texts(self.source)) or "kl"
        return words.columns(self.signal, self.scale.unit, steps, self.step, loss)

    def chart(
        self,
        surface: data.steps.Surface,
        title: str,
        rows: str,
        as_ratio: bool = False,
        **more: Any,
    ) -> heatmap.Heatmap:
        """A heatmap of these texts, of values or of their ratios to the first step."""
        facts = self.facts
        is_loss = self.signal in ("kl", facts.loss)
        estimator = facts.measured(self.signal) if is_loss else f"{self.spoken} as logged"
        texts = data.texts.Texts(self.source).phrase
        first = data.runs.steps(self.run, self.source)[0]
        return heatmap.Heatmap(
            data.steps.ratios(surface) if as_ratio else surface,
            data.steps.ratio_scale(self.scale, first) if as_ratio else self.scale,
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
