"""The means of a step, and how far they can be trusted."""

from typing import Any

import numpy as np
import pytest

from rockcore.schema import Prompt
from rockcore.training.columns import NonFiniteLoss, refuse_non_finite, step_summary
from rockcore.training.rollouts import Rollouts
from rockcore.training.scoring import Judged


def summary(kl_by_rollout: list[np.ndarray]) -> dict[str, Any]:
    n = len(kl_by_rollout)
    responses = [[5] * len(kl) for kl in kl_by_rollout]
    rollouts = Rollouts([Prompt("a", "a", None)] * n, [[1]] * n, [[1]] * n, responses, [""] * n)
    kl = np.concatenate(kl_by_rollout)
    return step_summary(0, rollouts, Judged({"kl": kl}, np.ones(len(kl), bool)))


@pytest.mark.parametrize("R", [2, 8, 32])
def test_the_standard_error_is_that_of_the_means_of_rollouts_of_one_length(R):
    kl = np.random.default_rng(R).gamma(0.5, 1, (R, 20))
    found = summary(list(kl))
    assert found["kl_stderr"] == pytest.approx(kl.mean(1).std(ddof=1) / np.sqrt(R))
    assert found["kl_mean"] == pytest.approx(kl.mean())


def test_the_standard_error_is_as_large_as_the_mean_varies_from_step_to_step():
    rng = np.random.default_rng(0)
    steps = [
        summary([rng.gamma(rng.gamma(2, 0.3), 1, rng.integers(5, 40)) for _ in range(8)])
        for _ in range(2000)
    ]
    said = np.sqrt(np.mean([step["kl_stderr"] ** 2 for step in steps]))
    assert said == pytest.approx(np.std([step["kl_mean"] for step in steps]), rel=0.05)


def test_one_rollout_has_no_standard_error():
    assert summary([np.ones(7)])["kl_stderr"] is None


def test_what_is_no_number_before_any_update_comes_from_the_models():
    rollouts = Rollouts([Prompt("a", "a", None)], [[1]], [[1]], [[1, 2]], ["x"])
    scored = Judged({"kl": np.array([0.5, np.inf], np.float32)}, np.ones(2, bool))
    with pytest.raises(NonFiniteLoss, match="position 1, kl is inf .*comes from the models"):
        refuse_non_finite(0, rollouts, scored)
    with pytest.raises(NonFiniteLoss, match="lower --lr"):
        refuse_non_finite(1, rollouts, scored)
