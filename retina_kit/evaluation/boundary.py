r"""Distances between the boundaries of two masks, and the overlap of vessel centerlines.

The surface S(A) of a mask A is its pixels with a 4-neighbor outside A; beyond the image's border is outside. With
d(a, S) the Euclidean distance of a pixel a to the nearest pixel of S, a prediction P and a target T have

    HD95 = max(P95{d(p, S(T)): p in S(P)}, P95{d(t, S(P)): t in S(T)})
    ASSD = (sum_p d(p, S(T)) + sum_t d(t, S(P))) / (|S(P)| + |S(T)|)
    NSD  = (|{p: d(p, S(T)) <= tau}| + |{t: d(t, S(P)) <= tau}|) / (|S(P)| + |S(T)|)

and with K(A) the centerline (skeleton) of A

    clDice = 2 Tprec Tsens / (Tprec + Tsens), Tprec = |K(P) & T| / |K(P)|, Tsens = |K(T) & P| / |K(T)|

(NSD: Nikolov 2018; clDice: Shit 2021). Two empty masks have no score: NaN. If only one is empty, distances are
`missed` (infinite unless you choose another penalty), and NSD and clDice are 0. Other tools differ: some pool both
directions before they take the percentile, which gives a smaller HD95, and some measure to every pixel of the mask
instead of its surface.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from scipy.ndimage import binary_erosion, distance_transform_edt

Spacing = Sequence[float] | float  # height, width of a pixel; distances are in its unit

NEIGHBORS = np.array([[128, 1, 2], [64, 0, 4], [32, 16, 8]], np.uint8)  # clockwise from the north, a bit each


def surface(mask: np.ndarray) -> np.ndarray:
    """Find the surface of a bool mask (H, W): its pixels with a 4-neighbor outside.

    >>> surface(np.ones((3, 4), bool)).astype(int).tolist()
    [[1, 1, 1, 1], [1, 0, 0, 1], [1, 1, 1, 1]]
    """
    return mask & ~binary_erosion(mask)


def surface_distances(
    predicted: np.ndarray, target: np.ndarray, spacing: Spacing = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Measure how far each surface pixel is from the other mask's surface: (from predicted, from target).

    Both masks are bool (H, W) and not empty; distances come in the unit of `spacing`.

    >>> predicted, target = np.eye(1, 6, 1, dtype=bool), np.eye(1, 6, 4, dtype=bool)
    >>> [distances.tolist() for distances in surface_distances(predicted, target, spacing=2.0)]
    [[6.0], [6.0]]
    """
    sampling = [spacing] * 2 if isinstance(spacing, int | float) else list(spacing)
    of_predicted, of_target = surface(predicted), surface(target)
    to_target = distance_transform_edt(~of_target, sampling=sampling)
    to_predicted = distance_transform_edt(~of_predicted, sampling=sampling)
    return to_target[of_predicted], to_predicted[of_target]


def boundary_scores(
    predicted: np.ndarray,
    target: np.ndarray,
    *,
    tolerance: float,
    spacing: Spacing = 1.0,
    missed: float = math.inf,
) -> dict[str, float]:
    """Compute hd95, assd and nsd of two bool masks (H, W); `tolerance` (tau) is in the unit of `spacing`.

    >>> predicted, target = np.zeros((8, 8), bool), np.zeros((8, 8), bool)
    >>> predicted[2:6, 2:6], target[2:6, 3:7] = True, True
    >>> boundary_scores(predicted, target, tolerance=0.5)
    {'hd95': 1.0, 'assd': 0.5, 'nsd': 0.5}
    """
    if not (predicted.any() and target.any()):
        if predicted.any() or target.any():
            return {"hd95": missed, "assd": missed, "nsd": 0.0}
        return dict.fromkeys(("hd95", "assd", "nsd"), math.nan)
    both = surface_distances(predicted, target, spacing)
    pooled = np.concatenate(both)
    return {
        "hd95": float(max(np.percentile(distances, 95) for distances in both)),
        "assd": float(pooled.mean()),
        "nsd": float((pooled <= tolerance).mean()),
    }


