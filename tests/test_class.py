"""A class from its ids to its grades: 30 simulated students, hostile notebooks, exports, notes."""

import errno
import json
import os
import time
import zipfile
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from small_class import FACTS, PAPERS, Simulated, right_answers, write_class
from typer.testing import CliRunner

from retina_kit.cli import app
from retina_kit.errors import DataError, UsageError
from retina_kit.experiment import Experiment
from retina_kit.files import kit_root
from retina_kit.teaching.class_report import GradedClass, write_report
from retina_kit.teaching.copied import Copy, _by_numbers
from retina_kit.teaching.exercises import Checks, read_exercises
from retina_kit.teaching.grading import NEAR_RECORD, OWN_RUN, RECORD, Grade, PaperKey, grade_notebook
from retina_kit.teaching.links import pull_link
from retina_kit.teaching.questions import NumberQuestion
from retina_kit.teaching.submissions import Answer, Submission, collect, read_submission
from retina_kit.teaching.variants import read_students, seed_of

IDS = [f"s{number:02}" for number in range(1, 31)]
NAMES = {paper: [exercise.name for exercise in read_exercises(paper)] for paper in PAPERS}


def run(*arguments):
    """Run a command and return what it printed."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def grade(submissions, variants, output):
    """Grade a class on the command line; return its four tables."""
    run("class", "grade", submissions, "--variants", variants, "--output", output, "--output-root", output / "none")
    return {path.stem: pd.read_csv(path, keep_default_na=False) for path in output.glob("*.csv")}


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """A graded class of 30: (tables, page, seconds of the processor, the wrong answers that were made)."""
    folder = tmp_path_factory.mktemp("class")
    (folder / "ids.csv").write_text("student\n" + "\n".join(IDS) + "\n")
    run("class", "variants", folder / "ids.csv", "--output", folder / "variants")
    wrong = write_class(folder / "variants", folder / "handed_in")
    began = time.process_time()
    tables = grade(folder / "handed_in", folder / "variants" / "variants.csv", folder / "graded")
    seconds = time.process_time() - began
    print(f"graded {len(tables['answers'])} answers in {seconds:.1f} s")
    return tables, (folder / "graded" / "index.html").read_text("utf-8"), seconds, wrong


def test_a_class_of_thirty_is_graded_in_time(graded):
    tables, _, seconds, _ = graded
    assert len(tables["gradebook"]) == 30
    assert len(tables["answers"]) == 30 * sum(map(len, NAMES.values()))
    assert seconds < 300


def test_the_wrong_ones_are_flagged_with_their_misconception_and_nobody_else(graded):
    tables, page, _, wrong = graded
    copiers = set(FACTS["copied"])
    answers = tables["answers"]
    failed = answers[~answers["passed"].astype(str).eq("True") & ~answers["student"].isin(copiers)]
    found = {(row.student, row.paper, row.exercise): row.misconception for row in failed.itertuples()}
    assert found == wrong
    assert all(misconception in page.replace("&#39;", "'").replace("&#34;", '"') for misconception in wrong.values())


def test_the_two_who_copied_are_found_with_their_source_and_nobody_else(graded):
    copies = graded[0]["copies"]
    assert set(zip(copies["student"], copies["other"], strict=True)) == set(FACTS["copied"].items())
    assert set(copies["evidence"]) == {"certain", "likely"}


def test_the_page_teaches_seed_noise_from_the_class_itself(graded):
    tables, page, _, _ = graded
    scores = tables["scores"][tables["scores"]["exercise"] == "gain_of_pretraining"]
    assert len(scores) == 30 - 1  # one handed in another's run
    negative = int((scores["difference"] < 0).sum())
    assert f"{negative} of 29 students would have reported the" in " ".join(page.split())
    assert page.count("<svg") == 4
    assert "http" not in page.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org/ns#", ""
    ).replace("https://matplotlib.org/", "")


def test_a_seed_follows_from_the_id_and_the_course():
    assert seed_of("s01") == seed_of("s01") != seed_of("s02")
    assert seed_of("s01", "2026") != seed_of("s01", "2027")
    assert len({seed_of(f"s{number}") for number in range(300)}) >= 299


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name\ns01\n", "column `student`"),
        ("student\ns01\nS01\n", "occurs 2 times"),
        ("student\n../x\n", "'../x' is not a valid id"),
        ("student\n\n\n", "column `student`, and a line per student"),
        ("student,seed\na,5\nb,5\n", "the seed 5 occurs 2 times"),
        ("student,seed\na,-5\n", "a seed is a whole number"),
    ],
)
def test_a_list_of_students_that_does_not_do_is_refused(tmp_path, text, message):
    (tmp_path / "ids.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_students(tmp_path / "ids.csv")


def test_a_variant_runs_with_the_students_seed(tmp_path):
    (tmp_path / "ids.csv").write_text("student\ns01\n")
    run("class", "variants", tmp_path / "ids.csv", "--output", tmp_path / "v", "--paper", "hu2018")
    (path,) = (tmp_path / "v" / "s01").iterdir()
    notebook = nbformat.read(path, as_version=4)
    (parameters,) = [cell.source for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    assert f"seeds = [{seed_of('s01')}]" in parameters
    assert not [cell for cell in notebook.cells if "solution" in cell.metadata.get("tags", [])]
    nbformat.validate(notebook)


def submitted(*codes, outputs=(), made_for="s01"):
    """Return the bytes of a notebook with code cells."""
    cells = [{"cell_type": "code", "source": code, "outputs": list(outputs), "metadata": {}} for code in codes]
    return json.dumps({"cells": cells, "metadata": {"retina_kit": {"student": made_for, "paper": "hu2018"}}}).encode()


EVIL = 'import os\nos.system("touch {}")\ncheck.ten_percent(7.36)\ncheck.gain_of_pretraining(__import__("os").getpid())'


def test_grading_executes_nothing(tmp_path):
    (tmp_path / "in" / "s01").mkdir(parents=True)
    trace = tmp_path / "was_here"
    (tmp_path / "in" / "s01" / "01_hu2018.ipynb").write_bytes(submitted(EVIL.format(trace)))
    (tmp_path / "ids.csv").write_text("student\ns01\n")
    answers = grade(tmp_path / "in", tmp_path / "ids.csv", tmp_path / "out")["answers"].set_index("exercise")
    assert not trace.exists()
    assert str(answers.loc["ten_percent", "passed"]) == "True"
    assert answers.loc["gain_of_pretraining", "feedback"] == "no answer"


HOSTILE = {
    "no JSON": b"\x00\xff",
    "deep": b"[" * 100_000,
    "a list": b"[]",
    "cells that are none": b'{"cells": [1, null, {"cell_type": "code", "source": 5, "outputs": {"a": 1}}]}',
    "metadata that is none": b'{"cells": [{"cell_type": "code", "metadata": 3, "source": ["check.ten_percent(1)"]}]}',
    "deep code": submitted("check.ten_percent(" + "-" * 15_000 + "1)"),
    "a null byte": submitted("check.ten_percent(\x001)"),
    "a huge number": submitted("check.ten_percent(" + "9" * 5_000 + ")"),
    "infinity": submitted("check.ten_percent(1e999)"),
    "a formula": submitted("check.only_the_start('=HYPERLINK(\"http://x\")')"),
    "markup": submitted("check.only_the_start('<script>alert(1)</script>')"),
    "odd arms": submitted("check.control_for_updates({'name': 'x', 'like': ['a'], 5: {}})"),
    "an exercise that is a list": submitted(
        "check.ten_percent(1)",
        outputs=[{"data": {"application/vnd.retina-kit.answer+json": {"paper": "hu2018", "exercise": ["x"]}}}],
    ),
    "seeds that are none": submitted(
        "check.ten_percent(1)",
        outputs=[{"data": {"application/vnd.retina-kit.answer+json": {"paper": "hu2018", "seeds": [10**40, "x"]}}}],
    ),
    "a huge integer": submitted("check.ten_percent(0x" + "f" * 4000 + ")"),
    "a number of 400 digits": submitted(
        "check.gain_of_pretraining(x)",
        outputs=[
            {"data": {"application/vnd.retina-kit.answer+json": {
                "paper": "hu2018", "exercise": "gain_of_pretraining", "answer": 1, "seeds": [7],
                "numbers": [{"table": "t", "arm": "a", "metric": "m", "column": "c", "value": 10**400}]}}}
        ],
    ),
    "numbers that are none": submitted(
        "check.gain_of_pretraining(x)",
        outputs=[
            {"data": {"application/vnd.retina-kit.answer+json": {
                "paper": "hu2018", "exercise": "gain_of_pretraining", "answer": [[]], "seeds": [-1],
                "numbers": [{"table": "figure2a", "arm": [], "metric": 1, "value": "x"}, 7]}}}
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_notebook_spoils_no_class(tmp_path, content):
    (tmp_path / "in" / "s01").mkdir(parents=True)
    (tmp_path / "in" / "s02").mkdir()
    (tmp_path / "in" / "s01" / "01_hu2018.ipynb").write_bytes(content)
    (tmp_path / "in" / "s02" / "01_hu2018.ipynb").write_bytes(submitted("check.ten_percent(7.36)", made_for="s02"))
    (tmp_path / "ids.csv").write_text("student\ns01\ns02\n")
    tables = grade(tmp_path / "in", tmp_path / "ids.csv", tmp_path / "out")
    assert dict(zip(tables["gradebook"]["student"], tables["gradebook"]["points"], strict=True)) == {"s01": 0, "s02": 1}
    page = (tmp_path / "out" / "index.html").read_text("utf-8")
    assert "<script" not in page
    assert not (tmp_path / "out" / "answers.csv").read_text().count(",=")


def test_archives_are_read_in_memory_and_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr("retina_kit.teaching.submissions.MOST_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "Lee_s01_file.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../01_hu2018.ipynb", submitted("check.ten_percent(7.36)"))
        archive.writestr("bomb.ipynb", b" " * 100_000)
    (tmp_path / "damaged.zip").write_bytes(b"PK\x03\x04 no archive")
    (tmp_path / "link.ipynb").symlink_to("/etc/passwd")
    found, problems = collect(tmp_path, ["s01"], NAMES)
    assert [(submission.student, submission.paper) for submission in found] == [("s01", "hu2018")]
    assert [problem.split(":")[0] for problem in problems] == ["Lee_s01_file.zip", "damaged.zip"]
    assert list(tmp_path.parent.glob("*.ipynb")) == []


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_archive_with_a_damaged_byte_stops_no_grading(tmp_path, method):
    whole = tmp_path / "s01.zip"
    with zipfile.ZipFile(whole, "w", method) as archive:
        archive.writestr("01_hu2018.ipynb", submitted("check.ten_percent(7.36)"))
    content = whole.read_bytes()
    for place in range(len(content)):
        whole.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        found, problems = collect(tmp_path, ["s01"], NAMES)  # raises nothing
        assert len(found) <= 1 and len(problems) <= 1


def test_a_record_stands_in_for_code_and_a_literal_for_a_record():
    experiment = Simulated("hu2018", 7)
    outcome = Checks(experiment).ten_percent(7.36)
    output = {"data": outcome._repr_mimebundle_()}
    computed = submitted("check.ten_percent(0.1 * 92 * 4 / 5)", outputs=[output])
    edited = submitted("check.ten_percent(9.2)", outputs=[output])
    blank = submitted("check.ten_percent(...)", outputs=[output])
    answers = [read_submission("s01/hu2018.ipynb", c, ["s01"], NAMES).answers for c in (computed, edited, blank)]
    assert [(a["ten_percent"].value, a["ten_percent"].source) for a in answers[:2]] == [(7.36, "record"), (9.2, "cell")]
    assert answers[2] == {}


def test_every_paper_has_a_right_answer_that_the_checks_accept():
    for paper in PAPERS:
        experiment = Simulated(paper, 3)
        checks = Checks(experiment)
        for name, answer in right_answers(experiment).items():
            assert getattr(checks, name)(answer).passed, (paper, name)


def test_a_pull_link_opens_the_notebook():
    link = pull_link("https://hub.example.edu", "https://github.com/me/kit.git", "main", "notebooks/01 a.ipynb")
    assert link.endswith("branch=main&urlpath=lab%2Ftree%2Fkit%2Fnotebooks%2F01%20a.ipynb")
    assert "repo=https%3A%2F%2Fgithub.com%2Fme%2Fkit.git" in link
    with pytest.raises(UsageError, match="--repo '' is not an address"):
        pull_link("https://hub.example.edu", "", "main", "x")
    with pytest.raises(UsageError, match="--hub 'javascript:x' is not an address"):
        pull_link("javascript:x", "https://github.com/me/kit", "main", "x")


def test_an_archive_hands_nothing_in_for_somebody_else(tmp_path):
    with zipfile.ZipFile(tmp_path / "Lee_s01_file.zip", "w") as archive:
        archive.writestr("s02/01_hu2018.ipynb", submitted("check.ten_percent(9.2)"))
        archive.writestr("01_hu2018.ipynb", submitted("check.ten_percent(7.36)"))
    found, problems = collect(tmp_path, ["s01", "s02"], NAMES)
    assert [submission.student for submission in found] == ["s01"]
    message = "its path names several students (s01, s02); not graded"
    assert problems == [f"Lee_s01_file.zip/s02/01_hu2018.ipynb: {message}"]


def test_a_file_named_like_another_student_is_not_handed_in_for_that_student(tmp_path):
    (tmp_path / "Alice_s01_file").mkdir()
    (tmp_path / "s02").mkdir()
    planted = submitted("check.ten_percent(9.2)\ncheck.pretraining_alone(0.1)")
    (tmp_path / "Alice_s01_file" / "s02.ipynb").write_bytes(planted)
    (tmp_path / "s02" / "01_hu2018.ipynb").write_bytes(submitted("check.ten_percent(7.36)"))
    found, problems = collect(tmp_path, ["s01", "s02"], NAMES)
    assert [(one.place, one.student) for one in found] == [("s02/01_hu2018.ipynb", "s02")]
    assert len(problems) == 1 and problems[0].startswith("Alice_s01_file/s02.ipynb: ")


def test_ids_of_two_digits_are_not_those_of_the_notebooks(tmp_path):
    for student in ("01", "02"):
        with zipfile.ZipFile(tmp_path / f"{student}.ZIP", "w") as archive:
            archive.writestr("01_localize_then_segment_hu2018.IPYNB", submitted("check.ten_percent(7.36)"))
    found, problems = collect(tmp_path, ["01", "02"], NAMES)
    assert [one.student for one in found] == ["01", "02"] and problems == []


def test_an_archive_in_an_archive_is_reported(tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("s01.zip", b"")
    message = "all.zip/s01.zip: an archive in an archive; unpack the outer one first"
    assert collect(tmp_path, ["s01"], NAMES) == ([], [message])


@pytest.mark.parametrize("code", ["check.ten_percent(answer=7.36)", "check.ten_percent?\ncheck.ten_percent(7.36)"])
def test_an_answer_is_read_however_it_is_written(tmp_path, code):
    (tmp_path / "s01").mkdir()
    (tmp_path / "s01" / "01_hu2018.ipynb").write_bytes(submitted(code))
    (found,) = collect(tmp_path, ["s01"], NAMES)[0]
    assert {name: answer.value for name, answer in found.answers.items()} == {"ten_percent": 7.36}


def test_the_page_for_the_class_names_nobody(tmp_path):
    grade = Grade("s01_ann", "hu2018", "ten_percent", "9.2", False, "no", "a share of all images", "the key")
    row = {"paper": "hu2018", "exercise": "gain", "student": "s01_ann", "better": "a", "worse": "b", "metric": "dice"}
    rows = [row | {"seed": 77001 + k, "of": 0.7, "minus": 0.5 + k / 10, "difference": 0.2 - k / 10} for k in range(2)]
    copy = Copy("s01_ann", "s02_bob", "hu2018", "certain", "the same numbers")
    exercises = {"hu2018": read_exercises("hu2018")}
    graded = GradedClass(exercises, [grade], [copy], rows, ["s01_ann/x.ipynb: damaged"])
    write_report(graded, tmp_path)
    named, shown = ((tmp_path / name).read_text("utf-8") for name in ("index.html", "class.html"))
    for secret in ("s01_ann", "s02_bob", "77001", "Signs of copying", "points"):
        assert secret in named and secret not in shown, secret
    assert "a share of all images" in shown and "With 2 seeds the difference" in shown


def test_a_right_answer_of_another_machine_is_right(tmp_path):
    """The lecturer's run of this seed has slightly other scores than the student's own record."""
    exercise = next(e for e in read_exercises("hu2018") if isinstance(e, NumberQuestion) and e.of and e.minus)
    of, minus = exercise.cells()[:2]

    def grade_of(answer, recorded, own):
        record = Answer(answer, "record", {of: recorded[0], minus: recorded[1]})
        one = Submission("x", "s01", "hu2018", "", (7,), "smoke", {exercise.name: record})
        numbers = None if own is None else {of: own[0], minus: own[1]}
        experiment = Experiment("hu2018", "smoke", output_root=tmp_path)
        key = PaperKey([exercise], lambda profile: experiment, lambda submission: numbers)
        (found,) = grade_notebook("s01", "hu2018", one, key)
        return found.passed, found.checked_against

    assert grade_of(0.0614, (0.7133, 0.6519), (0.710, 0.650)) == (True, NEAR_RECORD)
    assert grade_of(0.06, (0.7133, 0.6519), (0.710, 0.650)) == (True, OWN_RUN)
    assert grade_of(0.3614, (0.9533, 0.5919), (0.710, 0.650))[0] is False, "a record far from the lecturer's run"
    assert grade_of(0.0614, (0.7133, 0.6519), None) == (True, RECORD)


def test_two_networks_that_found_nothing_are_no_sign_of_copying():
    exercise = next(e for e in read_exercises("hu2018") if isinstance(e, NumberQuestion) and e.of and e.minus)
    of, minus = exercise.cells()[:2]

    def signs(first, second):
        record = Answer(0.0, "record", {of: first, minus: second})
        both = [Submission("x", s, "hu2018", "", (k,), "lesson", {exercise.name: record}) for k, s in enumerate("ab")]
        return _by_numbers(both)

    assert signs(0.0, 0.0) == signs(0.7133281, 0.0) == []
    assert len(signs(0.7133281, 0.6519123)) == 1


SETUP = """from small_class import Simulated
from retina_kit.teaching.exercises import Checks
check = Checks(Simulated("hu2018", 7))"""
RIGHT, HANG, CRASH = "check.ten_percent(0.1 * 92 * 4 / 5)", "while True:\n    pass", "import os\nos._exit(1)"
IN_A_KERNEL = {  # student: (cells, how the kernel ends, points)
    "s01": ([SETUP, RIGHT], "", 1),
    "s02": ([SETUP, "check.ten_percent(0.1 * 92)"], "", 0),
    "s03": ([SETUP, RIGHT, HANG], "CellTimeoutError", 1),
    "s04": ([CRASH, RIGHT], "DeadKernelError", 0),
}


def execute(path, cells):
    """Run a submission in a kernel, as a student does, and keep what there is of it; return how the kernel ended."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in cells])
    where = {"metadata": {"path": str(kit_root() / "tests")}}
    client = NotebookClient(
        notebook, resources=where, timeout_func=lambda cell: 2 if cell.source == HANG else 120, startup_timeout=120
    )
    end = ""
    try:
        client.execute(env=os.environ | {"PYTHONPATH": str(kit_root())})
    except (CellTimeoutError, DeadKernelError) as error:
        end = type(error).__name__
    path.parent.mkdir(parents=True)
    nbformat.write(notebook, path)
    return end


