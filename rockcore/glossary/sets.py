"""From losses to a set of Rock Tokens."""

from __future__ import annotations

from rockcore.glossary.term import Term

RANKING: dict[str, Term] = {
    "rock_token": Term(
        "Rock Token",
        "",
        "A token type in the set of the rule: its loss is high before and after training, recurs "
        "in similar contexts, and is a large enough part of the whole.",
        here="Here: {K} types.",
        paper="Section 2: 100 types, mostly structure, such as LaTeX, So, Wait, digits.",
        trap="Which types these are depends on thresholds that the paper leaves open: look how the "
        "set changes when you move them.",
        also=("Rock Tokens", "rocks", "rock"),
    ),
    "R": Term(
        "Rock Score",
        "R",
        "The loss that falls on a type in all: its mean loss times how often it occurs.",
        r"R(v) = \bar\ell_v \cdot n_v = \sum_{t:\,x_t = v} \ell_t \qquad "
        r"\sum_v R(v) = \sum_t \ell_t",
        here="Here the largest is that of {top_token}: {top_R:.1f} nats, {top_share:.0%} of all.",
        paper="Defined there (section 2).",
        trap="A frequent type has a high score even where its loss is low, so a score alone makes "
        "no Rock Token.",
        also=("R(v)", "Rock score", "R(v) (nats)"),
    ),
    "CCR": Term(
        "context-consistent ratio",
        "CCR",
        "Share of a type's occurrences that pass the first two gates: high before and after, and "
        "in contexts that recur.",
        r"\mathrm{CCR}(v) = \frac{\lvert \text{kept occurrences of } v \rvert}{n_v}",
        paper="Defined there (section 2).",
        also=("CCR A", "CCR B"),
    ),
    "R_ctx": Term(
        "contextual Rock Score",
        "R_ctx",
        "What ranks the types: the Rock Score times the CCR.",
        r"R_{\mathrm{ctx}}(v) = R(v) \cdot \mathrm{CCR}(v) = \bar\ell_v \cdot "
        r"\lvert \text{kept occurrences of } v \rvert",
        paper="Section 2; a type is a Rock Token where it is at least τ_R, which is given no "
        "value.",
        trap="The frequency cancels: a rare type with many kept occurrences can lead.",
        also=("R_ctx(v)", "R_ctx (nats)", "score"),
    ),
    "share": Term(
        "share of the loss",
        "",
        "What part of the summed loss falls on these tokens.",
        also=("share", "share of kl", "% of loss"),
    ),
}

GATES: dict[str, Term] = {
    "tau": Term(
        "threshold",
        "τ",
        "From this many nats on a loss counts as high.",
        here="Here: τ = {tau_pre:.3g} nats before and {tau_post:.3g} after.",
        paper="Section 2, without values.",
        trap="One value for both ends. A quantile of each step's own losses would always find "
        "something that persists.",
        also=("τ_pre", "τ_post", "tau_pre", "tau_post", "threshold"),
    ),
    "q": Term(
        "quantile of the threshold",
        "q",
        "Where τ is not given in nats, it stands where this share of the losses before training "
        "lies below it.",
        here="Here: {tau_quantile:g}.",
        also=("tau_quantile", "quantile"),
    ),
    "high": Term(
        "high before and after",
        "high",
        "First gate: the loss of an occurrence is at least τ before and after training.",
        r"\ell_{\mathrm{pre}} \ge \tau_{\mathrm{pre}} \ \text{and}\ "
        r"\ell_{\mathrm{post}} \ge \tau_{\mathrm{post}}",
        here="Here: {persistent:,} of {scored:,} occurrences.",
        paper="Section 2, the set O_PH.",
        also=("persistent", "Persistent occurrences", "high"),
    ),
    "w": Term(
        "window of the context",
        "w",
        "So many tokens on each side of an occurrence are its context. The token itself is left "
        "out.",
        here="Here: {window} on each side.",
        also=("window",),
    ),
    "gamma": Term(
        "similarity of contexts",
        "γ",
        "Two contexts are similar if at least this share of their tokens agree, place by place.",
        here="Here: {gamma:g}, that is {gamma_of_window} of {neighbours} neighbours.",
        paper="Section 2, without a value.",
        also=("gamma",),
    ),
    "rho": Term(
        "recurrence",
        "ρ",
        "Of the other high occurrences of a type, the share whose context is similar to this "
        "one's.",
        r"\rho(o) = \frac{\lvert \{ o' \ne o : \mathrm{sim}(o, o') \ge \gamma \} \rvert}"
        r"{\lvert O_{PH}(v) \rvert - 1}",
        paper="Defined there (section 2).",
        trap="A type that lives in five recurring contexts has ρ near 1/5 in each: a high η would "
        "throw it out.",
    ),
    "eta": Term(
        "least recurrence",
        "η",
        "An occurrence is kept where ρ is at least this.",
        here="Here: {eta:g}.",
        paper="Section 2, without a value.",
        also=("eta",),
    ),
    "support": Term(
        "support",
        "",
        "… and where at least so many others are similar to it, from other texts.",
        here="Here: {min_support}, from {min_rollouts} other texts.",
        trap="A share alone accepts 1 of 5, which is an accident.",
        also=("min_support", "min_rollouts"),
    ),
    "recurring": Term(
        "recurring in similar contexts",
        "recurring",
        "Second gate: the occurrence is high, and enough high ones of its type stand in similar "
        "contexts. Such occurrences are kept.",
        here="Here: {consistent:,} of the {persistent:,} high ones.",
        also=("kept", "Kept occurrences", "contexts that recur", "recurring"),
    ),
    "in_set": Term(
        "in the set",
        "set",
        "Third gate: the type's score is large enough, and the types up to its rank are ones that "
        "halves of the texts agree on.",
        here="Here: {in_set:,} occurrences of {K} types.",
        also=("in set", "set"),
    ),
    "kappa": Term(
        "precision of the contexts",
        "κ",
        "Of all occurrences that stand in a context like the kept ones, the share that is high. "
        "Near 1: the context alone tells that the token is hard.",
        r"\kappa(v) = \frac{\lvert \text{high, in such a context} \rvert}"
        r"{\lvert \text{all in such a context} \rvert}",
        trap="Ours; the paper looks at high losses alone, and so cannot see how often the same "
        "context is easy.",
        also=("precision",),
    ),
}

