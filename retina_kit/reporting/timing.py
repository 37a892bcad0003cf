"""How many minutes the notebooks take, as measured: notebooks/results/timing.toml, for the README and the lecturer."""

import re
import tomllib
from pathlib import Path

from pydantic.dataclasses import dataclass as settings

from retina_kit.errors import DataError
from retina_kit.files import kit_root
from retina_kit.schema import STRICT, Positive, parse


@settings(frozen=True, config=STRICT)
class Timing:
    """Minutes per paper, and of all papers in one command, in one precision on one processor."""

    precision: str
    processor: str
    instructions: str  # the vector instructions that it has
    cores: Positive
    seeds: Positive
    minutes: dict[str, float]
    all_papers: float

    def of(self, paper: str) -> str:
        """Write the minutes of a paper."""
        return f"{self.minutes[paper]:g} minutes in {self.precision} ({self.machine})"

    @property
    def machine(self) -> str:
        """The machine in words."""
        cores = "1 core" if self.cores == 1 else f"{self.cores} cores"
        return f"{cores}, {self.processor}, {self.instructions}"


@settings(frozen=True, config=STRICT)
class TimingFile:
    """The content of timing.toml."""

    measured: tuple[Timing, ...]


def read_timing(path: str | Path | None = None) -> tuple[Timing, ...]:
    """Read what was measured; DataError, with file and field, for what does not fit."""
    path = Path(path or kit_root() / "notebooks" / "results" / "timing.toml")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"{path}: {error}") from error
    return parse(TimingFile, content, path.name, DataError).measured


def time_of_paper(paper: str) -> str:
    """Write how long a paper takes with all arms, "" if it was not measured."""
    known = [timing for timing in read_timing() if paper in timing.minutes]
    times = "; ".join(f"{timing.of(paper)}, {timing.seeds} seeds" for timing in known)
    return f"All arms: {times}. With one seed it takes about a third of it." if known else ""


def with_minutes(table: str, measured: tuple[Timing, ...]) -> str:
    """Return a Markdown table of notebooks (link, data, what you learn) with the minutes of each measurement.

    >>> row = "| [01 First](notebooks/01_first_hu2018.ipynb) | OCT | Dice | 7 |"
    >>> times = (Timing("float32", "EPYC", "AVX2", 2, 3, {"hu2018": 3.5}, 4),)
    >>> print(with_minutes("| notebook | data | what |\\n|---|---|---|\\n" + row, times))
    | notebook | data | what | minutes, float32, 2 cores, EPYC, AVX2 |
    |---|---|---|---|
    | [01 First](notebooks/01_first_hu2018.ipynb) | OCT | Dice | 3.5 |
    | all, one command | | each notebook is executed while the next paper trains | 4 |
    """
    rows: list[str] = []
    for line in table.strip().splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split("|")][:3]
        paper = re.search(r"_([a-z]+\d+)\.ipynb", line)
        if paper:
            cells += [f"{timing.minutes[paper[1]]:g}" for timing in measured]
        elif not rows:
            cells += [f"minutes, {timing.precision}, {timing.machine}" for timing in measured]
        if (paper or not rows) and len(cells) > 3:
            rows.append(f"| {' | '.join(cells)} |")
    total = " | ".join(f"{timing.all_papers:g}" for timing in measured)
    last = f"| all, one command | | each notebook is executed while the next paper trains | {total} |"
    return "\n".join([rows[0], "|---" * (3 + len(measured)) + "|", *rows[1:], last])
