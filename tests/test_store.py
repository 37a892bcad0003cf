"""The run store gives back what was put in, notices what was damaged, and lets nothing strange in."""

import concurrent.futures
import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile

import filelock
import pandas as pd
import pytest
import torch

from retina_kit.errors import DataError, SetupError
from retina_kit.runs import store as store_module
from retina_kit.runs.deciding_code import code_version, meaning_of
from retina_kit.runs.exchange import export_runs, import_runs
from retina_kit.runs.store import RunStore, canonical_hash
from tests.small_command import command_line

HISTORY = pd.DataFrame({"step": [1, 2], "loss": [0.5, 0.25]})
SCORES = pd.DataFrame({"id": ["01", "02"], "patient": ["1", "1"], "tp": [3, 0], "dice": [0.75, float("nan")]})
WEIGHTS = {"head.weight": torch.arange(6.0).reshape(2, 3), "head.count": torch.tensor(7)}


def put(store, **description):
    """Write a small run of that description and return its hash."""
    key = canonical_hash(description)
    settings = {"description": description, "arm": "small", "seconds": 0.1, "device": "CPU"}
    store.write(key, settings, HISTORY, SCORES, WEIGHTS)
    return key


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "runs")


def test_a_patient_called_na_is_a_patient(store):
    key = canonical_hash({"seed": 7})
    settings = {"description": {"seed": 7}, "arm": "small", "seconds": 0.1, "device": "CPU"}
    store.write(key, settings, HISTORY, SCORES.assign(patient="NA"), WEIGHTS)
    assert set(store.find(key).scores["patient"]) == {"NA"}


def test_what_was_written_is_found(store):
    run = store.find(put(store, seed=0))
    pd.testing.assert_frame_equal(run.scores, SCORES)  # ids keep their zeros
    pd.testing.assert_frame_equal(run.history, HISTORY)
    assert {name: tensor.tolist() for name, tensor in run.weights().items()} == {
        "head.weight": [[0, 1, 2], [3, 4, 5]],
        "head.count": 7,
    }
    assert run.settings["arm"] == "small"
    assert run.problems() == []
    assert store.find("0" * 16) is None


def test_a_best_reading_has_weights_of_its_own(store):
    best = {name: tensor + 1 for name, tensor in WEIGHTS.items()}
    run = store.write("a" * 16, {}, HISTORY, SCORES, WEIGHTS, best)
    assert run.weights("best")["head.count"] == 8
    assert run.weights("last")["head.count"] == 7


def test_writing_a_run_forgets_its_checkpoint(store):
    key = canonical_hash({"seed": 0})
    store.unfinished(key).mkdir(parents=True)
    (store.unfinished(key) / "checkpoint.safetensors").touch()
    put(store, seed=0)
    assert not store.unfinished(key).exists()


@pytest.mark.parametrize("name", ["scores.csv", "history.csv", "weights.safetensors"])
def test_a_damaged_entry_is_set_aside_and_said(store, capsys, name):
    key = put(store, seed=0)
    path = store.folder / key / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert "does not match" in store.verify()[key][0]
    assert store.find(key) is None
    assert f"{name} does not match its checksum; set aside" in capsys.readouterr().err
    assert not (store.folder / key).exists()
    assert len(list((store.folder / ".set_aside").iterdir())) == 1
    assert store.runs() == []


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", '{"arm": 3}', '{"files": 3}'])
def test_settings_that_are_no_settings_are_set_aside(store, text):
    key = put(store, seed=0)
    (store.folder / key / "settings.json").write_text(text)
    assert "cannot be read" in store.verify()[key][0]
    assert store.find(key) is None


def test_a_file_changed_after_finding_is_not_read(store):
    run = store.find(put(store, seed=0))
    (run.folder / "scores.csv").write_text("id,patient,dice\n01,1,1.0\n")
    with pytest.raises(DataError, match=r"scores\.csv is damaged"):
        _ = run.scores


