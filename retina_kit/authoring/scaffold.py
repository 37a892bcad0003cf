"""Makes the folder of a paper of your own: experiment, published values, notebook, exercises and README."""

import re
import time
from pathlib import Path
from typing import get_args

from retina_kit.authoring.drafting import draft_notebook
from retina_kit.authoring.rendering import ENTRIES, render, schema_help
from retina_kit.errors import UsageError, unknown_name
from retina_kit.experiment_file import find_paper, list_papers
from retina_kit.files import atomic_path
from retina_kit.papers.entries import METRICS, Unit

MODALITIES = {  # what an experiment begins with: its synthetic data set, a mask of it, and its channels
    "fundus": {"dataset": "synthetic_fundus", "mask": "vessels", "channels": 3, "per_patient": "images_per_patient"},
    "oct": {"dataset": "synthetic_oct", "mask": "fluid", "channels": 1, "per_patient": "scans_per_patient"},
}
TEMPLATES = ("experiment.py", "published.toml", "exercises.toml", "README.md")
RESERVED = re.compile("con|prn|aux|nul|com[0-9]|lpt[0-9]|runs")  # on Windows, and next to the papers' results


def new_paper(key: str, *, title: str = "", folder: str | Path | None = None, modality: str = "fundus") -> Path:
    """Write the folder of a new paper, by default ./<key>, and return it; it can be run as it is.

    Raises UsageError for a key that is no name or is one of the kit's, an unknown modality, or a folder that is not
    empty: nothing that is there is overwritten.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]{1,39}", key) or RESERVED.fullmatch(key):
        raise UsageError(f"the key {key!r} must be lower-case letters, digits and _, such as smith2024")
    if key in list_papers():
        raise UsageError(f"{key} is a paper of the kit; choose another key")
    if modality not in MODALITIES:
        raise unknown_name("modality", modality, MODALITIES)
    target = Path(folder or key)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target} already exists and is not empty; choose another --folder, or remove it first")
    if target.exists() and target.samefile(Path()):
        raise UsageError(f"--folder {folder} is the current folder, which cannot be replaced; give a new one or none")
    values = {"key": key, "title": title or f"A reproduction of {key}", "year": time.localtime().tm_year}
    with atomic_path(target) as unfinished:
        unfinished.mkdir()
        for name in TEMPLATES:
            schema = {"help": schema_help, "entries": list(ENTRIES), "metrics": METRICS, "units": get_args(Unit)}
            text = render(f"{name}.jinja", **values, **MODALITIES[modality], **schema)
            (unfinished / name).write_text(text, encoding="utf-8")
        paper = find_paper(unfinished)
        paper.files.source.write_text(draft_notebook(paper), encoding="utf-8")
    return target
