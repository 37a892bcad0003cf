"""Grows the vessels of a synthetic retina: branching paths from the optic disc, bent round the fovea."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Vessel:
    """One unbranched piece: points (K, 2) in units of the field's radius, the width at each, artery or vein."""

    points: np.ndarray
    widths: np.ndarray
    is_artery: bool


def grow_tree(rng, disc, fovea):
    """Return the vessels of one eye; `disc` and `fovea` are (x, y) in units of the field's radius."""
    vessels = []
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


def _grow(rng, vessels, start, angle, width, fovea, side, is_artery, depth):
    """Walk from `start` until the vessel is thin, outside the field or in the fovea; branch on the way."""
    points, widths = [start], [width]
    step, wiggle = 0.03, 0.0
    to_branch = rng.uniform(0.2, 0.55)
    noise, taper = rng.normal(0, 0.10, 91), rng.uniform(0.975, 0.999, 91)
    for _ in range(90):
        place = points[-1]
        away = place - fovea
        distance = np.hypot(*away)
        tangent = np.arctan2(away[1], away[0]) + side * np.pi / 2  # circles the fovea
        pull = np.sin(tangent + (np.pi if np.cos(tangent - angle) < 0 else 0) - angle)
        wiggle = 0.7 * wiggle + noise[len(points)]
        angle += 0.045 * pull * (depth == 0) + wiggle * (0.35 + 0.15 * depth)
        points.append(place + step * np.array([np.cos(angle), np.sin(angle)]))
        widths.append(widths[-1] * taper[len(points) - 2])
        if np.hypot(*points[-1]) > 1.05 or distance < 0.13 or widths[-1] < 0.0035:
            break
        to_branch -= step
        if to_branch < 0 and depth < 3:
            to_branch = rng.uniform(0.22, 0.55) * (1 + 0.4 * depth)
            turn = rng.choice([-1, 1]) * rng.uniform(0.45, 1.0)
            _grow(
                rng,
                vessels,
                points[-1],
                angle + turn,
                widths[-1] * rng.uniform(0.5, 0.75),
                fovea,
                side,
                is_artery,
                depth + 1,
            )
            widths[-1] *= 0.93
    vessels.append(Vessel(np.array(points, np.float32), np.array(widths, np.float32), is_artery))
