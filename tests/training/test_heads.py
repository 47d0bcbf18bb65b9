"""Models that scale or cap their logits: asked for a few positions at a time, they say the same."""

from dataclasses import replace

import numpy as np
import pytest
import small_pairs
import torch
from transformers import CohereConfig, CohereForCausalLM, GraniteConfig, GraniteForCausalLM

from rockcore.schema import Prompt
from rockcore.training import heads, loading
from rockcore.training.clock import Clock
from rockcore.training.rollouts import rollouts_of
from rockcore.training.scoring import Learning, judge_texts

FAMILIES = {
    **small_pairs.FAMILIES,
    "cohere": (CohereConfig, CohereForCausalLM, {"logit_scale": 0.3}),
    "granite": (GraniteConfig, GraniteForCausalLM, {"logits_scaling": 3.0}),
}


@pytest.fixture(params=["gemma2", "cohere", "granite"])
def pair(request, tmp_path, monkeypatch):
    monkeypatch.setattr(small_pairs, "FAMILIES", FAMILIES)
    paths = [small_pairs.save(tmp_path / str(i), request.param, i) for i in range(2)]
    return loading.load_pair(*paths, "cpu", "float32")


def test_losses_and_gradients_are_those_of_the_whole_logits(pair):
    student, teacher = pair
    assert student.finishes and not student.projects
    responses = [[10, 20, 30, 2], [40, 50, 60, 70, 80, 90, 2]]
    task = Prompt("Tom has 3 pens.", "Style: brisk. Tom has 3 pens.", None)
    rollouts = rollouts_of(student, teacher, [task] * 2, responses)
    found = []
    for models in (pair, [replace(model, finishes=False) for model in pair]):
        student.net.zero_grad()
        judged = judge_texts(*models, rollouts, Clock(), Learning(torch.full((11,), 0.1)))
        gradient = {name: p.grad.clone() for name, p in student.net.named_parameters()}
        found.append((judged.losses, gradient))
    for name, values in found[0][0].items():
        np.testing.assert_allclose(values, found[1][0][name], rtol=1e-4, atol=1e-5)
    for name, values in found[0][1].items():
        torch.testing.assert_close(values, found[1][1][name], rtol=1e-4, atol=1e-5)


def test_a_model_is_left_as_it_was(pair):
    net = pair[0].net
    hidden = torch.randn(3, net.config.hidden_size)
    heads.finished(net, hidden)
    assert "forward" not in net.get_decoder().__dict__
    with pytest.raises(RuntimeError):
        heads.finished(net, torch.randn(3, net.config.hidden_size + 1))
    assert "forward" not in net.get_decoder().__dict__


def test_a_head_that_looks_at_other_positions_is_not_asked_in_pieces(pair):
    net = pair[0].net
    own = net.forward

    def summed(*arguments, **options):
        out = own(*arguments, **options)
        out.logits = out.logits.cumsum(1)
        return out

    net.forward = summed
    assert not heads.finishes(net)
