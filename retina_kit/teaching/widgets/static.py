"""Shows a widget together with a static image or table for pages on which no widget works: one output holds both."""

import base64
import html
import inspect
from collections.abc import Sequence
from typing import Any

import pandas as pd
from IPython.display import Code, display
from ipywidgets import Widget

from retina_kit.errors import unknown_name
from retina_kit.reporting.figures.plotted import describe_axes, plotted_data
from retina_kit.reporting.figures.rendering import png_of
from retina_kit.reporting.living.pages import DATA_MIME, table_data
from retina_kit.reporting.living.states import MIME

VIEW = "application/vnd.jupyter.widget-view+json"
LEFT_ALIGNED = "<style>.kit-table th, .kit-table td {text-align: left !important}</style>"  # Jupyter aligns right


def show(*things: Any, alt: str = "", num_rows: int = 12) -> None:
    """Show figures (or axes) as images, tables as text that is never cut, and everything else as it is.

    A figure's alternative text is its label, which `Report.save_figure` sets, or else `alt`, or else the names of its
    axes. The output also holds the data that it plots, which pages fold below it. The rows of a table after the first
    `num_rows` are folded; columns without any text are left out.
    """
    for thing in things:
        figure = getattr(thing, "figure", thing)
        if hasattr(figure, "savefig"):
            _show_figure(figure, alt)
        elif isinstance(thing, pd.DataFrame):
            _show_table(thing, num_rows)
        else:
            display(thing)


def _show_table(table: pd.DataFrame, num_rows: int) -> None:
    """Show a table as HTML, with its first rows open and the others folded; an index without a meaning is left out."""
    table = table.loc[:, [not table[column].eq("").all() for column in table]]
    indexed = not isinstance(table.index, pd.RangeIndex)
    page = LEFT_ALIGNED + _html_of(table.head(num_rows), indexed)
    if (left := len(table) - num_rows) > 0:
        rest = _html_of(table.iloc[num_rows:], indexed)
        page += f"<details><summary>{left} more row{'s' * (left > 1)}</summary>{rest}</details>"
    display(
        {"text/html": f"<div class='kit-table'>{page}</div>", "text/plain": table.to_string(index=indexed)}, raw=True
    )


def _html_of(table: pd.DataFrame, indexed: bool) -> str:
    """Write a table as HTML without cutting its texts."""
    with pd.option_context("display.max_colwidth", None, "display.max_rows", None):
        return table.to_html(index=indexed, border=0, na_rep="-")


def _show_figure(figure: Any, alt: str) -> None:
    """Show a figure as an image, with its alternative text and its data."""
    figure.set_label(figure.get_label() or alt)
    alt, data = figure.get_label() or describe_axes(figure), plotted_data(figure)
    parts: dict[str, Any] = {"image/png": base64.b64encode(png_of(figure)).decode(), "text/plain": alt}
    if len(data):
        parts[DATA_MIME] = table_data(data)
    display(parts, metadata={"image/png": {"alt": alt}}, raw=True)


def show_folded(summary: str, table: pd.DataFrame) -> None:
    """Show a long table folded below one line of summary; a click on the line opens it."""
    rows = _html_of(table, indexed=False)
    page = f"<details><summary>{html.escape(summary)} ({len(table)} rows)</summary>{rows}</details>"
    page = f"<div class='kit-table'>{LEFT_ALIGNED}{page}</div>"
    display({"text/html": page, "text/plain": f"{summary}\n{table.to_string(index=False)}"}, raw=True)


def show_settings(settings: pd.DataFrame, important: Sequence[str], *, arms: pd.DataFrame) -> None:
    """Show the few settings that matter, and fold all settings and all arms below them.

    `settings` is what `Experiment.settings` returns, `important` the names of those that matter, `arms` the table of
    arms. Raises UsageError for an important setting that does not exist.
    """
    for name in important:
        if name not in set(settings["setting"]):
            raise unknown_name("setting", name, settings["setting"])
    short = settings.set_index("setting").loc[list(important)].drop(columns="where it is reported")
    show(short.reset_index(drop=True), num_rows=len(short))
    show_folded("All settings", settings)
    show_folded("All arms", arms)


def show_source(*things: Any) -> None:
    """Show the source code of functions, classes or modules of the library, as `inspect.getsource` reads it."""
    for thing in things:
        display(Code(inspect.getsource(thing), language="python"))


def present(
    widget: Widget,
    *,
    png: bytes | None = None,
    html: str | None = None,
    text: str = "",
    state: dict[str, Any] | None = None,
    data: pd.DataFrame | None = None,
) -> "Presented":
    """Show a widget; on a static page or in a headless run, the image or the table stands in for it.

    `text` describes the image, `data` is the table that a page folds below it. `state` lets an exported page offer the
    widget's controls without a kernel (reporting.living.states). Returns a handle, whose `update` replaces image,
    table, text and data and leaves the widget as it is.
    """
    return Presented(widget, png, html, text, state, data)


class Presented:
    """One output of a notebook: a widget, and an image or a table for readers without a kernel."""

    def __init__(
        self,
        widget: Widget,
        png: bytes | None,
        html: str | None,
        text: str,
        state: dict[str, Any] | None = None,
        data: pd.DataFrame | None = None,
    ) -> None:
        self.widget, self.text, self.state, self.data = widget, text, state, data
        self.handle = display(self.bundle(png, html), raw=True, display_id=True)

    def bundle(self, png: bytes | None, html: str | None) -> dict[str, Any]:
        """Make the output's MIME bundle; JupyterLab prefers the widget, a static page has only the image."""
        view = {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id}  # of ipywidgets 7 and 8
        parts: dict[str, Any] = {"text/plain": self.text, VIEW: view}
        if self.state is not None:
            parts[MIME] = self.state
        if self.data is not None:
            parts[DATA_MIME] = table_data(self.data)
        if png is not None:
            parts["image/png"] = base64.b64encode(png).decode()
        if html is not None:
            parts["text/html"] = html
        return parts

    def update(
        self,
        png: bytes | None = None,
        html: str | None = None,
        text: str | None = None,
        data: pd.DataFrame | None = None,
    ) -> None:
        """Replace what stands in for the widget: an image or a table; text and data stay if they are not given."""
        self.text, self.data = self.text if text is None else text, self.data if data is None else data
        if self.handle is not None:
            self.handle.update(self.bundle(png, html), raw=True)
