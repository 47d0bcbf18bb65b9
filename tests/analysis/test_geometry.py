"""Gradients of token types: against sums over single occurrences, against what was planted, and
where there is nothing to find.
"""

from types import SimpleNamespace

import numpy as np
import pytest
import small_pairs
import torch
from gradient_rows import geometry, rows_of

from rockcore.analysis import groups, projection
from rockcore.analysis.geometry import Geometry
from rockcore.analysis.gradient_change import early_and_late
from rockcore.analysis.group_length import group_length
from rockcore.log import Run, RunWriter
from rockcore.schema import FOLDS, DamagedRun, NoGradients, Prompt, RunMeta
from rockcore.training import loading
from rockcore.training.clock import Clock
from rockcore.training.gradient_sums import GradientSums, Projection, without_small_entries
from rockcore.training.rollouts import rollouts_of
from rockcore.training.scoring import judge_texts

EVERY = np.ones(FOLDS)


def occurrences(seed: int, types: int = 5, rollouts: int = 20, per_rollout: int = 8, D: int = 6):
    """Gradients with a mean of their type, and noise that the occurrences of a rollout share in
    part.
    """
    rng = np.random.default_rng(seed)
    rollout = np.repeat(np.arange(rollouts), per_rollout)
    token_id = rng.integers(0, types, len(rollout))
    shared = rng.normal(0, 0.5, (rollouts, D))
    return (
        token_id,
        rollout,
        rng.normal(0, 1, (types, D))[token_id]
        + shared[rollout]
        + rng.normal(0, 0.5, (len(rollout), D)),
    )


def test_lengths_and_products_equal_loops_over_pairs_of_occurrences():
    token_id, rollout, g = occurrences(0)
    found = geometry(token_id, rollout, g)
    w = np.where(np.arange(FOLDS) % 3 == 0, 0.0, 1.0)
    kept = w[rollout % FOLDS] > 0
    known = found.lengths(w)
    for i, v in enumerate(found.types):
        own = np.flatnonzero(kept & (token_id == v))
        apart = [g[a] @ g[b] for a in own for b in own if rollout[a] != rollout[b]]
        assert known.n[i] == len(own) and known.squared[i] == pytest.approx(
            np.mean(apart), rel=1e-5
        )
        assert known.naive[i] == pytest.approx(np.linalg.norm(g[own].mean(0)), rel=1e-5)


@pytest.mark.parametrize("balanced", [True, False])
def test_cosines_with_all_other_types_equal_those_of_single_occurrences(balanced):
    token_id, rollout, g = occurrences(1)
    found = geometry(token_id, rollout, g).cosines(EVERY, balanced).naive
    for i, v in enumerate(np.unique(token_id)):
        others = [
            g[token_id == u].mean(0) if balanced else g[token_id == u].sum(0)
            for u in np.unique(token_id)
            if u != v
        ]
        a, b = g[token_id == v].mean(0), np.sum(others, 0)
        assert found[i] == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b), rel=1e-5)


def test_contributions_are_those_of_equation_16():
    token_id, rollout, g = occurrences(2)
    means = np.stack([g[token_id == v].mean(0) for v in np.unique(token_id)])
    balanced = means.sum(0)
    n = np.bincount(token_id)
    want = (
        n
        * np.linalg.norm(means, axis=1)
        * (means @ balanced)
        / np.linalg.norm(means, axis=1)
        / np.linalg.norm(balanced)
    )
    np.testing.assert_allclose(geometry(token_id, rollout, g).contributions(EVERY), want, rtol=1e-5)


def planted(n: int, types: int, seed: int, D: int = 30, length: float = 0.3, noise: float = 3.0):
    """`types` types of n occurrences, each in a rollout of its own; ||mu|| = length, tr(Sigma) =
    noise².
    """
    rng = np.random.default_rng([seed, n])
    mu = rng.normal(size=(types, D))
    mu *= length / np.linalg.norm(mu, axis=1, keepdims=True)
    token_id = np.repeat(np.arange(types), n)
    rollout = np.concatenate([rng.permutation(max(n, 2 * FOLDS))[:n] for _ in range(types)])
    return token_id, rollout, mu[token_id] + rng.normal(0, noise / np.sqrt(D), (len(token_id), D))


