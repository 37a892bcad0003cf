"""Lists what the panels of a figure show, for readers who cannot see its images, boxes and arrows."""

from collections.abc import Iterator

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure


def shown_panels(figure: Figure) -> pd.DataFrame:
    """List the panels of a figure of images or boxes: row, column, and what is shown, in words; empty ones are omitted.

    A panel without a title has that of the first row. The words are the title, the size of the image in pixels, and
    the labels of what lies on it; of a diagram, the title and its texts from left to right.

    >>> from retina_kit.reporting.figures.axes import new_axes
    >>> ax = new_axes()
    >>> _ = ax.imshow([[0, 1, 0]]), ax.set_title("a scan")
    >>> shown_panels(ax.figure).to_dict("list")
    {'row': [1], 'column': [1], 'shown': ['a scan: gray image, 3 x 1 pixels']}
    """
    rows: list[dict[str, object]] = []
    headings: dict[int, str] = {}
    for ax in figure.axes:
        spec = ax.get_subplotspec()
        parts = [*_image_words(ax), *_text_words(ax)] if spec is not None else []
        if spec is None or not parts:
            continue
        column = spec.colspan.start + 1
        title = title_of(ax) or headings.get(column, "")
        headings.setdefault(column, title)
        words = ", ".join(parts)
        rows.append({"row": spec.rowspan.start + 1, "column": column, "shown": f"{title}: {words}" if title else words})
    return pd.DataFrame(rows)


def title_of(ax: Axes) -> str:
    """Return the title of a panel, wherever it is, in one line."""
    return " ".join((ax.get_title() or ax.get_title("left")).split())


def _image_words(ax: Axes) -> Iterator[str]:
    """Yield what the image of a panel is, and what lies on it: other images, outlines and points by their labels."""
    for k, image in enumerate(ax.images):
        shape = image.get_size()
        kind = "color" if image.get_array().ndim == 3 else "gray"  # type: ignore[union-attr]
        yield f"{kind} image, {shape[1]} x {shape[0]} pixels" if k == 0 else _label(image, "overlay")
    if ax.images:
        yield from (_label(item, "outline") for item in ax.collections if isinstance(item, QuadContourSet))
        yield from (_label(line, "point") for line in ax.lines)


def _label(artist: object, otherwise: str) -> str:
    """Return the label of an artist, or other words if it has none of its own."""
    label = str(artist.get_label())  # type: ignore[attr-defined]
    return otherwise if label.startswith("_") else label


def _text_words(ax: Axes) -> Iterator[str]:
    """Yield the texts of a diagram from left to right, above each other from the top."""
    if not ax.images:
        for text in sorted(ax.texts, key=lambda text: (text.get_position()[0], -text.get_position()[1])):
            if words := " ".join(text.get_text().split()):
                yield words
