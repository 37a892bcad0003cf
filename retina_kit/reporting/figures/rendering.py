"""From a figure to image files; it is laid out once, however many files it becomes."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from retina_kit.files import atomic_path

METADATA = {"png": {"Software": None}, "svg": {"Date": None}}  # the same figure gives the same bytes


def write_figure(figure: Any, folder: Path, name: str) -> None:
    """Write a figure, or the figure of some axes, as <name>.png and <name>.svg, cropped to its content."""
    figure = getattr(figure, "figure", figure)
    figure.stale = True  # the last word on its layout, whatever has changed
    with laid_out(figure):
        shown = figure.get_tightbbox().padded(matplotlib.rcParams["savefig.pad_inches"])
        for kind, metadata in METADATA.items():
            with atomic_path(folder / f"{name}.{kind}") as path:
                figure.savefig(path, format=kind, dpi=120, bbox_inches=shown, metadata=metadata)


def png_of(figure: Any) -> bytes:
    """Render a figure, or the figure of some axes, as a PNG."""
    buffer = io.BytesIO()
    figure = getattr(figure, "figure", figure)
    with laid_out(figure):
        figure.savefig(buffer, format="png", dpi=90)
    return buffer.getvalue()


@contextlib.contextmanager
def laid_out(figure: Figure) -> Iterator[None]:
    """Lay a figure out, unless it counts as unchanged since the last time, and keep the layout while it is saved.

    Matplotlib lays a figure that has a layout engine out for each file, which takes as long as rendering it. It does
    not notice that a label's object was changed, such as with `ax.yaxis.label.set_text`.
    """
    if figure.stale:
        figure.draw_without_rendering()
    figure.get_layout_engine = lambda: None  # type: ignore[method-assign]
    figure.set_layout_engine = lambda *_, **__: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        del figure.get_layout_engine, figure.set_layout_engine  # type: ignore[method-assign]
        figure.stale = False  # saving it at another resolution marks it, though nothing on it has changed
