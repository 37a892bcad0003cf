"""Whether a notebook must be executed again: what it was made from, and what it wrote."""

import shutil

import pytest

from retina_kit.reporting import up_to_date
from retina_kit.reporting.up_to_date import RECORD, keep_record, made_from, state_of_the_kit, what_changed

PROMISED = ["claims.csv", "tables/table1.csv"]
OPTIONS = {"profile": "lesson", "seeds": None}
KIT = {"the kit": "1", "the installed packages": "2"}


@pytest.fixture
def runs(tmp_path):
    """Two runs in a store."""
    for name in ("one", "two"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "settings.json").write_text(f'{{"arm": "{name}"}}')
    return sorted((tmp_path / "runs").iterdir())


@pytest.fixture
def results(tmp_path, runs):
    """A results folder with its record."""
    folder = tmp_path / "results"
    for name in PROMISED:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("arm,dice\n")
    keep_record(folder, made_from(KIT, OPTIONS, runs))
    return folder


def test_a_folder_is_up_to_date_as_long_as_nothing_changes(results, runs):
    assert what_changed(results, made_from(KIT, OPTIONS, reversed(runs)), PROMISED) == ""


def test_the_first_thing_that_changed_is_named(results, runs):
    assert what_changed(results, made_from(KIT, OPTIONS | {"seeds": [0]}, runs), PROMISED) == "the options"
    assert what_changed(results, made_from(KIT, OPTIONS, runs[:1]), PROMISED) == "the runs"
    (runs[1] / "settings.json").write_text('{"arm": "two", "seconds": 3}')
    assert what_changed(results, made_from(KIT, OPTIONS, runs), PROMISED) == "the runs"


@pytest.mark.parametrize("change", ["delete", "edit", "fail", "promise"])
def test_a_result_that_is_not_what_was_written_is_made_again(results, runs, change):
    promised, expected = list(PROMISED), "tables/table1.csv"
    if change == "delete":
        (results / expected).unlink()
    elif change == "edit":
        (results / expected).write_text("arm,dice\nmine,1.0\n")
    elif change == "fail":
        expected = "notebook.failed.ipynb"
        (results / expected).write_text("{}")
    else:
        expected = "figures/figure9.png"
        promised.append(expected)
    assert what_changed(results, made_from(KIT, OPTIONS, runs), promised) == expected


@pytest.mark.parametrize("record", [None, "", "[]", '{"made_from": 3, "files": {}}', '{"made_from": {}}'])
def test_without_a_readable_record_everything_counts_as_changed(results, runs, record):
    (results / RECORD).unlink()
    if record is not None:
        (results / RECORD).write_text(record)
    assert what_changed(results, made_from(KIT, OPTIONS, runs), PROMISED) == "everything"


def test_what_cannot_be_read_counts_as_changed(results, runs):
    made = made_from(KIT, OPTIONS, runs)
    assert what_changed(results, made_from(None, OPTIONS, runs), PROMISED) == "everything"
    (runs[0] / "settings.json").unlink()
    assert made_from(KIT, OPTIONS, runs) is None
    (results / "claims.csv").unlink()
    (results / "claims.csv").mkdir()
    assert what_changed(results, made, PROMISED) == "claims.csv"


def test_what_a_file_browser_leaves_is_no_result(results, runs):
    made = made_from(KIT, OPTIONS, runs)
    checkpoint = results / ".ipynb_checkpoints" / "notebook-checkpoint.ipynb"
    checkpoint.parent.mkdir()
    checkpoint.write_text("1")
    keep_record(results, made)
    checkpoint.write_text("2")
    assert what_changed(results, made, PROMISED) == ""


def test_an_edit_of_the_kit_or_of_a_notebook_counts_and_what_python_compiles_does_not(tmp_path, monkeypatch):
    kit = tmp_path / "kit"
    names = ("retina_kit/loop.py", "notebooks/01.ipynb", "data_manifests/card.toml")
    for name in names:
        (kit / name).parent.mkdir(parents=True, exist_ok=True)
        (kit / name).write_text("1")
    monkeypatch.setattr(up_to_date, "PACKAGE", kit / "retina_kit")
    monkeypatch.setattr(up_to_date, "kit_root", lambda: kit)
    before = state_of_the_kit()
    for hidden in ("retina_kit/__pycache__/loop.pyc", "notebooks/.ipynb_checkpoints/01.ipynb", "notebooks/photo.png"):
        (kit / hidden).parent.mkdir(exist_ok=True)
        (kit / hidden).write_text("2")
    assert state_of_the_kit() == before
    for name in names:
        (kit / name).write_text("2")
        after = state_of_the_kit()
        assert [part for part in after if after[part] != before[part]] == ["the kit"], name
        before = after
    (kit / "retina_kit" / "training").mkdir()
    shutil.move(kit / "retina_kit" / "loop.py", kit / "retina_kit" / "training" / "loop.py")
    assert state_of_the_kit()["the kit"] != before["the kit"]
