"""Each notebook in a real JupyterLab, opened by a real browser: run all, interrupt, drag a slider, change a list."""

import json
import re
import secrets
import shutil
import socket
import subprocess
import sys
import urllib.request

import nbformat
import pytest

from retina_kit.files import kit_root
from retina_kit.reporting.notebook import build_notebook
from retina_kit.teaching.course import sources

sys.path.insert(0, str(kit_root()))
from benchmarks.lab import CHROMIUM, FLAGS, answers, image_of, wait_for

SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},  # otherwise only cells that are on the screen are rendered
    "apputils-extension/notification": {"fetchNews": "false"},
}
LONG = """from retina_kit.training.batches import Batches
num_steps, Batches.__len__ = Batches.__len__, lambda self: 100_000"""
AS_BEFORE = "Batches.__len__ = num_steps"
END = "all cells have run"
STDERR = ".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr']"

INTERRUPT = '[data-command="notebook:interrupt-kernel"]'  # the square button of the notebook's toolbar

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium is installed (Debian: apt-get install chromium)"),
]


def as_lesson(source, target, folder):
    """Build a notebook as a student opens it, in profile smoke, with a training by hand that only an interrupt ends."""
    notebook = nbformat.read(build_notebook(source, target), as_version=4)
    cells = []
    for cell in notebook.cells:
        by_hand = cell.cell_type == "code" and "LiveCurve(" in cell.source
        cells += [nbformat.v4.new_code_cell(LONG)] if by_hand else []
        cells.append(cell)
        cells += [nbformat.v4.new_code_cell(AS_BEFORE)] if by_hand else []
        if "parameters" in cell.metadata.get("tags", []):
            outputs = json.dumps(str(folder / "outputs"))
            cells.append(nbformat.v4.new_code_cell(f'profile, output_root = "smoke", {outputs}'))
    notebook.cells = [*cells, nbformat.v4.new_code_cell(f'print("{END}")')]
    nbformat.write(notebook, target)


@pytest.fixture(scope="module")
def lab(trained, tmp_path_factory):
    """JupyterLab on a folder of smoke notebooks, on this machine only, with a token: (its address, the token)."""
    folder = tmp_path_factory.mktemp("lab")
    shutil.copytree(trained / "outputs" / "runs", folder / "outputs" / "runs")
    for source in sources():
        as_lesson(source, folder / f"{source.stem}.ipynb", folder)
    for plugin, settings in SETTINGS.items():
        path = folder / "settings" / "@jupyterlab" / f"{plugin}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(settings))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token, log = secrets.token_hex(16), folder / "lab.log"
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1",
               f"--ServerApp.port={port}", f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}",
               f"--LabApp.user_settings_dir={folder / 'settings'}"]  # fmt: skip
    with log.open("w") as file:
        server = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: server.poll() is not None or answers(f"{address}/api?token={token}"), "JupyterLab")
        assert server.poll() is None, log.read_text()[-2000:]
        yield address, token
    finally:
        server.terminate()
        server.wait(30)


def end_kernels(address, token):
    """End the kernels of the notebooks that were tried, so that they do not keep their memory."""
    with urllib.request.urlopen(f"{address}/api/sessions?token={token}", timeout=10) as answer:
        sessions = json.loads(answer.read())
    for session in sessions:
        end = urllib.request.Request(f"{address}/api/sessions/{session['id']}?token={token}", method="DELETE")
        urllib.request.urlopen(end, timeout=30).close()


@pytest.fixture(scope="module")
def browser():
    """A Chromium without a window."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed (pip install -e .[dev])"
    )
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


def changed(page, name, before):
    """Wait until a widget shows another image."""
    wait_for(lambda: image_of(page, name) not in (None, before), f"another image of {name}")


def drag(page, name, steps=6):
    """Drag a widget's slider to the right."""
    handle = page.locator(f".kit-{name} .noUi-handle").first
    handle.scroll_into_view_if_needed()
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y, steps=steps)
    page.mouse.up()


def choose_another(page, name):
    """Choose another entry of a widget's list."""
    choice = page.locator(f".kit-{name} select").first
    choice.scroll_into_view_if_needed()
    others = [option for option in choice.locator("option").all_inner_texts() if option != choice.input_value()]
    choice.select_option(label=others[-1])


@pytest.mark.slow
@pytest.mark.parametrize("source", sources(), ids=lambda path: path.stem)
def test_a_notebook_reacts_in_a_browser(lab, browser, source, tmp_path):
    address, token = lab
    page = browser.new_page(viewport={"width": 1300, "height": 1000})
    page.goto(f"{address}/lab/workspaces/{source.stem}/tree/{source.stem}.ipynb?token={token}")
    page.locator(".jp-Notebook").wait_for(timeout=60_000)
    page.get_by_text("| Idle").wait_for(timeout=60_000)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()

    training = page.locator(".kit-training").first
    wait_for(lambda: training.count() and re.search(r"step \d+ of", training.inner_text()), "a running training", 90)
    training.scroll_into_view_if_needed()
    page.screenshot(path=tmp_path / "training.png")
    page.locator(INTERRUPT).first.click()
    wait_for(lambda: "stopped after" in training.inner_text(), "the training to stop")

    wait_for(lambda: page.locator(".jp-OutputArea-output", has_text=END).count(), "the last cell", 300)
    assert page.locator(STDERR, has_text="Error").count() == 0

    before = image_of(page, "browser")
    drag(page, "opacity")  # the first image has something marked; another patient's may not
    changed(page, "browser", before)
    before = image_of(page, "browser")
    choose_another(page, "patient")
    changed(page, "browser", before)
    page.screenshot(path=tmp_path / "browser.png")

    before, words = image_of(page, "explorer"), page.locator(".kit-dice").first.inner_text()
    drag(page, "threshold")
    changed(page, "explorer", before)
    assert page.locator(".kit-dice").first.inner_text() != words
    before = image_of(page, "explorer")
    choose_another(page, "worst")
    changed(page, "explorer", before)
    chosen = page.locator(".kit-worst select").first.evaluate("list => list.selectedOptions[0].label")
    wait_for(lambda: chosen.split(":")[0] in page.locator(".kit-dice").first.inner_text(), f"the scores of {chosen}")
    page.screenshot(path=tmp_path / "explorer.png")

    table = page.locator(".kit-arms").first.inner_text()
    choose_another(page, "that-arm")
    wait_for(lambda: page.locator(".kit-arms").first.inner_text() != table, "another comparison")
    page.screenshot(path=tmp_path / "arms.png")
    page.close()
    end_kernels(address, token)
