"""Slides: what is on them, that none is higher than a screen, and that keys, clicks and notes work offline."""

import base64
import io
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from retina_kit.files import kit_root
from retina_kit.reporting.slides import export_slides, points, slides_of
from retina_kit.teaching.course import build_course

sys.path.insert(0, str(kit_root()))
from benchmarks.lab import CHROMIUM, FLAGS

SCREEN = {"width": 1366, "height": 768}
SMALLEST = SCREEN["height"] / 36  # pixels: text of a table; that of a paragraph is a twenty-sixth of the height
MEASURE = """() => [...document.querySelectorAll("section")].map((slide) => {
  document.querySelectorAll("section").forEach((other) => other.classList.toggle("now", other === slide));
  const parts = [...slide.children].filter((part) => !part.classList.contains("notes"));
  const boxes = parts.map((part) => part.getBoundingClientRect());
  const texts = [...slide.querySelectorAll("h1, h2, p, td, th, figcaption, code")].filter((e) => !e.closest(".notes"));
  const images = [...slide.querySelectorAll("img")];
  return {
    title: parts[0].textContent, bottom: Math.max(...boxes.map((box) => box.bottom)),
    right: Math.max(...boxes.map((box) => box.right)), hidden: slide.scrollHeight - slide.clientHeight,
    smallest: Math.min(...texts.map((text) => parseFloat(getComputedStyle(text).fontSize))),
    described: images.every((image) => image.alt.length > 5), height: Math.min(...images.map((image) => image.height)),
  };
})"""