@pytest.mark.slow
def test_notebooks_of_real_kernels_are_graded_also_those_that_hung_or_crashed(tmp_path):
    for student, (cells, end, _) in IN_A_KERNEL.items():
        assert execute(tmp_path / "in" / student / "01_hu2018.ipynb", cells) == end
    (tmp_path / "ids.csv").write_text("student,seed\ns01,7\ns02,8\ns03,9\ns04,10\n")
    tables = grade(tmp_path / "in", tmp_path / "ids.csv", tmp_path / "out")
    points = dict(zip(tables["gradebook"]["student"], tables["gradebook"]["points"], strict=True))
    assert points == {student: expected for student, (_, _, expected) in IN_A_KERNEL.items()}
    answers = tables["answers"].set_index(["student", "exercise"])
    assert answers.loc[("s02", "ten_percent"), "misconception"]
    assert answers.loc[("s04", "ten_percent"), "feedback"] == "no answer"


def test_a_notebook_that_cannot_be_read_stops_no_grading(tmp_path, monkeypatch):
    for student in ("s01", "s02"):
        (tmp_path / f"{student}_01_hu2018.ipynb").write_bytes(submitted("check.ten_percent(7.36)"))
    read = Path.read_bytes

    def refuse(path):
        if path.name.startswith("s01"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    found, problems = collect(tmp_path, ["s01", "s02"], NAMES)
    assert [one.student for one in found] == ["s02"]
    assert problems == ["s01_01_hu2018.ipynb: cannot be read (Permission denied)"]
