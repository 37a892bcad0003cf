"""Pages without a kernel: in a real browser, from a file and without a network, the controls change what is shown."""

import json
import re
import sys
from types import SimpleNamespace

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from small_arm import small_arm

from retina_kit.data.synthetic.oct import generate_oct
from retina_kit.evaluation.thresholds import ThresholdCounts
from retina_kit.files import kit_root
from retina_kit.reporting.export import export_html
from retina_kit.reporting.figures.axes import new_axes, new_grid
from retina_kit.reporting.figures.diagrams import plot_stages
from retina_kit.reporting.figures.images import plot_predictions
from retina_kit.reporting.figures.plotted import plotted_data
from retina_kit.reporting.living.pages import DATA_MIME, as_living, data_html, table_data
from retina_kit.reporting.living.states import MIME, MOST_BYTES, explorer_state
from retina_kit.teaching.widgets.arm_picker import ArmPicker, comparison_html
from retina_kit.teaching.widgets.browser import ImageBrowser
from retina_kit.teaching.widgets.live_curve import LiveCurve

sys.path.insert(0, str(kit_root()))
from benchmarks.lab import CHROMIUM, FLAGS

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PROBABILITY = np.array([[[0.9, 0.4, 0.2]], [[0.6, 0.6, 0.1]]])
GROUND_TRUTH = np.array([[[True, True, False]], [[True, False, False]]])


@pytest.fixture(scope="module")
def image_set():
    """Six small synthetic scans of three patients."""
    return generate_oct(3, 2, (64, 96), annotators=True, fluid=2.0)


@pytest.fixture(scope="module")
def picker():
    """A picker of three arms, two of which differ in one factor."""
    arms = [
        small_arm("base"),
        small_arm("longer", recipe={"steps": 9}),
        small_arm("other", recipe={"loss": "cross_entropy"}),
    ]
    return ArmPicker(arms, "base", "longer", num_steps=lambda name: {"base": 4, "longer": 9, "other": 4}[name])


def notebook_with(*outputs):
    """Return a notebook with one code cell that has these outputs: (data, metadata) each."""
    cell = nbformat.v4.new_code_cell("shown")
    cell.outputs = [nbformat.v4.new_output("display_data", data=data, metadata=metadata) for data, metadata in outputs]
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Title"), cell])


@pytest.fixture(scope="module")
def page_file(image_set, picker, tmp_path_factory):
    """An exported page with the three living widgets and a figure with data."""
    images = np.zeros((2, 1, 1, 3), np.uint8)
    explorer = explorer_state(images, PROBABILITY, GROUND_TRUTH, ["first", "second"], 0.5)
    figure = {
        "image/png": PNG,
        "text/plain": "a figure",
        DATA_MIME: table_data(pd.DataFrame({"step": [1], "Dice": [0.5]})),
    }
    notebook = notebook_with(
        ({"image/png": PNG, "text/plain": "image x", MIME: ImageBrowser(image_set).state()}, {}),
        ({"image/png": PNG, "text/plain": "threshold", MIME: explorer}, {}),
        ({"text/html": picker.table.value, "text/plain": "base compared", MIME: picker.state()}, {}),
        (figure, {"image/png": {"alt": "Dice by step"}}),
    )
    folder = tmp_path_factory.mktemp("living")
    nbformat.write(notebook, folder / "notebook.ipynb")
    return export_html(folder / "notebook.ipynb", folder / "notebook.html", "living")


@pytest.fixture(scope="module")
def browser():
    """A Chromium without a window."""
    if not CHROMIUM:
        pytest.skip("no Chromium is installed (Debian: apt-get install chromium)")
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed (pip install -e .[dev])"
    )
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


def opened(browser, path, **options):
    """Open a file in a browser that has no network."""
    page = browser.new_context(offline=True, **options).new_page()
    page.goto(path.as_uri())
    return page


def pixels(page, number):
    """Return the pixels of a living canvas."""
    return page.evaluate(
        "k => { const c = document.querySelectorAll('.kit-canvas')[k];"
        "return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data] }", number
    )  # fmt: skip


def test_the_state_holds_the_scores_of_every_threshold_from_all_pixels():
    state = explorer_state(np.zeros((2, 1, 1, 3), np.uint8), PROBABILITY, GROUND_TRUTH, ["first", "second"], 0.5)
    assert [image["name"] for image in state["images"]] == ["first", "second"]  # equally bad: the order stays
    counts = ThresholdCounts(PROBABILITY, GROUND_TRUTH)
    for k in (0, 30, 50, 100):
        assert state["pooled"][k] == pytest.approx(counts.pooled_dice(k / 100), abs=1e-4)
    assert state["images"][0]["dice"][30] == 1.0
    assert state["images"][1]["dice"][50] == pytest.approx(2 / 3, abs=1e-4)  # one hit, one false alarm


def test_many_large_images_stay_within_the_budget():
    noise = np.random.default_rng(0)
    images = noise.integers(0, 255, (12, 1, 500, 700)).astype(np.uint8)
    probability, target = noise.random((12, 500, 700), np.float32), noise.random((12, 500, 700)) > 0.5
    state = explorer_state(images, probability, target, [str(k) for k in range(12)], 0.5)
    assert len(json.dumps(state)) < MOST_BYTES + 20_000
    assert 0 < len(state["images"]) < 12
    assert state["total"] == 12


