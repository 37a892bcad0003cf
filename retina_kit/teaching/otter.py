"""Exercises as an assignment for Otter-Grader: the notebook that a lecturer gives to `otter assign`.

Otter marks questions with raw cells (`# BEGIN QUESTION` ... `# END QUESTION`) and strips what is between
`# BEGIN SOLUTION` and `# END SOLUTION` from the student's copy. Its tests are the kit's own checks: an answer passes if
`check.<name>(answer)` passes, and a failed test shows the check's feedback.
"""

import ast
import contextlib
from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_raw_cell

from retina_kit.errors import UsageError
from retina_kit.files import atomic_path
from retina_kit.reporting.notebook import built_text, tags_of

CONFIG = "# ASSIGNMENT CONFIG\nname: {name}\ncheck_all_cell: true\nexport_cell:\n  pdf: false"
CHECK = "experiment.check.{name}(answer_{name})"
TEST = "outcome = experiment.check.{name}(answer_{name})\nassert outcome.passed, str(outcome)"


def build_assignment(source: Path, target: Path) -> Path:
    """Write the assignment notebook of a py:percent source, and return its path."""
    notebook = nbformat.reads(built_text(source, solutions=True), as_version=4)
    notebook.cells = assignment_cells(notebook.cells, name=source.stem)
    with atomic_path(target) as path:
        nbformat.write(notebook, path)
    return target


def assignment_cells(cells: Sequence[NotebookNode], name: str) -> list[NotebookNode]:
    """Turn every exercise, with the question before it and the solution after it, into a question for Otter."""
    made = [new_raw_cell(CONFIG.format(name=name))]
    for cell, following in zip(cells, [*cells[1:], None], strict=True):
        if "exercise" in tags_of(cell):
            made[-1:] = _question(made[-1], cell, solution_of(cell, following))
        elif "solution" not in tags_of(cell):
            made.append(cell)
    return made


def solution_of(exercise: NotebookNode, following: NotebookNode | None) -> NotebookNode:
    """Return the solution after an exercise; if the notebook has none, the exercise itself, whose answer is `...`."""
    if following is not None and "solution" in tags_of(following):
        return following
    _, name, answer = parts_of(exercise.source)
    return new_code_cell(f"check.{name}({answer})")


def _question(asked: NotebookNode, exercise: NotebookNode, solution: NotebookNode) -> list[NotebookNode]:
    """Return the cells of one question: what is asked, the answer's cell and the test.

    The answer gets a name, so that the test finds it: `check.gain(...)` becomes `answer_gain = ...` above
    `experiment.check.gain(answer_gain)`.
    """
    (before, name, _), (steps, _, answer) = (parts_of(cell.source) for cell in (exercise, solution))
    lines = [*before, *_hidden(steps), f"answer_{name} = {answer}  # SOLUTION", CHECK.format(name=name)]
    return [
        new_raw_cell(f"# BEGIN QUESTION\nname: {name}"),
        asked,
        new_raw_cell("# BEGIN SOLUTION"),
        new_code_cell("\n".join(lines), id=exercise.id),
        new_raw_cell("# END SOLUTION"),
        new_raw_cell("# BEGIN TESTS"),
        new_code_cell(TEST.format(name=name), id=solution.id),
        new_raw_cell("# END TESTS"),
        new_raw_cell("# END QUESTION"),
    ]


def parts_of(code: str) -> tuple[list[str], str, str]:
    """Split code that ends with `check.<name>(answer)` into the lines before, the name, and the answer on one line.

    The check may be called `experiment.check.<name>`.

    >>> parts_of("half = 21\\ncheck.total(2 * half)"), parts_of("experiment.check.total(42)")
    ((['half = 21'], 'total', '2 * half'), ([], 'total', '42'))
    """
    with contextlib.suppress(SyntaxError):
        match ast.parse(code).body:
            case [*_, ast.Expr(ast.Call(ast.Attribute(called, name), [answer])) as last]:
                if ast.unparse(called).split(".")[-1] == "check":
                    return code.splitlines()[: last.lineno - 1], name, ast.unparse(answer)
    raise UsageError(f"an exercise and its solution must end with check.<name>(...), not with {code!r}")


def _hidden(lines: list[str]) -> list[str]:
    """Mark the steps of a solution so that Otter leaves them out of the student's copy."""
    return ["# BEGIN SOLUTION NO PROMPT", *lines, "# END SOLUTION"] if lines else []
