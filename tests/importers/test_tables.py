"""Plain tables in our own columns, whatever file they are in and however their rows lie."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rockcore.importers import BadExport, Options, format_named, import_run
from rockcore.importers.recognise import files_of, recognise
from rockcore.log import Run

TABLE = format_named("table")
LENGTHS = {0: [4, 1, 2], 10: [3, 5]}  # tokens of each rollout, by step
TRACED = ["token_id", "kl", "sampled_loss", "student_logp", "teacher_logp", "weight"]


def occurrences(**changes: object) -> pd.DataFrame:
    """One row a token; prompts of another length than the responses."""
    rows = [
        {"step": step, "rollout_id": r, "position": p, "prompt": "x" * (3 + r)}
        for step, lengths in LENGTHS.items()
        for r, length in enumerate(lengths)
        for p in range(length)
    ]
    frame, rng = pd.DataFrame(rows), np.random.default_rng(0)
    n = len(frame)
    frame["token_id"] = rng.integers(0, 50, n)
    frame["kl"] = rng.gamma(0.5, 1.0, n).astype(np.float32)
    frame["student_logp"] = -rng.gamma(1.0, 1.0, n).round(3)
    frame["teacher_logp"] = -rng.gamma(1.0, 1.0, n).round(3)
    frame["weight"] = 1.0
    return frame.assign(**changes)


def write(frame: pd.DataFrame, file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".parquet":
        frame.to_parquet(file, index=False)
    elif file.suffix == ".csv":
        frame.to_csv(file, index=False)
    else:
        frame.to_json(file, orient="records", lines=True, double_precision=15)
    return file


def imported(files: list[Path], out: Path, **options: object) -> Run:
    import_run(TABLE, files, out, Options(**options))  # pyright: ignore[reportArgumentType]
    return Run.open(out)


def content(run: Run) -> dict:
    """All that a run says of its tokens and texts."""
    return {
        step: (
            run.rollouts(step).to_dict("list"),
            [
                run.trace(step, r)[TRACED].astype(float).round(5).fillna(-1).to_dict("list")
                for r in run.rollouts(step).rollout_id
            ],
        )
        for step in run.steps()
    }


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict:
    folder = tmp_path_factory.mktemp("table")
    return content(imported([write(occurrences(), folder / "a.parquet")], folder / "run"))


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_a_table_says_the_same_in_every_kind_of_file(kind: str, expected: dict, tmp_path: Path):
    file = write(occurrences(), tmp_path / f"a.{kind}")
    assert recognise([file]).format is TABLE
    run = imported([file], tmp_path / "run")
    assert content(run) == expected
    assert run.rollouts(0).prompt.tolist() == ["xxx", "xxxx", "xxxxx"]


@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.randoms(use_true_random=False), st.sampled_from(["parquet", "csv", "jsonl"]))
def test_the_order_of_rows_and_columns_and_files_is_of_no_matter(
    expected, tmp_path_factory, random, kind
):
    folder = tmp_path_factory.mktemp("shuffled")
    frame = occurrences()
    rows, columns = list(range(len(frame))), list(frame.columns)
    random.shuffle(rows)
    random.shuffle(columns)
    cut = random.randint(1, len(rows) - 1)
    halves = [frame.iloc[part][columns] for part in (rows[:cut], rows[cut:])]
    files = [write(half, folder / f"{i}.{kind}") for i, half in enumerate(halves)]
    assert content(imported(files, folder / "run")) == expected


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_a_row_a_text_says_the_same_as_a_row_a_token(kind: str, expected: dict, tmp_path: Path):
    frame = occurrences()
    rows = frame.groupby(["step", "rollout_id"]).agg(
        {"prompt": "first"} | dict.fromkeys(frame.columns[4:], list)
    )
    file = write(rows.reset_index(), tmp_path / f"a.{kind}")
    assert content(imported([file], tmp_path / "run")) == expected


def test_tokens_and_texts_may_lie_in_files_of_their_own(expected: dict, tmp_path: Path):
    frame = occurrences()
    texts = frame.groupby(["step", "rollout_id"]).prompt.first().reset_index()
    for step, part in frame.drop(columns=["prompt", "step"]).groupby(frame.step):
        write(part, tmp_path / f"set/tokens/step={step}.parquet")
    write(texts, tmp_path / "set/texts.parquet")
    files = files_of(TABLE, [tmp_path / "set"])
    assert content(imported(files, tmp_path / "run")) == expected


def test_student_and_teacher_alike_are_exactly_0_apart(tmp_path: Path):
    frame = occurrences()
    frame["teacher_logp"] = frame.student_logp
    run = imported([write(frame.drop(columns="kl"), tmp_path / "a.csv")], tmp_path / "run")
    for step in run.steps():
        assert (run.values("tokens", step, "sampled_loss") == 0).all()
        assert np.isnan(run.values("tokens", step, "kl")).all()
    assert (run.meta.estimator, run.meta.student_logps) == ("absent", "trainer")


def test_a_column_called_loss_is_never_guessed(tmp_path: Path):
    frame = occurrences()[["step", "rollout_id", "position", "token_id", "kl"]]
    file = write(frame.rename(columns={"kl": "loss"}), tmp_path / "a.parquet")
    with pytest.raises(BadExport, match="--map kl=loss.*--map sampled_loss=loss"):
        imported([file], tmp_path / "run")
    assert not (tmp_path / "run").exists()
    run = imported([file], tmp_path / "run", renames={"sampled_loss": "loss"})
    assert run.meta.estimator == "absent"
    assert run.values("tokens", 0, "sampled_loss").tolist() == pytest.approx(
        frame.kl[frame.step == 0].tolist()
    )


WRONG = {
    "a kl below 0": ({"kl": np.linspace(-3, 3, 15)}, "kl.*below 0"),
    "log probabilities that are probabilities": ({"student_logp": 0.5}, "log probabilities above"),
    "an infinite kl": ({"kl": np.inf}, "kl.*infinite"),
    "ids that are text": ({"token_id": "a"}, "token_id: is 'a', not a whole number"),
    "ids below 0": ({"token_id": -1}, "token_id.*not a whole number"),
    "ids with a fraction": ({"token_id": 1.5}, "token_id.*not a whole number"),
    "one position for all": ({"position": 0}, "position: 0 is there twice"),
    "positions from 1": ({"position": occurrences().position + 1}, "position: 0 is missing"),
    "sampled_loss of the other sign": (
        {"sampled_loss": -20.0, "student_logp": -1.0, "teacher_logp": -21.0},
        "sampled_loss: is not student_logp",
    ),
    "a prompt that changes within its text": (
        {"prompt": [str(i) for i in range(15)]},
        "prompt: has . different values",
    ),
}


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
@pytest.mark.parametrize("wrong", WRONG)
def test_a_table_that_is_wrong_throughout_is_refused_by_its_field(
    wrong: str, kind: str, tmp_path: Path
):
    changes, said = WRONG[wrong]
    if kind == "jsonl" and wrong == "an infinite kl":
        pytest.skip("JSON has no infinities")
    file = write(occurrences(**changes), tmp_path / f"a.{kind}")
    with pytest.raises(BadExport, match=said):
        imported([file], tmp_path / "run")
    assert [f.name for f in tmp_path.iterdir()] == [file.name]


def test_a_row_that_is_wrong_costs_its_text_alone(tmp_path: Path):
    frame = occurrences()
    frame["token_id"] = frame.token_id.astype(object)
    frame.loc[5, "token_id"] = "x"  # in the third text of step 0
    file = write(frame, tmp_path / "a.csv")
    report = import_run(TABLE, [file], tmp_path / "run")
    assert report.texts == 4 and report.skipped == 2
    assert str(report.errors[0]) == f"{file}, row 7, token_id: is 'x', not a whole number from 0 on"
    assert "0 is missing in rollout 2 of step 0" in report.errors[1].what
    assert Run.open(tmp_path / "run").rollouts(0).rollout_id.tolist() == [0, 1]


def test_a_text_that_is_there_twice_counts_once(tmp_path: Path):
    rows = [
        {"step": 0, "rollout_id": r, "prompt": p, "token_id": [1, 2], "kl": [0.5, None]}
        for r, p in ((0, "a"), (1, "b"), (0, "c"))
    ]
    file = tmp_path / "a.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = import_run(TABLE, [file], tmp_path / "run")
    run = Run.open(tmp_path / "run")
    assert report.skipped == 1 and "twice" in report.errors[0].what
    assert run.rollouts(0).prompt.tolist() == ["a", "b"]
    assert np.isnan(run.metrics().kl_mean[0]) and run.trace(0, 0).kl[0] == 0.5


def test_what_a_person_says_of_the_columns_stands_in_the_run(tmp_path: Path):
    file = write(occurrences(), tmp_path / "a.parquet")
    options = {"estimator": "topk", "student_logps": "sampler", "teacher": "big", "steps": ()}
    meta = imported([file], tmp_path / "run", **options).meta
    assert (meta.estimator, meta.student_logps, meta.teacher) == ("topk", "sampler", "big")
    assert meta.tokenizer_hash.startswith("unknown:")
    other = imported([write(occurrences(kl=0.0), tmp_path / "b.parquet")], tmp_path / "other").meta
    assert other.tokenizer_hash != meta.tokenizer_hash


def test_a_run_of_ours_comes_back_from_its_own_files(tmp_path: Path):
    samples = Path(__file__).parents[2] / "sample_runs"
    ours = Run.open(samples / "habit")
    format, files = recognise([ours.path / "tokens", ours.path / "rollouts"])
    assert format is TABLE
    run = imported(files, tmp_path / "run", tokenizer=samples / "models" / "teacher")
    assert run.steps() == ours.steps() and run.vocab.equals(ours.vocab)
    assert run.meta.tokenizer_hash == ours.meta.tokenizer_hash
    step = ours.steps()[-1]
    assert run.rollouts(step).equals(ours.rollouts(step))
    pd.testing.assert_frame_equal(run.trace(step, 3), ours.trace(step, 3))
    told = ours.metrics().set_index("step").loc[step]
    found = run.metrics().set_index("step").loc[step]
    for name in ("rollouts", "tokens", "kl_mean", "kl_stderr", "accuracy"):
        assert found[name] == pytest.approx(told[name], rel=1e-3), name
    pd.testing.assert_frame_equal(run.types(step), ours.types(step), rtol=1e-3)


@pytest.mark.parametrize("listed", [True, False], ids=["a row a text", "texts alone"])
def test_an_answer_may_be_a_number_and_a_flag_one_or_zero(tmp_path: Path, listed: bool):
    rows = [
        {"rollout_id": i, "prompt": "2+2?", "response": "It is 4.", "answer": n, "correct": right}
        | ({"token_id": [5, 6], "kl": [0.5, 0.25]} if listed else {})
        for i, (n, right) in enumerate([(4, 1), (4.0, 0), ("four", True), (None, None)])
    ]
    (file := tmp_path / "t.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    texts = imported([file], tmp_path / "run").rollouts(0)
    assert texts.answer.tolist()[:3] == ["4", "4", "four"] and texts.answer.isna()[3]
    assert texts.correct.tolist()[:3] == [True, False, True] and texts.correct.isna()[3]


def test_tokens_that_are_no_list_are_an_error_of_their_row(tmp_path: Path):
    rows = [
        {"rollout_id": i, "token_id": [5, 6], "kl": [0.5, 0.25], "token": token}
        for i, token in enumerate([["a", "b"], ["a", "b"], ["a", "b"], 5, "ab", [1, 2]])
    ]
    (file := tmp_path / "t.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    report = import_run(TABLE, [file], tmp_path / "run")
    assert (report.texts, report.skipped) == (3, 3)
    assert {(e.field, e.what) for e in report.errors} == {("token", "is no list of texts")}
