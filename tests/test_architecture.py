"""The rules of the house: who may import whom, what lies where, and how large it may grow."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "retina_kit"
ROOMS = {"data", "models", "training", "evaluation", "reporting"}
MAY_IMPORT = {
    "data": set(),
    "models": set(),
    "evaluation": set(),
    "training": {"data", "models", "evaluation"},
    "reporting": {"evaluation"},
}
ONLY_IN = {
    "matplotlib": {"reporting/figures/", "reporting/widgets/"},
    "ipywidgets": {"reporting/widgets/"},
    "papermill": {"reporting/notebook.py"},
    "nbconvert": {"reporting/notebook.py", "reporting/slides.py"},
    "pooch": {"data/fetch.py"},
    "urllib": {"data/fetch.py"},
    "requests": {"data/fetch.py"},
    "pickle": set(),
    "distributed": {"training/cluster.py"},
    "dask": set(),
    "dask_jobqueue": {"training/slurm.py"},
}
PAPERS = re.compile("hu2018|melinscak2020|ortiz2022|huang2023")
MODULES = sorted(PACKAGE.rglob("*.py"))


def imported_modules(path):
    """Return the dotted names that a module imports anywhere."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            names.append(node.module)
    return names


def strings_of_code(path):
    """Return the string literals of a module that are not docstrings."""
    tree = ast.parse(path.read_text())
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if getattr(node, "body", None) and isinstance(node.body, list) and isinstance(node.body[0], ast.Expr)
    }
    constants = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return [node.value for node in constants if id(node) not in docstrings]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_keeps_the_rules(path):
    name = path.relative_to(PACKAGE).as_posix()
    room = name.split("/")[0]
    for module in imported_modules(path):
        parts = module.split(".")
        if parts[0] == "retina_kit" and len(parts) > 1 and room in ROOMS and parts[1] != room:
            assert parts[1] in MAY_IMPORT[room] | {"errors", "files", "machine"}, f"{name} imports {module}"
        for library, allowed in ONLY_IN.items():
            if parts[0] == library and module != "urllib.parse":
                assert any(name.startswith(place) for place in allowed), f"{name} imports {module}"
    for text in strings_of_code(path):
        assert not PAPERS.search(text), f"{name} names a paper: {text!r}"
    assert len(path.read_text().splitlines()) <= 400, f"{name} has grown crowded"
    assert path.name not in ("utils.py", "helpers.py", "common.py")


def test_importing_the_kit_does_not_import_torch():
    code = "import sys, retina_kit; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_top_level_is_the_one_on_the_card():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    top = {line.split("/")[0] for line in tracked.splitlines()}
    expected = {"README.md", "environment.yml", "notebooks", "retina_kit", "data_manifests", "tests"}
    around = {
        "pyproject.toml",
        "requirements.lock",
        "Makefile",
        "LICENSE",
        "CITATION.cff",
        "benchmarks",
        ".ci",
        ".gitignore",
    }
    assert expected <= top
    assert top <= expected | around
