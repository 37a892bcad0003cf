"""The rules of the house: who may import whom, what lies where, and how large it may grow."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "retina_kit"
SHARED = {"errors", "files", "schema", "machine"}  # what every package may import
MAY_IMPORT = {  # package -> packages below it
    "data": set(),
    "models": set(),
    "evaluation": set(),
    "packs": {"data"},
    "training": {"data", "models", "evaluation"},
    "prediction": {"training", "data", "models", "evaluation"},
    "runs": {"training", "data", "models", "evaluation"},
    "papers": {"evaluation"},
    "reporting": {"evaluation", "papers"},
    "teaching": {"reporting", "papers", "evaluation", "models", "data", "training", "prediction"},
}
ONLY_IN = {  # library -> the only places that may import it
    "matplotlib": {"reporting/figures/", "teaching/widgets/", "comparison/sweeps.py"},  # the last for a type only
    "ipywidgets": {"teaching/widgets/"},
    "papermill": {"reporting/"},
    "nbconvert": {"reporting/"},
    "pooch": {"packs/fetch.py"},
    "urllib": {"packs/fetch.py"},
    "requests": {"packs/fetch.py"},
    "socket": {"runs/dask_engine.py"},
    "pickle": set(),
    "distributed": {"runs/", "doctor.py"},
    "dask": {"runs/"},
}
MOST_LINES, MOST_LINES_OF_A_FUNCTION = 320, 45
FACADE, MOST_LINES_OF_THE_FACADE = "experiment.py", 400  # many methods of one line each
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
    package = name.split("/")[0]
    for module in imported_modules(path):
        first, *rest = module.split(".")
        if first == "retina_kit" and rest and package in MAY_IMPORT:
            allowed = MAY_IMPORT[package] | SHARED | {package}
            assert rest[0] in allowed or module == "retina_kit.__version__", f"{name} imports {module}"
        for library, places in ONLY_IN.items():
            if first == library and module != "urllib.parse":
                assert any(name.startswith(place) for place in places), f"{name} imports {module}"
    for text in strings_of_code(path):
        assert not PAPERS.search(text), f"{name} names a paper: {text!r}"
    most = MOST_LINES_OF_THE_FACADE if name == FACADE else MOST_LINES
    assert len(path.read_text().splitlines()) <= most, f"{name} has grown crowded"
    assert path.name not in ("utils.py", "helpers.py", "common.py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_functions_are_short_and_no_module_is_named_like_what_it_exports(path):
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
            lines = node.end_lineno - first.lineno + 1
            assert lines <= MOST_LINES_OF_A_FUNCTION, f"{path.name}: {node.name} has {lines} lines"
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    assert path.stem not in names


def test_packages_import_downward_and_never_in_a_circle():
    imports = {package: set() for package in MAY_IMPORT}
    for path in MODULES:
        package = path.relative_to(PACKAGE).parts[0]
        if package in imports:
            found = {module.split(".")[1] for module in imported_modules(path) if module.startswith("retina_kit.")}
            imports[package] |= (found & set(MAY_IMPORT)) - {package}
    order = []
    while len(order) < len(imports):
        free = [package for package in imports if package not in order and imports[package] <= set(order)]
        assert free, {package: sorted(imports[package]) for package in imports if package not in order}
        order += free
    assert order.index("training") < order.index("runs")


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
        "requirements-cpu.lock",
        "requirements-dev.lock",
        "Makefile",
        "LICENSE",
        "CITATION.cff",
        "benchmarks",
        "docs",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "Dockerfile",
        ".ci",
        ".binder",
        ".devcontainer",
        ".dockerignore",
        ".gitattributes",
        ".github",
        ".gitignore",
        ".pre-commit-config.yaml",
    }
    assert expected <= top
    assert top <= expected | around


def test_the_public_api_loads_without_what_only_some_of_it_needs():
    code = "import sys, retina_kit as rk; rk.Experiment; rk.Predictor; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    slow = {"scipy", "torchvision", "matplotlib", "dask", "distributed", "rich", "nbconvert", "papermill", "IPython"}
    assert not slow & set(done.stdout.split())
