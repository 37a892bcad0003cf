"""The commands `retina-kit class link | variants | export | grade | notes`: from notebooks to grades."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retina_kit.cli_options import Json, OutputRoot, finish
from retina_kit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from retina_kit.teaching.grading import PaperKey
    from retina_kit.teaching.questions import Cell, Results
    from retina_kit.teaching.submissions import Submission

class_app = typer.Typer(no_args_is_help=True, help="A class: link, variants, export, grade, notes.")

Papers = Annotated[list[str] | None, typer.Argument(help="papers (default: all)")]
Output = Annotated[Path, typer.Option(help="folder for the result")]


@class_app.command("link")
def class_link(
    hub: Annotated[str, typer.Option(help="address of your JupyterHub, such as https://hub.example.edu")],
    papers: Papers = None,
    repo: Annotated[str, typer.Option(help="address of the repository; default: the one in pyproject.toml")] = "",
    branch: Annotated[str, typer.Option(help="branch to pull")] = "main",
    as_json: Json = False,
) -> None:
    """Print a link per notebook that pulls the kit into a student's JupyterHub (nbgitpuller) and opens it."""
    from retina_kit.reporting.badges import repository
    from retina_kit.teaching.links import pull_link

    name = repository()
    address = repo or (f"https://github.com/{name}" if name else "")
    links = [pull_link(hub, address, branch, f"notebooks/{path.stem}.ipynb") for path in _sources(papers).values()]
    finish({"text": links, "links": links}, as_json)


@class_app.command("variants")
def class_variants(
    students: Annotated[Path, typer.Argument(help="CSV file with a column `student`: an id per line")],
    output: Output,
    papers: Annotated[list[str] | None, typer.Option("--paper", help="only this paper; repeatable")] = None,
    course: Annotated[str, typer.Option(help="name of the course: another one gives other seeds")] = "",
    as_json: Json = False,
) -> None:
    """Write each student's own notebooks: the seed follows from the student's id, so copied numbers show."""
    from retina_kit.teaching.variants import build_variants, read_students

    found, sources = read_students(students, course), _sources(papers)
    written = build_variants(found, sources, output)
    seeds = ",".join(str(student.seed) for student in found)
    lines = [
        f"{len(written)} notebooks of {len(found)} students in {output}; keep {output / 'variants.csv'} for grading",
        "to train them all in advance, so that notebooks load them and grading can check them, run",
        *(f"    retina-kit train {paper} --seeds {seeds}" for paper in sources),
    ]
    finish({"text": lines, "students": {student.id: student.seed for student in found}}, as_json)


@class_app.command("export")
def class_export(
    nbgrader: Annotated[Path | None, typer.Option(help="folder for an nbgrader course")] = None,
    otter: Annotated[Path | None, typer.Option(help="folder for assignments of Otter-Grader")] = None,
    as_json: Json = False,
) -> None:
    """Write the exercises as assignments for nbgrader or Otter-Grader; both execute the students' notebooks."""
    from retina_kit.teaching.course import build_course

    if not (nbgrader or otter):
        raise UsageError("give --nbgrader DIR, --otter DIR, or both")
    asked = {"nbgrader": nbgrader, "otter": otter}
    written = [path for kind, folder in asked.items() if folder for path in build_course(kind, folder)]
    finish({"text": [f"{path}: built" for path in written], "files": written}, as_json)


@class_app.command("grade")
def class_grade(
    submissions: Annotated[Path, typer.Argument(help="folder of submitted notebooks or zip files")],
    output: Output,
    variants: Annotated[Path, typer.Option(help="variants.csv of `class variants`, or the CSV file of the class")],
    course: Annotated[str, typer.Option(help="name of the course, if the CSV file has no seeds")] = "",
    output_root: OutputRoot = Path("outputs"),
    as_json: Json = False,
) -> None:
    """Grade notebooks without executing any: gradebook, misconceptions, signs of copying; a page without names to show.

    Answers are read from the notebooks' files. Runs with the students' seeds that are in --output-root are used to
    check numbers; for others, the numbers that the notebook recorded are used.
    """
    from retina_kit.teaching.class_report import GradedClass, write_report
    from retina_kit.teaching.copied import find_copies
    from retina_kit.teaching.grading import class_scores, grade_submissions
    from retina_kit.teaching.submissions import collect
    from retina_kit.teaching.variants import read_students

    students = read_students(variants, course)
    seeds = {student.seed for student in students}
    keys = {paper: _paper_key(paper, output_root, seeds) for paper in _sources(None)}
    names = {paper: [exercise.name for exercise in key.exercises] for paper, key in keys.items()}
    found, problems = collect(submissions, [student.id for student in students], names)
    grades = grade_submissions(found, students, keys)
    result = GradedClass(
        exercises={paper: key.exercises for paper, key in keys.items()},
        grades=grades,
        copies=find_copies(found, students, grades, keys),
        scores=class_scores(found, students, keys),
        problems=problems,
    )
    written = write_report(result, output)
    wrong = sum(bool(grade.answer) and not grade.passed for grade in grades)
    summary = (
        f"{len(found)} notebooks of {len(students)} students: {sum(grade.passed for grade in grades)} answers right, "
        f"{wrong} wrong; {len(result.copies)} signs of copying; {len(problems)} problems with files"
    )
    lines = [summary, "no code of a student was executed", *map(str, written)]
    finish({"text": lines, "problems": problems, "copies": [vars(copy) for copy in result.copies]}, as_json)


@class_app.command("notes")
def class_notes(output: Output = Path("build/notes"), as_json: Json = False) -> None:
    """Write the answer key, the lecturer's notes and a one-page handout of each session, as printable pages."""
    from retina_kit.teaching.lesson_pages import write_pages

    written = write_pages(_sources(None), output)
    finish({"text": [f"{path}: built" for path in written], "files": written}, as_json)


def _sources(papers: list[str] | None) -> dict[str, Path]:
    """Return {paper: the source of its notebook}, of the papers asked for."""
    from retina_kit.errors import unknown_name
    from retina_kit.teaching.course import sources

    known = {path.stem.split("_")[-1]: path for path in sources()}
    for paper in papers or []:
        if paper not in known:
            raise unknown_name("paper", paper, known)
    return {paper: path for paper, path in known.items() if not papers or paper in papers}


def _paper_key(paper: str, output_root: Path, seeds: set[int]) -> "PaperKey":
    """Return what is needed to grade a paper's notebook; a run with seeds of the class is looked up, never trained."""
    from retina_kit.experiment import Experiment
    from retina_kit.experiment_check import PROFILES
    from retina_kit.teaching.exercises import read_exercises
    from retina_kit.teaching.grading import PaperKey
    from retina_kit.teaching.records import numbers_of

    exercises = read_exercises(paper)
    cells = [cell for exercise in exercises for cell in exercise.cells()]

    @functools.cache
    def arms(profile: str) -> "Results":
        return Experiment(paper, profile if profile in PROFILES else "lesson")

    @functools.cache
    def numbers(asked: tuple[int, ...], profile: str) -> "Mapping[Cell, float] | None":
        experiment = Experiment(paper, profile, output_root=output_root, seeds=asked)
        return numbers_of(cells, experiment) if not experiment.missing() else None

    def run(submission: "Submission") -> "Mapping[Cell, float] | None":
        is_known = submission.seeds and set(submission.seeds) <= seeds and submission.profile in PROFILES
        is_known = is_known and not submission.changed
        return numbers(submission.seeds, submission.profile) if is_known and (output_root / "runs").is_dir() else None

    return PaperKey(exercises, arms, run)
