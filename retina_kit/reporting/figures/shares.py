"""Dice against the percentage of the training images, its p-values, and the images behind a mean."""

from collections.abc import Mapping
from itertools import cycle
from textwrap import shorten
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from retina_kit.evaluation.comparisons import COMPLETE_FAILURE
from retina_kit.reporting.figures.axes import COLORS, legend_on_the_right, new_axes
from retina_kit.reporting.units import name_of_metric

# The first is a broad line with filled dots, the others lie on it: values that are equal can all be seen.
STYLES: tuple[dict[str, Any], ...] = (
    {"linestyle": "-", "marker": "o", "linewidth": 4, "markersize": 9, "alpha": 0.5},
    {"linestyle": "--", "marker": "s", "linewidth": 1.6, "markersize": 7, "fillstyle": "none"},
    {"linestyle": ":", "marker": "x", "linewidth": 1.6, "markersize": 6},
)
TESTS = {"p_t": "paired t-test", "p_wilcoxon": "Wilcoxon", "p_value": "t, patients and seeds"}
SHARE = "% of the training images of a fold"


def plot_dice_by_share(table: pd.DataFrame, families: Mapping[str, str], ax: Axes | None = None) -> Axes:
    """Plot mean Dice against the percentage of the training images, one line per family, with its 95 % interval.

    `table` is a tidy table with the columns family and percent; `families` maps families to what the legend reads.
    Published values are diamonds.
    """
    ax = ax or new_axes(6.5, 4)
    for k, (family, label) in enumerate(families.items()):
        rows = table[table["family"] == family].sort_values("percent")
        color, x = COLORS[k % len(COLORS)], rows["percent"] + (k - (len(families) - 1) / 2) * 0.8
        low, high = rows["ours_mean"] - rows["ours_ci_low"], rows["ours_ci_high"] - rows["ours_mean"]
        ax.errorbar(x, rows["ours_mean"], yerr=[low, high], fmt="o-", color=color, capsize=3, label=label)
        published = rows.dropna(subset=["paper_value"])
        ax.plot(published["percent"], published["paper_value"], "D", color=color, markeredgecolor="black", markersize=7)
    if table["paper_value"].notna().any():
        ax.plot([], [], "D", color="white", markeredgecolor="black", label="published")
    lowest = np.nanmin(table[["ours_mean", "ours_ci_low", "paper_value"]])
    ax.set(xlabel=SHARE, ylabel="Dice (mean and 95 % interval)")
    ax.set(xlim=(0, 105), ylim=(max(-0.02, min(0.75, lowest - 0.03)), 1.0))
    legend_on_the_right(ax)
    return ax


def plot_p_values(comparison: pd.DataFrame, ax: Axes | None = None, *, lowest: float = 1e-8) -> Axes:
    """Plot the p-values of one pair of families against the percentage, one line per test, on a logarithmic axis.

    Smaller values than `lowest` are plotted at `lowest`.
    """
    ax = ax or new_axes(6, 3.2)
    for color, style, (column, label) in zip(COLORS, STYLES, TESTS.items(), strict=False):
        ax.plot(comparison["percent"], comparison[column].clip(lower=lowest), color=color, label=label, **style)
    ax.axhline(0.05, color="0.3", linewidth=0.8, linestyle="--")
    ax.annotate("0.05", (0, 0.05), fontsize=8, va="bottom")
    ax.set(xlabel=SHARE, ylabel="p-value", yscale="log", xlim=(0, 105))
    legend_on_the_right(ax)
    return ax


def plot_contrasts(comparison: pd.DataFrame, labels: Mapping[tuple[str, str], str], ax: Axes | None = None) -> Axes:
    """Plot the paired differences of several pairs of families with their intervals, by percentage of the images.

    `labels` maps (family, baseline) to what the axis reads; right of 0 the first of the two is better.
    """
    ax = ax or new_axes(7, 3.4)
    percents = sorted(comparison["percent"].unique())
    for color, percent in zip(cycle(COLORS), percents, strict=False):
        rows = comparison[comparison["percent"] == percent]
        places = [list(labels).index(pair) for pair in zip(rows["family"], rows["baseline"], strict=True)]
        y = np.array(places) + (percents.index(percent) - (len(percents) - 1) / 2) * 0.7 / len(percents)
        spread = [rows["difference"] - rows["ci_low"], rows["ci_high"] - rows["difference"]]
        ax.errorbar(rows["difference"], y, xerr=spread, fmt="o", color=color, capsize=2, label=f"{percent:g} %")
    ax.axvline(0, color="0.3", linewidth=0.8)
    ax.set_yticks(range(len(labels)), list(labels.values()), fontsize=8)
    ax.invert_yaxis()
    ax.set(xlabel="difference of the mean Dice, 95 % interval")
    legend_on_the_right(ax, title="images")
    return ax


def plot_spread(scores: pd.DataFrame, arms: Mapping[str, str], ax: Axes | None = None, *, metric: str = "dice") -> Axes:
    """Plot the score of every image, one row of dots per arm, with a box and the number of complete failures.

    `arms` maps arms to their labels. An image has a dot per seed. The box holds the middle half of the scores, the line
    is the median; a complete failure is a score below 0.01, and their number is that of one seed, on average.
    """
    ax = ax or new_axes(9, 1 + 0.36 * len(arms))
    for k, arm in enumerate(arms):
        rows = scores[scores["arm"] == arm].dropna(subset=metric)
        mine = rows[metric].to_numpy()
        if len(mine):
            low, median, high = np.percentile(mine, [25, 50, 75])
            ax.barh(k, high - low, left=low, height=0.6, facecolor="none", edgecolor="0.2")
            ax.plot([median, median], [k - 0.3, k + 0.3], color="0.2")
        y = k + 0.22 * np.sin(np.arange(len(mine)) * 2.4)  # dots next to each other, the same in every run
        ax.plot(mine, y, "o", markersize=2.5, alpha=0.6, color=COLORS[k % len(COLORS)])
        failed = (mine < COMPLETE_FAILURE).sum() / max(1, rows["seed"].nunique())
        ax.text(1.06, k, f"{failed:.3g}", ha="center", va="center", fontsize=8)
    ax.text(1.06, -0.9, "failed", ha="center", va="center", fontsize=8)
    ax.set_yticks(range(len(arms)), [shorten(label, 60, placeholder=" ...") for label in arms.values()], fontsize=8)
    ax.set(xlabel=f"{name_of_metric(metric)} of an image", xlim=(-0.03, 1.1), ylim=(len(arms) - 0.5, -1.3))
    return ax
