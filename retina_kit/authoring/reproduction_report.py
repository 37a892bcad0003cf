"""Writes the reproduction report of a finished run, in the shape of the MLRC and ReScience templates."""

import itertools
from pathlib import Path
from typing import Any

from retina_kit.authoring.author_words import place_of, read_words, stamped, was_edited, with_leftovers
from retina_kit.authoring.rendering import render
from retina_kit.authoring.report_facts import command_of, gather_facts
from retina_kit.comparison.finished_runs import read_finished
from retina_kit.errors import UsageError
from retina_kit.experiment import Experiment
from retina_kit.files import atomic_path
from retina_kit.reporting.saved_run import RESULTS


def write_report(paper: str | Path, output: str | Path | None = None, **options: Any) -> tuple[Path, Path]:
    """Write report.md and report.html of a paper's run, and return their paths.

    `options` are those of `Experiment` and choose the run. The report of your own paper goes into its folder, that of
    a paper of the kit next to its results; `output` is another folder. The words in the author's places of an earlier
    report stay; if its other text was edited, that report is kept as report.before.md, or as report.before-2.md and so
    on if there is one. Raises UsageError if the run does not exist yet.
    """
    experiment = Experiment(paper, **options)
    if not (experiment.folder / RESULTS).is_file():
        raise UsageError(f"there is no finished run in {experiment.folder}; make it with: {command_of(experiment)}")
    files = experiment.definition.files
    folder = Path(output) if output else files.folder if files.is_own else experiment.folder.parent
    target = folder / "report.md"
    earlier = target.read_text(encoding="utf-8") if target.is_file() else ""
    words = read_words(earlier)
    facts = gather_facts(experiment, read_finished(experiment.folder))
    text = stamped(with_leftovers(render("report.md.jinja", facts=facts, words=place_of(words)), words))
    if earlier and was_edited(earlier):
        _write(_unused(folder), earlier)
    _write(target, text)
    return target, _write_html(folder / "report.html", text, f"[Re] {facts['title']}")


def _unused(folder: Path) -> Path:
    """Return the first of report.before.md, report.before-2.md, ... that a folder does not have."""
    names = itertools.chain(["report.before.md"], (f"report.before-{number}.md" for number in itertools.count(2)))
    return next(path for name in names if not (path := folder / name).exists())


def _write(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _write_html(path: Path, text: str, title: str) -> Path:
    """Write the report as a page that loads nothing."""
    from retina_kit.reporting.export import markdown_page

    _write(path, markdown_page(text, title))
    return path