@pytest.mark.parametrize("weights", [True, False])
def test_runs_travel_from_store_to_store(store, tmp_path, weights):
    keys = {put(store, seed=seed) for seed in (0, 1)}
    assert export_runs(store, tmp_path / "runs.zip", weights=weights) == 2
    other = RunStore(tmp_path / "other")
    assert import_runs(other, tmp_path / "runs.zip") == 2
    assert import_runs(other, tmp_path / "runs.zip") == 0  # they are there already
    assert {run.folder.name for run in other.runs()} == keys
    run = other.find(min(keys))
    pd.testing.assert_frame_equal(run.scores, SCORES)
    if weights:
        assert run.weights()["head.count"] == 7
    else:
        with pytest.raises(DataError, match="left out of an export"):
            run.weights()


def repack(source, target, change):
    """Copy a zip file with its members {name: content} changed by `change`."""
    with zipfile.ZipFile(source) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def climb(members):
    members["../../evil.csv"] = b"evil"


def climb_below_a_run(members):
    members[f"{'0' * 16}/../../evil.csv"] = b"evil"


def go_absolute(members):
    members["/tmp/evil.csv"] = b"evil"


def flip_a_bit(members):
    name = next(name for name in members if name.endswith("scores.csv"))
    members[name] = members[name].replace(b"0.75", b"0.95")


def drop_the_scores(members):
    del members[next(name for name in members if name.endswith("scores.csv"))]


def drop_the_settings(members):
    del members[next(name for name in members if name.endswith("settings.json"))]


def break_the_settings(members):
    members[next(name for name in members if name.endswith("settings.json"))] = b"{"


def point_elsewhere(members):
    name = next(name for name in members if name.endswith("settings.json"))
    settings = json.loads(members[name])
    settings["files"]["../../secret"] = "0" * 64
    members[name] = json.dumps(settings).encode()


def take_another_name(members):
    for name in list(members):
        members[f"{'b' * 16}/{name.split('/')[1]}"] = members.pop(name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (climb, "not part of a run store"),
        (climb_below_a_run, "not part of a run store"),
        (go_absolute, "not part of a run store"),
        (flip_a_bit, r"scores\.csv does not match"),
        (drop_the_scores, r"scores\.csv is missing"),
        (drop_the_settings, r"settings\.json is missing"),
        (break_the_settings, r"settings\.json cannot be read"),
        (point_elsewhere, r"\.\./\.\./secret"),
        (take_another_name, "another hash"),
    ],
)
def test_a_hostile_or_damaged_export_is_refused(store, tmp_path, change, message):
    put(store, seed=0)
    export_runs(store, tmp_path / "good.zip")
    repack(tmp_path / "good.zip", tmp_path / "bad.zip", change)
    other = RunStore(tmp_path / "house" / "other")
    with pytest.raises(DataError, match=message):
        import_runs(other, tmp_path / "bad.zip")
    assert other.runs() == []
    assert not list(tmp_path.rglob("evil*"))
    assert not list(tmp_path.rglob("*.part"))


def test_a_file_that_is_no_zip_is_refused(store, tmp_path):
    (tmp_path / "runs.zip").write_text("no zip")
    for name in ("runs.zip", "missing.zip"):
        with pytest.raises(DataError, match=name):
            import_runs(store, tmp_path / name)


def test_clean_removes_leftovers_and_keeps_runs(store):
    key = put(store, seed=0)
    for name in (".unfinished/aa", ".set_aside/bb", ".synthetic/cc.npz", f".{key}.1.ff.part", ".cc.ff.old"):
        (store.folder / name).mkdir(parents=True)
    (store.folder / ".unfinished" / "stray").touch()
    assert len(store.clean()) == 6
    assert [run.folder.name for run in store.runs()] == [key]
    assert store.clean() == []


def test_forgotten_runs_are_gone(store):
    key = put(store, seed=0)
    store.forget([key])
    assert store.find(key) is None


def test_the_hash_ignores_the_order_of_keys_and_nothing_else():
    assert canonical_hash({"a": 1, "b": {"c": 2, "d": 3}}) == canonical_hash({"b": {"d": 3, "c": 2}, "a": 1})
    assert canonical_hash({"a": [1, 2]}) != canonical_hash({"a": [2, 1]})
    assert canonical_hash({"seed": 0}) != canonical_hash({"seed": 1})
    assert len(canonical_hash({})) == 16