@pytest.mark.parametrize("n", [2, 5, 20, 100, 500])
def test_a_planted_length_is_found_within_its_interval_while_the_naive_value_is_far_off(n):
    """Over many types of n occurrences: the mean of the squares, with the standard error over these
    independent types.
    """
    types = max(20, 4000 // n)
    known = geometry(*planted(n, types, seed=1)).lengths(EVERY)
    for squared, holds in ((known.squared, True), (known.naive**2, False)):
        mean, error = squared.mean(), squared.std(ddof=1) / np.sqrt(types)
        assert bool(abs(mean - 0.3**2) < 3 * error) == holds, (n, mean, error)


@pytest.mark.parametrize("n", [5, 20, 100, 500])
def test_the_interval_of_a_single_type_holds_its_planted_length_as_often_as_it_says(n):
    found = geometry(*planted(n, types=80, seed=4, noise=1.0))
    interval = found.jackknife(lambda w: found.lengths(w).squared)
    holds = ((interval.low <= 0.09) & (interval.high >= 0.09))[np.isfinite(interval.low)]
    assert len(holds) > 60 and 0.85 <= holds.mean() <= 1.0, holds.mean()


def test_what_occurrences_of_one_rollout_share_is_not_taken_for_their_mean():
    rng = np.random.default_rng(5)
    token_id, rollout = np.repeat(np.arange(100), 80), np.tile(np.repeat(np.arange(20), 4), 100)
    g = rng.normal(size=(100, 20, 10))[
        token_id, rollout
    ]  # nothing but a direction of the rollout's own
    found = geometry(token_id, rollout, g).lengths(EVERY)
    assert abs(found.squared.mean()) < 0.05 < 0.4 < (found.naive**2).mean()


def test_corrected_cosines_recover_a_planted_angle_and_the_naive_ones_do_not():
    rng = np.random.default_rng(6)
    D, types, n = 40, 60, 24
    common = np.zeros(D)
    common[0] = 1.0
    own = rng.normal(size=(types, D))
    own[:, 0] = 0
    mu = 0.6 * common + 0.8 * own / np.linalg.norm(own, axis=1, keepdims=True)
    token_id = np.tile(np.arange(types), n)
    rollout = np.repeat(np.arange(n), types)
    g = mu[token_id] + rng.normal(0, 0.5, (len(token_id), D))
    found = geometry(token_id, rollout, g).cosines(EVERY, balanced=True)
    want = [m @ (rest := mu.sum(0) - m) / np.linalg.norm(m) / np.linalg.norm(rest) for m in mu]
    assert abs(np.nanmedian(found.corrected - want)) < 0.03 < 0.08 < -np.median(found.naive - want)


def test_early_and_late_find_a_planted_ratio_and_angle_on_the_same_texts():
    rng = np.random.default_rng(7)
    token_id, rollout, noise = planted(n=60, types=12, seed=7, length=0.0, noise=0.5)
    early = np.zeros(noise.shape[1])
    early[0], late = 1.0, np.zeros(noise.shape[1])
    late[:2] = 0.3, 0.4
    a = geometry(token_id, rollout, early + noise, np.full(len(token_id), 2.0))
    b = geometry(
        token_id,
        rollout,
        late + noise + rng.normal(0, 0.05, noise.shape),
        np.full(len(token_id), 1.5),
    )
    frame = early_and_late(a, b)
    for name, want in (("ratio", 0.5), ("cosine", 0.6)):
        assert abs(frame[name].median() - want) < 0.02, name
        assert ((frame[f"{name}_low"] < want) & (want < frame[f"{name}_high"])).mean() > 0.8, name
    assert (frame.kl_change == -0.5).all() and (frame.kl_change_low == -0.5).all()
    with pytest.raises(DamagedRun, match="steps 0 and 0.*one probe set"):
        early_and_late(a, geometry(token_id[1:], rollout[1:], noise[1:]))


# --- the log of a real scoring pass

PROMPTS = [Prompt("Tom has 3 pens.", "Tom has 3 pens.", None)] * 20


@pytest.fixture(scope="session")
def scene(tmp_path_factory) -> SimpleNamespace:
    """A pair, and texts of it in which types recur within a rollout and between rollouts."""
    folder = tmp_path_factory.mktemp("pair")
    pair = [
        small_pairs.save(folder / role, "llama", seed)
        for seed, role in enumerate(("student", "teacher"))
    ]
    student, teacher = loading.load_pair(*pair, "cpu", "float32")
    rng = np.random.default_rng(8)
    responses = [rng.integers(10, 22, rng.integers(3, 12)).tolist() for _ in PROMPTS]
    return SimpleNamespace(
        student=student,
        teacher=teacher,
        rollouts=rollouts_of(student, teacher, PROMPTS, responses),
        folder=folder,
    )


@pytest.mark.parametrize("budget", [1 << 20, 60_000])
@pytest.mark.parametrize("cut", [10_000, 7])
def test_sums_equal_those_of_single_occurrences_in_full_and_projected_whole_and_in_pieces(
    scene, budget, cut, monkeypatch
):
    monkeypatch.setattr(
        "rockcore.training.groups.padded_tokens", lambda model: 10_000 if cut > 7 else 60
    )
    monkeypatch.setattr(
        "rockcore.training.scoring.pieces",
        lambda n, V, device: (slice(i, min(i + cut, n)) for i in range(0, n, cut)),
    )
    sums = GradientSums(scene.rollouts, scene.student.vocab_size, scene.student.device, budget)
    seen: dict[int, np.ndarray] = {}
    watchers = [
        sums,
        lambda piece: seen.update(zip(piece.at.tolist(), piece.gradient.clone(), strict=True)),
    ]
    scored = judge_texts(scene.student, scene.teacher, scene.rollouts, Clock(), watchers=watchers)
    g_NV = torch.stack([seen[i] for i in range(len(seen))])
    assert (sums.project.width < g_NV.shape[1]) is (budget < 1 << 20)
    token_id, rollout = (
        scene.rollouts.token_ids(),
        np.repeat(np.arange(len(PROMPTS)), scene.rollouts.lengths),
    )
    want = rows_of(token_id, rollout, sums.project(g_NV).double().numpy(), scored.losses["kl"])
    exact = rows_of(token_id, rollout, g_NV.double().numpy())
    columns = sums.columns(4, scored)
    np.testing.assert_allclose(
        columns["direction"] * columns["scale"][:, None],
        want.sums,
        atol=0.02 * np.abs(want.sums).max(),
    )
    for name in ("token_id", "fold", "n", "n_sq_sum", "kl_sum", "within_sq_sum"):
        np.testing.assert_allclose(columns[name], want.frame[name], rtol=1e-5, err_msg=name)
    for name in ("norm_sum", "sq_sum"):
        np.testing.assert_allclose(columns[name], exact.frame[name], rtol=1e-5, err_msg=name)
    assert len(columns["n"]) * sums.project.width * 4 <= budget


def test_sums_are_read_back_as_they_were_written(scene):
    sums = GradientSums(scene.rollouts, scene.student.vocab_size, scene.student.device, 1 << 20)
    columns = sums.columns(
        4, judge_texts(scene.student, scene.teacher, scene.rollouts, Clock(), watchers=[sums])
    )
    run = new_run(scene.folder / "run")
    RunWriter.reopen(run.path).append_gradients("final", 4, columns)
    back = Run.open(run.path).gradients("final", 4)
    np.testing.assert_array_equal(
        back.sums, columns["direction"].astype(np.float32) * columns["scale"][:, None]
    )
    assert back.frame.n.tolist() == columns["n"].tolist() and Geometry.of(run, "final").step == 4


def new_run(path, **meta) -> Run:
    about = {
        "name": path.name,
        "student": "s",
        "teacher": "t",
        "tokenizer_hash": "0",
        "vocab_size": 300,
        **meta,
    }
    RunWriter.create(
        path,
        RunMeta(**about),
        {"token_id": range(300), "token": [f"w{i}" for i in range(300)], "special": [False] * 300},
    )
    return Run.open(path)


def logit_gradients(n: int, vocab_size: int, seed: int) -> torch.Tensor:
    """Closed-form gradients of peaked predictions: a few entries hold nearly all of each."""
    made = torch.Generator().manual_seed(seed)
    lp, lq = (
        torch.log_softmax(4 * torch.randn(n, vocab_size, generator=made), -1) for _ in range(2)
    )
    gap = lp - lq
    return lp.exp() * (gap - (lp.exp() * gap).sum(-1, keepdim=True))


@pytest.fixture(scope="session")
def peaked() -> tuple[torch.Tensor, torch.Tensor]:
    return logit_gradients(1500, 4096, 0), logit_gradients(1500, 4096, 1)


@pytest.mark.parametrize("width", [64, 256, 1024])
def test_projected_cosines_err_as_much_as_they_are_said_to(width, peaked):
    V, (a, b) = 4096, peaked
    assert (a.square().topk(10).values.sum(1) / a.square().sum(1)).median() > 0.9, (
        "few entries dominate"
    )
    project, cosine = (
        Projection(V, width, torch.device("cpu")),
        torch.nn.functional.cosine_similarity,
    )
    said = projection.cosine_error(width, V)
    for other, least in ((b, 0.8), (a + b, 0.0), (0.2 * a + b, 0.0)):
        error = (cosine(project(a), project(other)) - cosine(a, other)).square().mean().sqrt()
        assert least * said < error < 1.2 * said, (width, error, said)


def test_small_entries_are_dropped_at_the_stated_price():
    vectors = torch.cat(
        (
            logit_gradients(200, 640, 0),
            torch.randn(5, 640),
            torch.full((1, 640), 1e9),
            torch.zeros(1, 640),
        )
    )
    kept, scale = without_small_entries(vectors)
    back = kept.double() * scale[:, None].double()
    lost = (back - vectors).norm(dim=1) / vectors.norm(dim=1).clamp(min=1e-30)
    assert lost.max() <= projection.SMALL + 1e-3 and (back[:200] == 0).double().mean() > 0.5
    cosine = torch.nn.functional.cosine_similarity
    change = cosine(back[:100], back[100:200]) - cosine(
        vectors[:100].double(), vectors[100:200].double()
    )
    assert change.abs().max() <= 2 * projection.SMALL + projection.SMALL**2


# --- groups


def world_of_one_kind(seed: int, types: int = 60, rollouts: int = 48, D: int = 12):
    """All types are alike but for their frequency: what is found between groups is noise. kl is the
    length of the gradient.
    """
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, types + 1) ** 0.7
    rollout = np.repeat(np.arange(rollouts), 25)
    token_id = rng.choice(types, len(rollout), p=share / share.sum())
    g = 0.2 * np.eye(D)[token_id % D] + rng.normal(0, 0.3, (len(rollout), D)) * rng.gamma(
        1, 1, (len(rollout), 1)
    )
    return token_id, rollout, g


