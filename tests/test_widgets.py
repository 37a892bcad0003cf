"""Widgets without a browser: each reacts to its controls, and leaves an image or a table where none can live."""

import cv2
import ipywidgets
import numpy as np
import pytest

from retina_kit.data.collection import ImageSet
from retina_kit.data.synthetic.oct import generate_oct
from retina_kit.evaluation.metrics import dice
from retina_kit.evaluation.thresholds import ThresholdCounts
from retina_kit.reporting.figures.overlays import as_color, blend_errors, blend_masks, fit_width
from retina_kit.reporting.tables import differing_settings
from retina_kit.teaching.widgets.arm_picker import ArmPicker
from retina_kit.teaching.widgets.browser import ImageBrowser
from retina_kit.teaching.widgets.explorer import PredictionExplorer, worst_first
from retina_kit.teaching.widgets.gap_explorer import GapBench
from retina_kit.teaching.widgets.live_curve import LiveCurve
from retina_kit.teaching.widgets.static import VIEW, present


@pytest.fixture(scope="module")
def image_set():
    """Four small drawn scans of two patients with two annotators."""
    return generate_oct(2, 2, (64, 96), annotators=True, fluid=2.0)


def decoded(widget):
    """Return the pixels that an image widget shows."""
    return cv2.imdecode(np.frombuffer(widget.value, np.uint8), cv2.IMREAD_COLOR)


def test_counts_at_a_threshold_are_those_of_the_metric():
    probability = np.array([[[0.2, 0.5], [0.51, 0.9]], [[0.0, 0.0], [0.0, 1.0]]])
    target = np.array([[[False, True], [False, True]], [[False, False], [False, False]]])
    counts = ThresholdCounts(probability, target)
    assert [list(part) for part in counts.at(0.5)] == [[1, 0], [1, 1], [1, 0]]  # 0.5 is not above 0.5
    assert [list(part) for part in counts.at(0.49)] == [[2, 0], [1, 1], [0, 0]]
    for threshold in (0.0, 0.2, 0.33, 0.5, 0.9, 1.0):
        expected = dice(probability > threshold, target)
        np.testing.assert_array_equal(counts.dice(threshold), expected)
    assert counts.pooled_dice(0.5) == 2 * 1 / (2 * 1 + 2 + 1)
    assert np.isnan(counts.dice(1.0)[1])


def test_a_mask_covers_its_pixels_and_no_others():
    image = np.full((1, 4, 8), 100, np.uint8)
    mask = np.zeros((4, 8), bool)
    mask[1:3, 2:5] = True
    painted = blend_masks(image, {"fluid": mask}, opacity=1.0, colors=("#FF0000",), width=8)
    assert (painted[mask] == (255, 0, 0)).all()
    assert (painted[~mask] == 100).all()
    assert as_color(image).shape == (4, 8, 3)
    assert fit_width(mask, 16).sum() == 4 * mask.sum()


def test_errors_have_three_colors():
    predicted, target = np.array([[True, True, False, False]]), np.array([[True, False, True, False]])
    hit, false_alarm, missed, right = blend_errors(np.zeros((1, 1, 4), np.uint8), predicted, target, 1.0, width=4)[0]
    assert tuple(hit) == (0xF0, 0xE4, 0x42)
    assert tuple(missed) == (0xD6, 0x27, 0x28)
    assert tuple(false_alarm) == (0x2C, 0xA0, 0x2C)
    assert tuple(right) == (0, 0, 0)


def test_the_browser_changes_with_every_control(image_set):
    browser = ImageBrowser(image_set, shown=["annotator1", "annotator2"])
    assert browser.chosen == ["annotator1", "annotator2"]
    seen = [browser.painted.value]
    changes = [(browser.opacity, 1.0), (browser.switches.children[0], True), (browser.number, 1 - browser.number.value)]
    changes.append((browser.patient, next(p for p in browser.patient.options if p != browser.patient.value)))
    for control, value in changes:
        control.value = value
        assert browser.painted.value not in seen, control.description
        seen.append(browser.painted.value)


def test_the_browser_takes_several_data_sets(image_set):
    other = ImageSet(image_set.images[:1], {}, image_set.rows[:1], "other")
    browser = ImageBrowser({"one": image_set, "two": other})
    before = browser.painted.value
    browser.data.value = "two"
    assert browser.painted.value != before
    assert browser.chosen == []


