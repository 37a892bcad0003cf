"""Writes what a graded class leaves: gradebook.csv, answers.csv, copies.csv, scores.csv, and two pages.

index.html is for the lecturer and names students; class.html is for the class: it has no names, points or suspicions.
"""

import dataclasses
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from retina_kit.files import atomic_path
from retina_kit.reporting.figures.seed_scores import plot_seed_scores
from retina_kit.teaching.copied import Copy
from retina_kit.teaching.grading import ANOTHER, SCORES, Grade
from retina_kit.teaching.questions import Exercise

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet executes a text that begins with one of these


@dataclass(frozen=True)
class GradedClass:
    """A graded class: `exercises` by paper, grades, copies, scores over seeds, and files that could not be read."""

    exercises: Mapping[str, Sequence[Exercise]]
    grades: Sequence[Grade]
    copies: Sequence[Copy]
    scores: Sequence[Mapping[str, Any]]
    problems: Sequence[str]


def write_report(result: GradedClass, output: str | Path) -> list[Path]:
    """Write the tables and the pages below a folder, and return the paths."""
    folder = Path(output)
    tables = {
        "gradebook": gradebook(result),
        "answers": pd.DataFrame([dataclasses.asdict(grade) for grade in result.grades]),
        "copies": pd.DataFrame([dataclasses.asdict(copy) for copy in result.copies], columns=_fields(Copy)),
        "scores": pd.DataFrame([dict(row) for row in result.scores], columns=list(SCORES)),
    }
    written = []
    for name, table in tables.items():
        with atomic_path(folder / f"{name}.csv") as path:
            table.map(safe_cell).to_csv(path, index=False)
        written.append(folder / f"{name}.csv")
    for name, named in (("index.html", True), ("class.html", False)):
        with atomic_path(folder / name) as path:
            path.write_text(class_page(result, named=named), encoding="utf-8")
        written.append(folder / name)
    return written


def gradebook(result: GradedClass) -> pd.DataFrame:
    """Return one row per student: a point per right answer, their sum, how many there are, and signs of copying."""
    rows: dict[str, dict[str, Any]] = {}
    for grade in result.grades:
        rows.setdefault(grade.student, {})[f"{grade.paper}.{grade.exercise}"] = int(grade.passed)
    signs: dict[str, str] = {}
    for copy in result.copies:
        text = f"{copy.evidence}: {copy.other} ({copy.paper})"
        signs[copy.student] = f"{signs[copy.student]}; {text}" if copy.student in signs else text
    return pd.DataFrame(
        {
            "student": student,
            **points,
            "points": sum(points.values()),
            "of": len(points),
            "copied": signs.get(student, ""),
        }
        for student, points in rows.items()
    )


def safe_cell(value: Any) -> Any:
    """Return a text so that no spreadsheet takes it for a formula; anything else as it is.

    >>> safe_cell("=cmd()"), safe_cell("s01"), safe_cell(-1)
    ("'=cmd()", 's01', -1)
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def misconceptions(result: GradedClass) -> list[dict[str, Any]]:
    """Group the wrong answers: per exercise and misconception, who gave them; the most frequent first."""
    groups: dict[tuple[str, str, str], list[Grade]] = {}
    for grade in result.grades:
        if not grade.passed and grade.answer:
            groups.setdefault((grade.paper, grade.exercise, grade.misconception or ANOTHER), []).append(grade)
    made = [
        {
            "paper": paper,
            "exercise": exercise,
            "misconception": says,
            "students": [grade.student for grade in grades],
            "answers": sorted({grade.answer for grade in grades}),
        }
        for (paper, exercise, says), grades in groups.items()
    ]
    return sorted(made, key=lambda group: -len(group["students"]))


def seed_lessons(result: GradedClass) -> list[dict[str, Any]]:
    """Describe, for each question about two arms, how much the seed alone changes its answer in this class."""
    lessons = []
    for (paper, exercise), rows in pd.DataFrame(result.scores).groupby(["paper", "exercise"]) if result.scores else []:
        if len(rows) < 2:
            continue
        differences = rows["difference"].to_numpy(float)
        labels = (rows["better"].iloc[0], rows["worse"].iloc[0])
        metric = rows["metric"].iloc[0].replace("_", " ")
        figure = plot_seed_scores(rows["of"].to_numpy(float), rows["minus"].to_numpy(float), labels, metric)
        drawing = io.StringIO()
        figure.savefig(drawing, format="svg", metadata={"Date": None})
        lessons.append(
            {
                "paper": paper,
                "exercise": exercise,
                "arms": labels,
                "metric": metric,
                "num_seeds": len(rows),
                "low": float(differences.min()),
                "high": float(differences.max()),
                "mean": float(differences.mean()),
                "sd": float(differences.std(ddof=1)),
                "standard_error": float(differences.std(ddof=1) / np.sqrt(len(rows))),
                "num_negative": int((differences < 0).sum()),
                "rows": rows.sort_values("difference").to_dict("records"),
                "svg": drawing.getvalue()[drawing.getvalue().index("<svg") :],
            }
        )
    return lessons


def class_page(result: GradedClass, *, named: bool = True) -> str:
    """Write the page of a graded class, as HTML that loads nothing; texts of students are escaped.

    Unless `named`, it can be shown to the class: no students, seeds, points, signs of copying or files.
    """
    asked = {(paper, e.name): e.asks for paper, exercises in result.exercises.items() for e in exercises}
    tallies: dict[tuple[str, str], list[Grade]] = {}
    for grade in result.grades:
        tallies.setdefault((grade.paper, grade.exercise), []).append(grade)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("class_report.html.jinja").render(
        named=named,
        num_students=len({grade.student for grade in result.grades}),
        gradebook=gradebook(result).to_dict("records"),
        exercises=[
            {
                "paper": paper,
                "name": name,
                "asks": asked[paper, name],
                "right": sum(grade.passed for grade in grades),
                "answered": sum(bool(grade.answer) for grade in grades),
                "of": len(grades),
            }
            for (paper, name), grades in tallies.items()
        ],
        groups=misconceptions(result),
        copies=result.copies,
        lessons=seed_lessons(result),
        problems=result.problems,
    )


def _fields(kind: Any) -> list[str]:
    """Return the names of a dataclass's fields."""
    return [field.name for field in dataclasses.fields(kind)]
