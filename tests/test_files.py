"""A file is the old one or the new one, whatever happens while it is written."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from retina_kit import files
from retina_kit.errors import DataError, SetupError
from retina_kit.files import atomic_path, check_writable, kit_root, remove_remains


def names_in(folder):
    """Return the sorted names in a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_only_when_it_is_whole(tmp_path):
    target = tmp_path / "deep" / "table.csv"
    with atomic_path(target) as path:
        path.write_text("half")
        assert not target.exists()
        assert path.suffix == ".csv"  # writers that look at the suffix still know the format
    assert target.read_text() == "half"
    assert names_in(target.parent) == ["table.csv"]


def test_a_failure_leaves_what_was_there(tmp_path):
    target = tmp_path / "table.csv"
    target.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_path(target) as path:
        path.write_text("new")
        raise ZeroDivisionError
    assert target.read_text() == "old"
    assert names_in(tmp_path) == ["table.csv"]


def test_a_folder_takes_the_place_of_an_older_one(tmp_path):
    for content in ("old", "new"):
        with atomic_path(tmp_path / "run") as folder:
            folder.mkdir()
            (folder / content).touch()
    assert names_in(tmp_path) == ["run"]
    assert names_in(tmp_path / "run") == ["new"]


def test_a_half_written_folder_is_removed(tmp_path):
    with pytest.raises(ZeroDivisionError), atomic_path(tmp_path / "run") as folder:
        folder.mkdir()
        (folder / "scores.csv").touch()
        raise ZeroDivisionError
    assert names_in(tmp_path) == []


def test_a_full_disk_is_one_message(tmp_path):
    message = r"cannot write .*table\.csv: No space left.*free some space"
    with pytest.raises(SetupError, match=message), atomic_path(tmp_path / "table.csv"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("below", ["out.csv", "deep/out.csv"])
def test_a_parent_that_is_a_file_is_named(tmp_path, below):
    (tmp_path / "file").write_text("mine")
    target = tmp_path / "file" / below
    with pytest.raises(SetupError, match="is not a directory") as caught, atomic_path(target) as path:
        path.write_text("never")
    assert caught.value.exit_code == 5
    assert (tmp_path / "file").read_text() == "mine"


def test_a_kill_while_writing_leaves_the_old_file(tmp_path):
    (tmp_path / "table.csv").write_text("old")
    code = (
        "import os, signal, sys; from retina_kit.files import atomic_path\n"
        "with atomic_path(sys.argv[1]) as path:\n"
        "    path.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "table.csv")], check=False)
    assert done.returncode == -9
    assert (tmp_path / "table.csv").read_text() == "old"


def test_the_kit_finds_its_own_files():
    assert (kit_root() / "data_manifests" / "stare.toml").is_file()


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    target = tmp_path / "table.csv"
    code = "import os, sys; from retina_kit.files import atomic_path\nwith atomic_path(sys.argv[1]) as path:\n"
    code += "    path.write_text('half'); os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", code, str(target)], check=False).returncode == -9
    others = [".other.csv", ".table.elsewhere.1.abcd.part.csv"]  # another file, and what another machine writes
    for name in others:
        (tmp_path / name).touch()
    with atomic_path(target) as mine:
        mine.write_text("new")
        assert len(names_in(tmp_path)) == 4
        remove_remains(target)
        assert names_in(tmp_path) == sorted([*others, mine.name])
    assert names_in(tmp_path) == sorted([*others, "table.csv"])


def test_an_installed_kit_finds_its_notebooks_inside_the_package(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "PACKAGE", tmp_path / "site-packages" / "retina_kit")
    with pytest.raises(SetupError, match="install the kit again"):
        kit_root()
    (files.PACKAGE / "share" / "data_manifests").mkdir(parents=True)
    assert kit_root() == files.PACKAGE / "share"


def test_a_folder_that_cannot_be_replaced_is_still_there(tmp_path, monkeypatch):
    old = tmp_path / "run"
    old.mkdir()
    (old / "scores.csv").write_text("old")
    rename = Path.rename

    def fail_for_the_new_one(self, target):
        if self.name.endswith(".part"):
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_for_the_new_one)
    with pytest.raises(SetupError, match="Input/output error"), atomic_path(old) as new:
        new.mkdir()
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert (old / "scores.csv").read_text() == "old"


def test_processes_that_look_at_one_folder_at_once_do_not_fail_each_other(tmp_path):
    code = "import sys; from retina_kit.files import check_writable\nfor _ in range(2000): check_writable(sys.argv[1])"
    begun = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(3)]
    assert [process.wait() for process in begun] == [0, 0, 0]
    check_writable(tmp_path)
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("what", ["missing", "folder"])
def test_a_file_that_cannot_be_read_while_another_is_written_is_named(tmp_path, what):
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match=f"{what} cannot be read: ") as caught, atomic_path(tmp_path / "out") as path:
        path.mkdir()
        (tmp_path / what).read_bytes()
    assert caught.value.exit_code == 3
    assert names_in(tmp_path) == ["folder"]


def test_a_file_that_cannot_be_written_is_no_fault_of_the_data(tmp_path):
    with pytest.raises(SetupError, match=r"cannot write .*out"), atomic_path(tmp_path / "out") as path:
        (path / "missing" / "scores.csv").write_text("arm")


@pytest.mark.parametrize("name", [".", ".."])
def test_a_folder_given_as_a_dot_is_not_taken_for_a_file(tmp_path, monkeypatch, name):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    meant = (here / name).resolve()
    message = f"cannot write {meant}: .*it is a folder; name a file"
    with pytest.raises(SetupError, match=message), atomic_path(name) as path:
        path.write_text("new")
    assert here.is_dir()
    with pytest.raises(SetupError, match="root of the file system"), atomic_path("/"):
        pass
