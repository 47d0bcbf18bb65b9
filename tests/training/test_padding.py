"""Pairs with one tokenizer and differently padded vocabularies meet over the ids they share; a
token without an embedding is never needed, and never read.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import small_pairs
import torch
from transformers import AutoTokenizer

from rockcore.config import SessionConfig
from rockcore.log import Run
from rockcore.schema import Prompt
from rockcore.tasks import BadPrompts
from rockcore.training import loading, models, train
from rockcore.training.clock import Clock
from rockcore.training.divergence import VocabularyMismatch
from rockcore.training.exact_gradients import exact_norms
from rockcore.training.gradient_sums import sums_of
from rockcore.training.padding import shared_ids
from rockcore.training.rollouts import rollouts_of, sample
from rockcore.training.scoring import Alternatives, Learning, judge_texts
from rockcore.training.vocabulary import vocabulary_columns

FAMILIES = list(small_pairs.FAMILIES)
TASKS = [Prompt("Tom has 3 pens.", "Style: brisk. Tom has 3 pens.", None)] * 3
RESPONSES = [[10, 20, 30, 2], [40, 50, 60, 70, 80, 90, 2], [299, 7]]


def save(folder: Path, family: str, seed: int, rows: int, tokens: int = 300, **more) -> str:
    """A model whose padding, where it has some, is likely: what is cut off matters."""
    path = small_pairs.save(folder, family, seed, rows, tokens, **more)
    model = loading.load(path, "cpu", "float32")
    with torch.no_grad():
        model.head[tokens:] *= 1.5
    model.save(folder)
    return path


@pytest.fixture(scope="module", params=[(300, 344), (344, 300), (320, 344)], ids=str)
def rows(request) -> tuple[int, int]:
    """Of the heads of student and teacher; their tokenizer has about 300."""
    return request.param


@pytest.fixture(scope="module", params=FAMILIES)
def pair(request, rows, tmp_path_factory):
    root = tmp_path_factory.mktemp("padded")
    names = ("student", "teacher")
    paths = [save(root / n, request.param, i, rows[i]) for i, n in enumerate(names)]
    return loading.load_pair(*paths, "cpu", "float32")


def known_ids(model: models.Model) -> int:
    """Up to its largest id; transformers adds a token of its own to the tokenizer of Qwen2."""
    return max(model.tokenizer.get_vocab().values()) + 1


def reference(model: models.Model, prompts, responses) -> torch.Tensor:
    """(N, rows) float64 logits at the response tokens, a row at a time."""
    net = model.net.double()
    found = [
        net(torch.tensor([p + r])).logits[0, len(p) - 1 : -1]
        for p, r in zip(prompts, responses, strict=True)
    ]
    logits = torch.cat(found)
    model.net.float()
    return logits


def test_the_losses_are_those_of_both_distributions_restricted_and_renormalised(pair, rows):
    student, teacher = pair
    V = student.vocab_size
    assert V == teacher.vocab_size == min(known_ids(student), *rows)
    rollouts = rollouts_of(student, teacher, TASKS, RESPONSES)
    tops = Alternatives(13)
    got = judge_texts(student, teacher, rollouts, Clock(), watchers=[tops])
    with torch.no_grad():
        whole = [
            reference(student, rollouts.student_prompts, RESPONSES),
            reference(teacher, rollouts.teacher_prompts, RESPONSES),
        ]
    p, q = (x[:, :V].log_softmax(-1) for x in whole)
    ids = torch.tensor(sum(RESPONSES, []))[:, None]
    kl = (p.exp() * (p - q)).sum(-1)
    np.testing.assert_allclose(got.losses["kl"], kl, rtol=1e-5, atol=1e-5)
    logps = {"student_logp": p.gather(1, ids)[:, 0], "teacher_logp": q.gather(1, ids)[:, 0]}
    for name, value in logps.items():
        np.testing.assert_allclose(got.losses[name], value, rtol=1e-4, atol=1e-5)
    for name, x in (("student", p), ("teacher", q)):
        assert tops.arrays()[f"{name}_top_ids"].max() < V
        np.testing.assert_allclose(
            tops.arrays()[f"{name}_top_logps"], x.topk(8).values, rtol=1e-4, atol=1e-4
        )
    cut = [x.softmax(-1)[:, V:].sum(-1).mean().item() for x in whole]
    np.testing.assert_allclose(got.cut, cut, rtol=1e-4, atol=1e-7)
    assert max(cut) > 0.01


def test_no_gradient_reaches_the_rows_that_are_cut_off_and_the_others_get_that_of_the_restricted_kl(
    pair,
):
    student, teacher = pair
    V = student.vocab_size
    rollouts = rollouts_of(student, teacher, TASKS, RESPONSES)
    N = sum(map(len, RESPONSES))
    student.net.zero_grad()
    sums = sums_of(student, rollouts)
    scored = judge_texts(
        student, teacher, rollouts, Clock(), Learning(torch.full((N,), 1.0 / N)), [sums]
    )
    got = {name: p.grad.clone() for name, p in student.net.named_parameters()}
    assert not student.head.grad[V:].any()
    columns = sums.columns(0, scored)
    assert all(len(direction) == V for direction in columns["direction"])
    student.net.zero_grad()
    q = reference(teacher, rollouts.teacher_prompts, RESPONSES)[:, :V].log_softmax(-1).detach()
    prompts = zip(rollouts.student_prompts, RESPONSES, strict=True)
    logits = [student.net(torch.tensor([x + r])).logits[0, len(x) - 1 : -1] for x, r in prompts]
    p = torch.cat(logits)[:, :V].log_softmax(-1)
    (p.exp() * (p - q.float())).sum(-1).mean().backward()
    for name, weight in student.net.named_parameters():
        torch.testing.assert_close(got[name], weight.grad, atol=1e-5, rtol=1e-3)
    student.net.zero_grad(set_to_none=True)
    norms = exact_norms(student, teacher, rollouts, np.array([0, 5]))
    assert np.isfinite(norms).all() and (norms > 0).all()


@pytest.mark.parametrize("temperature", [0.0, 1.0, 2.0])
def test_what_is_cut_off_is_never_sampled(pair, temperature):
    for model in pair:
        responses = model.sample([model.encode("Tom has 3 pens.")] * 8, 12, temperature, seed=0)
        assert max(map(max, responses)) < model.vocab_size


def test_equal_padding_leaves_everything_as_it_was(tmp_path):
    paths = [save(tmp_path / str(i), "llama", i, 320) for i in range(2)]
    student, teacher = loading.load_pair(*paths, "cpu", "float32")
    assert student.vocab_size == 320 and not student.restricted
    rollouts = sample(student, teacher, TASKS, 5, 1.0, seed=0)
    assert judge_texts(student, teacher, rollouts, Clock()).cut is None


def test_the_ids_of_a_tokenizer_with_gaps_and_added_tokens_go_up_to_its_largest():
    class Tokenizer:
        added_tokens_decoder = {12: "<pad>"}

        def __init__(self, **vocabulary: int):
            self.vocabulary = vocabulary

        def get_vocab(self):
            return self.vocabulary

    gaps = Tokenizer(a=0, b=3, c=9)
    assert shared_ids(gaps, {"s": 16, "t": 20}) == shared_ids(gaps, {"s": 20, "t": 16}) == 10
    assert shared_ids(gaps, {"s": 10, "t": 20}) == 10
    assert shared_ids(gaps, {"s": 20, "t": 20}) is None
    added = Tokenizer(a=0, b=3, c=9, pad=12)
    assert shared_ids(added, {"s": 12, "t": 20}) == 12
    with pytest.raises(VocabularyMismatch, match=r"9 ids.*1 tokens beyond.*'c'"):
        shared_ids(gaps, {"s": 9, "t": 20})


def test_a_padded_pair_trains_says_what_is_cut_and_logs_it(tmp_path):
    rows = {"student": 320, "teacher": 344}
    pair = {role: save(tmp_path / role, "llama", i, n) for i, (role, n) in enumerate(rows.items())}
    before = loading.load(pair["student"], "cpu", "float32").head.clone()
    said: list[str] = []
    how = SessionConfig(
        out=tmp_path / "r",
        prompts=small_pairs.prompts_file(tmp_path / "p.jsonl"),
        **pair,
        steps=2,
        rollouts=3,
        probes=2,
        final_probes=2,
        held_out=0,
        max_new_tokens=8,
        lr=1e-2,
        gradients="full",
        exact_positions=3,
        threads=1,
    )
    train(how, say=said.append)
    assert "320 rows, the teacher's 344: both are restricted to the 300 ids" in " ".join(said)
    run = Run.open(tmp_path / "r")
    assert run.meta.vocab_size == len(run.vocab) == 300
    assert (run.metrics().student_cut > 0).all() and (run.metrics().teacher_cut > 0).all()
    assert len(run.optimizer(2)) == 300
    after = loading.load(str(tmp_path / "r" / "checkpoints" / "step=000002"), "cpu", "float32").head
    assert after.shape == before.shape and torch.equal(after[300:], before[300:])
    assert not torch.equal(after[:300], before[:300])
    train(SessionConfig(out=tmp_path / "r", resume=True, steps=3))
    assert Run.open(tmp_path / "r").meta.status == "finished"


def with_added_pad(folder: Path, family: str, seed: int) -> str:
    """A model of 300 ids with a tokenizer of more."""
    path = small_pairs.save(folder, family, seed, 300)
    tokenizer = AutoTokenizer.from_pretrained(path)
    tokenizer.add_special_tokens({"pad_token": "<|pad|>"})
    assert tokenizer.pad_token_id >= 300
    tokenizer.save_pretrained(path)
    return path


@pytest.mark.parametrize("family", FAMILIES)
def test_padding_without_an_embedding_is_replaced_by_one_that_has_one(tmp_path, family):
    """Rows end at different places, so all but the longest are filled up."""
    model = loading.load(with_added_pad(tmp_path / "m", family, 0), "cpu", "float32")
    model.stop_ids = frozenset(range(0, 300, 5))
    model.net.generation_config.eos_token_id = sorted(model.stop_ids)
    prompts = [model.encode(t) for t in ("Tom has 3 pens.", "Ana")] * 6
    together = model.sample(prompts, 20, 1.0, seed=0)
    assert len(set(map(len, together))) > 1


def test_a_model_that_names_such_a_padding_itself_is_loaded(tmp_path):
    path = with_added_pad(tmp_path / "m", "qwen2", 0)
    file = tmp_path / "m" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "pad_token_id": 301}))
    model = loading.load(path, "cpu", "float32")
    assert model.net.generation_config.pad_token_id < 300


@pytest.mark.parametrize("where", ["prompt", "teacher_prompt"])
def test_a_prompt_with_a_token_that_has_no_embedding_is_refused_before_anything_is_written(
    tmp_path, where
):
    pair = {
        role: with_added_pad(tmp_path / role, "qwen2", seed)
        for seed, role in enumerate(("student", "teacher"))
    }
    rows = [{"prompt": f"What is {i}?"} for i in range(9)]
    rows.append({"prompt": "What?", where: "Tom <|pad|> has"})
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, rows)))
    how = SessionConfig(
        out=tmp_path / "r",
        prompts=tmp_path / "p.jsonl",
        **pair,
        steps=1,
        rollouts=2,
        probes=1,
        final_probes=1,
        held_out=0,
        max_new_tokens=4,
        threads=1,
    )
    with pytest.raises(BadPrompts, match=r"'Tom <\|pad\|> has' holds '<\|pad\|>', token 30"):
        train(how)
    assert not (tmp_path / "r").exists()
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, rows[:-1])))
    assert train(how).status == "finished"
    assert Run.open(tmp_path / "r").meta.vocab_size == 300


def test_ids_in_the_gaps_of_a_tokenizer_are_named_as_unused(tmp_path):
    path = small_pairs.save(tmp_path / "m", "llama", vocab_size=310, tokens=300)
    shutil.copy(tmp_path / "m" / "tokenizer.json", tmp_path / "t.json")
    content = json.loads((tmp_path / "t.json").read_text())
    vocabulary = content["model"]["vocab"]
    last = max(vocabulary, key=vocabulary.get)
    vocabulary[last] = 305
    (tmp_path / "m" / "tokenizer.json").write_text(json.dumps(content))
    vocab = vocabulary_columns(loading.load(path, "cpu", "float32"))
    assert vocab["token"][299] == "<unused 299>" and vocab["token"][306] == "<unused 306>"
    assert not vocab["token"][305].startswith("<unused") and len(vocab["token"]) == 310