def test_the_code_version_ignores_docstrings_comments_and_layout():
    plain = "def f(x):\n    return x + 1\n"
    told = '"""A module."""\n\ndef f(x):  # adds\n    """Return x and one."""\n\n    return (x + 1)\n'
    assert meaning_of('"""B."""\n' + plain.replace("    return", '    "Doc."\n    return')) == meaning_of(told)
    assert meaning_of(plain) != meaning_of(plain.replace("+ 1", "+ 2"))
    assert len(code_version()) == 16


def test_a_full_disk_leaves_nothing_half_written(small_disk):
    store = RunStore(small_disk / "runs")
    key = put(store, seed=0)
    large = {"weights": torch.zeros(100_000)}
    with pytest.raises(SetupError, match=r"cannot write .*No space left"):
        store.write("c" * 16, {}, HISTORY, SCORES, large)
    assert [path.name for path in store.folder.iterdir()] == [key]
    assert shutil.disk_usage(small_disk).free > 100_000
    assert store.verify() == {key: []}


# ---- several batches on one store ------------------------------------------------------------------------------------
def test_who_trains_a_run_is_known_and_is_not_disturbed(store):
    key = put(store, seed=0)
    assert not store.is_locked(key)
    other = RunStore(store.folder)
    with store.lock(key):
        assert other.is_locked(key)
        other.forget([key])  # --fresh of another batch: what is being trained now is fresh by itself
        assert store.find(key)
    other.forget([key])
    assert store.find(key) is None
    assert [path.name for path in store.folder.iterdir()] == [".locks"]


def test_weights_may_be_read_by_whom_the_umask_lets(store):
    run = store.find(put(store, seed=0))
    assert {oct(path.stat().st_mode & 0o777) for path in run.folder.iterdir()} == {oct(0o666 & ~current_umask())}


def current_umask():
    """Return the umask of this process."""
    umask = os.umask(0)
    os.umask(umask)
    return umask


def test_an_export_whose_weights_are_no_tensors_is_refused(store, tmp_path):
    put(store, seed=0)
    export_runs(store, tmp_path / "good.zip")

    def disguise(members):
        name = next(name for name in members if name.endswith("weights.safetensors"))
        members[name] = b"\x80\x04cos\nsystem\n(S'touch harm'\ntR."
        settings = next(name for name in members if name.endswith("settings.json"))
        content = json.loads(members[settings])
        content["files"]["weights.safetensors"] = hashlib.sha256(members[name]).hexdigest()
        members[settings] = json.dumps(content).encode()

    repack(tmp_path / "good.zip", tmp_path / "bad.zip", disguise)
    with pytest.raises(DataError, match="its weights are not safetensors"):
        import_runs(RunStore(tmp_path / "other"), tmp_path / "bad.zip")


def test_an_export_that_would_fill_the_disk_is_refused(small_disk, store, tmp_path):
    put(store, seed=0)
    export_runs(store, tmp_path / "good.zip")
    large = {f"{'a' * 16}/scores.csv": bytes(10**6)}
    repack(tmp_path / "good.zip", tmp_path / "bomb.zip", lambda members: members.update(large))
    with pytest.raises(DataError, match=r"bytes, but .* are free; nothing was imported"):
        import_runs(RunStore(small_disk / "runs"), tmp_path / "bomb.zip")


def test_a_file_system_without_locks_is_reported_with_the_remedy(store, monkeypatch):
    def refuse(self):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(filelock.FileLock, "_acquire", refuse)
    message = r"cannot be locked \(No locks available\); put --output-root on a file system that supports locks"
    with pytest.raises(SetupError, match=message), store.lock("a" * 16):
        pass


def test_a_lock_that_is_only_a_file_is_refused(store, monkeypatch):
    """Where flock is not implemented, filelock falls back to a file that an owner's death leaves locked."""

    def fall_back(self):
        self.__class__ = filelock.SoftFileLock
        self._acquire()

    monkeypatch.setattr(filelock.FileLock, "_acquire", fall_back)
    (store.folder / ".locks").mkdir(parents=True)
    monkeypatch.setattr("retina_kit.runs.locks._lock_file", lambda path: filelock.FileLock(path))
    with pytest.raises(SetupError, match="cannot be locked"), store.lock("a" * 16):
        pass


