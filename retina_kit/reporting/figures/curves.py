"""What happens while a network is trained: the loss, and the validation scores."""

from retina_kit.reporting.figures.axes import COLORS, new_axes


def plot_history(history, ax=None, *, label="", metric=None):
    """Draw the loss of every step, smoothed over ten, and, where asked for, a validation score over it."""
    ax = ax or new_axes(6, 3)
    smooth = history["loss"].rolling(10, min_periods=1).mean()
    ax.plot(history["step"], smooth, label=f"{label} loss".strip())
    ax.set(xlabel="update", ylabel="loss (mean of ten)")
    if metric and metric in history and history[metric].notna().any():
        scored = history.dropna(subset=[metric])
        right = ax.twinx()
        right.plot(scored["step"], scored[metric], "o-", color=COLORS[1], markersize=3)
        right.set(ylabel=f"validation {metric}", ylim=(0, 1))
        right.grid(False)
    return ax


def plot_losses(histories, labels, ax=None, *, published=None, window=10):
    """Draw the loss of some arms over the share of their updates that is done; mean over seeds, smoothed.

    `published` holds curves that were read off the paper's own (columns row, step, value): dotted.
    """
    ax = ax or new_axes(7, 3.4)
    for color, (arm, label) in zip(COLORS * 4, labels.items(), strict=False):
        loss = histories[histories["arm"] == arm].groupby("step")["loss"].mean()
        smooth = loss.rolling(min(window, max(1, len(loss) // 5)), min_periods=1).mean()
        ax.plot(smooth.index / smooth.index.max(), smooth, color=color, label=label)
    if published is not None:
        for row, points in published.groupby("row", sort=False):
            share = points["step"] / points["step"].max()
            ax.plot(share, points["value"], ":", linewidth=1.6, label=f"the authors' log, {row}")
    ax.set(xlabel="share of the updates", ylabel="loss", ylim=(0, 1.02))
    ax.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


def plot_validations(histories, metric, labels, ax=None, *, published=None):
    """Draw a validation score against updates, a line an arm (mean and range over seeds).

    `labels` maps arms to what the legend says, in order. `published` holds curves that were read off the paper's
    figure (columns row, step, value): dashed lines.
    """
    ax = ax or new_axes(7.5, 4)
    scored = histories.dropna(subset=[metric])
    for color, (arm, label) in zip(COLORS * 4, labels.items(), strict=False):
        lines = scored[scored["arm"] == arm].groupby("step")[metric]
        mean = lines.mean()
        ax.plot(mean.index, mean, "o-", markersize=3, color=color, label=label)
        ax.fill_between(mean.index, lines.min(), lines.max(), color=color, alpha=0.15, linewidth=0)
    if published is not None:
        for row, points in published.dropna(subset=["value"]).groupby("row", sort=False):
            ax.plot(points["step"], points["value"], ":", linewidth=1, color="0.55")
            ax.annotate(row, points[["step", "value"]].iloc[-1], fontsize=6, color="0.4")
    ax.set(xlabel="update", ylabel=f"validation {metric}")
    ax.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return ax
