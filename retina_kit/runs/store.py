"""The run store: each finished run once, under a hash of everything that decides its result.

    <output_root>/runs/<hash>/settings.json       description, provenance, sha256 of the other files
                              history.csv         a row per step
                              scores.csv          a row per test image and variant
                              weights.safetensors the last weights; best.safetensors if a best variant was asked for
    <output_root>/runs/.unfinished/<hash>/        the checkpoint of a run that is being trained
    <output_root>/runs/.set_aside/                entries whose files no longer match their checksums
    <output_root>/runs/.synthetic/                synthetic images, generated once (see data.synthetic.kept)
    <output_root>/runs/.locks/                    a lock file per run, held by the process that trains it

A finished run is written under a temporary name and renamed, so a kill leaves the whole entry or none.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import sys
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from retina_kit.errors import DataError
from retina_kit.files import atomic_path
from retina_kit.runs.locks import hold_lock, is_held
from retina_kit.training.metadata import Metadata, read_metadata, to_header

UNREADABLE = (
    ValueError,
    KeyError,
    AttributeError,
    TypeError,
    RecursionError,
)  # raised by a settings.json with other content
TEXTS, TABLES = ("arm", "device"), ("files", "description")  # of settings.json
KINDS: dict[str, Any] = dict.fromkeys(TEXTS, str) | dict.fromkeys(TABLES, dict) | {"steps": int, "seconds": int | float}
NOT_LOCKS = ("stop-", "probe-")  # files next to the locks, which Windows would remove if they were taken for one
LEFTOVERS = (".unfinished/*", ".set_aside/*", ".synthetic/*", ".*.part*", ".*.old", ".locks/stop-*")


def canonical_hash(description: Any) -> str:
    """Hash a JSON-able description, whatever the order of its keys: the first 16 hex digits of its sha256.

    >>> canonical_hash({"seed": 0, "fold": None}) == canonical_hash({"fold": None, "seed": 0})
    True
    """
    text = json.dumps(description, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_sha256(path: Path) -> str:
    """Compute the sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_settings(path: Path) -> dict[str, Any]:
    """Read the settings.json of an entry; one of UNREADABLE if it is not what a run writes."""
    settings = json.loads(path.read_text(encoding="utf-8"))
    for name, kind in KINDS.items():
        if name in settings and not isinstance(settings[name], kind):
            raise TypeError(f"{name} is {settings[name]!r}")
    if not all(isinstance(text, str) for item in settings["files"].items() for text in item):
        raise TypeError("files are not names and checksums")
    return settings


@dataclass(frozen=True)
class Run:
    """One finished run in the store; its files are read on demand and checked against their checksums."""

    folder: Path
    settings: dict[str, Any]

    @property
    def scores(self) -> pd.DataFrame:
        """The scored test images."""
        names = {"id": str, "patient": str, "class": str}  # a patient may be called NA: only an empty field is missing
        table = pd.read_csv(self._checked("scores.csv"), dtype=names, keep_default_na=False, na_values=[""])
        return table.copy()  # in one piece: read_csv leaves each of the many columns by itself

    @property
    def history(self) -> pd.DataFrame:
        """Loss, learning rate and validation scores, a row per step."""
        return pd.read_csv(self._checked("history.csv"))

    def weights(self, variant: str = "last") -> dict[str, torch.Tensor]:
        """Load the trained tensors by name: those of the last step, or of the best validation."""
        path = self._checked("best.safetensors" if variant == "best" else "weights.safetensors")
        try:
            return load_file(path)
        except SafetensorError as error:
            raise DataError(f"{path} contains no readable weights: {error}") from error

    def metadata(self, variant: str = "last") -> Metadata:
        """Read the description inside the weights; DataError if an older kit wrote them."""
        return read_metadata(self._checked("best.safetensors" if variant == "best" else "weights.safetensors"))

    def problems(self) -> list[str]:
        """List what is wrong with the entry's files; empty if they are intact."""
        found = []
        for name, sha256 in self.settings["files"].items():
            path = self.folder / name
            if not path.is_file():
                if not name.endswith(".safetensors"):  # a store may travel without its weights
                    found.append(f"{path} is missing")
            elif file_sha256(path) != sha256:
                found.append(f"{path} does not match its checksum")
        return found

    def _checked(self, name: str) -> Path:
        path = self.folder / name
        if not path.is_file() or file_sha256(path) != self.settings["files"].get(name):
            raise DataError(f"{path} is damaged or was left out of an export; use --fresh to retrain the run")
        return path


