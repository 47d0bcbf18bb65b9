"""What is logged of some twenty-five architectures is what an independent computation finds: in
float64, one row at a time, without padding, by another attention, with the formulas written out.
"""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import small_pairs
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from rockcore.config import SessionConfig
from rockcore.log import Run
from rockcore.schema import Prompt
from rockcore.training import loading, train
from rockcore.training.clock import Clock
from rockcore.training.failures import ModelNotFound
from rockcore.training.rollouts import sample
from rockcore.training.scoring import judge_texts

FAMILIES = [*small_pairs.FAMILIES, *small_pairs.RENAMED, *small_pairs.OTHERS]
TASKS = [
    Prompt("Tom has 3 pens.", "Style: brisk. Tom has 3 pens.", None),
    Prompt("Ana has 12 cups and 4 keys. How many?", "Ana has 12 cups and 4 keys. How many?", None),
    Prompt("Hi", "Hello there, Tom", None),
]
NAMES = (
    "kl sampled_loss student_logp teacher_logp student_entropy teacher_entropy grad_norm".split()
)


def logps(folder: str, prompts, responses, V: int) -> np.ndarray:
    """(N, V) float64, of the response tokens: the whole text through the model, a row at a time."""
    plain = {"attn_implementation": "eager"}
    if (
        "num_experts" in (config := AutoConfig.from_pretrained(folder).to_diff_dict())
        or {
            "num_local_experts",
            "n_routed_experts",
        }
        & config.keys()
    ):
        plain["experts_implementation"] = "eager"
    net = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64, **plain).eval()
    rows = []
    with torch.no_grad():
        for prompt, response in zip(prompts, responses, strict=True):
            whole = net(torch.tensor([prompt + response])).logits[0].numpy()
            rows.append(whole[len(prompt) - 1 : len(prompt) + len(response) - 1, :V])
    x = np.concatenate(rows).astype(np.float64)  # the code of Mamba turns to float32 by itself
    x = x - x.max(1, keepdims=True)
    return x - np.log(np.exp(x).sum(1, keepdims=True))


def by_hand(lp: np.ndarray, lq: np.ndarray, ids: list[int]) -> dict[str, np.ndarray]:
    p, at = np.exp(lp), (np.arange(len(ids)), ids)
    kl = (p * (lp - lq)).sum(1)
    return {
        "kl": kl,
        "sampled_loss": lp[at] - lq[at],
        "student_logp": lp[at],
        "teacher_logp": lq[at],
        "student_entropy": -(p * lp).sum(1),
        "teacher_entropy": -(np.exp(lq) * lq).sum(1),
        "grad_norm": np.linalg.norm(p * (lp - lq - kl[:, None]), axis=1),
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_logged_is_what_float64_finds_row_by_row(tmp_path, family):
    paths = [small_pairs.save(tmp_path / role, family, seed) for seed, role in enumerate("st")]
    student, teacher = loading.load_pair(*paths, "cpu", "float32")
    texts = sample(student, teacher, TASKS, 9, 1.0, seed=1)
    got = judge_texts(student, teacher, texts, Clock()).losses
    V = student.vocab_size
    lp = logps(paths[0], texts.student_prompts, texts.responses, V)
    lq = logps(paths[1], texts.teacher_prompts, texts.responses, V)
    want = by_hand(lp, lq, sum(map(list, texts.responses), []))
    assert want["kl"].mean() > 0.05 and len(set(map(len, texts.student_prompts))) == 3
    for name in NAMES:
        np.testing.assert_allclose(got[name], want[name], atol=5e-5, rtol=1e-4, err_msg=name)


def test_an_operation_that_a_precision_lacks_is_told_at_load(tmp_path):
    folder = small_pairs.save(tmp_path / "m", "mamba")
    assert loading.load(folder, "cpu", "float32").room is None
    try:
        loading.load(folder, "cpu", "bfloat16")  # transformers may learn it
    except ModelNotFound as e:
        assert "cannot be used" in str(e) and "--dtype" in str(e)


@pytest.mark.parametrize("rows", [(640, 688), (688, 640)], ids=str)
def test_a_trained_pair_of_two_paddings_logs_the_kl_of_the_ids_its_tokenizer_has(tmp_path, rows):
    """As Qwen2.5 has it, whose models of 0.5 B and 7 B have 151,936 and 152,064 rows."""
    names = ("student", "teacher")
    paths = [
        small_pairs.save(tmp_path / n, "qwen2", i, rows[i], tokens=600, tie_word_embeddings=True)
        for i, n in enumerate(names)
    ]
    how = SessionConfig(
        out=tmp_path / "r",
        **dict(zip(names, paths, strict=True)),
        prompts=small_pairs.prompts_file(tmp_path / "p.jsonl"),
        steps=3,
        rollouts=4,
        probes=2,
        final_probes=2,
        probe_every=1,
        held_out=0,
        max_new_tokens=12,
        lr=1e-2,
        threads=1,
    )
    train(how)
    run = Run.open(tmp_path / "r")
    student, teacher = loading.load_pair(*paths, "cpu", "float32")
    V = student.vocab_size
    assert run.meta.vocab_size == V < 640
    means = []
    for step in (0, 3):
        texts = run.rollouts(step).sort_values("rollout_id")
        file = tmp_path / "r" / "tokens" / f"step={step:06d}.parquet"
        tokens = pd.read_parquet(file).sort_values(["rollout_id", "position"])
        responses = [list(part.token_id) for _, part in tokens.groupby("rollout_id")]
        folder = str(tmp_path / "r" / "checkpoints" / f"step={step:06d}")
        lp = logps(folder, map(student.encode, texts.prompt), responses, V)
        lq = logps(paths[1], map(teacher.encode, texts.teacher_prompt), responses, V)
        want = by_hand(lp, lq, sum(responses, []))
        for name in NAMES:
            np.testing.assert_allclose(tokens[name], want[name], atol=1e-4, rtol=1e-4, err_msg=name)
        means.append(want["kl"].mean())
    assert means[0] > 0.1 and all(a != b for a, b in pairwise(means))
