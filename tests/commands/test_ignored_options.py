"""A flag that nothing would come of is refused, and what to give instead is said."""

from __future__ import annotations

import pytest

from rockcore.analysis.standings import TOP
from rockcore.cli import main


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["rocks", "A", "--joint-with", "B"], "--set score=joint"),
        (["rocks", "A", "--joint-with", "B", "--preset", "authors"], "score = authors"),
        (["rocks", "A", "--top", "-5"], "--top -5"),
        (["rocks", "A", "--top", "0"], "--top 0"),
        (["rocks", "A", "--top", "-5", "--csv"], "--top -5"),
        (["rocks", "A", "--top", "0", "--json"], "--top 0"),
        (["rocks", "A", "--memory", "much"], "--memory = 'much'"),
        (["app", "A", "--memory", "1KB"], "for example --memory 2GB"),
        (["scan", "A", "--out", "C", "--memory", "much"], "--memory = 'much'"),
        (
            ["scan", "A", "--out", "C", "--memory", "2GB", "--ray", "auto"],
            "--memory 2GB with --ray",
        ),
        (["rocks", "A", "--step", "10", "--set", "post_step=20"], "--set post_step=20"),
        (["rocks", "A", "--set", "tau_quantile=0.9", "--set", "tau_pre=1"], "Give one of them"),
        (["rocks", "A", "--set", "top_k=3", "--set", "tau_rock=1"], "Give one of them"),
        (["rocks", "A", "--set", "probe_set=first", "--set", "mode=bounds"], "probe_set=first"),
        (["rocks", "A", "--set", "gamma=1", "--set", "mode=bounds"], "gamma=1 with mode = bounds"),
        (["rocks", "A", "--set", "mode=bounds", "--set", "min_support=2"], "min_support out"),
        (["rocks", "A", "--set", "top_k=3", "--set", "min_jaccard=0.5"], "with top_k = 3"),
        (["rocks", "A", "--set", "tau_rock=1", "--set", "min_jaccard=0.5"], "--set tau_rock=none"),
        (["rocks", "A", "--preset", "paper", "--set", "min_jaccard=1"], "--set top_k=none"),
        (["rocks", "A", "--set", "top_k=3", "--set", "least_share=0.1"], "Leave least_share out"),
        (["rocks", "A", "--set", "tau_rock=1", "--set", "even_share=0"], "Leave even_share out"),
        (["compare", "A", "B", "--preset", "paper", "--set", "min_jaccard=1"], "top_k = 100"),
        (["compare", "A", "A", "--set", "top_k=3"], "--set where one run on both sides"),
        (["compare", "A", "A", "--preset", "default"], "--preset where one run"),
        (["compare", "A", "B", "--step-a", "0", "--set", "gamma=1"], "--set where --step-a asks"),
        (["compare", "A", "B", "--step-b", "0", "--preset", "paper"], "--preset where --step-b"),
        (["compare", "A", "B", "--top", "5"], "--top 5 where a rule ranks"),
        (["compare", "A", "B", "--top", "5", "--preset", "paper"], "--top 5 where a rule ranks"),
        (["compare", "A", "A", "--top", "-5"], "--top -5"),
        (["compare", "A", "A", "--top", "0", "--json"], "--top 0"),
    ],
)
def test_a_flag_that_would_be_ignored_is_refused(arguments: list[str], says, tiny_run, capsys):
    runs = {"A": str(tiny_run("a")), "B": str(tiny_run("b", seed=1))}
    with pytest.raises(SystemExit) as ended:
        main([runs.get(a, a) for a in arguments])
    printed = capsys.readouterr()
    assert ended.value.code == 1 and printed.out == ""
    assert says in printed.err and "Traceback" not in printed.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["rocks", "A", "--joint-with", "B", "--set", "score=joint"],
        ["rocks", "A", "--step", "10", "--set", "post_step=10"],
        ["rocks", "A", "--set", "probe_set=first", "--set", "mode=paired"],
        ["rocks", "A", "--preset", "paper", "--set", "top_k=none", "--set", "min_jaccard=0.5"],
        ["compare", "A", "A", "--top", "5"],
        ["compare", "A", "B", "--step-a", "0", "--top", "5"],
        ["compare", "A", "B", "--preset", "paper", "--set", "top_k=3"],
    ],
)
def test_a_flag_that_enters_is_taken(arguments: list[str], tiny_run, capsys):
    runs = {"A": str(tiny_run("a")), "B": str(tiny_run("b", seed=1))}
    main([runs.get(a, a) for a in arguments])
    assert capsys.readouterr().out


def test_the_help_names_the_usual_number_of_types(capsys):
    with pytest.raises(SystemExit):
        main(["compare", "--help"])
    assert f"default: {TOP}." in " ".join(capsys.readouterr().out.replace("│", " ").split())
