"""Texts that are there already, scored: the numbers, what is left out, and how it goes on."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import small_pairs
import torch
from hypothesis import given
from hypothesis import strategies as st

from rockcore import detect
from rockcore.config import SessionConfig
from rockcore.importers import format_named, import_run
from rockcore.log import Run, sample_runs
from rockcore.log.lock import FolderInUse, locked
from rockcore.log.writer import RunExists
from rockcore.prompts import turns_in
from rockcore.rocks.rule import RockRule
from rockcore.schema import Prompt, Texts, Turn
from rockcore.tasks import BadPrompts
from rockcore.training import loading, ranks, score_parts
from rockcore.training.loading import ModelNotFound
from rockcore.training.rollouts import rollouts_of
from rockcore.training.score import BadScoring, ScoreSettings, score
from rockcore.training.score_sources import NoTexts
from rockcore.training.score_students import students_in
from rockcore.training.session import train

TEACHER = str(sample_runs() / "models" / "teacher")
MODELS = {name: str(sample_runs() / "models" / name) for name in ("student-mixed", "teacher")}
TIMES = {"sample_s", "teacher_s", "student_s", "projection_s", "update_s", "log_s"}
ROWS = [
    {"prompt": "Tom has 3 pens.", "response": "So 3 + 4 = 7. \\boxed{7}", "answer": "7"},
    {"prompt": "Ana?", "teacher_prompt": "Style: brisk. Ana?", "response": "Let us see: 12."},
    {"prompt": "Mia has 5 apples and buys 3 more. How many has she?", "response": "8", "answer": 9},
]


def settings(source: Path, out: Path, **changes) -> ScoreSettings:
    how = {"student": MODELS["student-mixed"], "teacher": TEACHER, **changes}
    return ScoreSettings(source, how.pop("student"), how.pop("teacher"), out, **how)


def texts_file(path: Path, rows=ROWS) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def logged(run: Path) -> dict[str, list]:
    """Everything in the Parquet files of a run but the clock."""
    tables = {str(f.relative_to(run)): pq.read_table(f) for f in sorted(run.rglob("*.parquet"))}
    return {
        name: t.drop_columns([c for c in t.column_names if c in TIMES]).to_pylist()
        for name, t in tables.items()
    }


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "run"
    sizes = {"rollouts": 4, "probes": 3, "final_probes": 4, "held_out": 0, "max_new_tokens": 48}
    train(SessionConfig(out=out, steps=2, probe_every=1, gradients="off", threads=1, **sizes))
    return out


@pytest.fixture(scope="module")
def checkpoints(trained) -> str:
    return str(trained / "checkpoints")


@pytest.mark.parametrize(
    ("texts", "table"), [(Texts.FRESH, "tokens"), (Texts.FINAL, "probe/final")]
)
def test_scoring_a_trained_run_gives_the_columns_that_training_logged(
    trained, checkpoints, tmp_path, texts, table
):
    meta = score(settings(trained, tmp_path / "s", student=checkpoints, texts_by=texts))
    scored = Run.open(tmp_path / "s")
    assert (meta.status, meta.estimator) == ("finished", "full")
    assert scored.steps(table) == Run.open(trained).steps(table) == [0, 1, 2]
    for step in scored.steps(table):
        file = f"{table}/step={step:06d}.parquet"
        own, theirs = (pq.read_table(run / file).to_pandas() for run in (tmp_path / "s", trained))
        assert own.token_id.tolist() == theirs.token_id.tolist()
        for name in ("kl", "sampled_loss", "student_logp", "teacher_logp", "grad_norm"):
            np.testing.assert_allclose(own[name], theirs[name], atol=1e-5)
        for name in ("student_entropy", "teacher_entropy", "proj_grad_norm"):
            np.testing.assert_allclose(own[name], theirs[name], atol=1e-5, rtol=1e-3)
    kl = Run.open(trained).metrics().kl_mean
    if texts is Texts.FRESH:
        np.testing.assert_allclose(scored.metrics().kl_mean, kl, atol=1e-6)


def float64_kl(student: str, teacher: str, rollouts) -> np.ndarray:
    """(N,) reverse KL in float64, one row at a time, without padding."""
    found = []
    nets = [loading.read_net(path, torch.float64) for path in (student, teacher)]
    prompts = (rollouts.student_prompts, rollouts.teacher_prompts)
    for row, ids in enumerate(rollouts.responses):
        with torch.no_grad():
            p, q = (
                net(torch.tensor([prompt[row] + ids])).logits[0, len(prompt[row]) - 1 : -1]
                for net, prompt in zip(nets, prompts, strict=True)
            )
        p, q = p.log_softmax(-1), q.log_softmax(-1)
        found.append((p.exp() * (p - q)).sum(-1).numpy())
    return np.concatenate(found)


def test_a_file_of_texts_with_unequal_prompts_is_scored_as_float64_says(tmp_path):
    score(settings(texts_file(tmp_path / "t.jsonl"), tmp_path / "s"))
    run = Run.open(tmp_path / "s")
    student, teacher = (loading.load(MODELS[n], "cpu", "float32") for n in MODELS)
    tasks = [Prompt(r["prompt"], r.get("teacher_prompt", r["prompt"]), None) for r in ROWS]
    ids = [student.tokenizer(r["response"], add_special_tokens=False)["input_ids"] for r in ROWS]
    rollouts = rollouts_of(student, teacher, tasks, ids)
    rows = pq.read_table(tmp_path / "s" / "probe/final/step=000000.parquet").to_pandas()
    expected = float64_kl(*MODELS.values(), rollouts)
    np.testing.assert_allclose(rows.kl, expected, rtol=1e-5, atol=1e-5)
    assert rows.token_id.tolist() == sum(ids, [])
    texts = run.rollouts(probe_set="final")
    assert texts.correct.astype(object).where(texts.correct.notna(), None).tolist() == [
        True,
        None,
        False,
    ]
    assert run.metrics().accuracy.tolist() == [0.5]
    trace = run.trace(0, 1, "final")
    assert (trace.student_top_ids.str.len() == 8).all() and trace.teacher_top_logps.notna().all()


def test_a_student_that_is_the_teacher_has_no_divergence(tmp_path):
    file = texts_file(tmp_path / "t.jsonl", [ROWS[0], ROWS[2]])  # both read the same prompt
    score(settings(file, tmp_path / "s", student=TEACHER))
    rows = pq.read_table(tmp_path / "s" / "probe/final/step=000000.parquet").to_pandas()
    assert rows.kl.abs().max() <= 1e-6 and rows.sampled_loss.abs().max() == 0


def test_checkpoints_score_the_same_texts_and_rock_tokens_are_looked_for(
    trained, checkpoints, tmp_path
):
    score(settings(trained, tmp_path / "s", student=checkpoints))
    report = detect(Run.open(tmp_path / "s"), RockRule(min_support=1, min_rollouts=1))
    assert (report.mode, report.steps) == ("paired", (0, 1, 2))
    assert len(report.tokens)


def test_one_student_scores_the_fresh_texts_of_every_step(trained, checkpoints, tmp_path):
    last = f"{checkpoints}/step=000002"
    score(settings(trained, tmp_path / "s", student=last))
    run = Run.open(tmp_path / "s")
    assert run.steps() == [0, 1, 2] and not run.steps("probe/final")
    assert run.rollouts(1).response.tolist() == Run.open(trained).rollouts(1).response.tolist()


KILLED = """
import os, signal, sys
from rockcore.training import score_parts
from rockcore.cli import main
score_parts._TOKENS = 64
judge, left = score_parts.Parts.judge, [5]
def judge_then_die(*arguments):
    left[0] -= 1
    scored = judge(*arguments)
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    return scored
score_parts.Parts.judge = judge_then_die
main(sys.argv[1:])
"""


def test_a_killed_scoring_goes_on_and_ends_in_the_same_files(
    trained, checkpoints, tmp_path, monkeypatch
):
    monkeypatch.setattr(score_parts, "_TOKENS", 64)
    how = settings(trained, tmp_path / "s", student=checkpoints)
    command = ["score", trained, "--student", checkpoints, "--teacher", TEACHER, "--out", how.out]
    done = subprocess.run([sys.executable, "-c", KILLED, *map(str, command)])
    assert done.returncode == -signal.SIGKILL
    kept = sorted((how.out / score_parts.FOLDER).rglob("*.safetensors"))
    assert kept and Run.open(how.out).meta.status == "running"
    judged, judge = [], score_parts.Parts.judge

    def seen(parts, block, *models):
        judged.append(parts._file(block))
        return judge(parts, block, *models)

    monkeypatch.setattr(score_parts.Parts, "judge", seen)
    assert score(how).status == "finished" and judged and not set(judged) & set(kept)
    assert not (how.out / score_parts.FOLDER).exists()
    score(settings(trained, tmp_path / "whole", student=checkpoints))
    assert logged(how.out) == logged(tmp_path / "whole")


def test_two_processes_give_the_numbers_of_one(trained, checkpoints, tmp_path, monkeypatch):
    monkeypatch.setattr(score_parts, "_TOKENS", 64)
    score(settings(trained, tmp_path / "one", student=checkpoints))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    for name, value in (("WORLD_SIZE", "2"), ("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", port)):
        monkeypatch.setenv(name, value)
    script = (
        "import sys; from rockcore.training import score_parts; score_parts._TOKENS = 64; "
        "from rockcore.cli import main; main(sys.argv[1:])"
    )
    models = ["--student", checkpoints, "--teacher", TEACHER, "--out", str(tmp_path / "two")]
    second = subprocess.Popen(
        [sys.executable, "-c", script, "score", str(trained), *models],
        env={**os.environ, "RANK": "1", "LOCAL_RANK": "1"},
        stdout=subprocess.PIPE,
    )
    monkeypatch.setenv("RANK", "0")
    listened = []
    score(settings(trained, tmp_path / "two", student=checkpoints), listened.append)
    assert second.communicate()[0] == b"" and second.returncode == 0
    blocks = Run.open(trained).rollout_sums(2, "final").tokens.sum() * 3
    assert listened[-1].tokens < blocks  # the other one had its share
    assert logged(tmp_path / "two") == logged(tmp_path / "one")


def test_a_checkpoint_that_was_added_since_is_taken_in(trained, checkpoints, tmp_path):
    folder = tmp_path / "outputs"
    folder.mkdir()
    for step in (0, 1):
        (folder / f"checkpoint-{step}").symlink_to(f"{checkpoints}/step={step:06d}")
    how = settings(trained, tmp_path / "s", student=str(folder))
    score(how)
    before = logged(how.out)
    (folder / "checkpoint-2").symlink_to(f"{checkpoints}/step=000002")
    said = []
    assert score(how, say=said.append).steps_planned == 2
    assert Run.open(how.out).steps("probe/final") == [0, 1, 2] and "2 of 3 steps" in said[0]
    after = logged(how.out)
    assert {name: after[name] for name in before} == before
    said.clear()
    assert score(how, say=said.append).status == "finished" and said == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"teacher": MODELS["student-mixed"]}, "another teacher"),
        ({"dtype": "bfloat16"}, "another dtype"),
        ({"student": TEACHER}, "another only"),
    ],
)
def test_a_scoring_goes_on_with_the_same_models_alone(tmp_path, change, named):
    file = texts_file(tmp_path / "t.jsonl")
    score(settings(file, tmp_path / "s"))
    with pytest.raises(BadScoring, match=named):
        score(settings(file, tmp_path / "s", **change))


def test_texts_that_changed_since_are_no_part_of_it(tmp_path):
    file = texts_file(tmp_path / "t.jsonl")
    score(settings(file, tmp_path / "s"))
    texts_file(file, ROWS[:2])
    with pytest.raises(BadScoring, match="another source mark"):
        score(settings(file, tmp_path / "s"))


def test_a_scoring_writes_over_no_run_and_not_beside_another(trained, tmp_path):
    before = logged(trained)
    with pytest.raises(RunExists):
        score(settings(trained, trained))
    assert logged(trained) == before
    file = texts_file(tmp_path / "t.jsonl")
    with locked(tmp_path / "s", "scoring"), pytest.raises(FolderInUse, match="scores its texts"):
        score(settings(file, tmp_path / "s"))


def test_what_cannot_be_judged_is_left_out_and_counted(tmp_path):
    odd = [("Empty?", ""), ("Long?", "7 " * 999)]
    rows = [*ROWS, *({"prompt": prompt, "response": response} for prompt, response in odd)]
    said = []
    score(settings(texts_file(tmp_path / "t.jsonl", rows), tmp_path / "s"), say=said.append)
    run = Run.open(tmp_path / "s")
    assert run.rollouts(probe_set="final").rollout_id.tolist() == [0, 1, 2]
    for why in ("the response is empty", "longer than what"):
        assert any("1 of 5 texts are left out" in s and why in s for s in said)
        assert any(why in note for note in run.meta.notes)
    with pytest.raises(NoTexts, match="None of the 2 texts.*the response is empty"):
        score(settings(texts_file(tmp_path / "u.jsonl", rows[3:]), tmp_path / "u"))


def test_a_step_without_a_text_that_can_be_scored_is_left_out(tmp_path):
    folder = tmp_path / "rollout_data"
    folder.mkdir()
    for step, output in enumerate(["", "12", "", "13"]):
        texts_file(folder / f"{step}.jsonl", [{"prompt": "Ana?", "output": output}])
    import_run(format_named("kdflow"), sorted(folder.iterdir()), tmp_path / "run")
    said = []
    meta = score(settings(tmp_path / "run", tmp_path / "s"), say=said.append)
    assert meta.status == "finished" and Run.open(tmp_path / "s").steps() == [1, 3]
    assert sum("None of the 1 texts" in sentence for sentence in said) == 2


def test_ids_of_another_tokenizer_are_tokenised_anew(trained, checkpoints, tmp_path):
    file = trained / "run.json"
    meta = json.loads(file.read_text())
    foreign = tmp_path / "foreign"
    shutil.copytree(trained, foreign)
    for hash_of, replaced in (("unknown:0", "a"), ("0", "b")):
        (foreign / "run.json").write_text(json.dumps({**meta, "tokenizer_hash": hash_of}))
        said = []
        score(settings(foreign, tmp_path / replaced, student=checkpoints), say=said.append)
        assert not any("tokenised anew" in sentence for sentence in said)  # they spell the texts
    file = foreign / "probe/final/rollouts.parquet"
    rollouts = pq.read_table(file)
    said_of_all = pa.array(["So 7"] * len(rollouts))
    pq.write_table(rollouts.set_column(4, "response", said_of_all), file)
    score(settings(foreign, tmp_path / "c", student=checkpoints), say=said.append)
    assert any("tokenised anew" in sentence for sentence in said)
    tokenizer = loading.load(TEACHER, "cpu", "float32").tokenizer
    wanted = tokenizer("So 7", add_special_tokens=False)["input_ids"]
    assert Run.open(tmp_path / "c").trace(0, 0, "final").token_id.tolist() == wanted


def test_a_prompt_that_is_as_the_model_reads_it_gets_no_template(tmp_path):
    path = small_pairs.save(tmp_path / "m", "qwen2")
    tokenizer = small_pairs.tokenizer()
    tokenizer.chat_template = "{% for m in messages %}<bos>{{ m['content'] }}\n{% endfor %}"
    tokenizer.save_pretrained(path)
    bare, made = {"prompt": "Ana?", "response": "12"}, {"prompt": "<bos>Ana?\n", "response": "12"}
    said = []
    how = {"student": path, "teacher": path}
    for name, rows in (("bare", [bare]), ("made", [made])):
        source = texts_file(tmp_path / f"{name}.jsonl", rows)
        score(settings(source, tmp_path / name, **how), say=said.append)
    assert sum("without the chat template" in sentence for sentence in said) == 1
    bare, made = (Run.open(tmp_path / name).trace(0, 0, "final") for name in ("bare", "made"))
    assert bare.student_logp.tolist() == made.student_logp.tolist()


@pytest.mark.parametrize(
    "spelled", ["[system]\nBe brisk.\n\n[user]\nAna?", "system: Be brisk.\nuser: Ana?"]
)
def test_a_conversation_that_a_log_spells_out_is_read_in_turns(spelled):
    assert turns_in(spelled) == (Turn("system", "Be brisk."), Turn("user", "Ana?"))
    assert turns_in("Ana said:\nuser: hello") == () == turns_in("")


def test_a_prompt_of_an_imported_run_is_read_in_turns(tmp_path):
    path = small_pairs.save(tmp_path / "m", "qwen2")
    tokenizer = small_pairs.tokenizer()
    tokenizer.chat_template = "{% for m in messages %}<bos>{{ m['content'] }}\n{% endfor %}"
    tokenizer.save_pretrained(path)
    rows = [{"step": 3, "prompt": prompt, "output": "12"} for prompt in ("user: Ana?", "Ana?")]
    (tmp_path / "rollout_data").mkdir()
    texts_file(tmp_path / "rollout_data" / "3.jsonl", rows)
    import_run(format_named("kdflow"), [tmp_path / "rollout_data" / "3.jsonl"], tmp_path / "run")
    score(settings(tmp_path / "run", tmp_path / "s", student=path, teacher=path))
    first, second = (Run.open(tmp_path / "s").trace(3, row, "final") for row in (0, 1))
    assert first.student_logp.tolist() == pytest.approx(second.student_logp.tolist(), abs=1e-5)


def test_checkpoints_are_known_by_the_names_that_trainers_give_them(tmp_path):
    for name in ("checkpoint-100", "global_step_20/actor/huggingface", "step_3", "runs", "step=7"):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
    found = students_in(str(tmp_path))
    assert [s.step for s in found] == [3, 7, 20, 100]
    assert found[2].source.endswith("huggingface")
    assert [s.step for s in students_in(str(tmp_path / "step_3"))] == [None]
    (tmp_path / "step-3").mkdir()
    (tmp_path / "step-3" / "config.json").write_text("{}")
    with pytest.raises(ModelNotFound, match="two checkpoints of step 3"):
        students_in(str(tmp_path))


def test_checkpoints_that_hold_adapters_alone_are_students(tmp_path):
    peft = pytest.importorskip("peft")
    base, teacher = (small_pairs.save(tmp_path / str(i), "qwen2", seed=i) for i in range(2))
    net = peft.get_peft_model(
        loading.read_net(base, torch.float32), peft.LoraConfig(r=2, target_modules="all-linear")
    )
    for step in (10, 20):
        with torch.no_grad():
            for name, weight in net.named_parameters():
                if "lora_B" in name:
                    weight.fill_(0.01 * step)
        net.save_pretrained(tmp_path / "outputs" / f"checkpoint-{step}")
    how = {"student": str(tmp_path / "outputs"), "teacher": teacher, "initial": base}
    score(settings(texts_file(tmp_path / "t.jsonl"), tmp_path / "s", **how))
    metrics = Run.open(tmp_path / "s").metrics()
    assert metrics.step.tolist() == [0, 10, 20] and metrics.kl_mean.nunique() == 3


def test_a_checkpoint_without_a_model_is_named(tmp_path):
    (tmp_path / "checkpoint-5" / "shards").mkdir(parents=True)
    with pytest.raises(ModelNotFound, match="checkpoint-5 holds no model.*shards"):
        students_in(str(tmp_path))


def test_the_student_before_training_is_step_0(trained, checkpoints, tmp_path):
    folder = tmp_path / "outputs"
    folder.mkdir()
    (folder / "checkpoint-2").symlink_to(f"{checkpoints}/step=000002")
    first = MODELS["student-mixed"]
    score(settings(trained, tmp_path / "s", student=str(folder), initial=first))
    assert Run.open(tmp_path / "s").steps("probe/final") == [0, 2]
    with pytest.raises(BadScoring, match="checkpoint of step 0"):
        score(settings(trained, tmp_path / "t", student=checkpoints, initial=first))


def test_fresh_texts_need_steps_that_agree(trained, checkpoints, tmp_path):
    file = texts_file(tmp_path / "t.jsonl")
    with pytest.raises(BadScoring, match="of no training step"):
        score(settings(file, tmp_path / "s", texts_by=Texts.FRESH))
    folder = tmp_path / "outputs"
    folder.mkdir()
    for step in (70, 80):
        (folder / f"checkpoint-{step}").symlink_to(f"{checkpoints}/step=000000")
    with pytest.raises(BadScoring, match="3 steps.*2 steps, and none of them agree"):
        score(settings(trained, tmp_path / "s", student=str(folder), texts_by=Texts.FRESH))
    assert not (tmp_path / "s").exists()


def test_the_last_turn_of_the_assistant_is_a_response(tmp_path):
    turns = [{"role": "user", "content": "Ana?"}, {"role": "assistant", "content": "12"}]
    rows = [{"messages": turns}, {"prompt": "Ana?", "response": "12"}]
    score(settings(texts_file(tmp_path / "t.jsonl", rows), tmp_path / "s"))
    first, second = (Run.open(tmp_path / "s").trace(0, row, "final") for row in (0, 1))
    assert first.kl.tolist() == pytest.approx(second.kl.tolist(), abs=1e-5)


def test_a_row_without_a_response_is_named(tmp_path):
    file = texts_file(tmp_path / "t.jsonl", [*ROWS, {"prompt": "What?"}])
    with pytest.raises(BadPrompts, match="row 4 has no 'response'"):
        score(settings(file, tmp_path / "s"))


MEMORY = """
import torch
from transformers import GraniteConfig, GraniteForCausalLM, Qwen2Config, Qwen2ForCausalLM
from rockcore.training.models import Model
from rockcore.training.rollouts import Rollouts
from rockcore.training.scoring import judge_texts
from rockcore.training.clock import Clock
torch.set_num_threads(1)
V, T = 150_016, 512
sizes = dict(vocab_size=V, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
             num_attention_heads=1, num_key_value_heads=1, max_position_embeddings=2 * T)
