"""Scores against the size of the training set, with a spread that is named."""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes

from retina_kit.reporting.figures.axes import COLORS, new_axes

SPREADS = {
    "sd_of_images": "SD over images",
    "sem": "SEM",
    "interval": "95 % interval",
}


def plot_dice_by_size(
    spreads: pd.DataFrame, lines: Mapping[str, Sequence[str]], *, spread: str = "interval", ax: Axes | None = None
) -> Axes:
    """Plot mean Dice against the number of training images, one line per start (Melinscak 2020, Figure 4).

    `spreads` has one row per arm: arm, n_train, mean, sd_of_images, sem, ci_low, ci_high; `lines` maps a label to its
    arms. `spread` names the error bars, one of SPREADS. Published values (paper_value) are diamonds at our size,
    whatever the paper's size was.
    """
    ax = ax or new_axes(5.2, 3.6)
    for k, (label, arms) in enumerate(lines.items()):
        rows = spreads[spreads["arm"].isin(arms)].sort_values("n_train")
        interval = [rows["mean"] - rows["ci_low"], rows["ci_high"] - rows["mean"]]
        bars = interval if spread == "interval" else rows[spread]
        place = rows["n_train"] * (1 + 0.02 * (k - (len(lines) - 1) / 2))
        ax.errorbar(place, rows["mean"], yerr=bars, fmt="o-", capsize=3, color=COLORS[k % len(COLORS)], label=label)
        if rows["paper_value"].notna().any():
            ax.plot(
                place,
                rows["paper_value"],
                "D--",
                color=COLORS[k % len(COLORS)],
                alpha=0.45,
                label=f"{label}, published",
            )
    ax.set(xscale="log", xlabel="training B-scans", ylabel="Dice, mean of the test B-scans", ylim=(0, 1))
    ticks = sorted(set(spreads["n_train"]))
    ax.set_xticks(ticks, [str(tick) for tick in ticks])
    ax.minorticks_off()
    ax.set_title(f"bars: {SPREADS[spread]}", fontsize=9)
    ax.legend(frameon=False, fontsize=8)
    return ax
