"""Shows a widget together with a static image or table for pages on which no widget works: one output holds both."""

import base64
import io
from typing import Any

from IPython.display import Image, display
from ipywidgets import Widget

VIEW = "application/vnd.jupyter.widget-view+json"


def png_of(figure: Any) -> bytes:
    """Render a figure, or the figure of some axes, as a PNG."""
    buffer = io.BytesIO()
    getattr(figure, "figure", figure).savefig(buffer, format="png", dpi=90)
    return buffer.getvalue()


def show(*things: Any) -> None:
    """Show figures (or axes) as images, and tables as they are, in the notebook's output."""
    for thing in things:
        display(Image(png_of(thing)) if hasattr(getattr(thing, "figure", thing), "savefig") else thing)


def present(widget: Widget, *, png: bytes | None = None, html: str | None = None, text: str = "") -> "Presented":
    """Show a widget; on a static page or in a headless run, the image or the table stands in for it.

    Returns a handle, whose `update` replaces image and table and leaves the widget as it is.
    """
    return Presented(widget, png, html, text)


class Presented:
    """One output of a notebook: a widget, and an image or a table for readers without a kernel."""

    def __init__(self, widget: Widget, png: bytes | None, html: str | None, text: str) -> None:
        self.widget, self.text = widget, text
        self.handle = display(self.bundle(png, html), raw=True, display_id=True)

    def bundle(self, png: bytes | None, html: str | None) -> dict[str, Any]:
        """Make the output's MIME bundle; JupyterLab prefers the widget, a static page has only the image."""
        view = {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id}  # of ipywidgets 7 and 8
        parts: dict[str, Any] = {"text/plain": self.text, VIEW: view}
        if png is not None:
            parts["image/png"] = base64.b64encode(png).decode()
        if html is not None:
            parts["text/html"] = html
        return parts

    def update(self, png: bytes | None = None, html: str | None = None) -> None:
        """Replace the image or the table that stands in for the widget."""
        if self.handle is not None:
            self.handle.update(self.bundle(png, html), raw=True)
