"""A simulated class: each student's run has scores of its own, without any training."""

import functools
import json
import shutil

import nbformat
import numpy as np
import pandas as pd

from retina_kit.experiment import Experiment
from retina_kit.teaching.exercises import Checks, read_exercises
from retina_kit.teaching.questions import NamesQuestion, NumberQuestion
from retina_kit.teaching.records import ANSWER
from retina_kit.teaching.variants import Student, read_students

PAPERS = ["hu2018", "melinscak2020", "ortiz2022", "huang2023"]
FACTS = {  # who gives which wrong answer, and who copied from whom
    "wrong": {
        "s03": ("hu2018", "only_the_start", "random_trainable_100"),
        "s07": ("hu2018", "ten_percent", 9.2),
        "s11": ("melinscak2020", "standard_error", 0.272),
        "s19": ("ortiz2022", "healthy_everywhere", 0.1),
        "s23": ("huang2023", "gain_of_vessels", "reversed"),
    },
    "copied": {"s14": "s05", "s27": "s09"},  # s14 hands in the file of s05, s27 types the number of s09
}


@functools.cache
def real_experiment(paper):
    """Return a paper's experiment in profile lesson, of which only arms and tables are looked up."""
    return Experiment(paper, "lesson")


class Simulated:
    """An experiment whose tables are random numbers of its seed: a mean per arm, and the noise of the seed."""

    def __init__(self, paper, seed):
        self.paper, self.profile, self.data, self.seeds = paper, "lesson", "synthetic", [seed]
        self.real = real_experiment(paper)
        self.arms, self.exercises_file = self.real.arms, self.real.exercises_file

    def arm(self, name):
        """Look up an arm of the real experiment."""
        return self.real.arm(name)

    def table(self, table_id):
        """Return a table with scores that the seed decides."""
        (table,) = [table for table in self.real.definition.tables if table.id == table_id]
        rows = [(arm, metric) for arm in table.rows for metric in table.metrics]
        rng = np.random.default_rng([self.seeds[0], *table_id.encode()])
        means = np.random.default_rng(list(table_id.encode())).uniform(0.55, 0.65, len(rows))
        scores = means + rng.normal(0, 0.05, len(rows))
        return pd.DataFrame(rows, columns=["arm", "metric"]).assign(ours_mean=scores)


def right_answers(experiment):
    """Return {exercise: the right answer for this run}."""
    answers = {}
    for exercise in read_exercises(experiment.paper):
        if isinstance(exercise, NamesQuestion):
            answers[exercise.name] = set(exercise.right)
        elif isinstance(exercise, NumberQuestion):
            of, minus = (cell.number(experiment) if cell else 0 for cell in (exercise.of, exercise.minus))
            answers[exercise.name] = exercise.value if exercise.of is None else round(of - minus, 4)
        else:
            answers[exercise.name] = []
            for rules in exercise.arm:
                previous = answers[exercise.name][-1]["name"] if answers[exercise.name] else ""
                changes = {key: rules.allowed(key, previous, experiment) for key in rules.change}
                arm = {key: values[-1] if values[-1] != "sum" else values[0] for key, values in changes.items()}
                answers[exercise.name].append({"name": f"new_{len(answers[exercise.name])}", "like": rules.like} | arm)
    return answers


def answered(path, experiment, answers):
    """Fill in a variant's exercises, as a student who ran the cells would hand it in."""
    notebook = nbformat.read(path, as_version=4)
    checks = Checks(experiment)
    for cell in notebook.cells:
        if "exercise" in cell.metadata.get("tags", []):
            name = cell.source.split("check.")[-1].split("(")[0]
            cell.source = cell.source.replace("(...)", f"({answers[name]!r})")
            record = getattr(checks, name)(answers[name])._repr_mimebundle_()[ANSWER]
            data = {"text/plain": "feedback", ANSWER: json.loads(json.dumps(record))}
            cell.outputs = [nbformat.v4.new_output("display_data", data)]
    return nbformat.writes(notebook)


def write_class(variants, target):
    """Write what 30 students hand in; return {(student, paper, exercise): the misconception that it shows}."""
    students = {student.id: student for student in read_students(variants / "variants.csv")}
    shown = {}
    for student in students.values():
        for path in sorted((variants / student.id).glob("*.ipynb")):
            paper = path.stem.split("_")[-1]
            experiment = Simulated(paper, student.seed)
            answers = right_answers(experiment)
            shown |= _with_mistakes(student, paper, experiment, answers)
            if student.id == "s27" and paper == "hu2018":
                other = right_answers(Simulated(paper, students["s09"].seed))
                answers["gain_of_pretraining"] = other["gain_of_pretraining"]
            (target / student.id).mkdir(parents=True, exist_ok=True)
            (target / student.id / path.name).write_text(answered(path, experiment, answers), encoding="utf-8")
    for path in (target / "s05").glob("*hu2018.ipynb"):
        shutil.copy(path, target / "s14" / path.name)
    return shown


def _with_mistakes(student: Student, paper, experiment, answers):
    """Give the student's wrong answer, if there is one for this paper; return the misconception that it shows."""
    where, name, answer = FACTS["wrong"].get(student.id, ("", "", None))
    if where != paper:
        return {}
    answers[name] = -answers[name] if answer == "reversed" else answer
    (exercise,) = [exercise for exercise in read_exercises(paper) if exercise.name == name]
    says = exercise.problem(answers[name], experiment)
    assert says in exercise.misconceptions()
    return {(student.id, paper, name): says}
