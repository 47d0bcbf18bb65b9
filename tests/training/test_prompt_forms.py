"""Prompts are put to a model as its template says; what differs between the two of a pair is told
before a training, and kept in its run.json.
"""

import json
from pathlib import Path

import pytest
import small_pairs
from transformers import AutoTokenizer

from rockcore.config import BadConfig, SessionConfig
from rockcore.log import Run
from rockcore.schema import Turn
from rockcore.tasks import BadPrompts
from rockcore.training import loading, remarks, train
from rockcore.training.chat import BadTemplate, unused_arguments

TEMPLATE = (
    "{% for turn in messages %}{{ turn.role }}: {{ turn.content }}\n{% endfor %}"
    "{% if enable_thinking is defined and enable_thinking %}think {% endif %}assistant:"
)


def edit(file: Path, **fields) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


def save(folder: Path, seed: int = 0, template: str = "", **more) -> str:
    path = small_pairs.save(folder, "qwen2", seed, **more)
    if template:
        (folder / "chat_template.jinja").write_text(template)
    return path


def text_of(model, prompt) -> str:
    return model.tokenizer.decode(model.encode(prompt))


def test_turns_and_arguments_go_into_the_template(tmp_path):
    folder = save(tmp_path / "m", template=TEMPLATE)
    turns = (Turn("system", "Be brief."), Turn("user", "Tom has 3 pens."))
    model = loading.load(folder, "cpu", "float32")
    assert text_of(model, turns) == "system: Be brief.\nuser: Tom has 3 pens.\nassistant:"
    model = loading.load(folder, "cpu", "float32", template_args={"enable_thinking": True})
    assert text_of(model, "Hi") == "user: Hi\nthink assistant:"


def test_a_conversation_without_a_template_is_refused(tmp_path):
    model = loading.load(save(tmp_path / "m"), "cpu", "float32")
    assert text_of(model, (Turn("user", "Tom"),)) == "Tom"
    with pytest.raises(BadPrompts, match="2 turns .*no chat template"):
        model.encode((Turn("system", "Be brief."), Turn("user", "Tom")))


def test_a_template_that_takes_no_system_names_the_prompt_that_has_one(tmp_path):
    template = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    model = loading.load(save(tmp_path / "m", template=template + TEMPLATE), "cpu", "float32")
    with pytest.raises(BadTemplate, match=r"on the prompt 'Tom' \(no system\)"):
        model.encode((Turn("system", "Be brief."), Turn("user", "Tom")))


