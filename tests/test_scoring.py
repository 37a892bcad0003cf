"""Scored rows and their sums, on masks that can be counted by hand."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from retina_kit.data.dataset import load_images
from retina_kit.errors import UsageError
from retina_kit.evaluation.scoring import (
    mean_scores,
    score_classes,
    score_masks,
    score_masks_of_classes,
    score_points,
    with_class_names,
)
from retina_kit.evaluation.summary import summarize

REAL = Path(__file__).resolve().parents[2] / "shared" / "data"
ROWS = pd.DataFrame({"id": ["a", "b", "c"], "patient": ["p", "p", "q"], "split": "test"}, index=[7, 8, 9])
TARGET = np.array([[[1, 1, 0, 0]], [[1, 0, 0, 0]], [[0, 0, 0, 0]]], bool)
PROBABILITY = np.array([[[0.9, 0.4, 0.6, 0.0]], [[0.8, 0.0, 0.0, 0.0]], [[0.1, 0.0, 0.0, 0.5]]])
# Above 0.5: a hits 1 of 2 and adds 1, b hits its only pixel, c stays empty.


def test_a_row_holds_the_counts_and_dice_of_its_image():
    scored = score_masks(PROBABILITY, TARGET, ROWS)
    assert scored["id"].tolist() == ["a", "b", "c"] and scored.index.tolist() == [0, 1, 2]
    assert scored[["tp", "fp", "fn", "tn"]].to_numpy().tolist() == [[1, 1, 1, 1], [1, 0, 0, 3], [0, 0, 0, 4]]
    assert scored["dice"].tolist()[:2] == [0.5, 1.0] and np.isnan(scored["dice"][2])
    # a: 0.9 and 0.6 become 1, 0.4 stays: (2 x 1.4 + 1) / (2.4 + 2 + 1)
    assert scored["dice_half_thresholded"][0] == pytest.approx(3.8 / 5.4)


def test_masks_and_tensors_are_scored_alike():
    from_masks = score_masks(PROBABILITY > 0.5, TARGET, ROWS)
    assert "dice_half_thresholded" not in from_masks
    from_tensors = score_masks(torch.from_numpy(PROBABILITY), torch.from_numpy(TARGET), ROWS)
    pd.testing.assert_frame_equal(from_masks, from_tensors.drop(columns="dice_half_thresholded"))


def test_the_rows_of_classes_name_the_class_after_the_patient():
    scored = score_masks_of_classes(PROBABILITY[:, None], TARGET[:, None], ROWS[["id", "patient"]], ["fluid"])
    assert list(scored)[:4] == ["id", "patient", "class", "tp"]


def test_average_precision_over_all_pixels_comes_from_the_histograms():
    scored = score_masks(PROBABILITY, TARGET, ROWS, num_bins=300).assign(arm="x", seed=0)
    value = summarize(scored, ["average_precision"])["ours_mean"][0]
    # Ranked: 0.9 +, 0.8 +, 0.6 -, 0.5 -, 0.4 +, ...: precision at the three positives 1, 1, 3/5.
    assert value == pytest.approx((1 + 1 + 3 / 5) / 3)


def test_no_image_silently_changes_the_mean():
    # a: Dice 0.5; b: 1; c, empty: a false alarm at a threshold of 0.4 only.
    for threshold, alarm, dice in ((0.5, 0.0, 0.75), (0.45, 1.0, 0.5)):
        scores = score_masks(PROBABILITY, TARGET, ROWS, threshold).assign(arm="x", seed=0)
        table = summarize(scores, ["dice", "dice_nonempty", "false_alarms"], pooled=False).set_index("metric")
        assert table["ours_mean"].to_dict() == {"dice": dice, "dice_nonempty": 0.75, "false_alarms": alarm}
        assert table["n_images"].to_dict()["dice_nonempty"] == 2
    silent = score_masks(PROBABILITY * 0, TARGET, ROWS).assign(arm="x", seed=0)
    assert summarize(silent, ["dice_nonempty"])["ours_mean"][0] == 0


def test_a_classifier_is_scored_by_counts_and_by_ranking():
    rows = pd.DataFrame({"id": list("abcd"), "patient": list("abcd")})
    scored = score_classes([0.9, 0.8, 0.7, 0.6], [1, 0, 1, 0], rows).assign(arm="x", seed=0)
    table = summarize(scored, ["accuracy", "recall", "precision", "auc"]).set_index("metric")
    assert table["ours_mean"].to_dict() == {"accuracy": 0.5, "recall": 1.0, "precision": 0.5, "auc": 0.75}
    assert score_classes([0.5], [1], rows.iloc[:1])["fn"].tolist() == [1]  # only above the threshold is a yes


def test_a_localizer_is_scored_in_pixels():
    rows = ROWS.iloc[:2]
    scored = score_points([[3, 4], [0, 0]], [[0, 0], [0, 2]], rows).assign(arm="x", seed=0)
    table = summarize(scored, ["mse", "distance"]).set_index("metric")["ours_mean"]
    assert table["mse"] == (12.5 + 2) / 2 and table["distance"] == 3.5
    assert scored[["predicted_x", "predicted_y"]].to_numpy().tolist() == [[3, 4], [0, 0]]


def test_many_images_are_scored_as_few_are():
    number = 130  # scored 64 at a time
    rows = pd.DataFrame({"id": range(number), "patient": range(number)})
    probability = np.linspace(0, 1, number)[:, None, None] * np.ones((1, 1, 3))
    target = np.arange(number)[:, None, None] % 2 * np.ones((1, 1, 3), int)
    scored = score_masks(probability, target, rows, num_bins=4)
    assert scored["id"].tolist() == list(range(number)) == scored.index.tolist()
    assert scored["tp"].tolist() == [3 * (k % 2) * (k > 64.5) for k in range(number)]
    assert (scored[["tp", "fp", "fn", "tn"]].sum(axis=1) == 3).all()
    assert [name for name in scored if name.startswith(("positives", "negatives"))] == [
        f"{kind}_{k:03d}" for kind in ("positives", "negatives") for k in range(4)
    ]
    assert scored.filter(like="positives_").to_numpy().sum() == target.sum()
    assert scored.filter(regex="tives_").to_numpy().sum() == 3 * number
    assert not list(score_masks(probability, target, rows).filter(regex="tives_"))


def test_classes_are_scored_one_by_one_and_need_a_channel_each():
    probability, target = np.stack([PROBABILITY, 1 - PROBABILITY], 1), np.stack([TARGET, TARGET], 1)
    scored = score_masks_of_classes(probability, target, ROWS, ["ma", "he"], threshold=0.7)
    assert scored["class"].tolist() == ["ma"] * 3 + ["he"] * 3 and scored.index.tolist() == list(range(6))
    assert scored["tp"].tolist() == [1, 1, 0, 0, 0, 0]
    assert scored["fp"].tolist() == [0, 0, 0, 1, 3, 3]
    for wrong in (probability, probability[:, 0]):
        with pytest.raises(UsageError, match="have not one channel for each of a, b, c"):
            score_masks_of_classes(wrong, target, ROWS, ["a", "b", "c"])


def test_class_scores_are_averaged_without_those_that_are_unknown():
    found = mean_scores([{"dice": 0.5, "iou": np.nan}, {"dice": 1.0, "iou": np.nan}, {"dice": np.nan, "iou": np.nan}])
    assert found["dice"] == 0.75 and np.isnan(found["iou"])


def test_rows_of_classes_are_compared_as_arms_are():
    rows = pd.DataFrame({"arm": ["lesions", "lesions", "ma"], "class": ["ma", "he", None]})
    assert with_class_names(rows)["arm"].tolist() == ["lesions:ma", "lesions:he", "ma"]
    assert with_class_names(rows[["arm"]])["arm"].tolist() == ["lesions", "lesions", "ma"]


@pytest.mark.real_data
def test_two_graders_agree_as_far_as_people_do():
    if not (REAL / "oct_dme_chiu2015").is_dir():
        pytest.skip("oct_dme_chiu2015 is not in ../shared/data")
    scans = load_images("oct_dme_chiu2015", REAL, masks=["grader1", "grader2"])
    scored = score_masks(scans.masks["grader2"], scans.masks["grader1"], scans.rows).assign(arm="x", seed=0)
    whole, mean = (summarize(scored, ["dice"], pooled=pooled).iloc[0] for pooled in (True, False))
    assert round(whole["ours_mean"], 3) == 0.689 and whole["n_images"] == 110
    assert round(mean["ours_mean"], 3) == 0.493 and mean["n_images"] == 91
    assert whole["ours_ci_low"] < 0.689 < whole["ours_ci_high"] and whole["n_patients"] == 10


def test_lengths_that_differ_and_unknown_metrics_are_refused():
    with pytest.raises(UsageError, match="do not match"):
        score_masks(PROBABILITY, TARGET, ROWS.iloc[:2])
    with pytest.raises(UsageError, match="no metric 'hausdorff'"):
        summarize(score_masks(PROBABILITY, TARGET, ROWS).assign(arm="x"), ["hausdorff"])
    with pytest.raises(UsageError, match="column 'patient'"):
        score_masks(PROBABILITY, TARGET, ROWS.drop(columns="patient"))
    with pytest.raises(UsageError, match="column 'id'"):
        score_masks(PROBABILITY, TARGET, ROWS[["split"]])


@pytest.mark.parametrize("num_bins", [0, 3])
def test_no_images_give_an_empty_table_with_the_usual_columns(num_bins):
    usual = score_masks(PROBABILITY, TARGET, ROWS, num_bins=num_bins)
    scored = score_masks(PROBABILITY[:0], TARGET[:0], ROWS[:0], num_bins=num_bins)
    assert len(scored) == 0
    assert scored.dtypes.to_dict() == usual.dtypes.to_dict()
    assert list(scored) == list(usual)
    of_classes = score_masks_of_classes(PROBABILITY[:0, None], TARGET[:0, None], ROWS[:0], ["fluid"])
    assert list(of_classes) == list(score_masks_of_classes(PROBABILITY[:, None], TARGET[:, None], ROWS, ["fluid"]))
