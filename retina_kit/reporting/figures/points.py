"""Localization errors: error maps over the image, and the fraction of images within a distance."""

from collections.abc import Mapping
from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from retina_kit.reporting.figures.axes import COLORS, new_grid


def plot_point_errors(scores: pd.DataFrame, labels: Mapping[str, str], size: tuple[int, int]) -> Figure:
    """Plot one error map per arm, and the fraction of the images within a distance.

    `scores` has arm, predicted_x, predicted_y, target_x, target_y and distance in pixels of an image of `size` (H, W),
    and distance_diameters. An arrow points from the true center to the predicted one, its color is the distance.
    """
    height, width = size
    figure, axes = new_grid(-(-(len(labels) + 1) // 2), 2, cell=4.6, aspect=height / width + 0.12)
    for ax in axes.flat[len(labels) + 1 :]:
        ax.set_visible(False)
    for ax, (arm, label) in zip(axes.flat, labels.items(), strict=False):
        rows = scores[scores["arm"] == arm]
        arrows = ax.quiver(
            rows["target_x"],
            rows["target_y"],
            rows["predicted_x"] - rows["target_x"],
            rows["predicted_y"] - rows["target_y"],
            rows["distance"],
            cmap="viridis_r",
            angles="xy",
            scale_units="xy",
            scale=1,
            width=0.004,
        )
        ax.plot(rows["target_x"], rows["target_y"], ".", color="0.4", markersize=2)
        ax.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
        ax.spines[:].set_visible(True)
        ax.set_title(f"{label}: mean {rows['distance'].mean():.1f} pixels", fontsize=8)
        figure.colorbar(arrows, ax=ax, shrink=0.8, label=f"pixels of {width} x {height}")
    _plot_cumulative(axes.flat[len(labels)], scores, labels)
    return figure


def _plot_cumulative(ax: Axes, scores: pd.DataFrame, labels: Mapping[str, str]) -> None:
    """Plot the fraction of the images whose center is within a distance, in disc diameters, one line per arm."""
    for color, (arm, label) in zip(cycle(COLORS), labels.items(), strict=False):
        values = np.sort(scores.loc[scores["arm"] == arm, "distance_diameters"].dropna())
        ax.step([0, *values], np.arange(len(values) + 1) / max(1, len(values)), where="post", color=color, label=label)
    ax.axvline(0.5, color="0.3", linewidth=0.8, linestyle="--")
    ax.tick_params(labelsize=8)
    ax.set(xticks=[0, 0.5, 1, 1.5, 2], yticks=[0, 0.5, 1], xlim=(0, 2), ylim=(0, 1.02))
    ax.set(xlabel="distance in disc diameters (dashed: border)", ylabel="fraction of the images")
    ax.spines[["left", "bottom"]].set_visible(True)
    ax.legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(0, -0.25))
