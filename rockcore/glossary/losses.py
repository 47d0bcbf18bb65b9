"""What is measured at a token."""

from __future__ import annotations

from rockcore.glossary.term import Term

LOSSES: dict[str, Term] = {
    "nats": Term(
        "nats",
        "",
        "The unit of logarithms of probabilities to the base e. 0.69 nats: a factor of 2.",
        r"1\ \text{nat} = \log_2 e \approx 1.44\ \text{bits}",
    ),
    "logp": Term(
        "log probability",
        "log p",
        "The logarithm of the probability that a model gave to the token that was written: 0 is "
        "certain, −4.6 is one in a hundred.",
        also=("student_logp", "teacher_logp", "logp"),
    ),
    "kl": Term(
        "KL",
        "kl",
        "How far the student's prediction of a token is from the teacher's, over the whole "
        "vocabulary, weighted by what the student would write. 0: they agree.",
        r"\mathrm{kl} = \sum_u p(u)\,\big(\log p(u) - \log q(u)\big) \ge 0",
        here="Here: {kl_measured}.",
        paper="Equation 1, reverse KL; means of types are taken of it (section 2.3).",
        trap="It is large only where the student puts weight on what the teacher finds unlikely. "
        "What the student never considers costs nothing.",
        also=("reverse KL", "reverse_kl", "mean kl", "divergence", "mean KL"),
    ),
    "sampled_loss": Term(
        "sampled loss",
        "k1",
        "The same difference at the one token that was written: an estimate of the KL from a "
        "single sample.",
        r"\mathrm{sampled\_loss} = \log p(x_t) - \log q(x_t)",
        paper="Its equation 2 calls this the loss of a token.",
        trap="It is below 0 wherever the teacher likes the written token better than the student "
        "does. Only its mean over many samples is the KL.",
        also=("sampled_loss",),
    ),
    "estimator": Term(
        "estimator",
        "",
        "What the numbers called KL were summed over: full, the whole vocabulary; topk, the "
        "likeliest tokens alone; absent, nothing, only the sampled loss is known.",
        trap="Numbers of two estimators cannot be compared.",
        also=("full", "absent"),
        here="Here: {estimator}.",
    ),
    "topk_tail": Term(
        "top-k + tail",
        "topk+tail",
        "The divergence over the k likeliest tokens, with all others counted as one.",
        also=("topk", "top-k"),
        trap="Never more than the full KL, because what is put together cannot differ inside.",
    ),
    "forward_kl": Term(
        "forward KL",
        "forward_kl",
        "The divergence the other way round, weighted by what the teacher would write: large where "
        "the student misses what the teacher wants.",
        r"\sum_u q(u)\,\big(\log q(u) - \log p(u)\big)",
        paper="Used half and half with cross-entropy before the on-policy stage (section 2).",
    ),
    "jensen_shannon": Term(
        "Jensen–Shannon divergence",
        "JS",
        "The mean divergence of both predictions from their middle: the same either way, and never "
        "more than log 2.",
        r"\tfrac12 \mathrm{KL}(p \,\Vert\, m) + \tfrac12 \mathrm{KL}(q \,\Vert\, m),\quad "
        r"m = \tfrac12 (p + q)",
        also=("jensen_shannon",),
    ),
    "disagreement": Term(
        "top-1 disagreement",
        "",
        "Whether student and teacher find different tokens likeliest.",
        also=("top1_disagreement",),
    ),
    "entropy": Term(
        "entropy",
        "H",
        "How undecided a model is about the next token: 0 where it is sure of one.",
        r"H(p) = -\sum_u p(u) \log p(u)",
        also=("student_entropy", "teacher_entropy", "student entropy", "teacher entropy"),
    ),
    "persistence": Term(
        "persistence",
        "",
        "Share of the logged steps at which the KL of a position is at least τ.",
    ),
    "weight": Term(
        "weight",
        "",
        "How often the loss of a token counts in the update: 1 as usual, 0 not at all.",
        r"L = \frac{1}{T} \sum_t w_t\, \mathrm{kl}_t",
        paper="RQ3: λ for tokens of the set and of their windows, else 1.",
        trap="The authors' code divides by the sum of the weights, so that leaving tokens out "
        "makes all others weigh more. Here the number of tokens divides.",
        also=("normaliser",),
    ),
    "noise_floor": Term(
        "noise floor",
        "",
        "Below this a KL is rounding: two identical models are measured so far apart.",
        trap="In bfloat16 that is up to about 0.01 nats, in float32 a hundred times less.",
    ),
}
