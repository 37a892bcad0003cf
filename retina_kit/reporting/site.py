"""Builds the front page: every paper that was run, its tables next to the published values, figures, verdicts."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from retina_kit.errors import DataError
from retina_kit.files import atomic_path
from retina_kit.reporting.tables import is_tidy, read_table
from retina_kit.reporting.units import estimate, in_unit, interval


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
    made = {figure["id"] for figure in results["figures"]} | set(results["tables"])
    return {
        "results": results,
        "link": folder.relative_to(output_root).as_posix(),
        "meta": meta,
        "tables": {name: _rows_of(table) for name, table in tables.items() if is_tidy(table)},
        "other_tables": [name for name, table in tables.items() if not is_tidy(table)],
        "claims": _claims_of(claims),
        "not_made": [item for item in meta.get("artifacts", []) if item["id"] not in made],
        "training_seconds": round(sum(arm["seconds"] for arm in results["arms"])),
        "devices": sorted({arm["device"] for arm in results["arms"]}),
    }


def _rows_of(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a tidy table as readable rows, one per arm and metric, scores in percent."""
    rows = []
    for line in table.to_dict("records"):
        rows.append(
            {
                "arm": line["arm"],
                "metric": line["metric"],
                "ours": in_unit(line["metric"], line["ours_mean"]),
                "sd": in_unit(line["metric"], line["ours_sd"]),
                "interval": interval(line["metric"], line["ours_ci_low"], line["ours_ci_high"]),
                "seeds": line["n_seeds"],
                "patients": line["n_patients"],
                "paper": in_unit(line["metric"], line["paper_value"]),
                "note": line["note"] if isinstance(line["note"], str) else "",
            }
        )
    return rows


def _claims_of(claims: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the claims as readable rows."""
    keys = ("claim", "statement", "kind", "verdict", "sentence", "scope")
    return [
        {key: line[key] for key in keys} | {"estimate": estimate(line["estimate"], line["ci_low"], line["ci_high"])}
        for line in claims.to_dict("records")
    ]