def test_where_all_types_are_alike_only_the_naive_comparison_mostly_finds_a_difference():
    found, naive, inside = [], [], []
    for seed in range(15):
        one = geometry(*world_of_one_kind(seed))
        frequent = np.arange(15)
        result = groups.compare(one, one, groups.RockChoice(frequent, frequent, frequent))
        tests = result.tests[result.tests.stat.isin(["norm", "kl"])]
        found += [(p < 0.05) for p in tests.p]
        naive += [(p < 0.05) for p in tests[tests.other == "rare, high KL"].p_naive]
        row = result.tests.set_index(["other", "stat"]).loc[("others", "kl")]
        inside.append(row.ratio_low < 1 < row.ratio_high)
    assert np.mean(found) <= 0.1 and np.mean(naive) > 0.8, (np.mean(found), np.mean(naive))
    assert np.mean(inside) > 0.8


def test_groups_that_differ_are_told_apart():
    token_id, rollout, g = world_of_one_kind(1)
    g[token_id < 15] += 0.5
    one = geometry(token_id, rollout, g)
    rocks = np.arange(15)
    result = groups.compare(one, one, groups.RockChoice(rocks, rocks, rocks))
    tests = result.tests.set_index(["other", "stat"])
    assert (
        tests.loc[("others", "norm"), "p"] < 0.01 and tests.loc[("others", "norm"), "ratio_low"] > 1
    )
    assert result.groups.types.tolist() == [15, 15, 30] and set(result.members.chosen_by) == {
        "all",
        "even",
        "odd",
    }


