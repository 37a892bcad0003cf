"""Compares two finished runs of one paper: exact differences, and paired differences of their scores."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from retina_kit.comparison.differences import arm_differences, list_differences
from retina_kit.comparison.finished_runs import FinishedRun, find_finished, is_output_root, list_finished
from retina_kit.errors import KitError, UsageError
from retina_kit.evaluation.paired import differences_per_image, paired_difference
from retina_kit.evaluation.scoring import with_class_names
from retina_kit.files import atomic_path

NUMBERS = ("n_images", "n_patients", "n_seeds")
SCORE_COLUMNS = ["arm", "metric", "a", "b", "difference", "ci_low", "ci_high", "p_value", *NUMBERS, "note"]
IMAGE_COLUMNS = ["arm", "metric", "id", "patient", "a", "b", "difference"]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two finished runs of one paper, a and b; a difference of scores is b minus a.

    `differences` has a row per setting, code version, data set or machine that differs; `arms` a row per setting of an
    arm that differs; `scores` a row per arm and metric; `images` a row per arm and image. `same_runs` are the arms
    whose runs are the very same, `not_compared` gives the reason for each arm that has no scores here.
    """

    a: FinishedRun
    b: FinishedRun
    differences: pd.DataFrame
    arms: pd.DataFrame
    same_runs: tuple[str, ...]
    not_compared: dict[str, str]
    scores: pd.DataFrame
    images: pd.DataFrame

    @property
    def settings(self) -> list[str]:
        """The names of the settings that differ."""
        return self.differences.loc[self.differences["kind"] == "settings", "name"].tolist()

    def __str__(self) -> str:
        """The comparison as plain text."""
        lines = [f"a: {self.a.folder}", f"b: {self.b.folder}"]
        for kind in ("settings", "code", "data", "machine"):
            rows = self.differences[self.differences["kind"] == kind]
            found = [f"  {row['name']}: {row['a']} -> {row['b']}" for row in rows.to_dict("records")]
            lines += [f"{kind}: {len(found) or 'no'} difference{'s' * (len(found) != 1)}", *found]
        for setting, rows in self.arms.groupby("setting", sort=False):
            lines.append(f"  {setting} of {', '.join(rows['arm'])}")
        if self.same_runs:
            lines.append(f"the same runs in both: {', '.join(self.same_runs)}")
        lines += [f"not compared: {arm}, {reason}" for arm, reason in self.not_compared.items()]
        if len(self.scores):
            lines.append("b minus a, with its 95 % interval:")
            shown = self.scores[["arm", "metric", "a", "b", "difference", "ci_low", "ci_high", *NUMBERS]]
            lines.append(shown.to_string(index=False, float_format="{:+.4f}".format))
            lines += [f"note: {note}" for note in self.scores["note"].unique() if note]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as JSON data."""
        return {
            "a": str(self.a.folder),
            "b": str(self.b.folder),
            "differences": self.differences.to_dict("records"),
            "arms": self.arms.to_dict("records"),
            "scores": self.scores.astype(object).where(self.scores.notna(), None).to_dict("records"),
            "same_runs": list(self.same_runs),
            "not_compared": self.not_compared,
        }

    def _repr_html_(self) -> str:
        """The tables, for a notebook."""
        return self.differences.to_html(index=False) + self.scores.round(4).to_html(index=False)

    def save(self, folder: str | Path) -> Path:
        """Write differences.csv, arms.csv, scores.csv and images.csv to a folder, and return it."""
        folder = Path(folder)
        for name in ("differences", "arms", "scores", "images"):
            with atomic_path(folder / f"{name}.csv") as path:
                getattr(self, name).to_csv(path, index=False)
        return folder


def compare(
    a: str | Path, b: str | Path, *, output_root: str | Path = "outputs", metrics: Sequence[str] = ()
) -> Comparison:
    """Compare two finished runs, each named by its folder or by <paper>/<setting> below the output root.

    `metrics` are compared for each arm; by default Dice, or a localizer's distance. Raises UsageError with the reason
    if nothing of the two can be compared: other papers, other images, no common arm or seed; DataError if one of the
    two is damaged, or its runs are not in the run store.
    """
    one, two = find_finished(a, output_root), find_finished(b, output_root)
    common = _common_arms(one, two)
    same = tuple(arm for arm in common if one.hashes(arm) == two.hashes(arm))
    left_out = {arm: f"only in {run.name}" for run in (one, two) for arm in run.arms if arm not in common}
    scores, images = [], []
    for arm in [arm for arm in common if arm not in same]:
        try:
            found = _compare_arm(arm, one, two, metrics)
        except UsageError as error:
            left_out[arm] = str(error)
        else:
            scores += found[0]
            images += found[1]
    if not scores and not same:
        raise UsageError(f"{_refusal(one, two)}{next(iter(left_out.values()))}")
    return Comparison(
        one,
        two,
        list_differences(one, two),
        arm_differences(one, two),
        same,
        left_out,
        pd.DataFrame(scores, columns=SCORE_COLUMNS),
        pd.concat(images, ignore_index=True) if images else pd.DataFrame(columns=IMAGE_COLUMNS),
    )


def _compare_arm(
    arm: str, one: FinishedRun, two: FinishedRun, metrics: Sequence[str]
) -> tuple[list[tuple], list[pd.DataFrame]]:
    """Return the rows of the scores and of the images of one arm, a row or a table per metric."""
    if one.description(arm)["data_fingerprint"] != two.description(arm)["data_fingerprint"]:
        raise UsageError(f"{arm} was trained or tested on other images (the fingerprints of its data differ)")
    both = [with_class_names(run.scores(arm).assign(arm=arm)) for run in (one, two)]
    rows, images = [], []
    for name, metric in itertools.product(both[0]["arm"].unique(), metrics or _default_metrics(both[0])):
        of_one, of_two = (scores[scores["arm"] == name] for scores in both)
        of_classifier = "probability" in of_one  # whose precision and recall are of all images together
        found = paired_difference(of_one, of_two, metric, pooled=of_classifier)
        scores = (found.a, found.b, found.estimate, found.ci_low, found.ci_high, found.p_value)
        rows.append((name, metric, *scores, found.num_images, found.num_patients, found.num_seeds, found.note))
        images.append(differences_per_image(of_one, of_two, metric).assign(arm=name, metric=metric)[IMAGE_COLUMNS])
    return rows, images


def _default_metrics(scores: pd.DataFrame) -> list[str]:
    """Choose the metric that an arm's scores are compared by: Dice, distance, or a classifier's accuracy."""
    return [next((metric for metric in ("dice", "distance") if metric in scores), "accuracy")]


def _common_arms(a: FinishedRun, b: FinishedRun) -> list[str]:
    """Return the arms that both runs have; raise UsageError if they are of other papers or data, or share no arm."""
    for what in ("paper", "data"):
        if a.results[what] != b.results[what]:
            raise UsageError(f"{_refusal(a, b)}one is of {what} {a.results[what]}, the other of {b.results[what]}")
    common = [arm for arm in a.arms if arm in b.arms]
    if not common:
        raise UsageError(f"{_refusal(a, b)}they have no arm in common")
    return common


def _refusal(a: FinishedRun, b: FinishedRun) -> str:
    """Return the beginning of the message that two runs cannot be compared."""
    return f"{a.folder} and {b.folder} cannot be compared: "


def compare_roots(a: str | Path, b: str | Path, *, metrics: Sequence[str] = ()) -> dict[str, Comparison | KitError]:
    """Compare each setting that two output roots share; a pair that cannot be compared has its error instead.

    That error is a UsageError, or a DataError if one of the two is damaged. Raises UsageError if the roots share none.
    """
    roots = Path(a), Path(b)
    names = [{path.relative_to(root).as_posix() for path in list_finished(root)} for root in roots]
    shared = sorted(names[0] & names[1])
    if not shared:
        lists = [", ".join(sorted(found)) or "none" for found in names]
        raise UsageError(f"{a} and {b} have no finished run in common: {lists[0]} and {lists[1]}")
    found: dict[str, Comparison | KitError] = {}
    for name in shared:
        try:
            found[name] = compare(roots[0] / name, roots[1] / name, metrics=metrics)
        except KitError as error:
            found[name] = error
    return found


def both_are_roots(a: str | Path, b: str | Path) -> bool:
    """Tell whether two names are both output roots."""
    return is_output_root(Path(a)) and is_output_root(Path(b))