def test_an_end_that_a_tokenizer_puts_behind_a_text_is_taken_off(tmp_path):
    folder = save(tmp_path / "m")
    bare = loading.load(folder, "cpu", "float32").encode("Tom has 3 pens.")
    ends = {"id": "<eos>", "ids": [2], "tokens": ["<eos>"]}
    begins = {"id": "<bos>", "ids": [1], "tokens": ["<bos>"]}
    piece = [
        {"SpecialToken": {"id": "<bos>", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": "<eos>", "type_id": 0}},
    ]
    around = {"type": "TemplateProcessing", "single": piece, "pair": piece}
    around["special_tokens"] = {"<eos>": ends, "<bos>": begins}
    edit(tmp_path / "m" / "tokenizer.json", post_processor=around)
    model = loading.load(folder, "cpu", "float32")
    assert model.encode("Tom has 3 pens.") == [1, *bare]
    assert "puts <eos> behind a text" in " ".join(model.remarks)


@pytest.fixture(scope="module")
def odd_pair(tmp_path_factory):
    """A pair that is put together in many ways that may surprise."""
    root = tmp_path_factory.mktemp("odd")
    student = save(root / "s", 0, template=TEMPLATE)
    teacher = save(root / "t", 1)
    (root / "t" / "generation_config.json").write_text(
        json.dumps({"eos_token_id": [2, 7], "do_sample": True, "temperature": 0.6, "top_p": 0.9})
    )
    return student, teacher


def test_what_may_surprise_in_a_pair_is_told_before_training_and_kept(odd_pair, tmp_path):
    said: list[str] = []
    how = SessionConfig(
        out=tmp_path / "r",
        student=odd_pair[0],
        teacher=odd_pair[1],
        prompts=small_pairs.prompts_file(tmp_path / "p.jsonl", kind="sum"),
        template_args='{"enable_thinking": true, "other": 1}',
        steps=1,
        rollouts=2,
        probes=2,
        final_probes=2,
        max_new_tokens=4,
        threads=1,
    )
    before: list[bool] = []

    def hear(sentence: str) -> None:
        said.append(sentence)
        before.append((tmp_path / "r" / "run.json").exists())

    train(how, say=hear)
    want = [
        "The student: its tokenizer.json is taken as it is",
        "The teacher: its tokenizer.json is taken as it is",
        "The teacher: its chat template does not look at enable_thinking, other",
        "settings of sampling are left aside (temperature 0.6, top_p 0.9)",
        "the teacher with <eos> (2), ",
        "Only the student has a chat template",
        "The student: its chat template does not look at other",
        "p.jsonl: not used: kind",
        "The student reads first: user: ",
        "The teacher reads first: ",
        "graded responses holds an answer",
    ]
    for part in want:
        assert sum(part in sentence for sentence in said) == 1, part
    first = next(s for s in said if "student reads" in s)
    assert first.endswith("⏎think assistant:") and "⏎" not in first[:30]
    notes = Run.open(tmp_path / "r").meta.notes
    assert [s for s in said if any(part in s for part in want)] == notes
    assert not any(before[: len(notes) - 1])
    train(SessionConfig(out=tmp_path / "r", resume=True, steps=2))
    assert Run.open(tmp_path / "r").meta.notes == notes


def test_either_models_end_ends_a_response_on_request(odd_pair, tmp_path):
    student, _ = loading.load_pair(*odd_pair, "cpu", "float32")
    assert student.stop_ids == {2}
    student, teacher = loading.load_pair(*odd_pair, "cpu", "float32", stop="both")
    assert student.stop_ids == {2, 7}
    student.save(tmp_path / "m")
    assert loading.load(str(tmp_path / "m"), "cpu", "float32").stop_ids == {2, 7}
    assert not any("ends a response" in s for s in remarks.of_pair(student, teacher))


def test_a_pair_with_nothing_odd_is_put_together_without_a_word(tmp_path):
    pair = [small_pairs.save(tmp_path / n, "llama", i) for i, n in enumerate("st")]
    assert remarks.of_pair(*loading.load_pair(*pair, "cpu", "float32")) == []


def test_arguments_that_no_template_looks_at_are_told_by_name(tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(save(tmp_path / "m", template=TEMPLATE))
    assert unused_arguments(tokenizer, {"enable_thinking": 1, "thinking": 2}) == ["thinking"]
    tokenizer.chat_template = {"default": "", "other": tokenizer.chat_template}
    assert unused_arguments(tokenizer, {"enable_thinking": 1, "thinking": 2}) == ["thinking"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("{", "--template-args '{'"),
        ("[1]", "it is no object"),
        ('{"a": NaN}', "NaN is no number"),
        ('{"a": 1, "a": 2}', "twice"),
        ("[" * 100_000, "brackets"),
        ('{"add_generation_prompt": false}', "add_generation_prompt"),
        ('{"messages": []}', "messages"),
    ],
)
def test_template_arguments_that_are_none_are_refused_before_torch_is_loaded(given, says):
    config = SessionConfig(student="s", teacher="t", prompts=Path("p"), template_args=given)
    with pytest.raises(BadConfig, match=says):
        config.resolved()


def test_conversations_train_go_on_and_are_probed_as_the_conversations_that_they_are(tmp_path):
    folder = save(tmp_path / "m", template=TEMPLATE)
    teacher = save(tmp_path / "t", 1, template=TEMPLATE)
    rows = [
        {"prompt": [{"role": "user", "content": f"What is {i}?"}], "system": "Be brief."}
        for i in range(6)
    ]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, rows)))
    how = SessionConfig(
        out=tmp_path / "r",
        student=folder,
        teacher=teacher,
        prompts=tmp_path / "p.jsonl",
        steps=1,
        rollouts=2,
        probes=2,
        final_probes=2,
        max_new_tokens=4,
        threads=1,
    )
    train(how)
    run = Run.open(tmp_path / "r")
    assert run.rollouts(0).prompt[0].startswith("[system]\nBe brief.\n\n[user]\nWhat is")
    before = run.probe_ids("first")
    at_0 = run.trace(0, 0, "first").kl.to_numpy()
    train(SessionConfig(out=tmp_path / "r", resume=True, steps=2))
    run = Run.open(tmp_path / "r")
    assert run.probe_ids("first") == before
    student, judge = loading.load_pair(folder, teacher, "cpu", "float32")
    from rockcore.tasks import load_prompts
    from rockcore.training.clock import Clock
    from rockcore.training.rollouts import rollouts_of
    from rockcore.training.scoring import judge_texts

    asked = {p.prompt: p for p in load_prompts(tmp_path / "p.jsonl")}
    first = run.rollouts(probe_set="first").sort_values("rollout_id").prompt
    texts = rollouts_of(student, judge, [asked[p] for p in first], before)
    kl = judge_texts(student, judge, texts, Clock()).losses["kl"][: len(at_0)]
    assert abs(kl - at_0).max() < 1e-5
