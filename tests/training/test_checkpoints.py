"""Checkpoints survive a kill at any moment, and read back to the bit whatever a family calls its
weights on disk.
"""

import os
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest
import small_pairs
import torch
from transformers import AutoModelForCausalLM

from rockcore.config import SessionConfig
from rockcore.log import Run, request_stop
from rockcore.schema import LogWriteError
from rockcore.training import loading, train
from rockcore.training.checkpoints import Checkpoints, NoCheckpoint


class Killed(BaseException):
    """Stands for the end of the process: nobody may catch it, and nothing is done after it."""


def kill_at(monkeypatch: pytest.MonkeyPatch, moment: int) -> list[str]:
    """From its `moment`-th change of a folder on, this process can change nothing any more."""
    done: list[str] = []

    def mortal(name, change):
        def wrapper(*args, **how):
            if len(done) >= moment:
                raise Killed
            done.append(name)
            return change(*args, **how)

        return wrapper

    for place, name in ((os, "replace"), (shutil, "rmtree"), (Path, "unlink"), (Path, "mkdir")):
        monkeypatch.setattr(place, name, mortal(name, getattr(place, name)))
    return done


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    folder = small_pairs.save(tmp_path_factory.mktemp("models") / "student", "llama")
    return loading.load(folder, "cpu", "float32", trained=True)


def marked(student, value: float) -> torch.optim.Optimizer:
    """The student with a weight that says which one it is."""
    with torch.no_grad():
        student.net.model.norm.weight.fill_(value)
    return torch.optim.AdamW(student.net.parameters())


@pytest.mark.parametrize("second", [4, 5])  # over a checkpoint of the same step, and after it
def test_a_kill_at_any_moment_of_saving_leaves_a_whole_checkpoint_and_the_next_save_works(
    student, tmp_path, monkeypatch, second
):
    moments = 0
    while True:
        folder = tmp_path / str(moments)
        kept = Checkpoints(folder)
        kept.save(2, student, marked(student, 2.0), every=2)
        kept.save(3, student, marked(student, 3.0), every=2)
        kept.save(4, student, marked(student, 4.0), every=2)
        with monkeypatch.context() as patch:
            done = kill_at(patch, moments)
            optimizer = marked(student, 10.0 + second)
            try:
                kept.save(second, student, optimizer, every=2)
                break
            except Killed:
                pass
        step = Checkpoints(folder).restore_last(student, marked(student, 0.0))
        found = student.net.model.norm.weight[0].item()
        assert (step, found) in [(4, 4.0), (second, 10.0 + second)]
        assert not [p.name for p in folder.iterdir() if p.name.startswith(".")]
        for other in kept.steps():  # every step that is listed can be read
            kept.load_weights(other, student)
        kept.save(second, student, marked(student, 20.0), every=2)
        assert kept.restore_last(student, marked(student, 0.0)) == second
        assert student.net.model.norm.weight[0].item() == 20.0
        moments += 1
    assert moments >= 3 and "replace" in done


@pytest.mark.parametrize("left", [".step=000004.old", ".step=000004.99.tmp"])
def test_what_an_earlier_version_left_behind_is_cleared_away(student, tmp_path, left):
    kept = Checkpoints(tmp_path)
    kept.save(4, student, marked(student, 4.0), every=2)
    shutil.copytree(kept.path(4), tmp_path / left)
    kept.save(4, student, marked(student, 5.0), every=2)
    assert [p.name for p in tmp_path.iterdir()] == ["step=000004"]
    os.replace(kept.path(4), tmp_path / ".step=000004.old")
    assert kept.restore_last(student, marked(student, 0.0)) == 4
    assert student.net.model.norm.weight[0].item() == 5.0


def test_a_disk_that_refuses_the_second_rename_leaves_the_checkpoint_that_was_there(
    student, tmp_path, monkeypatch
):
    kept, replace = Checkpoints(tmp_path), os.replace
    kept.save(4, student, marked(student, 4.0), every=2)

    def refuse(source, target):
        if str(source).endswith(".tmp"):
            raise OSError(28, "No space left on device")
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refuse)
        with pytest.raises(LogWriteError, match="No space left"):
            kept.save(4, student, marked(student, 5.0), every=2)
    assert [p.name for p in tmp_path.iterdir()] == ["step=000004"]
    kept.load_weights(4, student)
    assert student.net.model.norm.weight[0].item() == 4.0