def model(net, **how):
    net = net.to(torch.bfloat16).eval().requires_grad_(False)
    return Model("m", net, None, frozenset(), None, **how)
student = model(Qwen2ForCausalLM(Qwen2Config(**sizes)), projects=True)
# scales its logits
teacher = model(GraniteForCausalLM(GraniteConfig(**sizes)), projects=False, finishes=True)
def peak(length):
    texts = Rollouts([None], [[1]], [[1, 2]], [list(range(length))], [""])
    assert len(judge_texts(student, teacher, texts, Clock()).losses["kl"]) == length
    # ru_maxrss would begin with what the process that started this one holds
    status = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))
print(peak(192), peak(T), T * V * 4)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is counted in other units")
def test_memory_does_not_grow_with_the_length_of_a_text():
    """512 positions of 150,016 ids: as one float32 tensor 0.3 GB, for each model."""
    found = subprocess.check_output([sys.executable, "-c", MEMORY])
    short, long, tensor = map(int, found.split())
    assert long - short < tensor / 2


@given(st.lists(st.integers(1, 300), min_size=1, max_size=40))
def test_every_text_is_in_one_block(lengths):
    ids = [[0] * n for n in lengths]
    prompts = [[0]] * len(ids)
    blocks = score_parts._blocks(score_parts.Rollouts([], prompts, prompts, ids, []))
    assert sorted(sum(blocks, [])) == list(range(len(ids)))
    assert all(block == sorted(block) for block in blocks)


@pytest.mark.parametrize("said", ["two", "", "-1", "1.5"])
def test_an_environment_of_no_launch_is_named(monkeypatch, said):
    monkeypatch.setenv("WORLD_SIZE", said)
    with pytest.raises(ranks.BadLaunch, match="WORLD_SIZE="), ranks.launched():
        pass
