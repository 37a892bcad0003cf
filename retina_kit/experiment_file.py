"""Experiment files: what each paper trains, in typed Python, one file per paper.

`notebooks/experiments/<paper>.py` makes one `Paper`: its data, its settings, a function that yields its arms, its
tables and its claims. A setting has the paper's value and the lesson's and smoke's; a value of one data choice
replaces them.
"""

import functools
import math
import tomllib
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from types import CodeType
from typing import Any, Literal

from pydantic import ValidationError
from pydantic.dataclasses import dataclass

from retina_kit.data.augment import Augmentation
from retina_kit.data.splits import Split
from retina_kit.errors import KitError, UsageError, did_you_mean, unknown_name
from retina_kit.evaluation.claims import Claim
from retina_kit.experiment_check import check_paper
from retina_kit.files import kit_root
from retina_kit.models.build import network
from retina_kit.paper_files import EXPERIMENT, PaperFiles, is_paper_folder
from retina_kit.papers.compare import Table
from retina_kit.schema import STRICT, Names, explain
from retina_kit.training.arm import Arm, Data, Evaluation, Start
from retina_kit.training.recipe import Recipe

__all__ = [
    "Arm",
    "Artifacts",
    "Augmentation",
    "ByProfile",
    "Claim",
    "Data",
    "DataSource",
    "Evaluation",
    "Paper",
    "Recipe",
    "Setting",
    "Settings",
    "Split",
    "Start",
    "Table",
    "network",
]

DATA_CHOICES = ("synthetic", "public", "paper")
UNSET: Any = object()  # None is a value that a setting may have


@dataclass(frozen=True, config=STRICT, kw_only=True)
class ByProfile:
    """A setting's values on one data choice that differ by profile; a profile without one has the general value."""

    paper: Any = UNSET
    lesson: Any = UNSET
    smoke: Any = UNSET


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Setting:
    """One row of the settings table.

    `paper` is the paper's value, or ours if `ours` is set because the paper does not report one; `where` is the place
    in the paper. `on_synthetic`, `on_public`, `on_paper` and `on_own` (a data set of your own as the target) replace
    the profile's value, as one value or `ByProfile`.
    """

    paper: Any
    what: str
    where: str = ""
    ours: bool = False
    lesson: Any = UNSET
    smoke: Any = UNSET
    on_synthetic: Any = UNSET
    on_public: Any = UNSET
    on_paper: Any = UNSET
    on_own: Any = UNSET

    def value(self, profile: str, data: str, instead_of: str = "") -> Any:
        """Return the value for a profile and a data choice; without one for `data`, that for `instead_of` counts.

        >>> Setting(paper=1000, lesson=100, on_public=ByProfile(lesson=250), what="steps").value("lesson", "public")
        250
        """
        general = self.paper if getattr(self, profile) is UNSET else getattr(self, profile)
        for choice in (data, instead_of):
            found = getattr(self, f"on_{choice}") if choice else UNSET
            if isinstance(found, ByProfile):
                own = getattr(found, profile)
                return general if own is UNSET else own
            if found is not UNSET:
                return found
        return general


class Settings:
    """The settings of one run as attributes, `settings.steps`; a name that does not exist is an error."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def __getattr__(self, name: str) -> Any:
        """Return a setting's value."""
        if name.startswith("_") or name not in self._values:
            raise UsageError(f"no setting is called {name!r}{did_you_mean(name, self._values)}")
        return self._values[name]


@dataclass(frozen=True, config=STRICT, kw_only=True)
class DataSource:
    """One data choice of a paper: the data sets it needs on the disk, and a sentence that describes it."""

    description: str
    packs: Names = ()


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Artifacts:
    """The tables and figures that a finished run of the notebook leaves, by their ids."""

    tables: Names
    figures: Names


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Paper:
    """Everything that the kit reproduces of one paper."""

    key: str
    title: str
    notebook: str
    question: str
    data: dict[Literal["synthetic", "public", "paper"], DataSource]
    settings: dict[str, Setting]
    arms: Callable[[Any, str], Iterable[Arm]]  # (settings, profile)
    tables: tuple[Table, ...]
    claims: tuple[Claim, ...]
    artifacts: Artifacts
    file: str = ""

    @property
    def files(self) -> PaperFiles:
        """Where the paper's files are."""
        return PaperFiles(self.key, Path(self.file), self.notebook)

    def resolve_settings(
        self, profile: str, data: str, overrides: dict[str, Any] | None = None, *, instead_of: str = ""
    ) -> dict[str, Any]:
        """Return every setting's value for a profile and a data choice; `overrides` replace them, typed and checked.

        A target of your own (data "own") takes all else from the data choice `instead_of`.
        """
        values = {name: setting.value(profile, data, instead_of) for name, setting in self.settings.items()}
        for name, value in (overrides or {}).items():
            if name not in values:
                raise unknown_name("parameter", name, values)
            values[name] = typed_like(name, value, values[name])
        return values

    def resolve_arms(self, profile: str, values: dict[str, Any]) -> list[Arm]:
        """Return the arms of a profile with these settings; an error in the experiment file names its line."""
        with_line = _errors_with_line(Path(self.file or f"{self.key}.py"))
        arms: list[Arm] = with_line(lambda: list(self.arms(Settings(values), profile)))
        names = [arm.name for arm in arms]
        for name in names:
            if names.count(name) > 1:
                raise UsageError(f"{self.key}: two arms are called {name!r}")
        return arms