@pytest.mark.parametrize("room", [100, 500, 2_000])  # files that go beyond have none
def test_a_disk_without_room_for_any_of_the_files_is_told(student, tmp_path, monkeypatch, room):
    """The limit on the size of a file stands in for it; tokenizers tells of it by no OSError."""
    kept, save = Checkpoints(tmp_path / "c"), student.net.save_pretrained
    kept.save(2, student, marked(student, 2.0), every=2)
    if room == 2_000:  # the tokenizer
        monkeypatch.setattr(student.net, "save_pretrained", student.net.config.save_pretrained)
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, unlimited[1]))
    try:
        with pytest.raises(LogWriteError, match="File too large"):
            kept.save(4, student, marked(student, 4.0), every=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert [p.name for p in (tmp_path / "c").iterdir()] == ["step=000002"]
    monkeypatch.setattr(student.net, "save_pretrained", save)
    kept.save(4, student, marked(student, 4.0), every=2)


@pytest.mark.parametrize("family", [*small_pairs.RENAMED, *small_pairs.FAMILIES])
def test_a_checkpoint_reads_back_to_the_bit_here_and_in_transformers(tmp_path, family):
    model = loading.load(small_pairs.save(tmp_path / "m", family), "cpu", "float32", trained=True)
    kept = Checkpoints(tmp_path / "checkpoints")
    kept.save(0, model, torch.optim.AdamW(model.net.parameters()), every=1)
    want = {name: w.clone() for name, w in model.net.state_dict().items()}
    with torch.no_grad():
        for weight in model.net.parameters():
            weight.zero_()
    kept.load_weights(0, model)
    theirs = AutoModelForCausalLM.from_pretrained(kept.path(0), dtype=torch.float32).state_dict()
    for name, weight in model.net.state_dict().items():
        assert torch.equal(weight, want[name]) and torch.equal(theirs[name], want[name]), name


@pytest.mark.parametrize("family", ["llama", "mixtral"])
def test_a_checkpoint_of_several_files_reads_back_to_the_bit(tmp_path, monkeypatch, family):
    model = loading.load(small_pairs.save(tmp_path / "m", family), "cpu", "float32", trained=True)
    save = model.net.save_pretrained
    monkeypatch.setattr(
        model.net, "save_pretrained", lambda folder: save(folder, max_shard_size="20KB")
    )
    kept = Checkpoints(tmp_path / "checkpoints")
    kept.save(0, model, torch.optim.AdamW(model.net.parameters()), every=1)
    assert len(list(kept.path(0).glob("model-*.safetensors"))) > 1
    want = {name: w.clone() for name, w in model.net.state_dict().items()}
    with torch.no_grad():
        for weight in model.net.parameters():
            weight.zero_()
    kept.load_weights(0, model)
    assert all(torch.equal(w, want[name]) for name, w in model.net.state_dict().items())


@pytest.mark.parametrize("other", [("qwen2", {}), ("llama", {"hidden_size": 64})])
def test_the_checkpoint_of_another_model_is_refused_and_changes_nothing(student, tmp_path, other):
    family, sizes = other
    model = loading.load(small_pairs.save(tmp_path / "m", family, **sizes), "cpu", "float32")
    Checkpoints(tmp_path / "c").save(0, model, torch.optim.AdamW(model.net.parameters()), every=1)
    before = {name: w.clone() for name, w in student.net.state_dict().items()}
    with pytest.raises(NoCheckpoint, match="of another model"):
        Checkpoints(tmp_path / "c").load_weights(0, student)
    assert all(torch.equal(w, before[name]) for name, w in student.net.state_dict().items())


def test_a_damaged_checkpoint_is_named(student, tmp_path):
    kept = Checkpoints(tmp_path)
    kept.save(0, student, marked(student, 1.0), every=1)
    file = kept.path(0) / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(NoCheckpoint, match="step=000000"):
        kept.load_weights(0, student)
    file.unlink()
    with pytest.raises(NoCheckpoint, match="step=000000"):
        kept.load_weights(0, student)


@pytest.mark.parametrize("family", ["gpt-neox", "mixtral", "gemma3"])
def test_a_student_whose_files_name_its_weights_otherwise_finishes_and_goes_on(tmp_path, family):
    pair = {
        role: small_pairs.save(tmp_path / role, family, seed)
        for seed, role in enumerate(("student", "teacher"))
    }
    how = {
        "prompts": small_pairs.prompts_file(tmp_path / "p.jsonl", 20),
        **pair,
        "rollouts": 3,
        "probes": 2,
        "final_probes": 3,
        "held_out": 0,
        "max_new_tokens": 6,
        "probe_every": 1,
        "lr": 1e-3,
        "threads": 1,
    }
    train(SessionConfig(out=tmp_path / "whole", steps=3, **how))
    parts = tmp_path / "parts"

    def stop(progress):
        if progress.step == 1:
            request_stop(parts)

    train(SessionConfig(out=parts, steps=3, **how), stop)
    meta = train(SessionConfig(out=parts, resume=True))
    assert meta.status == "finished"
    runs = Run.open(tmp_path / "whole"), Run.open(parts)
    assert runs[0].steps("probe/final") == runs[1].steps("probe/final") == [0, 1, 2, 3]
    assert runs[0].metrics().kl_mean.tolist() == runs[1].metrics().kl_mean.tolist()
    for step in (0, 3):
        assert np.array_equal(*(run.values("probe/final", step, "kl") for run in runs))
