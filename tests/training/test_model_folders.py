"""Whatever a model folder holds, it is loaded, or refused in words before anything is written."""

import json
import shutil
from pathlib import Path

import pytest
import small_pairs
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from rockcore.config import SessionConfig
from rockcore.schema import RockError
from rockcore.training import loading, train
from rockcore.training.failures import ModelNotFound
from rockcore.training.models import BadResponse
from rockcore.training.padding import VocabularyMismatch

INDEX = "model.safetensors.index.json"
NO_SPLIT = {"type": "Split", "pattern": {"Regex": "(("}, "behavior": "Isolated", "invert": False}
NO_TOKEN = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<none>", "type_id": 0}}],
    "pair": [],
    "special_tokens": {},
}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return Path(small_pairs.save(tmp_path_factory.mktemp("good") / "m", "qwen2"))


@pytest.fixture
def folder(good, tmp_path):
    return Path(shutil.copytree(good, tmp_path / "m"))


def edit(file: Path, **fields) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


def load(folder: Path):
    return loading.load(str(folder), "cpu", "float32")


@pytest.mark.parametrize(
    "file", ["config.json", "generation_config.json", "tokenizer_config.json", INDEX]
)
@pytest.mark.parametrize("text", ["[1, 2]", "7", "null", "{", "", "[" * 100_000, "\udcff"])
def test_settings_that_are_no_object_are_named(folder, file, text):
    (folder / file).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ModelNotFound, match=file):
        load(folder)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"num_attention_heads": "4"}, "num_attention_heads.*expected int, got str"),
        ({"num_attention_heads": 0}, "ZeroDivisionError"),
        ({"hidden_size": 33}, "other shapes than config.json says"),
        ({"vocab_size": None}, "vocab_size"),
        ({"eos_token_id": "x"}, "eos_token_id"),
        ({"hidden_act": "nonsense"}, "nonsense"),
        ({"dtype": "nonsense"}, "nonsense"),
        ({"layer_types": ["x", "y"]}, "layer_types"),
        ({"quantization_config": "x"}, "AttributeError"),
        ({"transformers_weights": "adapter_model.bin"}, "weights from 'adapter_model.bin'"),
    ],
)
def test_a_configuration_of_wrong_values_is_refused_with_the_cause(folder, fields, says):
    edit(folder / "config.json", **fields)
    with pytest.raises(ModelNotFound, match=says):
        load(folder)


@pytest.mark.parametrize("ends", ["x", ["x"], {}, 2.5, True, [2, None, [3]]])
def test_an_end_that_is_no_id_is_refused(folder, ends):
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}))
    with pytest.raises(ModelNotFound, match="eos_token_id is .* no id of a token"):
        load(folder)


def test_an_end_that_the_model_has_no_row_for_is_left_out_and_told(folder):
    (folder / "generation_config.json").write_text('{"eos_token_id": [2, 9999, -1]}')
    model = load(folder)
    assert model.stop_ids == {2}
    assert "no row for the end token -1, 9999" in " ".join(model.remarks)


@pytest.mark.parametrize(
    "part",
    [
        {"pre_tokenizer": NO_SPLIT},
        {"model": {"type": "Nonsense"}},
        {"model": None},
        {"post_processor": NO_TOKEN},  # panics
        {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}},  # panics
        {"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [["q", "zzz"]]}},
        {"added_tokens": 7},
    ],
    ids=lambda part: "-".join(part),
)
def test_a_tokenizer_that_its_library_fails_on_is_refused(folder, part):
    edit(folder / "tokenizer.json", **part)
    with pytest.raises(RockError, match=str(folder)):
        load(folder)


@pytest.mark.parametrize(
    "fields",
    [{"eos_token": 7}, {"tokenizer_class": 7}, {"model_max_length": "x"}, {"chat_template": [1]}],
    ids=lambda fields: "-".join(fields),
)
def test_settings_of_a_tokenizer_of_wrong_types_are_refused(folder, fields):
    edit(folder / "tokenizer_config.json", **fields)
    with pytest.raises(ModelNotFound, match=str(folder)):
        load(folder)