@pytest.mark.browser
def test_the_slider_changes_the_dice_and_the_overlay(browser, page_file):
    page = opened(browser, page_file)
    page.locator(".kit-canvas").nth(1).wait_for()
    words, slider = page.locator(".kit-dice"), page.get_by_role("slider", name="threshold")
    assert words.inner_text() == "threshold 0.50: first has Dice 0.667; all 2 images pooled: 0.667"
    before = pixels(page, 1)
    slider.focus()
    for _ in range(20):
        page.keyboard.press("ArrowLeft")
    assert words.inner_text().startswith("threshold 0.30: first has Dice 1.000; ")
    changed = "before => { const canvas = document.querySelectorAll('.kit-canvas')[1];"
    changed += "return [...canvas.getContext('2d').getImageData(0, 0, 3, 1).data].join() !== before }"
    page.wait_for_function(changed, arg=",".join(map(str, before)))
    hit, also_hit, _ = np.reshape(pixels(page, 1), (3, 4))[:, :3]
    np.testing.assert_array_equal(hit, also_hit)
    assert hit[0] > 200 > hit[2]  # yellow
    page.get_by_role("combobox", name="image").nth(1).select_option(index=1)
    assert "second has Dice" in words.inner_text()


@pytest.mark.browser
def test_the_browser_shows_other_images_and_masks(browser, page_file, image_set):
    page = opened(browser, page_file)
    canvas = page.locator(".kit-canvas").first
    canvas.wait_for()
    assert page.evaluate("document.querySelector('.kit-canvas').width") == image_set.images.shape[-1]
    described, before = canvas.get_attribute("aria-label"), pixels(page, 0)
    page.get_by_role("combobox", name="image").first.select_option(index=1)
    page.wait_for_function("before => document.querySelector('.kit-canvas').ariaLabel !== before", arg=described)
    page.get_by_role("combobox", name="image").first.select_option(index=0)
    for switch in page.locator(".kit-switches input").all():
        switch.press("Space")
    assert canvas.get_attribute("aria-label").endswith("without masks")
    page.wait_for_timeout(200)
    assert pixels(page, 0) != before


@pytest.mark.browser
@pytest.mark.parametrize("pair", [("base", "longer"), ("longer", "other"), ("other", "other")])
def test_arms_are_compared_as_in_the_notebook(browser, page_file, picker, pair):
    page = opened(browser, page_file)
    arms = [picker.arms[name] for name in pair]
    for label, arm in zip(("this arm", "that arm"), arms, strict=True):
        page.get_by_label(label).select_option(label=arm.title)
    expected = comparison_html(*arms, tuple(picker.num_steps(name) for name in pair))
    assert words_of(page.locator(".kit-arms").inner_html()) == words_of(expected)


def words_of(html):
    """Return the words of HTML, without markup."""
    return re.sub(r"<[^>]*>", " ", html).split()


FOCUSED = """() => {
  const e = document.activeElement, kind = e.type || e.tagName.toLowerCase();
  if (!e.closest(".kit-living, .kit-figure")) return null;
  const name = e.labels?.length ? e.labels[0].innerText : e.getAttribute("aria-label") || e.innerText;
  const value = kind === "checkbox" ? e.checked : e.value ?? e.parentElement.open;
  return [kind, name.trim(), getComputedStyle(e).outlineStyle !== "none", String(value)];
}"""
KEYS = {"select-one": "ArrowDown", "range": "ArrowLeft", "checkbox": "Space", "summary": "Enter"}


@pytest.mark.browser
def test_tab_reaches_every_control_of_a_page_and_its_keys_move_it(browser, page_file, image_set):
    page = opened(browser, page_file)
    page.locator(".kit-canvas").nth(1).wait_for()
    masks = [("checkbox", name) for name in image_set.masks]
    controls = [("select-one", "image"), ("range", "opacity"), *masks, ("summary", "Data"), ("range", "threshold"),
                ("select-one", "image"), ("summary", "Data"), ("select-one", "this arm"), ("select-one", "that arm"),
                ("summary", "Data")]  # fmt: skip
    reached: list[tuple[str, str]] = []
    for _ in range(60):
        if len(reached) == len(controls):
            break
        page.keyboard.press("Tab")
        focused = page.evaluate(FOCUSED)
        if focused and focused[0] in KEYS:
            kind, name, outlined, before = focused
            page.keyboard.press(KEYS[kind])
            assert page.evaluate(FOCUSED)[3] != before, f"{KEYS[kind]} does not move {kind} {name!r}"
            assert outlined, f"nothing shows that {kind} {name!r} has the focus"
            reached.append((kind, name))
    assert [(kind, name.split(" of ")[0] if kind == "summary" else name) for kind, name in reached] == controls


