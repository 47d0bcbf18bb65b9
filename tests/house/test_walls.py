"""The rooms of the house and who may enter which: folders are the walls; a breach fails here."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rockcore.schema.axes import AXES

ROOT = Path(__file__).parents[2]
# each room may import itself and the rooms before it
FLOORS = (
    "log",
    "rocks",
    "exporters",
    "interventions",
    "analysis",
    "scale",
    "training",
    "recorders",
)
APART = {"importers": {"log"}}  # rooms beside the floors, and the ones that each may enter
PURE = {
    "schema",
    "config",
    "glossary",
    "stats",
    "categories",
    "colours",
    "spelling",
    "world",
    "grading",
    "lazy",
    "memory",
    "prompts",
}
OF_LOGS = {"tasks"}  # knows where the bundled models lie
DOORS = {"cli", "commands", "__init__", "__main__"}
HEAVY = {"torch", "transformers", "tokenizers", "safetensors", "peft"}


def imports(file: Path, lazy: bool = True) -> set[str]:
    """The full names that a file imports; without `lazy`, only those it loads by itself."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    names: set[str] = set()
    for node in ast.walk(tree) if lazy else tree.body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = file.relative_to(ROOT).parts[: -node.level] if node.level else ()
            module = ".".join([*above, *filter(None, [node.module])])
            names |= {module} | {f"{module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            names |= {str(each.value) for each in node.args[:1] if isinstance(each, ast.Constant)}
    return names


def packages(file: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(file)}


def rooms(file: Path) -> set[str]:
    """The rooms of rockcore that a file enters; a public name is fetched through the front door."""
    names = {name.split(".")[1] for name in imports(file) if name.startswith("rockcore.")}
    return {name if name in ROOMS else "__init__" for name in names}


def room_of(file: Path) -> str:
    return file.relative_to(ROOT / "rockcore").with_suffix("").parts[0]


FILES = sorted((ROOT / "rockcore").rglob("*.py"))
ROOMS = {room_of(file) for file in FILES}


def ids(file: Path) -> str:
    return str(file.relative_to(ROOT))


def test_every_module_has_a_room():
    assert {*FLOORS, *APART, *PURE, *OF_LOGS, *DOORS} == ROOMS


@pytest.mark.parametrize("file", FILES, ids=ids)
def test_each_room_imports_only_itself_and_the_rooms_below(file: Path):
    room = room_of(file)
    if room in DOORS:
        return
    if room in PURE:
        allowed = {"schema", "lazy", room}  # lazy: how a package loads its own names
    elif room in OF_LOGS:
        allowed = PURE | {"log"}
    elif room in APART:
        allowed = {*PURE, room, *APART[room]}
    else:
        allowed = {*PURE, *FLOORS[: FLOORS.index(room) + 1]} | (
            OF_LOGS if room in ("training", "recorders") else set()
        )
    assert rooms(file) <= allowed


def test_a_breach_of_a_room_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """In a copy of the house: lazily, by a relative import, by the name of a neighbour's start."""
    copy = tmp_path / "rockcore"
    for file in FILES:
        target = tmp_path / file.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    inner = copy / "log" / "writer.py"
    test_each_room_imports_only_itself_and_the_rooms_below(inner)
    for breach in (
        "def f():\n    from rockcore.rocks import rule",
        "from rockcore import rocks",
        "from rockcore import detect",
        "import rockcore.training.session",
        "from ..rocks import rule",
        "from .. import rocks",
        "import importlib\nimportlib.import_module('rockcore.rocks')",
    ):
        text = FILES[[f.name for f in FILES].index("writer.py")].read_text("utf-8")
        inner.write_text(f"{text}\n{breach}\n", encoding="utf-8")
        with pytest.raises(AssertionError):
            test_each_room_imports_only_itself_and_the_rooms_below(inner)


def test_only_doors_are_left_unimported():
    assert (
        not {room for file in FILES if room_of(file) not in DOORS for room in rooms(file)} & DOORS
    )


def users_of(package: str) -> set[str]:
    return {ids(file) for file in FILES if package in packages(file)}


def test_each_foreign_engine_has_one_user():
    # a trainer's callbacks are a class of its; a hook is given the name of a tokenizer
    of_trainers = {"rockcore/recorders/trl_steps.py", "rockcore/recorders/hooked.py"}
    assert users_of("transformers") == {"rockcore/training/loading.py", *of_trainers}
    assert users_of("duckdb") == {"rockcore/log/duck.py"}
    assert users_of("matplotlib") == {"rockcore/analysis/report/drawing.py"}


def test_torch_lives_in_training_and_recorders_alone():
    heavy = {name for package in HEAVY - {"tokenizers"} for name in users_of(package)}
    assert {name.split("/")[1] for name in heavy} == {"training", "recorders"}


def test_the_dashboard_and_the_readers_load_neither_torch_nor_transformers():
    readers = [
        "rockcore.rocks.search",
        "rockcore.analysis.groups",
        "rockcore.analysis.shares",
        "rockcore.cli",
        "rockcore.importers.writing",
        "rockcore.config",
        "rockcore.tasks",
        "app.data.runs",
        "app.charts",
    ]
    code = f"import sys, {', '.join(readers)}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert not HEAVY & set(done.stdout.split())


def test_the_public_names_are_there_and_load_nothing_heavy_before_they_are_asked_for():
    code = (
        "import sys, rockcore; early = set(sys.modules); "
        "from rockcore import Run, RockRule, RockSet, detect; print(*early)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert not {"duckdb", "pandas", "numpy", "pyarrow", "rockcore.log"} & set(done.stdout.split())


def test_the_letters_of_axes_are_those_of_the_table():
    """A suffix such as _BT in a name: each of its letters is an axis of rockcore.schema.axes."""
    names = {
        node.id if isinstance(node, ast.Name) else node.arg
        for file in FILES
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, (ast.Name, ast.arg))
    }
    suffixes = {name.rpartition("_")[2] for name in names if re.fullmatch(r"[a-z]\w*_[A-Z]+", name)}
    assert suffixes and set("".join(suffixes)) <= set(AXES)


# The app.

VIEWS = sorted(path.parent for path in (ROOT / "app" / "views").glob("*/page.py"))
APP = sorted((ROOT / "app").rglob("*.py"))


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_a_page_knows_its_own_folder_and_what_all_pages_share(view: Path):
    shared = {
        "access",
        "cards",
        "components",
        "controls",
        "data",
        "links",
        "pins",
        "reports",
        "selection",
    }
    shared |= {"charts", "lesson", "shell", "tables", "words"}
    for file in view.glob("*.py"):
        for name in imports(file):
            package, *rest = name.split(".")
            assert package != "rockcore", (file, name)
            if package == "app" and rest:
                own = rest[:2] == ["views", view.name]
                assert rest[0] in shared or own or name == "app.views", (file, name)


def asked_at_import(file: Path) -> list[str]:
    """The lines of a module's own body, outside functions and classes, that name the open run, the
    link or the data of a run.
    """
    body = ast.parse(file.read_text(encoding="utf-8")).body
    whole = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
    statements = [node for node in body if not isinstance(node, whole)]
    names = {name for node in statements for name in ast.walk(node) if isinstance(name, ast.Name)}
    return [f"line {name.lineno}: {name.id}" for name in names if name.id in ("selection", "data")]


PARTS = [file for view in VIEWS for file in view.glob("*.py") if file.name != "page.py"]


@pytest.mark.parametrize("part", PARTS, ids=ids)
def test_a_part_of_a_page_reads_nothing_of_a_run_when_it_is_imported(part: Path):
    """A page runs at every rerun; its parts are imported once a process, for all runs and people.
    So they get the run from the page, and never import the page.
    """
    assert not asked_at_import(part)
    assert not {name for name in imports(part) if name.endswith(".page")}


def test_a_part_that_reads_the_run_when_it_is_imported_is_seen(tmp_path: Path):
    part = tmp_path / "part.py"
    part.write_text("from app import data, selection\nrun = selection.run()\n")
    assert asked_at_import(part) == ["line 2: selection"]
    part.write_text("from app import selection\ndef f():\n    return selection.run()\n")
    assert not asked_at_import(part)


def loaded(file: Path) -> set[str]:
    """The packages that a file imports when it runs: all but those under `if TYPE_CHECKING:`."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            node.body = [ast.Pass()]
    nodes = list(ast.walk(tree))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(n.module) for n in nodes if isinstance(n, ast.ImportFrom) and not n.level}
    return {name.split(".")[0] for name in names}


# What a frame or an array is asked when something is computed from it. Picking rows and columns
# (`frame.kl`, `frame[...]`, `head`, `itertuples`, `to_dict`, `len`) only passes it on, and so stays
# out; so do names that strings, dicts and plotly have too (`count`, `update`, `join`, `replace`).
COMPUTES = set(
    "groupby pivot pivot_table merge join_asof concat crosstab resample rolling expanding "
    "quantile median mean sum cumsum cumprod prod std var sem corr cov diff rank nunique "
    "value_counts sort_values sort_index nlargest nsmallest drop_duplicates idxmax idxmin "
    "argmax argmin argsort "
    "agg aggregate transform applymap melt stack unstack explode cut qcut describe "
    "searchsorted bincount einsum astype reindex fillna interpolate".split()
)


def computed(file: Path) -> list[str]:
    """The calls `something.NAME(...)` of a file with a name of COMPUTES, each with its line."""
    return [
        f"line {node.lineno}: .{node.func.attr}()"
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in COMPUTES
    ]


COMPONENTS = ROOT / "app" / "components"


def test_the_app_loads_no_engine_of_numbers():
    """A page hands on what rockcore worked out. It may name pandas for a type; numpy is loaded only
    in components, where arrays become bytes for the browser.
    """
    engines = {"pandas", "pyarrow", "scipy", "duckdb", "numpy"}
    inside = engines - {"numpy"}
    breaches = {
        ids(file): loaded(file) & (inside if file.is_relative_to(COMPONENTS) else engines)
        for file in APP
    }
    assert not {file: names for file, names in breaches.items() if names}


def test_the_app_computes_nothing():
    """No arithmetic of frames: what a page shows, a report and the command line can ask for too.

    The line: a call of a method that groups, joins, sorts, counts or averages (COMPUTES) is
    computing, whatever it is called on. Python's own `sum`, `min`, `max`, `len` and `sorted` of a
    few values for a sentence or an axis are writing and drawing, and so is an f-string's format.
    Components are left out: there arrays of known values become bytes.
    """
    breaches = {ids(file): computed(file) for file in APP if not file.is_relative_to(COMPONENTS)}
    assert not {file: calls for file, calls in breaches.items() if calls}


def test_a_breach_of_the_app_is_seen(tmp_path: Path):
    file = tmp_path / "page.py"
    file.write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pandas as pd\n"
        "def draw(frame: pd.DataFrame) -> None:\n    print(max(frame.kl), sum([1, 2]))\n"
    )
    assert loaded(file) == {"typing"} and not computed(file)
    file.write_text(
        "def draw(frame):\n    import numpy as np\n    from scipy.stats import norm\n"
        "    return frame.groupby('token').kl.mean()\n"
    )
    assert loaded(file) == {"numpy", "scipy"}
    assert computed(file) == ["line 4: .mean()", "line 4: .groupby()"]


@pytest.mark.parametrize("file", [f for f in APP if f.name in ("charts.py", "chart.py")], ids=ids)
def test_charts_neither_draw_on_the_page_nor_fetch_data(file: Path):
    assert not {"streamlit", "rockcore", "duckdb"} & packages(file)


def test_only_selection_touches_session_and_query_state():
    for file in APP:
        text = file.read_text(encoding="utf-8")
        if file.name != "selection.py":
            assert "session_state" not in text and "query_params" not in text, file


def test_no_module_unpickles():
    for file in [*FILES, *APP, *(ROOT / "sample_runs").glob("*.py")]:
        assert not {"pickle", "dill", "joblib"} & imports(file), file
        assert "torch.load(" not in file.read_text(encoding="utf-8"), file


def test_no_two_test_files_have_one_name():
    """They are no packages: pytest then takes the second for the first, and collects nothing."""
    names = [file.name for file in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
