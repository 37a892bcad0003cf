"""Comparisons of arms: shares paired with shares, and failures that a mean hides."""

import itertools
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from retina_kit.errors import UsageError
from retina_kit.evaluation.claims import Claim, evaluate_claims
from retina_kit.evaluation.comparisons import compare_families, spread_over_images, training_shares

ARMS = [
    SimpleNamespace(name=name, split=SimpleNamespace(train_percent=percent))
    for name, percent in (("kept_10", 10), ("kept_100", 100), ("drawn_100", 100), ("localizer", 0))
]


def scores():
    """Six images of six patients: kept_100 is 0.1 better than drawn_100 on average."""
    parts = []
    for arm, values in (
        ("kept_10", [0.5, 0.5, 0.5, 0.5, 0.5, 0.5]),
        ("kept_100", [0.8, 0.8, 0.8, 0.8, 0.8, 0.8]),
        ("drawn_100", [0.6, 0.8, 0.7, 0.75, 0.65, 0.7]),
    ):
        ids = list("abcdef")
        parts.append(pd.DataFrame({"arm": arm, "seed": 0, "id": ids, "patient": ids, "dice": values}))
    return pd.concat(parts, ignore_index=True)


def test_shares_are_read_from_the_arms():
    shares = training_shares(ARMS)
    assert shares["family"].tolist() == ["kept", "kept", "drawn"]
    assert shares["percent"].tolist() == [10, 100, 100]


def test_families_are_compared_where_both_have_a_share():
    found = compare_families(scores(), training_shares(ARMS), [("kept", "drawn")])
    assert found["percent"].tolist() == [100]
    row = found.iloc[0]
    assert row["difference"] == pytest.approx(0.1)
    assert row["ci_low"] < 0.1 < row["ci_high"]
    assert row["p_t"] < 0.05
    assert row["p_wilcoxon"] == pytest.approx(1 / 16)  # five pairs differ, all to one side: 2 / 2**5
    assert (row["n_images"], row["n_patients"]) == (6, 6)


def test_a_family_and_the_claim_about_it_have_the_same_interval():
    rng = np.random.default_rng(0)
    arms = [f"{family}_{percent}" for family in ("kept", "drawn") for percent in (10, 100)]
    parts = []
    for place, (arm, seed) in enumerate(itertools.product(arms, range(3))):
        dice = 0.5 + 0.02 * place + 0.05 * rng.normal() + 0.05 * rng.normal(size=8)
        parts.append(pd.DataFrame({"arm": arm, "seed": seed, "id": range(8), "patient": range(8), "dice": dice}))
    scores = pd.concat(parts)
    shares = pd.DataFrame({"arm": arms, "family": ["kept"] * 2 + ["drawn"] * 2, "percent": [10, 100] * 2})
    found = compare_families(scores, shares, [("kept", "drawn")])
    claims = [
        Claim(f"at {percent} %", "", "control", "greater", (f"kept_{percent}", f"drawn_{percent}"), pooled=False)
        for percent in (10, 100)
    ]
    verdicts = evaluate_claims(claims, scores, synthetic=True)
    for name in ("ci_low", "ci_high", "p_value"):
        assert found[name].tolist() == pytest.approx(verdicts[name].tolist())


def test_families_without_a_common_seed_keep_a_row_that_says_so():
    other = scores().assign(seed=lambda rows: (rows["arm"] == "drawn_100") * 7)
    row = compare_families(other, training_shares(ARMS), [("kept", "drawn")]).iloc[0]
    assert row["note"] == "no seed in common" and np.isnan(row["difference"]) and np.isnan(row["p_value"])
    with pytest.raises(UsageError, match="arms kept_100 and drawn_100: not tested on the same images"):
        compare_families(scores().query("arm != 'drawn_100' or id != 'a'"), training_shares(ARMS), [("kept", "drawn")])


def test_families_without_a_common_share_are_an_error():
    with pytest.raises(UsageError, match="no share"):
        compare_families(scores(), training_shares(ARMS[:1]), [("kept", "drawn")])


def test_failures_are_counted():
    values = [0.0, 0.004, 0.4, 0.9, 0.95, np.nan]
    at_the_border = pd.DataFrame({"arm": "one", "seed": 0, "id": range(2), "dice": [0.01, 0.5]})
    row = spread_over_images(at_the_border, ["one"]).iloc[0]
    assert (row["n_complete_failures"], row["n_below_half"]) == (0, 1)
    rows = pd.DataFrame({"arm": "one", "seed": 0, "id": range(6), "dice": values})
    row = spread_over_images(rows, ["one"]).iloc[0]
    assert (row["n_complete_failures"], row["n_below_half"], row["n_images"]) == (2, 3, 5)
    assert row["lowest"] == 0
    assert (row["quartile_1"], row["median"], row["quartile_3"]) == (0.004, 0.4, 0.9)
    assert row["sd_over_images"] == pytest.approx(np.std(values[:5], ddof=1))


def test_seeds_are_no_further_images():
    dice = [0.0, 0.8, 0.0, 0.6, 0.5, 0.7]  # of two images with three seeds
    rows = pd.DataFrame({"arm": "one", "seed": [0, 0, 1, 1, 2, 2], "id": ["a", "b"] * 3, "dice": dice})
    row = spread_over_images(rows, ["one"]).iloc[0]
    assert (row["n_images"], row["n_seeds"]) == (2, 3)
    assert row["n_complete_failures"] == pytest.approx(2 / 3)  # image a, with two of three seeds
    assert row["mean"] == pytest.approx(np.mean(dice))
    assert row["sd_over_images"] == pytest.approx(np.mean([0.8, 0.6, 0.2]) / 2**0.5)