def test_a_tokenizer_without_words_is_refused(folder):
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelNotFound, match="no words"):
        load(folder)


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{{ raise_exception('only for\nadmins') }}", "only for"),
        ("{% if %}", "Expected an expression"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ messages + 3 }}", "TypeError"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ nothing.x }}", "undefined"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion"),
        ("{% for i in range(10**9) %}x{% endfor %}", "Range too big"),
    ],
)
def test_a_chat_template_that_fails_is_refused_before_anything_is_written(
    folder, tmp_path, template, says
):
    (folder / "chat_template.jinja").write_text(template)
    prompts = small_pairs.prompts_file(tmp_path / "p.jsonl")
    for config in (
        SessionConfig(tmp_path / "r", student=str(folder), teacher=str(folder), prompts=prompts),
    ):
        with pytest.raises(RockError, match=f"(?s)chat template.*{says}"):
            train(config)
    assert not (tmp_path / "r").exists()


def sharded(folder: Path, part: object) -> None:
    weights = load_file(folder / "model.safetensors")
    torch.save(weights, folder / "weights.bin")
    save_file(weights, folder / "part.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").unlink()
    index = {"metadata": {}, "weight_map": dict.fromkeys(weights, part)}
    (folder / INDEX).write_text(json.dumps(index))


@pytest.mark.parametrize(
    "part", ["weights.bin", "../m2/model.safetensors", "/etc/passwd.safetensors", 3, "", None]
)
def test_an_index_lets_no_weights_come_from_pickles_or_elsewhere(folder, part):
    shutil.copytree(folder, folder.with_name("m2"))
    sharded(folder, part)
    with pytest.raises(ModelNotFound, match=f"{INDEX} lets .* come from"):
        load(folder)


def test_an_index_of_safetensors_in_its_own_folder_is_followed(folder):
    sharded(folder, "part.safetensors")
    assert load(folder).vocab_size == 300


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_told_at_once(folder, value):
    file = folder / "model.safetensors"
    weights = load_file(file)
    weights["model.norm.weight"][:] = value
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(ModelNotFound, match="logits .* are no numbers"):
        load(folder)


def test_a_teacher_that_rules_tokens_out_is_refused_with_that_cause(tmp_path):
    """Its divergence would be infinite at step 0, and a lower learning rate no cure."""
    folder = tmp_path / "gptj"
    small_pairs.save(folder, "gptj")
    weights = load_file(folder / "model.safetensors")
    weights["lm_head.bias"][250:253] = -torch.inf
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelNotFound, match=r"-inf at 3 of 300 ids, e.g. 250 .*infinite"):
        loading.load_pair(str(folder), str(folder), "cpu", "float32")


@pytest.mark.parametrize("family", ["gemma3", "mpt", "gpt2"])
def test_the_room_of_a_model_is_known_whatever_its_settings_call_it(tmp_path, family):
    name = {"gemma3": "max_position_embeddings", "mpt": "max_seq_len", "gpt2": "n_positions"}
    folder = small_pairs.save(tmp_path / "m", family, **{name[family]: 40})
    model = load(Path(folder))
    assert model.room == 40
    with pytest.raises(BadResponse, match="has room for 40"):
        model.check_room(41)


# Adapters


def with_adapter(base: Path, folder: Path, seed: int = 0) -> Path:
    """A LoRA that changes something, on the model `base`."""
    from peft import LoraConfig, get_peft_model

    net = loading.read_net(str(base), torch.float32)
    torch.manual_seed(seed)
    whole = get_peft_model(net, LoraConfig(r=2, target_modules=["q_proj", "v_proj"]))
    for name, weight in whole.named_parameters():
        if "lora_B" in name:
            weight.data.normal_()
    whole.peft_config["default"].base_model_name_or_path = str(base)
    whole.save_pretrained(folder)
    return folder


