"""Writes docs/experiment_file.md, the reference of the experiment file, from its typed classes.

`python -m retina_kit.authoring.reference` writes the page; a test compares it with the classes.
"""

import dataclasses
import inspect
import re
from typing import Any, get_type_hints

from retina_kit.data.augment import Augmentation
from retina_kit.data.splits import Split
from retina_kit.evaluation.claims import Claim
from retina_kit.experiment_file import Artifacts, ByProfile, DataSource, Paper, Setting, Table
from retina_kit.files import atomic_path, kit_root
from retina_kit.training.arm import Arm, Data, Evaluation, Start
from retina_kit.training.recipe import Recipe

CLASSES = (
    Paper,
    DataSource,
    Setting,
    ByProfile,
    Arm,
    Data,
    Split,
    Start,
    Recipe,
    Augmentation,
    Evaluation,
    Table,
    Claim,
    Artifacts,
)
INTRODUCTION = """# Reference of the experiment file

`notebooks/experiments/<paper>.py`, or `experiment.py` in a folder made by `retina-kit paper new`, defines `PAPER`, a
`Paper`. Its `arms` is an ordinary function of the resolved settings that yields arms. An unknown field, a wrong type or
a setting that nothing reads is an error that names the file, the line and the closest known name. A guided example is
in [own_paper.md](own_paper.md).

This page is made from the classes by `python -m retina_kit.authoring.reference`."""


def reference_markdown() -> str:
    """Write the page: per class its description, and a table of its fields with type and default value."""
    return "\n\n".join([INTRODUCTION, *map(_section_of, CLASSES)]) + "\n"


def _section_of(kind: type) -> str:
    """Describe one class."""
    hints = get_type_hints(kind)
    rows = [
        f"| `{item.name}` | {_type_name(hints[item.name])} | {_default_of(item)} |" for item in dataclasses.fields(kind)
    ]
    text = inspect.getdoc(kind) or ""
    text = re.sub(r"\n\n>>>.*", "", text, flags=re.DOTALL)
    return "\n".join([f"## {kind.__name__}", text, "", "| field | type | default |", "|---|---|---|", *rows])


def _type_name(hint: Any) -> str:
    """Write a type as short text that fits a table of Markdown."""
    name = hint.__name__ if isinstance(hint, type) and not hasattr(hint, "__args__") else str(hint)
    name = re.sub(r"\b(?:typing|collections\.abc|retina_kit(?:\.\w+)*)\.", "", name)
    name = re.sub(r"Optional\[(.*)\]$", r"\1 or None", name)  # as newer versions of Python write it
    return f"`{name}`".replace("|", "or").replace("NoneType", "None")


def _default_of(item: "dataclasses.Field[Any]") -> str:
    """Write the default value of a field, "required" if it has none."""
    if item.default_factory is not dataclasses.MISSING:
        return f"`{item.default_factory()!r}`"
    if item.default is dataclasses.MISSING:
        return "required"
    if dataclasses.is_dataclass(item.default):
        return f"`{type(item.default).__name__}()`"
    if type(item.default) is object:
        return "not set"
    return f"`{item.default!r}`".replace("|", "or")


def main() -> None:
    """Write docs/experiment_file.md of this checkout."""
    with atomic_path(kit_root() / "docs" / "experiment_file.md") as path:
        path.write_text(reference_markdown(), encoding="utf-8")


if __name__ == "__main__":
    main()
