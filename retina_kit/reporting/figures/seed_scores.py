"""The scores of a class over its seeds: what one seed alone would have told."""

from textwrap import fill

import matplotlib.ticker
import numpy as np
from matplotlib.figure import Figure

from retina_kit.reporting.figures.axes import COLORS


def plot_seed_scores(first: np.ndarray, second: np.ndarray, labels: tuple[str, str], metric: str = "Dice") -> Figure:
    """Plot two arms' scores (one per seed, same order), each seed a line, and the sorted differences, first - second.

    >>> figure = plot_seed_scores(np.array([0.7, 0.8]), np.array([0.6, 0.85]), ("with", "without"))
    >>> [len(ax.collections) for ax in figure.axes]
    [2, 1]
    """
    figure = Figure(figsize=(9.0, 3.4))
    left, right = figure.subplots(1, 2, width_ratios=[2, 3])
    for of, minus in zip(first, second, strict=True):
        left.plot([0, 1], [minus, of], color="#999999", linewidth=0.7, zorder=1)
    left.scatter(np.zeros(len(second)), second, color=COLORS[1], zorder=2)
    left.scatter(np.ones(len(first)), first, color=COLORS[0], zorder=2)
    names = [fill(label.replace("_", " "), 14).replace(" ", "_") for label in (labels[1], labels[0])]  # broken at _
    left.set(xticks=[0, 1], xticklabels=names, xlim=(-0.4, 1.4), ylabel=metric)
    left.set_title("each line is one student's seed", fontsize=10)
    differences = np.sort(first - second)
    colors = [COLORS[0] if difference > 0 else COLORS[1] for difference in differences]
    right.axhline(0, color="#444444", linewidth=0.8)
    right.scatter(np.arange(1, len(differences) + 1), differences, color=colors)
    right.axhline(float(np.mean(differences)), color=COLORS[0], linestyle="--", linewidth=1)
    right.set(xlabel="students, sorted", ylabel="difference")
    right.set_title("difference of the two; dashed: the mean of the class", fontsize=10)
    right.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
    return figure
