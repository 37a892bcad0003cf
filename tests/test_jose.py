"""The learning-module checklist of the Journal of Open Source Education, over the files of the repository."""

import re
import tomllib

import pytest
import yaml

from retina_kit import __version__
from retina_kit.files import kit_root
from retina_kit.teaching.exercises import read_exercises, read_notes
from retina_kit.teaching.sessions import read_sessions

ROOT = kit_root()
PAPER = (ROOT / "docs" / "paper" / "paper.md").read_text("utf-8")
BIB = (ROOT / "docs" / "paper" / "paper.bib").read_text("utf-8")
CHECKLIST = (ROOT / "docs" / "paper" / "checklist.md").read_text("utf-8")
ROWS = re.findall(r"^\| (?!item|-)(.+?) \| (\w+) \| (.+?) \|$", CHECKLIST, re.MULTILINE)
ENTRIES = {entry[1]: entry[0] for entry in re.finditer(r"@\w+\{(\w+),.*?\n\}", BIB, re.DOTALL)}
PAPERS = [path.stem for path in (ROOT / "data_manifests" / "published").glob("*.toml")]


def paper_section(title):
    """Return the text of a section of the paper."""
    return PAPER.split(f"\n# {title}\n")[1].split("\n# ")[0].strip()


def field(entry, name):
    """Return a field of an entry of the bibliography, "" if it has none."""
    found = re.search(rf"^  {name} = \{{(.*)\}},?$", ENTRIES[entry], re.MULTILINE)
    return found[1] if found else ""


def test_only_the_classroom_is_open_and_only_the_owners_facts_are_missing():
    states = {item: state for item, state, _ in ROWS}
    assert len(ROWS) == 22
    assert set(states.values()) == {"met", "owner", "open"}
    assert [item for item, state in states.items() if state == "open"] == ["Paper: used in a classroom"]
    assert [item for item, state in states.items() if state == "owner"] == [
        "Repository: source available",
        "Version matches a release",
        "Authorship",
        "Paper: authors and affiliations",
    ]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_what_an_item_names_is_there(row):
    targets = re.findall(r"\]\(([^)]+)\)", row[2])
    assert targets
    assert all((ROOT / "docs" / "paper" / target).exists() for target in targets)


def test_code_is_mit_and_content_cc_by():
    assert (ROOT / "LICENSE").read_text("utf-8").startswith("MIT License")
    content = (ROOT / "notebooks" / "LICENSE").read_text("utf-8")
    assert content.startswith("Attribution 4.0 International")
    assert "Creative Commons Attribution 4.0 International Public License" in content
    assert "Section 8 -- Interpretation." in content
    assert "[CC BY 4.0](notebooks/LICENSE)" in (ROOT / "README.md").read_text("utf-8")


def test_the_community_knows_how_to_contribute_report_and_ask():
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    for part in ("open an issue", "You need help", "pull request", "docs/CODE_OF_CONDUCT.md"):
        assert part in text
    conduct = (ROOT / "docs" / "CODE_OF_CONDUCT.md").read_text("utf-8")
    assert "**Report**" in conduct
    assert "Contributor Covenant" in conduct


def test_every_session_states_its_objectives_and_its_misconception():
    sessions = read_sessions()
    assert [session.number for session in sessions] == [1, 2, 3, 4, 5]
    assert all(session.parts["Goals"].count(".") >= 3 for session in sessions)


@pytest.mark.parametrize("paper", PAPERS)
def test_somebody_else_could_teach_it(paper):
    assert len(read_exercises(paper)) == 5
    assert len(read_notes(paper).answers) >= 4


def test_the_paper_has_what_the_journal_asks_for():
    head = yaml.safe_load(PAPER.split("---")[1])
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert [author["name"] for author in head["authors"]] == [author["name"] for author in cited["authors"]]
    assert {author["affiliation"] for author in head["authors"]} <= {place["index"] for place in head["affiliations"]}
    assert head["bibliography"] == "paper.bib"
    for title in ("Summary", "Statement of need", "Learning objectives", "Content and instructional design",
                  "How to adopt it", "Story and experience of use"):  # fmt: skip
        assert len(paper_section(title).split()) > 50, title
    assert "students of" in paper_section("Statement of need")
    assert "not\nbeen used in a classroom" in paper_section("Story and experience of use")
    assert 250 <= len(PAPER.split()) <= 1500


def test_what_is_cited_is_in_the_bibliography_and_the_other_way_around():
    assert set(re.findall(r"@(\w+)", PAPER)) == set(ENTRIES)
    assert set(PAPERS) <= set(ENTRIES)


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_reference_has_its_doi_or_says_why_not(entry):
    doi = field(entry, "doi")
    assert re.fullmatch(r"10\.\d{4,5}/\S+", doi) or "DOI" in field(entry, "note")
    assert field(entry, "author")
    assert field(entry, "year")


@pytest.mark.parametrize("paper", PAPERS)
def test_a_reproduced_paper_is_cited_with_all_authors_that_are_known(paper):
    published = tomllib.loads((ROOT / "data_manifests" / "published" / f"{paper}.toml").read_text("utf-8"))["paper"]
    known = [name for name in published["authors"] if name != "et al."]
    assert len(field(paper, "author").split(" and ")) == len(published["authors"])
    assert ("et al." in published["authors"]) == ("names no further author" in field(paper, "note"))
    assert published.get("doi", field(paper, "doi")).lower() == field(paper, "doi").lower()
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))["references"]
    (reference,) = [work for work in cited if work["title"].lower() == published["title"].lower()]
    assert [author["family-names"] for author in reference["authors"] if "family-names" in author] == [
        name.split()[-1] for name in known
    ]


def test_all_files_name_one_version_so_that_a_tag_makes_the_release():
    released = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)[1]
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))["version"]
    shown = re.search(r"version = \{(\S+)\}", (ROOT / "README.md").read_text("utf-8"))[1]
    assert {released, cited, shown} == {__version__}


def test_a_pilot_can_begin():
    pilot = (ROOT / "docs" / "paper" / "pilot.md").read_text("utf-8")
    assert pilot.count("\n## ") == 4
    assert len(re.findall(r"^\d\. ", pilot, re.MULTILINE)) >= 15
