"""What tokens do to the answers, and what becomes of a student that is not trained on them."""

from __future__ import annotations

from rockcore.glossary.term import Term

KNOCKOUTS: dict[str, Term] = {
    "knockout": Term(
        "knockout",
        "",
        "The student is forbidden to write a token, and its answers are graded again.",
        r"\operatorname{logit}(v) = -\infty \ \text{at every step of the decoding}",
        paper="Defined there (RQ2).",
        also=("knocked out", "ban", "Knockout"),
    ),
    "delta": Term(
        "change of the accuracy",
        "Δ",
        "Share of right answers without the token less that with it, in points: below 0 the "
        "answers need it.",
        r"\Delta(v) = \mathrm{acc}(p^{\setminus v}) - \mathrm{acc}(p)",
        paper="Defined there (RQ2).",
        trap="All Δ of a screen share one baseline, and with it its luck.",
        also=("sham Δ",),
    ),
    "epsilon": Term(
        "least effect",
        "ε",
        "A change below this is too small to matter.",
        here="Here: {epsilon:.1%}.",
        paper="0.01, one point (RQ2).",
    ),
    "spellings": Term(
        "with its spellings",
        "",
        "The token is banned together with its other spellings, as with a space before it: one "
        "would replace the other.",
        also=("steered",),
    ),
    "window_knockout": Term(
        "window of a token",
        "W(v)",
        "The stretch of high loss around occurrences of a type. All Rock Tokens found in it are "
        "banned together.",
        paper="Defined there (RQ2).",
        also=("window",),
    ),
    "sham": Term(
        "sham",
        "",
        "The same places are written anew with fresh noise and no ban: what luck alone does.",
        also=("placebo", "shams"),
        paper="It has none: all changes are taken against one run (RQ2).",
    ),
    "noise": Term(
        "common noise",
        "",
        "With and without the token the same random numbers draw the text, so that only texts "
        "which hold the token change.",
        r"x_t = \arg\max_u \big(\log p(u) + \text{Gumbel noise}_u\big)",
    ),
    "pillar": Term(
        "Strong Pillar",
        "",
        "Without the token at least ε fewer answers are right, beyond chance among all tests.",
        paper="7 of 200 on MATH-500, 3 of 200 on IFEval, uncorrected (RQ2).",
        also=("Pillar", "Pillars", "Strong Pillars", "cornerstone"),
        trap="Of 200 tests without any effect about 10 look like one. And with digits or the box "
        "the answer itself is written: those are marked as needed.",
    ),
    "stumbling": Term(
        "Strong Stumbling",
        "",
        "Without the token at least ε more answers are right, beyond chance among all tests.",
        paper="None of 200 (RQ2).",
        also=("Stumbling Block", "stumbling", "stumbling block"),
    ),
    "neutral": Term(
        "Neutral",
        "",
        "Shown to matter less than ε: the whole interval lies within ±ε.",
        paper="193 of 200 on MATH-500, where it means not significant (RQ2).",
        trap="No proof of an effect is no proof of its absence: what neither can be shown of is "
        "undecided.",
        also=("neutral",),
    ),
    "needed": Term(
        "needed",
        "",
        "The answer itself is written with it, so that without it none can be graded right: that "
        "says nothing of the reasoning.",
    ),
    "power": Term(
        "power",
        "",
        "How large an effect must be to be found by so many rollouts in 4 of 5 screens.",
        also=("Power",),
    ),
    "reliability": Term(
        "highest possible correlation",
        "|r| at most",
        "Δ is measured with noise, so not even a perfect predictor would reach a correlation of 1.",
        r"\lvert r \rvert \le \sqrt{\text{reliability of } \Delta}",
        paper="|r| at most 0.075 for nine predictors, without this bound (RQ2).",
        also=("r",),
    ),
}

MANY_TESTS: dict[str, Term] = {
    "max_T": Term(
        "max-T",
        "",
        "Each effect is held against the largest one that chance gives among all tests together: "
        "of a screen without effects one in twenty claims anything.",
        also=("p (max-T)",),
    ),
    "BH": Term(
        "Benjamini–Hochberg",
        "BH",
        "Of what it lets pass, one in twenty is false on average.",
        also=("q (BH)",),
    ),
    "holm": Term(
        "Holm",
        "",
        "The smallest p-value counts as many times as there are tests, the next once less, and so "
        "on.",
        also=("p, Holm",),
    ),
    "sign_test": Term(
        "sign test",
        "",
        "Asks whether more effects lie on one side of 0 than a coin would give.",
        paper="10 to 0, p = 0.002 (RQ2).",
        trap="Naive, against one shared baseline, it rejects in a third of the screens in which "
        "nothing matters. Centred, each against its own sham, it does not.",
        also=("Sign test", "centred"),
    ),
}

ARMS: dict[str, Term] = {
    "arm": Term(
        "arm",
        "",
        "One of several trainings that differ only in how much each token weighs.",
        also=("arms", "Arms"),
    ),
    "baseline": Term("baseline", "", "The arm in which every token weighs 1."),
    "freeze": Term(
        "rock-freeze",
        "",
        "The arm that leaves the Rock Tokens out of the loss: weight 0.",
        paper="Rock-Freeze: about 55 against 57 of the baseline (RQ3).",
        trap="What is frozen still moves, because the weights are shared with everything else.",
        also=("freeze", "Rock-Freeze"),
    ),
    "soft": Term(
        "soft",
        "λ",
        "As rock-freeze, but with a weight λ between 0 and 1.",
        paper="Future work (RQ3).",
    ),
    "random_freeze": Term(
        "random-freeze",
        "",
        "The arm that leaves out as many random positions, in stretches of the same lengths: the "
        "control of rock-freeze.",
        paper="About 42, far below both (RQ3).",
        also=("control arm",),
    ),
    "entropy_arms": Term(
        "top-entropy, low-entropy",
        "",
        "Arms that train on those positions alone where the student is most, or least, undecided.",
        also=("top-entropy", "low-entropy"),
    ),
    "iw_opd": Term(
        "iw-opd",
        "",
        "An arm that weighs early tokens of a text more than late ones, by how much of the text's "
        "difference to the teacher lies before them.",
    ),
    "dynamic": Term(
        "dynamic",
        "",
        "An arm without a given set: at each milestone a type that is hard and does not fall "
        "weighs half, and one that falls comes back.",
        paper="Future work (RQ3).",
    ),
    "milestone": Term(
        "milestone",
        "",
        "A step at which the fixed texts are scored and the held-out problems are graded.",
        also=("milestones",),
    ),
    "crossed": Term(
        "crossed random effects",
        "",
        "Seeds and problems both vary by luck, so the interval of a difference counts both.",
        r"y_{sp} = \mu + a_s + b_p + e_{sp}",
        also=("dof", "seeds × problems", "μ"),
    ),
    "amdahl": Term(
        "Amdahl's law",
        "",
        "A part of a step that is left out saves at most that part of its time.",
        paper="1.4 times and 1.7 times as fast (abstract, RQ3).",
        trap="Every token is still sampled and read; only its way through the vocabulary is saved.",
        also=("Amdahl",),
    ),
}

ANSWERS: dict[str, Term] = KNOCKOUTS | MANY_TESTS | ARMS
