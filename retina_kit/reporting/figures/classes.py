"""Several masks on one image: kinds of fluid, or annotators, each with its color, whole and cropped."""

import numpy as np
from matplotlib.patches import Patch

from retina_kit.reporting.figures.axes import COLORS, new_grid
from retina_kit.reporting.figures.images import overlay_of, plot_image

FLUIDS = {"ped": "#1F77FF", "srf": "#F0E442", "irf": "#E31A1C"}  # blue, yellow, red: Melinscak 2020, Figure 1


def colors_of(names):
    """Return a color for each name: that of its kind of fluid, or the next of the palette."""
    return {name: FLUIDS.get(name, COLORS[k % len(COLORS)]) for k, name in enumerate(names)}


def region_of(mask, margin=0.1):
    """Return (rows, columns), the slices of the box around a mask (H, W) with a margin; all where it is empty."""
    if not mask.any():
        return slice(0, mask.shape[0]), slice(0, mask.shape[1])
    slices = []
    for axis, length in ((1, mask.shape[0]), (0, mask.shape[1])):
        place = np.flatnonzero(mask.any(axis=axis))
        room = max(2, round(margin * length))
        slices.append(slice(max(0, place[0] - room), min(length, place[-1] + 1 + room)))
    return tuple(slices)


def plot_classes(images, masks, titles=None):
    """Return a figure: the whole images (N, C, H, W) above, the regions of their masks below (Figure 1).

    `masks` maps a name to bool (N, H, W); outlines have the color of the name.
    """
    colors = colors_of(masks)
    figure, axes = new_grid(2, len(images), cell=2.6, aspect=images.shape[-2] / images.shape[-1] + 0.1)
    for k, image in enumerate(images):
        rows, columns = region_of(np.logical_or.reduce([mask[k] for mask in masks.values()]))
        plot_image(axes[0, k], image, title="" if titles is None else str(titles[k]))
        plot_image(axes[1, k], image[:, rows, columns])
        for name, mask in masks.items():
            if mask[k].any():
                axes[0, k].contour(mask[k], levels=[0.5], colors=[colors[name]], linewidths=1)
            if mask[k][rows, columns].any():
                axes[1, k].contour(mask[k][rows, columns], levels=[0.5], colors=[colors[name]], linewidths=1.2)
    add_legend(figure, colors)
    return figure


def plot_annotators(images, masks, titles=None):
    """Return a figure: a row an image, a column an annotator, filled, cropped to where any of them saw something.

    `masks` maps an annotator to bool (N, H, W), in the order of the columns (Melinscak 2020, Figure 2).
    """
    figure, axes = new_grid(len(images), len(masks), cell=2.6, aspect=0.7)
    for k, image in enumerate(images):
        rows, columns = region_of(np.logical_or.reduce([mask[k] for mask in masks.values()]), margin=0.15)
        for ax, (name, mask) in zip(axes[k], masks.items(), strict=True):
            plot_image(ax, image[:, rows, columns], mask[k][rows, columns], name if k == 0 else "")
        axes[k, 0].set_ylabel("" if titles is None else str(titles[k]), fontsize=8)
    return figure


def plot_one_image(image, target, rows):
    """Return a figure: one image (C, H, W), its truth (H, W) and what networks found, in rows of equal length.

    `rows` is a list of dicts label -> bool mask (H, W); the first row starts with the image and its truth
    (Melinscak 2020, Figure 3). Colors: hits, misses, false alarms.
    """
    num_columns = max(len(rows[0]) + 2, *(len(row) for row in rows))
    figure, axes = new_grid(len(rows), num_columns, cell=2.2, aspect=image.shape[-2] / image.shape[-1] + 0.15)
    plot_image(axes[0, 0], image, title="test B-scan")
    plot_image(axes[0, 1], image, target, "truth")
    for k, row in enumerate(rows):
        for ax, (label, predicted) in zip(axes[k, -len(row) :], row.items(), strict=True):
            plot_image(ax, image, title=label)
            ax.imshow(overlay_of(predicted, target), alpha=0.6)
        for ax in axes[k, (2 if k == 0 else 0) : -len(row)]:
            ax.axis("off")
    return figure


def plot_filters(image_set, titles):
    """Return a figure: a row a network, a column a layer, each a square of the images that its filters like best.

    `images` maps a network's label to a list of uint8 (N, 1, h, w), one entry a layer of `titles`.
    """
    figure, axes = new_grid(len(image_set), len(titles), cell=2.1, aspect=1.12)
    for row, (label, layers) in zip(axes, image_set.items(), strict=True):
        for ax, found, title in zip(row, layers, titles, strict=True):
            ax.imshow(tiled(found[:, 0]), cmap="gray", vmin=0, vmax=255)
            ax.set_title(f"{label}\n{title}" if ax is row[0] else title, fontsize=7)
    return figure


def tiled(image_set, margin=3):
    """Return images (N, h, w) side by side in a square, with white margins, as one array."""
    side = int(np.ceil(np.sqrt(len(image_set))))
    height, width = image_set.shape[1:]
    sheet = np.full((side * (height + margin) - margin, side * (width + margin) - margin), 255, np.uint8)
    for k, panel in enumerate(image_set):
        top, left = (k // side) * (height + margin), (k % side) * (width + margin)
        sheet[top : top + height, left : left + width] = panel
    return sheet


def add_legend(figure, colors):
    """Put the names and their colors below a figure."""
    patches = [Patch(color=color, label=name) for name, color in colors.items()]
    figure.legend(handles=patches, loc="outside lower center", ncols=len(patches), frameon=False, fontsize=8)
