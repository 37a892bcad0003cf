"""Our scores next to the published values: one tidy table per table or figure of a paper."""

import math
from collections.abc import Mapping
from typing import Annotated, Any

import pandas as pd
from pydantic import Field
from pydantic.dataclasses import dataclass

from retina_kit.errors import unknown_name
from retina_kit.papers.audit import find_anomalies
from retina_kit.papers.entries import SAME_METRIC
from retina_kit.papers.published import Published, place_of
from retina_kit.schema import STRICT, Names

TIME = "time"  # this metric is the training time of a run, in hours
OURS_COLUMNS = ("ours_mean", "ours_sd", "ours_ci_low", "ours_ci_high", "n_images", "n_patients", "n_seeds")
TABLE_COLUMNS = ("arm", "metric", *OURS_COLUMNS, "paper_value", "paper_spread", "paper_spread_is", "note")


@dataclass(frozen=True, config=STRICT)
class Table:
    """A table of an experiment: which arms and metrics are compared with which rows of the paper.

    `rows` maps an arm to the label of the paper's row, "" if the paper has no such row. `item` is the published table
    or figure: None means that of the table's own id, "" that the paper has none. `pooled` adds the counts of all images
    before the metric is taken; otherwise it is the mean over images. `mark_findings` puts what the audit found into
    the notes.

    >>> Table("table1", "With and without pretraining", metrics=["dice"], rows={"scratch": "None"}).published_item
    'table1'
    """

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    title: str
    metrics: Annotated[Names, Field(min_length=1)]
    rows: Annotated[dict[str, str], Field(min_length=1)]
    item: str | None = None
    pooled: bool = True
    mark_findings: bool = False

    @property
    def published_item(self) -> str:
        """The published table or figure that this one is compared with, "" if there is none."""
        return self.id if self.item is None else self.item


def compare_with_paper(summary: pd.DataFrame, published: Published, item: str, rows: Mapping[str, str]) -> pd.DataFrame:
    """Return the tidy table of one item, TABLE_COLUMNS: our summary of each arm next to the published values.

    `summary` comes from summary.summarize; `item` and `rows` are those of a Table. The paper's value is the corrected
    one if a mistake is certain; the note has the published one. Published rows and columns without an arm follow, ours
    left empty, so nothing is dropped. Raises UsageError if the paper has no such item or row.
    """
    numbers = published.item(item) if item else published.numbers.iloc[:0]
    known = sorted(numbers["row"].unique())
    for row in filter(None, rows.values()):
        if row not in known:
            raise unknown_name(f"row of {item} of {published.paper.key}", row, known)
    records: list[dict[str, Any]] = []
    used = set()
    ours = {(line["arm"], line["metric"]): line for line in summary.to_dict("records")}
    theirs = {(n["row"], SAME_METRIC.get(n["metric"], n["metric"])): n for n in numbers.to_dict("records")}
    for arm, row in rows.items():
        for metric in [metric for name, metric in ours if name == arm]:
            key = (row, SAME_METRIC.get(metric, metric))
            records.append(_line(arm, metric, ours[arm, metric], theirs.get(key)))
            used.add(key)
        for key in [key for key in theirs if key[0] == row and key not in used]:
            records.append(_line(arm, theirs[key]["metric"], None, theirs[key]))
            used.add(key)
    records += [_line(key[0], n["metric"], None, n) for key, n in theirs.items() if key not in used]
    return pd.DataFrame(records, columns=list(TABLE_COLUMNS))


