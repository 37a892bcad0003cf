"""Diagrams made from what they show: networks from their stages, a method from its own images."""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle

from retina_kit.reporting.figures.axes import COLORS, new_grid
from retina_kit.reporting.figures.images import plot_image

PART_COLORS = dict(zip(("input", "encoder", "decoder", "head"), ("0.8", *COLORS[:3]), strict=True))
Point = tuple[float, float]


def plot_stages(networks: Mapping[str, pd.DataFrame], *, num_columns: int = 1) -> Figure:
    """Plot one row of boxes per network, as tall as its feature maps and as wide as their number of channels.

    `networks` maps a title to a table of stages: part, stage, channels, height, width, weights.
    """
    num_rows = -(-len(networks) // num_columns)
    figure, axes = new_grid(num_rows, num_columns, cell=9 / num_columns, aspect=0.26 * num_columns)
    for ax, (title, stages) in zip(axes.flat, networks.items(), strict=False):
        _plot_boxes(ax, stages)
        ax.set_title(f"{title}: {total_of(stages):,} weights", fontsize=9, loc="left")
    return figure


def total_of(stages: pd.DataFrame) -> int:
    """Count the weights of a whole network, BatchNorm's running statistics included.

    >>> total_of(pd.DataFrame({"weights": [100, 20]}))
    120
    """
    return int(stages["weights"].sum())


def _plot_boxes(ax: Axes, stages: pd.DataFrame) -> None:
    """Plot the stages from left to right, with arcs for the skip connections."""
    left, tops = 0.0, []
    for stage in stages.to_dict("records"):
        tall, wide = 0.2 + math.sqrt(stage["height"]) / 5, 0.15 + math.log2(1 + stage["channels"]) / 10
        box = Rectangle((left, -tall / 2), wide, tall, facecolor=PART_COLORS[stage["part"]], alpha=0.75)
        ax.add_patch(box)
        size = f"{stage['height']}x{stage['width']}" if stage["height"] > 1 else ""
        ax.text(left + wide / 2, -tall / 2 - 0.15, f"{stage['channels']:,}\n{size}", ha="center", va="top", fontsize=7)
        ax.text(left + wide / 2, tall / 2 + 0.1, stage["stage"], ha="center", va="bottom", fontsize=7)
        tops.append((left + wide / 2, tall / 2))
        left += wide + 0.45
    _plot_skips(ax, stages.reset_index(drop=True), tops)
    ax.set(xlim=(-0.3, left), ylim=(-3.2, 4.6))
    ax.set_aspect("auto")


def _plot_skips(ax: Axes, stages: pd.DataFrame, tops: list[Point]) -> None:
    """Plot an arc from every encoder stage to the decoder stage of the same size; `tops` are the boxes' top centers."""
    decoder = stages[(stages["part"] == "decoder") & stages["stage"].str.startswith("up")]
    for place in np.flatnonzero(stages["part"] == "encoder"):
        same = decoder.index[decoder["height"] == stages["height"].iloc[place]]
        if len(same):
            (x1, y1), (x2, y2) = tops[place], tops[same[0]]
            arc = FancyArrowPatch(
                (x1, y1 + 0.35),
                (x2, y2 + 0.35),
                arrowstyle="->",
                color="0.45",
                mutation_scale=8,
                connectionstyle="arc3,rad=-0.25",
            )
            ax.add_patch(arc)


def plot_method(steps: Mapping[str, np.ndarray | tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Plot the images of a method from left to right, with an arrow from each to the next.

    `steps` maps a step's title to an image (C, H, W) uint8, or to a pair of image and mask (H, W).
    """
    figure, axes = new_grid(1, len(steps), cell=2.3, aspect=1.15)
    for k, (ax, (title, shown)) in enumerate(zip(axes[0], steps.items(), strict=True)):
        image, mask = shown if isinstance(shown, tuple) else (shown, None)
        plot_image(ax, image, mask, title=f"{k + 1}. {title}")
        if k:
            ax.annotate("", (0.0, 0.5), (-0.14, 0.5), xycoords="axes fraction", arrowprops={"arrowstyle": "->"})
    return figure