def test_the_explorer_follows_the_threshold(image_set):
    truth = image_set.masks["fluid"]
    probability = np.where(truth, 0.8, 0.3)
    explorer = PredictionExplorer(image_set.images, probability, truth, list(image_set.rows["id"]))
    assert "pooled: 1.000" in explorer.says()
    before = explorer.painted.value
    explorer.threshold.value = 0.2
    assert explorer.painted.value != before
    assert f"pooled: {2 * truth.sum() / (truth.sum() + truth.size):.3f}" in explorer.says()
    assert decoded(explorer.painted).shape[1] == 640


def test_the_worst_image_comes_first_and_those_without_a_dice_last():
    assert worst_first(np.array([0.5, np.nan, 0.1]), ["a", "b", "c"]) == [
        ("c: Dice 0.10", 2), ("a: Dice 0.50", 0), ("b: no Dice", 1),
    ]  # fmt: skip


def test_two_arms_differ_in_what_was_changed():
    first = {"name": "a", "label": "A", "role": "control", "recipe": {"steps": 2, "loss": "x"}, "start": {}}
    second = first | {"name": "b", "label": "B", "recipe": {"steps": 5, "loss": "x"}, "start": {"from": "v"}}
    rows = differing_settings(first, second).values.tolist()
    assert rows == [["recipe.steps", 2, 5], ["start.from", "-", "v"]]
    picker = ArmPicker([first, second])
    assert "2 settings differ" in picker.table.value
    picker.second.value = "a"
    assert "the same arm" in picker.table.value


def test_stop_ends_the_training_and_keeps_what_it_has(capsys):
    import torch

    watch = LiveCurve(every=1, min_seconds=0)
    losses = [torch.tensor(1.0)]
    assert watch(0, 10, losses, {}) is False
    watch.button.click()
    assert watch(1, 10, [*losses, torch.tensor(0.5)], {}) is True
    assert "stopped after 2 of 10" in watch.says.value
    assert watch.losses == [1.0, 0.5]


def test_the_interrupt_means_stop_and_is_given_back():
    import signal

    import torch

    before = signal.getsignal(signal.SIGINT)
    watch = LiveCurve(every=1, min_seconds=0)
    watch(0, 3, [torch.tensor(1.0)], {})
    signal.raise_signal(signal.SIGINT)
    assert watch(1, 3, [torch.tensor(1.0)] * 2, {}) is True
    assert signal.getsignal(signal.SIGINT) is before


def test_the_gap_bench_shows_what_its_dials_say_and_trains():
    from retina_kit.teaching.domain_gap import draw_bench

    dials = GapBench(draw_bench, lambda bench: {"zero_shot": 0.1, "fine_tuned": 0.4, "scratch": 0.2},
                     annotators=("exact", "second"))  # fmt: skip
    seen = [dials.painted.value]
    for control, value in ((dials.gap, 0.0), (dials.noise, 2.0), (dials.annotator, "second")):
        control.value = value
        assert dials.painted.value not in seen, control.description
        seen.append(dials.painted.value)
    dials.button.click()
    assert "0.40" in dials.scores.value
    assert "fine-tuned on the target: Dice 0.40" in dials.says()


def test_the_bench_trains_a_tiny_network(monkeypatch):
    from retina_kit.teaching import domain_gap as gap_bench

    monkeypatch.setattr(gap_bench, "STEPS", dict.fromkeys(gap_bench.STEPS, 2))
    scores = gap_bench.train_bench(gap_bench.draw_bench(annotator="second", num_patients=4))
    assert set(scores) == {"zero_shot", "fine_tuned", "scratch"}
    assert all(0 <= score <= 1 for score in scores.values())


def test_a_widget_is_shown_as_ipywidgets_shows_it(capsys):
    widget = ipywidgets.HTML("shown")
    bundle = present(widget, text="words").bundle(None, "<b>words</b>")
    assert bundle[VIEW] == widget._repr_mimebundle_()[VIEW]
    assert (bundle["text/plain"], bundle["text/html"]) == ("words", "<b>words</b>")
