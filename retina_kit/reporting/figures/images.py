"""Images with their masks, and what a network found, missed and raised a false alarm about."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from retina_kit.reporting.figures.axes import FALSE_ALARM, HIT, MISS, new_grid

ERROR_COLORS = {"hit": HIT, "missed": MISS, "false alarm": FALSE_ALARM}
OVERLAY = "hits, misses and false alarms in color"


def plot_image(
    ax: Axes, image: np.ndarray, mask: np.ndarray | None = None, title: str = "", color: str = "#F0E442"
) -> Axes:
    """Plot an image (C, H, W) uint8, gray or RGB, with the outline of a bool mask (H, W), and return the axes."""
    ax.imshow(image[0] if image.shape[0] == 1 else image.transpose(1, 2, 0), cmap="gray", vmin=0, vmax=255)
    if mask is not None and mask.any():
        ax.contour(mask, levels=[0.5], colors=[color], linewidths=1)
    ax.set_title(title, fontsize=8)
    return ax


def plot_images(
    images: np.ndarray,
    masks: np.ndarray | None = None,
    titles: Sequence[object] | None = None,
    *,
    num_columns: int = 4,
) -> Figure:
    """Plot images (N, C, H, W) uint8 in a grid, with the outlines of their bool masks (N, H, W).

    >>> from retina_kit.data.synthetic.oct import generate_oct
    >>> scans = generate_oct(1, scans_per_patient=2, size=(64, 96))
    >>> len(plot_images(scans.images, scans.masks["fluid"], titles=scans.rows["id"]).axes)
    2
    """
    num_rows = -(-len(images) // num_columns)
    figure, axes = new_grid(num_rows, min(num_columns, len(images)), aspect=images.shape[-2] / images.shape[-1] + 0.12)
    for k, ax in enumerate(axes.flat):
        if k < len(images):
            plot_image(ax, images[k], None if masks is None else masks[k], "" if titles is None else str(titles[k]))
        else:
            ax.axis("off")
    return figure


def plot_panels(panels: Mapping[str, tuple[np.ndarray, Any]], *, cell: float = 4.0) -> Figure:
    """Plot images next to each other; each title has an image (C, H, W) uint8 and what is marked in it.

    That is a bool mask (H, W), outlined; a point (x, y) in pixels, marked by a cross; or None. A panel is `cell` inches
    wide.
    """
    shapes = [image.shape for image, _ in panels.values()]
    aspect = max(shape[-2] / shape[-1] for shape in shapes)
    figure, axes = new_grid(1, len(panels), cell=cell, aspect=aspect + 0.08)
    for ax, (title, (image, marked)) in zip(axes[0], panels.items(), strict=True):
        is_point = isinstance(marked, tuple)
        plot_image(ax, image, None if is_point else marked)
        ax.set_title(title, fontsize=10)
        if is_point:
            ax.plot(*marked, "+", color=HIT, markersize=14, markeredgewidth=2, label="a point marked by a cross")
    return figure


def overlay_of(predicted: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Color two bool masks (H, W) as RGBA (H, W, 4): hits yellow, misses blue, false alarms orange, the rest clear.

    >>> overlay_of(np.array([[True, False]]), np.array([[False, False]]))[0, :, 3].tolist()
    [1.0, 0.0]
    """
    classes = np.where(predicted & target, 1, np.where(target, 2, np.where(predicted, 3, 0)))
    return ListedColormap([(0.0, 0.0, 0.0, 0.0), *map(to_rgba, ERROR_COLORS.values())])(classes)


def plot_predictions(
    images: np.ndarray,
    target: np.ndarray,
    predictions: Mapping[str, np.ndarray],
    *,
    titles: Sequence[str] | None = None,
) -> Figure:
    """Plot one row per image: the image with its ground truth, then hits, misses and false alarms of each arm.

    `images` is uint8 (N, C, H, W), `target` bool (N, H, W); `predictions` maps a label to bool masks of that shape.
    """
    height, width = target.shape[-2:]
    figure, axes = new_grid(len(images), 1 + len(predictions), cell=2.6, aspect=height / width + 0.08)
    for k, image in enumerate(images):
        plot_image(axes[k, 0], image, target[k], titles[k] if titles is not None else "ground truth")
        for ax, (label, predicted) in zip(axes[k, 1:], predictions.items(), strict=True):
            plot_image(ax, image, title=label if k == 0 else "")
            ax.imshow(overlay_of(predicted[k], target[k]), alpha=0.6, label=OVERLAY)
    truth = Line2D([], [], color=HIT, label="ground truth (outline)")
    handles = [truth, *(Patch(color=color, label=name) for name, color in ERROR_COLORS.items())]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    return figure


def plot_steps(stages: Mapping[str, np.ndarray]) -> Figure:
    """Plot one image at several stages, next to each other; `stages` maps a title to (C, H, W) uint8."""
    first = next(iter(stages.values()))
    figure, axes = new_grid(1, len(stages), cell=2.6, aspect=first.shape[-2] / first.shape[-1] + 0.1)
    for ax, (title, image) in zip(axes[0], stages.items(), strict=True):
        plot_image(ax, image, title=title)
    return figure
