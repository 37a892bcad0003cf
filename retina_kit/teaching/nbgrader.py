"""Exercises as a course for nbgrader: the source folder that `nbgrader generate_assignment` takes.

nbgrader finds answers and tests by the metadata of their cells, and strips what is between `### BEGIN SOLUTION` and
`### END SOLUTION` from the student's copy. Its tests are the kit's own checks, as with Otter-Grader (see otter).
`nbgrader autograde` executes the students' notebooks; `retina-kit class grade` does not.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from retina_kit.files import atomic_path
from retina_kit.reporting.notebook import built_text, tags_of
from retina_kit.teaching.otter import CHECK, TEST, parts_of, solution_of

CONFIG = """# Run nbgrader in this folder: `nbgrader generate_assignment --create NAME`, then `nbgrader autograde NAME`.
c = get_config()
c.CourseDirectory.course_id = "retina-kit"
c.ExecutePreprocessor.timeout = 1800  # seconds per cell: profile lesson trains
"""
SCHEMA = {"schema_version": 3, "task": False}


def build_nbgrader(source: Path, folder: Path) -> Path:
    """Write <folder>/source/<notebook>/<notebook>.ipynb and nbgrader_config.py, and return the notebook's path."""
    notebook = nbformat.reads(built_text(source, solutions=True), as_version=4)
    notebook.cells = graded_cells(notebook.cells)
    target = folder / "source" / source.stem / f"{source.stem}.ipynb"
    for path, text in ((target, nbformat.writes(notebook) + "\n"), (folder / "nbgrader_config.py", CONFIG)):
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return target


def graded_cells(cells: Sequence[NotebookNode]) -> list[NotebookNode]:
    """Turn every exercise, with the solution after it, into an answer's cell and a locked cell with its test."""
    made: list[NotebookNode] = []
    for cell, following in zip(cells, [*cells[1:], None], strict=True):
        if "exercise" in tags_of(cell):
            made += _question(cell, solution_of(cell, following))
        elif "solution" not in tags_of(cell):
            made.append(cell)
    return made


def _question(exercise: NotebookNode, solution: NotebookNode) -> list[NotebookNode]:
    """Return the cells of one question of one point."""
    (before, name, _), (steps, _, answer) = (parts_of(cell.source) for cell in (exercise, solution))
    lines = [*before, "### BEGIN SOLUTION", *steps, f"answer_{name} = {answer}", "### END SOLUTION"]
    lines.append(CHECK.format(name=name))
    return [
        new_code_cell("\n".join(lines), id=exercise.id, metadata=_about(name, solution=True)),
        new_code_cell(TEST.format(name=name), id=solution.id, metadata=_about(f"test_{name}", points=1)),
    ]


def _about(name: str, *, solution: bool = False, points: int = 0) -> dict[str, Any]:
    """Return nbgrader's metadata of a cell: an answer, or a test that is worth points."""
    kind = {"grade": bool(points), "solution": solution, "locked": not solution, "grade_id": name}
    return {"nbgrader": SCHEMA | kind | ({"points": points, "cell_type": "code"} if points else {})}
