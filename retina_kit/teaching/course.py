"""What a lecturer hands out: students' notebooks, the instructor's with the solutions, slides, and assignments."""

from collections.abc import Sequence
from pathlib import Path

from retina_kit.errors import UsageError, unknown_name
from retina_kit.files import kit_root
from retina_kit.reporting.notebook import build_notebook
from retina_kit.reporting.slides import export_slides
from retina_kit.teaching.exercises import read_exercises
from retina_kit.teaching.lesson_pages import right_answer
from retina_kit.teaching.nbgrader import build_nbgrader
from retina_kit.teaching.otter import build_assignment

KINDS = ("student", "instructor", "slides", "otter")
GRADED = ("nbgrader", "otter")  # assignments for a grader that executes notebooks


def sources() -> list[Path]:
    """List the notebooks' sources, in the course's order.

    >>> [path.name[:2] for path in sources()]
    ['01', '02', '03', '04']
    """
    return sorted((kit_root() / "notebooks").glob("[0-9]*.py"))


def build_course(
    kind: str,
    output: str | Path | None = None,
    *,
    output_root: str | Path = "outputs",
    notebooks: Sequence[Path] = (),
) -> list[Path]:
    """Write every notebook of a kind below `output` (build/<kind> by default), and return the paths.

    `notebooks` are percent scripts; without any, all of the kit's.
    "student" leaves the solutions out, "instructor" keeps them, "slides" writes one HTML file per notebook, with the
    figures of its newest run below `output_root` if there is one, "otter" writes what `otter assign` takes, "nbgrader"
    the source folder of a course for `nbgrader generate_assignment`.
    """
    if kind not in (*KINDS, *GRADED):
        raise unknown_name("kind of course", kind, (*KINDS, "nbgrader"))
    folder = Path(output) if output else Path("build") / kind
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--output {folder} is a file; give a folder, or a path that does not exist yet")
    return [_build(kind, source, folder, Path(output_root)) for source in notebooks or sources()]


def _build(kind: str, source: Path, folder: Path, output_root: Path) -> Path:
    """Write one notebook of a kind, and return its path."""
    if kind == "slides":
        own = source.with_name("exercises.toml")
        exercises = read_exercises(own if own.is_file() else source.stem.split("_")[-1])
        answers = {exercise.name: f"{right_answer(exercise)}. {exercise.because}" for exercise in exercises}
        return export_slides(_newest_run(source, output_root), folder / f"{source.stem}.slides.html", answers=answers)
    target = folder / f"{source.stem}.ipynb"
    if kind == "otter":
        return build_assignment(source, target)
    if kind == "nbgrader":
        return build_nbgrader(source, folder)
    return build_notebook(source, target, solutions=kind == "instructor")


def _newest_run(source: Path, output_root: Path) -> Path:
    """Return the newest executed copy of a notebook, or the notebook itself if it was never run.

    That of a paper of your own, `<key>_notebook.py`, is built if it has not been yet.
    """
    paper = (
        source.stem.removesuffix("_notebook")
        if source.with_name("experiment.py").is_file()
        else source.stem.split("_")[-1]
    )
    runs = sorted(output_root.glob(f"{paper}/*/notebook.ipynb"), key=lambda path: path.stat().st_mtime)
    built = source.with_suffix(".ipynb")
    return runs[-1] if runs else built if built.is_file() else build_notebook(source)
