"""Words of the training and of its texts."""

from __future__ import annotations

from rockcore.glossary.term import Term

TEXTS: dict[str, Term] = {
    "opd": Term(
        "on-policy distillation",
        "",
        "A small model, the student, writes texts of its own, and a large one, the teacher, says "
        "at every token what it would have expected there. The student is moved towards that.",
        r"\min_\theta\ \mathbb{E}_{x \sim p_\theta} \sum_t "
        r"\mathrm{KL}\big(p_\theta(\cdot \mid x_{\lt t}) \,\Vert\, q(\cdot \mid x_{\lt t})\big)",
        paper="Equation 1; a student of 4 billion weights and a teacher of 30 billion.",
    ),
    "student": Term(
        "student",
        "p",
        "The model that is trained. p stands for its probabilities of the next token.",
        here="Here: {student}.",
    ),
    "teacher": Term(
        "teacher",
        "q",
        "The model that is imitated and never changes. q stands for its probabilities.",
        here="Here: {teacher}.",
    ),
    "token": Term(
        "token",
        "x",
        "A piece of text that a model writes in one go: a word, a part of one, a sign or a line "
        "break.",
    ),
    "type": Term(
        "token type",
        "v",
        "A token wherever it stands: all “So” of all texts are one type. “␣So”, with a space "
        "before it, is another.",
        also=("types", "token types", "type"),
    ),
    "occurrence": Term(
        "occurrence",
        "",
        "One place in one text where a type stands. A type has n occurrences.",
        also=("occurrences", "n"),
        trap="Occurrences of one text resemble each other, so intervals draw whole texts anew and "
        "never single occurrences.",
    ),
    "position": Term(
        "position",
        "t",
        "The place of a token in its text, counted from 0.",
        also=("positions",),
        trap="Every value stands at the token that it judges, not at the one before, which the "
        "model has just read.",
    ),
    "rollout": Term(
        "rollout",
        "",
        "One text that the student wrote in answer to a prompt.",
        also=("rollouts",),
        paper="4 rollouts a prompt at temperature 1 (section 2).",
    ),
    "step": Term(
        "step",
        "s",
        "So many updates of the student: step 0 is the student before training.",
        also=("steps", "updates", "step (updates)"),
        here="Here: steps {first_step} to {last_step}.",
    ),
    "before_after": Term(
        "before / after",
        "",
        "The first and the last of the two steps that are compared.",
        also=("before", "after"),
        here="Here: step {first_step} and step {last_step}.",
    ),
    "checkpoint": Term(
        "checkpoint",
        "",
        "The student as it stood at one step, kept or scored there.",
        also=("checkpoints",),
    ),
    "fresh": Term(
        "fresh texts",
        "",
        "What the student of a step wrote at that step: other texts at every step.",
        also=("fresh rollouts", "fresh"),
        trap="Between two steps not only the student differs, the texts do too.",
    ),
    "probe": Term(
        "probe",
        "",
        "A fixed text that the student of every logged step scores again, so that one place can be "
        "followed through the training.",
        also=("probe texts", "probes", "fixed texts"),
    ),
    "final_texts": Term(
        "texts of the final student",
        "",
        "Probes that the trained student wrote. On them Rock Tokens are looked for.",
        also=("final texts",),
        here="Here: {texts} texts.",
    ),
    "first_texts": Term(
        "texts of the first student",
        "",
        "Probes that the student wrote before it was trained.",
        also=("first texts", "starting student"),
    ),
    "accuracy": Term(
        "held-out accuracy",
        "",
        "Share of right answers to problems that were never trained on: greedy takes the likeliest "
        "token each time, sampled draws it.",
        also=("accuracy", "greedy", "sampled", "share right"),
    ),
    "interval": Term(
        "95 % interval",
        "",
        "Ends between which the true value lies in 95 of 100 such measurements.",
        also=("95 %", "95 % from", "interval", "Wilson interval"),
        trap="It speaks of one quantity. Of twenty, one lies outside on average.",
    ),
    "p_value": Term(
        "p-value",
        "",
        "How often chance alone would give a difference at least as large.",
        also=("p",),
        trap="It is no probability that the finding is right, and among many tests some are small "
        "by luck: hence max-T, Holm and Benjamini–Hochberg.",
    ),
    "questions": Term(
        "RQ1, RQ2, RQ3",
        "",
        "The paper's three questions: who takes the gradient, do the answers need these tokens, "
        "and what if they are not trained on.",
        also=("RQ1", "RQ2", "RQ3"),
    ),
}
