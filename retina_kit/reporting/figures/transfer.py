"""Which transfer helps, and by how much: one interval for each comparison with a random start."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from retina_kit.reporting.figures.axes import VERDICT_COLORS
from retina_kit.reporting.units import short_name_of_metric


def plot_transfer(claims: pd.DataFrame) -> Figure:
    """Plot the gain of each transfer with its 95 % interval, in percentage points; filled: real data."""
    figure = Figure(figsize=(8.6, 0.3 * (len(claims) + claims["paper"].nunique()) + 1))
    ax = figure.subplots()
    height, ticks, headings = 0.0, {}, []
    for paper, rows in claims.groupby("paper", sort=False):
        metric = short_name_of_metric(str(rows["statistic"].iloc[0]).split(",")[0])
        ticks[height] = f"{paper} ({metric})"
        headings.append(ticks[height])
        for row in rows.to_dict("records"):
            height += 1
            ticks[height] = row["label"]
            color, face = VERDICT_COLORS[row["verdict"]], "white" if row["data"] == "synthetic" else None
            ax.plot([100 * row["ci_low"], 100 * row["ci_high"]], [height, height], color=color)
            ax.plot(100 * row["estimate"], height, "o", color=color, markerfacecolor=face or color)
        height += 1
    ax.axvline(0, color="0.3", linewidth=0.8)
    ax.set_yticks(list(ticks), list(ticks.values()), fontsize=8)
    for text in ax.get_yticklabels():
        text.set_fontweight("bold" if text.get_text() in headings else "normal")
    ax.set(ylim=(height - 0.4, -0.6), xlabel="pretrained minus random start at equal steps, percentage points")
    handles = [Line2D([], [], color=color, label=verdict) for verdict, color in VERDICT_COLORS.items()]
    handles += [Line2D([], [], marker="o", linestyle="", color="0.3", markerfacecolor=face, label=label)
                for face, label in (("white", "synthetic data"), ("0.3", "real data"))]  # fmt: skip
    ax.legend(handles=handles, frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure
