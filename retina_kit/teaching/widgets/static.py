"""Shows a widget together with a static image or table for pages on which no widget works: one output holds both."""

import base64
import html
import inspect
import io
from collections.abc import Sequence
from typing import Any

import pandas as pd
from IPython.display import Code, display
from ipywidgets import Widget

from retina_kit.errors import unknown_name
from retina_kit.reporting.figures.plotted import describe_axes, plotted_data
from retina_kit.reporting.living.pages import DATA_MIME, table_data
from retina_kit.reporting.living.states import MIME

VIEW = "application/vnd.jupyter.widget-view+json"


def png_of(figure: Any) -> bytes:
    """Render a figure, or the figure of some axes, as a PNG."""
    buffer = io.BytesIO()
    getattr(figure, "figure", figure).savefig(buffer, format="png", dpi=90)
    return buffer.getvalue()


def show(*things: Any) -> None:
    """Show figures (or axes) as images, and tables as they are, in the notebook's output.

    A figure's alternative text is its label, which `Report.save_figure` sets, or else the names of its axes. The output
    also holds the data that it plots, which pages fold below it.
    """
    for thing in things:
        figure = getattr(thing, "figure", thing)
        if hasattr(figure, "savefig"):
            _show_figure(figure)
        else:
            display(thing)


def _show_figure(figure: Any) -> None:
    """Show a figure as an image, with its alternative text and its data."""
    alt, data = figure.get_label() or describe_axes(figure), plotted_data(figure)
    parts: dict[str, Any] = {"image/png": base64.b64encode(png_of(figure)).decode(), "text/plain": alt}
    if len(data):
        parts[DATA_MIME] = table_data(data)
    display(parts, metadata={"image/png": {"alt": alt}}, raw=True)


def show_folded(summary: str, table: pd.DataFrame) -> None:
    """Show a long table folded below one line of summary; a click on the line opens it."""
    with pd.option_context("display.max_colwidth", None, "display.max_rows", None):
        rows = table.to_html(index=False)
    page = f"<details><summary>{html.escape(summary)} ({len(table)} rows)</summary>{rows}</details>"
    display({"text/html": page, "text/plain": f"{summary}\n{table.to_string(index=False)}"}, raw=True)


def show_settings(settings: pd.DataFrame, important: Sequence[str], *, arms: pd.DataFrame) -> None:
    """Show the few settings that matter, and fold all settings and all arms below them.

    `settings` is what `Experiment.settings` returns, `important` the names of those that matter, `arms` the table of
    arms. Raises UsageError for an important setting that does not exist.
    """
    for name in important:
        if name not in set(settings["setting"]):
            raise unknown_name("setting", name, settings["setting"])
    with pd.option_context("display.max_colwidth", None):
        short = settings.set_index("setting").loc[list(important)].drop(columns="where it is reported")
        display({"text/html": short.to_html(index=False), "text/plain": short.to_string(index=False)}, raw=True)
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
) -> "Presented":
    """Show a widget; on a static page or in a headless run, the image or the table stands in for it.

    `state` lets an exported page offer the widget's controls without a kernel (reporting.living.states).
    Returns a handle, whose `update` replaces image and table and leaves the widget as it is.
    """
    return Presented(widget, png, html, text, state)


class Presented:
    """One output of a notebook: a widget, and an image or a table for readers without a kernel."""

    def __init__(
        self, widget: Widget, png: bytes | None, html: str | None, text: str, state: dict[str, Any] | None = None
    ) -> None:
        self.widget, self.text, self.state = widget, text, state
        self.handle = display(self.bundle(png, html), raw=True, display_id=True)

    def bundle(self, png: bytes | None, html: str | None) -> dict[str, Any]:
        """Make the output's MIME bundle; JupyterLab prefers the widget, a static page has only the image."""
        view = {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id}  # of ipywidgets 7 and 8
        parts: dict[str, Any] = {"text/plain": self.text, VIEW: view}
        if self.state is not None:
            parts[MIME] = self.state
        if png is not None:
            parts["image/png"] = base64.b64encode(png).decode()
        if html is not None:
            parts["text/html"] = html
        return parts

    def update(self, png: bytes | None = None, html: str | None = None) -> None:
        """Replace the image or the table that stands in for the widget."""
        if self.handle is not None:
            self.handle.update(self.bundle(png, html), raw=True)