def _line(arm: str, metric: str, ours: Mapping[Any, Any] | None, theirs: Mapping[Any, Any] | None) -> dict[str, Any]:
    """Return one row of the tidy table from a summary and a published number; either may be missing."""
    line: dict[str, Any] = {"arm": arm, "metric": metric, **dict.fromkeys(OURS_COLUMNS, math.nan)}
    line |= {"n_images": 0, "n_patients": 0, "n_seeds": 0}
    line |= {"paper_value": math.nan, "paper_spread": math.nan, "paper_spread_is": ""}
    notes = [] if ours else ["not run here"]
    if ours:
        line |= {name: ours[name] for name in OURS_COLUMNS}
        notes.append(ours.get("note", ""))
    if theirs:
        line |= {"paper_value": paper_value(theirs), "paper_spread": theirs["spread"]}
        line["paper_spread_is"] = theirs["spread_is"]
        notes.append(note_of(theirs))
    return line | {"note": "; ".join(note for note in notes if note)}


def paper_value(number: Mapping[Any, Any]) -> float:
    """Return what the paper means: the published value, or the corrected one if the mistake is certain."""
    return number["corrected"] if number["sure"] == "certain" else number["value"]


def note_of(number: Mapping[Any, Any]) -> str:
    """Return what a reader of a published number must know: what is corrected, or other authors' work."""
    notes = []
    if number["sure"] == "certain":
        notes.append(f"published {number['printed']}: {number['why']}")
    elif number["sure"]:
        notes.append(f"perhaps {number['corrected']:g} ({number['sure']}): {number['why']}")
    if number["spread_is"] != number["spread_is_printed"]:
        notes.append(f"the spread is reported as {number['spread_is_printed']}")
    if number["literature"]:
        notes.append("other authors' number")
    return "; ".join([*notes, *([number["note"]] if number["note"] else [])])


def with_training_time(summary: pd.DataFrame, times: pd.DataFrame) -> pd.DataFrame:
    """Return a summary (see summary.summarize) with a row "time" for each of its arms: hours to train one network.

    `times` has the columns arm, seed, seconds, a row per network. Folds of one seed are averaged; the SD is over seeds,
    and there is no interval.
    """
    parts = []
    for arm, rows in summary.groupby("arm", sort=False):
        hours = times[times["arm"] == arm].groupby("seed")["seconds"].mean() / 3600
        sd = float(hours.std(ddof=1)) if len(hours) > 1 else math.nan
        extra = {"arm": arm, "metric": TIME, "ours_mean": float(hours.mean()), "ours_sd": sd, "n_images": 0}
        extra |= {"ours_ci_low": math.nan, "ours_ci_high": math.nan, "n_patients": 0, "n_seeds": len(hours), "note": ""}
        parts += [rows, pd.DataFrame([extra], columns=summary.columns)]
    return pd.concat(parts, ignore_index=True)


def compare_table(summary: pd.DataFrame, published: Published, table: Table, rows: Mapping[str, str]) -> pd.DataFrame:
    """Return the tidy table that an experiment's Table asks for; `rows` are those of its arms that were run."""
    compared = compare_with_paper(summary, published, table.published_item, rows)
    return mark_findings(compared, published, table.published_item, rows) if table.mark_findings else compared


def mark_findings(table: pd.DataFrame, published: Published, item: str, rows: Mapping[str, str]) -> pd.DataFrame:
    """Return the tidy table of one item with notes that point out the published rows that are inconsistent.

    `item` and `rows` are those of a Table. A row has all of its findings.
    """
    findings = find_anomalies(published)
    numbers = published.numbers[published.numbers["item"] == item].to_dict("records")
    labels_of = {place_of(number): number["row"] for number in numbers}
    found: dict[str, list[str]] = {}
    for finding in findings[findings["where"].isin(labels_of)].to_dict("records"):
        mark = f"inconsistent ({finding['sure']}): {finding['arithmetic']}"
        found.setdefault(labels_of[finding["where"]], []).append(mark)
    marks = {label: "; ".join(of_row) for label, of_row in found.items()}
    table = table.copy()
    labels = table["arm"].map(lambda arm: rows.get(arm, arm))
    table["note"] = [
        "; ".join(part for part in (note, marks.get(label, "") if pd.notna(value) else "") if part)
        for note, label, value in zip(table["note"].fillna(""), labels, table["paper_value"], strict=True)
    ]
    return table
