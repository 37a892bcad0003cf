"""Detect arithmetically impossible results from published numbers alone: no data, no training.

An anomaly names the check, the place, the arithmetic in one line, what would fix it, and how sure it is: certain (no
rounding explains it), likely (only a digit cut off instead of rounded would), possible (worth a question).
"""

import html
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import pandas as pd

from retina_kit.papers.anomalies import (
    gain_anomalies,
    prevalence_anomalies,
    range_anomalies,
    row_anomalies,
    split_anomalies,
    spread_anomalies,
)
from retina_kit.papers.published import Published
from retina_kit.schema import to_json

COLUMNS = ("paper", "check", "where", "arithmetic", "fix", "sure")
TITLES = {
    "range": "A score outside 0 to 1",
    "spread": "A spread above the largest possible one",
    "dice_iou": "Dice and IoU that are not of one confusion matrix",
    "f1": "Dice (F1) that is not the harmonic mean of precision and recall",
    "overlap": "An overlap above recall or precision",
    "accuracy": "An accuracy outside sensitivity and specificity",
    "one_matrix": "Numbers that no confusion matrix gives",
    "prevalence": "Different prevalences on one set of images",
    "split": "Counts that only fit a split after augmentation",
    "sum": "Counts that do not add up",
    "gain": "A gain within chance",
}
CHECKS = (
    range_anomalies,
    spread_anomalies,
    row_anomalies,
    prevalence_anomalies,
    split_anomalies,
    gain_anomalies,
)


def find_anomalies(published: Published) -> pd.DataFrame:
    """Return every anomaly in a paper's published numbers, one per row (columns COLUMNS).

    >>> from retina_kit.papers.published import published_of
    >>> paper = {"key": "mine", "title": "T", "authors": ["A"], "year": 2026, "citation": "A, T (2026)"}
    >>> row = {"item": "table1", "row": "ours", "unit": "percent", "where": "Table 1"}
    >>> row["values"] = {"iou": "60.0", "dice": "80.0"}
    >>> print(audit_text(find_anomalies(published_of({"paper": paper, "confusion": [row]}))))
    mine: 1 finding
      Dice and IoU that are not of one confusion matrix
        [certain] Table 1, row ours: IoU 60.00 needs Dice 2 IoU / (1 + IoU) = 75.00; published 80.00 -> no column swap \
fixes it; off by +5.00 points
    """
    found = [asdict(anomaly) for check in CHECKS for anomaly in check(published)]
    table = pd.DataFrame(found, columns=COLUMNS[1:])
    table.insert(0, "paper", published.paper.key)
    return table


def summarize_published(published: Published) -> dict[str, Any]:
    """Collect what a page shows of a paper, as plain data: citation, tables and figures, audit findings."""
    return {
        **to_json(published.paper),
        "artifacts": [to_json(artifact) for artifact in published.artifacts],
        "audit": find_anomalies(published).to_dict("records"),
    }


def audit_text(findings: pd.DataFrame) -> str:
    """Render the findings (see find_anomalies) as plain text, grouped by paper and check."""
    lines = []
    for paper, of_paper in findings.groupby("paper", sort=False):
        lines.append(f"{paper}: {len(of_paper)} finding{'s' * (len(of_paper) != 1)}")
        for check, rows in of_paper.groupby("check", sort=False):
            lines.append(f"  {TITLES[check]}")
            for row in rows.to_dict("records"):
                fix = f" -> {row['fix']}" if row["fix"] else ""
                lines.append(f"    [{row['sure']}] {row['where']}: {row['arithmetic']}{fix}")
    return "\n".join(lines) if lines else "no findings"


def audit_html(findings: pd.DataFrame) -> str:
    """Render the findings as HTML tables, one per paper and check; every text is escaped."""
    if findings.empty:
        return "<p>no findings</p>"
    head = _html_row("th scope='col'", ("how sure", "where", "arithmetic", "what would fix it"))
    tables = []
    for (paper, check), rows in findings.groupby(["paper", "check"], sort=False):
        shown = rows[["sure", "where", "arithmetic", "fix"]].itertuples(index=False)
        body = "".join(_html_row("td", cells) for cells in shown)
        caption = html.escape(f"{paper}: {TITLES[check]}")
        inside = f"<caption>{caption}</caption><thead>{head}</thead><tbody>{body}</tbody>"
        tables.append(f"<table class='audit'>{inside}</table>")
    return "\n".join(tables)


def _html_row(tag: str, cells: Iterable[object]) -> str:
    """Return one table row of escaped cells."""
    inside = "".join(f"<{tag}>{html.escape(str(cell))}</{tag.split()[0]}>" for cell in cells)
    return f"<tr>{inside}</tr>"
