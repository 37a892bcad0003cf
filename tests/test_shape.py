"""The outline of masks, on shapes whose perimeter can be counted."""

import math

import numpy as np
import pytest

from retina_kit.evaluation.shape import hull_area, perimeter, shape_of_mask

COMB = np.kron(np.array([[1, 0, 1, 0, 1], [1, 0, 1, 0, 1], [1, 1, 1, 1, 1]], bool), np.ones((4, 4), bool))


def test_a_square_is_convex_and_its_perimeter_is_crofton_s():
    square = np.pad(np.ones((10, 10), bool), 3)
    # 10 rows and 10 columns are entered and left, and 19 diagonals in either direction.
    assert perimeter(square) == pytest.approx(math.pi / 8 * (40 + 76 / math.sqrt(2)))
    assert hull_area(square) == 100
    assert shape_of_mask(square)[1] == 1


def test_a_disc_is_round():
    y, x = np.mgrid[:121, :121]
    compactness, solidity = shape_of_mask((y - 60) ** 2 + (x - 60) ** 2 <= 50**2)
    assert compactness == pytest.approx(1, abs=0.03) and solidity == pytest.approx(1, abs=0.03)


def test_a_comb_is_serrated():
    compactness, solidity = shape_of_mask(COMB)
    assert compactness > 3 and solidity == pytest.approx(11 / 15)


def test_components_are_weighted_by_area_and_specks_left_out():
    both = np.zeros((30, 60), bool)
    both[2:14, 2:22] = COMB
    both[2:12, 40:50] = True  # a square of 100 pixels next to a comb of 176
    both[25, 25] = True
    assert shape_of_mask(both)[1] == pytest.approx((176 * 11 / 15 + 100) / 276)
