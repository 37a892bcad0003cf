"""The scheme of two phases, from the layers of the networks themselves (Hu 2018, Figure 1)."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from retina_kit.reporting.figures.axes import COLORS, new_grid

COLOR_OF = {"encoder": COLORS[0], "decoder": COLORS[2], "head": COLORS[1]}
Point = tuple[float, float]


def blocks_of(layers: pd.DataFrame) -> pd.DataFrame:
    """Sum a table of layers up to one row per block: part, number, the shape of its output, and its weights.

    `layers` is what `models.build.describe_layers` returns; a layer "encoder.blocks.2.0" belongs to block 2 of the
    encoder, up-samplings to the decoder block that follows them, and all of the head to one block.
    """
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    for layer in layers.to_dict("records"):
        part, *rest = layer["layer"].split(".")
        number = int(rest[1]) if part != "head" else 0
        before = rows.get((part, number), {"weights": 0})
        rows[part, number] = {"output": layer["output (C, H, W)"], "weights": before["weights"] + layer["weights"]}
    return pd.DataFrame([{"part": part, "number": number, **row} for (part, number), row in rows.items()])


def plot_two_phases(localizer_layers: pd.DataFrame, unet_layers: pd.DataFrame) -> Figure:
    """Plot the localizer on the left and the U-Net that takes over its encoder on the right.

    Each box is a block, with its channels and its height x width; a dashed border marks a frozen part.
    """
    figure, axes = new_grid(1, 2, cell=5.4, aspect=0.66)
    phases = (("Phase 1: where is the disc?", localizer_layers, False), ("Phase 2: which pixels?", unet_layers, True))
    for ax, (title, layers, frozen) in zip(axes[0], phases, strict=True):
        _plot_network(ax, blocks_of(layers), frozen)
        ax.set_title(title, fontsize=11)
    return figure


def _plot_network(ax: Axes, blocks: pd.DataFrame, frozen: bool) -> None:
    """Plot encoder blocks downwards, decoder blocks upwards next to them with their skip connections, and the head."""
    encoder, decoder = (blocks.loc[blocks["part"] == part, "output"] for part in ("encoder", "decoder"))
    depth = len(encoder)
    for k, output in enumerate(encoder):
        _box(ax, (0, depth - k), "encoder", _size(output), dashed=frozen)
        if k:
            _arrow(ax, (0, depth - k + 0.68), (0, depth - k + 0.32), "0.3")
    for k, output in enumerate(decoder):
        y = k + 2
        _box(ax, (2.4, y), "decoder", _size(output))
        _arrow(ax, (0.8, y), (1.6, y), COLOR_OF["encoder"], "concatenate" if k == len(decoder) - 1 else "")
        _arrow(ax, (0.8, 1) if k == 0 else (2.4, y - 0.68), (1.9, y - 0.32) if k == 0 else (2.4, y - 0.32), "0.3")
    x, y = (4.4, depth) if len(decoder) else (2.4, 1)
    _box(ax, (x, y), "head", "disc or not" if len(decoder) else "(x, y)", width=0.62)
    _arrow(ax, (x - 1.2 if len(decoder) else 0.8, y), (x - 0.62, y), "0.3")
    note = "dashed: frozen, weights and BatchNorm statistics" if frozen else "encoder: kept for phase 2"
    ax.text(-0.8, 0.3, f"{note}; {blocks['weights'].sum():,} weights", fontsize=8, va="top")
    ax.set(xlim=(-1, 5.2), ylim=(-0.1, depth + 0.6))


def _size(output: tuple[int, int, int]) -> str:
    """Write the shape of a block's output as its label."""
    return f"{output[0]} channels\n{output[1]} x {output[2]}"


def _box(ax: Axes, center: Point, part: str, text: str, *, dashed: bool = False, width: float = 0.8) -> None:
    """Add one block, 2 * `width` wide, with its label."""
    x, y = center
    red, green, blue = (1 - 0.18 * (1 - value) for value in to_rgb(COLOR_OF[part]))
    shape = FancyBboxPatch(
        (x - width, y - 0.3),
        2 * width,
        0.6,
        boxstyle="round,pad=0.02",
        facecolor=(red, green, blue),
        linestyle="--" if dashed else "-",
        edgecolor=COLOR_OF[part],
        linewidth=1.6,
    )
    ax.add_patch(shape)
    ax.text(x, y, text, ha="center", va="center", fontsize=8)


def _arrow(ax: Axes, start: Point, end: Point, color: str, label: str = "") -> None:
    """Add an arrow between two points, with a word above it."""
    ax.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=9, color=color, linewidth=1))
    if label:
        ax.text((start[0] + end[0]) / 2, start[1] + 0.07, label, ha="center", fontsize=7, color=color)
