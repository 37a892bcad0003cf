"""The hash of a run changes with every module that decides its result, and with nothing else."""

import ast
import functools
import json
import shutil

import pytest

from retina_kit.runs import deciding_code
from retina_kit.runs.deciding_code import PACKAGE, hash_of_modules, imported_modules, meaning_of, modules_that_decide

SWAPS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitOr, ast.Pow: ast.Mult, ast.MatMult: ast.Mult,
    ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.Not: ast.UAdd, ast.USub: ast.UAdd, ast.Invert: ast.USub,
}  # fmt: skip

# What a smoke run executes but what decides no score: modules at the top, which resolve settings (these are hashed
# themselves), find, store and report; packages that judge, show or use results; and two modules of the deciding ones.
# Everything else below retina_kit/ must enter the hash.
DECIDES_NO_SCORE = (
    "runs/",
    "reporting/",
    "teaching/",
    "papers/",
    "packs/",
    "authoring/",
    "comparison/",
    "prediction/",
    *(f"evaluation/{name}.py" for name in ("claims", "evidence", "noise", "paired", "patients", "summary")),
    "training/metadata.py",
)


def executed_by(training):
    """Return the modules of which a training executed a line inside a function, found by coverage."""
    files = json.loads((training / "lines.json").read_text())["files"]
    lines = {(training / name).resolve(): set(found["executed_lines"]) for name, found in files.items()}
    return {path: executed for path, executed in lines.items() if executed & lines_in_functions(path)}


def lines_in_functions(path):
    """Return the lines of a module that lie in the body of a function."""
    functions = [
        n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return {line for node in functions for line in range(node.body[0].lineno, node.end_lineno + 1)}


def read_each_text_once(monkeypatch):
    """Parse a module again only when its text is another: ninety hashes of ninety modules are asked for."""

    @functools.cache
    def imports_of(path, package, text):
        return imported_modules(path, package)

    monkeypatch.setattr(deciding_code, "meaning_of", functools.cache(meaning_of))
    monkeypatch.setattr(deciding_code, "imported_modules", lambda *place: imports_of(*place, place[0].read_text()))


def with_one_operator_swapped(source, lines):
    """Return the source with the first operator on one of these lines replaced by another, None if there is none."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        kind = type(getattr(node, "op", None) or (getattr(node, "ops", None) or [None])[0])
        if kind in SWAPS and getattr(node, "lineno", 0) in lines:
            if hasattr(node, "ops"):
                node.ops[0] = SWAPS[kind]()
            else:
                node.op = SWAPS[kind]()
            return ast.unparse(tree)
    return None


def with_one_constant_changed(source, lines):
    """Return the source with the first number or text in a function changed: for a module without an operator."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.lineno in lines and isinstance(node.func, ast.Name):
            node.func.id += "_changed"
            return ast.unparse(tree)
    return None


@pytest.mark.slow
def test_one_operator_in_any_module_that_decides_a_result_changes_the_hash(trained, tmp_path, monkeypatch):
    read_each_text_once(monkeypatch)
    executed = executed_by(trained)
    copy = tmp_path / "changed" / PACKAGE.name
    shutil.copytree(PACKAGE, copy)
    before, deciding, not_deciding = hash_of_modules(copy), [], []
    for path, lines in sorted(executed.items()):
        name = path.relative_to(PACKAGE).as_posix()
        source = path.read_text()
        changed = with_one_operator_swapped(source, lines) or with_one_constant_changed(source, lines)
        if changed is None:
            continue
        (copy / name).write_text(changed)
        (deciding if hash_of_modules(copy) != before else not_deciding).append(name)
        (copy / name).write_text(source)
    print(f"{len(deciding)} modules decide a result: {', '.join(deciding)}")
    print(f"{len(not_deciding)} do not: {', '.join(not_deciding)}")
    assert len(deciding) > 30
    wrong = [name for name in not_deciding if "/" in name and not name.startswith(DECIDES_NO_SCORE)]
    assert wrong == []


def test_every_module_of_training_and_scoring_enters_the_hash():
    names = {path.relative_to(PACKAGE).as_posix() for path in modules_that_decide()}
    assert {"data/dataset.py", "data/collection.py", "data/pixels.py", "data/manifest.py", "data/splits.py"} <= names
    assert {"evaluation/metrics.py", "evaluation/scoring.py"} <= names and "evaluation/summary.py" not in names
    assert {"training/loop.py", "training/tasks/localize.py", "models/unet.py", "data/synthetic/oct.py"} <= names
    assert not any(name.startswith(("runs/", "reporting/", "papers/", "teaching/", "packs/")) for name in names)


def test_no_module_that_decides_a_result_imports_relatively():
    """The search for what decides knows absolute imports only."""
    for path in modules_that_decide():
        relative = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ImportFrom) and n.level]
        assert not relative, f"{path} line {relative[0].lineno}"


def test_comments_docstrings_and_layout_do_not_count():
    plain = 'def f(x):\n    "Add one."\n    return x + 1\n'
    dressed = 'def f(x):  # a comment\n    """Add one, as we said."""\n    return (x\n            + 1)\n'
    assert meaning_of(plain) == meaning_of(dressed)
    assert meaning_of(plain) != meaning_of(plain.replace("+", "-"))
