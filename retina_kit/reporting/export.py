"""Exports with nbconvert: executed notebooks as HTML pages that need no network, and Markdown as a page."""

import html
import re
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode

from retina_kit.files import atomic_path
from retina_kit.reporting.formulas import put_formulas, take_formulas
from retina_kit.reporting.living.pages import as_living
from retina_kit.reporting.living.readable import make_readable
from retina_kit.reporting.notebook import tags_of

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
PAGE_STYLE = """
body {max-width: 60rem; margin: 2rem auto; padding: 0 1.5rem; font: 16px/1.55 Georgia, serif; color: #1c2430}
table {border-collapse: collapse; font: .85rem/1.4 system-ui, sans-serif; display: block; overflow-x: auto}
th, td {border-bottom: 1px solid #d9dde3; padding: .3rem .6rem; text-align: left; vertical-align: top}
h2 {border-top: 2px solid; padding-top: .8rem; margin-top: 2.5rem} code, pre {background: #f1f4f8; padding: .1rem .3rem}
code, pre {white-space: pre-wrap; overflow-wrap: anywhere}
.anchor-link {display: none}
"""
CODE_STYLE = "<style>.jp-OutputArea .highlight pre {font-family: var(--jp-code-font-family, monospace)}</style>"
NOT_ON_PAGES = {"badges", "colab"}  # images from the network; an installation that does nothing elsewhere


def export_html(notebook: str | Path, target: str | Path, title: str) -> Path:
    """Write an executed notebook as one HTML file that needs no network, with embedded images, and return its path."""
    exporter = HTMLExporter(template_name="lab", embed_images=True)
    for name in ("mathjax_url", "require_js_url", "jquery_url", "widget_renderer_url"):
        if hasattr(exporter, name):
            setattr(exporter, name, "")
    executed = as_living(without_widgets(nbformat.read(notebook, as_version=4)))
    executed.cells = [cell for cell in executed.cells if not NOT_ON_PAGES & set(tags_of(cell))]
    formulas: dict[str, str] = {}
    for cell in executed.cells:
        if cell.cell_type == "markdown":
            cell.source = take_formulas(cell.source, formulas)
    page, _ = exporter.from_notebook_node(executed, resources={"metadata": {"name": title}})
    page = make_readable(page.replace("</head>", f"{CODE_STYLE}</head>", 1), exporter.template_paths)
    page = re.sub(r'<script[^>]*\bsrc\s*=\s*"(https?:[^"]*|)"[^>]*>\s*</script>', "", page)
    return _write(put_formulas(page, formulas), target)


def html_of_markdown(text: str) -> str:
    """Convert Markdown to HTML; raw HTML in it is shown as text.

    >>> html_of_markdown("Type `new <name>`, <b>not</b> more: <https://example.org>").strip()
    '<p>Type <code>new &lt;name&gt;</code>, &lt;b&gt;not&lt;/b&gt; more: <a href="https://example.org">https://example.org</a></p>'
    """
    return str(MarkdownWithMath(renderer=IPythonRenderer(escape=True)).render(text))


def markdown_page(text: str, title: str) -> str:
    """Convert Markdown to an HTML page that loads nothing; raw HTML in it is shown as text, comments are left out.

    >>> "<h1" in markdown_page("# A title", "A title")
    True
    """
    without_comments = re.sub(r"<!--.*?-->\n?", "", text, flags=re.DOTALL)
    body = html_of_markdown(without_comments)
    body = body.replace("<table>", '<table tabindex="0">')  # a wide one scrolls, by keyboard too
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head += f"<title>{html.escape(title)}</title><style>{PAGE_STYLE}</style>"
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body><main>\n{body}</main></body></html>\n'


def without_widgets(notebook: NotebookNode) -> NotebookNode:
    """Leave out the widgets of a notebook for which an image or a table stands in."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            shown = output.get("data", {})
            if WIDGET_VIEW in shown and len(shown) > 1:
                del shown[WIDGET_VIEW]
    notebook.metadata.pop("widgets", None)
    return notebook


def _write(page: str, target: str | Path) -> Path:
    """Write a page, whole or not at all, and return its path."""
    with atomic_path(target) as path:
        path.write_text(page, encoding="utf-8")
    return Path(target)
