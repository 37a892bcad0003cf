"""Sums per patient: what they hold, what becomes of them, and a patient's share in a score, by hand."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest

from retina_kit.errors import UsageError
from retina_kit.evaluation.patients import (
    is_pooled,
    mean_of_known,
    patient_sums,
    scored_in_all_arms,
    values_per_image,
)

DICE = pd.DataFrame({"id": [1, 2, 3, 4], "patient": ["p", "q", "r", "r"], "dice": [0.2, 0.4, 0.8, 1.0]})
COUNTS = pd.DataFrame(
    {"id": [1, 2, 3], "patient": ["q", "p", "q"], "tp": [1, 3, 0], "fp": [0, 1, 0], "fn": [1, 0, 0], "tn": [2, 0, 4]}
)


def test_sums_and_numbers_of_values_are_kept_for_each_patient():
    part = patient_sums(DICE, "dice")
    assert part.patients == ("p", "q", "r") and part.num_seeds == 1
    assert part.sums[0].tolist() == pytest.approx(np.array([[0.2, 1], [0.4, 1], [1.8, 2]]))
    assert part.by_seed().tolist() == pytest.approx([2.4 / 4])
    assert part.num_scored == 3
    with pytest.raises(dataclasses.FrozenInstanceError):
        part.num_scored = 5


def test_an_image_without_a_score_is_left_out_and_counted():
    part = patient_sums(DICE.assign(dice=[0.2, np.nan, 0.8, 1.0]), "dice")
    assert part.sums[0].tolist() == pytest.approx(np.array([[0.2, 1], [0, 0], [1.8, 2]]))
    assert part.num_scored == 2  # q's only image has none
    assert part.by_seed().tolist() == pytest.approx([2 / 3])


def test_counts_are_added_before_the_metric_is_taken_unless_images_are_averaged():
    pooled, mean = patient_sums(COUNTS, "dice"), patient_sums(COUNTS, "dice", pooled=False)
    assert pooled.patients == ("p", "q")
    assert pooled.sums[0].tolist() == [[3, 1, 0, 0], [1, 0, 1, 6]]
    assert pooled.by_seed().tolist() == pytest.approx([8 / 10])  # tp 4, fp 1, fn 1
    assert pooled.num_scored == 2
    assert mean.by_seed().tolist() == pytest.approx([(2 / 3 + 6 / 7) / 2])  # the third image is empty
    assert mean.num_scored == 2
    assert patient_sums(COUNTS.assign(tp=[1, 0, 0], fp=[0, 0, 0]), "dice").num_scored == 1  # p has nothing at all


def test_patients_and_seeds_keep_the_order_that_is_asked_for():
    scores = pd.concat([DICE.assign(seed=1), DICE.assign(seed=5, dice=DICE["dice"] / 2)])
    assert patient_sums(scores, "dice").by_seed().tolist() == pytest.approx([0.6, 0.3])
    part = patient_sums(scores, "dice", patients=["r", "none", "q", "p"], seeds=[5, 1])
    assert part.patients == ("r", "none", "q", "p")
    assert part.sums[:, :, 0].tolist() == pytest.approx(np.array([[0.9, 0, 0.2, 0.1], [1.8, 0, 0.4, 0.2]]))
    assert part.by_seed().tolist() == pytest.approx([0.3, 0.6])


def test_a_patients_share_is_what_leaving_it_out_changes():
    part = patient_sums(DICE.iloc[:3].assign(dice=[0.2, 0.4, 0.9]), "dice")  # 0.5 on average
    shares = part.contributions()
    assert shares.shape == (3, 1)
    # without p 0.65, without q 0.55, without r 0.3; each times 2 / 3
    assert shares[:, 0].tolist() == pytest.approx([-0.1, -0.1 / 3, 0.4 / 3])
    assert part.contributions(num_patients=6)[:, 0].tolist() == pytest.approx([-0.125, -0.125 / 3, 0.5 / 3])
    assert part.contributions(num_patients=1)[:, 0].tolist() == [0, 0, 0]


def test_shares_are_of_each_seed():
    scores = pd.concat([DICE.iloc[:2].assign(seed=0), DICE.iloc[:2].assign(seed=1, dice=[0.4, 0.8])])
    shares = patient_sums(scores, "dice").contributions()
    assert shares.tolist() == pytest.approx(np.array([[-0.05, -0.1], [0.05, 0.1]]))


def test_the_mean_leaves_out_what_is_unknown_along_one_axis():
    values = np.array([[1.0, np.nan], [3.0, np.nan]])
    assert mean_of_known(values, axis=0)[0] == 2 and math.isnan(mean_of_known(values, axis=0)[1])
    assert mean_of_known(values, axis=1).tolist() == [1, 3]


BINS = pd.DataFrame(
    {"id": [1, 2], "patient": ["p", "q"], "positives_000": [0, 1], "positives_001": [2, 1],
     "negatives_000": [3, 1], "negatives_001": [0, 2]}
)  # fmt: skip


def test_areas_under_curves_come_from_the_histograms_of_all_images():
    part = patient_sums(BINS[sorted(BINS)], "auc")  # whatever the order of the columns
    assert part.sums[0].tolist() == [[0, 2, 3, 0], [1, 1, 1, 2]]
    # 4 positives, 1 of them low; 6 negatives, 4 of them low: (1 x (4 / 2) + 3 x (4 + 2 / 2)) / 24
    assert part.by_seed().tolist() == pytest.approx([17 / 24])
    assert part.num_scored == 2
    one_each = pd.DataFrame({"id": [1], "patient": "p", "positives_000": 1, "positives_001": 1, "positives_002": 0,
                             "negatives_000": 0, "negatives_001": 0, "negatives_002": 1})  # fmt: skip
    assert patient_sums(one_each, "average_precision").by_seed().tolist() == pytest.approx([(1 / 2 + 2 / 3) / 2])


def test_areas_under_curves_come_from_the_ranking_of_rows_without_histograms():
    rows = pd.DataFrame(
        {"id": range(4), "patient": list("pqrs"), "probability": [0.9, 0.8, 0.7, 0.8], "target": [1, 0, 1, 1]}
    )
    part = patient_sums(rows.assign(positives_000=np.nan, negatives_000=np.nan), "auc")
    # bins 0.7, 0.8 and 0.9: positives, then negatives
    assert part.sums[0].tolist() == [[0, 0, 1, 0, 0, 0], [0, 0, 0, 0, 1, 0], [1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0]]
    assert part.by_seed().tolist() == pytest.approx([(1 + 0 + 0.5) / 3])  # 0.9 above, 0.7 below, 0.8 equal
    precision = patient_sums(rows, "average_precision").by_seed()[0]
    assert precision == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)  # ranked +, then + and - at once, then +
    with pytest.raises(UsageError, match="auc needs the columns probability and target"):
        patient_sums(DICE, "auc")
    with pytest.raises(UsageError, match="needs the columns probability and target"):
        patient_sums(rows.drop(columns="target"), "average_precision")


def test_what_is_pooled():
    assert is_pooled(COUNTS, "dice", True) and not is_pooled(COUNTS, "dice", False)
    assert not is_pooled(DICE, "dice", True)  # it has no counts
    assert not is_pooled(COUNTS, "false_alarms", True)  # which is of single images
    assert is_pooled(BINS, "auc", False) and not is_pooled(BINS.assign(auc=0.5), "auc", True)
    assert patient_sums(BINS.assign(auc=[0.5, 0.7]), "auc").by_seed().tolist() == pytest.approx([0.6])


def test_a_metric_of_an_image_is_its_column_or_comes_from_its_counts():
    assert values_per_image(COUNTS.assign(dice=0.25), "dice").tolist() == [0.25] * 3
    found = values_per_image(COUNTS, "dice")
    assert found[:2].tolist() == pytest.approx([2 / 3, 6 / 7]) and math.isnan(found[2])
    assert values_per_image(COUNTS, "false_alarms")[2] == 0
    for scores, metric in ((COUNTS, "distance"), (DICE, "iou")):
        with pytest.raises(UsageError, match=f"no metric '{metric}' in these scores; their columns are id, patient"):
            values_per_image(scores, metric)


def test_arms_that_are_compared_leave_out_the_same_images():
    rows = pd.DataFrame(
        {"arm": list("aabb"), "id": [1, 2, 1, 2], "dice": [0.5, np.nan, 0.5, 0.25], "tp": 1, "fp": 0, "fn": 0, "tn": 0}
    )
    both = pd.concat([rows.assign(seed=0), rows.assign(seed=1, dice=0.5)], ignore_index=True)
    kept = scored_in_all_arms(both, "dice", pooled=False)
    assert kept["seed"].tolist() == [0, 0, 1, 1, 1, 1]
    assert kept["id"].tolist() == [1, 1, 1, 2, 1, 2]
    assert scored_in_all_arms(both, "dice", pooled=True) is both


def test_patients_and_seeds_that_were_not_asked_for_are_refused():
    with pytest.raises(UsageError, match="not among those asked for"):
        patient_sums(DICE, "dice", patients=["p"])
    with pytest.raises(UsageError, match="not among those asked for"):
        patient_sums(DICE.assign(seed=1), "dice", seeds=[0])
