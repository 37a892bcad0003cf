"""The site: it opens from a file without a network, no link is broken, every public name has its place."""

import importlib.util
import json
import re
import sys
import tempfile
from html.parser import HTMLParser
from pathlib import Path, PureWindowsPath
from urllib.parse import unquote

import nbformat
import numpy as np
import pytest

from retina_kit.errors import SetupError
from retina_kit.experiment_file import list_papers
from retina_kit.files import kit_root
from retina_kit.reporting.living.states import MIME, explorer_state
from retina_kit.reporting.website import build, runs
from retina_kit.reporting.website.build import NEEDED, build_website
from retina_kit.reporting.website.documents import Sources
from retina_kit.reporting.website.reference import as_restructured, public_modules, public_names
from retina_kit.reporting.website.runs import find_pages, page_notebook

sys.path.insert(0, str(kit_root()))
from benchmarks.lab import CHROMIUM, FLAGS

HAS_SPHINX = all(importlib.util.find_spec(name) for name in NEEDED)
needs_sphinx = pytest.mark.skipif(not HAS_SPHINX, reason="needs Sphinx and its extensions (the site extra)")
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PAPER = list_papers()[0]
AXE = importlib.util.find_spec("axe_playwright_python")


def make_run(output_root, setting="smoke-synthetic", profile="smoke", paper=PAPER):
    """Write a run's folder with an executed notebook that has a threshold explorer, and return the folder."""
    folder = output_root / paper / setting
    folder.mkdir(parents=True)
    state = explorer_state(
        np.zeros((1, 1, 1, 3), np.uint8), np.array([[[0.9, 0.4, 0.2]]]), np.array([[[True, True, False]]]), ["eye"], 0.5
    )
    cell = nbformat.v4.new_code_cell("explore_predictions(images)", execution_count=1)
    data = {"image/png": PNG, "text/plain": "threshold 0.50", MIME: state}
    cell.outputs = [nbformat.v4.new_output("display_data", data=data)]
    text = "The overlap $\\frac{2TP}{2TP+FP}$, see the [glossary](../docs/glossary.md)."
    cells = [nbformat.v4.new_markdown_cell("# Title"), nbformat.v4.new_markdown_cell(text), cell]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "notebook.ipynb")
    results = {"paper": paper, "title": "T", "question": "Q?", "data_says": "", "profile": profile, "data": "synthetic",
               "seeds": [0], "arms": [], "tables": [], "figures": [], "arms_left_out": {}, "versions": {}}  # fmt: skip
    (folder / "results.json").write_text(json.dumps(results))
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The whole site, with one run: (its folder, what was reported)."""
    folder = tmp_path_factory.mktemp("site")
    make_run(folder / "outputs")
    made = build_website(folder / "site", folder / "outputs", {})
    return folder / "site", made


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


class Links(HTMLParser):
    """Collects the addresses that a page links to or loads, and the places in it that a link can name."""

    def __init__(self, text):
        super().__init__()
        self.found, self.places = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        """Keep what a tag links to."""
        values = dict(attrs)
        self.places |= {values.get("id"), values.get("name") if tag == "a" else None}
        self.found += [values[key] for key in ("href", "src") if values.get(key)]


def broken_links(folder):
    """List the relative links of all pages below a folder that lead nowhere, as "page: link"."""
    pages = {path.resolve(): Links(path.read_text("utf-8")) for path in folder.rglob("*.html")}
    broken = []
    for path, page in pages.items():
        for link in page.found:
            if re.match(r"[a-z]+:|//", link):
                continue
            target, _, anchor = link.partition("#")
            place = (path.parent / unquote(target.split("?")[0])).resolve() if target else path
            exists = place.exists() and (not anchor or place not in pages or unquote(anchor) in pages[place].places)
            if not exists:
                broken.append(f"{path.relative_to(folder.resolve())}: {link}")
    return broken


@pytest.mark.slow
@needs_sphinx
def test_no_link_of_the_site_is_broken(site):
    folder, made = site
    assert broken_links(folder) == []
    assert made.pages == len(list(folder.rglob("*.html")))
    assert made.pages > 100
    for name in ("docs/glossary.html", "notebooks/README.html", "results/index.html", "search.html"):
        assert (folder / name).is_file()


@pytest.mark.slow
@needs_sphinx
def test_no_page_tells_where_it_was_made(site):
    """Not of this checkout, this user, this machine, the output root or the folder that Sphinx worked in."""
    folder, _ = site
    telling = [kit_root(), folder.parent, f"{Path.home()}/", sys.prefix, f"{tempfile.gettempdir()}/retina-kit-site-"]
    found = []
    for path in folder.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        found += [f"{path.relative_to(folder)}: {text}" for text in telling if str(text).encode() in content]
    assert found == []


@pytest.mark.slow
@needs_sphinx
def test_every_public_function_has_its_place(site):
    folder, made = site
    missing, count = [], 0
    for module in public_modules():
        names = public_names(module)
        page = folder / "api" / f"{module}.html"
        places = Links(page.read_text("utf-8")).places if names else set()
        missing += [f"{module}.{name}" for name in names if f"{module}.{name}" not in places]
        count += len(names)
    assert missing == []
    assert made.names == count > 500


@pytest.mark.slow
@needs_sphinx
@pytest.mark.browser
def test_the_site_works_from_a_file_without_a_network(site, browser):
    folder, _ = site
    page = browser.new_context(offline=True).new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((folder / "search.html").as_uri() + "?q=Dice")
    page.locator("#search-results li", has_text="Glossary").first.wait_for()  # results appear one after another
    page.goto(next(folder.glob(f"notebooks/*{PAPER}.html")).as_uri())
    words, slider = page.locator(".kit-dice"), page.get_by_role("slider", name="threshold")
    words.wait_for()
    assert words.inner_text() == "threshold 0.50: eye has Dice 0.667; all 1 images pooled: 0.667"
    slider.focus()
    for _ in range(20):
        page.keyboard.press("ArrowLeft")
    assert words.inner_text().startswith("threshold 0.30: eye has Dice 1.000; ")
    assert page.locator("math mfrac").count() == 1
    assert {url.split(":")[0] for url in asked} <= {"file", "data"}


@pytest.mark.slow
@needs_sphinx
@pytest.mark.browser
@pytest.mark.skipif(not AXE, reason="axe-core is not installed (pip install axe-playwright-python)")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["index.html", "docs/glossary.html", "results/index.html", "notebooks/README.html",
                                  "api/retina_kit.training.loop.html", "search.html"])  # fmt: skip
def test_axe_finds_nothing_serious(site, browser, scheme, name):
    page = browser.new_context(color_scheme=scheme, offline=True).new_page()
    page.goto((site[0] / name).as_uri())
    assert serious(page) == []


def serious(page):
    """List the serious and critical violations that axe-core finds on a page."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [(item["id"], len(item["nodes"])) for item in found if item["impact"] in ("serious", "critical")]


