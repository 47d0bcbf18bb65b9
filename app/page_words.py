"""The words of each page that its cards explain, by their keys in the glossary. A test reads the
pages and names what is missing here.
"""

from __future__ import annotations

_LOSS = "token type rollout step kl sampled_loss nats estimator"
_SET = "rock_token R CCR R_ctx tau high recurring in_set K"
_SIGNS = "sum space line_break tab id category"
_CLASSES = "class stays_hard learned resolved relapsed never_hard undecided"
_CATEGORIES = (
    "discourse latex markdown whitespace digit operator function punctuation content special"
)

_EVERYWHERE = "final_texts jaccard questions"  # in the line on the Rock Tokens, and in cards

WORDS: dict[str, tuple[str, ...]] = {
    page: tuple(dict.fromkeys(" ".join((*keys, _EVERYWHERE)).split()))
    for page, keys in {
        "learn": (
            "opd student teacher",
            _LOSS,
            _SET,
            "probe final_texts before_after grad_norm share jaccard interval scenario",
            "knockout pillar neutral undecided freeze baseline sham sign_test p_value",
            "naive cross_fitted regression type_density occurrence_density",
            "accuracy holm learned",
            _SIGNS,
            "coverage stability weight scenario stumbling arm random_freeze gamma eta w",
            _CLASSES,
        ),
        "overview": (
            "opd student teacher",
            _LOSS,
            "fresh accuracy interval rock_token R share grad_norm scenario arm baseline knockout",
            _CATEGORIES,
        ),
        "trace": (
            _LOSS,
            "position probe fresh final_texts first_texts before_after logp entropy persistence",
            "forward_kl jensen_shannon disagreement grad_norm weight topk_tail",
            _SET,
            "least_share jaccard",
            _CLASSES,
            "knockout",
            _SIGNS,
            _CATEGORIES,
        ),
        "rock_tokens": (
            _SET,
            "share coverage stability jaccard type_density occurrence_density kappa least_share",
            "control mode rule",
            _LOSS,
            "occurrence position checkpoint before_after final_texts interval",
            _CLASSES,
            "hard change naive cross_fitted regression knockout pillar neutral",
            _SIGNS,
            _CATEGORIES,
        ),
        "token": (
            _SET,
            "share coverage least_share jaccard mode rule arm baseline freeze holm delta accuracy",
            "student teacher grad_norm not_told probe mean_gradient",
            _LOSS,
            "occurrence position checkpoint before_after final_texts interval",
            _CLASSES,
            "hard change cross_fitted regression knockout pillar neutral",
            _SIGNS,
        ),
        "steps": (
            _LOSS,
            "position probe fresh final_texts first_texts q rock_token R",
            _CLASSES,
            "change slope",
            _SIGNS,
            _CATEGORIES,
        ),
        "gradients": (
            "grad_norm mean_gradient G_balanced G_global cosine contrib not_told gini lorenz",
            "rare_high_kl second_moment mann_whitney naive cross_fitted regression change",
            "proj_grad_norm noise_floor position sum",
            _LOSS,
            "probe final_texts first_texts interval p_value weight rock_token K least_share",
            "jaccard id category",
            _CATEGORIES,
        ),
        "compare": (
            _LOSS,
            "fresh before_after accuracy interval persistence",
            _SET,
            "q least_share jaccard occurrence",
            _SIGNS,
        ),
        "arms": (
            "arm baseline freeze soft random_freeze entropy_arms iw_opd dynamic weight milestone",
            "student type rollout step fresh probe first_texts accuracy interval p_value kl nats",
            "rock_token mode not_told holm crossed amdahl",
        ),
        "threshold_lab": (
            _SET,
            "q w gamma rho eta support tau_R least_share knee jaccard stability coverage share",
            "occurrence_density type_density rule paper_mode mode control kappa",
            _LOSS,
            "occurrence before_after interval weight grad_norm not_told knockout pillar",
            _SIGNS,
        ),
        "knockout": (
            "knockout delta epsilon spellings window_knockout sham noise pillar stumbling neutral",
            "undecided needed p_value interval max_T BH sign_test power reliability",
            "student rollout fresh accuracy kl nats rock_token recurring baseline naive not_told",
            _SIGNS,
        ),
        "notes": (_SET, _LOSS, _SIGNS, "rule share coverage stability interval stays_hard"),
        "live": (_LOSS, "fresh accuracy interval R share", _SIGNS),
        "session": (
            "opd student teacher scenario step rollout token kl nats",
            "arm baseline freeze soft random_freeze entropy_arms iw_opd dynamic weight",
            "rock_token probe checkpoint",
        ),
        "imports": ("step rollout token estimator topk_tail kl logp sampled_loss",),
    }.items()
}
