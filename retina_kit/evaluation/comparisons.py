"""Comparisons of arms: paired differences at each share of the training images, and the spread over images."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from retina_kit.errors import UsageError
from retina_kit.evaluation.evidence import usual_seed_noise
from retina_kit.evaluation.paired import differences_per_image, paired_difference, paired_t, wilcoxon
from retina_kit.evaluation.patients import values_per_image

COMPARISON_COLUMNS = (
    *("family", "baseline", "percent", "difference", "ci_low", "ci_high", "p_t", "p_wilcoxon", "p_value"),
    *("n_images", "n_patients", "note"),
)
COMPLETE_FAILURE = 0.01  # a Dice below this: the structure was not found at all


def training_shares(arms: Iterable[Any]) -> pd.DataFrame:
    """Return one row per arm that trains on a share of its images: arm, family, percent.

    `arms` are those of an experiment; the family is the name without the share: "frozen_40" belongs to "frozen".

    >>> from types import SimpleNamespace
    >>> arm = SimpleNamespace(name="frozen_40", split=SimpleNamespace(train_percent=40))
    >>> training_shares([arm]).to_numpy().tolist()
    [['frozen_40', 'frozen', 40]]
    """
    rows = []
    for arm in arms:
        percent = arm.split.train_percent
        if percent:
            rows.append({"arm": arm.name, "family": arm.name.removesuffix(f"_{percent:g}"), "percent": percent})
    return pd.DataFrame(rows, columns=["arm", "family", "percent"])


def compare_families(
    scores: pd.DataFrame, shares: pd.DataFrame, pairs: Iterable[tuple[str, str]], metric: str = "dice"
) -> pd.DataFrame:
    """Return one row per pair of families and share: the paired difference and the p-values of three tests.

    `shares` comes from training_shares, `pairs` lists (family, baseline). p_t and p_wilcoxon pair images as if they
    were independent (Hu 2018, Figure 2b); p_value and the interval are those of a verdict, over patients and seeds,
    with the seed noise that all arms of `shares` show together. Shares that only one of the two has are left out, pairs
    without a common seed keep a row without numbers. Raises UsageError if no share is left, or if a pair was not
    tested on the same images.
    """
    pairs = list(pairs)
    arms = {(row["family"], row["percent"]): row["arm"] for row in shares.to_dict("records")}
    usual = usual_seed_noise(scores[scores["arm"].isin(shares["arm"])], metric, pooled=False)
    records = []
    for family, baseline in pairs:
        for percent in sorted({share for _, share in arms}):
            if (family, percent) in arms and (baseline, percent) in arms:
                names = arms[family, percent], arms[baseline, percent]
                key = {"family": family, "baseline": baseline, "percent": percent}
                records.append(key | _difference(scores, *names, metric, usual))
    if not records:
        raise UsageError(f"no share of the training images is common to the families of {pairs}")
    return pd.DataFrame(records, columns=COMPARISON_COLUMNS)


def _difference(
    scores: pd.DataFrame, arm: str, baseline: str, metric: str, usual: tuple[float, float]
) -> dict[str, Any]:
    """Return the paired difference of two arms as the columns of a table."""
    of_arm, of_baseline = (scores[scores["arm"] == name] for name in (arm, baseline))
    if not set(of_arm["seed"]) & set(of_baseline["seed"]):
        return {"note": "no seed in common"}
    try:
        found = paired_difference(of_baseline, of_arm, metric, usual=usual)
    except UsageError as error:
        raise UsageError(f"arms {arm} and {baseline}: {error}") from error
    images = differences_per_image(of_baseline, of_arm, metric)
    return {
        "difference": found.estimate,
        "ci_low": found.ci_low,
        "ci_high": found.ci_high,
        "p_t": paired_t(images["b"], images["a"]),
        "p_wilcoxon": wilcoxon(images["b"], images["a"]),
        "p_value": found.p_value,
        "n_images": found.num_images,
        "n_patients": found.num_patients,
        "note": found.note,
    }


def spread_over_images(scores: pd.DataFrame, arms: Iterable[str], metric: str = "dice") -> pd.DataFrame:
    """Return one row per arm: the spread of its images' scores, and how many images failed completely.

    The SD (ddof 1) is over images, as papers report it behind a mean. A mean hides failures; the counts do not. Each
    column is computed seed by seed and averaged, so that seeds count as no further images: 0.7 complete failures are
    two in three seeds.

    >>> rows = pd.DataFrame({"arm": "net", "seed": 0, "id": [1, 2, 3], "dice": [0.0, 0.75, 0.75]})
    >>> found = spread_over_images(rows, ["net"])
    >>> found[["mean", "median", "n_complete_failures"]].to_numpy().tolist()
    [[0.5, 0.75, 1.0]]
    """
    records = []
    for arm in arms:
        rows = scores[scores["arm"] == arm]
        seeds = [_spread(pd.Series(values_per_image(part, metric)).dropna()) for _, part in rows.groupby("seed")]
        records.append({"arm": arm, "metric": metric, **pd.DataFrame(seeds).mean(), "n_seeds": len(seeds)})
    return pd.DataFrame(records)


def _spread(values: pd.Series) -> dict[str, float]:
    """Return the spread of one score per image."""
    low, median, high = values.quantile([0.25, 0.5, 0.75]).tolist()
    return {
        "mean": values.mean(),
        "sd_over_images": values.std(),
        "lowest": values.min(),
        "quartile_1": low,
        "median": median,
        "quartile_3": high,
        "n_below_half": (values < 0.5).sum(),
        "n_complete_failures": (values < COMPLETE_FAILURE).sum(),
        "n_images": len(values),
    }
