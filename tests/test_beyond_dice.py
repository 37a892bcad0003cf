"""Outlines, calibration and thresholds of predicted test images, as tables and notebooks show them."""

import math

import numpy as np
import pandas as pd
import pytest

from retina_kit.errors import UsageError
from retina_kit.evaluation.calibration import pooled_reliability, reliability
from retina_kit.experiment import Experiment
from retina_kit.papers.compare import TABLE_COLUMNS
from retina_kit.predictions import predict
from retina_kit.reporting.beyond_dice import (
    Predicted,
    calibration_row,
    outline_rows,
    outline_table,
    pooled_dice,
    reliability_of,
)
from retina_kit.reporting.tables import show_comparison

SIZE = (30, 40)  # its diagonal is 50 pixels


def predicted(masks, targets):
    """Return certain predictions of images of one patient each."""
    rows = pd.DataFrame({"id": [f"i{k}" for k in range(len(masks))], "patient": [f"p{k}" for k in range(len(masks))]})
    return Predicted(np.array(masks, np.float32), np.array(targets, bool), rows)


def square(top, left, side=4):
    """Return a mask with one square."""
    mask = np.zeros(SIZE, bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_outlines_by_hand_and_empty_masks():
    empty = np.zeros(SIZE, bool)
    found = predicted([square(5, 6), empty, empty], [square(5, 5), square(5, 5), empty])
    scored = outline_rows(found, tolerance=0.5)
    assert scored["hd95"].tolist()[:2] == [1, 50]  # missed altogether: the diagonal
    assert scored["nsd"].tolist()[:2] == [0.5, 0]  # 6 of the 12 pixels of both outlines are shared
    assert scored["dice"].tolist()[:2] == [0.75, 0]
    assert scored.iloc[2][["dice", "hd95", "assd", "nsd"]].isna().all()


def test_the_table_is_tidy_and_names_its_tolerance_and_what_it_left_out():
    empty = np.zeros(SIZE, bool)
    masks = [square(5, 5), square(5, 6), square(5, 7), empty]
    scored = outline_rows(predicted(masks, [square(5, 5)] * 3 + [empty]), tolerance=2, centerlines=True)
    table = outline_table(scored.assign(arm="one", seed=0), tolerance=2)
    assert list(table) == list(TABLE_COLUMNS)
    assert table["metric"].tolist() == ["dice", "hd95", "assd", "nsd", "cldice"]
    by_metric = table.set_index("metric")
    assert by_metric.loc["hd95", "ours_mean"] == pytest.approx((0 + 1 + 2) / 3)
    assert by_metric.loc["nsd", "ours_mean"] == 1
    assert by_metric.loc["nsd", "note"].startswith("tolerance 2 px; no interval: 3 patients, 1 seed")
    assert show_comparison(table).set_index("metric").loc["hd95", "ours"] == "1 px"


def test_the_threshold_comes_from_validation_images_only():
    target = square(5, 5)
    faint = np.where(target, 0.3, 0.1)
    rows = pd.DataFrame({"id": ["a"], "patient": ["p"]})
    found = Predicted(faint[None], target[None], rows)
    bins = reliability_of([found])
    row = calibration_row([found], found, bins)
    assert row["Dice at 0.5"] == 0
    assert row["Dice at threshold"] == 1
    assert 0.1 <= row["threshold"] < 0.3
    pixels = target.size
    assert row["ECE"] == pytest.approx((16 * 0.7 + (pixels - 16) * 0.1) / pixels, abs=1e-6)
    alone = calibration_row([found], None, bins)
    assert math.isnan(alone["threshold"])
    assert "no images were held out" in alone["note"]
    assert pooled_dice([found, found], 0.2) == 1


def test_bins_of_many_images_are_those_of_all_pixels():
    rng = np.random.default_rng(0)
    probability = rng.random((3, 8, 9)).astype(np.float32)
    target = rng.random(probability.shape) < probability
    together, one_by_one = reliability(probability, target), pooled_reliability(probability, target)
    pd.testing.assert_frame_equal(one_by_one, together, check_dtype=False)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Train two arms of a paper in the profile smoke."""
    folder = tmp_path_factory.mktemp("out")
    experiment = Experiment("ortiz2022", "smoke", output_root=folder, seeds=[0], device="cpu")
    wanted = {"published", "classify_vgg"}
    jobs = [job for job in experiment.jobs if job.arm.name in wanted]
    from retina_kit.runs.plan import run_jobs

    for outcome in run_jobs(jobs, experiment.store, data_root=experiment.data_root, device="cpu").values():
        assert not isinstance(outcome, Exception), outcome
    return experiment


def test_an_arm_of_a_paper_gets_its_tables(trained):
    beyond = trained.beyond_dice(["published"], tolerance=3)
    boundaries = beyond.boundaries.set_index("metric")
    assert set(boundaries.index) == {"dice", "hd95", "assd", "nsd"}
    of_run = trained.run_of("published").scores
    expected = of_run.loc[of_run["variant"] == "last", "dice"].mean()
    assert boundaries.loc["dice", "ours_mean"] == pytest.approx(expected, nan_ok=True)
    assert "tolerance 3 px" in boundaries.loc["nsd", "note"]
    label = trained.arm("published").title
    assert beyond.calibration["arm"].tolist() == [label] == list(beyond.reliability)
    assert beyond.reliability[label]["count"].sum() > 0


def test_a_classifier_has_no_outlines(trained):
    with pytest.raises(UsageError, match="classify_vgg does not segment"):
        trained.beyond_dice(["classify_vgg"])


def test_a_run_that_was_not_trained_is_not_finished(trained):
    assert trained.finished("published").folder == trained.run_of("published").folder
    assert trained.finished("copied_frozen") is None


def test_test_images_are_predicted_once(trained, monkeypatch):
    trained.ready.clear()
    found, task, index = predict(trained, "published")
    monkeypatch.setattr(type(task), "predict", None)  # nothing more is predicted
    again, _, same = predict(trained, "published", index=index[1:])
    np.testing.assert_array_equal(again, found[1:])
    assert list(same) == list(index[1:])
