"""Widgets without a browser: each reacts to its controls, and leaves an image or a table for static pages."""

import datetime
import signal
from types import SimpleNamespace

import cv2
import ipywidgets
import numpy as np
import pandas as pd
import pytest
import torch
from jupyter_client.manager import start_new_kernel
from PIL import Image
from small_arm import small_arm, train

from retina_kit.data.collection import ImageSet
from retina_kit.data.synthetic.oct import generate_oct
from retina_kit.evaluation.metrics import dice
from retina_kit.evaluation.thresholds import ThresholdCounts
from retina_kit.experiment import Experiment
from retina_kit.prediction.predictor import Predictor
from retina_kit.reporting import figures
from retina_kit.reporting.figures.overlays import as_color, blend_errors, blend_masks, fit_width
from retina_kit.reporting.tables import differing_settings
from retina_kit.runs.store import RunStore
from retina_kit.schema import to_json
from retina_kit.teaching import domain_gap
from retina_kit.teaching.widgets import static
from retina_kit.teaching.widgets.arm_picker import ArmPicker, comparison_html, differing_factors
from retina_kit.teaching.widgets.browser import ImageBrowser
from retina_kit.teaching.widgets.explorer import PredictionExplorer, worst_first
from retina_kit.teaching.widgets.gap_explorer import GapExplorer
from retina_kit.teaching.widgets.live_curve import LiveCurve
from retina_kit.teaching.widgets.own_image import HINT, OwnImage
from retina_kit.teaching.widgets.static import VIEW, present


@pytest.fixture(scope="module")
def image_set():
    """Four small synthetic scans of two patients with two annotators."""
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
    assert tuple(missed) == (0x00, 0x72, 0xB2)
    assert tuple(false_alarm) == (0xD5, 0x5E, 0x00)
    assert tuple(right) == (0, 0, 0)


def test_the_browser_changes_with_every_control(image_set):
    browser = ImageBrowser(image_set, shown=["annotator1", "annotator2"])
    assert browser.chosen == ["annotator1", "annotator2"]
    seen = [browser.image_view.value]
    changes = [(browser.opacity, 1.0), (browser.switches.children[0], True), (browser.number, 1 - browser.number.value)]
    changes.append((browser.patient, next(p for p in browser.patient.options if p != browser.patient.value)))
    for control, value in changes:
        control.value = value
        assert browser.image_view.value not in seen, control.description
        seen.append(browser.image_view.value)


def test_of_many_patients_one_is_found_by_typing():
    rows = pd.DataFrame({"id": [f"i{k}" for k in range(1000)], "patient": [f"p{k}" for k in range(1000)], "split": ""})
    browser = ImageBrowser(ImageSet(np.arange(1000).astype(np.uint8).repeat(4).reshape(-1, 1, 2, 2), {}, rows, "many"))
    assert isinstance(browser.patient, ipywidgets.Combobox)
    assert len(browser.patient.options) == 1000
    assert browser.index == 0
    browser.patient.value = "p217"
    assert browser.index == 217
    assert (decoded(browser.image_view)[-1] == 217).all()
    browser.patient.value = "p2x"  # no patient: the image stays
    browser.opacity.value = 1.0
    assert (decoded(browser.image_view)[-1] == 217).all()


def test_the_browser_takes_several_data_sets(image_set):
    other = ImageSet(image_set.images[:1], {}, image_set.rows[:1], "other")
    browser = ImageBrowser({"one": image_set, "two": other})
    before = browser.image_view.value
    browser.data.value = "two"
    assert browser.image_view.value != before
    assert browser.chosen == []


def test_the_browser_marks_points_in_images_without_masks():
    rows = pd.DataFrame({"id": ["a"], "patient": ["p"], "split": [""], "x": [20.0], "y": [10.0]})
    plain = ImageSet(np.zeros((1, 1, 60, 60), np.uint8), {}, rows, "plain")
    mask = ImageBrowser(plain, points={"center": ("x", "y"), "fovea": ("u", "v")}).image_set.masks
    assert list(mask) == ["center"]
    assert mask["center"].nonzero()[1].mean() == 10
    assert mask["center"].sum() == 5  # radius 1


