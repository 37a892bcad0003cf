"""Builds a notebook from an experiment: a section for each of its tables and figures, and one for its claims."""

from pathlib import Path

from retina_kit.authoring.rendering import render
from retina_kit.errors import UsageError
from retina_kit.experiment_file import Paper, find_paper
from retina_kit.files import atomic_path
from retina_kit.papers.published import read_published
from retina_kit.teaching.exercises import read_exercises
from retina_kit.training.arm import SEGMENTS, Arm

FIRST_TABLE = 7  # the number of the section of the first table
MOST_EXAMPLES = 3  # arms whose predictions are shown next to one another
FIGURES = ("examples", "claims")  # what the draft can make in addition to a figure per table


def draft_notebook(paper: Paper) -> str:
    """Return the percent script of a notebook that runs a paper's experiment and shows all of its results.

    Raises UsageError if the experiment promises a table or figure that the draft cannot make.
    """
    arms = _arms_of(paper)
    _check_artifacts(paper)
    has_examples = "examples" in paper.artifacts.figures
    if has_examples and not any(arm.task in SEGMENTS for arm in arms):
        raise UsageError("the draft makes the figure 'examples' of arms that segment, and there is none")
    examples = FIRST_TABLE + len(paper.tables)
    shown = [arm for arm in arms if arm.task in SEGMENTS and arm.role != "pretraining"]
    comparable = [arm.scored_names[0] for arm in shown if (arm.data, arm.split) == (shown[0].data, shown[0].split)]
    return render(
        "notebook.py.jinja",
        paper=paper,
        citation=read_published(paper.files.published).paper.citation,
        first=arms[0].name,
        second=arms[min(1, len(arms) - 1)].name,
        trainable=next((arm.name for arm in arms if arm.parent is None and arm.recipe.num_steps(1)), arms[0].name),
        segmenters=comparable[:MOST_EXAMPLES],
        dice=any("dice" in table.metrics for table in paper.tables),
        numbers={"tables": FIRST_TABLE, "examples": examples, "claims": examples + has_examples},
        exercises=read_exercises(paper.files.exercises),
    )


def write_draft(folder: str | Path, output: str | Path | None = None) -> Path:
    """Write the draft of a notebook for the paper in a folder, and return its path; no file is overwritten."""
    paper = find_paper(folder)
    if not paper.files.is_own:
        raise UsageError(f"{paper.key} is a paper of the kit and has its notebook; give the folder of one of your own")
    target = Path(output) if output else paper.files.source
    if target.exists():
        raise UsageError(f"{target} already exists; give another file with --output, such as new.py")
    with atomic_path(target) as path:
        path.write_text(draft_notebook(paper), encoding="utf-8")
    return target


def _arms_of(paper: Paper) -> list[Arm]:
    """Return the arms of the lesson, those that are no pretraining first."""
    data = next(iter(paper.data))
    arms = paper.resolve_arms("lesson", paper.resolve_settings("lesson", data))
    if not arms:
        raise UsageError(f"{paper.key} has no arms in profile lesson, so there is no notebook to make")
    return sorted(arms, key=lambda arm: arm.role == "pretraining")


def _check_artifacts(paper: Paper) -> None:
    """Raise UsageError for a promised table or figure that the draft cannot make."""
    tables = {table.id for table in paper.tables}
    known = {"table": {"settings", *tables}, "figure": {*FIGURES, *tables}}
    for kind, names in (("table", paper.artifacts.tables), ("figure", paper.artifacts.figures)):
        for name in names:
            if name not in known[kind]:
                able = ", ".join(sorted(known[kind]))
                raise UsageError(f"the draft cannot make the {kind} {name!r}; it can make {able}. Add it by hand")
