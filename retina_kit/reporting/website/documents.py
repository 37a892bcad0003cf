"""Collects the Markdown pages of a checkout for the site; links keep working, whatever they lead to."""

import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

PLACES = ("*.md", "docs/**/*.md", "notebooks/**/*.md", "benchmarks/*.md")  # where a checkout keeps its pages
FIRST = "README.md"  # becomes the site's first page, index
PRIVATE = ("data", "outputs", "build")  # data may not be passed on, and runs are chosen by --output-root
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")
REMOTE_IMAGES = re.compile(r"!\[[^\]]*\]\(https?:[^)]*\)[ \t]*")
CODE = re.compile(r"(```.*?```|`[^`\n]*`)", re.DOTALL)
COMMENT = re.compile(r"<!--.*?-->\n?", re.DOTALL)


@dataclass
class Sources:
    """A folder that the site is made from: copies of a checkout's pages, under the same names."""

    root: Path
    folder: Path
    address: str = ""  # "account/name" of the repository, "" if it has none
    pages: set[str] = field(default_factory=set)  # names in the checkout that become pages

    def with_links(self, text: str, page: str) -> str:
        """Make the relative links of a page's Markdown lead to a page of the site, or else to a copy of the file.

        A link to a folder leads to the repository if that has an address; without one, its text stays. Images of other
        servers are left out, so that a page loads nothing.
        """
        parts = CODE.split(REMOTE_IMAGES.sub("", COMMENT.sub("", text)))
        parts[::2] = [LINK.sub(lambda link: self._link(link, page), part) for part in parts[::2]]
        return "".join(parts)

    def _link(self, link: re.Match[str], page: str) -> str:
        """Return a link of a page as the site needs it."""
        mark, text, target = link.groups()
        if re.match(r"[a-z]+:|#", target):
            return link[0]
        path, _, anchor = target.partition("#")
        name = os.path.normpath(Path(page).parent / path).replace(os.sep, "/")
        if name in self.pages:
            return f"[{text}](</{_in_site(name)}{'#' + anchor if anchor else ''}>)"
        place = self.root / name
        if not is_public(name):
            return text
        if place.is_dir() and f"{name}/README.md" in self.pages:
            return f"[{text}](</{name}/README.md>)"
        if place.is_file():
            copy = self.folder / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(place, copy)
            return f"{mark}[{text}](</{name}>)"
        return f"[{text}](https://github.com/{self.address}/tree/main/{name})" if self.address else text

    def write(self, page: str, text: str) -> None:
        """Write a page, whose links are made to work."""
        target = self.folder / _in_site(page)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(self.with_links(text, page), encoding="utf-8")


def is_public(name: str) -> bool:
    """Tell whether a link may lead to a file of the checkout: inside it, not hidden, and no data or results.

    >>> [is_public(name) for name in ("LICENSE", "../secret", "/etc/passwd", ".git/config", "data/eye.png")]
    [True, False, False, False, False]
    """
    parts = PurePosixPath(name).parts
    hidden = any(part.startswith(".") for part in parts)
    return bool(parts) and not hidden and not PurePosixPath(name).is_absolute() and parts[0] not in PRIVATE


def _in_site(page: str) -> str:
    """Return the name of a page's source in the site."""
    return "index.md" if page == FIRST else page


def pages_of(root: Path) -> list[str]:
    """List the Markdown pages of a checkout, by their names in it.

    >>> from retina_kit.files import kit_root
    >>> "docs/glossary.md" in pages_of(kit_root())
    True
    """
    found = {path for place in PLACES for path in root.glob(place)}
    return sorted(path.relative_to(root).as_posix() for path in found)
