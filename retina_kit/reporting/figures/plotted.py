"""Reads back what a figure plots, so that a table can stand next to it for readers who cannot see the figure."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.category import StrCategoryFormatter
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedFormatter, FuncFormatter

from retina_kit.reporting.figures.panels import shown_panels, title_of

Row = dict[str, Any]
Ends = Sequence[tuple[float, float]]
OF_A_BOX = "_nolegend_"  # how boxplots label their lines


def plotted_data(figure: Figure) -> pd.DataFrame:
    """List the points, lines and bars of a figure: panel, series, x, y, and the ends of error bars.

    x and y are named as the axes are if all panels agree. A tick that has a text stands for its number. Of a figure
    that consists of images or boxes, what each panel shows (`shown_panels`).

    >>> from retina_kit.reporting.figures.axes import new_axes
    >>> ax = new_axes()
    >>> _ = ax.plot([1, 2], [0.5, 0.6], label="Dice"), ax.set(xlabel="step")
    >>> plotted_data(ax.figure).to_dict("list")
    {'series': ['Dice', 'Dice'], 'step': [1.0, 2.0], 'y': [0.5, 0.6]}
    """
    rows = {ax: list(_rows_of(ax)) for ax in figure.axes if not ax.images}
    panels = [ax for ax, found in rows.items() if found]  # not the color bars
    if not panels:
        return shown_panels(figure)
    table = pd.DataFrame([row for found in rows.values() for row in found], columns=list(_row("", "", 0, 0)))
    for column in ("panel", "series"):
        if not table[column].str.len().any():
            table[column] = np.nan
    found = {"x": {ax.get_xlabel() for ax in panels}, "y": {ax.get_ylabel() for ax in panels}}
    names = {axis: labels.pop() for axis, labels in found.items() if len(labels) == 1}
    names = {axis: name for axis, name in names.items() if name and name not in table}
    alike = len(set(names.values())) < len(names)
    return table.dropna(axis="columns", how="all").rename(columns={} if alike else names)


def describe_axes(figure: Figure) -> str:
    """Describe a figure by the titles of its panels and the names of their axes; "" if there are none.

    >>> from retina_kit.reporting.figures.axes import new_axes
    >>> ax = new_axes()
    >>> _ = ax.set(xlabel="step", ylabel="Dice")
    >>> describe_axes(ax.figure)
    'Dice against step'
    """
    named = [
        f"{ax.get_ylabel()} against {ax.get_xlabel()}" for ax in figure.axes if ax.get_xlabel() and ax.get_ylabel()
    ]
    return "; ".join(dict.fromkeys([*filter(None, map(title_of, figure.axes)), *named]))


def _rows_of(ax: Axes) -> Iterator[Row]:
    """Yield a row per point of the lines, error bars and bars of one panel."""
    drawn: set[Any] = set()
    for container in ax.containers:
        if isinstance(container, ErrorbarContainer) and container.lines[0] is not None:
            drawn.update([container.lines[0], *container.lines[1]])
            yield from _points(ax, str(container.get_label()), container.lines[0], _ends(container))
        if isinstance(container, BarContainer):
            bars = container.errorbar
            drawn.update([bars.lines[0], *bars.lines[1]] if bars is not None else [])
            yield from _bars(ax, container)
    for line in ax.lines:
        if line not in drawn and line.get_transform() == ax.transData and line.get_label() != OF_A_BOX:
            yield from _points(ax, str(line.get_label()), line)


def _points(ax: Axes, label: str, line: Line2D, ends: Ends = ()) -> Iterator[Row]:
    """Yield the points of a line, with the ends of their error bars if there are any."""
    for k, (x, y) in enumerate(np.asarray(line.get_xydata(), float).tolist()):
        yield _row(title_of(ax), label, _named(ax.xaxis, x), _named(ax.yaxis, y), ends[k : k + 1])


def _bars(ax: Axes, container: BarContainer) -> Iterator[Row]:
    """Yield the bars of one series: their place and their height, with the ends of their error bars."""
    ends = _ends(container.errorbar) if container.errorbar is not None else []
    title, label = title_of(ax), str(container.get_label())
    for k, bar in enumerate(container.patches):
        middle = bar.get_x() + bar.get_width() / 2
        if container.orientation == "horizontal":  # a box from one value to another
            span = (float(bar.get_x()), float(bar.get_x() + bar.get_width()))
            yield _row(title, label, middle, _named(ax.yaxis, bar.get_y() + bar.get_height() / 2), [span])
        else:
            yield _row(title, label, _named(ax.xaxis, middle), float(bar.get_height()), ends[k : k + 1])


def _row(panel: str, label: str, x: float | str, y: float | str, ends: Ends = ()) -> Row:
    """Make a row of the table; a label that no legend shows is no series."""
    low, high = ends[0] if ends else (np.nan, np.nan)
    series = "" if label.startswith("_") else " ".join(label.split())
    return {"panel": panel, "series": series, "x": x, "y": y, "low": low, "high": high}


def _ends(container: ErrorbarContainer) -> list[tuple[float, float]]:
    """List the lower and the upper end of each error bar, NaN where there is none."""
    if not container.lines[2]:
        return []
    along = 0 if container.has_xerr else 1
    segments = [np.asarray(segment, float) for segment in container.lines[2][0].get_segments()]
    return [(part[:, along].min(), part[:, along].max()) if len(part) else (np.nan, np.nan) for part in segments]


def _named(axis: Axis, value: float) -> float | str:
    """Return the text of the nearest tick if the ticks of an axis have texts, else the number."""
    formatter = axis.get_major_formatter()
    if isinstance(formatter, FixedFormatter | FuncFormatter | StrCategoryFormatter) and np.isfinite(value):
        places = np.asarray(axis.get_majorticklocs(), float)
        texts = formatter.format_ticks(places.tolist())
        if len(places) and any(text and not _is_number(text) for text in texts):
            nearest = int(np.abs(places - value).argmin())
            return " ".join(texts[nearest].split()) if abs(places[nearest] - value) <= 0.5 else float(value)
    return float(value)


def _is_number(text: object) -> bool:
    """Tell whether a text reads as a number."""
    try:
        float(str(text))
    except ValueError:
        return False
    return True
