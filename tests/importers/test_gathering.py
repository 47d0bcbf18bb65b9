"""Texts are gathered by step in bounded memory; those judged at several steps are probes."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rockcore.importers import BadExport, Format, Options, import_run
from rockcore.importers.format import Export, Field
from rockcore.importers.recognise import files_of, recognise
from rockcore.importers.rows import BadRow, RowError, Text, values_of
from rockcore.importers.spool import Spool
from rockcore.log import Run
from rockcore.schema import RunNotFound


def text(step: int, key: int | str, ids: list[int], **others: object) -> Text:
    values = {"kl": np.arange(len(ids), dtype=np.float32) + step}
    given: dict = {"prompt": "p" * step, "token_ids": np.array(ids, np.int32), "values": values}
    return Text(step=step, where=f"text {key}", key=key, **(given | others))


def of(*texts: Text | RowError, probes: bool = False) -> Format:
    """A format that reads these texts from any file."""

    def read(export: Export) -> Iterator[Text | RowError]:
        export.about.probes = probes
        yield from texts

    return Format("drawn", "drawn texts", ("*",), (), lambda peek: False, read, estimator="full")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "export"
    path.write_text("x")
    return path


def test_texts_come_back_from_files_as_they_went_in(tmp_path: Path):
    texts = [
        text(7, 3, [5, 6, 7], answer="4", correct=True, truncated=False, response="é\n"),
        text(2, "a", [1], prompt=None, tokens=["x"]),
        text(7, -1, [8, 9], values={}),
        Text(step=7, where="w", response="alone"),
    ]
    held, spilled = Spool(tmp_path / "held"), Spool(tmp_path / "spilled", most_bytes=1)
    for each in texts:
        held.add(each)
        spilled.add(each)
    assert held.steps() == spilled.steps() == [2, 7] and spilled.first == 2
    assert not (tmp_path / "held").exists() and list((tmp_path / "spilled").rglob("*.arrow"))
    for step in (2, 7):
        for a, b in zip(held.read(step), spilled.read(step), strict=True):
            for name in vars(a):
                x, y = getattr(a, name), getattr(b, name)
                if name == "values":
                    assert x.keys() == y.keys()
                    assert all(np.array_equal(x[c], y[c]) for c in x)
                else:
                    assert np.array_equal(x, y) if isinstance(x, np.ndarray) else x == y, name
        spilled.drop(step)
    assert not list((tmp_path / "spilled").rglob("*.arrow"))


def test_steps_that_come_back_are_one_step(file: Path, tmp_path: Path):
    mixed = [text(step, r, [1, 2, 3]) for r in range(4) for step in (8, 0)]
    report = import_run(of(*mixed), [file], tmp_path / "run")
    run = Run.open(tmp_path / "run")
    assert report.steps == run.steps() == [0, 8]
    assert all(run.rollouts(step).rollout_id.tolist() == [0, 1, 2, 3] for step in (0, 8))


def test_the_same_texts_at_several_steps_are_probes_and_others_are_left_out(file, tmp_path):
    texts = [
        text(5, "b", [1, 2]),
        text(0, "a", [3, 4, 5]),
        text(0, "b", [1, 2]),
        text(5, "a", [3, 4, 5]),
        text(0, "only once", [9]),
        text(0, "other ids", [6, 7]),
        text(5, "other ids", [6, 8]),
    ]
    report = import_run(of(*texts, probes=True), [file], tmp_path / "run")
    run = Run.open(tmp_path / "run")
    assert not run.steps() and run.steps("probe/first") == [0, 5]
    assert run.rollouts(probe_set="first").prompt.tolist() == ["", ""]
    steps, values_ST = run.over_steps(0, "first")
    assert steps == [0, 5] and values_ST.tolist() == [[0, 1, 2], [5, 6, 7]]
    assert report.skipped == 3 and "not the same at all steps" in report.errors[0].what


def test_more_wrong_rows_than_right_ones_are_refused(file: Path, tmp_path: Path):
    wrong = [RowError(f"export, line {i}", "kl", "is no list") for i in range(3)]
    with pytest.raises(BadExport, match="3 of 5 rows.*export, line 0, kl: is no list"):
        import_run(of(*wrong, text(0, 0, [1]), text(0, 1, [1])), [file], tmp_path / "run")
    with pytest.raises(RunNotFound):
        Run.open(tmp_path / "run")
    report = import_run(of(*wrong, *[text(0, i, [1]) for i in range(3)]), [file], tmp_path / "run")
    assert (report.rows, report.skipped, report.texts) == (6, 3, 3)


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ({"values": {"kl": np.zeros(3)}}, "kl: has 3 values for 2 tokens"),
        ({"values": {"kl": np.array([np.inf, 0])}}, "infinite"),
        ({"values": {"student_entropy": np.array([-1.0, 0])}}, "below 0"),
        ({"step": -1}, "step: is -1"),
        ({"token_ids": np.zeros(0, np.int32), "values": {}}, "no token"),
        ({"token_ids": None, "values": {}}, "response: is missing"),
    ],
)
def test_a_text_that_contradicts_itself_is_left_out(others, said, file: Path, tmp_path: Path):
    good = [text(0, i, [1, 2]) for i in range(2)]
    bad = Text(**{**vars(text(0, 9, [1, 2])), **others})
    report = import_run(of(*good, bad), [file], tmp_path / "run")
    assert report.skipped == 1 and said in str(report.errors[0])


def test_half_a_character_is_spelled_out(file: Path, tmp_path: Path):
    import_run(
        of(text(0, "\ud800", [1], prompt="a\ud83d", tokens=["\udc00"])), [file], tmp_path / "r"
    )
    run = Run.open(tmp_path / "r")
    assert run.rollouts(0).prompt[0] == r"a\ud83d" and run.trace(0, 0).token[0] == r"\udc00"


@pytest.mark.parametrize(
    ("field", "array", "judged"),
    [
        (Field("v", "kl"), [7, 8, 9], [7, 8, 9]),
        (Field("v", "kl", sign=-1), [7, 8, 9], [-7, -8, -9]),
        (Field("v", "kl", whole=True), [0, 1, 7, 8, 9], [7, 8, 9]),
        (Field("v", "kl", whole=True, shift=1), [0, 7, 8, 9], [7, 8, 9]),  # one shorter
        (Field("v", "kl", whole=True, shift=1), [0, 7, 8, 9, 5], [7, 8, 9]),
        (Field("v", "kl", whole=True, shift=-1), [0, 1, 5, 7, 8, 9], [7, 8, 9]),
        (Field("v", "kl", shift=1), [8, 9, 5], [None, 8, 9]),
        (Field("v", "kl"), [7, None, 9], [7, None, 9]),
    ],
)
def test_a_value_is_put_to_the_token_that_it_judges(field: Field, array: list, judged: list):
    """Of a prompt of two tokens and a response of three."""
    found = values_of([field], {"v": array}, 3, start=2)["kl"]
    assert [None if np.isnan(v) else v for v in found] == judged


@pytest.mark.parametrize(
    "array", [[1, 2], [1, 2, 3, 4], "abc", [[1, 2, 3]], [1, "2", 3], [True] * 3]
)
def test_values_of_another_length_or_kind_are_refused(array: object):
    with pytest.raises(BadRow, match="^v: "):
        values_of([Field("v", "kl")], {"v": array}, 3)


def test_what_fits_two_formats_is_refused_with_both(tmp_path: Path):
    file = tmp_path / "1.jsonl"
    file.write_text('{"rollout_id": 1, "token_id": [1], "input": "a", "output": "b"}\n')
    with pytest.raises(BadExport, match="fits verl and table"):
        recognise([file])


def test_files_are_read_in_the_order_of_their_numbers(tmp_path: Path):
    for step in (10, 9, 100):
        (tmp_path / f"step_{step}.jsonl").write_text("{}")
    format = Format("drawn", "", ("*.jsonl",), (), lambda peek: True, lambda export: iter(()))
    assert [f.stem for f in files_of(format, [tmp_path])] == ["step_9", "step_10", "step_100"]


def test_without_the_package_tokenizers_a_tokenizer_is_refused_in_words(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(BadExport, match="tokenizers is not installed.*pip install tokenizers"):
        import_run(of(), [file], tmp_path / "run", Options(tokenizer=tmp_path))
