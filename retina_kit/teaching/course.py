"""What a teacher hands out: the students' notebooks, the instructor's with the solutions, slides, and assignments."""

from pathlib import Path

from retina_kit.errors import UsageError
from retina_kit.files import kit_root
from retina_kit.reporting.notebook import build_notebook

KINDS = ("student", "instructor", "slides", "otter")


def sources():
    """Return the notebooks' sources, in the course's order."""
    return sorted((kit_root() / "notebooks").glob("[0-9]*.py"))


def build_course(kind, output=None, *, output_root="outputs"):
    """Write every notebook of a kind below `output` (build/<kind> by default), and return the paths.

    "student" leaves the solutions out, "instructor" keeps them, "slides" writes one HTML file a notebook, with the
    figures of its newest run below `output_root` where there is one, "otter" writes what `otter assign` takes.
    """
    if kind not in KINDS:
        raise UsageError(f"a course has no {kind!r}; it has {', '.join(KINDS)}")
    folder = Path(output) if output else Path("build") / kind
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--output {folder} is a file; name a folder, or one that does not exist yet")
    if kind == "slides":
        return [write_slides(source, folder, output_root) for source in sources()]
    if kind == "otter":
        from retina_kit.teaching.otter import build_assignment

        return [build_assignment(source, folder / f"{source.stem}.ipynb") for source in sources()]
    return [
        build_notebook(source, folder / f"{source.stem}.ipynb", solutions=kind == "instructor") for source in sources()
    ]


def write_slides(source, folder, output_root):
    """Write the slides of one notebook, from its newest executed copy or from its source."""
    from retina_kit.reporting.slides import export_slides

    paper = source.stem.split("_")[-1]
    runs = sorted(Path(output_root).glob(f"{paper}/*/notebook.ipynb"), key=lambda path: path.stat().st_mtime)
    notebook = runs[-1] if runs else source.with_suffix(".ipynb")
    return export_slides(notebook, folder / f"{source.stem}.slides.html")
