"""A notebook as slides with speaker notes: one HTML file that loads nothing.

nbconvert renders; what is on a slide is decided here. A section becomes a slide with the first sentences of its
paragraphs, the whole text goes to the speaker notes. Each figure has a slide of its own, as large as the screen
allows, and so has each table that can be read from the last row; longer ones are cut, which the slide states.
"""

import base64
import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import jinja2
import nbformat
from bs4 import BeautifulSoup, Tag
from nbformat import NotebookNode

from retina_kit.files import atomic_path
from retina_kit.reporting.export import html_of_markdown
from retina_kit.reporting.formulas import put_formulas, take_formulas
from retina_kit.reporting.notebook import tags_of

NOT_ON_SLIDES = {"badges", "parameters", "colab", "solution", "injected-parameters"}
WIDTH, LINES = 78, 11.0  # characters of a line, lines below a slide's title, at a size that the last row can read
WHOLE, ENOUGH = 260, 110  # characters: a paragraph up to which is kept, and sentences of a longer one until which
ABOVE_A_FIGURE = 3.0  # lines that may share a slide with a figure
MOST_COLUMNS, TABLE_WIDTH, TABLE_LINES = 8, 92, 14


@dataclass
class Slide:
    """A slide: its title, its content as HTML, and the speaker notes as HTML."""

    title: str
    content: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    kind: str = "text"  # or "figure", "table", "title"
    lines: float = 0.0


def export_slides(notebook: str | Path, target: str | Path, *, answers: Mapping[str, str] | None = None) -> Path:
    """Write a notebook, executed or not, as slides in one HTML file, and return its path.

    Arrow keys, Page Up and Down, a click or a swipe turn the slides; N shows the notes, S opens them in a window of
    their own for the lecturer. Without scripts, and in print, the slides follow each other. `answers` maps the name of
    an exercise to the notes of its slide.
    """
    slides = slides_of(nbformat.read(notebook, as_version=4), answers or {})
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.get_template("slides.html.jinja").render(slides=slides, title=slides[0].title if slides else "")
    with atomic_path(target) as path:
        path.write_text(page, encoding="utf-8")
    return Path(target)


def slides_of(notebook: NotebookNode, answers: Mapping[str, str]) -> list[Slide]:
    """Turn a notebook's cells into slides."""
    slides: list[Slide] = []
    for cell in notebook.cells:
        if NOT_ON_SLIDES & set(tags_of(cell)):
            continue
        title = slides[-1].title.removesuffix(" (continued)") if slides else ""
        if cell.cell_type == "markdown":
            for heading, body in sections(cell.source, title):
                slides += _text_slides(heading, body, is_first=not slides)
        elif "exercise" in tags_of(cell):
            found = re.search(r"check\.(\w+)\(\.\.\.\)", cell.source)
            if found and slides and found[1] in answers:
                slides[-1].notes.append(f"<p><strong>Answer.</strong> {_inline(answers[found[1]])}</p>")
        else:
            for slide in _output_slides(cell, title):
                before = slides[-1] if slides else slide
                if (slide.kind, before.kind) == ("figure", "text") and before.lines <= ABOVE_A_FIGURE:
                    before.content, before.notes, before.kind = (
                        [*before.content, *slide.content],
                        before.notes,
                        "figure",
                    )
                else:
                    slides.append(slide)
    return slides


def sections(text: str, title: str) -> Iterator[tuple[str, str]]:
    """Yield (title, text) of each section of a Markdown cell; an exercise is a section, too.

    >>> list(sections("## 1 · Setup\\nMore.", ""))
    [('1 · Setup', 'More.')]
    >>> list(sections("**2.** How many?", "15 · Exercises"))
    [('Exercise 2', 'How many?')]
    """
    for part in re.split(r"^(?=#+ )", text, flags=re.MULTILINE):
        heading, _, body = part.partition("\n")
        exercise = re.match(r"\*\*(\d)\.\*\* ", part)
        if heading.startswith("#"):
            yield heading.lstrip("# ").strip(), body.strip()
        elif exercise:
            yield f"Exercise {exercise[1]}", part[exercise.end() :].strip()
        elif part.strip():
            yield title, part.strip()


