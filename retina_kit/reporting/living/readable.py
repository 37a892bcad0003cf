"""Makes the page that nbconvert writes readable for everybody: contrast, a dark mode, boxes that a keyboard scrolls."""

import itertools
import re
from collections.abc import Sequence
from pathlib import Path

from retina_kit.reporting.living.pages import living_assets

STYLE = (Path(__file__).parent / "notebook.css").read_text(encoding="utf-8")
DARK = "static/theme-dark.css"  # nbconvert's own
BOXES = re.compile(r'(<div class="[^"]*\bhighlight\b[^"]*"><pre|<div class="jp-RenderedText[^"]*"[^>]*>\s*<pre)>')
TABLES = re.compile(r'<table border="1" class="dataframe">.*?</table>', re.DOTALL)


def make_readable(page: str, template_paths: Sequence[str]) -> str:
    """Add styles, the script of living outputs, and the attributes that a keyboard needs to a page of nbconvert.

    `template_paths` are where the exporter finds its templates, with the colors of its dark theme. A long line of code
    or a wide table scrolls in its box, so that the box must be reachable by keyboard.
    """
    themes = [Path(folder) / DARK for folder in template_paths]
    dark = next((theme.read_text(encoding="utf-8") for theme in themes if theme.is_file()), "")
    style = f"<style>@media (prefers-color-scheme: dark) {{{dark}}}</style><style>{STYLE}</style>"
    number = itertools.count(1)
    page = TABLES.sub(lambda table: scrolling(table[0], f"table {next(number)}"), without_empty_heads(page))
    page = BOXES.sub(r'\1 tabindex="0">', page)
    return page.replace("</head>", f"{style}</head>", 1).replace("</body>", f"{living_assets()}</body>", 1)


def reachable(page: str) -> str:
    """Let a keyboard reach the boxes of a page of Sphinx that scroll, and give the headings of its contents a level.

    >>> reachable('<p class="caption" role="heading">')
    '<p class="caption" role="heading" aria-level="2">'
    """
    number = itertools.count(1)
    page = TABLES.sub(lambda table: scrolling(table[0], f"table {next(number)}"), without_empty_heads(page))
    page = re.sub(r'(role="heading")>', r'\1 aria-level="2">', page)
    page = re.sub(r'(<div class="highlight"><pre|<div class="table-wrapper[^"]*")>', r'\1 tabindex="0">', page)
    for part, label in (("sidebar", "site"), ("toc", "page")):
        page = page.replace(
            f'<aside class="{part}-drawer', f'<aside aria-label="contents of the {label}" class="{part}-drawer'
        )
    wrapper = '<div role="region" aria-label="table {}" class="table-wrapper'
    return re.sub('<div class="table-wrapper', lambda _: wrapper.format(next(number)), page)


def scrolling(table: str, label: str) -> str:
    """Put a table into a box that scrolls on a narrow screen, by keyboard too."""
    return f'<div class="kit-scroll" tabindex="0" role="region" aria-label="{label}">{table}</div>'


def without_empty_heads(page: str) -> str:
    """Make the empty heads of tables, which pandas writes above an index, ordinary cells.

    >>> without_empty_heads("<th>arm</th><th></th>")
    '<th>arm</th><td></td>'
    """
    return page.replace("<th></th>", "<td></td>")
