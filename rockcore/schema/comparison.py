"""The tables of a comparison of arms: small aggregates, a Parquet file each."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from rockcore.schema.columns import EVALS, METRICS, PHASES, TOKENS, Column
from rockcore.schema.holds import COUNT, KNOWN
from rockcore.schema.tables import LogTable

_ARM = Column(pa.string(), "", "The arm.", holds=KNOWN)
_STEP = Column(pa.int32(), "updates", "The student had been updated this often.", holds=COUNT)
_SEEDS = Column(pa.int32(), "", "How many seeds it rests on.", holds=COUNT)
_SEED = Column(pa.int32(), "", "The seed of the run.", holds=COUNT)
_MEASURE = Column(pa.string(), "", "greedy or sampled accuracy, or text_kl in nats.", holds=KNOWN)
_TOKEN = Column(pa.string(), "", "Its text.", holds=KNOWN)


def _real(unit: str, meaning: str, optional: bool = False) -> Column:
    return Column(pa.float64(), unit, meaning, optional)


def _interval(unit: str, over: str) -> dict[str, Column]:
    return {
        "low": _real(unit, f"Lower end of the 95 % interval over {over}; null where none is known"),
        "high": _real(unit, "Its upper end."),
    }


COMPARISON: dict[str, dict[str, Column]] = {
    "accuracy": {
        "arm": _ARM,
        "step": _STEP,
        "decoding": EVALS["decoding"],
        "seeds": _SEEDS,
        "problems": Column(pa.int32(), "", "Held-out problems of each seed.", holds=COUNT),
        "accuracy": _real("", "Share of right answers."),
        **_interval("", "seeds and problems"),
        "seconds": _real("s", "Training time until then, the log's aside; mean over seeds."),
        "trained": _real("tokens", "Tokens of weight above 0 until then; mean over seeds."),
    },
    "text_kl": {
        "arm": _ARM,
        "step": _STEP,
        "seeds": _SEEDS,
        "texts": Column(
            pa.int32(), "", "Fixed texts of the starting student of each seed.", holds=COUNT
        ),
        "kl": _real("nats", "Mean over texts of each text's mean kl."),
        **_interval("nats", "seeds and texts"),
    },
    "fresh_kl": {
        "arm": _ARM,
        "step": _STEP,
        "seeds": _SEEDS,
        "kl": _real("nats", "Mean kl of the step's fresh rollouts; mean over seeds."),
        **_interval("nats", "seeds"),
    },
    "rock_kl": {
        "arm": _ARM,
        "step": _STEP,
        "tokens": Column(
            pa.string(), "", "rocks: of a type in the set; others: all else.", holds=KNOWN
        ),
        "seeds": _SEEDS,
        "n": _real("tokens", "Such tokens in the fixed texts of a seed; mean over seeds."),
        "kl": _real("nats", "Their mean kl; mean over seeds."),
        **_interval("nats", "seeds"),
        "change": _real("nats", "kl less that of the first milestone."),
        "change_low": _real("nats", "Lower end of its 95 % interval over seeds."),
        "change_high": _real("nats", "Its upper end."),
    },
    "differences": {
        "arm": _ARM,
        "measure": _MEASURE,
        "step": _STEP,
        "seeds": _SEEDS,
        "difference": _real("", "The arm less the baseline, paired by seed and problem."),
        **_interval("", "seeds and problems"),
    },
    "tests": {
        "arm": _ARM,
        "measure": _MEASURE,
        "difference": _real("", "The arm less the baseline, at the last milestone."),
        **_interval("", "seeds and problems"),
        "p": _real("", "Two-sided; of one seed null."),
        "p_holm": _real("", "The same, corrected by Holm for the arms that are compared."),
        "dof": _real("", "Degrees of freedom of its t."),
        "seeds": _SEEDS,
        "problems": Column(pa.int32(), "", "Problems, or fixed texts, of each seed.", holds=COUNT),
        "seed_sd": _real("", "Standard deviation of the effect of a seed."),
        "problem_sd": _real("", "Standard deviation of the effect of a problem."),
        "rest_sd": _real("", "Standard deviation of what is left."),
    },
    "costs": {
        "arm": _ARM,
        "seeds": _SEEDS,
        "tokens": _real("tokens", "Response tokens that were written; mean over seeds."),
        "trained": _real("tokens", "Those of weight above 0; mean over seeds."),
        "left_out": _real("", "Share of the tokens that were not trained on."),
        "seconds": _real("s", "Training time, the log's aside; mean over seeds."),
        **{
            name: _real("s", f"{METRICS[name].meaning[:-1]}; median over steps, mean over seeds.")
            for name in (*PHASES, "projection_s")
        },
        "step_s": _real("s", "Time of a step, the log's aside: the same way."),
        "saved": _real("", "Share of the baseline's step that was saved, seed by seed."),
        "saved_low": _real("", "Lower end of its 95 % interval over seeds."),
        "saved_high": _real("", "Its upper end."),
        "bound": _real("", "What skipping these tokens can save at most, by Amdahl's law."),
        "gain": _real("", "Sampled accuracy gained from the first to the last milestone."),
        "gain_per_minute": _real("1/min", "gain by training time, seed by seed."),
        "gain_per_minute_low": _real("1/min", "Lower end of its 95 % interval over seeds."),
        "gain_per_minute_high": _real("1/min", "Its upper end."),
        "gain_per_million": _real("", "gain by a million trained tokens, seed by seed."),
        "gain_per_million_low": _real("", "Lower end of its 95 % interval over seeds."),
        "gain_per_million_high": _real("", "Its upper end."),
    },
    "weights": {
        "arm": _ARM,
        "step": _STEP,
        "token_id": TOKENS["token_id"],
        "token": _TOKEN,
        "weight": _real("", "Weight of the type from this step on; mean over seeds."),
        "lowest": _real("", "The lowest of any seed."),
        "highest": _real("", "The highest of any seed."),
        "seeds": _SEEDS,
    },
    "texts": {
        "arm": _ARM,
        "seed": _SEED,
        "step": _STEP,
        "rollout_id": TOKENS["rollout_id"],
        "position": TOKENS["position"],
        "token_id": TOKENS["token_id"],
        "token": _TOKEN,
        "category": Column(pa.string(), "", "The token's category in its place.", holds=KNOWN),
        "kl": TOKENS["kl"],
        "weight": TOKENS["weight"],
    },
    "prompts": {
        "rollout_id": TOKENS["rollout_id"],
        "prompt": Column(
            pa.string(), "", "What the student read, the same in all arms.", holds=KNOWN
        ),
    },
}

_KEYS = {
    "accuracy": ("arm", "step", "decoding"),
    "text_kl": ("arm", "step"),
    "fresh_kl": ("arm", "step"),
    "rock_kl": ("arm", "step", "tokens"),
    "differences": ("arm", "measure", "step"),
    "tests": ("arm", "measure"),
    "costs": ("arm",),
    "weights": ("arm", "step", "token_id"),
    "texts": ("arm", "seed", "step", "rollout_id", "position"),
    "prompts": ("rollout_id",),
}
COMPARISON_TABLES: dict[str, LogTable] = {
    name: LogTable(f"comparison/{name}.parquet", columns, _KEYS[name])
    for name, columns in COMPARISON.items()
}

# comparison.json: what is said once, and what each of it is
ABOUT: dict[str, Any] = {
    "name": str,
    "student": str,
    "teacher": str,
    "estimator": str,
    "normalisers": list[str],
    "machines": list[str],  # on which the times were taken
    "steps": int,
    "runs": int,  # that are finished
    "missing": list[str],  # names of those that are not
    "rock_ids": list[int],
    "rock_tokens": list[str],  # their texts
    "rocks_from": str,
    "weight_rule": str,  # how the arm dynamic moves its weights; empty without that arm
    "verdicts": list[str],  # sentences
    "notes": list[str],  # sentences on what limits the comparison
    "paper": str,
}
