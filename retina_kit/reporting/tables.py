"""Tables for readers: ours beside the paper's, each in its unit, with what the spreads are in the headings."""

import pandas as pd

from retina_kit.papers.compare import TABLE_COLUMNS
from retina_kit.schema import to_json

UNITS = {"mse": "px²", "distance": "px", "distance_diameters": "diameters"}  # all other scores are shown in per cent
SETTINGS = ("task", "data", "split", "model", "start", "recipe", "evaluation", "folds")  # what decides a result


def show_beside_paper(table, labels=None):
    """Return a tidy table as a readable DataFrame: ours, SD over seeds, interval over patients, the paper."""
    labels = labels or {}
    shown = pd.DataFrame(
        {
            "arm": [labels.get(arm, arm) for arm in table["arm"]],
            "metric": table["metric"],
            "ours": _shown(table, "ours_mean"),
            "SD over seeds": _shown(table, "ours_sd"),
            "95 % CI over patients": [
                interval(metric, low, high)
                for metric, low, high in zip(table["metric"], table["ours_ci_low"], table["ours_ci_high"], strict=True)
            ],
            "seeds": table["n_seeds"],
            "the paper": _shown(table, "paper_value"),
            "note": table["note"].fillna(""),
        }
    )
    return shown.reset_index(drop=True)


def _shown(table, column):
    """Return a column as text, each value in the unit of its metric."""
    return [in_unit(metric, value) for metric, value in zip(table["metric"], table[column], strict=True)]


def in_unit(metric, value):
    """Return a score as text: times (stored in hours) and pixels as such, everything else in per cent."""
    if metric == "time":
        return duration(value)
    if metric in UNITS:
        return "-" if pd.isna(value) else f"{value:.3g} {UNITS[metric]}"
    return percent(value)


def interval(metric, low, high):
    """Return "low to high" in the unit of a metric, "-" where there is no interval."""
    return "-" if pd.isna(low) else f"{in_unit(metric, low)} to {in_unit(metric, high)}"


def duration(hours):
    """Return a time as "26 h", "3.5 min" or "12 s", "-" where there is none."""
    if pd.isna(hours):
        return "-"
    if hours >= 1:
        return f"{hours:.0f} h"
    return f"{60 * hours:.1f} min" if hours >= 1 / 60 else f"{3600 * hours:.0f} s"


def percent(value):
    """Return a fraction as per cent with one decimal, "-" where there is none."""
    return "-" if pd.isna(value) else f"{100 * value:.1f}"


def show_claims(claims):
    """Return the claims as a readable DataFrame: what is claimed, the estimate, the verdict and its rule."""
    interval = [
        f"{estimate:+.3f}" + (f" ({low:+.3f} to {high:+.3f})" if pd.notna(low) else "")
        for estimate, low, high in zip(claims["estimate"], claims["ci_low"], claims["ci_high"], strict=True)
    ]
    columns = ["claim", "statement", "kind", "verdict", "rule", "scope"]
    shown = claims[columns].copy()
    shown.insert(3, "estimate", interval)
    return shown.reset_index(drop=True)


def collect_results(folder, labels):
    """Return all tidy tables of a run's folder as one DataFrame, with the columns table and label in front.

    This is what notebooks/results/<paper>_<profile>_<data>.csv holds.
    """
    parts = []
    for path in sorted((folder / "tables").glob("*.csv")):
        table = pd.read_csv(path)
        if list(table.columns) == list(TABLE_COLUMNS):
            table.insert(0, "table", path.stem)
            table.insert(1, "label", [labels.get(arm, arm) for arm in table["arm"]])
            parts.append(table)
    return pd.concat(parts, ignore_index=True)


def results_markdown(paths):
    """Return the kept results (notebooks/results/<paper>_<profile>_<data>.csv) as a Markdown table for the README.

    One table a run, folded up: the Dice of every arm, ours beside the printed value.
    """
    lines = []
    for path in sorted(paths):
        paper, profile, data = path.stem.split("_", 2)
        table = pd.read_csv(path)
        rows = table[(table["metric"] == "dice") & table["ours_mean"].notna()]
        lines += [f"<details><summary>{paper}, profile {profile}, {data} data: {len(rows)} scores</summary>", ""]
        lines += ["| table | arm | Dice, this kit | 95 % CI over patients | Dice, the paper |", "|---|---|---|---|---|"]
        for row in rows.to_dict("records"):
            cells = [row["table"], row["label"], percent(row["ours_mean"])]
            cells += [interval("dice", row["ours_ci_low"], row["ours_ci_high"]), percent(row["paper_value"])]
            lines.append(f"| {' | '.join(cells)} |")
        lines += ["", "</details>", ""]
    return "\n".join(lines).rstrip()


def with_results(readme, markdown):
    """Return the README's text with the table between its two markers replaced."""
    begin, rest = readme.split("<!-- results", 1)
    marker, rest = rest.split("-->\n", 1)
    _, end = rest.split("<!-- end of results -->", 1)
    return f"{begin}<!-- results{marker}-->\n{markdown}\n<!-- end of results -->{end}"


def differing_settings(first, second):
    """Return in what two resolved arms differ: one row a setting, as in "recipe.steps", with both values.

    Names, labels and roles are no settings. A setting that an arm lacks is "-".
    """
    flat = [
        dict(flattened({key: value for key, value in to_json(arm).items() if key in SETTINGS}))
        for arm in (first, second)
    ]
    names = list(dict.fromkeys([*flat[0], *flat[1]]))
    rows = [(name, *(settings.get(name, "-") for settings in flat)) for name in names]
    return pd.DataFrame([row for row in rows if row[1] != row[2]], columns=["setting", "first", "second"])


def flattened(table, prefix=""):
    """Yield ("outer.inner", value) for every value of a nested table."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from flattened(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
