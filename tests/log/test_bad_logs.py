"""Logs and rules that a detection cannot work with: each is refused by name, and nothing else is
said or warned.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import brute
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from brute import Log

from rockcore.log import Run
from rockcore.rocks.gather import BadLoss, NothingToCompare, gather
from rockcore.rocks.report import RockReport
from rockcore.rocks.rule import RockRule, preset
from rockcore.rocks.rule_fields import BadRule
from rockcore.rocks.scores import SCORES
from rockcore.rocks.search import detect
from rockcore.schema import DamagedRun, RockError

pytestmark = pytest.mark.filterwarnings("error")

LOG = brute.eighths(3, 6, 10, 4)
FRESH = [Log(LOG.tokens, losses) for losses in ([LOG.losses[0]], [LOG.losses[1]])]
RULE = RockRule(window=2, gamma=0.25, tau_quantile=0.3, min_support=1, min_rollouts=1)
LAST = "probe/final/step=000020.parquet"


def edited(run: Run, file: str, edit: Callable[[dict[str, np.ndarray]], object]) -> Run:
    """The run with some of the numbers in a file changed, in whatever columns are flat."""
    table = pq.read_table(run.path / file)
    columns = {
        n: table[n].to_numpy().copy()
        for n in table.column_names
        if not pa.types.is_nested(table[n].type)
    }
    keep = edit(columns)
    for name, values in columns.items():
        table = table.set_column(
            table.column_names.index(name),
            name,
            pa.array(values, table[name].type, from_pandas=False),
        )
    pq.write_table(table if keep is None else table.filter(pa.array(keep)), run.path / file)
    return Run.open(run.path)


def put(column: str, value: float, at: int = 7) -> Callable[[dict[str, np.ndarray]], None]:
    return lambda columns: columns[column].__setitem__(at, value)


def without_row(columns: dict[str, np.ndarray]) -> np.ndarray:
    return np.arange(len(columns["position"])) != 7


def assert_refused(
    error: type[RockError], names: list[str], run: Run, rule: RockRule = RULE
) -> None:
    """With this class, a message that holds these names, and its three parts: what was found, why
    it matters, what to do.
    """
    with pytest.raises(error) as caught:
        detect(run, rule)
    said = str(caught.value)
    assert type(caught.value) is error and all(name in said for name in names), said
    assert said.count(". ") >= 2 and said.endswith("."), said


def later(columns: dict[str, np.ndarray]) -> None:
    columns["position"] += 1


LOSSES = {
    "not a number": (put("kl", np.nan), BadLoss, [LAST, "'kl'", "1 of 60"]),
    "infinite": (put("kl", np.inf), DamagedRun, [LAST, "'kl'", "1 of 60", "infinite"]),
    "below the noise": (
        put("kl", -0.001),
        BadLoss,
        [LAST, "'kl'", "1 of 60", "-0.0001", "sampled_loss"],
    ),
    "another token": (
        put("token_id", 3, 6),
        DamagedRun,
        [LAST, "other tokens", "step 0", "bounds"],
    ),
    "another text": (
        lambda c: c.update(rollout_id=c["rollout_id"] + 1),
        DamagedRun,
        [LAST, "other tokens"],
    ),
    "another rollout": (put("rollout_id", 9, 6), DamagedRun, [LAST, "position 7 where 6"]),
    "a row less": (without_row, DamagedRun, [LAST, "position 8 where 7"]),
}


@pytest.mark.parametrize("case", LOSSES)
def test_a_probe_file_that_cannot_be_right_is_named(case, tmp_path):
    edit, error, names = LOSSES[case]
    log = Log([[0] * 10] + LOG.tokens[1:], LOG.losses)
    assert_refused(error, names, edited(brute.write(tmp_path / "r", log), LAST, edit))


TOKENS = {
    "missing": (without_row, ["rollout 0", "position 8", "where 7"]),
    "doubled": (put("position", 6), ["rollout 0", "position 6", "where 7"]),
    "not from 0": (later, ["rollout 0", "position 1", "where 0"]),
    "without text": (put("token_id", 700), ["vocab.parquet", "700"]),
}


@pytest.mark.parametrize("case", TOKENS)
@pytest.mark.parametrize("file", ["tokens/step=000010.parquet", "probe/final/step=000000.parquet"])
def test_positions_and_tokens_that_cannot_be_right_are_named_with_their_file(case, file, tmp_path):
    edit, names = TOKENS[case]
    run = edited(brute.write(tmp_path / "r", LOG, FRESH), file, edit)
    assert_refused(
        DamagedRun,
        [Path(file).name, *names],
        run,
        replace(RULE, mode="bounds" if "tokens" in file else "auto"),
    )


def test_a_file_cut_short_is_named(tmp_path):
    run = brute.write(tmp_path / "r", LOG)
    (run.path / LAST).write_bytes((run.path / LAST).read_bytes()[:-20])
    assert_refused(DamagedRun, [LAST, "backup"], run)


def test_how_far_below_zero_a_kl_may_be_depends_on_how_it_was_computed(tmp_path):
    for value, dtype, fits in (
        (-0.00009, "float32", True),
        (-0.019, "bfloat16", True),
        (-0.021, "bfloat16", False),
    ):
        run = edited(brute.write(tmp_path / f"{value}", LOG, dtype=dtype), LAST, put("kl", value))
        if fits:
            assert detect(run, RULE).mode == "paired"
        else:
            assert_refused(BadLoss, [LAST, "-0.02 nats"], run)


def test_a_sampled_loss_may_be_negative(tmp_path):
    run = edited(brute.write(tmp_path / "r", LOG), LAST, put("sampled_loss", -50.0))
    assert detect(run, replace(RULE, column="sampled_loss")).tokens["mean"].min() < 0


def test_one_checkpoint_is_nothing_to_compare_and_the_rules_that_need_one_are_named(tmp_path):
    one = Log(LOG.tokens, LOG.losses[:1])
    fresh = brute.write(tmp_path / "r", None, FRESH[:1])
    probes = brute.write(tmp_path / "p", one)
    ways = ["--preset authors", "score=rock_score"]
    for run, name in ((fresh, "r has"), (probes, "p has")):
        for rule in (RULE, replace(RULE, score="joint"), preset("paper")):
            assert_refused(NothingToCompare, [name, "one checkpoint", "step 0", *ways], run, rule)
        for rule in (replace(RULE, mode="bounds"), replace(RULE, mode="matched")):
            assert_refused(NothingToCompare, [name, "--preset authors"], run, rule)
        for changes in ({"mode": "paired"}, {"pre_step": 0}):
            assert_refused(NothingToCompare, [name], run, preset("authors").changed(**changes))


@pytest.mark.parametrize("score", [s for s in SCORES if s not in ("rock_score_ctx", "joint")])
@pytest.mark.parametrize("texts", ["fresh", "final", "first"])
def test_one_checkpoint_is_ranked_as_the_last_of_two_where_the_score_looks_at_no_other(
    texts, score, tmp_path
):
    one = Log(LOG.tokens, LOG.losses[-1:])
    alone = (
        brute.write(tmp_path / "r", None, [one])
        if texts == "fresh"
        else brute.write(tmp_path / "r", one, probe_set=texts)
    )
    rule = replace(RULE, score=score)
    two = brute.write(tmp_path / "two", LOG)
    for asked in (rule, replace(rule, top_k=3), replace(rule, post_step=0)):
        found, both = detect(alone, asked), detect(two, replace(asked, post_step=None))
        assert (found.mode, found.source, found.steps) == ("single", texts, (0,))
        assert found.ids == both.ids
        assert np.array_equal(found.stability, both.stability, equal_nan=True)
        assert found.tokens.score.tolist() == both.tokens.score.tolist()
        unknown = ["persistent", "consistent", "ccr", "mean_first", "change", "precision"]
        assert found.tokens[unknown].isna().all(axis=None)
        assert set(found.tokens["class"]) == {"unknown"} and not len(found.groups)
        assert any("without persistence" in note for note in found.notes)
        assert RockReport.from_json(found.to_json()).ids == found.ids


def test_another_run_stands_in_for_the_second_checkpoint_of_the_joint_score(tmp_path):
    one = Log(LOG.tokens, LOG.losses[:1])
    a, b = (brute.write(tmp_path / name, None, [one]) for name in "ab")
    found = detect(a, replace(RULE, score="joint"), other=b)
    share = found.tokens.rock_score / found.tokens.rock_score.sum()
    assert found.mode == "single" and np.allclose(found.tokens.score, share)


def test_pairs_that_are_asked_for_but_not_logged_are_named(tmp_path):
    run = brute.write(tmp_path / "r", None, FRESH)
    assert_refused(
        NothingToCompare, ["r has", "--probes", "bounds"], run, replace(RULE, mode="paired")
    )
    run = brute.write(tmp_path / "f", LOG, FRESH, probe_set="first")
    assert_refused(NothingToCompare, ["'final'"], run, replace(RULE, probe_set="final"))
    assert detect(run, RULE).source == "first"


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"pre_step": 5}, ["pre_step = 5", "0, 10, 20"]),
        ({"post_step": 30}, ["post_step = 30", "0, 10, 20"]),
        ({"pre_step": 20}, ["pre_step = 20", "post_step = 20"]),
        ({"pre_step": 20, "post_step": 0}, ["pre_step = 20", "post_step = 0"]),
        ({"score": "rock"}, ["score = 'rock'", "rock_score_ctx"]),
    ],
)
def test_a_rule_that_does_not_fit_the_run_names_its_field(changes, names, tmp_path):
    assert_refused(BadRule, names, brute.write(tmp_path / "r", LOG), replace(RULE, **changes))


def test_a_second_run_with_another_tokenizer_is_refused_by_name(tmp_path):
    one, other = (
        brute.write(tmp_path / "a", LOG),
        brute.write(tmp_path / "b", LOG, tokenizer_hash="1"),
    )
    with pytest.raises(BadRule, match="joint with b.*tokenizer"):
        detect(one, replace(RULE, score="joint"), other)


def test_the_order_of_rows_is_irrelevant(tmp_path):
    run = brute.write(tmp_path / "r", LOG)
    want = detect(run, RULE)
    for i, name in enumerate(("probe/final/step=000000.parquet", LAST)):
        table = pq.read_table(run.path / name)
        pq.write_table(
            table.take(np.random.default_rng(i).permutation(len(table))), run.path / name
        )
    found = detect(Run.open(run.path), RULE)
    assert found.tokens.equals(want.tokens) and found.control == want.control


def test_the_middle_checkpoint_is_the_one_nearest_to_halfway(tmp_path):
    run = brute.write(tmp_path / "r", brute.eighths(6, 3, 4, 2))
    assert gather(run, RULE).steps == (0, 20, 50) and gather(
        run, replace(RULE, pre_step=30)
    ).steps == (30, 40, 50)
    assert gather(run, replace(RULE, pre_step=10, post_step=20)).steps == (10, 20)


@pytest.mark.parametrize("missing", ["null", "absent"])
def test_a_log_that_knows_no_gradient_gives_the_same_set(missing, tmp_path):
    run = brute.write(tmp_path / "r", LOG, FRESH)
    want = [detect(run, replace(RULE, mode=mode)).tokens for mode in ("paired", "bounds")]
    for file in run.path.rglob("step=*.parquet"):
        table = pq.read_table(file)
        for name in [n for n in table.column_names if "grad" in n]:
            type = table.field(name).type
            table = table.drop_columns(name)
            table = (
                table.append_column(name, pa.nulls(len(table), type))
                if missing == "null"
                else table
            )
        pq.write_table(table, file)
    run = Run.open(run.path)
    for mode, tokens in zip(("paired", "bounds"), want, strict=True):
        assert detect(run, replace(RULE, mode=mode)).tokens.equals(tokens)


def whole(run: Run, rule: RockRule = RULE) -> RockReport:
    """A detection to its end and through JSON."""
    return RockReport.from_json(detect(run, rule).to_json())


SILENT = [[[0.0] * 10] * 6] * 3
UNUSUAL = {
    "one rollout": Log(LOG.tokens[:1], [losses[:1] for losses in LOG.losses]),
    "one token": Log([[1]], [[[0.5]]] * 2),
    "some rollouts are empty": Log(
        [[], *LOG.tokens[1:]], [[[], *losses[1:]] for losses in LOG.losses]
    ),
    "no loss at all": Log(LOG.tokens, SILENT),
    "no loss before": Log(LOG.tokens, [SILENT[0], LOG.losses[1]]),
    "no loss after": Log(LOG.tokens, [LOG.losses[0], SILENT[0]]),
}


def ends_of(path: Path, log: Log, mode: str) -> Run:
    """The log as probe texts, or its first and last checkpoint as fresh texts."""
    ends = [Log(log.tokens, [losses]) for losses in (log.losses[0], log.losses[-1])]
    return brute.write(path, log if mode == "auto" else None, ends)


@pytest.mark.parametrize("mode", ["auto", "bounds", "matched"])
@pytest.mark.parametrize("case", UNUSUAL)
def test_a_log_that_is_merely_unusual_gives_a_set_without_a_warning(case, mode, tmp_path):
    run = ends_of(tmp_path / "r", UNUSUAL[case], mode)
    for score in ("rock_score", "rock_score_ctx", "mean_kl_eb"):
        assert whole(run, replace(RULE, mode=mode, score=score)).occurrences["scored"] == len(
            UNUSUAL[case].occurrences
        )


@pytest.mark.parametrize("mode", ["auto", "bounds", "matched"])
def test_a_log_without_a_token_is_nothing_to_judge(mode, tmp_path):
    run = ends_of(tmp_path / "r", Log([[]], [[[]]] * 2), mode)
    assert_refused(NothingToCompare, ["r has", "token"], run, replace(RULE, mode=mode))