def test_the_explorer_follows_the_threshold(image_set):
    fluid = image_set.masks["fluid"]
    probability = np.where(fluid, 0.8, 0.3)
    explorer = PredictionExplorer(image_set.images, probability, fluid, list(image_set.rows["id"]))
    assert "pooled: 1.000" in explorer.describe()
    before = explorer.image_view.value
    explorer.threshold.value = 0.2
    assert explorer.image_view.value != before
    assert f"pooled: {2 * fluid.sum() / (fluid.sum() + fluid.size):.3f}" in explorer.describe()
    assert decoded(explorer.image_view).shape[1] == 640


def test_the_worst_image_comes_first_and_those_without_a_dice_last():
    assert worst_first(np.array([0.5, np.nan, 0.1]), ["a", "b", "c"]) == [
        ("c: Dice 0.10", 2), ("a: Dice 0.50", 0), ("b: no Dice", 1),
    ]  # fmt: skip


def test_two_arms_differ_in_what_was_changed():
    first = small_arm("a", label="A", recipe={"steps": 2})
    second = small_arm("b", label="B", recipe={"steps": 5}, start={"parent": "v", "parts": ["encoder"]})
    rows = differing_settings(to_json(first), to_json(second)).values.tolist()
    assert rows == [["recipe.steps", 2, 5], ["start.parent", "-", "v"], ["start.parts", "-", ["encoder"]]]
    picker = ArmPicker([first, second])
    assert "2 factors differ (number of steps, start)" in picker.table.value
    picker.second.value = "a"
    assert "the same arm" in picker.table.value


def test_freezing_is_a_setting_and_another_start_is_one():
    plain, frozen = small_arm("plain"), small_arm("frozen", freeze=["encoder"])
    started = small_arm("started", start={"parent": "v", "parts": ["encoder"]})
    assert "One factor differs, the freezing" in comparison_html(plain, frozen)
    assert "One factor differs, the start" in comparison_html(plain, started)
    assert "2 factors differ" in comparison_html(frozen, started)


@pytest.mark.parametrize(
    ("paper", "first", "second", "factor"),
    [
        ("hu2018", "pretrained_frozen_100", "random_frozen_100", "start"),
        ("hu2018", "pretrained_trainable_100", "random_trainable_100", "start"),
        ("huang2023", "fcn_stare", "fcn_scratch", "start"),
        ("huang2023", "psp_chase", "psp_chase_fluid_dice", "loss"),
        ("ortiz2022", "copied_frozen", "copied_tuned", "freezing"),
    ],
)
def test_the_picker_agrees_with_the_exercises(paper, first, second, factor):
    """The pairs that the exercises call controlled differ in one factor."""
    arms = {arm.name: arm for arm in Experiment(paper, "smoke").arms}
    assert set(differing_factors(arms[first], arms[second])["factor"]) == {factor}


def test_the_live_curve_tells_how_to_stop_and_what_was_trained(capsys):
    watch = LiveCurve(every=1, min_seconds=0)
    assert "Interrupt the kernel (the square button) to stop" in watch.state.value
    assert watch(0, 2, [torch.tensor(1.0)], {}) is False
    assert watch.state.value.startswith("step 1 of 2, loss 1.0000. Interrupt the kernel")
    assert watch(1, 2, [torch.tensor(1.0), torch.tensor(0.5)], {}) is False
    assert watch.state.value == "done: 2 of 2 steps, loss 0.5000."


def test_an_interrupt_stops_the_training_and_keeps_what_was_trained(capsys):
    before = signal.getsignal(signal.SIGINT)
    watch = LiveCurve(every=1, min_seconds=0)
    watch(0, 10, [torch.tensor(1.0)], {})
    signal.raise_signal(signal.SIGINT)
    assert watch(1, 10, [torch.tensor(1.0), torch.tensor(0.5)], {}) is True
    assert watch.state.value == "stopped after 2 of 10 steps, loss 0.5000."
    assert watch.losses == [1.0, 0.5]
    assert signal.getsignal(signal.SIGINT) is before


def test_the_next_training_with_one_curve_is_not_stopped(capsys):
    watch = LiveCurve(every=1, min_seconds=0)
    for expected in ([False, True], [False, False]):
        stops = [watch(0, 10, [torch.tensor(1.0)], {})]
        if expected[1]:
            signal.raise_signal(signal.SIGINT)
        assert [*stops, watch(1, 2 if not expected[1] else 10, [torch.tensor(1.0)] * 2, {})] == expected


