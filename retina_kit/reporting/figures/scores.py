"""Scores of trained networks: next to the published values, claim by claim, patient by patient."""

from collections.abc import Mapping
from itertools import cycle
from textwrap import fill, shorten

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from retina_kit.evaluation.verdicts import NOT_TESTED
from retina_kit.papers.compare import TIME
from retina_kit.reporting.figures.axes import COLORS, VERDICT_COLORS, legend_on_the_right, new_axes
from retina_kit.reporting.units import UNITS, name_of_metric

FEW_PATIENTS = 6  # whose names fit next to each other


def plot_comparison(table: pd.DataFrame, *, labels: Mapping[str, str] | None = None) -> Figure:
    """Plot a tidy table, one panel per metric and one row per arm: our mean with its SD over seeds, and the paper's.

    `labels` maps arms to what the rows are called. A published value is a diamond; the legend names it if there is one.
    """
    metrics, arms = list(dict.fromkeys(table["metric"])), list(dict.fromkeys(table["arm"]))
    figure = Figure(figsize=(3.2 + 1.9 * len(metrics), 1.1 + 0.3 * len(arms)))
    axes = figure.subplots(1, len(metrics), squeeze=False, sharey=True)[0]
    for ax, metric, color in zip(axes, metrics, cycle(COLORS), strict=False):
        rows = table[table["metric"] == metric].drop_duplicates("arm").set_index("arm").reindex(arms)
        y = np.arange(len(arms))
        ax.errorbar(rows["ours_mean"], y, xerr=rows["ours_sd"], fmt="o", color=color, capsize=2)
        ax.plot(rows["paper_value"], y, "D", color="black", markerfacecolor="none", markersize=7)
        ax.set_title(name_of_metric(metric), fontsize=9)
        if metric not in (*UNITS, TIME):
            ax.set(xlim=(-0.03, 1.03), xticks=[0, 0.5, 1])
    names = [shorten((labels or {}).get(arm, arm), 60, placeholder=" ...") for arm in arms]
    axes[0].set_yticks(range(len(arms)), names, fontsize=8)
    axes[0].invert_yaxis()
    has_sd, has_published = table["ours_sd"].notna().any(), table["paper_value"].notna().any()
    name = "this run, SD over seeds" if has_sd else "this run"
    handles = [Line2D([], [], marker="o", color="0.3", linestyle="-" if has_sd else "", label=name)]
    if has_published:
        handles += [Line2D([], [], marker="D", color="black", markerfacecolor="none", linestyle="", label="published")]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    return figure


def plot_claims(claims: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Plot each claim's estimate with its interval, colored by its verdict; replications are filled."""
    claims = claims.reset_index(drop=True)
    ax = ax or new_axes(9, 0.45 * len(claims) + 1)
    for k, row in enumerate(claims.to_dict("records")):
        if row["verdict"] == NOT_TESTED:
            ax.text(0, k, "  not tested", va="center", fontsize=8, color="0.35")
            continue
        color = VERDICT_COLORS[row["verdict"]]
        face = color if row["kind"] == "replication" else "white"
        ax.plot([row["ci_low"], row["ci_high"]], [k, k], color=color)
        ax.plot(row["estimate"], k, "o", color=color, markerfacecolor=face)
        if pd.isna(row["estimate"]):
            ax.text(0, k, "  no estimate", va="center", fontsize=8, color="0.35")
    ax.axvline(0, color="0.3", linewidth=0.8)
    names = [fill(f"{text} ({kind})", 72) for text, kind in zip(claims["statement"], claims["kind"], strict=True)]
    ax.set_yticks(range(len(claims)), names, fontsize=8)
    ax.set_ylim(len(claims) - 0.5, -0.5)  # from top to bottom, with room for claims at the ends that were not tested
    ax.set(xlabel="estimate with its interval; right of 0 supports the claim")
    ax.xaxis.set_major_locator(MaxNLocator(6))
    handles = [Patch(color=color, label=verdict) for verdict, color in VERDICT_COLORS.items()]
    ax.figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return ax


def plot_dice_of_patients(scores: pd.DataFrame, arms: Mapping[str, str], ax: Axes | None = None) -> Axes:
    """Plot every test image's Dice, one column per patient, one color per arm: means hide failures.

    `scores` has the columns arm, patient and dice; `arms` maps arms to what the legend reads.
    """
    ax = ax or new_axes(7, 3.2)
    scores = scores[scores["arm"].isin(list(arms))]  # other arms may have other patients
    patients = sorted(scores["patient"].unique())
    for k, (arm, label) in enumerate(arms.items()):
        rows = scores[(scores["arm"] == arm) & scores["dice"].notna()]
        x = rows["patient"].map(patients.index) + (k - (len(arms) - 1) / 2) * 0.18
        ax.plot(x, rows["dice"], "o", markersize=3, alpha=0.6, label=label)
    ax.set_xticks(range(len(patients)), patients, rotation=90 if len(patients) > FEW_PATIENTS else 0)
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
