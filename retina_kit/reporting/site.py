"""Builds the front page: a card per run with its verdicts, then tables next to the published values, and figures."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from retina_kit.errors import DataError
from retina_kit.files import atomic_path
from retina_kit.reporting.living.pages import data_html, table_data
from retina_kit.reporting.tables import is_tidy, read_table
from retina_kit.reporting.units import UNITS, estimate, in_unit


def build_site(output_root: str | Path, paper_meta: Mapping[str, Mapping[str, Any]]) -> Path:
    """Write <output_root>/index.html and return its path.

    Every <paper>/<profile>-<data>/ folder with a results.json becomes a section. `paper_meta` maps each paper, in the
    order of the page, to plain data: title, citation, artifacts, audit findings; papers without a run are listed.
    Raises DataError if the folder of a run lacks a file that its results.json names.
    """
    output_root = Path(output_root)
    folders = sorted(path.parent for path in output_root.glob("*/*/results.json"))
    runs = [_read_run(folder, output_root, paper_meta) for folder in folders]
    order = list(paper_meta)
    runs.sort(key=lambda run: order.index(run["results"]["paper"]) if run["results"]["paper"] in order else len(order))
    done = {run["results"]["paper"] for run in runs}
    waiting = {paper: meta for paper, meta in paper_meta.items() if paper not in done}
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.get_template("page.html.jinja").render(runs=runs, waiting=waiting)
    target = output_root / "index.html"
    with atomic_path(target) as path:
        path.write_text(page, encoding="utf-8")
    return target


def _read_run(folder: Path, output_root: Path, paper_meta: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the page shows of one run, as plain data."""
    try:
        results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        tables = {name: read_table(folder / "tables" / f"{name}.csv") for name in results["tables"]}
        claims = read_table(folder / "claims.csv") if (folder / "claims.csv").is_file() else pd.DataFrame()
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{folder} is not a complete run ({error}); rerun it with retina-kit run") from error
    meta = paper_meta.get(results["paper"]) or results.get("published", {})
    labels = {arm["arm"]: arm.get("label") or arm["arm"] for arm in results["arms"]}
    shown = _claims_of(claims)
    made = {figure["id"] for figure in results["figures"]} | set(results["tables"])
    return {
        "results": results,
        "link": folder.relative_to(output_root).as_posix(),
        "meta": meta,
        "tables": {name: _rows_of(table, labels) for name, table in tables.items() if is_tidy(table)},
        "key_figure": _key_figure(results["figures"], tables, shown),
        "first": {kind: next((c for c in shown if c["kind"] == kind), None) for kind in ("replication", "control")},
        "figure_data": _data_of(folder, results["figures"]),
        "other_tables": [name for name, table in tables.items() if not is_tidy(table)],
        "claims": shown,
        "not_made": [item for item in meta.get("artifacts", []) if item["id"] not in made],
        "training_seconds": round(sum(arm["seconds"] for arm in results["arms"])),
        "devices": sorted({arm["device"] for arm in results["arms"]}),
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
            "metric": line["metric"].replace("_", " "),
            "ours": _score(line["metric"], line["ours_mean"]),
            "sd": _score(line["metric"], line["ours_sd"]),
            "interval": _interval(line["metric"], line["ours_ci_low"], line["ours_ci_high"]),
            "seeds": line["n_seeds"],
            "patients": line["n_patients"],
            "paper": _score(line["metric"], line["paper_value"]),
            "note": line["note"] if isinstance(line["note"], str) else "",
        }
        for line in table.to_dict("records")
    ]


def _score(metric: str, value: float) -> str:
    """Write a score with its unit, "-" if there is none.

    >>> _score("dice", 0.5), _score("distance", 12.345), _score("dice", float("nan"))
    ('50.0 %', '12.3 px', '-')
    """
    text = in_unit(metric, value)
    return text if text == "-" or metric == "time" or metric in UNITS else f"{text} %"


def _interval(metric: str, low: float, high: float) -> str:
    """Write "low to high" with its unit, "-" if there is no interval."""
    return "-" if pd.isna(low) else f"{in_unit(metric, low)} to {_score(metric, high)}"


def _claims_of(claims: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the claims as readable rows."""
    keys = ("claim", "statement", "kind", "verdict", "rule", "sentence", "scope", "statistic")
    return [
        {key: line[key] for key in keys} | {"estimate": estimate(line["estimate"], line["ci_low"], line["ci_high"])}
        for line in claims.to_dict("records")
    ]
