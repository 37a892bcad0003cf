"""Builds, executes and exports notebooks: jupytext, papermill and nbconvert, with a strict layer around papermill.

papermill accepts a mistyped parameter, takes `sys.exit(0)` for success and leaves a notebook of a killed kernel
marked completed. Here a run has succeeded only when no cell raised, every code cell was executed, and every file
that was promised lies there, newer than the start.
"""

import ast
import difflib
import hashlib
import json
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import jupytext
import nbformat
import papermill
from nbclient.exceptions import DeadKernelError
from nbconvert import HTMLExporter
from papermill.exceptions import PapermillException

from retina_kit.errors import KitError, UsageError
from retina_kit.files import atomic_path, kit_root, remove_remains

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


@dataclass(frozen=True)
class ExecutedNotebook:
    """An executed notebook and how long it took."""

    path: Path
    seconds: float


def build_notebook(source, target=None, *, solutions=False):
    """Write the .ipynb of a py:percent source and return its path; the same source gives the same bytes.

    Cells tagged `solution` are left out, as students need it, unless `solutions` asks for the instructor's notebook.
    """
    source = Path(source)
    target = Path(target or source.with_suffix(".ipynb"))
    with atomic_path(target) as path:
        path.write_text(built_text(source, solutions=solutions), encoding="utf-8")
    return target


def built_text(source, *, solutions=False):
    """Return a py:percent source as the text of a notebook without outputs, with cell ids from its content."""
    notebook = jupytext.read(source, fmt="py:percent")
    if not solutions:
        notebook.cells = [cell for cell in notebook.cells if "solution" not in cell.metadata.get("tags", [])]
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
         "language_info": {"name": "python"}}
    )  # fmt: skip
    for number, cell in enumerate(notebook.cells):
        cell["id"] = hashlib.sha256(f"{number}{cell.source}".encode()).hexdigest()[:8]
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return nbformat.writes(notebook) + "\n"


def check_built(source, target):
    """Say whether a notebook is what its source builds."""
    target = Path(target)
    return target.is_file() and target.read_text(encoding="utf-8") == built_text(source)


def read_parameters(notebook):
    """Return {name: default} of the cell tagged `parameters`, which holds literals only."""
    cells = nbformat.read(notebook, as_version=4).cells
    tagged = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    if len(tagged) != 1:
        raise UsageError(f"{notebook} must have one cell tagged `parameters`, it has {len(tagged)}")
    defaults = {}
    for node in ast.parse(tagged[0].source).body:
        try:
            defaults[node.targets[0].id] = ast.literal_eval(node.value)
        except (AttributeError, ValueError) as error:
            raise UsageError(f"{notebook}: the parameters cell may hold `name = literal` lines only") from error
    return defaults


