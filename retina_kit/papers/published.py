"""The values that a paper reports, read from data_manifests/published/<paper>.toml into one table.

Each value is kept as published (text), as a fraction, and with the half width that rounding, or digitizing a plot,
leaves open, so that an audit can tell a mistake from a rounding error.
"""

import math
import tomllib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from retina_kit.errors import DataError, UsageError, unknown_name
from retina_kit.files import kit_root
from retina_kit.papers.entries import (
    Artifact,
    Count,
    Curve,
    Erratum,
    Evaluation,
    Number,
    Paper,
    PublishedClaim,
    PublishedFile,
    PublishedSetting,
    Row,
    Split,
)
from retina_kit.schema import parse

DEFAULTS: dict[str, Any] = {  # the columns of Published.numbers, and what a value has that its entry does not set
    "id": "",
    "item": "",
    "row": "",
    "metric": "",
    "printed": "",
    "unit": "",
    "value": math.nan,
    "half_width": math.nan,
    "corrected": math.nan,
    "why": "",
    "sure": "",
    "step": math.nan,
    "spread": math.nan,
    "spread_half_width": math.nan,
    "spread_is_printed": "",
    "spread_is": "",
    "n": math.nan,
    "evaluation": "",
    "confusion": "",
    "averaged": False,
    "digitized": False,
    "literature": False,
    "where": "",
    "note": "",
}


@dataclass(frozen=True)
class Published:
    """Every number of one paper, its claims, its errata, and its tables and figures.

    `numbers` has one row per value (columns DEFAULTS): value, corrected, spread and half widths are fractions if the
    paper reports percent or fractions, and in the paper's own unit otherwise. `confusion` groups the values of one
    confusion matrix.
    """

    paper: Paper
    numbers: pd.DataFrame
    claims: tuple[PublishedClaim, ...]
    errata: tuple[Erratum, ...]
    artifacts: tuple[Artifact, ...]
    evaluations: dict[str, Evaluation]
    counts: dict[str, Count]
    splits: tuple[Split, ...]
    settings: tuple[PublishedSetting, ...]
    printed_names: dict[str, str]

    def item(self, name: str) -> pd.DataFrame:
        """Return the single numbers (no curve points) of one table or figure; UsageError if it has none."""
        numbers = self.numbers[(self.numbers["item"] == name) & self.numbers["step"].isna()]
        if numbers.empty:
            known = sorted(self.numbers.loc[self.numbers["step"].isna(), "item"].unique())
            raise unknown_name(f"table or figure with values of {self.paper.key}", name, known)
        return numbers

    def curves(self, name: str) -> pd.DataFrame:
        """Return the points digitized from one figure: row, metric, step, value, half_width; hidden ones are NaN."""
        points = self.numbers[(self.numbers["item"] == name) & self.numbers["step"].notna()]
        if points.empty:
            known = sorted(self.numbers.loc[self.numbers["step"].notna(), "item"].unique())
            raise unknown_name(f"digitized figure of {self.paper.key}", name, known)
        return points[["row", "metric", "step", "value", "half_width"]].reset_index(drop=True)


def place_of(number: Any) -> str:
    """Return where a published row or number is found."""
    return f"{number['where']}, row {number['row']}"


def folder_of_published() -> Path:
    """Return the folder that holds a file of published values for each paper."""
    return kit_root() / "data_manifests" / "published"


def read_published(paper: str | Path) -> Published:
    """Read the values of a paper, named by its key or by the path of a TOML file of your own.

    Raises UsageError if there is no such paper, DataError with the field if the file is wrong.

    >>> ortiz = read_published("ortiz2022")
    >>> ortiz.paper.year
    2022
    >>> table1 = ortiz.item("table1").set_index(["row", "metric"])
    >>> table1.loc[("RESNET 50 CBAM", "precision"), "printed"]
    '90.02'
    """
    path = Path(paper)
    if path.suffix != ".toml":
        path = folder_of_published() / f"{paper}.toml"
        if not path.is_file():
            known = sorted(found.stem for found in folder_of_published().glob("*.toml"))
            raise unknown_name("paper with published values", paper, known)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # invalid TOML, invalid UTF-8, an endless number, endless nesting
        raise DataError(f"{path.name} is not valid TOML: {error}") from error
    return published_of(content, path.name)


