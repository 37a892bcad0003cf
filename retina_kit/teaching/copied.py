"""Finds copied notebooks and numbers: every student's run has a seed of its own, so no two have the same scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from retina_kit.errors import KitError
from retina_kit.teaching.grading import Grade, PaperKey
from retina_kit.teaching.questions import NumberQuestion, as_number
from retina_kit.teaching.submissions import Submission
from retina_kit.teaching.variants import Student

SAME_NUMBERS = 2  # so many different scores that agree in every digit are no coincidence
MOST_CHANCE = 0.05  # an agreement that is more likely by chance is not reported


@dataclass(frozen=True)
class Copy:
    """A sign that a student's numbers are another's: `evidence` is "certain" or "likely", `why` names the numbers."""

    student: str
    other: str
    paper: str
    evidence: str
    why: str


def find_copies(
    submissions: Sequence[Submission],
    students: Sequence[Student],
    grades: Sequence[Grade],
    keys: Mapping[str, PaperKey],
) -> list[Copy]:
    """List the signs of copying; to be looked at and talked about, not to be punished unread.

    Certain: the notebook was made for another student, was run with another's seed, or has scores of its run that are
    identical to another's in every digit. Likely: a wrong number that is, to every digit that was typed, the right one
    of another student; how likely that is by chance is stated.
    """
    owner = {student.seed: student.id for student in students}
    copies = [copy for submission in submissions for copy in _by_origin(submission, owner)]
    known = {(copy.student, copy.other, copy.paper) for copy in copies}
    for copy in [*_by_numbers(submissions), *_by_answers(submissions, grades, keys)]:
        if not {(copy.student, copy.other, copy.paper), (copy.other, copy.student, copy.paper)} & known:
            copies.append(copy)
    return copies


def _by_origin(submission: Submission, owner: Mapping[int, str]) -> list[Copy]:
    """Return the sign that a notebook was made for somebody else, or run with somebody else's seed."""
    student, reasons = submission.student, {}
    if submission.made_for and submission.made_for != student and submission.made_for in owner.values():
        reasons[submission.made_for] = "the notebook was made for this student"
    for seed in submission.seeds:
        other = owner.get(seed, student)
        if other != student:
            before = f"{reasons[other]}, and " if other in reasons else ""
            reasons[other] = f"{before}run with this student's seed, {seed}"
    return [Copy(student, other, submission.paper, "certain", why) for other, why in reasons.items()]


def _by_numbers(submissions: Sequence[Submission]) -> list[Copy]:
    """Return the pairs with identical scores although each notebook claims its own seed."""
    found = []
    for place, first in enumerate(submissions):
        for second in submissions[place + 1 :]:
            if first.paper != second.paper or first.student == second.student or first.seeds == second.seeds:
                continue
            shared = set(first.numbers) & set(second.numbers)
            same = [cell for cell in shared if first.numbers[cell] == second.numbers[cell]]
            telling = {first.numbers[cell] for cell in same if has_many_digits(first.numbers[cell])}
            if len(telling) >= SAME_NUMBERS and len(same) == len(shared):
                why = f"{len(same)} scores of the run are identical in every digit; one of the two is not the own run's"
                found.append(Copy(first.student, second.student, first.paper, "certain", why))
    return found


def has_many_digits(number: float) -> bool:
    """Tell whether two networks do not have a score by chance, as they may have 0, 1 or 0.5.

    >>> has_many_digits(0.7133281), has_many_digits(0.0), has_many_digits(0.25)
    (True, False, False)
    """
    return len(f"{number!r}".partition(".")[2]) > 6


def _by_answers(submissions: Sequence[Submission], grades: Sequence[Grade], keys: Mapping[str, PaperKey]) -> list[Copy]:
    """Return the wrong numbers that are another student's right ones."""
    wrong = {(grade.student, grade.paper, grade.exercise) for grade in grades if not grade.passed}
    found = []
    for paper, key in keys.items():
        of_paper = [submission for submission in submissions if submission.paper == paper]
        for exercise in key.exercises:
            if not isinstance(exercise, NumberQuestion) or not exercise.of:
                continue
            right = _right_numbers(exercise, of_paper, key)
            for submission in of_paper:
                if (submission.student, paper, exercise.name) in wrong:
                    found += _same_as(exercise, submission, right)
    return found


def _same_as(exercise: NumberQuestion, submission: Submission, right: Mapping[str, float]) -> list[Copy]:
    """Return whose right number a wrong answer is, to every digit that was typed, unless chance would do that, too."""
    answer = submission.answers.get(exercise.name)
    number = as_number(answer.value) if answer else None
    others = {student: value for student, value in right.items() if student != submission.student}
    if number is None or not others:
        return []
    half = 0.5 * 10.0 ** -len(f"{number!r}".partition(".")[2]) + 1e-12
    spread = max(right.values()) - min(right.values())
    chance = min(1.0, len(others) * 2 * half / spread) if spread else 1.0
    why = (
        f"{exercise.name}: {number} is this student's number, not the own run's; "
        f"by chance in {max(chance, 1e-4):.1%} of such wrong answers"
    )
    return [
        Copy(submission.student, other, submission.paper, "likely", why)
        for other, value in others.items()
        if abs(value - number) <= half and chance < MOST_CHANCE
    ]


def _right_numbers(exercise: NumberQuestion, submissions: Sequence[Submission], key: PaperKey) -> dict[str, float]:
    """Return {student: the right number of the student's own run} as far as it is known."""
    found = {}
    for submission in submissions:
        results, _ = key.results(submission)
        try:
            of = exercise.of.number(results) if exercise.of else 0.0
            found[submission.student] = exercise.factor * (
                of - (exercise.minus.number(results) if exercise.minus else 0)
            )
        except KitError:
            continue
    return found