class RunStore:
    """Finished and unfinished runs below one folder, safe for several processes at once."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def find(self, key: str) -> Run | None:
        """Look up the finished run of that hash; a damaged entry is set aside, reported, and not found.

        One that the system does not let us read is reported and left where it is.
        """
        path = self.folder / key / "settings.json"
        try:
            if not path.is_file():
                return None
            run = Run(path.parent, read_settings(path))
            problems = run.problems()
        except UNREADABLE as error:
            problems = [f"{path} cannot be read ({error})"]
        except FileNotFoundError:  # another batch removed it, or set it aside
            return None
        except OSError as error:
            reason = f"{error.filename or path.parent} cannot be read ({error.strerror})"
            print(f"run store: {reason}, so it is not used", file=sys.stderr)
            return None
        if problems:
            self.set_aside(key, problems)
            return None
        return run

    def set_aside(self, key: str, problems: list[str]) -> None:
        """Move a damaged entry out of the way and report it; nothing is deleted."""
        target = self.folder / ".set_aside" / f"{key}-{uuid.uuid4().hex[:12]}"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            (self.folder / key).rename(target)
        except FileNotFoundError:  # another batch was quicker
            return
        except OSError as error:
            print(f"run store: {'; '.join(problems)}; not used, and not moved ({error.strerror})", file=sys.stderr)
            return
        print(f"run store: {'; '.join(problems)}; set aside as {target}, to be retrained", file=sys.stderr)

    def write(
        self,
        key: str,
        settings: dict[str, Any],
        history: pd.DataFrame,
        scores: pd.DataFrame,
        weights: dict[str, torch.Tensor],
        best_weights: dict[str, torch.Tensor] | None = None,
        metadata: Metadata | None = None,
    ) -> Run:
        """Write a finished run, whole or not at all, and remove its checkpoint; `metadata` describes its weights."""
        with atomic_path(self.folder / key) as folder:
            folder.mkdir()
            history.to_csv(folder / "history.csv", index=False)
            scores.to_csv(folder / "scores.csv", index=False)
            save_tensors(weights, folder / "weights.safetensors", to_header(metadata) if metadata else None)
            if best_weights is not None:
                best = to_header(dataclasses.replace(metadata, variant="best")) if metadata else None
                save_tensors(best_weights, folder / "best.safetensors", best)
            files = {path.name: file_sha256(path) for path in sorted(folder.iterdir())}
            settings = settings | {"files": files}
            (folder / "settings.json").write_text(json.dumps(settings, indent=1), encoding="utf-8")
        self.forget_unfinished(key)
        return Run(self.folder / key, settings)

    def hashes(self) -> list[str]:
        """List the hashes of all entries, damaged ones included."""
        return sorted(path.parent.name for path in self.folder.glob("[!.]*/settings.json"))

    def runs(self) -> list[Run]:
        """Find all finished runs."""
        return [run for run in map(self.find, self.hashes()) if run]

    def unfinished(self, key: str) -> Path:
        """Name the folder for the checkpoint of a run that is being trained."""
        return self.folder / ".unfinished" / key

    def forget_unfinished(self, key: str) -> None:
        """Remove the checkpoint of a run that has been finished."""
        folder = self.unfinished(key)
        for path in folder.glob("*"):
            path.unlink()
        if folder.is_dir():
            folder.rmdir()

    def forget(self, keys: Iterable[str]) -> None:
        """Remove finished runs and checkpoints, so that they are retrained.

        What another batch is training at this moment is fresh already and is left alone.
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

    def verify(self) -> dict[str, list[str]]:
        """Check every entry without changing anything: {hash: problems}."""
        problems = {}
        for key in self.hashes():
            path = self.folder / key / "settings.json"
            try:
                problems[key] = Run(path.parent, read_settings(path)).problems()
            except (*UNREADABLE, OSError) as error:
                if isinstance(error, FileNotFoundError) and not path.parent.is_dir():
                    continue  # another batch removed it
                problems[key] = [f"{path} cannot be read ({error})"]
        return problems

    def clean(self) -> list[str]:
        """Remove whatever is not a finished run and list it.

        That is checkpoints, entries set aside, generated images and leftovers of killed processes; not what belongs to
        a run that some process is training, nor, while there is one, the files that ask batches to stop.
        """
        locks = [path for path in (self.folder / ".locks").glob("*") if not path.name.startswith(NOT_LOCKS)]
        trained = [path.name for path in locks if is_held(path)]
        found = [path for pattern in LEFTOVERS for path in self.folder.glob(pattern)]
        leftovers = [path for path in found if not _belongs_to(path, trained)]
        for path in leftovers:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        return [str(path) for path in leftovers]

    @contextlib.contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Hold a run, so that two batches on one store train it once; waits while another process has it."""
        with hold_lock(self.folder / ".locks" / key):
            yield

    def is_locked(self, key: str) -> bool:
        """Tell whether some process is training a run right now."""
        return is_held(self.folder / ".locks" / key)


def _belongs_to(path: Path, trained: list[str]) -> bool:
    """Tell whether a leftover is in use while the runs of these hashes are being trained."""
    return bool(trained) if path.name.startswith("stop-") else path.name.lstrip(".").split(".")[0] in trained


def save_tensors(tensors: dict[str, torch.Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write named tensors as a safetensors file and flush it to the disk."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        save_file(plain, path, metadata=metadata)
    except SafetensorError as error:  # a full disk comes as this error, too
        raise OSError(str(error)) from error
    umask = os.umask(0)
    os.umask(umask)
    path.chmod(0o666 & ~umask)  # safetensors closes its files to everybody else, whatever the umask is
    with path.open("rb+") as file:
        os.fsync(file.fileno())
