"""Diagrams drawn from what they show: networks from their stages, a method from its own images."""

import math

from matplotlib.patches import FancyArrowPatch, Rectangle

from retina_kit.reporting.figures.axes import COLORS, new_grid
from retina_kit.reporting.figures.images import plot_image

PART_COLORS = dict(zip(("input", "encoder", "decoder", "head"), ("0.8", *COLORS[:3]), strict=True))


def plot_stages(networks, *, num_columns=1):
    """Return a figure: a row of boxes a network, as tall as its feature maps and as wide as they have channels.

    `networks` maps a title to a table of stages: part, stage, channels, height, width, weights.
    """
    num_rows = -(-len(networks) // num_columns)
    figure, axes = new_grid(num_rows, num_columns, cell=9 / num_columns, aspect=0.26 * num_columns)
    for ax, (title, stages) in zip(axes.flat, networks.items(), strict=False):
        _draw_boxes(ax, stages)
        ax.set_title(f"{title}: {total_of(stages):,} weights", fontsize=9, loc="left")
    return figure


def total_of(stages):
    """Return the weights of a whole network; BatchNorm's running statistics count."""
    return int(stages["weights"].sum())


def _draw_boxes(ax, stages):
    """Draw the stages from left to right; skips bow over from every feature to where it is joined."""
    left, middles = 0.0, {}
    for place, stage in enumerate(stages.to_dict("records")):
        tall, wide = 0.2 + math.sqrt(stage["height"]) / 5, 0.15 + math.log2(1 + stage["channels"]) / 10
        box = Rectangle((left, -tall / 2), wide, tall, facecolor=PART_COLORS[stage["part"]], alpha=0.75)
        ax.add_patch(box)
        size = f"{stage['height']}x{stage['width']}" if stage["height"] > 1 else ""
        ax.text(left + wide / 2, -tall / 2 - 0.15, f"{stage['channels']:,}\n{size}", ha="center", va="top", fontsize=7)
        ax.text(left + wide / 2, tall / 2 + 0.1, stage["stage"], ha="center", va="bottom", fontsize=7)
        middles[place] = (left + wide / 2, tall / 2)
        left += wide + 0.45
    _draw_skips(ax, stages.reset_index(drop=True), middles)
    ax.set(xlim=(-0.3, left), ylim=(-3.2, 4.6))
    ax.set_aspect("auto")


def _draw_skips(ax, stages, middles):
    """Draw an arrow from every encoder stage to the decoder stage of the same size."""
    decoder = stages[(stages["part"] == "decoder") & stages["stage"].str.startswith("up")]
    for place, stage in stages[stages["part"] == "encoder"].iterrows():
        same = decoder.index[decoder["height"] == stage["height"]]
        if len(same):
            (x1, y1), (x2, y2) = middles[place], middles[same[0]]
            arrow = {"arrowstyle": "->", "color": "0.45", "mutation_scale": 8, "connectionstyle": "arc3,rad=-0.25"}
            ax.add_patch(FancyArrowPatch((x1, y1 + 0.35), (x2, y2 + 0.35), **arrow))


def plot_method(steps):
    """Return a figure with the images of a method from left to right, an arrow from each to the next.

    `steps` maps what is done to an image (C, H, W) uint8, or to an (image, mask) pair.
    """
    figure, axes = new_grid(1, len(steps), cell=2.3, aspect=1.15)
    for k, (ax, (title, shown)) in enumerate(zip(axes[0], steps.items(), strict=True)):
        image, mask = shown if isinstance(shown, tuple) else (shown, None)
        plot_image(ax, image, mask, title=f"{k + 1}. {title}")
        if k:
            ax.annotate("", (0.0, 0.5), (-0.14, 0.5), xycoords="axes fraction", arrowprops={"arrowstyle": "->"})
    return figure