def halves_of(rng: np.random.Generator, types: int, rocks: int) -> groups.RockChoice:
    """Rocks that the halves do not agree on."""
    return groups.RockChoice(*(rng.permutation(types)[:rocks] for _ in range(3)))


def test_the_others_are_all_the_rest_and_the_same_types_in_both_halves_but_for_the_other_groups():
    for seed in range(3):
        token_id, rollout, g = world_of_one_kind(seed)
        choice = halves_of(np.random.default_rng(seed), 60, 6)
        one = geometry(token_id, rollout, g)
        members = groups.compare(one, one, choice).members
        sets = {
            by: {name: set(p.token_id) for name, p in part.groupby("group")}
            for by, part in members.groupby("chosen_by")
        }
        known = set(one.types[one.columns["n"].sum(1) >= 2].tolist())
        for found in sets.values():
            assert found["others"] == known - found["Rock Tokens"] - found["rare, high KL"]
            assert len(found["Rock Tokens"]) == len(found["rare, high KL"]) == 6
        apart = set.union(*(sets[h][name] for h in groups.HALVES for name in groups.GROUPS[:2]))
        assert sets["even"]["others"] ^ sets["odd"]["others"] <= apart


def test_a_test_and_a_histogram_count_each_type_once():
    token_id, rollout, g = world_of_one_kind(2)
    one = geometry(token_id, rollout, g)
    choice = halves_of(np.random.default_rng(0), 20, 6)
    result = groups.compare(one, one, choice)
    crossed = result.members[result.members.chosen_by != "all"]
    for other in groups.GROUPS[1:]:
        row = result.test(other, "norm")
        for name, n in (("Rock Tokens", row.n_rocks), (other, row.n_other)):
            own = crossed[(crossed.group == name) & crossed.norm_sq.notna()]
            assert n == own.token_id.nunique() < len(own)
    drawn = result.spread("norm", naive=False).groups
    assert [bars.n for bars in drawn] == [row.measured for row in result.groups.itertuples()]
    own = crossed[crossed.group == "Rock Tokens"].groupby("token_id").norm_sq.mean()
    assert drawn[0].off == (own.dropna() <= 0).sum()


