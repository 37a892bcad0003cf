"""What cannot be, found from the printed numbers alone: no data, no training, no knowledge of any paper.

A finding says which check, where, the arithmetic in one line, what would mend it, and how sure: certain (no
rounding explains it), likely (only a digit cut off instead of rounded would), possible (worth a question).
"""

import html
import json

import pandas as pd

from retina_kit.papers.findings import (
    gain_findings,
    prevalence_findings,
    range_findings,
    row_findings,
    split_findings,
    spread_findings,
)

COLUMNS = ("paper", "check", "where", "arithmetic", "mend", "sure")
TITLES = {
    "range": "A score outside 0 to 1",
    "spread": "A spread above the largest possible one",
    "dice_iou": "Dice and IoU that are not of one confusion matrix",
    "f1": "Dice (F1) that is not the mean of precision and recall",
    "overlap": "An overlap above recall or precision",
    "accuracy": "An accuracy outside sensitivity and specificity",
    "one_matrix": "Numbers that no confusion matrix gives",
    "prevalence": "Different prevalences on one set of images",
    "split": "Counts that only fit a split after augmentation",
    "sum": "Counts that do not add up",
    "gain": "A gain that is within chance",
}
CHECKS = (
    range_findings,
    spread_findings,
    row_findings,
    prevalence_findings,
    split_findings,
    gain_findings,
)


def audit(published):
    """Return every finding on a paper's printed numbers, one row each (COLUMNS)."""
    found = [finding for check in CHECKS for finding in check(published)]
    table = pd.DataFrame(found, columns=COLUMNS[1:])
    table.insert(0, "paper", published.meta["key"])
    return table


def audit_text(findings):
    """Return findings as plain text, grouped by paper and check."""
    lines = []
    for paper, of_paper in findings.groupby("paper", sort=False):
        lines.append(f"{paper}: {len(of_paper)} finding{'s' * (len(of_paper) != 1)}")
        for check, rows in of_paper.groupby("check", sort=False):
            lines.append(f"  {TITLES[check]}")
            for row in rows.to_dict("records"):
                mend = f" -> {row['mend']}" if row["mend"] else ""
                lines.append(f"    [{row['sure']}] {row['where']}: {row['arithmetic']}{mend}")
    return "\n".join(lines) if lines else "no findings"


def audit_json(findings):
    """Return findings as JSON text, a list of objects."""
    return json.dumps(findings.to_dict("records"), indent=2, ensure_ascii=False)


def audit_html(findings):
    """Return findings as HTML tables, one a paper and check; every text is escaped."""
    if findings.empty:
        return "<p>no findings</p>"
    head = _html_row("th scope='col'", ("how sure", "where", "arithmetic", "what would mend it"))
    tables = []
    for (paper, check), rows in findings.groupby(["paper", "check"], sort=False):
        shown = rows[["sure", "where", "arithmetic", "mend"]].itertuples(index=False)
        body = "".join(_html_row("td", cells) for cells in shown)
        caption = html.escape(f"{paper}: {TITLES[check]}")
        inside = f"<caption>{caption}</caption><thead>{head}</thead><tbody>{body}</tbody>"
        tables.append(f"<table class='audit'>{inside}</table>")
    return "\n".join(tables)


def _html_row(tag, cells):
    """Return one table row of escaped cells."""
    inside = "".join(f"<{tag}>{html.escape(str(cell))}</{tag.split()[0]}>" for cell in cells)
    return f"<tr>{inside}</tr>"
