"""Scores of trained networks: next to the published values, claim by claim, patient by patient."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from retina_kit.reporting.figures.axes import COLORS, VERDICT_COLORS, legend_on_the_right, new_axes


def plot_comparison(table: pd.DataFrame, ax: Axes | None = None, *, labels: Mapping[str, str] | None = None) -> Axes:
    """Plot a tidy table: our mean with its SD over seeds as a bar, the published value as a diamond on it."""
    metrics = list(dict.fromkeys(table["metric"]))
    arms = list(dict.fromkeys(table["arm"]))
    ax = ax or new_axes(1.6 + 1.1 * len(arms) * len(metrics) ** 0.5, 3.6)
    width = 0.8 / len(metrics)
    for k, (metric, color) in enumerate(zip(metrics, COLORS, strict=False)):
        rows = table[table["metric"] == metric].set_index("arm").reindex(arms)
        x = np.arange(len(arms)) + (k - (len(metrics) - 1) / 2) * width
        label = f"{metric.replace('_', ' ')}, this run"
        ax.bar(x, rows["ours_mean"], width * 0.9, yerr=rows["ours_sd"], color=color, label=label, capsize=2)
        ax.plot(x, rows["paper_value"], "D", color="black", markersize=5, label="published" if k == 0 else None)
    ax.set_xticks(range(len(arms)), [(labels or {}).get(arm, arm) for arm in arms], rotation=20, ha="right", fontsize=8)
    ax.set(ylim=(0, 1), ylabel="score")
    legend_on_the_right(ax)
    return ax


def plot_claims(claims: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Plot each claim's estimate with its interval, colored by its verdict; replications are filled."""
    claims = claims.reset_index(drop=True)
    ax = ax or new_axes(8, 0.45 * len(claims) + 1)
    for k, row in enumerate(claims.to_dict("records")):
        color = VERDICT_COLORS[row["verdict"]]
        face = color if row["kind"] == "replication" else "white"
        ax.plot([row["ci_low"], row["ci_high"]], [k, k], color=color)
        ax.plot(row["estimate"], k, "o", color=color, markerfacecolor=face)
    ax.axvline(0, color="0.3", linewidth=0.8)
    ax.set_yticks(range(len(claims)), claims["claim"] + " (" + claims["kind"] + ")", fontsize=8)
    ax.invert_yaxis()
    ax.set(xlabel="estimate with its interval; right of 0 supports the claim")
    handles = [Patch(color=color, label=verdict) for verdict, color in VERDICT_COLORS.items()]
    ax.legend(handles=handles, frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


def plot_dice_of_patients(scores: pd.DataFrame, arms: Mapping[str, str], ax: Axes | None = None) -> Axes:
    """Plot every test image's Dice, one column per patient, one color per arm: means hide failures.

    `scores` has the columns arm, patient and dice; `arms` maps arms to what the legend reads.
    """
    ax = ax or new_axes(7, 3.2)
    patients = sorted(scores["patient"].unique())
    for k, (arm, label) in enumerate(arms.items()):
        rows = scores[(scores["arm"] == arm) & scores["dice"].notna()]
        x = rows["patient"].map(patients.index) + (k - (len(arms) - 1) / 2) * 0.18
        ax.plot(x, rows["dice"], "o", markersize=3, alpha=0.6, label=label)
    ax.set_xticks(range(len(patients)), patients)
    ax.set(xlabel="patient", ylabel="Dice of an image", ylim=(-0.02, 1.02))
    legend_on_the_right(ax)
    return ax


def plot_split(rows: pd.DataFrame, train: np.ndarray, test: np.ndarray, ax: Axes | None = None) -> Axes:
    """Plot how many images of each patient are in the training and the test set; a patient with two colors leaks.

    `rows` has the column patient; `train` and `test` are positions in it.
    """
    ax = ax or new_axes(6, 2.6)
    patients = list(dict.fromkeys(rows["patient"]))
    counts = [rows["patient"].iloc[index].value_counts().reindex(patients, fill_value=0) for index in (train, test)]
    ax.bar(patients, counts[0], label="train")
    ax.bar(patients, counts[1], bottom=counts[0], label="test")
    ax.set(xlabel="patient", ylabel="images")
    ax.tick_params(axis="x", labelrotation=90 if len(patients) > 12 else 0)
    ax.legend(frameon=False, ncols=2)
    return ax
