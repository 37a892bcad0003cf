"""One number per arm with its spread and its interval, on scores that can be counted by hand."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from test_scoring import PROBABILITY, ROWS, TARGET

from retina_kit.errors import UsageError
from retina_kit.evaluation.scoring import score_masks
from retina_kit.evaluation.summary import SUMMARY_COLUMNS, spreads, standard_error, summarize


def some_scores():
    """Two arms and two seeds; the second seed of arm "y" is worse."""
    good = score_masks(PROBABILITY, TARGET, ROWS)
    bad = score_masks(PROBABILITY * 0.6, TARGET, ROWS)  # a keeps its first pixel only, b loses its own
    parts = [good.assign(arm="x", seed=0), good.assign(arm="x", seed=1), good.assign(arm="y", seed=0)]
    return pd.concat([*parts, bad.assign(arm="y", seed=1)], ignore_index=True)


def test_a_plus_minus_is_named():
    rows = pd.DataFrame(
        {"id": list("abcd"), "patient": list("pqrs"), "dice": [0.2, 0.4, 0.6, np.nan], "seed": 0, "arm": "x"}
    )
    found = spreads(rows).iloc[0]
    assert found["mean"] == pytest.approx(0.4)
    assert found["sd_of_images"] == pytest.approx((0.08 / 3) ** 0.5)  # squared distances 0.04, 0, 0.04
    assert found["sem"] == pytest.approx((0.08 / 3) ** 0.5 / 3**0.5)
    assert found["n_images"] == 3 and found["n_patients"] == 3
    assert math.isnan(found["ci_low"]) and math.isnan(found["ci_high"])  # three patients and a single seed


def test_pooling_adds_counts_and_averaging_takes_images():
    scores = some_scores()
    table = summarize(scores[scores["seed"] == 0], ["dice", "iou"]).set_index(["arm", "metric"])["ours_mean"]
    # All images of x: tp 2, fp 1, fn 1.
    assert table["x", "dice"] == pytest.approx(4 / 6)
    assert table["x", "iou"] == pytest.approx(2 / 4)
    later = summarize(scores[scores["seed"] == 1], ["recall"]).set_index("arm")["ours_mean"]
    assert later["y"] == pytest.approx(1 / 3)
    mean = summarize(scores[scores["seed"] == 0], ["dice"], pooled=False).set_index("arm")
    assert mean.loc["x", "ours_mean"] == pytest.approx((0.5 + 1) / 2)
    assert mean.loc["x", "n_images"] == 2 and "1 image without" in mean.loc["x", "note"]


def test_spreads_are_of_images_and_never_pooled():
    # Dice 0.5 of a small lesion and 1 of a large one: 0.75 on average, 22 / 24 in one confusion matrix.
    rows = pd.DataFrame({"id": list("ab"), "patient": list("pq"), "seed": 0, "arm": "x", "dice": [0.5, 1.0],
                         "tp": [1, 10], "fp": [1, 0], "fn": [1, 0], "tn": 9})  # fmt: skip
    assert spreads(rows)["mean"].tolist() == [0.75]


def test_summary_averages_over_seeds_and_counts_people():
    table = summarize(some_scores(), ["dice"]).set_index("arm")
    assert list(summarize(some_scores(), ["dice", "iou"])) == list(SUMMARY_COLUMNS)
    assert summarize(some_scores().iloc[::-1], ["dice"])["arm"].tolist() == ["y", "x"]  # in the order of the scores
    y = table.loc["y"]
    # Seed 0: Dice 4/6. Seed 1: tp 1, fp 0, fn 2, so 2/4.
    assert y["ours_mean"] == pytest.approx((4 / 6 + 2 / 4) / 2)
    assert y["ours_sd"] == pytest.approx((4 / 6 - 2 / 4) / np.sqrt(2))
    assert [y["n_images"], y["n_patients"], y["n_seeds"]] == [3, 1, 2]
    assert np.isnan(y["ours_ci_low"]) and "1 patient, 2 seeds" in y["note"]  # q has no pixel of either mask


def test_summary_counts_the_images_without_a_dice():
    row = summarize(some_scores(), ["dice"], pooled=False).iloc[0]
    assert row["n_images"] == 2 and row["note"].endswith("; 1 image without a score left out")
    twice = pd.concat([some_scores(), some_scores().assign(id=lambda rows: rows["id"] + "2")])
    note = summarize(twice, ["dice"], pooled=False)["note"].iloc[0]
    assert note.endswith("; 2 images without a score left out")


def test_two_variants_are_not_summarized_together():
    scores = pd.concat([some_scores().assign(variant=name) for name in ("last", "best")])
    with pytest.raises(UsageError, match="several variants"):
        summarize(scores, ["dice"])
    assert summarize(some_scores().assign(variant="last"), ["dice"])["arm"].tolist() == ["x", "y"]


def test_spreads_are_averaged_over_seeds():
    rows = pd.DataFrame({"id": list("abcd"), "patient": list("pqrs"), "arm": "x"})
    scores = pd.concat([rows.assign(seed=0, dice=[0.2, 0.4, 0.4, 0.6]), rows.assign(seed=1, dice=0.5)])
    found = spreads(scores).iloc[0]
    sd = 0.02**0.5 / 2  # squared distances of seed 0: 0.04, 0, 0 and 0.04; none of seed 1
    assert (found["mean"], found["sd_of_images"], found["sem"]) == pytest.approx((0.45, sd, sd / 2))
    assert found[["n_images", "n_patients", "n_seeds"]].tolist() == [4, 4, 2]


def scores_of(values, *, seed=0, images_per_patient=1):
    """Return scored rows of one arm with a Dice each, a patient for every `images_per_patient` rows."""
    place = np.arange(len(values))
    return pd.DataFrame({"arm": "x", "seed": seed, "id": place, "patient": place // images_per_patient, "dice": values})


def interval_of(scores):
    """Return (low, high) of the only arm."""
    row = summarize(scores, ["dice"], pooled=False).iloc[0]
    return row["ours_ci_low"], row["ours_ci_high"]


def test_the_interval_of_one_seed_is_the_textbook_one():
    values = np.random.default_rng(0).normal(0.7, 0.1, 40)
    assert interval_of(scores_of(values)) == pytest.approx(tuple(stats.ttest_1samp(values, 0).confidence_interval()))
    assert interval_of(scores_of([0.5] * 6)) == (0.5, 0.5)


def test_images_of_one_patient_do_not_narrow_the_interval():
    once = np.random.default_rng(1).uniform(0.4, 0.9, 12)
    one, many = (interval_of(scores_of(np.repeat(once, n), images_per_patient=n)) for n in (1, 20))
    assert one == pytest.approx(many)


def test_seeds_that_differ_widen_the_interval():
    # Ten equal patients, so that only the three seeds vary: 0.6, 0.7 and 0.8.
    scores = pd.concat([scores_of([0.6 + 0.1 * seed] * 10, seed=seed) for seed in range(3)])
    half = stats.t.ppf(0.975, 2) * 0.1 / math.sqrt(3)
    assert interval_of(scores) == pytest.approx((0.7 - half, 0.7 + half))
    assert summarize(scores, ["dice"], pooled=False)["note"].tolist() == [""]


def test_the_interval_ends_where_scores_do():
    scores = pd.concat([scores_of([value] * 10, seed=seed) for seed, value in enumerate((0.0, 0.9, 0.6))])
    assert interval_of(scores) == (0, 1)
    far = scores.rename(columns={"dice": "distance"}).assign(distance=lambda rows: 100 * rows["distance"])
    row = summarize(far, ["distance"]).iloc[0]
    half = stats.t.ppf(0.975, 2) * np.std([0, 90, 60], ddof=1) / math.sqrt(3)
    assert (row["ours_ci_low"], row["ours_ci_high"]) == pytest.approx((0, 50 + half))


def test_the_note_names_what_the_interval_leaves_out():
    notes = {}
    for patients, seeds in ((10, 3), (10, 1), (2, 3), (2, 2), (1, 1)):
        scores = pd.concat([scores_of([0.5] * patients, seed=seed) for seed in range(seeds)])
        notes[patients, seeds] = summarize(scores, ["dice"], pooled=False)["note"].iloc[0]
    assert notes == {
        (10, 3): "",
        (10, 1): "one seed: the interval does not include seed noise",
        (2, 3): "these patients only: the interval is over seeds (2 patients, 3 seeds)",
        (2, 2): "no interval: 2 patients, 2 seeds (at least 6 patients or 3 seeds needed)",
        (1, 1): "no interval: 1 patient, 1 seed (at least 6 patients or 3 seeds needed)",
    }
    silent = summarize(scores_of([math.nan] * 10), ["dice"], pooled=False).iloc[0]
    assert silent["note"] == "no interval: no score; 10 images without a score left out"
    assert math.isnan(silent["ours_mean"]) and math.isnan(silent["ours_ci_low"])


def test_patients_of_a_fold_share_its_network():
    # Two folds whose networks differ: the interval knows it from two networks only, not from twelve patients.
    values = [0.6] * 6 + [0.8] * 6
    together, apart = scores_of(values), scores_of(values).assign(fold=[0] * 6 + [1] * 6)
    assert interval_of(apart)[0] < interval_of(together)[0] and interval_of(apart)[1] > interval_of(together)[1]


def test_areas_under_curves_have_an_interval_too():
    rng = np.random.default_rng(0)
    target = rng.random((12, 8, 8)) < 0.3
    probability = np.clip(0.3 * target + 0.7 * rng.random((12, 8, 8)), 0, 1)
    rows = pd.DataFrame({"id": range(12), "patient": range(12)})
    scored = score_masks(probability, target, rows, num_bins=300).assign(arm="x", seed=0)
    row = summarize(scored, ["average_precision"]).iloc[0]
    assert 0 < row["ours_ci_low"] < row["ours_mean"] < row["ours_ci_high"] < 1


def test_standard_error_of_the_printed_spread():
    # Melinscak 2020 prints 0.272 over 224 images as if it were the standard error, which is 0.0182.
    assert round(standard_error(0.272, 224), 4) == 0.0182


def test_two_seeds_are_taken_as_one():
    # Two scores have one degree of freedom, t = 12.7: an interval with them would be of no use.
    values = np.linspace(0.4, 0.8, 10)
    both = pd.concat([scores_of(values), scores_of(values + 0.02, seed=1)])
    row = summarize(both, ["dice"], pooled=False).iloc[0]
    expected = stats.ttest_1samp(values + 0.01, 0).confidence_interval()
    assert (row["ours_ci_low"], row["ours_ci_high"]) == pytest.approx(tuple(expected))
    assert row["note"] == "2 seeds: the interval does not include seed noise"


def test_folds_that_share_patients_and_two_folds_are_pointed_out():
    scores = scores_of([0.6, 0.8] * 6).assign(fold=[0] * 6 + [1] * 6)
    again = pd.concat([scores, scores.iloc[:1].assign(id=99, fold=1)])
    three = pd.concat([rows.assign(seed=seed) for seed in range(3) for rows in (scores,)])
    notes = [summarize(rows, ["dice"], pooled=False)["note"].iloc[0] for rows in (again, three)]
    assert notes[0].endswith("; folds share patients: the interval does not include fold noise")
    assert notes[1] == "2 folds: their noise is hardly known, so the interval is wide"


def counts_of(tp, fn):
    """Return scored rows with counts, every image of another patient."""
    place = np.arange(len(tp))
    return pd.DataFrame({"arm": "x", "seed": 0, "id": place, "patient": place, "tp": tp, "fp": 0, "fn": fn, "tn": 9})


def test_patients_without_a_share_in_a_pooled_score_do_not_count():
    two = summarize(counts_of([3, 1] + [0] * 8, [1, 3] + [0] * 8), ["recall"]).iloc[0]
    assert two["ours_mean"] == 0.5 and two["n_patients"] == 2
    assert two["note"] == "no interval: 2 patients, 1 seed (at least 6 patients or 3 seeds needed)"
    seven = summarize(counts_of([3, 1, 2, 2, 3, 1, 2, 0], [1, 3, 2, 2, 1, 3, 2, 0]), ["recall"]).iloc[0]
    assert seven["n_patients"] == 7 and 0 < seven["ours_ci_low"] < 0.5 < seven["ours_ci_high"] < 1


def test_a_score_that_one_patient_decides_has_no_interval():
    rows = pd.DataFrame({"id": range(10), "patient": range(10), "probability": np.linspace(0, 1, 10)})
    scores = rows.assign(arm="x", seed=0, target=[0] * 9 + [1])
    row = summarize(scores, ["auc"]).iloc[0]
    assert row["ours_mean"] == 1 and math.isnan(row["ours_ci_low"])
    assert row["note"] == "no interval: without one of the patients there is no score"
    later = pd.concat([scores.assign(seed=seed) for seed in range(3)])
    assert summarize(later, ["auc"])["ours_ci_low"].tolist() == [1.0]


def test_a_seed_without_a_score_and_patients_without_one_do_not_count():
    scores = pd.concat([scores_of([0.5] * 7 + [math.nan] * 3), scores_of([math.nan] * 10, seed=1)])
    row = summarize(scores, ["dice"], pooled=False).iloc[0]
    assert row[["n_images", "n_patients", "n_seeds"]].tolist() == [7, 7, 1]
    assert row["note"] == "one seed: the interval does not include seed noise; 3 images without a score left out"


def test_values_beyond_those_of_a_share_are_not_cut():
    scores = scores_of(np.linspace(5, 7, 10)).rename(columns={"dice": "loss"})
    row = summarize(scores, ["loss"]).iloc[0]
    assert 5 < row["ours_ci_low"] < 6 < row["ours_ci_high"] < 7
    for factor in (-1.0, -0.1, 0.25):  # means of -6, -0.6 and 1.5
        row = summarize(scores.assign(loss=factor * scores["loss"]), ["loss"]).iloc[0]
        ends = sorted(factor * end for end in stats.ttest_1samp(scores["loss"], 0).confidence_interval())
        assert [row["ours_ci_low"], row["ours_ci_high"]] == pytest.approx(ends)


def test_spreads_count_people_in_whole_numbers_and_keep_the_note():
    found = spreads(scores_of(np.linspace(0.4, 0.8, 10))).iloc[0]
    assert isinstance(found["n_patients"].item(), int) and found["n_patients"] == 10
    assert found["note"] == "one seed: the interval does not include seed noise"
