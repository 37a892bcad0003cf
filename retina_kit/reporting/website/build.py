"""Builds the site with Sphinx, without a network: everything a page needs is in its folder."""

import errno
import importlib.util
import io
import os
import re
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

import retina_kit
from retina_kit.errors import KitError, SetupError
from retina_kit.files import atomic_path, kit_root
from retina_kit.reporting.badges import repository
from retina_kit.reporting.living.pages import SCRIPT, STYLE
from retina_kit.reporting.living.readable import reachable
from retina_kit.reporting.site import build_site
from retina_kit.reporting.website.documents import FIRST, Sources, pages_of
from retina_kit.reporting.website.reference import write_reference
from retina_kit.reporting.website.runs import PaperPage, copy_results, find_pages, link_to_pages, page_notebook

NEEDED = ("sphinx", "myst_nb", "furo")
SITE_STYLE = Path(__file__).parent / "site.css"
COURSE = ("notebooks/README.md", "docs/glossary.md", "notebooks/results/README.md")


@dataclass(frozen=True)
class Website:
    """A site that was built: its first page, how many pages and public names it has, and how long it took."""

    index: Path
    pages: int
    names: int
    seconds: float


def build_website(output: str | Path, output_root: str | Path, papers: Mapping[str, Mapping[str, Any]]) -> Website:
    """Build the site into the folder `output`, which it replaces, from a checkout and the runs below `output_root`.

    `papers` is what `build_site` takes. Raises SetupError if the site's packages or the checkout are missing, and
    KitError with Sphinx's words if a page cannot be made or a link leads nowhere.
    """
    began, output = time.perf_counter(), Path(output)
    root = kit_root()
    check_setup(root)
    if output.is_dir() and any(output.iterdir()) and not (output / "objects.inv").is_file():
        raise SetupError(f"{output} holds other files, which the site would replace; choose another --output")
    with tempfile.TemporaryDirectory(prefix="retina-kit-site-") as folder, atomic_path(output) as target:
        sources = Sources(root, Path(folder) / "source", repository(), set(pages_of(root)))
        pages = find_pages(root, Path(output_root))
        names = write_sources(sources, pages)
        has_runs = any(page.run for page in pages)
        if has_runs:
            results = Path(folder) / "extra" / "results"
            copy_results(pages, Path(output_root), results)
            link_to_pages(build_site(results, papers), pages)
        _run_sphinx(sources.folder, target, Path(folder))
        shutil.rmtree(target / "_sources", ignore_errors=True)
        written = list(target.rglob("*.html"))
        for page in written:
            page.write_text(reachable(page.read_text(encoding="utf-8")), encoding="utf-8")
    return Website(output / "index.html", len(written), names, time.perf_counter() - began)


def check_setup(root: Path) -> None:
    """Raise SetupError unless there are the packages that the site needs, and a checkout to make it from."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise SetupError(f"the site needs {', '.join(missing)}; install them with pip install 'retina-kit[site]'")
    if not (root / FIRST).is_file():
        raise SetupError(f"{root} holds no README.md; build the site in a checkout of the kit")


def write_sources(sources: Sources, pages: list[PaperPage]) -> int:
    """Write everything that Sphinx reads, and return how many public functions and classes the reference has."""
    sources.folder.mkdir(parents=True)
    markdown = pages_of(sources.root)
    sources.pages |= {page.name for page in pages} | {f"notebooks/{path.name}" for path in _notebooks(sources.root)}
    for name in markdown:
        text = (sources.root / name).read_text(encoding="utf-8")
        sources.write(name, text + _contents(markdown, pages) if name == FIRST else text)
    for page in pages:
        notebook = page_notebook(page, sources.root / "notebooks" / "results")
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = sources.with_links(cell.source, page.name)
        target = sources.folder / page.name
        target.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, target)
    static = sources.folder / "_static"
    static.mkdir()
    (static / "living.js").write_text(SCRIPT, encoding="utf-8")
    (static / "site.css").write_text(STYLE + SITE_STYLE.read_text(encoding="utf-8"), encoding="utf-8")
    offered = [name for name in retina_kit.__all__ if not name.startswith("_")]
    return write_reference(sources.folder, {name: getattr(retina_kit, name).__module__ for name in offered})


def _notebooks(root: Path) -> list[Path]:
    """List the kit's notebooks."""
    return sorted((root / "notebooks").glob("[0-9]*.ipynb"))


def _contents(markdown: list[str], pages: list[PaperPage]) -> str:
    """Return the tables of contents of the whole site, for the end of the first page."""
    rest = [name for name in markdown if name not in (FIRST, *COURSE)]
    groups = {
        "Notebooks": [page.name for page in pages],
        "Course": [name for name in COURSE if name in markdown],
        "Documentation": rest,
        "Library": ["api/index"],
    }
    runs = any(page.run for page in pages)
    results = '\n\n<p><a href="results/index.html">All tables, figures and verdicts of this site on one page</a></p>\n'
    blocks = [f"```{{toctree}}\n:hidden:\n:caption: {head}\n\n" + "\n".join(f"/{name}" for name in names) + "\n```"
              for head, names in groups.items()]  # fmt: skip
    return results * runs + "\n\n" + "\n\n".join(blocks) + "\n"


def _run_sphinx(source: Path, target: Path, folder: Path) -> None:
    """Run Sphinx; its warnings are errors, because each of them is a broken link or a damaged page."""
    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace, patch_docutils

    from retina_kit.reporting.website.sphinx_settings import settings

    words, extra = io.StringIO(), folder / "extra"
    chosen = settings(retina_kit.__version__, extra if extra.is_dir() else None)
    conf = [f"{name} = {value!r}" for name, value in chosen.items()]
    (source / "conf.py").write_text("\n".join(conf), encoding="utf-8")
    try:
        with patch_docutils(), docutils_namespace():
            application = Sphinx(
                source, source, target, folder / "doctrees", "html",
                status=None, warning=words, parallel=min(4, os.cpu_count() or 1),
            )  # fmt: skip
            application.build(force_all=True)
    except OSError:
        raise
    except Exception as error:  # extensions raise their own for a page that they do not understand
        raise KitError(f"the site could not be built: {error}") from error
    check_words(words.getvalue(), source)


def check_words(words: str, source: Path) -> None:
    """Raise KitError with the warnings of Sphinx, if there are any; OSError if one of them is about a full disk."""
    problems = [line for line in re.sub(r"\x1b\[[0-9;]*m", "", words).splitlines() if line.strip()]
    full = os.strerror(errno.ENOSPC)
    if any(full in line for line in problems):  # Sphinx only warns about a page that it could not write
        raise OSError(errno.ENOSPC, full)
    if problems:
        listed = "\n".join(line.replace(f"{source}{os.sep}", "") for line in problems[:20])
        raise KitError(f"the site has {len(problems)} problems:\n{listed}")
