"""Exports executed notebooks with nbconvert: as an HTML page that needs no network, and as slides."""

import re
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter, SlidesExporter
from nbformat import NotebookNode

from retina_kit.files import atomic_path
from retina_kit.reporting.notebook import tags_of

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
NOT_ON_SLIDES = {"badges", "parameters", "colab", "solution", "injected-parameters"}


def export_html(notebook: str | Path, target: str | Path, title: str) -> Path:
    """Write an executed notebook as one HTML file that needs no network, with embedded images, and return its path."""
    exporter = HTMLExporter(template_name="lab", embed_images=True)
    for name in ("mathjax_url", "require_js_url", "jquery_url", "widget_renderer_url"):
        if hasattr(exporter, name):
            setattr(exporter, name, "")
    executed = without_widgets(nbformat.read(notebook, as_version=4))
    executed.cells = [cell for cell in executed.cells if "badges" not in tags_of(cell)]  # images from the network
    html, _ = exporter.from_notebook_node(executed, resources={"metadata": {"name": title}})
    html = re.sub(r'<script[^>]*\bsrc\s*=\s*"(https?:[^"]*|)"[^>]*>\s*</script>', "", html)
    return _write(html, target)


def export_slides(notebook: str | Path, target: str | Path) -> Path:
    """Write a notebook, executed or not, as slides in one HTML file, and return its path.

    A heading starts a slide, and so does an image; code is left out and its outputs are kept. The file is what
    `jupyter nbconvert --to slides` makes: text and images are inside, but the browser loads reveal.js, RequireJS,
    jQuery and MathJax from public servers. Without a network the slides appear below each other on one page; to
    present offline, print them to a PDF beforehand (open the file with `?print-pdf` at the end of its address).
    """
    exporter = SlidesExporter(
        exclude_input=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        embed_images=True,
        reveal_scroll=True,
        reveal_number="c/t",
    )
    slides = _as_slides(without_widgets(nbformat.read(notebook, as_version=4)))
    html, _ = exporter.from_notebook_node(slides, resources={"metadata": {"name": Path(target).stem.split(".")[0]}})
    return _write(html, target)


def without_widgets(notebook: NotebookNode) -> NotebookNode:
    """Leave out the widgets of a notebook for which an image or a table stands in."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            shown = output.get("data", {})
            if WIDGET_VIEW in shown and len(shown) > 1:
                del shown[WIDGET_VIEW]
    notebook.metadata.pop("widgets", None)
    return notebook


def _as_slides(notebook: NotebookNode) -> NotebookNode:
    """Mark each cell of a notebook as the start of a slide or as more of the same slide, and drop all others."""
    kept: list[NotebookNode] = []
    for cell in notebook.cells:
        shown = [output for output in cell.get("outputs", []) if "data" in output]
        if NOT_ON_SLIDES & set(tags_of(cell)) or (cell.cell_type == "code" and not shown):
            continue
        begins = cell.cell_type == "markdown" and cell.source.lstrip().startswith("#")
        tall = any("image/png" in output.data for output in shown)
        cell.metadata["slideshow"] = {"slide_type": "slide" if begins or tall or not kept else "-"}
        kept.append(cell)
    notebook.cells = kept
    return notebook


def _write(html: str, target: str | Path) -> Path:
    """Write a page, whole or not at all, and return its path."""
    with atomic_path(target) as path:
        path.write_text(html, encoding="utf-8")
    return Path(target)
