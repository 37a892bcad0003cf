"""Exercises as an assignment of Otter-Grader: the notebook that a teacher gives to `otter assign`.

Otter marks questions with raw cells (`# BEGIN QUESTION` ... `# END QUESTION`) and strips the student's copy of what
stands between `# BEGIN SOLUTION` and `# END SOLUTION`. Its tests are the kit's own checks: an answer passes where
`check.<name>(answer)` passes, and what the check says is what a failed test shows.
"""

import ast

import nbformat
from nbformat.v4 import new_code_cell, new_raw_cell

from retina_kit.errors import UsageError
from retina_kit.files import atomic_path
from retina_kit.reporting.notebook import built_text

CONFIG = "# ASSIGNMENT CONFIG\nname: {name}\ncheck_all_cell: true\nexport_cell:\n  pdf: false"
TEST = "outcome = experiment.check.{name}(answer_{name})\nassert outcome.passed, str(outcome)"


def build_assignment(source, target):
    """Write the assignment notebook of a py:percent source, and return its path."""
    notebook = nbformat.reads(built_text(source, solutions=True), as_version=4)
    notebook.cells = assignment_cells(notebook.cells, name=source.stem)
    with atomic_path(target) as path:
        nbformat.write(notebook, path)
    return target


def assignment_cells(cells, name):
    """Return a notebook's cells with every exercise, its question before it and its solution after it, as Otter's."""
    made = [new_raw_cell(CONFIG.format(name=name))]
    for cell, solution in zip(cells, [*cells[1:], None], strict=True):
        tags = cell.metadata.get("tags", [])
        if "exercise" in tags:
            made[-1:] = question(made[-1], cell, solution)
        elif "solution" not in tags:
            made.append(cell)
    return made


def question(asked, exercise, solution):
    """Return the cells of one question: what is asked, the answer's cell and the test.

    The answer gets a name, so that the test finds it: `check.gain(...)` becomes `answer_gain = ...` above
    `check.gain(answer_gain)`.
    """
    (before, name, _), (steps, _, answer) = (parts_of(cell.source) for cell in (exercise, solution))
    lines = [*before, *hidden(steps), f"answer_{name} = {answer}  # SOLUTION", f"check.{name}(answer_{name})"]
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


def parts_of(code):
    """Return (the lines before, the name, the answer on one line) of code that ends with `check.<name>(answer)`."""
    match ast.parse(code).body:
        case [*_, ast.Expr(ast.Call(ast.Attribute(ast.Name("check"), name), [answer])) as last]:
            return code.splitlines()[: last.lineno - 1], name, ast.unparse(answer)
    raise UsageError(f"an exercise must end with check.<name>(...), and its solution too, not with {code!r}")


def hidden(lines):
    """Return the steps of a solution as Otter leaves them out of the student's copy, none where there are none."""
    return ["# BEGIN SOLUTION NO PROMPT", *lines, "# END SOLUTION"] if lines else []