def test_the_lock_of_a_dead_owner_is_free(store):
    code = (
        "import os, sys; from retina_kit.runs.store import RunStore\n"
        "with RunStore(sys.argv[1]).lock('a' * 16):\n    print('held', flush=True); sys.stdin.read()"
    )
    owner = subprocess.Popen([sys.executable, "-c", code, str(store.folder)], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE)  # fmt: skip
    assert owner.stdout.readline() == b"held\n"
    assert store.is_locked("a" * 16)
    owner.kill()
    owner.communicate()
    assert not store.is_locked("a" * 16)
    with store.lock("a" * 16):
        assert store.is_locked("a" * 16)


def test_an_empty_store_is_not_exported(store, tmp_path):
    with pytest.raises(DataError, match="is empty, so there is nothing to export"):
        export_runs(store, tmp_path / "runs.zip")
    assert not (tmp_path / "runs.zip").exists()


def test_clean_leaves_alone_what_is_being_trained(store):
    key, idle = put(store, seed=0), "0123456789abcdef"
    for name in (f".unfinished/{key}", f".{key}.node.1.ff.part", f".unfinished/{idle}"):
        (store.folder / name).mkdir(parents=True)
    stop_file = store.folder / ".locks" / "stop-1"
    with store.lock(key):
        stop_file.touch()
        assert store.clean() == [str(store.folder / ".unfinished" / idle)]
    assert len(store.clean()) == 3
    assert not stop_file.exists()


def test_runs_without_weights_can_be_exported_again(store, tmp_path):
    key = put(store, seed=0)
    export_runs(store, tmp_path / "scores.zip", weights=False)
    other = RunStore(tmp_path / "other")
    assert import_runs(other, tmp_path / "scores.zip") == 1
    assert export_runs(other, tmp_path / "again.zip") == 1
    with zipfile.ZipFile(tmp_path / "again.zip") as archive:
        assert sorted(archive.namelist()) == [
            f"{key}/{name}" for name in ("history.csv", "scores.csv", "settings.json")
        ]


def test_a_run_that_is_being_trained_is_waited_for_by_an_import(store, tmp_path):
    put(store, seed=0)
    export_runs(store, tmp_path / "runs.zip")
    other = RunStore(tmp_path / "other")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        with other.lock(store.hashes()[0]):
            waiting = pool.submit(import_runs, other, tmp_path / "runs.zip")
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.5)
            put(other, seed=0)  # the training ends
        assert waiting.result(timeout=10) == 0


def test_a_file_that_the_disk_does_not_give_is_reported_and_left_there(store, capsys):
    key = put(store, seed=0)
    scores = store.folder / key / "scores.csv"
    scores.unlink()
    scores.symlink_to("/proc/self/mem")  # an existing file: reading its beginning is an input/output error
    assert store.find(key) is None
    assert "cannot be read (Input/output error), so it is not used" in capsys.readouterr().err
    assert "Input/output error" in store.verify()[key][0]
    assert (store.folder / key).is_dir()


def test_settings_that_cannot_be_opened_are_a_problem_of_their_entry_only(store, tmp_path):
    good, bad = put(store, seed=0), put(store, seed=1)
    (store.folder / bad / "settings.json").unlink()
    (store.folder / bad / "settings.json").mkdir()
    assert store.verify()[good] == []
    assert "Is a directory" in store.verify()[bad][0]
    done = command_line("store", "verify", "--output-root", tmp_path, cwd=tmp_path)
    assert done.returncode == 3
    assert "cannot be read" in done.stdout


def test_an_entry_that_another_batch_removes_meanwhile_is_not_there(store, monkeypatch, capsys):
    key, read = put(store, seed=0), store_module.read_settings

    def remove_and_read(path):
        shutil.rmtree(path.parent, ignore_errors=True)
        return read(path)

    monkeypatch.setattr(store_module, "read_settings", remove_and_read)
    assert store.find(key) is None
    put(store, seed=0)
    assert store.verify() == {}
    assert capsys.readouterr().err == ""