def test_a_second_interrupt_is_an_ordinary_one(capsys):
    before = signal.getsignal(signal.SIGINT)
    watch = LiveCurve(every=1, min_seconds=0)
    watch(0, 10, [torch.tensor(1.0)], {})
    signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    watch(1, 10, [torch.tensor(1.0)] * 2, {})
    assert signal.getsignal(signal.SIGINT) is before


TRAIN = """
import torch
from retina_kit.data.synthetic.oct import generate_oct
from retina_kit.models.build import build_model
from retina_kit.teaching.widgets import LiveCurve
from retina_kit.training.batches import Batches
from retina_kit.training.loop import fit
from retina_kit.training.recipe import Recipe

torch.manual_seed(0)
scans = generate_oct(1, 2, (32, 32))
model = build_model({"name": "unet", "widths": [4, 4, 4, 4, 4], "norm": "batch"})
start = {name: weights.clone() for name, weights in model.state_dict().items()}
recipe, cpu = Recipe(steps=1_000_000, batch_size=2), torch.device("cpu")
targets = torch.from_numpy(scans.masks["fluid"].astype("uint8"))
batches = Batches(torch.from_numpy(scans.images), targets, recipe, seed=0, device=cpu)
print("training starts", flush=True)
history = fit(model, batches, recipe, device=cpu, watch=LiveCurve(every=1, min_seconds=0))
changed = any(not torch.equal(start[name], weights) for name, weights in model.state_dict().items())
print(f"kept {len(history)} steps, weights changed: {changed}")
"""


def test_a_real_kernel_that_is_interrupted_stops_training_and_keeps_the_weights():
    """What JupyterLab's square button does: the kernel manager sends the interrupt while the cell runs."""
    manager, client = start_new_kernel()
    try:
        request, printed = client.execute(TRAIN), ""
        while True:
            message = client.get_iopub_msg(timeout=60)
            kind, content = message["msg_type"], message["content"]
            assert kind != "error", content["evalue"]
            if kind == "stream":
                printed += content["text"]
            if kind == "comm_msg" and "step 3 of" in str(content["data"]):
                manager.interrupt_kernel()
            if content.get("execution_state") == "idle" and message["parent_header"].get("msg_id") == request:
                break
        steps = int(printed.split("kept ")[1].split()[0])
        assert 3 <= steps < 1_000_000
        assert "weights changed: True" in printed
        assert client.get_shell_msg(timeout=10)["content"]["status"] == "ok"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_the_gap_explorer_follows_its_settings_and_trains():
    scores = {"zero_shot": 0.1, "fine_tuned": 0.4, "scratch": 0.2}
    result = domain_gap.GapResult(scores, {"source": 7})
    explorer = GapExplorer(domain_gap.generate_gap, lambda domains: result, annotators=("exact", "second"))
    seen = [explorer.image_view.value]
    for control, value in ((explorer.gap, 0.0), (explorer.noise, 2.0), (explorer.annotator, "second")):
        control.value = value
        assert explorer.image_view.value not in seen, control.description
        seen.append(explorer.image_view.value)
    explorer.button.click()
    assert "0.40" in explorer.scores.value
    assert "source stopped after 7 of 200 steps" in explorer.state.value
    assert "fine-tuned on the target: Dice 0.40" in explorer.describe()


def test_a_tiny_network_is_trained_across_the_gap(monkeypatch):
    monkeypatch.setattr(domain_gap, "STEPS", dict.fromkeys(domain_gap.STEPS, 2))
    result = domain_gap.train_across_gap(domain_gap.generate_gap(annotator="second", num_patients=4))
    scores = result.scores
    assert not result.stopped
    assert set(scores) == {"zero_shot", "fine_tuned", "scratch"}
    assert all(0 <= score <= 1 for score in scores.values())


