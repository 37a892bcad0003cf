"""The run store: each finished replicate once, under a hash of all that decides its result.

    <output_root>/runs/<hash>/settings.json       description, provenance, sha256 of the other files
                              history.csv         a row a step
                              scores.csv          a row a test image and variant
                              weights.safetensors the last weights; best.safetensors where a best variant was asked for
    <output_root>/runs/.unfinished/<hash>/        the checkpoint of a replicate that is being trained
    <output_root>/runs/.set_aside/                entries whose files no longer match their checksums

A finished run is written under a temporary name and renamed: a kill leaves it whole or not there.
"""

import contextlib
import fcntl
import hashlib
import json
import lzma
import os
import re
import shutil
import struct
import sys
import uuid
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from retina_kit.errors import DataError, SetupError
from retina_kit.files import atomic_path

EXPORT_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    RuntimeError,
    ValueError,
    OverflowError,
    IndexError,
    OSError,
)  # raised for a zip file that is damaged
UNREADABLE = (ValueError, KeyError, AttributeError, TypeError)  # what settings that are no settings raise
MEMBER = re.compile(r"[0-9a-f]{16}/(settings\.json|history\.csv|scores\.csv|weights\.safetensors|best\.safetensors)")


def canonical_hash(description):
    """Return the first 16 hex digits of the sha256 of a JSON-able description, whatever the order of its keys."""
    text = json.dumps(description, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_sha256(path):
    """Return the sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Run:
    """One finished replicate in the store; its files are read when they are asked for, and checked."""

    folder: Path
    settings: dict

    @property
    def scores(self):
        """The scored test images, a DataFrame."""
        return pd.read_csv(self._checked("scores.csv"), dtype={"id": str, "patient": str})

    @property
    def history(self):
        """Loss, learning rate and validation scores, a row a step."""
        return pd.read_csv(self._checked("history.csv"))

    def weights(self, variant="last"):
        """The trained tensors: the last step's, or the best validation's."""
        path = self._checked("best.safetensors" if variant == "best" else "weights.safetensors")
        try:
            return load_file(path)
        except SafetensorError as error:
            raise DataError(f"{path} holds no weights that can be read: {error}") from error

    def problems(self):
        """Return what is wrong with the entry's files, an empty list where nothing is."""
        found = []
        for name, sha256 in self.settings["files"].items():
            path = self.folder / name
            if not path.is_file():
                if not name.endswith(".safetensors"):  # a store may travel without its weights
                    found.append(f"{path} is missing")
            elif file_sha256(path) != sha256:
                found.append(f"{path} does not match its checksum")
        return found

    def _checked(self, name):
        path = self.folder / name
        if not path.is_file() or file_sha256(path) != self.settings["files"].get(name):
            raise DataError(f"{path} is damaged or was left out of an export; run again with --fresh to train it anew")
        return path


class RunStore:
    """Finished and unfinished replicates below one folder, safe for several processes at once."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def find(self, key):
        """Return the finished run of that hash, or None. A damaged entry is set aside, said, and None returned."""
        path = self.folder / key / "settings.json"
        if not path.is_file():
            return None
        try:
            run = Run(path.parent, json.loads(path.read_text(encoding="utf-8")))
            problems = run.problems()
        except UNREADABLE as error:
            problems = [f"{path} cannot be read ({error})"]
        except PermissionError as error:
            print(f"run store: {error.filename} may not be read by this user; it is not used", file=sys.stderr)
            return None
        if problems:
            self.set_aside(key, problems)
            return None
        return run

    def set_aside(self, key, problems):
        """Move a damaged entry out of the way and say so; nothing is deleted."""
        target = self.folder / ".set_aside" / f"{key}-{uuid.uuid4().hex[:12]}"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            (self.folder / key).rename(target)
        except FileNotFoundError:  # another batch was quicker
            return
        except OSError as error:
            print(f"run store: {'; '.join(problems)}; it stays, and is not used ({error.strerror})", file=sys.stderr)
            return
        print(f"run store: {'; '.join(problems)}; set aside as {target} and trained anew", file=sys.stderr)

    def write(self, key, settings, history, scores, weights, best_weights=None):
        """Write a finished run, whole or not at all, and return it."""
        with atomic_path(self.folder / key) as folder:
            folder.mkdir()
            history.to_csv(folder / "history.csv", index=False)
            scores.to_csv(folder / "scores.csv", index=False)
            save_tensors(weights, folder / "weights.safetensors")
            if best_weights is not None:
                save_tensors(best_weights, folder / "best.safetensors")
            files = {path.name: file_sha256(path) for path in sorted(folder.iterdir())}
            settings = settings | {"files": files}
            (folder / "settings.json").write_text(json.dumps(settings, indent=1), encoding="utf-8")
        self.forget_unfinished(key)
        return Run(self.folder / key, settings)

    def runs(self):
        """Return all finished runs."""
        keys = sorted(path.parent.name for path in self.folder.glob("[!.]*/settings.json"))
        return [run for run in map(self.find, keys) if run]

    def unfinished(self, key):
        """Return the folder for the checkpoint of a replicate that is being trained."""
        return self.folder / ".unfinished" / key

    def forget_unfinished(self, key):
        """Remove the checkpoint of a replicate that has been finished."""
        folder = self.unfinished(key)
        for path in folder.glob("*"):
            path.unlink()
        if folder.is_dir():
            folder.rmdir()

    def forget(self, keys):
        """Remove finished runs and checkpoints, so that they are trained anew.

        What another batch is training at this moment is fresh by itself and is left alone.
        """
        for key in keys:
            if self.is_locked(key):
                continue
            with self.lock(key):
                if (self.folder / key).is_dir():
                    old = self.folder / f".{key}.{uuid.uuid4().hex[:8]}.old"
                    (self.folder / key).rename(old)
                    shutil.rmtree(old)
                self.forget_unfinished(key)

    def verify(self):
        """Return {hash: problems} of every entry, without changing anything."""
        problems = {}
        for path in sorted(self.folder.glob("[!.]*/settings.json")):
            try:
                run = Run(path.parent, json.loads(path.read_text(encoding="utf-8")))
                problems[path.parent.name] = run.problems()
            except UNREADABLE as error:
                problems[path.parent.name] = [f"{path} cannot be read ({error})"]
        return problems

    def clean(self):
        """Remove checkpoints of unfinished runs, entries set aside and leftovers of killed writers."""
        leftovers = [
            *self.folder.glob(".unfinished/*"),
            *self.folder.glob(".set_aside/*"),
            *self.folder.glob(".*.part*"),
            *self.folder.glob(".*.old"),
        ]
        for path in leftovers:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        return [str(path) for path in leftovers]

    def export(self, file, *, weights=True):
        """Write all finished runs into one zip file and return how many."""
        runs = self.runs()
        with atomic_path(file) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            for run in runs:
                for name in ["settings.json", *run.settings["files"]]:
                    if weights or not name.endswith(".safetensors"):
                        archive.write(run.folder / name, f"{run.folder.name}/{name}")
        return len(runs)

    def take_in(self, file):
        """Take the runs of an exported zip file into the store, each checked first; return how many were new."""
        try:
            with zipfile.ZipFile(file) as archive:
                members = [name for name in archive.namelist() if MEMBER.fullmatch(name)]
                if len(members) < len(archive.namelist()):
                    raise DataError(f"{file} holds files that are no part of a run store; it was not imported")
                self.folder.mkdir(parents=True, exist_ok=True)
                needed, free = sum(info.file_size for info in archive.infolist()), shutil.disk_usage(self.folder).free
                if needed > free:
                    raise DataError(f"{file} unpacks to {needed:,} bytes, but {free:,} are free; it was not imported")
                return sum(self._take_in_run(archive, key, members) for key in {m.split("/")[0] for m in members})
        except EXPORT_ERRORS as error:
            raise DataError(f"{file} cannot be read as an exported run store: {error}") from error

    def _take_in_run(self, archive, key, members):
        """Unpack and check one run; True where the store did not have it."""
        if (self.folder / key / "settings.json").is_file():
            return False
        with atomic_path(self.folder / key) as folder:
            folder.mkdir()
            for member in members:
                if member.startswith(f"{key}/"):
                    with archive.open(member) as source, (folder / member.split("/")[1]).open("wb") as target:
                        shutil.copyfileobj(source, target)  # never more than the size that was checked above
            wrong = problems_of_import(folder, key)
            if wrong:
                raise DataError(f"{archive.filename}: run {key} is damaged: {'; '.join(wrong)}; export it again")
        return True

    @contextlib.contextmanager
    def lock(self, key):
        """Hold a replicate, so that two batches on one store train it once; the lock of a dead owner is free.

        Waits while another process has it. The kernel (on a shared folder: its server) frees the lock of an owner
        that died, so nothing has to be cleaned up and no clock is compared.
        """
        with self._lock_file(key) as file:
            take_lock(file, fcntl.LOCK_EX)
            yield

    def is_locked(self, key):
        """Say whether another process is training a replicate just now."""
        if not (self.folder / ".locks" / key).exists():
            return False
        with self._lock_file(key) as file:
            try:
                take_lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def _lock_file(self, key):
        path = self.folder / ".locks" / key
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return path.open("a")
        except OSError as error:
            raise SetupError(f"cannot write to the run store {self.folder}: {error.strerror}") from error


def take_lock(file, kind):
    """Take a lock on an open file; BlockingIOError where it is taken and `kind` does not wait."""
    try:
        fcntl.flock(file, kind)
    except BlockingIOError:
        raise
    except OSError as error:
        raise SetupError(
            f"{file.name} cannot be locked ({error.strerror}); put --output-root on a file system that has locks"
        ) from error


def problems_of_import(folder, key):
    """Return what is wrong with an unpacked run: files that are missing or damaged, or another run's."""
    try:
        run = Run(folder, json.loads((folder / "settings.json").read_text(encoding="utf-8")))
        strange = [name for name in run.settings["files"] if not MEMBER.fullmatch(f"{key}/{name}")]
        if strange:
            return [f"its settings name a file {strange[0]!r}"]
        if canonical_hash(run.settings["description"]) != key:
            return ["its description has another hash"]
        for path in folder.glob("*.safetensors"):
            with safe_open(path, framework="pt"):
                pass
        return [text.replace(f"{folder}/", "") for text in run.problems()]
    except SafetensorError as error:
        return [f"its weights are no safetensors ({error})"]
    except FileNotFoundError:
        return ["settings.json is missing"]
    except UNREADABLE as error:
        return [f"settings.json cannot be read ({error})"]


def save_tensors(tensors, path, metadata=None):
    """Write named tensors as a safetensors file and make sure that it is on the disk."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        save_file(plain, path, metadata=metadata)
    except SafetensorError as error:  # a full disk, too, comes as this error
        raise OSError(str(error)) from error
    umask = os.umask(0)
    os.umask(umask)
    path.chmod(0o666 & ~umask)  # safetensors closes its files to everybody else, whatever the umask says
    with path.open("rb") as file:
        os.fsync(file.fileno())
