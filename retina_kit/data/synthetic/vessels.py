"""Grows the vessels of a synthetic retina: branching paths from the optic disc, bent around the fovea."""

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Vessel:
    """One unbranched piece: points (K, 2) in units of the field's radius, the width at each, artery or vein."""

    points: np.ndarray
    widths: np.ndarray
    is_artery: bool


def grow_tree(rng: np.random.Generator, disc: np.ndarray, fovea: np.ndarray) -> list[Vessel]:
    """Grow the vessels of one eye; `disc` and `fovea` are (x, y) in units of the field's radius."""
    vessels: list[Vessel] = []
    towards_fovea = np.arctan2(*(fovea - disc)[::-1])
    for is_artery in (True, False):
        for side in (-1, 1):
            for spread, width in ((rng.uniform(0.95, 1.25), 0.027), (rng.uniform(1.9, 2.5), 0.020)):
                start = towards_fovea + side * (spread + rng.normal(0, 0.12) + 0.12 * is_artery)
                size = width * rng.uniform(0.8, 1.15) * (0.8 if is_artery else 1.0)
                _grow(rng, vessels, disc, start, size, fovea, side, is_artery, depth=0)
        for _ in range(rng.integers(1, 4)):  # small vessels straight towards the macula
            angle = towards_fovea + rng.normal(0, 0.35)
            _grow(rng, vessels, disc, angle, 0.010, fovea, rng.choice([-1, 1]), is_artery, depth=2)
    return vessels


def _grow(
    rng: np.random.Generator,
    vessels: list[Vessel],
    start: np.ndarray | tuple[float, float],
    angle: float,
    width: float,
    fovea: np.ndarray,
    side: int,
    is_artery: bool,
    depth: int,
) -> None:
    """Walk from `start` until the vessel is thin, outside the field or in the fovea; branch on the way.

    One number at a time, because each step depends on the last: plain floats are several times faster than arrays.
    """
    (x, y), (fovea_x, fovea_y) = map(float, start), map(float, fovea)
    points, widths = [(x, y)], [width]
    step, wiggle = 0.03, 0.0
    to_branch = rng.uniform(0.2, 0.55)
    noise, taper = rng.normal(0, 0.10, 91).tolist(), rng.uniform(0.975, 0.999, 91).tolist()
    for k in range(90):
        distance = math.hypot(x - fovea_x, y - fovea_y)
        tangent = math.atan2(y - fovea_y, x - fovea_x) + side * math.pi / 2  # circles the fovea
        pull = math.sin(tangent + (math.pi if math.cos(tangent - angle) < 0 else 0) - angle)
        wiggle = 0.7 * wiggle + noise[k + 1]
        angle += 0.045 * pull * (depth == 0) + wiggle * (0.35 + 0.15 * depth)
        x, y = x + step * math.cos(angle), y + step * math.sin(angle)
        points.append((x, y))
        widths.append(widths[-1] * taper[k])
        if math.hypot(x, y) > 1.05 or distance < 0.13 or widths[-1] < 0.0035:
            break
        to_branch -= step
        if to_branch < 0 and depth < 3:
            to_branch = rng.uniform(0.22, 0.55) * (1 + 0.4 * depth)
            turned = angle + rng.choice([-1, 1]) * rng.uniform(0.45, 1.0)
            thinner = widths[-1] * rng.uniform(0.5, 0.75)
            _grow(rng, vessels, (x, y), turned, thinner, fovea, side, is_artery, depth + 1)
            widths[-1] *= 0.93
    vessels.append(Vessel(np.array(points, np.float32), np.array(widths, np.float32), is_artery))
