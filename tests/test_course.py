"""What a teacher hands out: students' and instructor's notebooks, slides, and assignments."""

import shutil
import subprocess

import nbformat
import pytest

from retina_kit.errors import UsageError
from retina_kit.files import kit_root
from retina_kit.reporting.notebook import build_notebook, built_text
from retina_kit.teaching.course import build_course, sources
from retina_kit.teaching.exercises import read_exercises
from retina_kit.teaching.nbgrader import build_nbgrader
from retina_kit.teaching.otter import build_assignment

SOURCE = """# %% [markdown]
# # A title
# %% tags=["exercise"]
check.one(...)
# %% tags=["solution"]
check.one("secret")
# %% [markdown]
# more of the same
# %% [markdown]
# ## Another slide
"""


@pytest.fixture
def source(tmp_path):
    """A small notebook's source with one exercise and its solution."""
    path = tmp_path / "small.py"
    path.write_text(SOURCE)
    return path


def test_solutions_are_in_the_instructors_notebook_only(source, tmp_path):
    student = build_notebook(source, tmp_path / "student.ipynb").read_text()
    instructor = build_notebook(source, tmp_path / "instructor.ipynb", solutions=True).read_text()
    assert "secret" not in student
    assert "secret" in instructor
    assert "check.one(...)" in student


def test_a_course_is_built_beside_the_kit_and_leaves_it_alone(tmp_path):
    before = {path: path.read_bytes() for path in (kit_root() / "notebooks").glob("*.ipynb")}
    for kind in ("student", "instructor", "slides", "otter"):
        assert len(build_course(kind, tmp_path / kind, output_root=tmp_path)) == len(sources())
    assert {path: path.read_bytes() for path in (kit_root() / "notebooks").glob("*.ipynb")} == before
    with pytest.raises(UsageError, match="is a file"):
        build_course("student", next((tmp_path / "student").glob("*.ipynb")))


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.stem)
def test_a_source_holds_five_exercises_each_followed_by_its_solution(path):
    cells = nbformat.reads(built_text(path, solutions=True), as_version=4).cells
    tags = [tag for cell in cells for tag in cell.metadata.get("tags", []) if tag in ("exercise", "solution")]
    assert tags == ["exercise", "solution"] * 5


STEPS = """# %% [markdown]
# **1.** How many?
# %% tags=["exercise"]
check = experiment.check
check.one(...)
# %% tags=["solution"]
half = 21
check.one({"all": 2 * half})
"""
OTTER = ["# BEGIN QUESTION\nname: one", "**1.** How many?", "# BEGIN SOLUTION", None, "# END SOLUTION",
         "# BEGIN TESTS", None, "# END TESTS", "# END QUESTION"]  # fmt: skip


def test_an_exercise_becomes_a_question_of_otter(source, tmp_path):
    source.write_text(STEPS)
    cells = nbformat.read(build_assignment(source, tmp_path / "otter.ipynb"), as_version=4).cells
    assert cells[0].source.startswith("# ASSIGNMENT CONFIG\nname: small")
    assert [cell.source for cell, text in zip(cells[1:], OTTER, strict=True) if text] == [
        text for text in OTTER if text
    ]
    assert cells[4].source.splitlines() == [
        "check = experiment.check",
        "# BEGIN SOLUTION NO PROMPT",
        "half = 21",
        "# END SOLUTION",
        "answer_one = {'all': 2 * half}  # SOLUTION",
        "experiment.check.one(answer_one)",
    ]
    assert cells[7].source.endswith("assert outcome.passed, str(outcome)")


def test_an_exercise_that_otter_could_not_strip_is_refused(source, tmp_path):
    source.write_text(STEPS + "print(half)\n")
    with pytest.raises(UsageError, match="must end with check"):
        build_assignment(source, tmp_path / "otter.ipynb")


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.stem)
def test_an_assignment_asks_every_exercise_and_asks_nothing_else_in_its_cell(path, tmp_path):
    cells = nbformat.read(build_assignment(path, tmp_path / "otter.ipynb"), as_version=4).cells
    begins = [k for k, cell in enumerate(cells) if cell.source.startswith("# BEGIN QUESTION")]
    names = [exercise.name for exercise in read_exercises(path.stem.split("_")[-1])]
    assert [cells[k].source.split("name: ")[1] for k in begins] == names
    for number, k in enumerate(begins, start=1):
        assert cells[k + 1].source.startswith(f"**{number}.** ")
        compile(cells[k + 3].source, path.name, "exec")


def test_an_exercise_becomes_an_answer_and_a_test_of_nbgrader(source, tmp_path):
    source.write_text(STEPS)
    target = build_nbgrader(source, tmp_path / "course")
    assert target == tmp_path / "course" / "source" / "small" / "small.ipynb"
    notebook = nbformat.read(target, as_version=4)
    nbformat.validate(notebook)
    answer, test = notebook.cells[1:]
    assert answer.source.splitlines() == [
        "check = experiment.check",
        "### BEGIN SOLUTION",
        "half = 21",
        "answer_one = {'all': 2 * half}",
        "### END SOLUTION",
        "experiment.check.one(answer_one)",
    ]
    assert (answer.metadata.nbgrader.solution, answer.metadata.nbgrader.grade) == (True, False)
    assert test.metadata.nbgrader == {
        "schema_version": 3, "task": False, "grade": True, "solution": False, "locked": True, "grade_id": "test_one",
        "points": 1, "cell_type": "code",
    }  # fmt: skip
    assert (tmp_path / "course" / "nbgrader_config.py").is_file()


def test_nbgrader_takes_the_assignments(tmp_path):
    nbgrader = shutil.which("nbgrader")
    if not nbgrader:
        pytest.skip("nbgrader is not installed")
    build_course("nbgrader", tmp_path)
    name = sources()[0].stem
    subprocess.run([nbgrader, "generate_assignment", "--create", name], cwd=tmp_path, check=True, capture_output=True)
    released = (tmp_path / "release" / name / f"{name}.ipynb").read_text("utf-8")
    assert "random_frozen_100" not in released.split("15 · Exercises")[1].split("**2.**")[0].split("in nothing else")[1]
    assert "# YOUR CODE HERE" in released