def check_parameters(notebook, given):
    """Raise UsageError for a name that the notebook's parameters cell does not have, or a value of another type."""
    defaults = read_parameters(notebook)
    for name, value in given.items():
        if name not in defaults:
            close = difflib.get_close_matches(name, defaults, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise UsageError(f"{Path(notebook).name} has no parameter {name!r}{hint} It has {', '.join(defaults)}")
        default = defaults[name]
        fits = default is None or type(value) is type(default) or (isinstance(default, float) and type(value) is int)
        if not fits:
            raise UsageError(f"parameter {name}={value!r} must be of the type of its default, {default!r}")


def execute_notebook(notebook, output_path, parameters, *, promised=(), cwd=None, timeout=None):
    """Execute a notebook and return where it lies and how long it took.

    `parameters` are checked before a kernel starts. `promised` are files that must exist afterwards, written by
    this run. Where anything fails, `<name>.failed.ipynb` is left beside `output_path`, an earlier good notebook
    is kept, and a KitError names the cell and the exception.
    """
    check_parameters(notebook, parameters)
    output_path = Path(output_path)
    failed = output_path.with_name(f"{output_path.stem}.failed.ipynb")
    before, began = {path: mark_of(path) for path in promised}, time.perf_counter()
    remove_remains(output_path)
    with atomic_path(output_path) as path:
        try:
            papermill.execute_notebook(
                str(notebook), str(path), parameters=parameters, kernel_name="python3", progress_bar=False,
                cwd=cwd and str(cwd), execution_timeout=timeout, log_output=False,
            )  # fmt: skip
            problem = problem_of(nbformat.read(path, as_version=4), before)
        except (PapermillException, DeadKernelError) as error:
            problem = problem_of(nbformat.read(path, as_version=4), before) or str(error)
        leave_out_machine_paths(path)
        if problem:
            keep_failed(path, failed, problem)
            raise KitError(f"{Path(notebook).name}: {problem} (see {failed})")
    failed.unlink(missing_ok=True)
    return ExecutedNotebook(output_path, time.perf_counter() - began)


def leave_out_machine_paths(path):
    """Rewrite an executed notebook so that warnings and metadata do not say where on this machine things lie."""
    places = {str(kit_root()): "<kit>", sys.prefix: "<python>", str(Path.cwd()): ".", f"{Path.home()}/": "~/"}
    text = original = Path(path).read_text(encoding="utf-8")
    for place in sorted((place for place in places if len(place) > 2), key=len, reverse=True):
        text = text.replace(json.dumps(place)[1:-1], places[place])
    if text != original:
        Path(path).write_text(text, encoding="utf-8")


def mark_of(path):
    """Return what changes when a file is written anew, whatever the clock says; None where there is none."""
    try:
        facts = Path(path).stat()
    except FileNotFoundError:
        return None
    return facts.st_ino, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_size


def problem_of(executed, before):
    """Return what keeps an executed notebook from being a success, or "" where nothing does.

    `before` maps each promised file to its mark before the run.
    """
    code = [cell for cell in executed.cells if cell.cell_type == "code" and cell.source.strip()]
    for number, cell in enumerate(code, start=1):
        for output in cell.outputs:
            if output.output_type == "error":
                return f"code cell {number} raised {output.ename}: {output.evalue}"
    for number, cell in enumerate(code, start=1):
        if cell.execution_count is None:
            return f"code cell {number} was never executed: the kernel died or the run was cut short"
    for path, mark in before.items():
        if not Path(path).is_file():
            return f"the run promised {path}, but it is not there"
        if mark_of(path) == mark:
            return f"the run promised {path}, but what lies there is older than the run"
    return ""


def keep_failed(path, failed, problem):
    """Leave the notebook as far as it came, with the problem on top."""
    executed = nbformat.read(path, as_version=4)
    executed.cells.insert(0, nbformat.v4.new_markdown_cell(f"**This run failed:** {problem}"))
    with atomic_path(failed) as temporary:
        temporary.write_text(nbformat.writes(executed), encoding="utf-8")


def export_html(notebook, target, title):
    """Write an executed notebook as one HTML file that needs no network; images are embedded."""
    exporter = HTMLExporter(template_name="lab", embed_images=True)
    for name in ("mathjax_url", "require_js_url", "jquery_url", "widget_renderer_url"):
        if hasattr(exporter, name):
            setattr(exporter, name, "")
    executed = without_widgets(nbformat.read(notebook, as_version=4))
    html, _ = exporter.from_notebook_node(executed, resources={"metadata": {"name": title}})
    html = re.sub(r'<script[^>]*\bsrc\s*=\s*"(https?:[^"]*|)"[^>]*>\s*</script>', "", html)
    with atomic_path(target) as path:
        path.write_text(html, encoding="utf-8")
    return Path(target)


def without_widgets(notebook):
    """Return a notebook whose widgets are left out where an image or a table stands in for them."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            shown = output.get("data", {})
            if WIDGET_VIEW in shown and len(shown) > 1:
                del shown[WIDGET_VIEW]
    notebook.metadata.pop("widgets", None)
    return notebook