def published_of(content: dict[str, Any], name: str = "published values") -> Published:
    """Check the parsed content of a file and return it as Published; `name` is what errors call the file."""
    entries = parse(PublishedFile, content, name, DataError)
    published = Published(
        paper=entries.paper,
        numbers=pd.DataFrame(list(_records(entries)), columns=list(DEFAULTS)),
        claims=entries.claim,
        errata=entries.erratum,
        artifacts=entries.artifact,
        evaluations={entry.id: entry for entry in entries.evaluation},
        counts={entry.id: entry for entry in entries.count},
        splits=entries.split,
        settings=entries.setting,
        printed_names=entries.printed_names,
    )
    _check_references(published, name)
    return published


def _records(entries: PublishedFile) -> Iterator[dict[str, Any]]:
    """Yield one record per value: those of rows, single numbers, then points of curves."""
    for row in entries.confusion:
        for metric, printed in row.values.items():
            corrected = (row.corrected or {}).get(metric)
            known = {"averaged": row.averaged, "literature": row.literature, "confusion": f"{row.item}/{row.row}"}
            if corrected:
                known |= {"corrected": float(corrected), "why": row.why, "sure": row.sure}
            yield _record(row, metric, printed, half_unit(printed), known)
    for number in entries.number:
        yield _record(number, number.metric, number.value, half_unit(number.value), _of_number(number))
    for curve in entries.curve:
        for step, value in zip(curve.all_steps(), curve.values, strict=True):
            known = {"step": step, "digitized": True}
            yield _record(curve, curve.metric, str(value), curve.accuracy, known)


def _of_number(number: Number) -> dict[str, Any]:
    """Return what a single number has in addition to its value: a correction, a spread, its own id."""
    known: dict[str, Any] = {"literature": number.literature, "why": number.why, "sure": number.sure or ""}
    if number.id:
        known["id"] = number.id
    if number.corrected:
        known["corrected"] = float(number.corrected)
    if number.n:
        known["n"] = number.n
    if number.spread:
        known |= {"spread": float(number.spread), "spread_half_width": half_unit(number.spread)}
    known["spread_is_printed"] = number.spread_is_printed or ""
    return known | {"spread_is": number.spread_is or number.spread_is_printed or ""}


def _record(
    entry: Row | Number | Curve, metric: str, printed: str, half_width: float, known: dict[str, Any]
) -> dict[str, Any]:
    """Return one row of the numbers table, percent turned into fractions."""
    place = [entry.item, entry.row, metric, *([str(known["step"])] if "step" in known else [])]
    record = DEFAULTS | {"id": "/".join(place), "item": entry.item, "row": entry.row, "metric": metric}
    record |= {"printed": printed, "unit": entry.unit, "value": float(printed), "half_width": half_width}
    record |= {"evaluation": entry.evaluation, "where": entry.where, "note": entry.note} | known
    if entry.unit == "percent":
        record["unit"] = "fraction"
        for name in ("value", "half_width", "corrected", "spread", "spread_half_width"):
            record[name] *= 0.01
    return record


def half_unit(printed: str) -> float:
    """Return half a unit of the last printed digit: "86.6" stands for 86.55 to 86.65.

    >>> half_unit("87"), half_unit("86.6")
    (0.5, 0.05)
    """
    return 0.5 * 10.0 ** -len(printed.partition(".")[2])


def _check_references(published: Published, name: str) -> None:
    """Raise DataError if an id is used twice, or is referred to but does not exist."""
    ids = published.numbers["id"]
    repeated = ids[ids.duplicated()].tolist()
    if repeated:
        raise DataError(f"{name}: two numbers are called {repeated[0]!r}; give one of them another row or id")
    pairs = [pair for claim in published.claims for pair in claim.pairs]
    wanted: list[tuple[str, Iterable[str], Collection[str]]] = [
        ("evaluation", filter(None, published.numbers["evaluation"].unique()), published.evaluations),
        ("count", [c for split in published.splits for c in split.parts + split.sources], published.counts),
        ("number", [number for pair in pairs for number in pair], set(ids)),
    ]
    for kind, references, known in wanted:
        for reference in references:
            if reference not in known:
                raise DataError(f"{name}: {unknown_name(kind, reference, sorted(known))}")
