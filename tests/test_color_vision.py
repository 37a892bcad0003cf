"""Colors that stand for different things stay apart for color-blind readers: simulated, then measured in CIELAB."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from retina_kit.reporting.figures.axes import COLORS, VERDICT_COLORS
from retina_kit.reporting.figures.images import ERROR_COLORS
from retina_kit.reporting.figures.overlays import BRIGHT

DEFICIENCIES = {  # Machado, Oliveira and Fernandes 2009, complete deficiency, for linear RGB
    "none": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
PALETTES = {  # colors that a reader tells apart, and the smallest distance; 2.3 is just noticeable side by side
    "errors": (tuple(ERROR_COLORS.values()), 33),
    "verdicts": (tuple(VERDICT_COLORS.values()), 18),
    "series": (COLORS, 15),
    "first four masks": (BRIGHT[:4], 25),
    "masks": (BRIGHT, 13),
}


def as_lab(color, deficiency):
    """Return how a color looks with a deficiency of color vision, in CIELAB (D65)."""
    gamma = np.array(to_rgb(color))
    linear = np.where(gamma <= 0.04045, gamma / 12.92, ((gamma + 0.055) / 1.055) ** 2.4)
    xyz = TO_XYZ @ np.clip(np.array(DEFICIENCIES[deficiency]) @ linear, 0, 1) / TO_XYZ.sum(axis=1)
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def smallest_distance(colors, deficiency):
    """Return the smallest distance of two colors in CIELAB (Delta E of 1976), and which two they are."""
    seen = {color: as_lab(color, deficiency) for color in colors}
    return min((float(np.linalg.norm(seen[a] - seen[b])), a, b) for a, b in combinations(colors, 2))


def test_known_colors_have_known_places():
    np.testing.assert_allclose(as_lab("#FFFFFF", "none"), [100, 0, 0], atol=0.02)
    np.testing.assert_allclose(as_lab("#FF0000", "none"), [53.24, 80.09, 67.20], atol=0.05)


def test_red_and_green_of_equal_lightness_would_not_pass():
    assert smallest_distance(("#C05A3C", "#7A8A2E"), "deuteranopia")[0] < 25
    assert smallest_distance(("#C05A3C", "#7A8A2E"), "none")[0] > 50


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
@pytest.mark.parametrize("palette", PALETTES)
def test_colors_stay_apart(palette, deficiency):
    colors, least = PALETTES[palette]
    distance, one, other = smallest_distance(colors, deficiency)
    assert distance >= least, f"{one} and {other} are {distance:.1f} apart with {deficiency}"
