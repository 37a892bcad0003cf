"""The commands about notebooks: `lab` opens them, `build` makes them from their sources, `site` publishes them."""

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from retina_kit.cli_options import Json, OutputRoot, finish
from retina_kit.errors import UsageError


def lab(
    folder: Annotated[Path | None, typer.Argument(help="folder of your own paper; default: the kit")] = None,
    port: Annotated[int, typer.Option(help="port on this machine")] = 8888,
    ip: Annotated[str, typer.Option(help="address to listen on; a container needs 0.0.0.0")] = "127.0.0.1",
    browser: Annotated[bool, typer.Option(help="open a browser window")] = True,
) -> None:
    """Open JupyterLab on a copy of the kit's notebooks, or on your own paper, on this machine only, with a token."""
    import psutil

    from retina_kit.working_copy import first_notebook, writable_home

    root = _own_folder(folder) if folder else _copy_of_the_notebooks()
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.ip={ip}", f"--ServerApp.port={port}"]
    command += [f"--LabApp.default_url=/lab/tree/{name}" for name in first_notebook(root)]
    command += [] if browser else ["--no-browser"]
    if psutil.Process().username() == "root":  # in a container; JupyterLab would refuse to start
        command.append("--allow-root")
    with writable_home():
        code = subprocess.call([*command, f"--ServerApp.root_dir={root}"])
    raise typer.Exit(code)


def _copy_of_the_notebooks() -> Path:
    """Copy the kit's notebooks below the current folder, report where they are, and return the folder."""
    from retina_kit.working_copy import make_working_copy, starting_folder

    folder, outdated = make_working_copy(starting_folder())
    print(f"your notebooks: {folder} (results: {folder.parent / 'outputs'})")
    for name in outdated:
        print(f"{name} has changed in the kit since you copied it; to get the new one, rename yours and start again")
    return folder


def _own_folder(folder: Path) -> Path:
    """Return the folder of a paper of your own, its .ipynb built if there is none yet."""
    from retina_kit.experiment_file import find_paper
    from retina_kit.reporting.notebook import build_notebook

    files = find_paper(folder).files
    if files.source.is_file() and not files.source.with_suffix(".ipynb").is_file():
        build_notebook(files.source)
    return folder.resolve()


def build(
    folders: Annotated[list[Path] | None, typer.Argument(help="folders of your own papers; default: the kit")] = None,
    check: Annotated[bool, typer.Option("--check", help="only report whether a notebook is stale")] = False,
    student: Annotated[bool, typer.Option("--student", help="notebooks without solutions, to hand out")] = False,
    instructor: Annotated[bool, typer.Option("--instructor", help="notebooks with solutions")] = False,
    slides: Annotated[bool, typer.Option("--slides", help="slides, one HTML file per notebook")] = False,
    otter: Annotated[bool, typer.Option("--otter", help="assignments for Otter-Grader's `otter assign`")] = False,
    output: Annotated[Path | None, typer.Option(help="folder for these; default build/<kind>")] = None,
    output_root: OutputRoot = Path("outputs"),
) -> None:
    """Build the .ipynb notebooks from their .py sources, and the tables of notebooks/results.

    With --student, --instructor, --slides or --otter nothing in the kit is touched: what a course needs goes to a
    folder.
    """
    from retina_kit.experiment_file import find_paper
    from retina_kit.teaching.course import KINDS, build_course, sources

    own = [find_paper(folder).files.source for folder in folders or []]
    kinds = [kind for kind, asked in zip(KINDS, (student, instructor, slides, otter), strict=True) if asked]
    if check and kinds:
        raise UsageError("--check compares the kit's own notebooks only; leave out --student and its like")
    if output and not kinds:
        raise UsageError("--output needs --student, --instructor, --slides or --otter")
    if kinds:
        targets = [output / kind if output and len(kinds) > 1 else output for kind in kinds]
        made = [
            build_course(kind, to, output_root=output_root, notebooks=own)
            for kind, to in zip(kinds, targets, strict=True)
        ]
        finish({"text": [f"{path}: built" for paths in made for path in paths], "exit_code": 0}, False)
    stale = [name for source in own or sources() if (name := _build_notebook(source, check, is_own=bool(own)))]
    if not own:
        stale += _build_results(check)
    state = "stale; run retina-kit build" if check else "built"
    lines = [f"{name}: {state}" for name in stale] or ["everything is up to date"]
    finish({"text": lines, "exit_code": 1 if check and stale else 0}, False)


def _build_notebook(source: Path, check: bool, *, is_own: bool) -> str:
    """Build one notebook unless it is up to date or only checked; return its name if it was stale.

    Your own .ipynb that was edited after its source is never overwritten.
    """
    from retina_kit.reporting.notebook import build_notebook, check_built

    target = source.with_suffix(".ipynb")
    if is_own and not source.is_file():
        raise UsageError(f"{source} does not exist, so there is nothing to build")
    if check_built(source, target):
        return ""
    if is_own and not check and target.is_file() and target.stat().st_mtime > source.stat().st_mtime:
        raise UsageError(f"{target} was edited after {source.name}; rename or remove one of the two, then build")
    if not check:
        build_notebook(source)
    return target.name


def _build_results(check: bool) -> list[str]:
    """Write the tables of the kept results into their README unless only checked; return its name if it was stale."""
    from retina_kit.files import atomic_path, kit_root
    from retina_kit.reporting.tables import results_markdown, with_results

    results = kit_root() / "notebooks" / "results"
    readme = results / "README.md"
    if not readme.is_file():
        return []
    current = readme.read_text(encoding="utf-8")
    fresh = with_results(current, results_markdown(results.glob("*.csv")))
    if fresh == current:
        return []
    if not check:
        with atomic_path(readme) as path:
            path.write_text(fresh, encoding="utf-8")
    return ["notebooks/results/README.md"]


def site(
    output: Annotated[Path, typer.Option(help="folder of the site, which is replaced")] = Path("build/site"),
    output_root: OutputRoot = Path("outputs"),
    as_json: Json = False,
) -> None:
    """Build a static site: the executed notebooks of --output-root, the course, the documentation, the reference."""
    from retina_kit.reporting.website.build import build_website
    from retina_kit.session import describe_papers

    made = build_website(output, output_root, describe_papers())
    text = f"{made.index}: {made.pages} pages, {made.names} functions and classes, {made.seconds:.0f} s"
    finish({"text": [text], "exit_code": 0} | dataclasses.asdict(made), as_json)