def test_a_widget_is_shown_as_ipywidgets_shows_it(capsys):
    widget = ipywidgets.HTML("shown")
    bundle = present(widget, text="words").bundle(None, "<b>words</b>")
    assert bundle[VIEW] == widget._repr_mimebundle_()[VIEW]
    assert (bundle["text/plain"], bundle["text/html"]) == ("words", "<b>words</b>")


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    """A network that was trained for three steps."""
    run = train([small_arm("fluid")], RunStore(tmp_path_factory.mktemp("runs")))["fluid", 0]
    return Predictor.load(run.folder, device="cpu")


def test_an_own_image_is_predicted_from_a_path(predictor, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (50, 70)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "eye.png")
    own = OwnImage(predictor, tmp_path / "eye.png")
    assert decoded(own.image_view).shape == (50, 70, 3)
    count = int((predictor(pixels) > 0.5).sum())
    assert f"eye.png: fluid in {count:,} of 3,500 pixels" in own.message.value
    assert "not for clinical use" in own.message.value
    own.threshold.value = 0.99
    assert f"fluid in {int((predictor(pixels) > 0.99).sum()):,} of" in own.message.value


def test_an_own_image_is_predicted_from_an_upload(predictor, tmp_path):
    own = OwnImage(predictor)
    assert own.message.value == HINT
    assert own.image_view.value == b""
    Image.fromarray(np.full((20, 30), 90, np.uint8)).save(tmp_path / "eye.tif")
    content = memoryview((tmp_path / "eye.tif").read_bytes())
    file = {"name": "eye.tif", "type": "image/tiff", "size": len(content), "content": content}
    own.upload.value = ({**file, "last_modified": datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)},)
    assert own.message.value.startswith("eye.tif: fluid in")
    assert decoded(own.image_view).shape == (20, 30, 3)


def test_a_page_without_a_kernel_has_the_words_of_the_image_that_it_shows(predictor, tmp_path):
    for name in ("first", "second"):
        Image.fromarray(np.full((20, 30), 90, np.uint8)).save(tmp_path / f"{name}.png")
    own = OwnImage(predictor, tmp_path / "first.png")
    told = []
    own.presented = SimpleNamespace(update=lambda **shown: told.append(shown))
    own.path.value = str(tmp_path / "second.png")
    assert told[-1]["text"].startswith("second.png: fluid in") and told[-1]["png"] == own.image_view.value
    own.path.value = str(tmp_path / "a<b.png")
    assert "a<b.png" in told[-1]["text"] and "a&lt;b.png" in told[-1]["html"]


def test_what_is_no_image_is_named_in_the_widget(predictor, tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    own = OwnImage(predictor, tmp_path / "notes.txt")
    assert "notes.txt is not an image of a known format" in own.message.value
    own.path.value = str(tmp_path / "nowhere.png")
    assert "nowhere.png" in own.message.value
    assert own.image_view.value == b""


def test_a_table_is_never_cut_and_its_later_rows_are_folded(monkeypatch):
    """Three rows of which two are open; a long text stays whole, an empty column and a mere row number are left out."""
    shown = []
    monkeypatch.setattr(static, "display", lambda thing, **_: shown.append(thing))
    table = pd.DataFrame({"arm": ["first", "second", "third"], "note": ["", "", ""], "text": ["word " * 40] * 3})
    static.show(table, num_rows=2)
    page = shown[0]["text/html"]
    opened, folded = page.split("<details><summary>1 more row</summary>")
    assert "third" not in opened
    assert "third" in folded
    assert page.count("word " * 39) == 3
    assert "note" not in page
    assert "<th>0</th>" not in page


def test_a_figure_without_a_description_takes_the_one_that_is_given(capsys):
    named, nameless = figures.new_axes(2, 2), figures.new_axes(2, 2)
    named.figure.set_label("the loss")
    static.show(named, nameless, alt="an empty plot")
    assert [ax.figure.get_label() for ax in (named, nameless)] == ["the loss", "an empty plot"]


def test_the_name_of_an_own_image_is_shown_and_never_run(predictor, tmp_path):
    Image.fromarray(np.full((20, 30), 90, np.uint8)).save(tmp_path / "<b>&.png")
    own = OwnImage(predictor, tmp_path / "<b>&.png")
    assert own.message.value.startswith("&lt;b&gt;&amp;.png: fluid in")
    own.path.value = str(tmp_path / "<i>.png")
    assert "&lt;i&gt;.png" in own.message.value
