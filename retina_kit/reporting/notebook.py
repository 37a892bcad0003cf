"""Builds and executes notebooks: jupytext and papermill, with a strict layer around papermill.

papermill accepts a mistyped parameter, takes `sys.exit(0)` for success, and marks the notebook of a killed kernel as
completed. Here a run has succeeded only if no cell raised, every code cell was executed, and every expected file was
written by this run.
"""

import ast
import contextlib
import hashlib
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import papermill
import psutil
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from papermill.engines import NBClientEngine, NotebookExecutionManager, papermill_engines
from papermill.exceptions import PapermillException
from traitlets.config import Config

from retina_kit.errors import DataError, KitError, UsageError, did_you_mean
from retina_kit.files import atomic_path, kit_root, remove_remains
from retina_kit.reporting.badges import repository, with_badges

KERNEL = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
LONGEST_SOCKET_FOLDER = 80  # characters: a socket's whole path has at most 103 on macOS, 107 on Linux


@dataclass(frozen=True)
class ExecutedNotebook:
    """An executed notebook and how long it took."""

    path: Path
    seconds: float


def build_notebook(source: str | Path, target: str | Path | None = None, *, solutions: bool = False) -> Path:
    """Write the .ipynb of a py:percent source and return its path; the same source gives the same bytes.

    Cells tagged `solution` are left out, as students need it, unless `solutions` asks for the instructor's notebook.
    """
    source = Path(source)
    target = Path(target or source.with_suffix(".ipynb"))
    with atomic_path(target) as path:
        path.write_text(built_text(source, solutions=solutions), encoding="utf-8")
    return target


def built_text(source: str | Path, *, solutions: bool = False) -> str:
    """Convert a py:percent source to the text of a notebook without outputs, with cell ids derived from its content.

    Raises DataError if the source is not a text in UTF-8.
    """
    try:
        notebook = jupytext.read(source, fmt="py:percent")
    except UnicodeDecodeError as error:
        raise DataError(f"{source}: not a text in UTF-8 ({error.reason} at byte {error.start})") from error
    notebook = with_badges(notebook, Path(source).stem, repository())
    if not solutions:
        notebook.cells = [cell for cell in notebook.cells if "solution" not in tags_of(cell)]
    notebook.metadata = nbformat.from_dict(KERNEL)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = hashlib.sha256(f"{number}{cell.source}".encode()).hexdigest()[:8]
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return nbformat.writes(notebook) + "\n"


@contextlib.contextmanager
def as_built(notebook: Path) -> Iterator[Path]:
    """Give a notebook as an .ipynb file: a percent script is built into a temporary folder, an .ipynb is itself."""
    if notebook.suffix != ".py":
        yield notebook
        return
    with tempfile.TemporaryDirectory(prefix="notebook-") as folder:
        yield build_notebook(notebook, Path(folder) / f"{notebook.stem}.ipynb")


def tags_of(cell: NotebookNode) -> list[str]:
    """Return the tags of a cell.

    >>> tags_of(nbformat.v4.new_code_cell("1 + 1", metadata={"tags": ["solution"]}))
    ['solution']
    """
    return cell.metadata.get("tags", [])


def check_built(source: str | Path, target: str | Path) -> bool:
    """Tell whether a notebook is what its source builds."""
    target = Path(target)
    return target.is_file() and target.read_text(encoding="utf-8") == built_text(source)


def read_parameters(notebook: str | Path) -> dict[str, Any]:
    """Return {name: default} of the cell tagged `parameters`, which may hold only literals."""
    cells = nbformat.read(notebook, as_version=4).cells
    tagged = [cell for cell in cells if "parameters" in tags_of(cell)]
    if len(tagged) != 1:
        raise UsageError(f"{notebook} must have one cell tagged `parameters`, but has {len(tagged)}")
    defaults: dict[str, Any] = {}
    for node in ast.parse(tagged[0].source).body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if _is_literal(value):
                defaults[name] = ast.literal_eval(value)
            case _:
                line = ast.unparse(node)
                raise UsageError(f"{notebook}: the parameters cell may only hold `name = literal`, not `{line}`")
    return defaults


def _is_literal(value: ast.expr) -> bool:
    """Tell whether an expression is a constant, or a list or dict of constants."""
    try:
        ast.literal_eval(value)
    except ValueError:
        return False
    return True


def check_parameters(notebook: str | Path, given: Mapping[str, Any]) -> None:
    """Raise UsageError for a name that the notebook's parameters cell does not have, or a value of another type."""
    defaults = read_parameters(notebook)
    for name, value in given.items():
        if name not in defaults:
            raise UsageError(f"{Path(notebook).name} has no parameter {name!r}{did_you_mean(name, defaults)}")
        default = defaults[name]
        fits = default is None or type(value) is type(default) or (isinstance(default, float) and type(value) is int)
        if not fits:
            raise UsageError(f"parameter {name}={value!r} must have the type of its default, {default!r}")


def execute_notebook(
    notebook: str | Path,
    output_path: str | Path,
    parameters: Mapping[str, Any],
    *,
    promised: Sequence[str | Path] = (),
    cwd: str | Path | None = None,
    timeout: int | None = None,
) -> ExecutedNotebook:
    """Execute a notebook in a new kernel and return its path and how long it took.

    `parameters` are checked before the kernel starts. `promised` are files that this run must write. `timeout` is in
    seconds per cell. If anything fails, `<name>.failed.ipynb` is left next to `output_path`, an earlier good notebook
    is kept, and a KitError names the cell and the exception.
    """
    check_parameters(notebook, parameters)
    output_path = Path(output_path)
    failed = output_path.with_name(f"{output_path.stem}.failed.ipynb")
    before, began = {Path(path): _mark_of(Path(path)) for path in promised}, time.perf_counter()
    remove_remains(output_path)
    with atomic_path(output_path) as path:
        error = _papermill(notebook, path, dict(parameters), cwd, timeout)
        problem = _problem_of(nbformat.read(path, as_version=4), before) or error
        _leave_out_machine_paths(path)
        if problem:
            _keep_failed(path, failed, problem)
            raise KitError(f"{Path(notebook).name}: {problem} (see {failed})")
    failed.unlink(missing_ok=True)
    return ExecutedNotebook(output_path, time.perf_counter() - began)


