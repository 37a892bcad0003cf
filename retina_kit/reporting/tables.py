"""Tables for readers: ours beside the paper's, in per cent, with what the spreads are in the headings."""

import pandas as pd

from retina_kit.evaluation.published import TABLE_COLUMNS

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
                f"{percent(low)} to {percent(high)}" if pd.notna(low) else "-"
                for low, high in zip(table["ours_ci_low"], table["ours_ci_high"], strict=True)
            ],
            "seeds": table["n_seeds"],
            "the paper": _shown(table, "paper_value"),
            "note": table["note"].fillna(""),
        }
    )
    return shown.reset_index(drop=True)


def _shown(table, column):
    """Return a column as text: times, which are stored in hours, as such, everything else in per cent."""
    pairs = zip(table["metric"], table[column], strict=True)
    return [duration(value) if metric == "time" else percent(value) for metric, value in pairs]


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

    A row a table row of the paper that was run: fluid or structure Dice, ours beside the printed value.
    """
    lines = ["| paper | run | table | arm | Dice, this kit | Dice, the paper |", "|---|---|---|---|---|---|"]
    for path in sorted(paths):
        paper, profile, data = path.stem.split("_", 2)
        table = pd.read_csv(path)
        for row in table[(table["metric"] == "dice") & table["ours_mean"].notna()].to_dict("records"):
            ours, printed = percent(row["ours_mean"]), percent(row["paper_value"])
            lines.append(f"| {paper} | {profile}, {data} | {row['table']} | {row['label']} | {ours} | {printed} |")
    return "\n".join(lines)


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
    flat = [dict(flattened({key: arm[key] for key in SETTINGS if key in arm})) for arm in (first, second)]
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
