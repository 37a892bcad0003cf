"""Shows a widget with what stands in for it where no widget can live: one output that holds both."""

import base64
import io

from IPython.display import Image, display

VIEW = "application/vnd.jupyter.widget-view+json"


def png_of(figure):
    """Return a figure as the bytes of a PNG."""
    buffer = io.BytesIO()
    getattr(figure, "figure", figure).savefig(buffer, format="png", dpi=90)
    return buffer.getvalue()


def show(*things):
    """Show figures as images, and tables as they are, in the notebook's output."""
    for thing in things:
        display(Image(png_of(thing)) if hasattr(getattr(thing, "figure", thing), "savefig") else thing)


def present(widget, *, png=None, html=None, text=""):
    """Show a widget; where none can live (a page, a headless run) the image or the table says the same.

    Returns a handle, whose `update` replaces image and table and leaves the widget as it is.
    """
    return Presented(widget, png, html, text)


class Presented:
    """One output of a notebook: a widget, and an image or a table for readers without a kernel."""

    def __init__(self, widget, png, html, text):
        self.widget, self.text = widget, text
        self.handle = display(self.bundle(png, html), raw=True, display_id=True)

    def bundle(self, png, html):
        """Return the output as a MIME bundle; JupyterLab prefers the widget, a page has the image only."""
        view = {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id}  # of ipywidgets 7 and 8
        parts = {"text/plain": self.text, VIEW: view}
        if png is not None:
            parts["image/png"] = base64.b64encode(png).decode()
        if html is not None:
            parts["text/html"] = html
        return parts

    def update(self, png=None, html=None):
        """Replace what stands in for the widget."""
        if self.handle is not None:
            self.handle.update(self.bundle(png, html), raw=True)
