"""Any pair with one tokenizer is loaded, sampled and scored rightly; any other is refused with the
reason.
"""

import json
import shutil

import numpy as np
import pytest
import small_pairs
import torch
from safetensors.torch import load_file, save_file

from rockcore.log.vocabulary import piece_text
from rockcore.schema import Prompt
from rockcore.tasks import BadPrompts
from rockcore.training import groups, loading, models
from rockcore.training.clock import Clock
from rockcore.training.divergence import VocabularyMismatch, token_losses
from rockcore.training.exact_gradients import exact_norms
from rockcore.training.loading import ModelNotFound
from rockcore.training.models import chunks
from rockcore.training.rollouts import rollouts_of
from rockcore.training.scoring import Alternatives, Learning, judge_texts
from rockcore.training.vocabulary import vocabulary_columns

FAMILIES = list(small_pairs.FAMILIES)


@pytest.fixture(scope="session")
def pairs(tmp_path_factory):
    root = tmp_path_factory.mktemp("pairs")
    return {
        f: [
            small_pairs.save(root / f / role, f, seed)
            for seed, role in enumerate(("student", "teacher"))
        ]
        for f in FAMILIES
    }


def test_each_family_takes_the_path_that_is_right_for_it(pairs):
    loaded = {f: loading.load(pairs[f][0], "cpu", "float32") for f in FAMILIES}
    assert {f: (m.fast is not None, m.projects) for f, m in loaded.items()} == {
        "llama": (True, True),
        "qwen2": (False, True),
        "gemma2": (False, False),  # it caps its logits after the projection
    }


