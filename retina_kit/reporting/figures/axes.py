"""What all figures share: colors, fonts, and axes that no window and no cell shows by itself."""

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#444444")
VERDICT_COLORS = {"supported": "#009E73", "not supported": "#D55E00", "inconclusive": "#5F5F5F"}
HIT, MISS, FALSE_ALARM = "#F0E442", "#0072B2", "#D55E00"  # yellow, blue, orange: told apart by color-blind readers

matplotlib.rcParams.update(
    {
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.25,
        "figure.constrained_layout.use": True,
        "svg.hashsalt": "retina-kit",  # the same figure gives the same bytes
        "savefig.facecolor": "white",
        "axes.prop_cycle": cycler(color=COLORS),
    }
)


def new_axes(width: float = 6.0, height: float = 3.6) -> Axes:
    """Make the axes of a new figure, `width` x `height` inches, that no window and no cell shows by itself.

    >>> new_axes(4, 3).figure.get_size_inches().tolist()
    [4.0, 3.0]
    """
    return Figure(figsize=(width, height)).subplots()


def new_grid(num_rows: int, num_columns: int, *, cell: float = 2.2, aspect: float = 0.66) -> tuple[Figure, np.ndarray]:
    """Make a figure and its axes (rows, columns) for images, without ticks.

    A panel is `cell` inches wide and `cell * aspect` high.

    >>> new_grid(2, 3)[1].shape
    (2, 3)
    """
    figure = Figure(figsize=(cell * num_columns, cell * aspect * num_rows + 0.35))
    axes = figure.subplots(num_rows, num_columns, squeeze=False)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.grid(False)
        ax.spines[:].set_visible(False)
    return figure, axes


def legend_on_the_right(ax: Axes, *, title: str | None = None) -> None:
    """Put the legend next to the axes, where it covers nothing."""
    ax.legend(title=title, frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
