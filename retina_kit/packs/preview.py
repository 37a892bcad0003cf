"""A preview of a pack of your own: some images with their masks outlined, to look at before anything is trained."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from retina_kit.files import atomic_path

COLUMNS, MAX_IMAGES, SIDE = 4, 12, 320
COLORS = ((160, 64, 255), (80, 220, 255), (255, 200, 60), (120, 255, 120))  # BGR, one per mask
PREVIEW = "preview.jpg"


def write_preview(folder: Path, rows: pd.DataFrame, masks: Sequence[str]) -> Path:
    """Write <folder>/preview.jpg: up to twelve images of the pack, evenly spread, with their masks outlined."""
    chosen = rows.iloc[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MAX_IMAGES)).round().astype(int))]
    tiles = [_tile(folder, row, masks) for row in chosen.to_dict("records")]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % COLUMNS)
    lines = [np.hstack(tiles[k : k + COLUMNS]) for k in range(0, len(tiles), COLUMNS)]
    with atomic_path(folder / PREVIEW) as path:
        path.write_bytes(cv2.imencode(".jpg", np.vstack(lines))[1].tobytes())
    return folder / PREVIEW


def _tile(folder: Path, row: dict, masks: Sequence[str]) -> np.ndarray:
    """Draw one image with the outlines of its masks and its name."""
    image = _read(folder / row["image"], cv2.IMREAD_COLOR)
    factor = SIDE / max(image.shape[:2])
    size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    tile = cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_NEAREST)
    for mask, color in zip(masks, COLORS * len(masks), strict=False):
        drawn = cv2.resize(
            _read(folder / row[f"mask_{mask}"], cv2.IMREAD_GRAYSCALE), size, interpolation=cv2.INTER_NEAREST
        )
        contours, _ = cv2.findContours(drawn, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(tile, contours, -1, color, 1)
    name = str(row["id"]).encode("ascii", "replace").decode()[-36:]
    return cv2.putText(tile, name, (4, size[1] - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1, cv2.LINE_AA)


def _read(path: Path, how: int) -> np.ndarray:
    """Decode a PNG of the pack, whatever letters its path has."""
    return np.asarray(cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), how))
