"""The rooms of the house and who may enter which: folders are the walls; a breach fails here."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# each room may import itself and the rooms before it
FLOORS = ("log", "rocks", "analysis", "training")
PURE = {"schema", "config", "stats", "categories", "spelling", "world"}
OF_LOGS = {"tasks"}  # knows where the bundled models lie
DOORS = {"cli", "commands", "__init__", "__main__"}
HEAVY = {"torch", "transformers", "tokenizers", "safetensors"}


def imports(file: Path, lazy: bool = True) -> set[str]:
    """The full names that a file imports; without `lazy`, only those it loads by itself."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    names: set[str] = set()
    for node in ast.walk(tree) if lazy else tree.body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def packages(file: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(file)}


def rooms(file: Path) -> set[str]:
    """The rooms of rockcore that a file enters."""
    return {name.split(".")[1] for name in imports(file) if name.startswith("rockcore.")} & ROOMS


def room_of(file: Path) -> str:
    return file.relative_to(ROOT / "rockcore").with_suffix("").parts[0]


FILES = sorted((ROOT / "rockcore").rglob("*.py"))
ROOMS = {room_of(file) for file in FILES}


def ids(file: Path) -> str:
    return str(file.relative_to(ROOT))


def test_every_module_has_a_room():
    assert {*FLOORS, *PURE, *OF_LOGS, *DOORS} == ROOMS


@pytest.mark.parametrize("file", FILES, ids=ids)
def test_each_room_imports_only_itself_and_the_rooms_below(file: Path):
    room = room_of(file)
    if room in DOORS:
        return
    if room in PURE:
        allowed = {"schema"}
    elif room in OF_LOGS:
        allowed = PURE | {"log"}
    else:
        allowed = {*PURE, *FLOORS[: FLOORS.index(room) + 1]} | (
            OF_LOGS if room == "training" else set()
        )
    assert rooms(file) <= allowed


def test_only_doors_are_left_unimported():
    assert (
        not {room for file in FILES if room_of(file) not in DOORS for room in rooms(file)} & DOORS
    )


def users_of(package: str) -> set[str]:
    return {ids(file) for file in FILES if package in packages(file)}


def test_each_foreign_engine_has_one_user():
    assert users_of("transformers") == {"rockcore/training/models.py"}
    assert users_of("duckdb") == {"rockcore/log/duck.py"}


def test_torch_lives_in_training_alone():
    heavy = {name for package in HEAVY - {"tokenizers"} for name in users_of(package)}
    assert {name.split("/")[1] for name in heavy} == {"training"}


def test_the_dashboard_and_the_readers_load_neither_torch_nor_transformers():
    readers = [
        "rockcore.rocks.search",
        "rockcore.analysis.groups",
        "rockcore.analysis.shares",
        "rockcore.cli",
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


# The app.

VIEWS = sorted(path.parent for path in (ROOT / "app" / "views").glob("*/page.py"))
APP = sorted((ROOT / "app").rglob("*.py"))


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_a_page_knows_its_own_folder_and_what_all_pages_share(view: Path):
    shared = {"data", "charts", "controls", "selection", "words", "components"}
    for file in view.glob("*.py"):
        for name in imports(file):
            package, *rest = name.split(".")
            assert package != "rockcore", (file, name)
            if package == "app" and rest:
                own = rest[:2] == ["views", view.name]
                assert rest[0] in shared or own or name == "app.views", (file, name)


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