TASKS = [
    Prompt("Tom has 3 pens.", "Style: brisk. Tom has 3 pens.", None),
    Prompt("Ana has 12 cups and 4 keys.", "Ana has 12 cups and 4 keys.", None),
]
RESPONSES = [[10, 20, 30, 2], [40, 50, 60, 70, 80, 90, 2]]


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_sit_at_the_tokens_they_judge_under_each_models_own_prompt(pairs, family):
    student, teacher = loading.load_pair(*pairs[family], "cpu", "float32")
    rollouts = rollouts_of(student, teacher, TASKS, RESPONSES)
    tops = Alternatives(5)  # the first response, and one token of the second
    got = judge_texts(student, teacher, rollouts, Clock(), watchers=[tops])
    logits = []
    for model, prompts in (
        (student, rollouts.student_prompts),
        (teacher, rollouts.teacher_prompts),
    ):
        rows = [
            model.net(torch.tensor([p + r])).logits[0, len(p) - 1 : -1]
            for p, r in zip(prompts, RESPONSES, strict=True)
        ]
        logits.append(torch.cat(rows).detach())
    assert len(rollouts.student_prompts[0]) < len(rollouts.teacher_prompts[0])
    want = token_losses(*logits, torch.tensor(sum(RESPONSES, [])))
    for name, value in want._asdict().items():
        torch.testing.assert_close(torch.from_numpy(got.losses[name]), value, atol=2e-4, rtol=1e-3)
    assert torch.equal(
        torch.from_numpy(tops.arrays()["teacher_top_ids"]), logits[1][:5].topk(8).indices
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_the_gradient_of_the_projection_and_of_all_parameters_is_that_of_autograd(pairs, family):
    """Gemma caps its logits behind the projection, so the product of two norms would be wrong: it
    is unknown there.
    """
    student, teacher = loading.load_pair(*pairs[family], "cpu", "float32")
    rollouts = rollouts_of(student, teacher, TASKS, RESPONSES)
    got, at = (
        judge_texts(student, teacher, rollouts, Clock()).losses["proj_grad_norm"],
        np.array([0, 3, 6, 10]),
    )
    exact = exact_norms(student, teacher, rollouts, at)
    parameters = list(student.net.parameters())
    assert all(p.grad is None for p in parameters)
    for norm, i in zip(exact, at, strict=True):
        b, t = (0, i) if i < 4 else (1, i - 4)
        logits = []
        for model, prompts in (
            (student, rollouts.student_prompts),
            (teacher, rollouts.teacher_prompts),
        ):
            logits.append(
                model.net(torch.tensor([prompts[b] + RESPONSES[b]])).logits[
                    0, len(prompts[b]) - 1 + t
                ]
            )
        p, q = (x.log_softmax(-1) for x in logits)
        found = torch.autograd.grad(
            (p.exp() * (p - q.detach())).sum(), parameters, allow_unused=True
        )
        assert norm == pytest.approx(
            float(torch.stack([g.norm() for g in found if g is not None]).norm()), rel=1e-4
        )
        if student.projects and student.head is not student.net.get_input_embeddings().weight:
            mine = next(g for g, p in zip(found, parameters, strict=True) if p is student.head)
            assert got[i] == pytest.approx(float(mine.norm()), rel=1e-4)
    assert np.isnan(got).all() == (not student.projects)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_accumulated_gradient_is_that_of_the_weighted_kl(pairs, family, monkeypatch):
    student, teacher = loading.load_pair(*pairs[family], "cpu", "float32")
    rollouts = rollouts_of(student, teacher, TASKS, RESPONSES)
    weight = torch.linspace(0, 1, 11)
    monkeypatch.setattr(
        "rockcore.training.groups.padded_tokens", lambda model: 20
    )  # several groups of rows
    monkeypatch.setattr(
        "rockcore.training.scoring.pieces",
        lambda n, V, device: (slice(i, i + 3) for i in range(0, n, 3)),
    )
    judge_texts(student, teacher, rollouts, Clock(), Learning(weight))
    got = [p.grad.clone() for p in student.net.parameters()]
    student.net.zero_grad()
    total = 0
    for i, (p, q, r) in enumerate(
        zip(rollouts.student_prompts, rollouts.teacher_prompts, RESPONSES, strict=True)
    ):
        logits = [
            m.net(torch.tensor([prompt + r])).logits[:, len(prompt) - 1 : -1]
            for m, prompt in ((student, p), (teacher, q))
        ]
        own = weight[:4] if i == 0 else weight[4:]
        total = total + (own * token_losses(*logits, torch.tensor([r])).kl).sum()
    total.backward()
    for a, p in zip(got, student.net.parameters(), strict=True):
        torch.testing.assert_close(a, p.grad, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_answers_do_not_depend_on_padding(pairs, family):
    model = loading.load(pairs[family][0], "cpu", "float32")
    prompts = [model.encode(t.prompt) for t in TASKS]
    together = model.sample(prompts, 12, 0.0, seed=0)
    assert together == [model.sample([p], 12, 0.0, seed=0)[0] for p in prompts]


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_sampling_is_fixed_by_its_seed_and_leaves_the_global_generator_alone(pairs, family):
    model = loading.load(pairs[family][0], "cpu", "float32")
    prompts = [model.encode(t.prompt) for t in TASKS]
    state = torch.get_rng_state()
    a, b, c = (model.sample(prompts, 12, 1.0, seed) for seed in (1, 1, 2))
    assert a == b != c
    assert torch.equal(state, torch.get_rng_state())


def test_a_checkpoints_own_sampling_habits_are_dropped(tmp_path):
    folder = small_pairs.save(tmp_path / "m", "qwen2")
    (tmp_path / "m" / "generation_config.json").write_text(
        '{"do_sample": true, "top_k": 1, "repetition_penalty": 9.0, "eos_token_id": [2, 7]}'
    )
    model = loading.load(folder, "cpu", "float32")
    prompts = [model.encode("Tom")] * 40
    assert len({tuple(r) for r in model.sample(prompts, 3, 1.0, seed=0)}) > 1, (
        "top_k=1 would give one answer only"
    )
    assert model.stop_ids == {2, 7}


@pytest.mark.parametrize(("dtype", "floor"), [("float32", 1e-6), ("bfloat16", 0.01)])
def test_the_noise_floor_of_a_model_against_itself_is_known(pairs, dtype, floor):
    student, teacher = loading.load_pair(pairs["llama"][0], pairs["llama"][0], "cpu", dtype)
    losses = judge_texts(
        student, teacher, rollouts_of(student, teacher, [TASKS[1]] * 2, RESPONSES), Clock()
    ).losses
    assert abs(losses["kl"]).max() < floor


def test_pickled_weights_are_not_loaded(pairs, tmp_path):
    shutil.copytree(pairs["llama"][0], tmp_path / "m")
    (tmp_path / "m" / "model.safetensors").unlink()
    torch.save(
        loading.load(pairs["llama"][0], "cpu", "float32").net.state_dict(),
        tmp_path / "m" / "pytorch_model.bin",
    )
    with pytest.raises(ModelNotFound, match="safetensors"):
        loading.load(str(tmp_path / "m"), "cpu", "float32")


def test_a_model_with_missing_or_damaged_weights_is_refused(pairs, tmp_path):
    shutil.copytree(pairs["llama"][0], tmp_path / "m")
    file = tmp_path / "m" / "model.safetensors"
    weights = load_file(file)
    save_file(
        {name: w for name, w in weights.items() if ".layers.1." not in name},
        file,
        metadata={"format": "pt"},
    )
    with pytest.raises(ModelNotFound, match="weights are missing, e.g. model.layers.1"):
        loading.load(str(tmp_path / "m"), "cpu", "float32")
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ModelNotFound, match=str(tmp_path / "m")):
        loading.load(str(tmp_path / "m"), "cpu", "float32")


def test_a_prompt_without_tokens_is_refused(pairs):
    model = loading.load(pairs["llama"][0], "cpu", "float32")
    with pytest.raises(BadPrompts, match="becomes no tokens"):
        model.encode("")


def test_another_tokenizer_is_refused(pairs, tmp_path):
    other = small_pairs.save(tmp_path / "other", vocab_size=301)
    with pytest.raises(VocabularyMismatch, match=r"300 tokens.*301 tokens.*differ in 1"):
        loading.load_pair(pairs["llama"][0], other, "cpu", "float32")


def test_an_unknown_path_and_a_folder_without_a_model_are_named(tmp_path):
    (tmp_path / "empty").mkdir()
    for place in (str(tmp_path / "nowhere"), str(tmp_path / "empty")):
        with pytest.raises(ModelNotFound, match=place):
            loading.load(place, "cpu", "float32")


def test_a_response_beyond_the_context_is_refused(tmp_path):
    model = loading.load(
        small_pairs.save(tmp_path / "m", max_position_embeddings=16), "cpu", "float32"
    )
    with pytest.raises(models.BadResponse, match="room for 16"):
        model.sample([model.encode("Tom has 3 pens.")], 20, 1.0, seed=0)


@pytest.mark.parametrize(
    ("piece", "byte_level", "text"),
    [
        ("ĠThe", True, " The"),
        ("ĊĊ", True, "\n\n"),
        ("âĢĶ", True, "—"),
        ("âĢ", True, "\\xe2\\x80"),
        ("▁The", False, " The"),
        ("<0x0A>", False, "\n"),
        ("<0xE2>", False, "\\xe2"),
        ("plain", False, "plain"),
    ],
)
def test_pieces_become_the_text_they_stand_for(piece, byte_level, text):
    assert piece_text(piece, byte_level) == text


def test_the_vocabulary_names_every_id_that_can_be_predicted(tmp_path):
    model = loading.load(
        small_pairs.save(tmp_path / "m", vocab_size=320, tokens=300), "cpu", "float32"
    )
    vocab = vocabulary_columns(model)
    assert vocab["token_id"] == list(range(320))
    assert vocab["token"][310] == "<unused 310>" and vocab["special"][:3] == [True, True, True]


def test_groups_of_rows_hold_every_row_once_and_stay_within_the_budget():
    prompts, responses = (
        [[0] * (i % 7) for i in range(50)],
        [[0] * (1 + i * 3 % 11) for i in range(50)],
    )
    groups = list(chunks(prompts, responses, budget=40))
    assert sorted(row for group in groups for row in group) == list(range(50))
    assert all(
        len(g) == 1 or len(g) * max(len(prompts[r]) + len(responses[r]) for r in g) <= 40
        for g in groups
    )


@pytest.mark.parametrize("name", ["vocab", "merges", "init_inputs"])
def test_a_tokenizer_that_takes_its_words_from_elsewhere_is_refused(pairs, tmp_path, name):
    """Any text file of the machine would stand in the vocabulary of the log."""
    shutil.copytree(pairs["llama"][0], tmp_path / "m")
    (tmp_path / "secret").write_text("[UNK]\nhunter2\n")
    (tmp_path / "m" / "tokenizer.json").unlink()
    words = [str(tmp_path / "secret")] if name == "init_inputs" else str(tmp_path / "secret")
    settings = {"tokenizer_class": "BertTokenizer", name: words}
    (tmp_path / "m" / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelNotFound, match=f"from elsewhere: {name}"):
        loading.load(str(tmp_path / "m"), "cpu", "float32")


def test_whole_logits_of_a_pass_stay_within_their_bytes_and_change_nothing(pairs, monkeypatch):
    """A model that cannot be asked for a few positions has those of all padded tokens at once."""
    student, teacher = loading.load_pair(*pairs["gemma2"], "cpu", "float32")
    student.finishes = teacher.finishes = False
    rollouts = rollouts_of(student, teacher, TASKS * 4, RESPONSES * 4)
    texts = zip(rollouts.teacher_prompts, rollouts.responses, strict=True)
    longest = max(len(p) + len(r) for p, r in texts)
    tops = [Alternatives(30), Alternatives(30)]
    before = judge_texts(student, teacher, rollouts, Clock(), watchers=tops[:1]).losses
    monkeypatch.setattr(groups, "WHOLE_LOGITS", 4 * 300 * longest * 2)
    assert groups.padded_tokens(student) == 2 * longest
    seen: list[int] = []
    net = teacher.net.forward
    monkeypatch.setattr(
        teacher.net, "forward", lambda ids, **more: (seen.append(ids.numel()), net(ids, **more))[1]
    )
    after = judge_texts(student, teacher, rollouts, Clock(), watchers=tops[1:]).losses
    assert len(seen) >= 4 and max(seen) <= 2 * longest
    for name in before:
        np.testing.assert_allclose(before[name], after[name], atol=1e-5, rtol=1e-4)
    for name, whole in tops[0].arrays().items():
        assert whole.shape == (30, 8)
        np.testing.assert_allclose(whole, tops[1].arrays()[name], atol=1e-4)


def test_alternatives_are_those_of_the_first_tokens_however_few_there_are(pairs):
    student, teacher = loading.load_pair(*pairs["llama"], "cpu", "float32")
    tops = Alternatives(1000)
    judge_texts(
        student, teacher, rollouts_of(student, teacher, TASKS, RESPONSES), Clock(), watchers=[tops]
    )
    assert {whole.shape for whole in tops.arrays().values()} == {(11, 8)}
    assert Alternatives(5).arrays() == {}
