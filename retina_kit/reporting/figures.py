"""Figures: functions that take data and give back axes or a figure; nothing here saves or shows anything."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#444444")
VERDICT_COLOURS = {"supported": "#009E73", "not supported": "#D55E00", "inconclusive": "#888888"}
HIT, MISS, FALSE_ALARM = (
    "#F0E442",
    "#D62728",
    "#2CA02C",
)  # yellow, red, green: the colours of Ortiz 2022, Figure 5

matplotlib.rcParams.update(
    {
        "font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
        "grid.alpha": 0.25, "figure.constrained_layout.use": True,
        "svg.hashsalt": "retina-kit", "savefig.facecolor": "white",
        "axes.prop_cycle": matplotlib.cycler(color=COLOURS),
    }
)  # fmt: skip


def new_axes(width=6.0, height=3.6):
    """Return the axes of a new figure that no window and no cell shows by itself."""
    return plt.Figure(figsize=(width, height)).subplots()


def new_grid(num_rows, num_columns, *, cell=2.2, aspect=0.66):
    """Return (figure, axes (rows, columns)) for pictures, without ticks."""
    figure = plt.Figure(figsize=(cell * num_columns, cell * aspect * num_rows + 0.35))
    axes = figure.subplots(num_rows, num_columns, squeeze=False)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.grid(False)
        ax.spines[:].set_visible(False)
    return figure, axes


def draw_picture(ax, image, mask=None, title="", colour="#F0E442"):
    """Draw an image (C, H, W) uint8, grey or RGB, with the outline of a mask (H, W); return the axes."""
    ax.imshow(image[0] if image.shape[0] == 1 else image.transpose(1, 2, 0), cmap="gray", vmin=0, vmax=255)
    if mask is not None and mask.any():
        ax.contour(mask, levels=[0.5], colors=[colour], linewidths=1)
    ax.set_title(title, fontsize=8)
    return ax


def plot_pictures(images, masks=None, titles=None, *, num_columns=4):
    """Return a figure of images (N, C, H, W) with the outlines of their masks (N, H, W)."""
    num_rows = -(-len(images) // num_columns)
    figure, axes = new_grid(num_rows, min(num_columns, len(images)), aspect=images.shape[-2] / images.shape[-1] + 0.12)
    for k, ax in enumerate(axes.flat):
        if k < len(images):
            draw_picture(ax, images[k], None if masks is None else masks[k], "" if titles is None else str(titles[k]))
        else:
            ax.axis("off")
    return figure


def plot_split(rows, train, test, ax=None):
    """Draw how many pictures of each patient are trained on and tested; a patient with both colours leaks."""
    ax = ax or new_axes(6, 2.6)
    patients = list(dict.fromkeys(rows["patient"]))
    counts = [rows["patient"].iloc[index].value_counts().reindex(patients, fill_value=0) for index in (train, test)]
    ax.bar(patients, counts[0], label="train")
    ax.bar(patients, counts[1], bottom=counts[0], label="test")
    ax.set(xlabel="patient", ylabel="pictures")
    ax.tick_params(axis="x", labelrotation=90 if len(patients) > 12 else 0)
    ax.legend(frameon=False, ncols=2)
    return ax


def plot_history(history, ax=None, *, label="", metric=None):
    """Draw the loss of every step, smoothed over ten, and, where asked for, a validation score over it."""
    ax = ax or new_axes(6, 3)
    smooth = history["loss"].rolling(10, min_periods=1).mean()
    ax.plot(history["step"], smooth, label=f"{label} loss".strip())
    ax.set(xlabel="update", ylabel="loss (mean of ten)")
    if metric and metric in history and history[metric].notna().any():
        scored = history.dropna(subset=[metric])
        right = ax.twinx()
        right.plot(scored["step"], scored[metric], "o-", color=COLOURS[1], markersize=3)
        right.set(ylabel=f"validation {metric}", ylim=(0, 1))
        right.grid(False)
    return ax


def plot_validations(histories, metric, labels, ax=None, *, published=None):
    """Draw a validation score against updates, a line an arm (mean and range over seeds).

    `labels` maps arms to what the legend says, in order. `published` holds curves that were read off the paper's
    figure (columns row, step, value): dashed lines.
    """
    ax = ax or new_axes(7.5, 4)
    scored = histories.dropna(subset=[metric])
    for colour, (arm, label) in zip(COLOURS * 4, labels.items(), strict=False):
        lines = scored[scored["arm"] == arm].groupby("step")[metric]
        mean = lines.mean()
        ax.plot(mean.index, mean, "o-", markersize=3, color=colour, label=label)
        ax.fill_between(mean.index, lines.min(), lines.max(), color=colour, alpha=0.15, linewidth=0)
    if published is not None:
        for row, points in published.dropna(subset=["value"]).groupby("row", sort=False):
            ax.plot(points["step"], points["value"], ":", linewidth=1, color="0.55")
            ax.annotate(row, points[["step", "value"]].iloc[-1], fontsize=6, color="0.4")
    ax.set(xlabel="update", ylabel=f"validation {metric}")
    ax.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


def plot_beside_paper(table, ax=None, *, labels=None):
    """Draw a tidy table: our mean with its spread, and the printed value as a diamond beside it."""
    metrics = list(dict.fromkeys(table["metric"]))
    arms = list(dict.fromkeys(table["arm"]))
    ax = ax or new_axes(1.6 + 1.1 * len(arms) * len(metrics) ** 0.5, 3.6)
    width = 0.8 / len(metrics)
    for k, (metric, colour) in enumerate(zip(metrics, COLOURS, strict=False)):
        rows = table[table["metric"] == metric].set_index("arm").reindex(arms)
        x = np.arange(len(arms)) + (k - (len(metrics) - 1) / 2) * width
        ax.bar(
            x,
            rows["ours_mean"],
            width * 0.9,
            yerr=rows["ours_sd"],
            color=colour,
            label=f"{metric}, this run",
            capsize=2,
        )
        ax.plot(x, rows["paper_value"], "D", color="black", markersize=5, label="the paper" if k == 0 else None)
    ax.set_xticks(range(len(arms)), [(labels or {}).get(arm, arm) for arm in arms], rotation=20, ha="right", fontsize=8)
    ax.set(ylim=(0, 1), ylabel="score")
    ax.legend(frameon=False, fontsize=8)
    return ax


def overlay_of(predicted, target):
    """Return an RGBA picture (H, W, 4) of hits (yellow), misses (red) and false alarms (green)."""
    classes = np.where(predicted & target, 1, np.where(target, 2, np.where(predicted, 3, 0)))
    return ListedColormap([(0, 0, 0, 0), HIT, MISS, FALSE_ALARM])(classes)


def plot_predictions(images, target, predictions, *, titles=None):
    """Return a figure: a row a picture, the picture with its truth first, then a column an arm with hits and misses.

    `predictions` maps a label to bool masks (N, H, W) of the size of `target`.
    """
    figure, axes = new_grid(
        len(images), 1 + len(predictions), cell=2.6, aspect=target.shape[-2] / target.shape[-1] + 0.08
    )
    for k, image in enumerate(images):
        draw_picture(axes[k, 0], image, target[k], titles[k] if titles is not None else "truth")
        for ax, (label, predicted) in zip(axes[k, 1:], predictions.items(), strict=True):
            draw_picture(ax, image, title=label if k == 0 else "")
            ax.imshow(overlay_of(predicted[k], target[k]), alpha=0.6)
    patches = [Patch(color=c, label=t) for c, t in ((HIT, "hit"), (MISS, "missed"), (FALSE_ALARM, "false alarm"))]
    figure.legend(handles=patches, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return figure


def plot_claims(claims, ax=None):
    """Draw each claim's estimate with its interval, coloured by its verdict; replications are filled."""
    decided = claims.reset_index(drop=True)
    ax = ax or new_axes(8, 0.45 * len(decided) + 1)
    for k, row in decided.iterrows():
        colour = VERDICT_COLOURS[row["verdict"]]
        face = colour if row["kind"] == "replication" else "white"
        ax.plot([row["ci_low"], row["ci_high"]], [k, k], color=colour)
        ax.plot(row["estimate"], k, "o", color=colour, markerfacecolor=face)
    ax.axvline(0, color="0.3", linewidth=0.8)
    ax.set_yticks(range(len(decided)), decided["claim"] + " (" + decided["kind"] + ")", fontsize=8)
    ax.invert_yaxis()
    ax.set(xlabel="estimate with its interval; right of 0 speaks for the claim")
    handles = [Patch(color=colour, label=verdict) for verdict, colour in VERDICT_COLOURS.items()]
    ax.legend(handles=handles, frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


def plot_dice_of_patients(scores, arms, ax=None):
    """Draw every test picture's Dice, a row of dots a patient, a colour an arm: means hide failures."""
    ax = ax or new_axes(7, 3.2)
    patients = sorted(scores["patient"].unique())
    for k, (arm, label) in enumerate(arms.items()):
        rows = scores[(scores["arm"] == arm) & scores["dice"].notna()]
        x = rows["patient"].map(patients.index) + (k - (len(arms) - 1) / 2) * 0.18
        ax.plot(x, rows["dice"], "o", markersize=3, alpha=0.6, label=label)
    ax.set_xticks(range(len(patients)), patients)
    ax.set(xlabel="patient", ylabel="Dice of a picture", ylim=(-0.02, 1.02))
    ax.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return ax
