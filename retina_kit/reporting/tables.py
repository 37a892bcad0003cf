"""Tables for readers: settings, arms, our scores next to the published values, claims, and the README's results."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from retina_kit.evaluation.evidence import MIN_SEEDS
from retina_kit.papers.compare import TABLE_COLUMNS
from retina_kit.reporting.saved_run import read_table
from retina_kit.reporting.units import estimate, interval, interval_with_unit, name_of_metric, percent, with_unit

Plain = Mapping[str, Any]  # settings of an arm as JSON data, as schema.to_json returns them
DECIDES = ("task", "data", "split", "model", "start", "freeze", "recipe", "evaluation", "folds")  # decides a result


def settings_table(settings: Mapping[str, Plain], values: Mapping[str, Any]) -> pd.DataFrame:
    """Tabulate the settings: this run's value, the paper's, and where the paper reports it.

    `settings` maps each setting of an experiment file to its what, paper, where and ours; `values` are this run's.

    >>> steps = {"what": "training steps", "paper": 1000, "where": "section 2", "ours": False}
    >>> settings_table({"steps": steps}, {"steps": 20}).iloc[0].tolist()
    ['steps', 'training steps', '20', '1000', 'section 2']
    """
    rows = []
    for name, setting in settings.items():
        paper = "not reported" if setting["ours"] else _short(setting["paper"])
        where = "ours" if setting["ours"] else setting["where"]
        rows.append((name, setting["what"], _short(values[name]), paper, where))
    return pd.DataFrame(rows, columns=["setting", "what it is", "this run", "the paper", "where it is reported"])


def _short(value: Any) -> str:
    """Write a setting's value as short text: lists and tables without brackets.

    >>> _short({"kind": "patients", "test_fraction": 0.4}), _short([64, 96]), _short([])
    ('kind patients, test_fraction 0.4', '64, 96', 'none')
    """
    if isinstance(value, dict):
        return ", ".join(f"{name} {_short(item)}" for name, item in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(_short(item) for item in value) or "none"
    return str(value)


def arms_table(arms: Iterable[Plain]) -> pd.DataFrame:
    """Tabulate the arms, one row each: role, parent, loss, batch size and number of steps.

    `arms` are arms as JSON data, default values included.
    """
    rows = []
    for arm in arms:
        recipe = arm["recipe"]
        rows.append(
            {
                "arm": arm["name"],
                "what it is": arm["label"] or arm["name"],
                "role": arm["role"],
                "starts from": arm["start"]["parent"] if arm["start"] else "random weights",
                "loss": recipe["loss"],
                "batch": recipe["batch_size"],
                "steps": recipe["steps"] or (f"{recipe['epochs']} epochs" if recipe["epochs"] else 0),
            }
        )
    return pd.DataFrame(rows)


def differing_settings(first: Plain, second: Plain) -> pd.DataFrame:
    """List what two arms differ in: one row per setting, named as in "recipe.steps", with both values.

    `first` and `second` are arms as JSON data. Names, labels and roles are not settings. A setting that only one of the
    arms has is "-" in the other.

    >>> differing_settings({"recipe": {"steps": 2}}, {"recipe": {"steps": 5}}).values.tolist()
    [['recipe.steps', 2, 5]]
    """
    rows = differing(deciding_settings(first), deciding_settings(second))
    return pd.DataFrame(rows, columns=["setting", "first", "second"])


def differing(first: Plain, second: Plain) -> list[tuple[str, Any, Any]]:
    """Return (name, value, value) for each name whose values differ; "-" stands for a name that is absent.

    >>> differing({"steps": 100, "loss": "dice"}, {"steps": 50, "loss": "dice", "seed": 1})
    [('steps', 100, 50), ('seed', '-', 1)]
    """
    pairs = [(name, first.get(name, "-"), second.get(name, "-")) for name in dict.fromkeys([*first, *second])]
    return [pair for pair in pairs if pair[1] != pair[2]]


def deciding_settings(arm: Plain) -> dict[str, Any]:
    """Return the settings of an arm that decide its result, as {"recipe.steps": 2}, from its JSON data."""
    return dict(flattened({key: value for key, value in arm.items() if key in DECIDES}))


def flattened(table: Plain, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield ("outer.inner", value) for every value of a nested table.

    >>> list(flattened({"recipe": {"steps": 2, "loss": "soft_dice"}, "folds": 5}))
    [('recipe.steps', 2), ('recipe.loss', 'soft_dice'), ('folds', 5)]
    """
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def show_comparison(table: pd.DataFrame, labels: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Make a tidy table readable: ours, SD over seeds, 95 % interval, the paper; each in its unit.

    `table` has the columns TABLE_COLUMNS; `labels` maps arms to what the column arm reads.
    """
    bounds = zip(table["metric"], table["ours_ci_low"], table["ours_ci_high"], strict=True)
    shown = pd.DataFrame(
        {
            "arm": [(labels or {}).get(arm, arm) for arm in table["arm"]],
            "metric": [name_of_metric(metric) for metric in table["metric"]],
            "ours": _in_units(table, "ours_mean"),
            "SD over seeds": _in_units(table, "ours_sd"),
            "95 % interval": [interval_with_unit(*bound) for bound in bounds],
            "seeds": table["n_seeds"],
            "the paper": _in_units(table, "paper_value"),
            "note": table["note"].fillna(""),
        }
    )
    return shown.reset_index(drop=True)


def _in_units(table: pd.DataFrame, column: str) -> list[str]:
    """Return a column as text, each value with the unit of its metric."""
    return [with_unit(metric, value) for metric, value in zip(table["metric"], table[column], strict=True)]


def reason_of(sentence: object) -> str:
    """Return what a claim's sentence has after its estimate, patients and seeds: what decided, or why nothing did.

    >>> reason_of("dice of a minus 0.9: -0.100 (95 % interval -0.200 to -0.050), 9 patients; reduced settings")
    'reduced settings'
    """
    return str(sentence).partition("; ")[2] if ": " in str(sentence) else ""


def show_claims(claims: pd.DataFrame) -> pd.DataFrame:
    """Make the verdicts readable: what is claimed, the verdict, the estimate with its interval, what was compared."""
    bounds = zip(claims["estimate"], claims["ci_low"], claims["ci_high"], strict=True)
    shown = claims[["statement", "kind", "verdict", "sentence", "scope"]].copy()
    shown.insert(3, "estimate (95 % interval)", [estimate(*bound) for bound in bounds])
    shown["sentence"] = [
        "; ".join(filter(None, [text.split(": ")[0], reason_of(text)])) for text in shown["sentence"]
    ]  # without the estimate, which has a column of its own
    return shown.rename(columns={"statement": "claim", "sentence": "what was compared"}).reset_index(drop=True)


def is_tidy(table: pd.DataFrame) -> bool:
    """Tell whether a table has exactly the columns of a comparison with the paper."""
    return list(table.columns) == list(TABLE_COLUMNS)


def collect_results(folder: Path, labels: Mapping[str, str]) -> pd.DataFrame:
    """Join all tidy tables of a run's folder, with the columns table and label in front.

    This is what notebooks/results/<paper>_<profile>_<data>.csv holds.
    """
    parts = []
    for path in sorted((folder / "tables").glob("*.csv")):
        table = read_table(path)
        if is_tidy(table):
            table.insert(0, "table", path.stem)
            table.insert(1, "label", [labels.get(arm, arm) for arm in table["arm"]])
            parts.append(table)
    return pd.concat(parts, ignore_index=True)


def results_markdown(paths: Iterable[Path]) -> str:
    """Write the kept results (notebooks/results/<paper>_<profile>_<data>.csv) as Markdown for the README.

    One folded table per run: the Dice of every arm, ours next to the published value. A row with fewer seeds than a
    verdict needs has no interval here: without seed noise it would promise too much.
    """
    lines = []
    for path in sorted(path for path in paths if not path.stem.endswith("_claims")):
        paper, profile, data = path.stem.split("_", 2)
        table = read_table(path)
        rows = table[(table["metric"] == "dice") & table["ours_mean"].notna()]
        lines += [f"<details><summary>{paper}, profile {profile}, {data} data: {len(rows)} scores</summary>", ""]
        lines += ["| table | arm | Dice, this kit | 95 % interval | Dice, the paper |", "|---|---|---|---|---|"]
        for row in rows.to_dict("records"):
            cells = [row["table"], row["label"], percent(row["ours_mean"])]
            few = f"{row['n_seeds']:.0f} seed{'s' * (row['n_seeds'] > 1)} only"
            bounds = interval("dice", row["ours_ci_low"], row["ours_ci_high"])
            cells += [bounds if row["n_seeds"] >= MIN_SEEDS else few, percent(row["paper_value"])]
            lines.append(f"| {' | '.join(cells)} |")
        lines += ["", "</details>", ""]
    return "\n".join(lines).rstrip()


def with_results(readme: str, markdown: str) -> str:
    """Return the README's text with the table between its two markers replaced."""
    begin, rest = readme.split("<!-- results", 1)
    marker, rest = rest.split("-->\n", 1)
    _, end = rest.split("<!-- end of results -->", 1)
    return f"{begin}<!-- results{marker}-->\n{markdown}\n<!-- end of results -->{end}"
