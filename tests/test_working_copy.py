"""JupyterLab opens copies: the kit's own notebooks stay as they are, and so does what a student wrote."""

import os
import stat

import pytest
import typer
from typer.testing import CliRunner

from retina_kit import notebook_commands, working_copy
from retina_kit.cli import app
from retina_kit.errors import SetupError
from retina_kit.working_copy import FOLDER, make_working_copy, rooted, starting_folder, writable_home


@pytest.fixture
def kit(tmp_path, monkeypatch):
    """A kit with two notebooks, the first of them read-only."""
    notebooks = tmp_path / "kit" / "notebooks"
    notebooks.mkdir(parents=True)
    for name in ("01_first.ipynb", "02_second.ipynb", "01_first.py"):
        (notebooks / name).write_text(f"{name}, original")
    (notebooks / "01_first.ipynb").chmod(0o444)
    monkeypatch.setattr(working_copy, "kit_root", lambda: notebooks.parent)
    return notebooks


def contents(folder):
    return {path.name: path.read_text() for path in folder.glob("*.ipynb")}


def test_notebooks_are_copied_without_their_sources_and_can_be_written_to(kit, tmp_path):
    folder, outdated = make_working_copy(tmp_path)
    assert (folder, outdated) == (tmp_path / FOLDER, [])
    assert contents(folder) == contents(kit)
    assert not list(folder.glob("*.py"))
    assert (folder / "01_first.ipynb").stat().st_mode & stat.S_IWUSR


def test_what_a_student_wrote_stays_and_the_rest_follows_the_kit(kit, tmp_path):
    folder, _ = make_working_copy(tmp_path)
    (folder / "01_first.ipynb").write_text("solved")
    for _ in range(2):
        assert make_working_copy(tmp_path) == (folder, [])
    for name in ("01_first.ipynb", "02_second.ipynb"):
        (kit / name).unlink()
        (kit / name).write_text(f"{name}, improved")
    for _ in range(2):
        assert make_working_copy(tmp_path) == (folder, ["01_first.ipynb"])
        assert contents(folder) == {"01_first.ipynb": "solved", "02_second.ipynb": "02_second.ipynb, improved"}
    (folder / "01_first.ipynb").rename(folder / "mine.ipynb")
    assert make_working_copy(tmp_path) == (folder, [])
    assert contents(folder)["01_first.ipynb"] == "01_first.ipynb, improved"


@pytest.mark.parametrize("damaged", ["", "[]", "{"])
def test_a_damaged_record_overwrites_nothing(kit, tmp_path, damaged):
    folder, _ = make_working_copy(tmp_path)
    (folder / "01_first.ipynb").write_text("solved")
    (folder / working_copy.ORIGINALS).write_text(damaged)
    make_working_copy(tmp_path)
    assert contents(folder)["01_first.ipynb"] == "solved"


def test_a_folder_that_cannot_be_written_to_is_named(kit, tmp_path):
    (tmp_path / FOLDER).write_text("a file")
    with pytest.raises(SetupError, match=FOLDER):
        make_working_copy(tmp_path)


def test_results_of_a_notebook_are_next_to_those_of_the_command_line(kit, tmp_path, monkeypatch):
    folder, _ = make_working_copy(tmp_path)
    monkeypatch.chdir(folder)
    assert starting_folder() == tmp_path
    assert rooted("outputs") == tmp_path / "outputs"
    assert rooted(tmp_path / "elsewhere") == tmp_path / "elsewhere"
    monkeypatch.chdir(kit)
    assert rooted("outputs") == kit.parent / "outputs"
    monkeypatch.chdir(tmp_path)
    assert str(rooted("outputs")) == "outputs"


@pytest.mark.parametrize("home", ["missing", "file/below"])
def test_without_a_home_jupyter_writes_to_a_folder_that_is_removed(tmp_path, monkeypatch, home):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / home))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / home))
    monkeypatch.setenv("IPYTHONDIR", "chosen")
    monkeypatch.delenv("JUPYTER_RUNTIME_DIR", raising=False)
    with writable_home():
        place = os.environ["JUPYTER_RUNTIME_DIR"]
        os.makedirs(place)  # noqa: PTH103
        assert os.environ["IPYTHONDIR"] == "chosen"
    assert not os.path.exists(place)  # noqa: PTH110
    assert "JUPYTER_RUNTIME_DIR" not in os.environ


def test_with_a_home_nothing_moves(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    before = dict(os.environ)
    with writable_home():
        assert dict(os.environ) == before


def test_jupyterlab_opens_the_first_notebook(tmp_path, monkeypatch):
    """The command that `lab` starts."""
    started = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(notebook_commands.subprocess, "call", lambda command: started.append(command) or 0)
    with pytest.raises(typer.Exit):
        notebook_commands.lab(folder=None, port=8888, ip="127.0.0.1", browser=False)
    assert "--LabApp.default_url=/lab/tree/01_localize_then_segment_hu2018.ipynb" in started[0]


def test_every_command_looks_where_the_copied_notebooks_write(tmp_path, monkeypatch):
    folder = tmp_path / FOLDER
    folder.mkdir()
    monkeypatch.chdir(folder)
    leftover = tmp_path / "outputs" / "runs" / ".unfinished" / "aa"
    leftover.mkdir(parents=True)
    done = CliRunner().invoke(app, ["store", "clean", "--json"])
    assert done.exit_code == 0 and str(leftover) in done.stdout and not leftover.exists()
