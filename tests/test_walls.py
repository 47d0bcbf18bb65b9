"""The rooms of the house and who may enter which. A breach of a wall fails here."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PURE = {"schema", "divergence", "scores", "categories", "stats", "world", "config", "rule", "context", "corpus", "sketch"}
READ = {
    "files",
    "folder",
    "writer",
    "log",
    "material",
    "persistence",
    "detection",
    "change",
    "controls",
    "thresholds",
    "rockset",
    "rocks",
    "prompts",
    "compare",
    "geometry",
    "gradient_groups",
    "shares",
}
TRAIN = {"llama", "models", "scoring", "evals", "tasks", "checkpoints", "rows", "threads", "gradients", "session"}
DOORS = {"cli", "progress", "__init__", "__main__"}
HEAVY = {"torch", "transformers", "tokenizers", "safetensors"}


def imports(file: Path) -> set[str]:
    """The modules a file imports, by their full names."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def ours(file: Path) -> set[str]:
    return {name.split(".")[1] for name in imports(file) if name.startswith("rockcore.")}


MODULES = sorted((ROOT / "rockcore").glob("*.py"))


def test_every_module_has_a_room():
    assert {m.stem for m in MODULES} == PURE | READ | TRAIN | DOORS


@pytest.mark.parametrize("module", [m for m in MODULES if m.stem in PURE], ids=lambda m: m.stem)
def test_pure_modules_import_nothing_of_ours_but_the_schema(module):
    assert ours(module) & {m.stem for m in MODULES} <= {"schema"}


@pytest.mark.parametrize("module", [m for m in MODULES if m.stem in READ], ids=lambda m: m.stem)
def test_reading_modules_stay_with_pure_and_reading(module):
    assert ours(module) & {m.stem for m in MODULES} <= PURE | READ


@pytest.mark.parametrize("module", [m for m in MODULES if m.stem in TRAIN], ids=lambda m: m.stem)
def test_nothing_in_training_imports_a_door(module):
    assert not ours(module) & DOORS


def test_only_models_knows_transformers_and_only_folder_knows_duckdb():
    users = {name: {m.stem for m in MODULES if any(i.split(".")[0] == name for i in imports(m))} for name in ("transformers", "duckdb")}
    assert users == {"transformers": {"models"}, "duckdb": {"folder"}}


def test_the_dashboard_and_the_readers_load_neither_torch_nor_transformers():
    readers = "rocks, rockcore.gradient_groups, rockcore.shares, rockcore.cli, rockcore.config, rockcore.prompts"
    code = f"import sys, rockcore.{readers}, app.data, app.charts; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout.split()
    assert not HEAVY & set(loaded)


@pytest.mark.parametrize("view", sorted((ROOT / "app" / "views").glob("*.py")), ids=lambda v: v.stem)
def test_views_know_only_data_charts_selection_and_the_text_pane(view):
    reached = {name for name in imports(view) if name.split(".")[0] in {"app", "rockcore"}}
    doors = ("data", "comparisons", "rankings", "detections", "gradients", "live", "stepwise", "traces", "selection", "controls")
    charts = ("charts", "rock_charts", "step_charts", "compare_charts", "gradient_charts")
    allowed = tuple(f"app.{name}" for name in (*doors, *charts, "token_pane", "pane_pair", "loss_histogram", "heatmap"))
    assert all(name == "app" or name.startswith(allowed) for name in reached)
    assert not {"duckdb", "pandas", "pyarrow"} & {name.split(".")[0] for name in imports(view)}


@pytest.mark.parametrize("module", ["charts", "rock_charts", "step_charts", "compare_charts", "gradient_charts"])
def test_charts_neither_draw_on_the_page_nor_fetch_data(module):
    assert not {"streamlit", "rockcore", "duckdb"} & {name.split(".")[0] for name in imports(ROOT / "app" / f"{module}.py")}


def test_only_selection_touches_session_and_query_state():
    for file in (ROOT / "app").rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        if file.name != "selection.py":
            assert "session_state" not in text and "query_params" not in text, file


def test_no_module_unpickles():
    for file in [*(ROOT / "rockcore").rglob("*.py"), *(ROOT / "app").rglob("*.py"), *(ROOT / "sample_runs").glob("*.py")]:
        assert not {"pickle", "dill", "joblib"} & imports(file), file
        assert "torch.load(" not in file.read_text(encoding="utf-8"), file
