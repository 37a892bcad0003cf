"""Slides from a notebook: nbconvert's slide export with the presenter inside the file, so that it opens offline.

nbconvert lays a notebook out for reveal.js, which it would load from the network. Here the same sections are shown
by a few lines of script in the file: arrow keys, space, Home and End turn the slides; printing puts one on a page.
"""

import re
from pathlib import Path

import nbformat
from nbconvert import SlidesExporter

from retina_kit.files import atomic_path
from retina_kit.reporting.notebook import without_widgets

LEAVE_OUT = {"parameters", "colab", "solution", "injected-parameters"}
STYLE = """<style>
.slides > section {display:none; box-sizing:border-box; min-height:100vh; padding:3vh 6vw; font-size:1.25em}
.slides > section.now {display:block}
.slides section section {display:block}
.slides img {max-height:70vh; max-width:100%}
.slides > .count {position:fixed; right:1em; bottom:.5em; color:#666; font-size:.9em}
.jp-InputPrompt, .jp-OutputPrompt {display:none}
@media print {.slides > section {display:block; page-break-after:always; min-height:0} .count {display:none}}
</style>"""
SCRIPT = """<script>
const slides = [...document.querySelectorAll(".slides > section")];
const count = document.createElement("div");
count.className = "count"; count.setAttribute("aria-live", "polite");
document.querySelector(".slides").append(count);
const last = slides.length - 1;
let now = Math.min(last, Math.max(0, (parseInt(location.hash.slice(1)) || 1) - 1));
function show(number) {
  now = Math.min(last, Math.max(0, number));
  slides.forEach((slide, k) => slide.classList.toggle("now", k === now));
  count.textContent = `${now + 1} / ${slides.length}`;
  location.hash = now + 1;
  scrollTo(0, 0);
}
const steps = {ArrowRight: 1, ArrowDown: 1, PageDown: 1, " ": 1, ArrowLeft: -1, ArrowUp: -1, PageUp: -1};
addEventListener("keydown", (event) => {
  const far = {Home: 0, End: last}[event.key];
  if (far === undefined && !(event.key in steps)) return;
  event.preventDefault();
  show(far === undefined ? now + steps[event.key] : far);
});
show(now);
</script>"""


def export_slides(notebook, target):
    """Write a notebook (executed or not) as slides in one HTML file that loads nothing, and return its path.

    A heading begins a slide; code is left out and what it showed is kept, each output on a slide of its own.
    """
    made = as_slides(without_widgets(nbformat.read(notebook, as_version=4)))
    exporter = SlidesExporter(exclude_input=True, exclude_input_prompt=True, exclude_output_prompt=True)
    html, _ = exporter.from_notebook_node(made, resources={"metadata": {"name": Path(target).stem.split(".")[0]}})
    html = re.sub(r"<script\b.*?</script>", "", html, flags=re.DOTALL)
    html = re.sub(r'<link[^>]+href="https?:[^>]*>', "", html)
    html = re.sub(r"@import[^;]*https?:[^;]*;", "", html)
    html = html.replace("</head>", f"{STYLE}</head>", 1).replace("</body>", f"{SCRIPT}</body>", 1)
    with atomic_path(target) as path:
        path.write_text(html, encoding="utf-8")
    return Path(target)


def as_slides(notebook):
    """Return a notebook whose cells say how they are shown: a slide, more of the same slide, or not at all."""
    kept = []
    for cell in notebook.cells:
        shown = [
            output for output in cell.get("outputs", []) if output.output_type == "display_data" or "data" in output
        ]
        if LEAVE_OUT & set(cell.metadata.get("tags", [])) or (cell.cell_type == "code" and not shown):
            continue
        begins = cell.cell_type == "markdown" and cell.source.lstrip().startswith("#")
        tall = any("image/png" in output.data for output in shown)
        cell.metadata["slideshow"] = {"slide_type": "slide" if begins or tall or not kept else "-"}
        kept.append(cell)
    notebook.cells = kept
    return notebook
