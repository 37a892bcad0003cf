"""Where the files of a paper are: in the kit's own folders, or all in one folder of your own.

FOLDER/experiment.py      what is trained
FOLDER/published.toml     what the paper reports
FOLDER/<notebook>.py      the notebook, as a percent script; or FOLDER/<notebook>.ipynb alone
FOLDER/exercises.toml     exercises, if there are any
"""

from dataclasses import dataclass
from pathlib import Path

from retina_kit.errors import UsageError
from retina_kit.files import kit_root

EXPERIMENT = "experiment.py"  # the name of the experiment file in a folder of your own


@dataclass(frozen=True)
class PaperFiles:
    """The files of one paper; `experiment` is its experiment file, `notebook` the name of its notebook.

    >>> files = PaperFiles("mine", Path("my_paper/experiment.py"), "notebook")
    >>> files.published.as_posix(), files.is_own
    ('my_paper/published.toml', True)
    """

    key: str
    experiment: Path
    notebook: str

    @property
    def is_own(self) -> bool:
        """Whether this is a paper of your own, in a folder of its own."""
        return self.experiment.name == EXPERIMENT

    @property
    def folder(self) -> Path:
        """The folder that holds the notebook."""
        return self.experiment.parent if self.is_own else self.experiment.parents[1]

    @property
    def source(self) -> Path:
        """The notebook's percent script."""
        return self.folder / f"{self.notebook}.py"

    @property
    def published(self) -> Path:
        """The file of published values."""
        if self.is_own:
            return self.folder / "published.toml"
        return kit_root() / "data_manifests" / "published" / f"{self.key}.toml"

    @property
    def exercises(self) -> Path:
        """The file of exercises; it need not exist."""
        return self.folder / "exercises.toml" if self.is_own else self.folder / "exercises" / f"{self.key}.toml"

    def newest_notebook(self) -> Path:
        """Return the notebook to execute: the script or the .ipynb, whichever was edited last.

        The kit's own notebooks are always built. Raises UsageError if there is none.
        """
        built = self.source.with_suffix(".ipynb")
        if not self.is_own:
            return built
        found = [path for path in (self.source, built) if path.is_file()]
        if not found:
            raise UsageError(
                f"{self.folder} has no notebook {self.source.name}; make it with: retina-kit paper notebook"
            )
        return max(found, key=lambda path: path.stat().st_mtime)


def is_paper_folder(path: str | Path) -> bool:
    """Tell whether a path is a folder with an experiment file."""
    return (Path(path) / EXPERIMENT).is_file()
