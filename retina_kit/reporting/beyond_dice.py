"""What Dice does not tell: distances of outlines, centerlines of vessels, calibration, and the choice of a threshold.

Outlines are compared in pixels of the images as they were taken. If a network finds nothing where there is something,
or something where there is nothing, its distance is the image's diagonal; images whose two masks are both empty have no
score and are left out, as with Dice (see evaluation.boundary).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from retina_kit.evaluation.calibration import error_of, pooled_reliability
from retina_kit.evaluation.metrics import counts_per_image, dice_of_counts
from retina_kit.evaluation.summary import summarize
from retina_kit.evaluation.thresholds import ThresholdCounts
from retina_kit.papers.compare import TABLE_COLUMNS

TOLERANCE = 2.0  # pixels that two outlines may be apart and still agree
NO_VALIDATION = "no threshold chosen: no images were held out for validation"


@dataclass(frozen=True)
class Predicted:
    """Probabilities of an arm for images with ground truth, both (N, H, W), and one row per image: id, patient."""

    probability: np.ndarray
    target: np.ndarray
    rows: pd.DataFrame


@dataclass(frozen=True)
class BeyondDice:
    """Scores of some arms: tidy table of outlines, table of calibration, {label: bins of the reliability diagram}."""

    boundaries: pd.DataFrame
    calibration: pd.DataFrame
    reliability: dict[str, pd.DataFrame]


def outline_rows(found: Predicted, *, tolerance: float = TOLERANCE, centerlines: bool = False) -> pd.DataFrame:
    """Score each image at a threshold of 0.5: id, patient, dice, hd95 and assd (pixels), nsd, with centerlines cldice.

    >>> target = np.zeros((1, 6, 8), bool)
    >>> target[0, 2:5, 2:5] = True
    >>> found = Predicted(np.roll(target, 1, 2).astype(float), target, pd.DataFrame({"id": ["a"], "patient": ["p"]}))
    >>> outline_rows(found, tolerance=0.5).round(3).to_numpy().tolist()
    [['a', 'p', 0.667, 1.0, 0.5, 0.5]]
    """
    from retina_kit.evaluation.boundary import boundary_scores, cldice  # loads scipy, which takes long

    missed, records = math.hypot(*found.target.shape[1:]), []
    for probability, target in zip(found.probability, found.target, strict=True):
        predicted, target = probability > 0.5, target.astype(bool)
        score = {
            "dice": float(dice_of_counts(*(count[0] for count in counts_per_image(predicted[None], target[None]))))
        }
        score |= boundary_scores(predicted, target, tolerance=tolerance, missed=missed)
        records.append(score | ({"cldice": cldice(predicted, target)} if centerlines else {}))
    identity = found.rows[["id", "patient"]].reset_index(drop=True)
    return identity.join(pd.DataFrame(records))


def outline_table(scored: pd.DataFrame, tolerance: float = TOLERANCE) -> pd.DataFrame:
    """Average scored images (see `outline_rows`; columns arm, seed and fold added) to a tidy table, TABLE_COLUMNS."""
    metrics = [name for name in ("dice", "hd95", "assd", "nsd", "cldice") if name in scored]
    table = summarize(scored, metrics, pooled=False)
    table = table.assign(paper_value=math.nan, paper_spread=math.nan, paper_spread_is="")
    within = table["metric"] == "nsd"
    table.loc[within, "note"] = [
        "; ".join(part for part in (f"tolerance {tolerance:g} px", note) if part) for note in table.loc[within, "note"]
    ]
    return table[list(TABLE_COLUMNS)]


def calibration_row(tested: Sequence[Predicted], validated: Predicted | None, bins: pd.DataFrame) -> dict[str, object]:
    """Return the ECE of an arm, and the pooled Dice at 0.5 and at the best threshold of its validation images.

    `bins` is the table of `reliability_of` the tested images. Without `validated` no threshold is chosen: chosen on
    test images it would make their Dice look better than it is.
    """
    row: dict[str, object] = {"ECE": error_of(bins), "Dice at 0.5": pooled_dice(tested, 0.5)}
    if validated is None:
        return row | {"threshold": math.nan, "Dice at threshold": math.nan, "note": NO_VALIDATION}
    best = ThresholdCounts(validated.probability, validated.target).best()
    return row | {"threshold": best, "Dice at threshold": pooled_dice(tested, best), "note": ""}


def pooled_dice(tested: Sequence[Predicted], threshold: float) -> float:
    """Return the Dice of all images' pixels together at a threshold."""
    counts = np.zeros(4)
    for found in tested:
        for probability, target in zip(found.probability, found.target, strict=True):
            counts += [count[0] for count in counts_per_image(probability[None] > threshold, target[None].astype(bool))]
    return float(dice_of_counts(*counts))


def reliability_of(tested: Sequence[Predicted]) -> pd.DataFrame:
    """Tabulate the bins of the reliability diagram over all pixels of the tested images."""
    return pooled_reliability(
        [probability for found in tested for probability in found.probability],
        [target for found in tested for target in found.target],
    )
