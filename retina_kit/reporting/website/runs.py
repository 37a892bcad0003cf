"""The notebooks of the site: executed ones of an output tree, and for a paper without any, the notebook as it is."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
from nbformat import NotebookNode

from retina_kit.errors import DataError
from retina_kit.reporting.badges import TAG
from retina_kit.reporting.export import without_widgets
from retina_kit.reporting.living.pages import as_living
from retina_kit.reporting.notebook import tags_of
from retina_kit.reporting.saved_run import read_results, read_table
from retina_kit.reporting.units import estimate

KEPT_FILES = ("tables", "figures", "claims.csv", "results.json")  # of a run, next to the site's own pages
LEFT_OUT = {TAG, "colab", "injected-parameters"}
ORDER = {"paper": 0, "lesson": 1, "smoke": 2}  # the largest run of a paper comes first


@dataclass(frozen=True)
class PaperPage:
    """A page of the site: a notebook, where its run is ("" if it was not run), and what the run was."""

    name: str  # in the site's sources, such as notebooks/01_....ipynb
    notebook: Path
    run: str = ""  # <paper>/<profile>-<data>
    about: str = ""


def find_pages(root: Path, output_root: Path) -> list[PaperPage]:
    """List the site's notebooks: for each of the kit's, the runs below `output_root`, the largest first, or itself.

    The runs of your own papers follow.
    """
    folders = sorted(path.parent for path in output_root.glob("*/*/results.json"))
    runs = [read_results(folder) | {"folder": folder} for folder in folders]
    runs = [run for run in runs if (run["folder"] / "notebook.ipynb").is_file()]
    runs.sort(key=lambda run: (ORDER.get(run["profile"], 9), run["data"], len(run["folder"].name)))
    pages = []
    for source in sorted((root / "notebooks").glob("[0-9]*.ipynb")):
        mine = [run for run in runs if run["paper"] == source.stem.split("_")[-1]]
        pages += [_page(run, source.stem, first=number == 0) for number, run in enumerate(mine)]
        pages += [] if mine else [PaperPage(f"notebooks/{source.name}", source)]
    known = {page.run for page in pages}
    return pages + [page for run in runs if (page := _page(run, run["paper"], first=False)).run not in known]


def _page(run: dict[str, Any], stem: str, *, first: bool) -> PaperPage:
    """Return the page of a run; the first one of a paper has the name of the paper's notebook."""
    setting = run["folder"].name
    about = f"profile {run['profile']}, {run['data']} data, seeds {', '.join(map(str, run['seeds']))}"
    name = f"notebooks/{stem}.ipynb" if first else f"notebooks/{stem}_{setting}.ipynb"
    return PaperPage(name, run["folder"] / "notebook.ipynb", f"{run['folder'].parent.name}/{setting}", about)


def page_notebook(page: PaperPage, results: Path) -> NotebookNode:
    """Return the notebook of a page: what it is on top, living outputs, no cells that only serve a hosted notebook."""
    notebook = read_notebook(page.notebook)
    notebook.cells = [cell for cell in notebook.cells if not LEFT_OUT & set(tags_of(cell))]
    paper = page.notebook.stem.split("_")[-1]
    notebook.cells.insert(1, nbformat.v4.new_markdown_cell(_about(page) if page.run else _kept(paper, results)))
    notebook.metadata = nbformat.from_dict({"language_info": {"name": "python", "pygments_lexer": "python3"}})
    return notebook


def read_notebook(path: Path) -> NotebookNode:
    """Read an executed notebook with its outputs living; DataError if it is none, or if an output is damaged."""
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        living = as_living(without_widgets(notebook))
        nbformat.writes(living).encode()
        return living
    except Exception as error:  # the state of a widget may hold anything
        raise DataError(f"{path} is not a notebook that a run wrote ({error}); rerun it with retina-kit run") from error


def _about(page: PaperPage) -> str:
    """Tell what run a page shows."""
    smoke = " It only checks that everything runs: ignore the scores." if "profile smoke" in page.about else ""
    how = "Controls on this page work without Python; to change the experiment, start `retina-kit lab`."
    return f"*Already run: {page.about}.{smoke} {how}*"


def _kept(paper: str, results: Path) -> str:
    """Return the kept verdicts of a paper as Markdown, for a notebook that was not run."""
    lines = ["*Not run on this page. Kept results of this paper:*", ""]
    for path in sorted(results.glob(f"{paper}_*_claims.csv")):
        _, profile, data = path.stem.removesuffix("_claims").split("_")[:3]
        claims = read_table(path)
        lines += [f"| claim (profile {profile}, {data} data) | kind | estimate | verdict |", "|---|---|---|---|"]
        lines += [_row(claim) for claim in claims.to_dict("records")]
        lines.append("")
    return "\n".join(lines) if len(lines) > 2 else "*Not run on this page, and no results are kept.*"


def _row(claim: dict[str, Any]) -> str:
    """Return one claim as a row of a Markdown table."""
    found = "-" if pd.isna(claim["estimate"]) else estimate(claim["estimate"], claim["ci_low"], claim["ci_high"])
    return f"| {claim['statement'].replace('|', ',')} | {claim['kind']} | {found} | {claim['verdict']} |"


def copy_results(pages: list[PaperPage], output_root: Path, target: Path) -> None:
    """Copy what the front page of the results shows and links to."""
    for page in pages:
        for name in KEPT_FILES if page.run else ():
            source, copy = output_root / page.run / name, target / page.run / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, copy)
            elif source.is_file():
                shutil.copyfile(source, copy)


def link_to_pages(front_page: Path, pages: list[PaperPage]) -> None:
    """Let the front page of the results, <site>/results/index.html, lead to the notebooks' pages of the site."""
    text = front_page.read_text(encoding="utf-8")
    for page in pages:
        if page.run:
            text = text.replace(
                f'href="{page.run}/notebook.html"', f'href="../{Path(page.name).with_suffix(".html").as_posix()}"'
            )
    front_page.write_text(text, encoding="utf-8")
