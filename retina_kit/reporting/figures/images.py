"""Images with their masks, and with what a network found, missed and made up."""

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

from retina_kit.reporting.figures.axes import FALSE_ALARM, HIT, MISS, new_grid


def plot_image(ax, image, mask=None, title="", color="#F0E442"):
    """Draw an image (C, H, W) uint8, gray or RGB, with the outline of a mask (H, W); return the axes."""
    ax.imshow(image[0] if image.shape[0] == 1 else image.transpose(1, 2, 0), cmap="gray", vmin=0, vmax=255)
    if mask is not None and mask.any():
        ax.contour(mask, levels=[0.5], colors=[color], linewidths=1)
    ax.set_title(title, fontsize=8)
    return ax


def plot_images(images, masks=None, titles=None, *, num_columns=4):
    """Return a figure of images (N, C, H, W) with the outlines of their masks (N, H, W)."""
    num_rows = -(-len(images) // num_columns)
    figure, axes = new_grid(num_rows, min(num_columns, len(images)), aspect=images.shape[-2] / images.shape[-1] + 0.12)
    for k, ax in enumerate(axes.flat):
        if k < len(images):
            plot_image(ax, images[k], None if masks is None else masks[k], "" if titles is None else str(titles[k]))
        else:
            ax.axis("off")
    return figure


def overlay_of(predicted, target):
    """Return an RGBAn image (H, W, 4) of hits (yellow), misses (red) and false alarms (green)."""
    classes = np.where(predicted & target, 1, np.where(target, 2, np.where(predicted, 3, 0)))
    return ListedColormap([(0, 0, 0, 0), HIT, MISS, FALSE_ALARM])(classes)


def plot_predictions(images, target, predictions, *, titles=None):
    """Return a figure: a row an image, the image with its truth first, then a column an arm with hits and misses.

    `predictions` maps a label to bool masks (N, H, W) of the size of `target`.
    """
    figure, axes = new_grid(
        len(images), 1 + len(predictions), cell=2.6, aspect=target.shape[-2] / target.shape[-1] + 0.08
    )
    for k, image in enumerate(images):
        plot_image(axes[k, 0], image, target[k], titles[k] if titles is not None else "truth")
        for ax, (label, predicted) in zip(axes[k, 1:], predictions.items(), strict=True):
            plot_image(ax, image, title=label if k == 0 else "")
            ax.imshow(overlay_of(predicted[k], target[k]), alpha=0.6)
    patches = [Patch(color=c, label=t) for c, t in ((HIT, "hit"), (MISS, "missed"), (FALSE_ALARM, "false alarm"))]
    figure.legend(handles=patches, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return figure


def plot_steps(stages):
    """Return a figure of one image at several stages, side by side; `stages` maps a title to (C, H, W) uint8."""
    first = next(iter(stages.values()))
    figure, axes = new_grid(1, len(stages), cell=2.6, aspect=first.shape[-2] / first.shape[-1] + 0.1)
    for ax, (title, image) in zip(axes[0], stages.items(), strict=True):
        plot_image(ax, image, title=title)
    return figure
