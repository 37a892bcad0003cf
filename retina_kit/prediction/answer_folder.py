"""Predict many image files with a classifier or a localizer: one row per image, the point marked in it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from retina_kit.data.image_files import Page
from retina_kit.files import atomic_path
from retina_kit.prediction.answers import ImagePredictor, Point, structures_of
from retina_kit.prediction.folder import (
    checked_threshold,
    color_of,
    files_to_predict,
    in_batches,
    in_color,
    name_of,
    output_names,
    pages_of,
    save_image,
)
from retina_kit.prediction.predictor import uncertainty

ARM_OF_CROSS = 0.03  # length, as a part of the longer side


@dataclass
class AnswerResult:
    """A row per predicted image, in the order of reading, and {file: reason} of those that could not be read."""

    answers: list[dict[str, Any]] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)

    def rows(self) -> list[dict[str, Any]]:
        """List the images as plain data, the most uncertain first if a classifier answered."""
        return sorted(self.answers, key=lambda row: -row.get("uncertainty", 0.0))


def predict_answers(
    predictor: ImagePredictor, inputs: Sequence[str | Path], output: str | Path, *, threshold: float | None = None
) -> AnswerResult:
    """Predict files and folders of images and write overlays/ and predictions.csv below `output`.

    A classifier gives the columns probability, answer (its class above `threshold`; None: the network's own) and
    uncertainty (binary entropy in bits); a localizer x and y, in pixels of the image from its left and top. A file
    that cannot be read does not stop the others.
    """
    threshold = checked_threshold(predictor.metadata.threshold if threshold is None else threshold)
    output, result = Path(output), AnswerResult()
    files = files_to_predict(inputs, output)
    names, structure = output_names(files, inputs), structures_of(predictor.metadata)[0]
    taken = {name.casefold() for name in names.values()}
    for pages in in_batches(pages_of(files, result.failures), predictor.metadata.batch_size):
        for page, answer in zip(pages, predictor.predict([page.pixels for page in pages]), strict=True):
            height, width = page.pixels.shape[:2]
            row = {
                "file": str(page.path),
                "page": page.number,
                "structure": structure,
                "width": width,
                "height": height,
            }
            row |= facts_of(answer, predictor.metadata.classes, threshold)
            row |= {"overlay": f"overlays/{name_of(page, names, taken)}.jpg", "notes": "; ".join(page.notes)}
            save_image(output / row["overlay"], marked(page, answer))
            result.answers.append(row)
    with atomic_path(output / "predictions.csv") as path:
        pd.DataFrame(result.rows(), columns=columns_of(predictor.metadata.task)).to_csv(path, index=False)
    return result


def columns_of(task: str) -> list[str]:
    """List the columns of predictions.csv.

    >>> columns_of("localize")
    ['file', 'page', 'structure', 'width', 'height', 'x', 'y', 'overlay', 'notes']
    """
    facts = ("x", "y") if task == "localize" else ("probability", "answer", "uncertainty")
    return ["file", "page", "structure", "width", "height", *facts, "overlay", "notes"]


def facts_of(answer: float | Point, classes: Sequence[str], threshold: float) -> dict[str, Any]:
    """Return the columns of one answer.

    >>> facts_of(0.75, ("healthy", "lesion"), 0.5)
    {'probability': 0.75, 'answer': 'lesion', 'uncertainty': 0.811278}
    """
    if isinstance(answer, Point):
        return {"x": round(answer.x, 2), "y": round(answer.y, 2)}
    doubt = uncertainty(np.array([answer]))
    return {"probability": round(answer, 6), "answer": classes[int(answer > threshold)], "uncertainty": doubt}


def marked(page: Page, answer: float | Point) -> np.ndarray:
    """Return an image as RGB (H, W, 3), with a cross at the point of a localizer."""
    canvas = np.ascontiguousarray(in_color(page.pixels))
    if isinstance(answer, Point):
        size = max(5, round(2 * ARM_OF_CROSS * max(canvas.shape)))
        thickness = max(1, round(max(canvas.shape) / 600))
        place = (round(answer.x), round(answer.y))
        cv2.drawMarker(canvas, place, color_of(0), cv2.MARKER_CROSS, size, thickness)
    return canvas