def hd95(predicted: np.ndarray, target: np.ndarray, spacing: Spacing = 1.0, *, missed: float = math.inf) -> float:
    """Return the 95th percentile Hausdorff distance of two bool masks (H, W).

    >>> hd95(np.eye(1, 6, 1, dtype=bool), np.eye(1, 6, 4, dtype=bool))
    3.0
    """
    return boundary_scores(predicted, target, tolerance=0.0, spacing=spacing, missed=missed)["hd95"]


def assd(predicted: np.ndarray, target: np.ndarray, spacing: Spacing = 1.0, *, missed: float = math.inf) -> float:
    """Return the average symmetric surface distance of two bool masks (H, W).

    >>> assd(np.ones((1, 3), bool), np.array([[True, False, False]]))  # (0 + 1 + 2 + 0) / (3 + 1)
    0.75
    """
    return boundary_scores(predicted, target, tolerance=0.0, spacing=spacing, missed=missed)["assd"]


def nsd(predicted: np.ndarray, target: np.ndarray, tolerance: float, spacing: Spacing = 1.0) -> float:
    """Return the normalized surface Dice of two bool masks (H, W): the share of both surfaces within `tolerance`.

    >>> nsd(np.ones((1, 3), bool), np.array([[True, False, False]]), tolerance=1)  # 3 of 4 surface pixels
    0.75
    """
    return boundary_scores(predicted, target, tolerance=tolerance, spacing=spacing)["nsd"]


def cldice(predicted: np.ndarray, target: np.ndarray) -> float:
    """Return the centerline Dice of two bool masks (H, W), for vessels: a gap costs, a thicker vessel does not.

    >>> vessel, thick = np.zeros((9, 20), bool), np.zeros((9, 20), bool)
    >>> vessel[4, 2:18], thick[3:6, 2:18] = True, True
    >>> cldice(thick, vessel), cldice(vessel & (np.arange(20) < 10), vessel)
    (1.0, 0.6666666666666666)
    """
    if not (predicted.any() and target.any()):
        return 0.0 if predicted.any() or target.any() else math.nan
    of_predicted, of_target = skeleton(predicted), skeleton(target)
    precision = (of_predicted & target).sum() / of_predicted.sum()
    sensitivity = (of_target & predicted).sum() / of_target.sum()
    return float(2 * precision * sensitivity / (precision + sensitivity)) if precision + sensitivity else 0.0


def skeleton(mask: np.ndarray) -> np.ndarray:
    """Thin a bool mask (H, W) to lines one pixel wide, with Zhang and Suen's algorithm (1984).

    >>> thick = np.zeros((7, 12), bool)
    >>> thick[2:5, 1:11] = True
    >>> skeleton(thick).sum(axis=1).tolist()
    [0, 0, 0, 7, 0, 0, 0]
    """
    thin = np.pad(mask, 1).astype(np.uint8)
    before = np.zeros_like(thin)
    while (thin != before).any():
        before = thin.copy()
        for removable in REMOVABLE:
            code = cv2.filter2D(thin, -1, NEIGHBORS, borderType=cv2.BORDER_CONSTANT)
            thin &= ~removable[code]
    return _with_lost_parts(thin[1:-1, 1:-1].astype(bool), mask)


def _with_lost_parts(thin: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Keep one pixel of each connected part that was thinned to nothing, as a square of 2 x 2 pixels is."""
    number, parts = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    lost = np.setdiff1d(np.arange(1, number), parts[thin])
    if len(lost):
        _, first = np.unique(parts, return_index=True)
        thin.flat[first[np.isin(np.unique(parts), lost)]] = True
    return thin


def _removable(first: bool) -> np.ndarray:
    """Tabulate, for each of the 256 neighborhoods, whether a pixel may go (1) in the first or second pass."""
    table = np.zeros(256, np.uint8)
    for code in range(256):
        north, _, east, _, south, _, west, _ = p = [code >> bit & 1 for bit in range(8)]
        rises = sum(a < b for a, b in zip(p, p[1:] + p[:1], strict=True))
        blocked = (north & east & south, east & south & west) if first else (north & east & west, north & south & west)
        table[code] = 2 <= sum(p) <= 6 and rises == 1 and not any(blocked)
    return table


REMOVABLE = (_removable(first=True), _removable(first=False))
