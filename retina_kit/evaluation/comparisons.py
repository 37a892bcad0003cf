"""Arms beside one another: paired differences share by share, and how the scores of single images spread."""

import pandas as pd

from retina_kit.errors import UsageError
from retina_kit.evaluation.bootstrap import paired_difference
from retina_kit.evaluation.patients import values_per_image

COMPLETE_FAILURE = 0.01  # a Dice below this: the structure was not found at all


def training_shares(arms):
    """Return one row an arm that trains on a share of its images: arm, family, percent.

    `arms` are resolved arms; the family is the name without the share, so "frozen_40" belongs to "frozen".
    """
    rows = []
    for arm in arms:
        percent = arm.split.train_percent
        if percent:
            rows.append({"arm": arm.name, "family": arm.name.removesuffix(f"_{percent:g}"), "percent": percent})
    return pd.DataFrame(rows, columns=["arm", "family", "percent"])


def compare_families(scores, shares, pairs, metric="dice"):
    """Return one row a pair of families and share: the paired difference and the p-values of three tests.

    `pairs` lists (family, baseline). p_t and p_wilcoxon pair images as if they were independent (Hu 2018,
    Figure 2b); p_bootstrap and the interval draw patients anew. Shares that only one of the two has are left out.
    """
    arms = {(row["family"], row["percent"]): row["arm"] for row in shares.to_dict("records")}
    records = []
    for family, baseline in pairs:
        for percent in sorted({p for _, p in arms}):
            if (family, percent) in arms and (baseline, percent) in arms:
                found = paired_difference(scores, arms[family, percent], arms[baseline, percent], metric)
                records.append(
                    {
                        "family": family, "baseline": baseline, "percent": percent, "difference": found.estimate,
                        "ci_low": found.ci_low, "ci_high": found.ci_high, "p_t": found.p_t,
                        "p_wilcoxon": found.p_wilcoxon, "p_bootstrap": found.p_bootstrap,
                        "n_images": found.num_images, "n_patients": found.num_patients, "note": found.reason,
                    }
                )  # fmt: skip
    if not records:
        raise UsageError(f"no share of the training images is common to the families of {pairs}")
    return pd.DataFrame(records)


def spread_over_images(scores, arms, metric="dice"):
    """Return one row an arm: how its images' scores are spread, and how many images failed completely.

    The SD (ddof 1) is over images, as papers print it behind a mean. A mean hides failures; the counts do not.
    """
    records = []
    for arm in arms:
        rows = scores[scores["arm"] == arm]
        values = pd.Series(values_per_image(rows, metric)).dropna()
        quartiles = values.quantile([0.25, 0.5, 0.75]).tolist()
        records.append(
            {
                "arm": arm, "metric": metric, "mean": values.mean(), "sd_over_images": values.std(),
                "lowest": values.min(), "quartile_1": quartiles[0], "median": quartiles[1],
                "quartile_3": quartiles[2], "n_below_half": int((values < 0.5).sum()),
                "n_complete_failures": int((values < COMPLETE_FAILURE).sum()), "n_images": len(values),
            }
        )  # fmt: skip
    return pd.DataFrame(records)