IDS = torch.arange(3, 20)[None]


def test_an_adapter_is_laid_over_the_model_that_it_names(good, tmp_path):
    pytest.importorskip("peft")
    folder = with_adapter(good, tmp_path / "lora")
    model = load(folder)
    from peft import PeftModel

    want = PeftModel.from_pretrained(loading.read_net(str(good), torch.float32), str(folder))
    with torch.no_grad():
        torch.testing.assert_close(model.net(IDS).logits, want(IDS).logits)
        assert not torch.allclose(model.net(IDS).logits, load(good).net(IDS).logits)
    assert not any("lora" in name for name in model.net.state_dict())


def test_an_adapter_beside_whole_weights_is_not_ignored(good, folder, tmp_path):
    pytest.importorskip("peft")
    apart = with_adapter(good, tmp_path / "lora")
    for file in apart.glob("adapter_*"):
        shutil.copy(file, folder)
    with torch.no_grad():
        logits = [load(place).net(IDS).logits for place in (apart, folder)]
        torch.testing.assert_close(*logits)


def test_an_adapter_is_named_where_peft_is_not_installed(good, folder, monkeypatch):
    edit_to = {"base_model_name_or_path": str(good), "peft_type": "LORA"}
    (folder / "adapter_config.json").write_text(json.dumps(edit_to))
    monkeypatch.setattr("rockcore.training.given_adapters.find_spec", lambda name: None)
    with pytest.raises(ModelNotFound, match="holds an adapter.*pip install"):
        load(folder)


def test_an_adapter_that_does_not_fit_or_is_pickled_is_refused(good, tmp_path):
    pytest.importorskip("peft")
    folder = with_adapter(good, tmp_path / "lora")
    weights = load_file(folder / "adapter_model.safetensors")
    renamed = {name.replace("q_proj", "o_proj"): w for name, w in weights.items()}
    save_file(renamed, folder / "adapter_model.safetensors")
    with pytest.raises(ModelNotFound, match="does not fit"):
        load(folder)
    (folder / "adapter_model.safetensors").unlink()
    torch.save(weights, folder / "adapter_model.bin")
    with pytest.raises(ModelNotFound, match="adapter without adapter_model.safetensors"):
        load(folder)


def test_a_tokenizer_is_taken_as_its_file_has_it(tmp_path):
    """Qwen2's class has its own way of cutting words and a token more, whatever the file says."""
    pair = [small_pairs.save(tmp_path / f, f, i) for i, f in enumerate(("llama", "qwen2"))]
    text = "So, 12 + 30 = 42.\n\nIt's"
    file = Tokenizer.from_file(f"{pair[1]}/tokenizer.json")
    as_it_is = file.encode(text, add_special_tokens=False).ids
    rebuilt = AutoTokenizer.from_pretrained(pair[1])
    assert rebuilt(text)["input_ids"] != as_it_is and len(rebuilt.get_vocab()) == 301
    student, teacher = loading.load_pair(*pair, "cpu", "float32")
    assert student.encode(text) == teacher.encode(text) == as_it_is
    assert not student.remarks
    assert "tokenizer.json is taken as it is" in " ".join(teacher.remarks)
    assert teacher.tokenizer.eos_token_id == 2 and len(teacher.tokenizer.get_vocab()) == 300


def test_tokens_that_differ_are_named(tmp_path):
    pair = [small_pairs.save(tmp_path / name, "llama", i) for i, name in enumerate("st")]
    tokenizer = AutoTokenizer.from_pretrained(pair[1])
    tokenizer.add_tokens(["<tool>"])
    tokenizer.save_pretrained(pair[1])
    with pytest.raises(VocabularyMismatch, match=r"differ in 1 tokens, e.g. '<tool>' \(none aga"):
        loading.load_pair(*pair, "cpu", "float32")
