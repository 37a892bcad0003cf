"""Export finished runs to a zip file and import them into another store, after checking each."""

import re
import shutil
import zipfile
from pathlib import Path

from safetensors import SafetensorError, safe_open

from retina_kit.errors import DataError
from retina_kit.files import UNREADABLE_ZIP, atomic_path
from retina_kit.runs.store import UNREADABLE, Run, RunStore, canonical_hash, read_settings

MEMBER = re.compile(r"[0-9a-f]{16}/(settings\.json|history\.csv|scores\.csv|weights\.safetensors|best\.safetensors)")


def export_runs(store: RunStore, file: Path, *, weights: bool = True) -> int:
    """Write all finished runs of a store into one zip file and count them; DataError if there is none.

    Without `weights`, and for runs that were imported without, they are left out: such a run has scores only.
    """
    runs = store.runs()
    if not runs:
        raise DataError(f"the run store {store.folder} is empty, so there is nothing to export; check --output-root")
    with atomic_path(file) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for run in runs:
            for name in ["settings.json", *run.settings["files"]]:
                if (weights and (run.folder / name).is_file()) or not name.endswith(".safetensors"):
                    archive.write(run.folder / name, f"{run.folder.name}/{name}")
    return len(runs)


def import_runs(store: RunStore, file: Path) -> int:
    """Copy the runs of an exported zip file into a store, each checked first, and count those that were new."""
    try:
        with zipfile.ZipFile(file) as archive:
            members = [name for name in archive.namelist() if MEMBER.fullmatch(name)]
            if len(members) < len(archive.namelist()):
                raise DataError(f"{file} contains files that are not part of a run store; nothing was imported")
            store.folder.mkdir(parents=True, exist_ok=True)
            needed, free = sum(info.file_size for info in archive.infolist()), shutil.disk_usage(store.folder).free
            if needed > free:
                raise DataError(f"{file} unpacks to {needed:,} bytes, but {free:,} are free; nothing was imported")
            return sum(_import_run(store, archive, key, members) for key in {m.split("/")[0] for m in members})
    except (*UNREADABLE_ZIP, OSError) as error:
        raise DataError(f"{file} cannot be read as an exported run store: {error}") from error


def _import_run(store: RunStore, archive: zipfile.ZipFile, key: str, members: list[str]) -> bool:
    """Unpack and check one run; True if the store did not have it."""
    with store.lock(key):
        if (store.folder / key / "settings.json").is_file():
            return False
        _unpack(store, archive, key, members)
    return True


def _unpack(store: RunStore, archive: zipfile.ZipFile, key: str, members: list[str]) -> None:
    """Unpack and check one run; DataError if it is damaged."""
    with atomic_path(store.folder / key) as folder:
        folder.mkdir()
        for member in members:
            if member.startswith(f"{key}/"):
                with archive.open(member) as source, (folder / member.split("/")[1]).open("wb") as target:
                    shutil.copyfileobj(source, target)  # never more than the size that was checked above
        wrong = problems_of_import(folder, key)
        if wrong:
            raise DataError(f"{archive.filename}: run {key} is damaged: {'; '.join(wrong)}; export it again")


def problems_of_import(folder: Path, key: str) -> list[str]:
    """List what is wrong with an unpacked run: files that are missing, damaged or another run's."""
    try:
        run = Run(folder, read_settings(folder / "settings.json"))
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
        return [f"its weights are not safetensors ({error})"]
    except FileNotFoundError:
        return ["settings.json is missing"]
    except UNREADABLE as error:
        return [f"settings.json cannot be read ({error})"]
