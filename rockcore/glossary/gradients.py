"""Who moves the student, and where to."""

from __future__ import annotations

from rockcore.glossary.term import Term

GRADIENTS: dict[str, Term] = {
    "grad_norm": Term(
        "gradient norm",
        "‖g‖",
        "How strongly one token pulls at the student's predictions: the length of the gradient of "
        "its KL in the logits.",
        r"g_u = p_u\,\big(\log p_u - \log q_u - \mathrm{kl}\big) \qquad "
        r"\Vert g \Vert = \sqrt{\textstyle\sum_u g_u^2}",
        paper="RQ1, the closed form.",
        trap="It is a pull in the predictions, not in the weights; Gradients compares it with the "
        "gradient in all weights where that was logged.",
        also=("grad_norm", "gradient", "% of gradient", "Norm of the gradient", "norm"),
    ),
    "proj_grad_norm": Term(
        "gradient norm in the projection",
        "",
        "The same in the last layer: gradient norm times the length of the last hidden state.",
        also=("proj_grad_norm",),
    ),
    "mean_gradient": Term(
        "mean gradient",
        "‖ḡ‖",
        "Length of the mean gradient of a type: long where its occurrences pull the same way.",
        r"\Vert \bar g_v \Vert^2 = \frac{1}{\lvert P \rvert} \sum_{(i,j) \in P} g_i \cdot g_j"
        r"\qquad P:\ \text{pairs from different texts}",
        paper="RQ1, naive: medians 0.016 of rocks and 0.54 of rare types of high KL.",
        trap="The mean of few noisy gradients is long by noise alone, so rare types look strong. "
        "Pairs from different texts are free of that.",
        also=("median ‖ḡ‖", "‖mean gradient‖", "mean gradients", "‖mean"),
    ),
    "G_balanced": Term(
        "balanced direction",
        "G_balanced",
        "Sum of the mean gradients of all types, each once: where the vocabulary as a whole pulls.",
        r"G_{\mathrm{balanced}} = \sum_v \bar g_v",
        paper="Defined there (RQ1).",
        trap="The type's own part is left out before a cosine is taken, or every type would point "
        "at itself.",
    ),
    "G_global": Term(
        "global direction",
        "G_global",
        "Sum of the gradients of all tokens: where the update goes.",
        r"G_{\mathrm{global}} = \sum_t g_t",
        trap="Frequent types dominate it by their number.",
    ),
    "cosine": Term(
        "cosine",
        "cos",
        "How far two gradients point the same way: 1 the same, 0 at a right angle, −1 opposite.",
        r"\cos(a, b) = \frac{a \cdot b}{\Vert a \Vert\, \Vert b \Vert}",
        paper="Medians 0.040 of rocks, 0.025 of rare types of high KL, 0.006 of others (RQ1).",
        trap="Without the noise an estimate may pass 1, and where a length is not told from 0 "
        "there is no cosine.",
    ),
    "contrib": Term(
        "contribution",
        "contrib",
        "What a type adds to the balanced direction.",
        r"\mathrm{contrib}(v) = n_v \cdot \Vert \bar g_v \Vert \cdot "
        r"\cos(\bar g_v, G_{\mathrm{balanced}})",
        paper="Defined there (RQ1).",
    ),
    "not_told": Term(
        "not told from 0",
        "",
        "The interval of a length holds 0: it is bounded from above and has no direction.",
        also=("not told",),
    ),
    "lorenz": Term(
        "Lorenz curve",
        "",
        "What share of the gradient the least so many types or tokens hold together. The further "
        "it hangs below the diagonal, the fewer hold most.",
        also=("Lorenz",),
    ),
    "gini": Term(
        "Gini",
        "",
        "Inequality in one number: twice the area between the Lorenz curve and the diagonal. 0: "
        "all alike, 1: one holds everything.",
        r"\mathrm{Gini} = 1 - 2 \int_0^1 L(x)\,dx",
    ),
    "rare_high_kl": Term(
        "rare, high KL",
        "",
        "A group for comparison: types with the highest mean KL that are no Rock Tokens and occur "
        "at least twice.",
        paper="100 types (RQ1).",
        also=("rare types of high KL",),
        trap="They were picked for a high mean: see regression to the mean.",
    ),
    "second_moment": Term(
        "Adam's second moment",
        "",
        "A running mean of squared gradients by which the optimizer divides its step.",
        paper="Supposed to be larger for frequent types and to make their steps small (RQ1); open.",
        trap="Alone it says nothing of the length of a step, which is m/√v.",
        also=("second moment",),
    ),
    "mann_whitney": Term(
        "Mann–Whitney test",
        "",
        "Asks with which probability a value of one group is above one of the other: 0.5 is no "
        "difference.",
        paper="p < 1e−30 for the lengths (RQ1).",
    ),
}
