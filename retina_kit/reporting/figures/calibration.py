"""Reliability diagram: how often a pixel belongs to the structure, against the probability it was given."""

from collections.abc import Mapping
from itertools import cycle

import pandas as pd
from matplotlib.figure import Figure

from retina_kit.evaluation.calibration import error_of
from retina_kit.reporting.figures.axes import COLORS, new_grid


def plot_reliability(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Plot one line per network through its bins, and how many pixels each bin holds.

    `tables` maps labels to tables of `evaluation.calibration.reliability`. Below the diagonal a network is
    overconfident. The legend has the expected calibration error.
    """
    figure, axes = new_grid(1, 2, cell=4.2, aspect=1.0)
    diagram, histogram = axes[0]
    diagram.plot([0, 1], [0, 1], color="0.5", linestyle="--", linewidth=0.8, label="calibrated")
    for color, (label, table) in zip(cycle(COLORS), tables.items(), strict=False):
        name = f"{label}: ECE {error_of(table):.3f}"
        diagram.plot(table["confidence"], table["frequency"], "o-", color=color, markersize=3, label=name)
        center = (table["low"] + table["high"]) / 2
        histogram.step(center, table["count"], where="mid", color=color)
    diagram.set(xlim=(0, 1), ylim=(0, 1), xlabel="predicted probability", ylabel="fraction that is foreground")
    diagram.set(xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
    figure.legend(loc="outside lower center", frameon=False, fontsize=8)  # long labels would cover the lines
    histogram.set(
        xlim=(0, 1), xticks=[0, 0.5, 1], yscale="log", xlabel="predicted probability", ylabel="pixels (log scale)"
    )
    for ax in (diagram, histogram):
        ax.spines[["left", "bottom"]].set_visible(True)
    return figure