def png(width, height):
    """Return an image as an output of a cell."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(buffer, "PNG")
    data = {"image/png": base64.b64encode(buffer.getvalue()).decode(), "text/plain": "<Figure>"}
    return new_output("display_data", data, metadata={"image/png": {"alt": "A teal rectangle"}})


def table(rows, columns, text="0.5"):
    """Return a table as an output of a cell."""
    line = f"<tr>{f'<td>{text}</td>' * columns}</tr>"
    return new_output("display_data", {"text/html": f"<table>{line * rows}</table>"})


def talk():
    """Return a notebook with all that slides have to cope with."""
    sentence = "A sentence of this notebook says something about images and about Dice. "
    return new_notebook(
        cells=[
            new_markdown_cell("# A title\n\n**The question.** Does it help?"),
            new_code_cell("secret = 1", outputs=[new_output("stream", text="1")]),
            new_markdown_cell("## 1 · Long\n" + "\n\n".join([sentence * 9] * 12)),
            new_markdown_cell("\n".join(["## 2 · Formula", "$$\\mathrm{Dice} = \\frac{2\\,TP}{2\\,TP + FP}$$", "",
                                         "With $p_i$, see the [glossary](../x.md).", "- one", "- two"])),
            new_code_cell("plot()", outputs=[png(300, 1500), png(2400, 300)]),
            new_code_cell("tables()", outputs=[table(40, 4), table(5, 20), table(12, 3, "long words " * 9)]),
            new_markdown_cell("**1.** How many?"),
            new_code_cell("check.count(...)", metadata={"tags": ["exercise"]}),
            new_code_cell("check.count(3)", metadata={"tags": ["solution"]}),
        ]
    )  # fmt: skip


def test_a_slide_has_the_first_sentences_and_the_notes_have_all_of_them():
    slides = slides_of(talk(), {"count": "`3`, because."})
    titles = [slide.title for slide in slides]
    assert titles[:2] == ["A title", "1 · Long"]
    assert titles.count("1 · Long (continued)") == 2
    long = next(slide for slide in slides if slide.title == "1 · Long")
    assert long.notes[0].count("A sentence of this notebook") == 9 * 12
    assert all(part.count("A sentence of this notebook") == 2 for part in long.content)
    assert [slide.kind for slide in slides if slide.title == "2 · Formula"] == [
        "text",
        "figure",
        "figure",
        "table",
        "table",
    ]
    assert slides[-1].title == "Exercise 1"
    assert slides[-1].notes[-1] == "<p><strong>Answer.</strong> <code>3</code>, because.</p>"
    assert "secret" not in str(slides)


def test_formulas_are_mathml_on_the_slide_and_in_the_notes():
    slide = next(slide for slide in slides_of(talk(), {}) if slide.title == "2 · Formula")
    assert slide.content[0].startswith('<p><span class="kit-formula" tabindex="0"')
    assert "<mfrac>" in slide.content[0]
    assert "With <math" in slide.content[1]
    assert "see the glossary." in slide.content[1]
    assert slide.notes[0].count("<math") == 2
    assert "$" not in slide.notes[0]


def test_a_long_table_is_cut_and_a_wide_one_left_to_the_notebook():
    tables = [slide.content[0] for slide in slides_of(talk(), {}) if slide.kind == "table"]
    assert len(tables) == 2
    assert "26 more rows in the notebook" in tables[0]
    assert tables[0].count("<tr>") == 14


def test_points_keep_short_paragraphs_whole():
    long = "This is one sentence of a long paragraph, and it has more than enough words for a slide, hasn't it? " * 4
    assert points(f"Short.\n\n{long}\n\n$$x$$") == ["Short.", long[:200].strip(), "$$x$$"]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A browser on a screen of 1366 x 768, without a network, with the errors of its pages."""
    if not CHROMIUM:
        pytest.skip("no Chromium is installed (Debian: apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        opened = browser.new_context(viewport=SCREEN, offline=True, has_touch=True).new_page()
        opened.errors = []
        opened.on("pageerror", lambda error: opened.errors.append(str(error)))
        opened.on("request", lambda request: opened.errors.append(request.url) if request.url.startswith("http") else 0)
        yield opened
        browser.close()


def opened(page, path):
    """Open a file of slides; return what was measured of each."""
    page.goto(path.as_uri())
    return page.evaluate(MEASURE)


@pytest.mark.browser
def test_no_slide_is_higher_than_the_screen_and_all_can_be_read(page, tmp_path):
    nbformat.write(talk(), tmp_path / "talk.ipynb")
    decks = [export_slides(tmp_path / "talk.ipynb", tmp_path / "talk.html")]
    decks += build_course("slides", tmp_path / "course", output_root=tmp_path / "none")
    for deck in decks:
        for slide in opened(page, deck):
            assert slide["bottom"] <= SCREEN["height"], (deck.name, slide)
            assert slide["right"] <= SCREEN["width"], (deck.name, slide)
            assert slide["hidden"] <= 0, (deck.name, slide)
            assert slide["smallest"] >= SMALLEST, (deck.name, slide)
            assert slide["described"], (deck.name, slide)
            assert slide["height"] is None or slide["height"] > 300, (deck.name, slide)
    assert page.errors == []


@pytest.mark.browser
def test_slides_turn_by_key_click_and_button_and_show_notes(page, tmp_path):
    nbformat.write(talk(), tmp_path / "talk.ipynb")
    page.goto(export_slides(tmp_path / "talk.ipynb", tmp_path / "talk.html").as_uri())

    def now():
        return page.locator("section.now h1, section.now h2").inner_text()

    assert (now(), page.locator("section:visible").count()) == ("A title", 1)
    page.keyboard.press("ArrowRight")
    assert now() == "1 · Long"
    page.mouse.click(100, 500)
    assert now() == "A title"
    page.mouse.click(900, 500)
    page.locator("#next").click()
    assert now() == "1 · Long (continued)"
    assert not page.locator("section.now .notes").is_visible()
    page.keyboard.press("Home")
    page.keyboard.press("n")
    assert page.locator("section.now .notes").inner_text() == "The question. Does it help?"
    page.keyboard.press("End")
    assert now() == "Exercise 1"
    with page.expect_popup() as popup:
        page.keyboard.press("s")
    speaker = popup.value
    speaker.wait_for_load_state()
    page.keyboard.press("Home")
    speaker.locator("section.now h1").wait_for()
    assert speaker.locator("section.now .notes").inner_text() == "The question. Does it help?"
    speaker.close()
    assert page.errors == []