def points(text: str) -> list[str]:
    """Return the points of a section: a short paragraph or list item as it is, of a long one the first sentences.

    >>> points("A short one.\\n\\n- one\\n- two")
    ['A short one.', '- one', '- two']
    """
    blocks = re.split(r"\n\s*\n|\n(?=- )", re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", text))
    found = []
    for block in (" ".join(block.split()) for block in blocks if block.strip()):
        if len(block) <= WHOLE or block.startswith("$$"):
            found.append(block)
            continue
        kept = ""
        for sentence in re.split(r"(?<=[.?!])\s+(?=[A-Z*`(])", block):
            kept = f"{kept} {sentence}".strip()
            if len(kept) >= ENOUGH:
                break
        found.append(kept)
    return found


def _text_slides(title: str, text: str, *, is_first: bool) -> list[Slide]:
    """Distribute the points of a section over as few slides as their lines need."""
    slide = Slide(title, kind="title" if is_first else "text", notes=[_markdown(text)] if text else [])
    made = [slide]
    for point in points(text):
        lines = 3.5 if point.startswith("$$") else -(-len(point) // WIDTH) + 0.4
        if slide.lines + lines > LINES and slide.content:
            slide = Slide(f"{title} (continued)")
            made.append(slide)
        slide.content.append(_point(point))
        slide.lines += lines
    return made


def _point(point: str) -> str:
    """Render one point: an item of a list, or a paragraph."""
    if point.startswith("$$"):
        return f"<p>{_inline(point)}</p>"
    if point.startswith("- "):
        return f'<p class="item">{_inline(point[2:])}</p>'
    return f"<p>{_inline(point)}</p>"


def _inline(text: str) -> str:
    """Render a line of Markdown."""
    return re.sub(r"</?p>", "", _markdown(text)).strip()


def _markdown(text: str) -> str:
    """Render Markdown, with its formulas as MathML."""
    formulas: dict[str, str] = {}
    words = take_formulas(text, formulas)
    return put_formulas(html_of_markdown(words), formulas)


def _output_slides(cell: NotebookNode, title: str) -> Iterator[Slide]:
    """Yield a slide for each figure and each table among a cell's outputs; code, folded and long ones are left out."""
    for output in cell.get("outputs", []):
        shown = output.get("data", {})
        if "image/png" in shown and "text/html" not in shown:
            yield _figure_slide(shown, output.get("metadata", {}), title)
        elif "text/html" in shown:
            table = BeautifulSoup(shown["text/html"], "html.parser").find("table")
            if isinstance(table, Tag) and not table.find_parent("details"):
                content = table_of(table)
                if content:
                    notes = "<p>Read one row aloud, with its interval, before you compare any two.</p>"
                    yield Slide(title, [content], [notes], kind="table")


def _figure_slide(shown: Mapping[str, str], metadata: Mapping[str, Mapping[str, str]], title: str) -> Slide:
    """Return the slide of a figure: its description is its alternative text, its caption, and in the notes."""
    plain = shown.get("text/plain", "")
    alt = metadata.get("image/png", {}).get("alt") or ("" if plain.startswith(("<", "Figure(")) else plain)
    data = base64.b64encode(base64.b64decode(shown["image/png"])).decode()
    image = f'<img alt="{html.escape(alt or f"Figure of section {title}")}" src="data:image/png;base64,{data}">'
    caption = f"<figcaption>{html.escape(alt)}</figcaption>" if alt else ""
    notes = f"<p>{html.escape(alt)}</p>" if alt else ""
    return Slide(
        title,
        [f"<figure>{image}{caption}</figure>"],
        [notes + "<p>What do you see? What did you expect?</p>"],
        "figure",
    )


def table_of(table: Tag) -> str:
    """Return a table as HTML, cut after as many rows as fit a slide; "" if it has too many columns for one."""
    rows = [[cell.get_text(" ", strip=True) for cell in row.find_all(["th", "td"])] for row in table.find_all("tr")]
    rows = [["–" if text == "NaN" else text for text in row] for row in rows if any(row)]
    if len(rows) > 1 and sum(map(bool, rows[1])) == 1 and rows[1][0]:  # the name of the index has a line of its own
        rows[0][0] = "; ".join(filter(None, [rows.pop(1)[0], rows[0][0]]))
    columns = max(map(len, rows), default=0)
    if not 0 < columns <= MOST_COLUMNS:
        return ""
    longest = [max((len(row[k]) for row in rows if k < len(row)), default=0) or 1 for k in range(columns)]
    widths = [TABLE_WIDTH * min(length, 50) / sum(min(length, 50) for length in longest) for length in longest]
    kept, used = 0, 0
    for row in rows:
        used += max(int(-(-len(text) // width)) or 1 for text, width in zip(row, widths, strict=False))
        if used > TABLE_LINES:
            break
        kept += 1
    if kept < 2:
        return ""
    head = "".join(f'<th scope="col">{html.escape(text)}</th>' for text in rows[0])
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(text)}</td>' for text in row)}</tr>" for row in rows[1:kept])
    left = len(rows) - kept
    more = f'<p class="more">{left} more row{"s" if left > 1 else ""} in the notebook</p>' if left else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"
