"""What the documents promise is what the program does."""

import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest
import readme_parts

from app import data, opening, pages
from app.request import ACCESS
from rockcore import config, schema
from rockcore.commands.app import App
from rockcore.exporters import EXPORTERS
from rockcore.rocks.rule import PRESETS, RockRule
from rockcore.rocks.rule_fields import FIELDS, KNOBS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.S)
COMMANDS = [
    line.split("  #")[0].strip()
    for block in BLOCKS
    for line in block.splitlines()
    if line.startswith("rockcore ")
]


def test_ci_runs_the_linters_and_then_the_test_command_of_the_readme():
    command = 'python -m pip install -e ".[test]" && pytest'
    assert f"```sh\n{command}\n```" in README
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    steps = ("ruff check .", "ruff format --check .", "pyright", command)
    assert [line for line in lines if line in steps] == list(steps)


def test_the_first_command_installs_and_opens_the_dashboard():
    assert BLOCKS[0].strip() == 'python -m pip install -e ".[train]" && rockcore app'


@pytest.mark.parametrize("part", readme_parts.PARTS)
def test_what_the_readme_tells_of_words_and_results_is_what_the_program_says(part: str):
    """Write it anew with `python tests/readme_parts.py`."""
    assert readme_parts.between(part, README)[1] == readme_parts.PARTS[part]()


def anchor(heading: str) -> str:
    return re.sub(r"[^\w\s-]", "", heading.lower()).replace(" ", "-")


def test_a_newcomer_finds_every_part_of_the_readme_by_its_name_and_no_other():
    """What stands before the list is read anyway."""
    listed = README[README.index("## Where to read on") :].split("\n## ")[0]
    behind = README[README.index("## Where to read on") + 1 :]
    parts = re.findall(r"(?m)^###? (.+)$", re.sub(r"```.*?```", "", behind, flags=re.S))
    linked = set(re.findall(r"\]\(#([\w-]+)\)", listed))
    assert linked == {anchor(part) for part in parts} - {"your-own-run", "licence"}
    every = {anchor(h) for h in re.findall(r"(?m)^###? (.+)$", README)}
    assert set(re.findall(r"\]\(#([\w-]+)\)", README)) <= every


def test_two_screens_hold_what_to_know_first():
    before = README[: README.index("## Where to read on")].splitlines()
    assert len(before) <= 60 and max(map(len, before)) <= 400


def table_under(heading: str) -> list[list[str]]:
    """The cells of the first table below a line of the README."""
    rows = README[README.index(heading) :].split("\n|", 1)[1].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows[2:]]


def test_the_readme_explains_every_signal_of_the_log_and_no_other():
    floats = {name for name, c in schema.TOKENS.items() if str(c.type) in ("float", "halffloat")}
    told = {name for row in table_under("## What is measured") for name in words_of(row[0])}
    assert told == floats - {"student_logp", "teacher_logp", "weight"}
    assert told >= set(data.runs.SIGNALS)


def words_of(cell: str) -> list[str]:
    return re.findall(r"`(\w+)`", cell)


def test_the_readme_names_every_page_and_no_other():
    told = [t for row in table_under("## Read a run") for t in re.findall(r"\*(.+?)\*", row[0])]
    also = re.findall(r"; \*(\w+)\*", "".join(r[1] for r in table_under("## Read a run")))
    assert sorted(told + also) == sorted(page.title for page in pages.PAGES)


def test_what_the_readme_imports_is_there():
    for block in re.findall(r"```python\n(.*?)```", README, re.S):
        imports = [line for line in block.splitlines() if line.startswith(("from ", "import "))]
        exec("\n".join(imports), {})


def test_every_setting_that_the_readme_names_exists_and_is_described():
    described = {setting.flag: setting.help for setting in config.settings()}
    assert all(described.values())
    assert [s.name for s in config.settings()] == [f.name for f in fields(config.SessionConfig)]
    for command in COMMANDS:
        if shlex.split(command)[1] == "train":
            assert set(re.findall(r"--[a-z-]+", command)) <= described.keys(), command


def test_what_a_form_asks_for_has_a_label_and_a_range():
    asked = [setting for setting in config.settings() if setting.in_form]
    assert len(asked) > 2
    for setting in asked:
        assert setting.label and (setting.least is not None or setting.above is not None)
        assert setting.most is not None


@pytest.mark.parametrize("setting", config.settings(), ids=lambda setting: setting.name)
def test_a_number_out_of_its_range_is_refused_with_its_flag(setting):
    wrong = setting.above if setting.least is None else setting.least - 1
    if wrong is not None:
        with pytest.raises(config.BadConfig, match=setting.flag):
            config.SessionConfig(**{setting.name: wrong}).resolved()


def test_pictures_and_links_of_the_readme_exist():
    targets = re.findall(r"\]\((?!http)([^)#]+)\)", README) + re.findall(r'src="(.*?)"', README)
    for target in targets:
        assert (ROOT / target).exists(), target
    pictures = set(map(str, (ROOT / ".assets").glob("*.png")))
    assert pictures == {str(ROOT / t) for t in targets if t.endswith(".png")}
    assert max(Path(picture).stat().st_size for picture in pictures) <= 200_000
    assert "[SECURITY.md](SECURITY.md)" in README


def test_every_flag_and_variable_of_the_security_notes_exists():
    notes = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    known = {"--" + field.name.replace("_", "-") for field in fields(App)}
    assert set(re.findall(r"--[a-z][a-z-]+", notes)) <= known
    assert set(re.findall(r"ROCKCORE_\w+", notes)) == {opening.ACTING, opening.LOOKING}
    assert f"?{ACCESS}=" in notes


def test_nothing_names_a_path_of_the_machine_it_was_made_on():
    hidden = {".git", ".venv", "__pycache__", ".hypothesis", ".pytest_cache", ".ruff_cache"}
    files = [f for f in ROOT.rglob("*") if not hidden & set(f.relative_to(ROOT).parts)]
    assert len(files) > 50
    for file in files:
        if file.suffix in {".py", ".md", ".toml", ".js", ".css", ".json", ""} and file.is_file():
            assert not re.search(
                r"(?<![\w.])/(work|home|root|Users)/",
                file.read_text(encoding="utf-8", errors="ignore"),
            ), file


def test_the_readme_lists_every_preset_of_a_rule_and_no_other():
    table = README[README.index("| preset | what it is |") :].split("\n\n")[0]
    cells = [row.split("|")[1] for row in table.splitlines()[2:]]
    assert [name for cell in cells for name in re.findall(r"`(.+?)`", cell)] == list(PRESETS)


def test_the_readme_lists_every_format_of_a_filter_and_no_other():
    told = {row[0]: row[1] for row in table_under("### Take the filter away")}
    assert told == {f"`{name}`": exporter.about for name, exporter in EXPORTERS.items()}


def test_every_field_that_the_readme_sets_exists_and_takes_its_value():
    settings = re.findall(r"--set (\S+=\S+)", README)
    assert settings and all(RockRule().with_settings([setting]) for setting in settings)
    assert {name.split("=")[0] for name in settings} <= set(FIELDS)


def test_the_readme_shows_the_symbol_of_every_knob_that_the_paper_leaves_open():
    for name in ("tau_pre", "tau_post", "window", "gamma", "eta"):
        assert KNOBS[name].symbol in README, name
