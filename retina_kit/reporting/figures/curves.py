"""Learning curves: the loss and the validation scores while a network trains."""

from collections.abc import Mapping
from itertools import cycle

import pandas as pd
from matplotlib.axes import Axes

from retina_kit.reporting.figures.axes import COLORS, legend_on_the_right, new_axes
from retina_kit.reporting.units import name_of_metric


def plot_history(history: pd.DataFrame, ax: Axes | None = None, *, label: str = "", metric: str | None = None) -> Axes:
    """Plot the loss of every step, smoothed over ten, and a validation score over it if `metric` names one.

    >>> history = pd.DataFrame({"step": [1, 2, 3], "loss": [0.9, 0.7, 0.5]})
    >>> plot_history(history).get_lines()[0].get_ydata().round(2).tolist()
    [0.9, 0.8, 0.7]
    """
    ax = ax or new_axes(6, 3)
    smooth = history["loss"].rolling(10, min_periods=1).mean()
    ax.plot(history["step"], smooth, label=f"{label} loss".strip())
    ax.set(xlabel="step", ylabel="loss (mean of ten)")
    if metric and metric in history and history[metric].notna().any():
        scored = history.dropna(subset=[metric])
        right = ax.twinx()
        right.plot(scored["step"], scored[metric], "o-", color=COLORS[1], markersize=3)
        right.set(ylabel=f"validation {name_of_metric(metric)}", ylim=(0, 1))
        right.grid(False)
    return ax


def plot_losses(
    histories: pd.DataFrame,
    labels: Mapping[str, str],
    ax: Axes | None = None,
    *,
    published: pd.DataFrame | None = None,
    window: int = 10,
) -> Axes:
    """Plot the loss of some arms against the fraction of their steps; mean over seeds, smoothed over `window` steps.

    `histories` has the columns arm, seed, step and loss; `labels` maps arms to what the legend reads. `published`
    holds curves that were read off the authors' own (columns row, step, value): dotted.
    """
    ax = ax or new_axes(7, 3.4)
    for color, (arm, label) in zip(cycle(COLORS), labels.items(), strict=False):
        loss = histories[histories["arm"] == arm].groupby("step")["loss"].mean()
        smooth = loss.rolling(min(window, max(1, len(loss) // 5)), min_periods=1).mean()
        ax.plot(smooth.index / smooth.index.max(), smooth, color=color, label=label)
    if published is not None:
        for row, points in published.groupby("row", sort=False):
            share = points["step"] / points["step"].max()
            ax.plot(share, points["value"], ":", linewidth=1.6, label=f"the authors' log, {row}")
    ax.set(xlabel="fraction of the steps", ylabel="loss")
    ax.set_ylim(bottom=0)
    legend_on_the_right(ax)
    return ax


def plot_validations(
    histories: pd.DataFrame,
    metric: str,
    labels: Mapping[str, str],
    ax: Axes | None = None,
    *,
    published: pd.DataFrame | None = None,
) -> Axes:
    """Plot a validation score against the steps, one line per arm: mean and range over seeds.

    `labels` maps arms to what the legend reads, in order. `published` holds curves that were read off the paper's
    figure (columns row, step, value): dotted lines.
    """
    ax = ax or new_axes(7.5, 4)
    scored = histories.dropna(subset=[metric])
    for color, (arm, label) in zip(cycle(COLORS), labels.items(), strict=False):
        lines = scored[scored["arm"] == arm].groupby("step")[metric]
        mean = lines.mean()
        ax.plot(mean.index, mean, "o-", markersize=3, color=color, label=label)
        ax.fill_between(mean.index, lines.min(), lines.max(), color=color, alpha=0.15, linewidth=0)
    if published is not None:
        for row, points in published.dropna(subset=["value"]).groupby("row", sort=False):
            ax.plot(points["step"], points["value"], ":", linewidth=1, color="0.55")
            last = points.iloc[-1]
            ax.annotate(str(row), (last["step"], last["value"]), fontsize=6, color="0.4")
    ax.set(xlabel="step", ylabel=f"validation {name_of_metric(metric)}")
    legend_on_the_right(ax)
    return ax