def experiments_folder() -> Path:
    """Return the folder of the kit's experiment files."""
    return kit_root() / "notebooks" / "experiments"


def list_papers() -> list[str]:
    """List the papers that have an experiment file, in the order of their notebooks."""
    papers = [path.stem for path in experiments_folder().glob("*.py")]
    notebooks = sorted(path.stem for path in (kit_root() / "notebooks").glob("[0-9]*.py"))
    place = {paper: k for k, name in enumerate(notebooks) for paper in papers if name.endswith(f"_{paper}")}
    return sorted(papers, key=lambda paper: (place.get(paper, len(notebooks)), paper))


def find_paper(paper: str | Path) -> Paper:
    """Load a paper of the kit by its key, or a paper of your own by its folder; a file is read again if it changed.

    Raises UsageError if there is no such paper, or if your own has the key of one of the kit's.
    """
    if str(paper) in list_papers():
        return _load_once(experiments_folder() / f"{paper}.py", 0)
    if not is_paper_folder(paper):
        if Path(paper).is_dir():
            raise UsageError(f"{paper} has no {EXPERIMENT}, so it is not the folder of a paper")
        raise unknown_name("paper", paper, list_papers())
    file = Path(paper) / EXPERIMENT
    found = _load_once(file, file.stat().st_mtime_ns)
    if found.key in list_papers():
        raise UsageError(f"{file}: {found.key} is a paper of the kit; choose another key")
    return found


@functools.cache
def _load_once(file: Path, changed: int) -> Paper:
    """Load an experiment file that changed at this time."""
    return load_paper(file)


def load_paper(path: str | Path) -> Paper:
    """Run an experiment file and return the one `Paper` that it makes; an error names the file and the line."""
    path = Path(path)
    namespace: dict[str, Any] = {"__name__": f"experiment_{path.stem}", "__file__": str(path)}
    with_line = _errors_with_line(path)
    code = with_line(lambda: _compile(path))
    with_line(lambda: exec(code, namespace))  # noqa: S102  the user's own experiment
    found = [value for value in namespace.values() if isinstance(value, Paper)]
    if len(found) != 1:
        raise UsageError(f"{path.name} must make one Paper, not {len(found)}")
    object.__setattr__(found[0], "file", str(path))
    with_line(lambda: check_paper(found[0], code, found[0].files.source))
    return found[0]


def _compile(path: Path) -> CodeType:
    try:
        return compile(path.read_text(encoding="utf-8"), str(path), "exec")
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise UsageError(f"{path.name}{f', line {line}' if line else ''}: {error}") from error


def _errors_with_line(path: Path) -> Callable[[Callable[[], Any]], Any]:
    """Return a caller that turns what goes wrong in an experiment file into a UsageError with its line."""

    def call(action: Callable[[], Any]) -> Any:
        try:
            return action()
        except ValidationError as error:
            raise UsageError(f"{_line_of(error, path)}: {explain(error, _kind(error.title))}") from error
        except KitError as error:
            where = _line_of(error, path)
            named = str(error).startswith(path.name)  # by a call inside this one
            raise type(error)(str(error) if named else f"{where}: {error}") from error
        except Exception as error:  # whatever a typing mistake in Python raises, such as a NameError
            raise UsageError(f"{_line_of(error, path)}: {type(error).__name__}: {error}") from error

    return call


def _kind(title: str) -> Any:
    """Return the settings class that a validation error is about, None if it is none of an experiment file."""
    return globals().get(title) if title in __all__ or title == "Paper" else None


def _line_of(error: BaseException, path: Path) -> str:
    """Return "file, line N" of the innermost frame of an error that lies in an experiment file."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{path.name}, line {lines[-1]}" if lines else path.name


def typed_like(name: str, given: Any, default: Any) -> Any:
    """Return a value that the user gave, as text or as a literal, in the type of the default.

    >>> typed_like("learning_rate", "1", 0.01)
    1.0
    """
    if isinstance(given, str) and not isinstance(default, str):
        try:
            given = tomllib.loads(f"value = {given}")["value"]
        except (ValueError, RecursionError) as error:
            raise UsageError(f"parameter {name}={given!r} must be {_in_words(default)}, such as {default!r}") from error
    if isinstance(default, float) and isinstance(given, int) and not isinstance(given, bool) and abs(given) < 2**1000:
        given = float(given)
    if isinstance(given, list) and isinstance(default, list) and len({type(item) for item in default}) == 1:
        return [typed_like(f"{name}[{place}]", item, default[0]) for place, item in enumerate(given)]
    if type(given) is not type(default) or (isinstance(given, float) and not math.isfinite(given)):
        raise UsageError(f"parameter {name}={given!r} must be {_in_words(default)}, such as {default!r}")
    return given


def _in_words(value: Any) -> str:
    """Name the type of a value."""
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "text", list: "a list"}
    return names.get(type(value), "a table")
