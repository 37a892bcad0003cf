"""What all figures share: colors, fonts, and axes that no window and no cell shows by itself."""

import matplotlib
import matplotlib.pyplot as plt

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#444444")
VERDICT_COLORS = {"supported": "#009E73", "not supported": "#D55E00", "inconclusive": "#888888"}
HIT, MISS, FALSE_ALARM = (
    "#F0E442",
    "#D62728",
    "#2CA02C",
)  # yellow, red, green: the colors of Ortiz 2022, Figure 5

matplotlib.rcParams.update(
    {
        "font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
        "grid.alpha": 0.25, "figure.constrained_layout.use": True,
        "svg.hashsalt": "retina-kit", "savefig.facecolor": "white",
        "axes.prop_cycle": matplotlib.cycler(color=COLORS),
    }
)  # fmt: skip


def new_axes(width=6.0, height=3.6):
    """Return the axes of a new figure that no window and no cell shows by itself."""
    return plt.Figure(figsize=(width, height)).subplots()


def new_grid(num_rows, num_columns, *, cell=2.2, aspect=0.66):
    """Return (figure, axes (rows, columns)) for images, without ticks."""
    figure = plt.Figure(figsize=(cell * num_columns, cell * aspect * num_rows + 0.35))
    axes = figure.subplots(num_rows, num_columns, squeeze=False)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.grid(False)
        ax.spines[:].set_visible(False)
    return figure, axes
