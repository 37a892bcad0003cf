"""Reads what a run left in its folder, and refuses what no run would have written, before anything is made of it.

An output root may come from elsewhere: names that become paths stay below their folder, numbers are numbers.
"""

import json
from collections.abc import Sequence
from dataclasses import field
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import pandas as pd
from pydantic import AfterValidator, ConfigDict
from pydantic.dataclasses import dataclass

from retina_kit.errors import DataError
from retina_kit.papers.compare import TABLE_COLUMNS
from retina_kit.schema import Ints, parse, to_json

RESULTS, CLAIMS = "results.json", "claims.csv"
LENIENT = ConfigDict(extra="ignore", strict=True)  # a newer kit may have written more
MOST_CHARACTERS = 200  # of a name that becomes a path
CLAIM_TEXTS = ("claim", "statement", "kind", "verdict", "rule", "scope")
CLAIM_NUMBERS = ("estimate", "ci_low", "ci_high", "n_patients", "n_seeds")
TABLE_TEXTS = ("arm", "metric", "paper_spread_is", "note")


def below_its_folder(name: str) -> str:
    """Return a relative path that stays below its folder; ValueError for any other, and for one that is too long.

    >>> below_its_folder("table1")
    'table1'
    """
    path = PurePosixPath(name.replace("\\", "/"))
    outside = path.is_absolute() or ".." in path.parts or not path.parts or ":" in path.parts[0]
    if outside or "\0" in name or len(name) > MOST_CHARACTERS:
        raise ValueError("it must be a name, or a path that stays below its folder")
    return name


Below = Annotated[str, AfterValidator(below_its_folder)]


@dataclass(frozen=True, config=LENIENT)
class TrainedArm:
    """One run behind the results."""

    arm: str
    label: str | None = None
    role: str = ""
    seed: int = 0
    fold: int | None = None
    hash: Below = "-"
    seconds: float = 0.0
    device: str = ""
    peak_memory_mb: float = 0.0


@dataclass(frozen=True, config=LENIENT)
class SavedFigure:
    """A figure and the text that describes it."""

    id: Below
    alt: str = ""


@dataclass(frozen=True, config=LENIENT)
class PublishedItem:
    """A table or figure of a paper of one's own."""

    id: str
    title: str = ""
    why: str = ""


@dataclass(frozen=True, config=LENIENT)
class Finding:
    """What the audit found in published values."""

    where: str
    arithmetic: str
    fix: str = ""
    sure: str = ""


@dataclass(frozen=True, config=LENIENT)
class OwnPaper:
    """What is known of a paper that the kit does not have."""

    title: str = ""
    citation: str = ""
    artifacts: tuple[PublishedItem, ...] = ()
    audit: tuple[Finding, ...] = ()


@dataclass(frozen=True, config=LENIENT)
class SavedRun:
    """The content of results.json."""

    paper: Below
    profile: str
    data: str
    seeds: Ints
    arms: tuple[TrainedArm, ...]
    title: str = ""
    question: str = ""
    data_says: str = ""
    tables: tuple[Below, ...] = ()
    figures: tuple[SavedFigure, ...] = ()
    parameters: dict[str, Any] = field(default_factory=dict)
    overrides: dict[str, Any] | None = None
    arms_left_out: dict[str, str] = field(default_factory=dict)
    published: OwnPaper = OwnPaper()
    data_fingerprints: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    git_commit: str = ""
    machine: str = ""
    notebook_seconds: float | None = None
    peak_memory_mb: float = 0.0


def read_results(folder: Path) -> dict[str, Any]:
    """Read the results.json of a run's folder, with the defaults of what it lacks.

    Raises DataError that names the file and the field if it is not what a run writes.
    """
    path = folder / RESULTS
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise incomplete(path, error) from error
    try:
        checked = to_json(parse(SavedRun, content, "it", DataError), defaults=True)
    except DataError as error:
        raise incomplete(path, error) from error
    return checked | content | {"arms": [a | b for a, b in zip(checked["arms"], content["arms"], strict=True)]}


def read_claims(folder: Path) -> pd.DataFrame:
    """Read the claims and verdicts of a run's folder; an empty table if it has none, DataError if they are damaged.

    An untested claim has no statistic and no estimate.
    """
    path = folder / CLAIMS
    return _typed(path, CLAIM_TEXTS, CLAIM_NUMBERS, ("statistic", "sentence")) if path.is_file() else pd.DataFrame()


def read_table(path: Path) -> pd.DataFrame:
    """Read a table that a run has saved; a paper's row that is called "None" stays text.

    Raises DataError if it cannot be read, or if a tidy table (TABLE_COLUMNS) has a text where a number belongs.
    """
    try:
        columns = pd.read_csv(path, nrows=0).columns
        if list(columns) == list(TABLE_COLUMNS):
            return _typed(path, TABLE_TEXTS[:2], [name for name in columns if name not in TABLE_TEXTS], TABLE_TEXTS[2:])
        return pd.read_csv(path, keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as error:
        raise incomplete(path, error) from error


def read_comparison(path: Path) -> pd.DataFrame:
    """Read a table that compares a run with the paper; DataError if its columns are not TABLE_COLUMNS."""
    table = read_table(path)
    if list(table.columns) != list(TABLE_COLUMNS):
        lacks = [name for name in TABLE_COLUMNS if name not in table] or list(table.columns)
        raise incomplete(path, f"it is not a comparison with the paper: see the columns {lacks}")
    return table


def _typed(path: Path, texts: Sequence[str], numbers: Sequence[str], optional: Sequence[str]) -> pd.DataFrame:
    """Read a CSV file whose columns are known: texts ("" if missing), numbers, and texts that may be missing."""
    try:
        kinds = dict.fromkeys((*texts, *optional), str)
        table = pd.read_csv(path, keep_default_na=False, na_values=[""], dtype=kinds)
        for name in numbers:
            table[name] = pd.to_numeric(table[name])
        table = table.assign(**dict.fromkeys(set(optional) - set(table), float("nan")))
        return table.assign(**{name: table[name].fillna("") for name in texts})
    except (OSError, ValueError, TypeError, OverflowError) as error:
        raise incomplete(path, error) from error
    except KeyError as error:
        raise incomplete(path, f"it has no column {error}") from error


def incomplete(path: Path, error: object) -> DataError:
    """Return the error about a file of a run that is missing or damaged."""
    return DataError(f"{path.parent} is not a complete run ({path.name}: {error}); rerun it with retina-kit run")
