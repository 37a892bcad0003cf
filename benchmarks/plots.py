"""Figures of the benchmarks: bars of one comparison, curves of growth."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from retina_kit.reporting.figures import COLORS


def plot(measured, path):
    """Draw what there is to draw: comparisons as bars, curves of growth as lines; nothing where there is neither."""
    figures = [value for value in measured.values() if isinstance(value, dict)]
    comparisons = [value for value in figures if "rows" in value]
    curves = [value for value in figures if "slopes" in value]
    races = [value for value in figures if "levels" in value]
    if comparisons:
        plot_comparisons(comparisons, path)
    elif curves:
        plot_growth(curves, path)
    elif races:
        plot_time_to_dice(races[0], path)


def plot_comparisons(shown, path):
    """Draw the time an update of every row as a multiple of the kit's own, one panel a comparison."""
    figure, axes = plt.subplots(1, len(shown), figsize=(6.5 * len(shown), 3.6), squeeze=False)
    for ax, comparison in zip(axes[0], shown, strict=True):
        rows = [row for row in comparison["rows"] if row.get("times the kit")][::-1]
        colors = [COLORS[1] if row["row"].startswith("this kit") else COLORS[0] for row in rows]
        bars = ax.barh([row["row"] for row in rows], [row["times the kit"] for row in rows], color=colors)
        ax.bar_label(bars, fmt="%.2f", padding=3)
        ax.axvline(1, color="#444444", linewidth=0.8)
        ax.set(xlabel="time an update, as a multiple of this kit's", title=comparison["workload"])
        ax.title.set_fontsize(9)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def plot_growth(curves, path):
    """Draw time and memory against what grows, one panel a curve, both axes logarithmic, slopes in the legends."""
    columns = min(4, len(curves))
    rows = -(-len(curves) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(4.0 * columns, 3.4 * rows), squeeze=False, layout="constrained")
    for ax in axes.flat[len(curves) :]:
        ax.remove()
    for ax, curve in zip(axes.flat, curves, strict=False):
        for number, (name, values) in enumerate(curve["values"].items()):
            label = f"{name}, slope {curve['slopes'][name]:.2f}"
            ax.plot(curve["at"], values, "o-", color=COLORS[number], label=label)
        ax.set(xscale="log", yscale="log", xlabel=curve["what grows"])
        ax.set_xticks(curve["at"], [f"{at:,}" for at in curve["at"]])
        ax.minorticks_off()
        ax.set_title(curve["name"], fontsize=9)
        ax.legend(fontsize=7)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def plot_time_to_dice(measured, path):
    """Draw the Dice of the test images against seconds of training, one line per run, one panel per data set."""
    levels, names = measured["levels"], list(dict.fromkeys(run["row"] for run in measured["runs"]))
    figure, axes = plt.subplots(1, len(levels), figsize=(5.5 * len(levels), 3.8), squeeze=False, layout="constrained")
    for ax, (task, level) in zip(axes[0], levels.items(), strict=True):
        for run in measured["runs"]:
            if run["task"] == task and "curve" in run:
                seconds, dice, _ = zip(*run["curve"], strict=True)
                label = run["row"] if run["seed"] == 0 else None
                ax.plot(seconds, dice, color=COLORS[names.index(run["row"])], linewidth=0.9, alpha=0.8, label=label)
        ax.axhline(level["Dice"], color="#444444", linewidth=0.8)
        ax.set(xscale="log", ylim=(0, 1), xlabel="seconds of training", ylabel="pooled test Dice", title=task)
        ax.legend(fontsize=7, loc="upper left")
    figure.savefig(path, dpi=110)
    plt.close(figure)
