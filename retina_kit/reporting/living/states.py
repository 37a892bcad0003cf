"""What a page needs to react without a kernel: small images, masks and counts of a widget, as plain data."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import pandas as pd

from retina_kit.evaluation.thresholds import NUM_STEPS, ThresholdCounts
from retina_kit.reporting.figures.images import ERROR_COLORS
from retina_kit.reporting.figures.overlays import as_color, fit_width

State = dict[str, Any]
MIME = "application/vnd.retina-kit.living+json"  # of the state in a notebook's output
WIDEST = 320  # pixels of an embedded image
MOST_BYTES = 900_000  # of the embedded images of one widget
QUALITY = 85  # of a JPEG
MOST_MASKS = 8  # one bit each


def explorer_state(
    images: np.ndarray,
    probability: np.ndarray,
    ground_truth: np.ndarray,
    names: Sequence[str],
    threshold: float,
    *,
    num_images: int = 12,
) -> State:
    """Describe predictions so that a page can move the threshold: the worst image, the best, and some between them.

    `images` is uint8 (N, C, H, W), `probability` in 0..1 and `ground_truth` bool (N, H, W). The Dice of every threshold
    is computed from all pixels; only the overlay is made from images that are reduced to 320 pixels in width.

    >>> state = explorer_state(np.zeros((1, 1, 1, 2), np.uint8), np.array([[[0.9, 0.4]]]), np.ones((1, 1, 2), bool),
    ...                        ["a"], 0.5)
    >>> state["images"][0]["dice"][30], round(state["images"][0]["dice"][50], 4)
    (1.0, 0.6667)
    """
    counts = ThresholdCounts(probability, ground_truth)
    steps = [k / NUM_STEPS for k in range(NUM_STEPS + 1)]
    dice = np.stack([counts.dice(step) for step in steps], axis=1)
    now = dice[:, round(threshold * NUM_STEPS)]
    order = np.argsort(np.where(np.isnan(now), np.inf, now), kind="stable")
    shown: list[State] = []
    bytes_left = MOST_BYTES
    for k in _spread(order, num_images):
        level = np.ceil(fit_width_at_most(probability[k].astype(np.float32)) * NUM_STEPS - 1e-6).clip(0, NUM_STEPS)
        target = fit_width_at_most(ground_truth[k])
        row = {"name": names[k], "photo": _photo(images[k]), "maps": _map(level.astype(np.uint8), target)}
        bytes_left -= len(row["photo"]) + len(row["maps"])
        if shown and bytes_left < 0:
            break
        shown.append(row | {"dice": _numbers(dice[k])})
    pooled = _numbers(np.array([counts.pooled_dice(step) for step in steps]))
    return {
        "kind": "explorer",
        "threshold": threshold,
        "pooled": pooled,
        "images": shown,
        "total": len(names),
        "colors": ERROR_COLORS,
    }


def browser_state(collections: Mapping[str, tuple[Any, int]], colors: Sequence[str], *, num_images: int = 8) -> State:
    """Describe image sets so that a page can browse them: {name: (image set, position of the first image shown)}.

    Of each set there are at most `num_images`, from as many patients as possible, those with a mask first.
    """
    budget = MOST_BYTES // max(1, len(collections))
    sets = []
    for name, (image_set, first) in collections.items():
        masks = dict(list(image_set.masks.items())[:MOST_MASKS])
        shown: list[State] = []
        bytes_left = budget
        for k in _chosen(image_set, first, num_images):
            small = [fit_width_at_most(mask[k]).astype(np.uint8) for mask in masks.values()]
            bits = sum((mask << bit for bit, mask in enumerate(small)), np.zeros((1, 1), np.uint8))
            row = {"name": str(image_set.rows["id"][k]), "patient": str(image_set.rows["patient"][k])}
            row |= {"photo": _photo(image_set.images[k]), "maps": _gray(bits) if masks else ""}
            bytes_left -= len(row["photo"]) + len(row["maps"])
            if shown and bytes_left < 0:
                break
            shown.append(row)
        sets.append({"name": name, "masks": list(masks), "images": shown, "total": len(image_set)})
    return {"kind": "browser", "sets": sets, "colors": list(colors[:MOST_MASKS])}


def arms_state(
    titles: Mapping[str, str],
    settings: Mapping[str, Mapping[str, Any]],
    factors: Mapping[str, str],
    steps: Mapping[str, int | None],
) -> State:
    """Describe arms so that a page can compare any two: {arm: title}, {arm: {setting: value}}, {setting: factor}.

    `steps` are those of an arm, pretraining included. Only settings in which some arms differ are kept; an arm has the
    position of its value.

    >>> arms_state({"a": "A", "b": "B"}, {"a": {"folds": 1}, "b": {"folds": 2}}, {"folds": "split"},
    ...            {"a": 5, "b": 5})["settings"]
    [{'name': 'folds', 'factor': 'split', 'values': ['1', '2']}]
    """
    rows: list[State] = [
        {"name": name, "title": title, "steps": steps[name], "values": []} for name, title in titles.items()
    ]
    kept = []
    for setting in dict.fromkeys(setting for mine in settings.values() for setting in mine):
        values: list[Any] = []
        places = []
        for name in titles:
            value = settings[name].get(setting, "-")
            if value not in values:
                values.append(value)
            places.append(values.index(value))
        if len(values) > 1:
            kept.append({"name": setting, "factor": factors[setting], "values": [str(value) for value in values]})
            for row, place in zip(rows, places, strict=True):
                row["values"].append(place)
    return {"kind": "arms", "arms": rows, "settings": kept}


def images_listed(state: Mapping[str, Any]) -> pd.DataFrame:
    """List the images that a state holds: of an explorer with their Dice at its threshold, of a browser by patient.

    >>> state = explorer_state(np.zeros((1, 1, 1, 2), np.uint8), np.array([[[0.9, 0.4]]]), np.ones((1, 1, 2), bool),
    ...                        ["a"], 0.3)
    >>> images_listed(state).to_dict("list")
    {'image': ['a'], 'Dice at threshold 0.3': [1.0]}
    """
    if state["kind"] == "explorer":
        threshold = state["threshold"]
        dice = f"Dice at threshold {threshold:g}"
        at = round(threshold * NUM_STEPS)
        return pd.DataFrame([{"image": image["name"], dice: image["dice"][at]} for image in state["images"]])
    return pd.DataFrame(
        [
            {
                "data": each["name"],
                "image": image["name"],
                "patient": image["patient"],
                "masks": ", ".join(each["masks"]),
            }
            for each in state.get("sets", [])
            for image in each["images"]
        ]
    )


def fit_width_at_most(canvas: np.ndarray, width: int = WIDEST) -> np.ndarray:
    """Reduce an image or a mask (H, W, ...) to this width; a smaller one stays as it is.

    >>> fit_width_at_most(np.zeros((2, 8)), 4).shape
    (1, 4)
    """
    return canvas if canvas.shape[1] <= width else _reduced(canvas, width)


def _reduced(canvas: np.ndarray, width: int) -> np.ndarray:
    """Resize to a smaller width: a mask to the nearest pixel, numbers by area."""
    if canvas.dtype in (np.bool_, np.uint8):
        return fit_width(canvas, width)
    size = (width, max(1, round(canvas.shape[0] * width / canvas.shape[1])))
    return cv2.resize(canvas, size, interpolation=cv2.INTER_AREA)


def _spread(order: np.ndarray, num_images: int) -> list[int]:
    """Choose positions from an order: the first, the last, and some between them."""
    places = np.linspace(0, len(order) - 1, min(num_images, len(order))).round().astype(int)
    return [int(k) for k in order[np.unique(places)]]


def _chosen(image_set: Any, first: int, num_images: int) -> list[int]:
    """Choose an image set's positions: `first`, then an image of each patient, those with a mask before the others."""
    marked = np.zeros(len(image_set), bool)
    for mask in image_set.masks.values():
        marked |= mask.reshape(len(mask), -1).any(axis=1)
    seen: dict[str, int] = {}
    turn = []  # how many images of its patient come before an image
    for k, patient in enumerate(image_set.rows["patient"]):
        turn.append((k != first, not marked[k], seen.get(patient, 0), k))
        seen[patient] = seen.get(patient, 0) + int(marked[k])
    return sorted(k for *_, k in sorted(turn)[:num_images])


def _numbers(values: np.ndarray) -> list[float | None]:
    """Round numbers for JSON, None for NaN."""
    return [None if np.isnan(value) else round(float(value), 4) for value in values]


def _photo(image: np.ndarray) -> str:
    """Encode an image (C, H, W) as the data URI of a JPEG."""
    return _uri("jpeg", fit_width_at_most(as_color(image))[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])


def _map(level: np.ndarray, target: np.ndarray) -> str:
    """Encode levels 0..100 as red and a mask as green of a PNG, as a data URI."""
    return _uri("png", np.dstack([np.zeros_like(level), 255 * target.astype(np.uint8), level]))


def _gray(values: np.ndarray) -> str:
    """Encode uint8 values (H, W) as the data URI of a PNG."""
    return _uri("png", np.asarray(values, np.uint8))


def _uri(kind: str, pixels: np.ndarray, options: Sequence[int] = (cv2.IMWRITE_PNG_COMPRESSION, 9)) -> str:
    """Encode pixels as a data URI."""
    encoded = cv2.imencode(f".{kind}", np.ascontiguousarray(pixels), list(options))[1]
    return f"data:image/{kind};base64,{base64.b64encode(encoded.tobytes()).decode()}"
