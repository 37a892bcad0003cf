"""Figures: data in, axes or a figure out, and something to see on them."""

import io
import itertools

import cv2
import numpy as np
import pandas as pd
import pytest

from retina_kit.reporting import figures
from retina_kit.reporting.figures.overlays import blend_masks


def pixels_of(drawn):
    """Return what a figure looks like, (H, W, 3) uint8."""
    buffer = io.BytesIO()
    getattr(drawn, "figure", drawn).savefig(buffer, format="png")
    return cv2.imdecode(np.frombuffer(buffer.getvalue(), np.uint8), cv2.IMREAD_COLOR)


def table():
    """A tidy table of two arms and two metrics."""
    rows = [(a, m, 0.5, 0.1, 0.6) for a in ("one", "two") for m in ("dice", "iou")]
    return pd.DataFrame(rows, columns=["arm", "metric", "ours_mean", "ours_sd", "paper_value"])


def by_size():
    """Two arms with their training set sizes and spreads."""
    rows = [("one", 8, 0.4, 0.3, 0.05, 0.3, 0.5, 0.45), ("two", 16, 0.6, 0.2, 0.04, 0.5, 0.7, np.nan)]
    columns = ["arm", "n_train", "mean", "sd_of_images", "sem", "ci_low", "ci_high", "paper_value"]
    return pd.DataFrame(rows, columns=columns)


def claims():
    """Two claims, one decided."""
    columns = ["statement", "kind", "estimate", "ci_low", "ci_high", "verdict"]
    rows = [("It helps", "replication", 0.1, 0.05, 0.2, "supported")]
    rows += [("It helps at equal steps", "control", 0.0, np.nan, np.nan, "inconclusive")]
    return pd.DataFrame(rows, columns=columns)


def histories():
    """Two arms of six steps, validated twice."""
    steps = pd.DataFrame({"step": range(1, 7), "loss": 0.5, "miou": [np.nan, np.nan, 0.5, np.nan, np.nan, 0.6]})
    return pd.concat([steps.assign(arm=name, seed=0) for name in ("one", "two")])


ROWS = pd.DataFrame({"patient": ["a", "a", "b", "c"], "dice": [0.5, 0.7, np.nan, 0.9], "arm": "one"})
PICTURES = np.random.default_rng(0).integers(0, 255, (5, 1, 32, 48), dtype=np.uint8)
MASKS = PICTURES[:, 0] > 200


@pytest.mark.parametrize(
    "draw",
    [
        lambda: figures.plot_images(PICTURES, MASKS, list("abcde")),
        lambda: figures.plot_split(ROWS, np.array([0, 1]), np.array([2, 3])),
        lambda: figures.plot_history(histories(), metric="miou"),
        lambda: figures.plot_validations(histories(), "miou", {"one": "One", "two": "Two"}),
        lambda: figures.plot_comparison(table(), labels={"one": "One"}),
        lambda: figures.plot_panels({"mask": (PICTURES[0], MASKS[0]), "point": (PICTURES[1], (20.0, 10.0))}),
        lambda: figures.plot_predictions(PICTURES, MASKS, {"one": ~MASKS}, titles=list("abcde")),
        lambda: figures.plot_claims(claims()),
        lambda: figures.plot_dice_of_patients(ROWS, {"one": "One"}),
        lambda: figures.plot_classes(PICTURES[:3], {"ped": MASKS[:3], "irf": ~MASKS[:3]}, list("abc")),
        lambda: figures.plot_annotators(PICTURES[:2], {"first": MASKS[:2], "second": ~MASKS[:2]}, list("ab")),
        lambda: figures.plot_one_image(PICTURES[0], MASKS[0], [{"a": MASKS[0]}, {"b": ~MASKS[0], "c": MASKS[0]}]),
        lambda: figures.plot_filters({"net": [PICTURES, PICTURES]}, ["layer 1", "layer 2"]),
        lambda: figures.plot_losses(histories(), {"one": "One"}),
        lambda: figures.plot_dice_by_size(by_size(), {"scratch": ["one", "two"]}),
        lambda: figures.plot_dice_by_size(by_size(), {"scratch": ["one", "two"]}, spread="sem"),
    ],
    ids=[
        "images",
        "split",
        "history",
        "validations",
        "beside_paper",
        "panels",
        "predictions",
        "claims",
        "patients",
        "classes",
        "annotators",
        "one_image",
        "filters",
        "losses",
        "by_size",
        "by_size_sem",
    ],
)
def test_there_is_something_to_see(draw):
    pixels = pixels_of(draw())
    assert pixels.std() > 5
    assert min(pixels.shape[:2]) > 100


def test_hits_misses_and_false_alarms_have_their_colors():
    predicted, target = np.array([[True, False, True, False]]), np.array([[True, True, False, False]])
    overlay = figures.overlay_of(predicted, target)
    assert np.allclose(overlay[0, :, 3], [1, 1, 1, 0])
    assert overlay[0, 0, :2].min() > 0.8  # yellow
    red, green, blue = overlay[0, 1, :3]
    assert blue > green > red, "missed: blue"
    red, green, blue = overlay[0, 2, :3]
    assert red > green > blue, "false alarm: orange"