def stop_kernels() -> None:
    """Kill the kernels that this process has started; executing their notebooks fails at once."""
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):  # it has just ended by itself
            if any("ipykernel" in word for word in child.cmdline()):
                child.kill()


class WriteOnce(NBClientEngine):
    """Executes a notebook as papermill does, but writes it at the end only.

    papermill writes the whole notebook, with all its images, before and after each cell: 2 to 3 of the processor
    seconds that a batch spends on a notebook whose runs are in the store. Only whole notebooks are kept in any case.
    """

    @classmethod
    def execute_managed_notebook(cls, nb_man: NotebookExecutionManager, kernel_name: str, **options: Any) -> Any:
        """Execute the cells of `nb_man.nb`; the manager writes it once this has returned or raised."""
        nb_man.save = lambda **_: None
        try:
            return super().execute_managed_notebook(nb_man, kernel_name, **options)
        finally:
            del nb_man.save


papermill_engines.register("write_once", WriteOnce)


def _papermill(
    notebook: str | Path, path: Path, parameters: dict[str, Any], cwd: str | Path | None, timeout: int | None
) -> str:
    """Execute a notebook with papermill and return the message of its error, "" if there was none."""
    with tempfile.TemporaryDirectory(prefix="kernel-") as sockets:
        try:
            papermill.execute_notebook(
                str(notebook),
                str(path),
                parameters=parameters,
                engine_name="write_once",
                kernel_name="python3",
                progress_bar=False,
                cwd=cwd and str(cwd),
                execution_timeout=timeout,
                log_output=False,
                config=_transport(sockets),
            )
        except (PapermillException, DeadKernelError, CellTimeoutError) as error:
            return str(error)
    return ""


def _transport(folder: str) -> Config:
    """Connect to the kernel through sockets in a folder that only this user may read; by TCP if that is impossible.

    Kernels talk unencrypted, and any user of this machine can connect to a TCP port.
    """
    if os.name == "nt" or len(folder) > LONGEST_SOCKET_FOLDER:
        return Config()
    return Config(KernelManager={"transport": "ipc", "ip": str(Path(folder) / "kernel")})


def _leave_out_machine_paths(path: Path) -> None:
    """Rewrite an executed notebook so that warnings and metadata do not contain paths of this machine."""
    home = os.path.expanduser("~/")  # noqa: PTH111  Path.home() raises for a user without one
    places = {str(kit_root()): "<kit>", sys.prefix: "<python>", str(Path.cwd()): ".", home: "~/"}
    text = original = path.read_text(encoding="utf-8")
    for place in sorted((place for place in places if len(place) > 2), key=len, reverse=True):
        text = replaced_path(text, json.dumps(place)[1:-1], places[place])
    if text != original:
        path.write_text(text, encoding="utf-8")


def replaced_path(text: str, place: str, name: str) -> str:
    r"""Replace a path in JSON where it stands for itself, not within a longer name or the base64 of an image.

    It may follow an escaped line end or color, whose last character is a letter.

    >>> replaced_path("/tmp/x.py, file:///tmp/y, iVBOR/tmp/w0KG, /tmp2", "/tmp", ".")
    './x.py, file://./y, iVBOR/tmp/w0KG, /tmp2'
    >>> print(replaced_path(r"a\n/tmp/x.py \u001b[1;32m/tmp/y", "/tmp", "."))
    a\n./x.py \u001b[1;32m./y
    """
    begins = r"(\\[nrt]|\\u001b\[[0-9;]*m|(?<![A-Za-z0-9+])(?<![A-Za-z0-9+]/))"
    ends = "" if place.endswith("/") else r"(?![A-Za-z0-9+=_-])"
    return re.sub(begins + re.escape(place) + ends, lambda found: found[1] + name, text)


def _mark_of(path: Path) -> tuple[int, ...] | None:
    """Return what changes when a file is rewritten, whatever the clock shows; None if there is no file."""
    try:
        facts = path.stat()
    except FileNotFoundError:
        return None
    return facts.st_ino, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_size


def _problem_of(executed: NotebookNode, before: Mapping[Path, tuple[int, ...] | None]) -> str:
    """Tell why an executed notebook is not a success, "" if it is; `before` maps each promised file to its old mark."""
    code = [cell for cell in executed.cells if cell.cell_type == "code" and cell.source.strip()]
    for number, cell in enumerate(code, start=1):
        for output in cell.outputs:
            if output.output_type == "error":
                return f"code cell {number} raised {output.ename}: {output.evalue}"
    for number, cell in enumerate(code, start=1):
        if cell.execution_count is None:
            return f"code cell {number} was never executed: the kernel died or the run was cut short"
    for path, mark in before.items():
        if not path.is_file():
            return f"expected output {path} was not created"
        if _mark_of(path) == mark:
            return f"expected output {path} was not written by this run; the file there is older"
    return ""


def _keep_failed(path: Path, failed: Path, problem: str) -> None:
    """Keep the notebook as far as it got, with the problem on top."""
    executed = nbformat.read(path, as_version=4)
    executed.cells.insert(0, nbformat.v4.new_markdown_cell(f"**This run failed:** {problem}"))
    with atomic_path(failed) as temporary:
        temporary.write_text(nbformat.writes(executed), encoding="utf-8")