def test_links_lead_to_pages_copies_or_nowhere(tmp_path):
    root, folder = tmp_path / "kit", tmp_path / "site"
    (root / "docs").mkdir(parents=True)
    (root / "code").mkdir()
    (root / "LICENSE").write_text("MIT")
    sources = Sources(root, folder, "", {"README.md", "docs/run.md", "notebooks/01.ipynb"})
    text = "[a](docs/run.md#options) [b](notebooks/01.ipynb) [c](LICENSE) [d](code) `[e](x)` ![f](https://x/y.svg)"
    expected = "[a](</docs/run.md#options>) [b](</notebooks/01.ipynb>) [c](</LICENSE>) d `[e](x)` "
    assert sources.with_links(text, "README.md") == expected
    assert (folder / "LICENSE").read_text() == "MIT"
    assert sources.with_links("[up](../README.md)", "docs/run.md") == "[up](</index.md>)"
    sources.address = "someone/kit"
    assert sources.with_links("[d](code)", "README.md") == "[d](https://github.com/someone/kit/tree/main/code)"


def test_the_largest_run_of_a_paper_comes_first(tmp_path):
    make_run(tmp_path)
    make_run(tmp_path, "lesson-synthetic", "lesson")
    make_run(tmp_path, "smoke-public", paper="mine2026")
    pages = {page.name: page for page in find_pages(kit_root(), tmp_path)}
    (source,) = (kit_root() / "notebooks").glob(f"*{PAPER}.ipynb")
    assert pages[f"notebooks/{source.name}"].run == f"{PAPER}/lesson-synthetic"
    assert pages[f"notebooks/{source.stem}_smoke-synthetic.ipynb"].about == "profile smoke, synthetic data, seeds 0"
    assert pages.pop("notebooks/mine2026_smoke-public.ipynb").run == "mine2026/smoke-public"
    others = [page for page in pages.values() if PAPER not in page.name]
    assert all(not page.run for page in others)
    shown = page_notebook(others[0], kit_root() / "notebooks" / "results").cells[1].source
    assert "Kept results" in shown or "no results are kept" in shown


def test_a_docstring_becomes_restructured_text():
    text = "Scale `x`s by a*b_.\n\n    indented |\n\n>>> f('`')\n1\n\n- one\n  more"
    expected = "Scale ``x``\\ s by a\\*b\\_.\n\n::\n\n    indented |\n\n>>> f('`')\n1\n\n| - one\n| more"
    assert as_restructured(text) == expected


def test_what_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "NEEDED", ("no_such_package",))
    with pytest.raises(SetupError, match=r"no_such_package; install them with pip install 'retina-kit\[site\]'"):
        build_website(tmp_path / "site", tmp_path, {})


def test_a_folder_with_other_files_is_not_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "NEEDED", ())
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(SetupError, match="choose another --output"):
        build_website(tmp_path, tmp_path, {})
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_links_to_pages_have_slashes_on_every_system(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "Path", PureWindowsPath)
    front_page = tmp_path / "index.html"
    front_page.write_text(f'<a href="{PAPER}/smoke-synthetic/notebook.html">')
    runs.link_to_pages(front_page, [runs.PaperPage("notebooks/one.ipynb", tmp_path, run=f"{PAPER}/smoke-synthetic")])
    assert front_page.read_text() == '<a href="../notebooks/one.html">'
