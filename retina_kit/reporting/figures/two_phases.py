"""The scheme of two phases, drawn from the layers of the networks themselves (Hu 2018, Figure 1)."""

import pandas as pd
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from retina_kit.reporting.figures.axes import COLORS, new_grid

COLOR_OF = {"encoder": COLORS[0], "decoder": COLORS[2], "head": COLORS[1]}


def blocks_of(layers):
    """Return one row a block of a table of layers: part, number, its output's size, and its weights.

    `layers` is what `describe_layers` returns; a layer "encoder.blocks.2.0" belongs to block 2 of the encoder,
    up-samplings to the decoder block that follows them, and all of the head to one block.
    """
    rows = {}
    for layer in layers.to_dict("records"):
        part, *rest = layer["layer"].split(".")
        number = int(rest[1]) if part != "head" else 0
        before = rows.get((part, number), {"weights": 0})
        rows[part, number] = {"output": layer["output (C, H, W)"], "weights": before["weights"] + layer["weights"]}
    return pd.DataFrame([{"part": part, "number": number, **row} for (part, number), row in rows.items()])


def plot_two_phases(localizer_layers, unet_layers):
    """Return a figure: the localizer on the left, the U-Net that takes over its encoder on the right.

    Each box is a block, with its channels and its height x width; a lock of dashes stands for a frozen part.
    """
    figure, axes = new_grid(1, 2, cell=5.4, aspect=0.66)
    phases = (("Phase 1: where is the disc?", localizer_layers, False), ("Phase 2: which pixels?", unet_layers, True))
    for ax, (title, layers, frozen) in zip(axes[0], phases, strict=True):
        draw_network(ax, blocks_of(layers), frozen)
        ax.set_title(title, fontsize=11)
    return figure


def draw_network(ax, blocks, frozen):
    """Draw encoder blocks downwards, decoder blocks upwards beside them with their skips, and the head."""
    encoder, decoder = (blocks[blocks["part"] == part].reset_index(drop=True) for part in ("encoder", "decoder"))
    depth = len(encoder)
    for k, row in encoder.iterrows():
        draw_box(ax, 0, depth - k, row, dashed=frozen)
        if k:
            arrow(ax, (0, depth - k + 0.68), (0, depth - k + 0.32), "0.3")
    for k, row in decoder.iterrows():
        y = k + 2
        draw_box(ax, 2.4, y, row)
        arrow(ax, (0.8, y), (1.6, y), COLOR_OF["encoder"], "concatenate" if k == len(decoder) - 1 else "")
        arrow(ax, (0.8, 1) if k == 0 else (2.4, y - 0.68), (1.9, y - 0.32) if k == 0 else (2.4, y - 0.32), "0.3")
    head = blocks[blocks["part"] == "head"].iloc[-1]
    x, y = (4.4, depth) if len(decoder) else (2.4, 1)
    draw_box(ax, x, y, head, label="(x, y)" if not len(decoder) else "disc or not", width=0.62)
    arrow(ax, (x - 1.2 if len(decoder) else 0.8, y), (x - 0.62, y), "0.3")
    note = "dashed: frozen, weights and BatchNorm statistics" if frozen else "encoder: kept for phase 2"
    ax.text(-0.8, 0.3, f"{note}; {blocks['weights'].sum():,} weights", fontsize=8, va="top")
    ax.set(xlim=(-1, 5.2), ylim=(-0.1, depth + 0.6))


def draw_box(ax, x, y, row, *, dashed=False, label=None, width=0.8):
    """Draw one block with its label: channels, height x width."""
    output = row["output"]
    text = label or f"{output[0]} channels\n{output[1]} x {output[2]}"
    style = {"linestyle": "--" if dashed else "-", "edgecolor": COLOR_OF[row["part"]], "linewidth": 1.6}
    face = (*[1 - 0.18 * (1 - value) for value in rgb(COLOR_OF[row["part"]])],)
    shape = FancyBboxPatch((x - width, y - 0.3), 2 * width, 0.6, boxstyle="round,pad=0.02", facecolor=face, **style)
    ax.add_patch(shape)
    ax.text(x, y, text, ha="center", va="center", fontsize=8)


def rgb(color):
    """Return a color "#rrggbb" as three fractions."""
    return [int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)]


def arrow(ax, start, end, color, label=""):
    """Draw an arrow between two points, with a word above it."""
    ax.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=9, color=color, linewidth=1))
    if label:
        ax.text((start[0] + end[0]) / 2, start[1] + 0.07, label, ha="center", fontsize=7, color=color)