@pytest.mark.browser
def test_without_scripts_the_images_stay(browser, page_file):
    page = opened(browser, page_file, java_script_enabled=False)
    alts = [image.get_attribute("alt") for image in page.locator("img").all()]
    assert alts == ["image x", "threshold", "Dice by step"]
    assert page.get_by_text("compared with").is_visible()
    assert page.locator(".kit-canvas").count() == 0


@pytest.mark.browser
def test_a_figure_keeps_its_data():
    ax = new_axes()
    ax.errorbar([1, 2], [0.5, 0.6], yerr=[0.1, 0.2], label="ours")
    ax.plot([1], [0.7], "D", label="published")
    ax.axhline(0.5)
    ax.set(xlabel="percent", ylabel="Dice")
    expected = [["ours", 1, 0.5, 0.4, 0.6], ["ours", 2, 0.6, 0.4, 0.8], ["published", 1, 0.7, None, None]]
    table = plotted_data(ax.figure)
    assert list(table) == ["series", "percent", "Dice", "low", "high"]
    assert table.round(6).astype(object).where(table.notna(), None).to_numpy().tolist() == expected
    assert plotted_data(new_grid(1, 2)[0]).empty


def test_a_horizontal_bar_is_of_the_arm_that_it_stands_for():
    ax = new_axes()
    ax.barh([0, 1], [0.3, 0.2], left=[0.1, 0.4], height=0.6)
    ax.set_yticks([0, 1], ["Arm A", "Arm B"])
    ax.set(xlabel="Dice", ylabel="arm")
    found = plotted_data(ax.figure)
    assert found["arm"].tolist() == ["Arm A", "Arm B"]
    assert found[["low", "high"]].round(6).to_numpy().tolist() == [[0.1, 0.4], [0.4, 0.6]]


def test_a_figure_of_images_lists_what_its_panels_show():
    masks = np.zeros((2, 8, 12), bool)
    masks[:, 2:4, 3:6] = True
    images = np.zeros((2, 1, 8, 12), np.uint8)
    listed = plotted_data(plot_predictions(images, masks, {"U-Net": masks}, titles=["a", "b"]))
    overlay = "gray image, 12 x 8 pixels, hits, misses and false alarms in color"
    assert listed.to_numpy().tolist() == [
        [1, 1, "a: gray image, 12 x 8 pixels, outline"],
        [1, 2, f"U-Net: {overlay}"],
        [2, 1, "b: gray image, 12 x 8 pixels, outline"],
        [2, 2, f"U-Net: {overlay}"],
    ]
    assert "What this figure shows (4 rows)" in data_html(table_data(listed))
    stages = pd.DataFrame(
        [{"part": "encoder", "stage": "block 1", "channels": 8, "height": 4, "width": 6, "weights": 9}]
    )
    assert plotted_data(plot_stages({"small": stages}))["shown"].tolist() == ["small: 9 weights: block 1, 8 4x6"]


def test_the_images_of_a_widget_are_listed_below_it(page_file, image_set):
    page = page_file.read_text("utf-8")
    assert f"({len(ImageBrowser(image_set).state()['sets'][0]['images'])} rows)" in page
    assert "<th>Dice at threshold 0.5</th>" in page


def test_the_curve_of_a_training_leaves_its_numbers():
    curve = LiveCurve()
    for step in range(3):
        curve(step, 3, [torch.tensor(0.5 / (k + 1)) for k in range(step + 1)], {})
    left = curve.shown.bundle(b"", None)
    assert left["text/plain"] == "the loss during training: 0.5 at the first of 3 steps, 0.167 at the last"
    assert left[DATA_MIME]["columns"] == ["step", "loss"]
    assert [round(loss, 3) for _, loss in left[DATA_MIME]["data"]] == [0.5, 0.25, 0.167]


def test_a_finished_run_leaves_its_curve_and_where_it_is_from():
    curve, history = LiveCurve(), pd.DataFrame({"step": [1, 2], "loss": [0.5, 0.25]})
    assert curve.replay(SimpleNamespace(history=history, settings={"seconds": 12.3})) is history
    assert "2 steps, loss 0.2500 (from the run store, trained in 12 s)" in curve.state.value
    left = curve.shown.bundle(b"", None)
    assert left["text/plain"].endswith("0.25 at the last (from the run store, trained in 12 s)")
    assert left[DATA_MIME]["data"] == [[1, 0.5], [2, 0.25]]


def test_bars_have_the_names_of_their_ticks():
    ax = new_axes()
    ax.bar([0, 1], [0.5, 0.6], label="ours")
    ax.set_xticks(range(2), ["from scratch", "pretrained"])
    assert plotted_data(ax.figure).to_numpy().tolist() == [["ours", "from scratch", 0.5], ["ours", "pretrained", 0.6]]


def test_a_long_table_is_cut_and_says_so():
    data = table_data(pd.DataFrame({"x": range(1000)}))
    assert data["rows"] == 1000
    assert "The first 400 of 1000 rows." in data_html(data)


def test_text_in_a_state_cannot_end_the_script():
    shown = {"text/html": "", MIME: {"kind": "arms", "title": "</script><b>"}}
    (output,) = as_living(notebook_with((shown, {}))).cells[1].outputs
    assert output.data["text/html"].count("</script>") == 1
