"""Turns the outputs of an executed notebook into HTML that any exporter keeps: living widgets, figures with data."""

import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from retina_kit.reporting.living.states import MIME, images_listed

if TYPE_CHECKING:  # a second, which only a page needs
    from nbformat import NotebookNode

HERE = Path(__file__).parent
DATA_MIME = "application/vnd.retina-kit.data+json"  # of what a figure plots, in a notebook's output
MOST_ROWS = 400  # of the table behind a figure on a page
SCRIPT, STYLE = ((HERE / f"living.{kind}").read_text(encoding="utf-8") for kind in ("js", "css"))


def as_living(notebook: "NotebookNode") -> "NotebookNode":
    """Change each image of an executed notebook into HTML with its alternative text, data and controls, and return it.

    An output with the state of a widget gets the image or table that stands in for it, and the state; a page needs
    `living_assets` once. Other images become figures. The notebook itself is changed.
    """
    for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
        shown = output.get("data", {})
        fallback = shown.get("text/html", "") if MIME in shown else ""
        if "image/png" in shown and "text/html" not in shown:
            fallback = figure_html(shown["image/png"], alt_text(output), shown.get(DATA_MIME))
        if MIME in shown:
            fallback = living_html(fallback, shown[MIME])
        if fallback:
            shown["text/html"] = fallback
            for kind in ("image/png", MIME, DATA_MIME):
                shown.pop(kind, None)
    return notebook


def alt_text(output: Mapping[str, Any]) -> str:
    """Return what an image output shows: its alternative text, or the plain text with it; "" if there is neither."""
    shown = output.get("data", {})
    alt = output.get("metadata", {}).get("image/png", {}).get("alt") or shown.get("text/plain", "")
    return "" if alt.startswith("<") else alt


def living_assets() -> str:
    """Return the style and the script of living outputs as HTML, for the end of a page."""
    return f"<style>{STYLE}</style><script>{SCRIPT}</script>"


def living_html(fallback: str, state: Mapping[str, Any]) -> str:
    """Put the state of a widget next to the HTML that stands in for it, and the list of its images below."""
    text = json.dumps(state, separators=(",", ":")).replace("<", "\\u003c")
    plain = f'<div class="kit-fallback">{fallback}</div>'
    listed = images_listed(state)
    data = data_html(table_data(listed)) if len(listed) else ""
    return f'<div class="kit-living">{plain}<script type="application/json">{text}</script>{data}</div>'


def figure_html(png: str, alt: str, data: Mapping[str, Any] | None = None) -> str:
    """Return a figure with its alternative text and, folded, the table of what it plots.

    `png` is base64; `data` is what `table_data` returns.

    >>> "<details>" in figure_html("", "Dice", {"columns": ["x", "y"], "data": [[1, 0.5]]})
    True
    """
    image = f'<img src="data:image/png;base64,{png.strip()}" alt="{html.escape(alt)}">'
    return f'<figure class="kit-figure">{image}{data_html(data) if data else ""}</figure>'


def table_data(table: pd.DataFrame) -> dict[str, Any]:
    """Return a table as plain data for a notebook's output: columns, the first 400 rows, and how many there are.

    >>> table_data(pd.DataFrame({"x": [1, 2], "y": [0.5, None]}))
    {'columns': ['x', 'y'], 'data': [[1, 0.5], [2, None]], 'rows': 2}
    """
    split = json.loads(table.head(MOST_ROWS).to_json(orient="split", index=False))
    return {"columns": split["columns"], "data": split["data"], "rows": len(table)}


def data_html(data: Mapping[str, Any]) -> str:
    """Return the folded table of what a figure plots or shows; a long one is cut, and a line tells where."""
    table = pd.DataFrame(data["data"], columns=data["columns"])
    rows = table.to_html(index=False, border=0, na_rep="", float_format=lambda number: f"{number:.4g}")
    total = data.get("rows", len(table))
    cut = f"<p>The first {len(table)} of {total} rows.</p>" if total > len(table) else ""
    scroll = f'<div class="kit-scroll" tabindex="0" role="region" aria-label="data of the figure">{rows}</div>'
    title = "What this figure shows" if "shown" in data["columns"] else "Data of this figure"
    return f"<details><summary>{title} ({total} rows)</summary>{cut}{scroll}</details>"
