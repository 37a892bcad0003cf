"""The closing figure, which transfer helps and by how much: `python -m retina_kit.authoring.transfer_figure`.

It shows the kept claims that compare a pretrained network with the same network from a random start, both trained in
the same way. Each is one interval over patients, folds and seeds.
"""

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from retina_kit.files import atomic_path, kit_root
from retina_kit.reporting.figures.axes import VERDICT_COLORS, new_axes
from retina_kit.reporting.tables import read_table

LABELS = {  # paper and claim: what is transferred, and to how many images or for how long
    ("hu2018", "helps_at_10_percent_when_both_are_trainable"): "localizer, 10 % of the masks",
    ("hu2018", "pretraining_helps_when_both_are_trainable"): "localizer, all masks",
    ("hu2018", "pretraining_helps_when_both_are_frozen"): "localizer, all masks, encoders frozen",
    ("hu2018", "imagenet_helps"): "ImageNet",
    ("melinscak2020", "transfer_helps_tiny_at_equal_updates"): "other device, fewest scans",
    ("melinscak2020", "transfer_helps_small_at_equal_updates"): "other device, few scans",
    ("melinscak2020", "transfer_helps_medium_at_equal_updates"): "other device, half of the scans",
    ("melinscak2020", "transfer_helps_large_at_equal_updates"): "other device, all scans",
    ("melinscak2020", "imagenet_helps_with_few_scans"): "ImageNet, few scans",
    ("melinscak2020", "imagenet_helps_with_all_scans"): "ImageNet, all scans",
    ("ortiz2022", "transfer_is_faster_when_tuned"): "lesion classifier, few steps",
    ("ortiz2022", "transfer_helps_in_the_long_run"): "lesion classifier, many steps",
    ("ortiz2022", "imagenet_helps"): "ImageNet",
    ("huang2023", "transfer_helps_at_equal_updates"): "vessels, few steps",
    ("huang2023", "transfer_helps_in_the_long_run"): "vessels, many steps",
    ("huang2023", "transfer_helps_all_subjects"): "vessels, few steps, every subject tested",
    ("huang2023", "imagenet_helps"): "ImageNet",
}
METRICS = {"dice": "Dice", "dice_nonempty": "Dice", "average_precision": "area under precision-recall"}


def transfer_claims(folder: Path) -> pd.DataFrame:
    """Return the kept claims of LABELS that were tested, in that order, with columns paper, data and label.

    `folder` holds the files <paper>_lesson_<data>_claims.csv.
    """
    rows = []
    for (paper, claim), label in LABELS.items():
        for path in sorted(folder.glob(f"{paper}_lesson_*_claims.csv"), reverse=True):  # synthetic, then public
            for row in read_table(path).query("claim == @claim").dropna(subset=["estimate"]).to_dict("records"):
                rows.append({**row, "paper": paper, "data": path.stem.split("_")[2], "label": label})
    return pd.DataFrame(
        rows, columns=["paper", "data", "label", "statistic", "estimate", "ci_low", "ci_high", "verdict"]
    )


def plot_transfer(claims: pd.DataFrame) -> Axes:
    """Plot the gain of each transfer with its 95 % interval, in percentage points; filled: real data."""
    ax = new_axes(8.6, 0.3 * (len(claims) + claims["paper"].nunique()) + 1)
    height, ticks = 0.0, {}
    for paper, rows in claims.groupby("paper", sort=False):
        metric = METRICS[str(rows["statistic"].iloc[0]).split(",")[0]]
        ticks[height] = f"{paper} ({metric})"
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
        text.set_fontweight("bold" if "(" in text.get_text() else "normal")
    ax.set(ylim=(height - 0.4, -0.6), xlabel="pretrained minus random start at equal steps, percentage points")
    handles = [Line2D([], [], color=color, label=verdict) for verdict, color in VERDICT_COLORS.items()]
    handles += [Line2D([], [], marker="o", linestyle="", color="0.3", markerfacecolor=face, label=label)
                for face, label in (("white", "synthetic data"), ("0.3", "real data"))]  # fmt: skip
    ax.legend(handles=handles, frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


def main() -> None:
    """Write docs/images/transfer.png from the kept claims of this checkout."""
    claims = transfer_claims(kit_root() / "notebooks" / "results")
    with atomic_path(kit_root() / "docs" / "images" / "transfer.png") as path:
        plot_transfer(claims).figure.savefig(path, format="png", dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    main()
