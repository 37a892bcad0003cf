"""Builds the front page: a card per run with its verdicts, then tables next to the published values, and figures."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from retina_kit.errors import DataError
from retina_kit.files import atomic_path
from retina_kit.reporting.living.pages import data_html, table_data
from retina_kit.reporting.saved_run import read_claims, read_results, read_table
from retina_kit.reporting.tables import is_tidy, reason_of
from retina_kit.reporting.units import estimate, interval_with_unit, name_of_device, name_of_metric, with_unit

AXIS = (14, 286)  # the places of the lowest and the highest value in the interval plot of a card, in its own pixels


def build_site(
    output_root: str | Path, paper_meta: Mapping[str, Mapping[str, Any]], *, skip_incomplete: bool = False
) -> Path:
    """Write <output_root>/index.html and return its path.

    Every <paper>/<profile>-<data>/ folder with a results.json becomes a section. `paper_meta` maps each paper, in the
    order of the page, to plain data: title, citation, artifacts, audit findings, the claims of its card; papers without
    a run are listed. Raises DataError if the folder of a run lacks a file that its results.json names; to
    `skip_incomplete` is to list it on the page, with the reason, instead.
    """
    output_root = Path(output_root)
    runs, incomplete = [], {}
    for folder in sorted(path.parent for path in output_root.glob("*/*/results.json")):
        try:
            runs.append(_read_run(folder, output_root, paper_meta))
        except DataError as error:
            if not skip_incomplete:
                raise
            incomplete[folder.relative_to(output_root).as_posix()] = str(error)
    order = list(paper_meta)
    runs.sort(key=lambda run: order.index(run["results"]["paper"]) if run["results"]["paper"] in order else len(order))
    done = {run["results"]["paper"] for run in runs}
    waiting = {paper: meta for paper, meta in paper_meta.items() if paper not in done}
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.get_template("page.html.jinja").render(runs=runs, waiting=waiting, incomplete=incomplete)
    target = output_root / "index.html"
    with atomic_path(target) as path:
        path.write_text(page, encoding="utf-8")
    return target


def _read_run(folder: Path, output_root: Path, paper_meta: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the page shows of one run, as plain data."""
    results = read_results(folder)
    tables = {name: read_table(folder / "tables" / f"{name}.csv") for name in results["tables"]}
    claims = read_claims(folder)
    meta = paper_meta.get(results["paper"]) or results["published"]
    labels = {arm["arm"]: arm["label"] or arm["arm"] for arm in results["arms"]}
    shown = _claims_of(claims, labels)
    first = _of_card(shown, meta.get("card", []))
    made = {figure["id"] for figure in results["figures"]} | set(results["tables"])
    return {
        "results": results,
        "link": folder.relative_to(output_root).as_posix(),
        "meta": meta,
        "tables": {name: _rows_of(table, labels) for name, table in tables.items() if is_tidy(table)},
        "key_figure": _key_figure(results["figures"], tables, shown),
        "first": first,
        "intervals": interval_plot([claim for claim in first.values() if claim]),
        "figure_data": _data_of(folder, results["figures"]),
        "other_tables": [name for name, table in tables.items() if not is_tidy(table)],
        "claims": shown,
        "not_made": [item for item in meta.get("artifacts", []) if item["id"] not in made],
        "training_seconds": round(sum(arm["seconds"] for arm in results["arms"])),
        "devices": sorted({name_of_device(arm["device"]) for arm in results["arms"]}),
    }


def _data_of(folder: Path, figures: list[dict[str, str]]) -> dict[str, Markup]:
    """Return the folded table of what each figure plots, for the figures that have one."""
    paths = {figure["id"]: folder / "figures" / f"{figure['id']}.csv" for figure in figures}
    return {name: Markup(data_html(table_data(read_table(path)))) for name, path in paths.items() if path.is_file()}


def _key_figure(
    figures: list[dict[str, str]], tables: Mapping[str, pd.DataFrame], claims: list[dict[str, Any]]
) -> dict[str, str] | None:
    """Choose the figure of a card: of the first table with both arms of the first claim, or of the last table."""
    of_tables = [figure for figure in figures if figure["id"] in tables and is_tidy(tables[figure["id"]])]
    for figure in of_tables:
        arms = set(tables[figure["id"]]["arm"]) if claims else set()
        if sum(arm in str(claims[0]["statistic"]).split() for arm in arms) > 1:
            return figure
    candidates = of_tables or figures
    return candidates[-1] if candidates else None


def _rows_of(table: pd.DataFrame, labels: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return a tidy table as readable rows, one per arm and metric, each score with its unit."""
    return [
        {
            "arm": labels.get(line["arm"], line["arm"]),
            "metric": name_of_metric(line["metric"]),
            "ours": with_unit(line["metric"], line["ours_mean"]),
            "sd": with_unit(line["metric"], line["ours_sd"]),
            "interval": interval_with_unit(line["metric"], line["ours_ci_low"], line["ours_ci_high"]),
            "seeds": line["n_seeds"],
            "patients": line["n_patients"],
            "paper": with_unit(line["metric"], line["paper_value"]),
            "note": line["note"] if isinstance(line["note"], str) else "",
        }
        for line in table.to_dict("records")
    ]


def interval_plot(claims: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Place the estimates of some claims and their intervals on one axis that includes 0, None if there are none.

    `claims` are rows of `_claims_of`; places are pixels between the ends of AXIS.

    >>> claim = {"kind": "control", "verdict": "inconclusive", "estimate": "", "value": 0.1, "low": -0.1, "high": 0.3}
    >>> plot = interval_plot([claim])
    >>> plot["zero"], [(row["low"], row["at"], row["high"]) for row in plot["rows"]]
    (82.0, [(14.0, 150.0, 286.0)])
    """
    known = [claim for claim in claims if pd.notna(claim["low"])]
    if not known:
        return None
    low = min(0, *(claim["low"] for claim in known))
    high = max(0, *(claim["high"] for claim in known))

    def place(value: float) -> float:
        return round(AXIS[0] + (AXIS[1] - AXIS[0]) * (value - low) / ((high - low) or 1), 1)

    rows = [
        claim | {"low": place(claim["low"]), "at": place(claim["value"]), "high": place(claim["high"])}
        for claim in known
    ]
    return {"zero": place(0), "rows": rows}


def _claims_of(claims: pd.DataFrame, labels: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the claims as readable rows; arms are called by their labels."""
    keys = ("claim", "statement", "kind", "verdict", "rule", "scope", "statistic")
    return [
        {key: line[key] for key in keys}
        | {
            "estimate": estimate(line["estimate"], line["ci_low"], line["ci_high"]),
            "value": line["estimate"],
            "low": line["ci_low"],
            "high": line["ci_high"],
            "compared": _compared(line, labels),
        }
        for line in claims.to_dict("records")
    ]


def _of_card(claims: list[dict[str, Any]], card: Sequence[str]) -> dict[str, dict[str, Any] | None]:
    """Choose the claims that a card shows, one of each kind: those that `card` names, else the first."""
    ranked = sorted(claims, key=lambda claim: claim["claim"] not in card)
    kinds = ("replication", "control")
    return {kind: next((claim for claim in ranked if claim["kind"] == kind), None) for kind in kinds}


def _compared(line: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """Write what a claim compares, by the labels of its arms; of an untested claim, why it was not tested."""
    if not isinstance(line["statistic"], str):
        return str(line["sentence"])

    def written(match: re.Match[str]) -> str:
        word = match[0]
        return f"\u201c{labels[word]}\u201d" if word in labels else name_of_metric(word) if "_" in word else word

    text, reason = (re.sub(r"\w+", written, part) for part in (line["statistic"], reason_of(line["sentence"])))
    counts = f"{_count(line['n_patients'], 'patient')}, {_count(line['n_seeds'], 'seed')}"
    return "; ".join(filter(None, [re.sub(r"^dice\b", "Dice", text), counts, reason]))


def _count(number: float, noun: str) -> str:
    """Write a number of things.

    >>> _count(1.0, "seed"), _count(3.0, "seed")
    ('1 seed', '3 seeds')
    """
    return f"{number:.0f} {noun}{'s' * (number != 1)}"
