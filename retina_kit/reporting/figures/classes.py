"""Several masks on one image: types of fluid, or annotators, each with its color, whole and cropped."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from retina_kit.reporting.figures.axes import COLORS, new_grid
from retina_kit.reporting.figures.images import OVERLAY, overlay_of, plot_image

FLUIDS = {"ped": "#1F77FF", "srf": "#F0E442", "irf": "#E31A1C"}  # blue, yellow, red: Melinscak 2020, Figure 1


def colors_of(names: Iterable[str]) -> dict[str, str]:
    """Give each name a color: that of its type of fluid, or the next one of the palette.

    >>> colors_of(["ped", "grader1"])
    {'ped': '#1F77FF', 'grader1': '#D55E00'}
    """
    return {name: FLUIDS.get(name, COLORS[k % len(COLORS)]) for k, name in enumerate(names)}


def region_of(mask: np.ndarray, margin: float = 0.1) -> tuple[slice, slice]:
    """Find the box around a bool mask (H, W) with a margin, as slices (rows, columns); everything if it is empty.

    >>> mask = np.zeros((100, 200), bool)
    >>> mask[40:50, 60:90] = True
    >>> region_of(mask)
    (slice(30, 60, None), slice(40, 110, None))
    """
    if not mask.any():
        return slice(0, mask.shape[0]), slice(0, mask.shape[1])
    return _extent(np.any(mask, axis=1), margin), _extent(np.any(mask, axis=0), margin)


def _extent(occupied: np.ndarray, margin: float) -> slice:
    """Return the range of the True entries, with a margin that is a fraction of the whole length."""
    place, length = np.flatnonzero(occupied), len(occupied)
    room = max(2, round(margin * length))
    return slice(max(0, int(place[0]) - room), min(length, int(place[-1]) + 1 + room))


def plot_classes(images: np.ndarray, masks: Mapping[str, np.ndarray], titles: Sequence[object] | None = None) -> Figure:
    """Plot the whole images (N, C, H, W) above and the regions of their masks below (Melinscak 2020, Figure 1).

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
                axes[0, k].contour(mask[k], levels=[0.5], colors=[colors[name]], linewidths=1).set_label(name)
            if mask[k][rows, columns].any():
                part = mask[k][rows, columns]
                axes[1, k].contour(part, levels=[0.5], colors=[colors[name]], linewidths=1.2).set_label(name)
    _add_legend(figure, colors)
    return figure


def plot_annotators(
    images: np.ndarray, masks: Mapping[str, np.ndarray], titles: Sequence[object] | None = None
) -> Figure:
    """Plot one row per image and one column per annotator, cropped to what any of them marked.

    `images` is uint8 (N, C, H, W); `masks` maps an annotator to bool (N, H, W), in the order of the columns
    (Melinscak 2020, Figure 2).
    """
    figure, axes = new_grid(len(images), len(masks), cell=2.6, aspect=0.7)
    for k, image in enumerate(images):
        rows, columns = region_of(np.logical_or.reduce([mask[k] for mask in masks.values()]), margin=0.15)
        for ax, (name, mask) in zip(axes[k], masks.items(), strict=True):
            plot_image(ax, image[:, rows, columns], mask[k][rows, columns], name if k == 0 else "")
        axes[k, 0].set_ylabel("" if titles is None else str(titles[k]), fontsize=8)
    return figure


def plot_one_image(image: np.ndarray, target: np.ndarray, rows: Sequence[Mapping[str, np.ndarray]]) -> Figure:
    """Plot one image (C, H, W), its ground truth (H, W) and the errors of several networks.

    `rows` is a list of {label: bool mask (H, W)} of equal length; the first row starts with the image and its ground
    truth (Melinscak 2020, Figure 3). Colors: hits, misses, false alarms.
    """
    num_columns = max(len(rows[0]) + 2, *(len(row) for row in rows))
    figure, axes = new_grid(len(rows), num_columns, cell=2.2, aspect=image.shape[-2] / image.shape[-1] + 0.15)
    plot_image(axes[0, 0], image, title="test B-scan")
    plot_image(axes[0, 1], image, target, "ground truth")
    for k, row in enumerate(rows):
        for ax, (label, predicted) in zip(axes[k, -len(row) :], row.items(), strict=True):
            plot_image(ax, image, title=label)
            ax.imshow(overlay_of(predicted, target), alpha=0.6, label=OVERLAY)
        for ax in axes[k, (2 if k == 0 else 0) : -len(row)]:
            ax.axis("off")
    return figure


def plot_filters(image_set: Mapping[str, Sequence[np.ndarray]], titles: Sequence[str]) -> Figure:
    """Plot the images that maximize the activation of filters: one row per network, one column per layer.

    `image_set` maps a network's label to a list of uint8 (N, 1, h, w), one entry for each layer of `titles`.
    """
    figure, axes = new_grid(len(image_set), len(titles), cell=2.1, aspect=1.12)
    for row, (label, layers) in zip(axes, image_set.items(), strict=True):
        for ax, found, title in zip(row, layers, titles, strict=True):
            ax.imshow(tiled(found[:, 0]), cmap="gray", vmin=0, vmax=255)
            ax.set_title(f"{label}\n{title}" if ax is row[0] else title, fontsize=7)
    return figure


def tiled(images: np.ndarray, margin: int = 3) -> np.ndarray:
    """Arrange images (N, h, w) uint8 in a square with white margins, as one array.

    >>> tiled(np.zeros((4, 5, 5), np.uint8)).shape
    (13, 13)
    """
    side = int(np.ceil(np.sqrt(len(images))))
    height, width = images.shape[1:]
    sheet = np.full((side * (height + margin) - margin, side * (width + margin) - margin), 255, np.uint8)
    for k, panel in enumerate(images):
        top, left = (k // side) * (height + margin), (k % side) * (width + margin)
        sheet[top : top + height, left : left + width] = panel
    return sheet


def _add_legend(figure: Figure, colors: Mapping[str, str]) -> None:
    """Put the names and their colors below a figure."""
    patches = [Patch(color=color, label=name) for name, color in colors.items()]
    figure.legend(handles=patches, loc="outside lower center", ncols=len(patches), frameon=False, fontsize=8)
