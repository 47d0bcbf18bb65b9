"""What became of a token type over the training."""

from __future__ import annotations

from rockcore.glossary.term import Term

CHANGE: dict[str, Term] = {
    "hard": Term(
        "hard",
        "",
        "A type is hard at a step if its mean loss there is at least the mean of all tokens at the "
        "first step.",
        here="Here: from {hard_from:.3g} nats on.",
    ),
    "class": Term(
        "class",
        "",
        "What became of a type, chosen on one half of the texts and measured on the other: stays "
        "hard, learned, resolved, relapsed, never hard or undecided.",
        also=("classes", "rock class"),
    ),
    "stays_hard": Term(
        "stays hard",
        "",
        "Hard at the first, the middle and the last step.",
        trap="Slow is not stuck: most such types still fall a little, and that is said with an "
        "interval. Nor is it the same as being in the set, which also asks for contexts.",
        paper="“Stagnant”: a mean KL of 0.21 early and 0.19 late (RQ1).",
    ),
    "learned": Term(
        "learned",
        "",
        "Hard at first, no longer by the middle, and the fall is beyond its interval.",
    ),
    "resolved": Term(
        "resolved",
        "",
        "Still or newly hard in the middle, no longer at the end, and the fall is beyond its "
        "interval.",
    ),
    "relapsed": Term(
        "relapsed",
        "",
        "Hard at the end though it was not at the first or the middle step, and the rise is beyond "
        "its interval.",
    ),
    "never_hard": Term("never hard", "", "Not hard at any of the three steps."),
    "undecided": Term(
        "undecided",
        "",
        "The numbers do not tell: halves of the texts disagree, the change lies within its "
        "interval, or there is too little of it.",
        trap="It does not mean that there is nothing.",
    ),
    "change": Term(
        "change",
        "",
        "Loss after less loss before; as a factor, loss after over loss before.",
        also=("change, 95 %", "late over early", "relative change"),
    ),
    "slope": Term(
        "slope",
        "",
        "How steeply a mean rises or falls over the steps, by least squares.",
        also=("n steps",),
    ),
    "regression": Term(
        "regression to the mean",
        "",
        "What was picked because it was high is partly high by luck, and falls when it is measured "
        "again, even where nothing was learned.",
        paper="Rare types of high KL fall from 2.02 to 0.85 nats (RQ1); data without any "
        "learning gives the same picture.",
    ),
    "naive": Term(
        "naive",
        "",
        "A number taken on the same texts that picked the types, noise and luck included.",
    ),
    "cross_fitted": Term(
        "cross-fitted",
        "",
        "One half of the texts picks the types, the other half measures them: free of regression "
        "to the mean.",
        also=("crossfitted", "corrected, cross-fitted"),
    ),
}
