"""What stands in a table beside the scores: how long training took, and which printed rows cannot be."""

import math

import pandas as pd

TIME = "time"  # this metric is the training time of a replicate, in hours


def with_training_time(summary, times):
    """Return a summary (see scoring.summarize) with a row "time" for each of its arms, in hours.

    `times` has the columns arm, seed, seconds. The SD is over seeds; there is no interval over patients.
    """
    parts = []
    for arm, rows in summary.groupby("arm", sort=False):
        hours = times.loc[times["arm"] == arm, "seconds"] / 3600
        sd = float(hours.std(ddof=1)) if len(hours) > 1 else math.nan
        extra = {"arm": arm, "metric": TIME, "ours_mean": float(hours.mean()), "ours_sd": sd, "n_images": 0}
        extra |= {"ours_ci_low": math.nan, "ours_ci_high": math.nan, "n_patients": 0, "n_seeds": len(hours), "note": ""}
        parts += [rows, pd.DataFrame([extra], columns=summary.columns)]
    return pd.concat(parts, ignore_index=True)


def mark_findings(table, findings, rows):
    """Return a tidy table in which every printed number of a row that cannot be says so in its note.

    `findings` comes from audit.audit, `rows` maps an arm to the paper's row label. A finding belongs to a row where
    its `where` ends in that label.
    """
    marks = {}
    for finding in findings.to_dict("records"):
        label = finding["where"].partition(", row ")[2]
        if label:
            marks[label] = f"cannot be ({finding['sure']}): {finding['arithmetic']}"
    table = table.copy()
    labels = table["arm"].map(lambda arm: rows.get(arm, arm))
    table["note"] = [
        "; ".join(part for part in (note, marks.get(label, "") if pd.notna(value) else "") if part)
        for note, label, value in zip(table["note"].fillna(""), labels, table["paper_value"], strict=True)
    ]
    return table
