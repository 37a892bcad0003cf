"""Scores over the values of one setting."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from retina_kit.reporting.figures.axes import COLORS, new_axes


def plot_sweep(table: pd.DataFrame, setting: str, ax: Axes | None = None) -> Axes:
    """Plot the mean score of each arm over the values of a setting, with its interval; a line per arm.

    `table` has the columns value, arm, metric, mean, ci_low and ci_high, and one metric. Numbers are spaced as they
    are, other values evenly. Arms whose runs are the same for all values are dashed.
    """
    ax = ax or new_axes(7, 4)
    values = list(dict.fromkeys(map(str, table["value"])))
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in table["value"])
    arms = list(dict.fromkeys(table["arm"]))
    for k, arm in enumerate(arms):
        rows = table[table["arm"] == arm]
        x = rows["value"].to_numpy(float) if numeric else np.array([values.index(str(v)) for v in rows["value"]], float)
        step = (x.max() - x.min()) / max(1, len(values) - 1) if len(x) > 1 else 1.0
        x = x + step * 0.12 * ((k + 0.5) / len(arms) - 0.5)  # so that intervals do not cover one another
        mean = rows["mean"].to_numpy(float)
        spread = np.clip([mean - rows["ci_low"], rows["ci_high"] - mean], 0, None)
        constant = len(rows) > 1 and (rows["same_as"].iloc[1:].astype(str) != "").all()
        line = ax.errorbar(x, mean, spread, color=COLORS[k % len(COLORS)], fmt="o-", capsize=3, label=arm)
        line.lines[0].set(markersize=4, linestyle="--" if constant else "-")
    if not numeric:
        ax.set_xticks(range(len(values)), values)
    ax.set(xlabel=setting, ylabel=f"{table['metric'].iloc[0]}, 95 % interval")
    ax.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return ax
