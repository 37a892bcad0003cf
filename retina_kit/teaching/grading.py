"""Grades a class: which answers are right, which misconception a wrong one shows, and who copied.

Answers are read from the notebooks' files (see submissions); no code of a student is executed. An answer that depends
on the run is checked against the lecturer's own run with the student's seed if there is one. If there is none, or if
the numbers that the student's notebook recorded are near it, these count: another machine has slightly other scores.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retina_kit.errors import KitError
from retina_kit.teaching.questions import Cell, Exercise, NumberQuestion, Results
from retina_kit.teaching.records import RecordedRun
from retina_kit.teaching.submissions import Submission
from retina_kit.teaching.variants import Student

OWN_RUN, RECORD, ALWAYS = "the lecturer's run with this seed", "the numbers that the notebook recorded", "the key"
NEAR_RECORD = "the numbers that the notebook recorded, which are near the lecturer's"
OTHER_MACHINE = 0.05  # by so much a score may differ between processors and precisions
ANOTHER = "another wrong answer"
SCORES = ("paper", "exercise", "student", "better", "worse", "metric", "seed", "of", "minus", "difference")


@dataclass(frozen=True)
class PaperKey:
    """What is needed to grade a paper's notebook.

    `arms` gives the experiment of a profile, whose arms are checked; `run` the numbers of the lecturer's own run with
    a submission's seeds, None if it was not trained here.
    """

    exercises: Sequence[Exercise]
    arms: Callable[[str], Results]
    run: Callable[[Submission], Mapping[Cell, float] | None]

    def results(self, submission: Submission) -> tuple[RecordedRun, str]:
        """Return the results to check a submission against, and where they come from."""
        own = self.run(submission)
        numbers, against = (submission.numbers, RECORD) if own is None else (own, OWN_RUN)
        return RecordedRun(self.arms(submission.profile), numbers), against

    def recorded(self, submission: Submission) -> RecordedRun | None:
        """Return the numbers that a notebook recorded, if they are near those of the lecturer's run; else None.

        The same run on another processor, or in another precision, has slightly other scores.
        """
        own, theirs = self.run(submission) or {}, submission.numbers
        near = [abs(own[cell] - theirs[cell]) <= OTHER_MACHINE for cell in set(own) & set(theirs)]
        return RecordedRun(self.arms(submission.profile), theirs) if near and all(near) else None


@dataclass(frozen=True)
class Grade:
    """The grade of one exercise of one student: `misconception` is the feedback on a typical mistake, "" for others."""

    student: str
    paper: str
    exercise: str
    answer: str
    passed: bool
    feedback: str
    misconception: str
    checked_against: str


def grade_submissions(
    submissions: Sequence[Submission], students: Sequence[Student], keys: Mapping[str, PaperKey]
) -> list[Grade]:
    """Grade every exercise of every student; one that was not handed in, or not answered, is not passed."""
    handed_in = {(submission.student, submission.paper): submission for submission in submissions}
    papers = [paper for paper in keys if any(submission.paper == paper for submission in submissions)]
    return [
        grade
        for student in students
        for paper in papers
        for grade in grade_notebook(student.id, paper, handed_in.get((student.id, paper)), keys[paper])
    ]


def grade_notebook(student: str, paper: str, submission: Submission | None, key: PaperKey) -> list[Grade]:
    """Grade the exercises of one notebook."""
    if submission is None:
        return [Grade(student, paper, e.name, "", False, "not handed in", "", "") for e in key.exercises]
    (results, against), recorded = key.results(submission), key.recorded(submission)
    grades = []
    for exercise in key.exercises:
        answer = submission.answers.get(exercise.name)
        if answer is None:
            grades.append(Grade(student, paper, exercise.name, "", False, "no answer", "", ""))
            continue
        feedback, fits = _feedback(exercise, answer.value, results), against
        if feedback and recorded and not _feedback(exercise, answer.value, recorded):
            feedback, fits = "", NEAR_RECORD
        grades.append(
            Grade(
                student,
                paper,
                exercise.name,
                str(answer.value)[:200],
                not feedback,
                feedback,
                misconception_of(exercise, feedback),
                fits if exercise.cells() else ALWAYS,
            )
        )
    return grades


def _feedback(exercise: Exercise, answer: Any, results: Results) -> str:
    """Return what is wrong with an answer, "" if it is right; also if it cannot be checked."""
    try:
        return exercise.problem(answer, results)
    except KitError:
        return "cannot be checked: neither a record of the run in the notebook nor a run with its seeds here"


def misconception_of(exercise: Exercise, feedback: str) -> str:
    """Return the typical mistake that a feedback is about, "" if it is about none.

    >>> from retina_kit.teaching.questions import Mistake, NumberQuestion
    >>> mistake = Mistake(value=2.0, says="That is the sum.")
    >>> words = {"name": "q", "kind": "number", "asks": "?", "hint": "", "because": ""}
    >>> question = NumberQuestion(**words, value=1.0, mistake=(mistake,))
    >>> misconception_of(question, "That is the sum."), misconception_of(question, "3 is not the answer.")
    ('That is the sum.', '')
    """
    return next((says for says in exercise.misconceptions() if says in feedback), "")


def class_scores(
    submissions: Sequence[Submission], students: Sequence[Student], keys: Mapping[str, PaperKey]
) -> list[dict[str, Any]]:
    """Return the class's scores over its seeds: one row per student who ran the own seed and question about two arms.

    The keys are SCORES: `better` is the arm of the score `of`, `worse` that of `minus`.
    """
    seeds = {student.id: student.seed for student in students}
    rows = []
    for submission in submissions:
        for exercise in keys[submission.paper].exercises:
            pair = pair_of(exercise)
            if pair is None or submission.seeds != (seeds[submission.student],):
                continue
            results, _ = keys[submission.paper].results(submission)
            try:
                of, minus = (cell.number(results) for cell in pair)
            except KitError:
                continue
            names = {"better": pair[0].arm, "worse": pair[1].arm, "metric": pair[0].metric}
            about = {"paper": submission.paper, "exercise": exercise.name, "student": submission.student}
            scores = {"seed": submission.seeds[0], "of": of, "minus": minus, "difference": of - minus}
            rows.append(about | names | scores)
    return rows


def pair_of(exercise: Exercise) -> tuple[Cell, Cell] | None:
    """Return the two cells whose difference an exercise asks for, None if it asks for something else."""
    if isinstance(exercise, NumberQuestion) and exercise.of and exercise.minus:
        return exercise.of, exercise.minus
    return None
