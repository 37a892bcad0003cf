"""Links from a notebook to Colab, Kaggle and Binder, all made from one setting: the repository's address."""

import importlib.metadata
import re
import tomllib
from urllib.parse import quote

import nbformat
from nbformat import NotebookNode

from retina_kit.errors import SetupError
from retina_kit.files import kit_root

TAG = "badges"
UPLOADED = "./retina-kit"  # what a notebook installs on Colab if the repository has no address: an uploaded copy
GITHUB = re.compile(r"https://github\.com/([A-Za-z0-9-]+/[A-Za-z0-9._-]+?)(\.git)?/?")


def repository() -> str:
    """Return "account/name" of the kit's GitHub repository, "" if none is set.

    The setting is `Repository` under `[project.urls]` in pyproject.toml; an installed kit has it in its metadata.
    """
    settings = kit_root() / "pyproject.toml"
    if settings.is_file():
        urls = tomllib.loads(settings.read_text(encoding="utf-8"))["project"].get("urls", {})
    else:
        lines = _project_urls()
        urls = dict(line.split(", ", 1) for line in lines)
    return github_name(urls.get("Repository", ""))


def _project_urls() -> list[str]:
    """Return the lines "name, address" of an installed kit's metadata; none if it is not installed."""
    try:
        return importlib.metadata.metadata("retina-kit").get_all("Project-URL") or []
    except importlib.metadata.PackageNotFoundError:
        return []


def github_name(address: str) -> str:
    """Return "account/name" of a GitHub address, "" of an empty one; SetupError for any other.

    >>> github_name("https://github.com/some-account/retina-kit.git")
    'some-account/retina-kit'
    """
    found = GITHUB.fullmatch(address)
    if address and not found:
        expected = "https://github.com/ACCOUNT/NAME, the only ones that Colab and Binder open"
        raise SetupError(f"pyproject.toml: project.urls.Repository is {address!r}; expected {expected}")
    return found.group(1) if found else ""


def with_badges(notebook: NotebookNode, name: str, address: str) -> NotebookNode:
    """Add a cell of badges on top, and let the cell for Colab install the kit from there; nothing without an address.

    `name` is the notebook's file name without its suffix, `address` the repository's "account/name".
    """
    if not address:
        return notebook
    path = f"github.com/{address}/blob/main/notebooks/{name}.ipynb"
    colab = f"https://colab.research.google.com/{path.replace('.com', '', 1)}"
    binder = f"https://mybinder.org/v2/gh/{address}/HEAD?labpath={quote(f'notebooks/{name}.ipynb', safe='')}"
    kaggle = f"https://kaggle.com/kernels/welcome?src=https://{path}"
    badges = [
        f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({colab})",
        f"[![Open in Kaggle](https://kaggle.com/static/images/open-in-kaggle.svg)]({kaggle})",
        f"[![Open in Binder](https://mybinder.org/badge_logo.svg)]({binder})",
    ]
    notebook.cells.insert(0, nbformat.v4.new_markdown_cell("\n".join(badges), metadata={"tags": [TAG]}))
    for cell in notebook.cells:
        if "colab" in cell.metadata.get("tags", []):
            cell.source = cell.source.replace(UPLOADED, f"git+https://github.com/{address}")
    return notebook
