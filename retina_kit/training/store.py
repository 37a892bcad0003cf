"""The run store: each finished replicate once, under a hash of all that decides its result.

    <output_root>/runs/<hash>/settings.json       description, provenance, sha256 of the other files
                              history.csv         a row a step
                              scores.csv          a row a test picture and reading
                              weights.safetensors the last weights; best.safetensors where a best reading was asked for
    <output_root>/runs/.unfinished/<hash>/        the checkpoint of a replicate that is being trained
    <output_root>/runs/.set_aside/                entries whose files no longer match their checksums

A finished run is written under a temporary name and renamed: a kill leaves it whole or not there.
"""

import ast
import contextlib
import fcntl
import functools
import hashlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from safetensors.torch import load_file, save_file

from retina_kit.errors import DataError, EnvironmentProblem
from retina_kit.files import atomic_path

CODE_THAT_DECIDES = (
    "models/*.py",
    "data/augment.py",
    "data/splits.py",
    "data/transforms.py",
    "training/batches.py",
    "training/inference.py",
    "training/loop.py",
    "training/losses.py",
    "training/recipe.py",
    "training/replicate.py",
    "training/segment.py",
    "training/transfer.py",
)


def canonical_hash(description):
    """Return the first 16 hex digits of the sha256 of a JSON-able description, whatever the order of its keys."""
    text = json.dumps(description, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@functools.cache
def code_version():
    """Return a hash of the code that decides a result; comments, docstrings and layout do not count."""
    package = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for pattern in CODE_THAT_DECIDES:
        for path in sorted(package.glob(pattern)):
            digest.update(path.name.encode() + meaning_of(path.read_text(encoding="utf-8")).encode())
    return digest.hexdigest()[:16]


def meaning_of(source):
    """Return Python source as a syntax tree without docstrings, as text."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            if isinstance(body[0].value, ast.Constant) and isinstance(body[0].value.value, str):
                body[0].value.value = ""
    return ast.dump(tree)


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
        """The scored test pictures, a DataFrame."""
        return pd.read_csv(self._checked("scores.csv"), dtype={"id": str, "patient": str})

    @property
    def history(self):
        """Loss, learning rate and validation scores, a row a step."""
        return pd.read_csv(self._checked("history.csv"))

    def weights(self, reading="last"):
        """The trained tensors: the last step's, or the best validation's."""
        return load_file(self._checked("best.safetensors" if reading == "best" else "weights.safetensors"))

    def problems(self):
        """Return what is wrong with the entry's files, an empty list where nothing is."""
        found = []
        for name, sha256 in self.settings["files"].items():
            path = self.folder / name
            if not path.is_file():
                found.append(f"{path} is missing")
            elif file_sha256(path) != sha256:
                found.append(f"{path} does not match its checksum")
        return found

    def _checked(self, name):
        path = self.folder / name
        if not path.is_file() or file_sha256(path) != self.settings["files"].get(name):
            raise DataError(f"{path} is damaged or missing; run: retina-kit store clean, then run again")
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
        except (ValueError, KeyError, AttributeError) as error:
            problems = [f"{path} cannot be read ({error})"]
        if problems:
            self.set_aside(key, problems)
            return None
        return run

    def set_aside(self, key, problems):
        """Move a damaged entry out of the way and say so; nothing is deleted."""
        target = self.folder / ".set_aside" / f"{key}-{time.time_ns()}"
        target.parent.mkdir(parents=True, exist_ok=True)
        (self.folder / key).rename(target)
        print(f"run store: {'; '.join(problems)}; set aside as {target} and trained anew", flush=True)

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

    @contextlib.contextmanager
    def lock(self, key):
        """Hold a replicate, so that two batches on one store train it once; the lock of a dead owner is free."""
        path = self.folder / ".locks" / key
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("a")
        except OSError as error:
            raise EnvironmentProblem(f"cannot write to the run store {self.folder}: {error.strerror}") from error
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def save_tensors(tensors, path, metadata=None):
    """Write named tensors as a safetensors file and make sure that it is on the disk."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(plain, path, metadata=metadata)
    with path.open("rb") as file:
        os.fsync(file.fileno())