def test_a_ratio_of_few_types_that_are_alike_is_seldom_told_from_one():
    missed = []
    for seed in range(40):
        one = geometry(*world_of_one_kind(100 + seed))
        few = np.random.default_rng(seed).permutation(30)[:5]
        row = groups.compare(one, one, groups.RockChoice(few, few, few)).test("others", "kl")
        missed.append(not row.ratio_low <= 1 <= row.ratio_high)
    assert np.mean(missed) <= 0.05, np.mean(missed)


def test_a_length_within_its_noise_is_bounded_and_has_no_direction():
    """Of 60 types the first half has a mean of length 0.6, the others have none at all."""
    token_id, rollout, noise = planted(n=24, types=60, seed=9, length=0.0, noise=1.0)
    g = noise + 0.6 * np.eye(noise.shape[1])[0] * (token_id < 30)[:, None]
    frame = geometry(token_id, rollout, g).table()
    real, none = frame[frame.token_id < 30], frame[frame.token_id >= 30]
    assert real.norm_told.mean() > 0.9 and none.norm_told.mean() < 0.1
    assert (real.norm_most >= 0.6).mean() > 0.9 and (frame.norm_most > 0).all()
    for name in ("cos_balanced", "cos_global"):
        told = frame[f"{name}"].notna()
        assert (~told | frame.norm_told).all() and told[frame.token_id < 30].mean() > 0.9
        ends = frame.loc[told, [name, f"{name}_low", f"{name}_high"]].to_numpy()
        assert np.abs(ends[np.isfinite(ends)]).max() <= 1


def test_a_late_length_within_its_noise_bounds_the_ratio_and_has_no_cosine_with_the_early_one():
    token_id, rollout, noise = planted(n=60, types=12, seed=7, length=0.0, noise=1.0)
    early = np.zeros(noise.shape[1])
    early[0] = 1.0
    a, b = (geometry(token_id, rollout, mean + noise) for mean in (early, 0 * early))
    frame = early_and_late(a, b)
    gone = frame[~frame.norm_last_told]
    assert len(gone) > 9 and gone[["ratio", "cosine"]].isna().all(axis=None)
    assert (gone.norm_last_most > 0).all() and gone.ratio_most.between(0, 0.5).all()
    back = early_and_late(b, a)
    assert back[["ratio", "cosine"]].notna().all(axis=1).equals(back.norm_first_told)


@pytest.mark.parametrize(("length", "told"), [(0.5, True), (0.0, False)])
def test_the_length_of_a_group_is_the_planted_one_or_bounded(length, told):
    found = [
        group_length(
            geometry(*planted(n=40, types=7, seed=seed, length=length, noise=1.5)), range(7)
        )
        for seed in range(20)
    ]
    inside = [f.norm_low <= length <= (f.norm_high if f.norm_told else f.norm_most) for f in found]
    assert np.mean([f.norm_told == told for f in found]) >= 0.95 and np.mean(inside) >= 0.9
    assert {f.types for f in found} == {7}
    assert np.mean([f.told for f in found]) > 5 or not told
    nobody = group_length(geometry(*planted(n=40, types=7, seed=0)), [99])
    assert nobody.types == 0 and np.isnan(nobody.norm) and not nobody.norm_told


def test_a_run_without_sums_says_how_to_log_them(tmp_path):
    with pytest.raises(NoGradients, match="r has no summed gradients.*--gradients sums"):
        Geometry.of(new_run(tmp_path / "r"), "final")