CUTOFF: dict[str, Term] = {
    "K": Term(
        "size of the set",
        "K",
        "So many types, the best by score, are the set.",
        here="Here: K = {K}: {how}.",
        paper="K = 100, which covers about 60 % (section 2).",
        also=("top_k", "Rock Tokens K"),
    ),
    "tau_R": Term(
        "threshold of the score",
        "τ_R",
        "Instead of a number of types: the set holds those whose score is at least this.",
        paper="Section 2, without a value.",
        also=("tau_rock",),
    ),
    "least_share": Term(
        "least share",
        "",
        "The score of a type of the set is at least this share of the summed loss, and more than "
        "an even share, one over the number of types.",
        here="Here: {least_share:.2%}.",
        also=("even_share", "least_share", "even share"),
        trap="With enough text every ranking is stable, so stability alone would take in ever more "
        "types.",
    ),
    "knee": Term(
        "knee",
        "",
        "Where the curve of coverage bends: beyond it a further type adds little. It is drawn, and "
        "decides nothing.",
    ),
    "jaccard": Term(
        "Jaccard index",
        "J",
        "How far two sets agree: what both hold over what either holds. 1: the same set.",
        r"J(A, B) = \frac{\lvert A \cap B \rvert}{\lvert A \cup B \rvert}",
        paper="0.70 or more on average at K = 100 (section 2).",
        also=("min_jaccard", "Jaccard"),
    ),
    "stability": Term(
        "stability",
        "",
        "How far two random halves of the texts, taken apart, find the same K types: the mean of "
        "their Jaccard index over many splits.",
        r"\frac{1}{D} \sum_{d=1}^{D} J(A_d, B_d)",
        here="Here: {stability:.2f}, middle 95 % of the splits {stability_low:.2f} to "
        "{stability_high:.2f}.",
        paper="Nested samples: n of 500 texts against all 500 (section 2).",
        trap="Nested samples share texts and so look more stable: 0.79 where halves gave 0.60 to "
        "0.64.",
        also=("Stability", "split", "splits"),
    ),
    "coverage": Term(
        "coverage",
        "",
        "Share of the summed loss on tokens of the K types.",
        r"\frac{\sum_{v \in \text{set}} R(v)}{\sum_v R(v)}",
        here="Here: {coverage:.0%}.",
        paper="About 60 % at K = 100 (section 2).",
        trap="On the texts that chose the types it is flattered: choose on one half and measure on "
        "the other.",
        also=("Coverage",),
    ),
    "type_density": Term(
        "type density",
        "",
        "Share of all tokens that are of a type in the set, wherever they stand.",
        here="Here: {type_density:.1%}.",
        paper="52.5 %, the median drawn in a figure.",
        also=("Type density",),
    ),
    "occurrence_density": Term(
        "occurrence density",
        "",
        "Share of all tokens that are kept occurrences of a type in the set.",
        here="Here: {occurrence_density:.1%}.",
        paper="18 %, the median in the text.",
        trap="The paper calls both densities by one name; they differ by a factor of three.",
        also=("occ. density", "Occ. density", "Occurrence density"),
    ),
}

READING: dict[str, Term] = {
    "rule": Term(
        "rule",
        "",
        "All thresholds and choices by which Rock Tokens are found, under one name.",
        here="Here: {rule}.",
        also=("preset", "presets"),
    ),
    "paper_mode": Term(
        "paper mode",
        "",
        "Stability as the paper measures it, on nested samples, drawn beside ours.",
        also=("nested",),
    ),
    "mode": Term(
        "paired, bounds, matched, single",
        "",
        "How losses before and after meet: at the same place of the same text (paired); only "
        "counts of each type are known (bounds); in places whose contexts agree (matched); there "
        "is one step (single).",
        here="Here: {mode}.",
        also=("paired", "bounds", "matched", "single"),
    ),
    "control": Term(
        "control",
        "",
        "Positions that are no rocks, drawn at random in the same texts, as many as the rocks hold "
        "there: what a finding is compared with.",
        paper="Types of like frequency (RQ1).",
        trap="Once rocks are a large part of the tokens, no types of like frequency are left: "
        "those of the paper cover a fifth of the positions.",
        also=("controls",),
    ),
}

SETS: dict[str, Term] = RANKING | GATES | CUTOFF | READING
