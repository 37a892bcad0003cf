"""Answer key, lecturer's notes and handout of each session."""

import re
import sys

import pytest

from retina_kit.errors import DataError
from retina_kit.files import kit_root
from retina_kit.reporting.timing import read_timing, time_of_paper
from retina_kit.teaching.course import sources
from retina_kit.teaching.exercises import read_exercises, read_notes
from retina_kit.teaching.lesson_pages import key_page, opening_of, solutions_of, write_pages
from retina_kit.teaching.sessions import read_schedule, read_sessions

sys.path.insert(0, str(kit_root()))
from benchmarks.lab import CHROMIUM, FLAGS

PAPERS = {path.stem.split("_")[-1]: path for path in sources()}


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """All pages of the course: {name: HTML}."""
    return {path.stem: path.read_text("utf-8") for path in write_pages(PAPERS, tmp_path_factory.mktemp("notes"))}


def test_every_session_has_its_pages(pages):
    assert sorted(pages) == sorted(
        [f"{kind}_0{number}" for kind in ("handout", "key", "notes") for number in (1, 2, 3, 4)] + ["notes_05"]
    )
    assert not [name for name, page in pages.items() if re.search(r'(src|href)="http|<script', page)]


@pytest.mark.parametrize("paper", PAPERS)
def test_every_question_for_discussion_has_an_expected_answer(paper):
    (session,) = [session for session in read_sessions() if PAPERS[paper].stem.startswith(f"{session.notebook}_")]
    notes = read_notes(paper)
    assert len(session.questions) == len(notes.answers) >= 4
    assert len(notes.points) >= 3


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_handout_gives_no_answer_away(pages, number):
    path = list(PAPERS.values())[number - 1]
    for exercise in read_exercises(path.stem.split("_")[-1]):
        assert exercise.because not in pages[f"handout_0{number}"]
        assert exercise.because.split("`")[0][:30].replace("'", "&#39;")[:25] in pages[f"key_0{number}"].replace(
            "'", "&#39;"
        )
    assert pages[f"handout_0{number}"].count('<div class="lines">') == 2
    assert "data = " not in pages[f"handout_0{number}"]  # only the guess itself, not what follows in that cell


def test_a_key_shows_answer_feedback_and_code():
    (session,) = [session for session in read_sessions() if session.number == 4]
    _, text = key_page(session, "huang2023", solutions_of(PAPERS["huang2023"]))
    assert "**Answer.** `fcn_scratch`" in text
    assert "**Answer.** 62.34, ± 0.05" in text
    assert "in *this run*, `fcn_stare` (table1, dice) minus `fcn_scratch` (table1, dice), ± 0.0011" in text
    assert "| 0.6234 | Right, but the question asks for percent. |" in text
    assert "then like `fcn_stare`, with `start.parent` = the arm before" in text


def test_the_opening_of_a_notebook_is_read_by_its_names():
    for path in PAPERS.values():
        assert {"The question", "The claim", "Your guess, before any result"} <= set(opening_of(path))


PAGE = """# A course
**Every session, 90 minutes.**

| minutes | what |
|---|---|
| 0-10 | guess |

## Session 1 · Localize · notebook 01
**Goals.** Do this. Do
that.
**The misconception.** "No."
**Discuss.** 1. Why? 2. How, in
30 words?
## Terms
**Take care.** Not a session.
"""


def test_a_course_page_is_read(tmp_path):
    (tmp_path / "page.md").write_text(PAGE)
    (session,) = read_sessions(tmp_path / "page.md")
    assert (session.number, session.title, session.notebook) == (1, "Localize", "01")
    assert session.parts["Goals"] == "Do this. Do that."
    assert session.questions == ["Why?", "How, in 30 words?"]
    assert "Take care" not in session.parts
    assert read_schedule(tmp_path / "page.md").splitlines()[-1] == "| 0-10 | guess |"
    (tmp_path / "page.md").write_text(PAGE.replace("**Goals.**", "Goals:"))
    with pytest.raises(DataError, match=r"session 1 .* no paragraph \*\*Goals"):
        read_sessions(tmp_path / "page.md")


@pytest.mark.browser
def test_a_handout_is_one_page_of_paper(pages, tmp_path):
    if not CHROMIUM:
        pytest.skip("no Chromium is installed (Debian: apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        page = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS).new_page()
        for name, text in pages.items():
            page.set_content(text)
            sheets = len(re.findall(rb"/Type\s*/Page\b", page.pdf(prefer_css_page_size=True)))
            assert sheets == 1 if name.startswith("handout") else sheets <= 3, name


@pytest.mark.parametrize("paper", PAPERS)
def test_the_minutes_of_the_notes_are_those_of_the_readme(paper):
    measured = read_timing()
    assert {timing.precision for timing in measured} >= {"float32", "bfloat16"}
    for timing in measured:
        assert f"{timing.minutes[paper]:g} minutes in {timing.precision}" in time_of_paper(paper)
        assert sum(timing.minutes.values()) == pytest.approx(timing.all_papers, rel=0.2)
    *_, row = [
        line for line in (kit_root() / "README.md").read_text("utf-8").splitlines() if f"_{paper}.ipynb) | " in line
    ]
    assert row.endswith("| " + " | ".join(f"{timing.minutes[paper]:g}" for timing in measured) + " |")


def test_a_wrong_field_of_the_minutes_is_named(tmp_path):
    (tmp_path / "timing.toml").write_text('[[measured]]\nprecision = "float32"\nprocesor = "x"\n')
    with pytest.raises(DataError, match=r"timing\.toml: .*procesor"):
        read_timing(tmp_path / "timing.toml")