def test_a_comparison_has_a_panel_per_metric_and_a_row_per_arm():
    """Two arms and two metrics; the shape of a mask is not a fraction, so its panel does not end at 1."""
    shown = table().replace({"metric": {"iou": "compactness"}, "paper_value": {0.6: 1.7}})
    figure = figures.plot_comparison(shown, labels={"one": "One"})
    assert [ax.get_title() for ax in figure.axes] == ["Dice", "compactness"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["One", "two"]
    assert figure.axes[0].get_xlim() == (-0.03, 1.03)
    assert figure.axes[1].get_xlim()[1] > 1.7


def test_the_legend_names_only_what_is_there():
    def words(shown):
        return [text.get_text() for text in figures.plot_comparison(shown).legends[0].get_texts()]

    several = table().assign(ours_sd=0.1)
    assert words(several) == ["this run, SD over seeds", "published"]
    assert words(several.assign(ours_sd=np.nan, paper_value=np.nan)) == ["this run"]


def test_claims_are_named_by_their_statements():
    labels = figures.plot_claims(claims()).get_yticklabels()
    assert [label.get_text() for label in labels] == ["It helps (replication)", "It helps at equal steps (control)"]


def test_the_legend_of_a_reliability_diagram_covers_no_line():
    table = pd.DataFrame({"low": [0.0, 0.5], "high": [0.5, 1.0], "confidence": [0.2, 0.8], "frequency": [0.1, 0.9]})
    table["count"] = [5, 5]
    figure = figures.plot_reliability({"a network with a label as long as those of the lessons are": table})
    figure.draw_without_rendering()
    (legend,) = figure.legends
    assert not any(legend.get_window_extent().overlaps(ax.get_tightbbox()) for ax in figure.axes)


def test_patients_of_other_arms_have_no_column():
    scores = pd.DataFrame({"arm": ["net", "source"], "patient": ["01", "im0003"], "dice": 0.5})
    ax = figures.plot_dice_of_patients(scores, {"net": "a network"})
    assert [label.get_text() for label in ax.get_xticklabels()] == ["01"]


@pytest.mark.parametrize("num_patients", [2, 20])
def test_the_names_of_patients_do_not_overlap(num_patients):
    names = [f"patient {k:02d}" for k in range(num_patients)]
    scores = pd.DataFrame({"arm": "net", "patient": names, "dice": 0.5})
    ax = figures.plot_dice_of_patients(scores, {"net": "a network"})
    ax.figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in ax.get_xticklabels()]
    assert not any(one.overlaps(two) for one, two in itertools.pairwise(boxes))


def test_a_claim_that_was_not_tested_is_called_so():
    untested = claims().assign(estimate=[0.1, np.nan], verdict=["supported", "not tested"])
    texts = [text for text in figures.plot_claims(untested).texts if text.get_text().strip() == "not tested"]
    assert [text.get_position()[1] for text in texts] == [1]
    assert not figures.plot_claims(claims()).texts
    no_score = figures.plot_claims(claims().assign(estimate=[0.1, np.nan])).texts
    assert [text.get_text().strip() for text in no_score] == ["no estimate"]


def test_a_last_claim_that_was_not_tested_has_room_above_the_axis():
    ax = figures.plot_claims(claims().assign(estimate=[0.1, np.nan], ci_low=[0.0, np.nan], ci_high=[0.2, np.nan]))
    assert ax.get_ylim() == (1.5, -0.5)  # two claims, at 0 and 1, the first on top


def test_a_figure_has_as_many_lines_as_series_however_many_there_are():
    names = {f"arm {k}": f"Arm {k}" for k in range(40)}
    bins = pd.DataFrame({"low": [0.0], "high": [1.0], "count": [9], "confidence": [0.5], "frequency": [0.5]})
    assert len(figures.plot_reliability(dict.fromkeys(names, bins)).axes[0].lines) == 40 + 1  # and the diagonal
    steps = pd.concat(
        [pd.DataFrame({"step": [1, 2], "loss": [4.0, 3.0], "dice": 0.5, "seed": 0, "arm": a}) for a in names]
    )
    assert len(figures.plot_losses(steps, names).lines) == 40
    assert len(figures.plot_validations(steps, "dice", names).lines) == 40
    points = ("target_x", "target_y", "predicted_x", "predicted_y", "distance", "distance_diameters")
    scores = pd.concat(
        [pd.DataFrame({name: [1.0, 2.0] for name in points}).assign(arm=arm) for arm in list(names)[:12]]
    )
    cumulative = figures.plot_point_errors(scores, {arm: arm for arm in list(names)[:12]}, (32, 48)).axes[12]
    assert len(cumulative.lines) == 12 + 1  # and the border


def test_every_mask_of_many_is_painted():
    masks = {str(k): np.arange(16 * 16).reshape(16, 16) // 16 == k for k in range(16)}
    painted = blend_masks(np.zeros((1, 16, 16), np.uint8), masks, 1.0, width=16)
    assert painted.any(axis=(1, 2)).all()


def test_a_loss_above_one_is_on_its_figure():
    ax = figures.plot_losses(histories().assign(loss=4.2), {"one": "One"})
    assert ax.get_ylim()[0] == 0
    assert ax.get_ylim()[1] > 4.2


def test_hours_are_no_fractions():
    hours = table().replace({"metric": {"iou": "time"}, "paper_value": {0.6: 26.0}})
    assert figures.plot_comparison(hours, labels={}).axes[1].get_xlim()[1] > 26
