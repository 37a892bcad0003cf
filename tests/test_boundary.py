"""Boundary metrics: by hand, against MONAI, and on the masks that break them."""

import importlib.util
import itertools
import math

import cv2
import numpy as np
import pytest

from retina_kit.evaluation.boundary import (
    assd,
    boundary_scores,
    cldice,
    hd95,
    nsd,
    skeleton,
    surface,
    surface_distances,
)

HAS_MONAI = importlib.util.find_spec("monai") is not None
HAS_SKIMAGE = importlib.util.find_spec("skimage") is not None
SIZE = (24, 32)


def blob(rng, share):
    """Return a smooth random mask that covers about this share of the image."""
    noise = cv2.GaussianBlur(rng.random(SIZE).astype(np.float32), (0, 0), 2)
    return noise > np.quantile(noise, 1 - share)


def pairs(number=1000):
    """Yield pairs of masks: blobs of all sizes, and every pair of empty, full, one pixel and a corner."""
    rng = np.random.default_rng(0)
    one, corner = np.zeros(SIZE, bool), np.zeros(SIZE, bool)
    one[10, 12], corner[0, 0] = True, True
    special = [np.zeros(SIZE, bool), np.ones(SIZE, bool), one, corner, blob(rng, 0.2)]
    yield from itertools.product(special, special)
    for _ in range(number - len(special) ** 2):
        share = rng.uniform(0.005, 0.9)
        mask = blob(rng, share)
        other = (
            np.roll(mask, rng.integers(-3, 4, 2), (0, 1)) if rng.random() < 0.5 else blob(rng, rng.uniform(0.005, 0.9))
        )
        yield mask, other


def test_a_shifted_square_by_hand():
    predicted, target = np.zeros((10, 10), bool), np.zeros((10, 10), bool)
    predicted[2:5, 2:5], target[2:5, 4:7] = True, True
    # each surface has 8 pixels: 3 at distance 2, 2 at distance 1 and 3 at distance 0 of the other
    scores = boundary_scores(predicted, target, tolerance=1)
    assert scores["assd"] == pytest.approx((3 * 2 + 2 * 1 + 3 * 0) / 8)
    assert scores["nsd"] == 5 / 8
    assert scores["hd95"] == 2


def test_distances_come_in_the_unit_of_the_spacing():
    predicted, target = np.zeros((9, 9), bool), np.zeros((9, 9), bool)
    predicted[4, 1], target[4, 7] = True, True
    assert hd95(predicted, target, (5.0, 0.5)) == 3
    assert assd(predicted.T, target.T, (5.0, 0.5)) == 30
    assert nsd(predicted, target, tolerance=2.9, spacing=0.5) == 0
    assert nsd(predicted, target, tolerance=3, spacing=0.5) == 1


def test_distances_are_in_pixels_by_default():
    predicted, target = np.eye(1, 6, 1, dtype=bool), np.eye(1, 6, 4, dtype=bool)
    assert [distances.tolist() for distances in surface_distances(predicted, target)] == [[3.0], [3.0]]
    assert hd95(predicted, target) == assd(predicted, target) == 3
    assert nsd(predicted, target, tolerance=3) == 1 and nsd(predicted, target, tolerance=2.9) == 0


def test_empty_masks_follow_the_stated_rules():
    empty, full = np.zeros(SIZE, bool), np.ones(SIZE, bool)
    assert all(math.isnan(score) for score in boundary_scores(empty, empty, tolerance=1).values())
    assert math.isnan(cldice(empty, empty))
    for pair in ((empty, full), (full, empty)):
        assert boundary_scores(*pair, tolerance=1) == {"hd95": math.inf, "assd": math.inf, "nsd": 0.0}
        assert hd95(*pair, missed=40.0) == assd(*pair, missed=40.0) == 40
        assert cldice(*pair) == 0


def test_equal_masks_are_perfect():
    for mask, _ in itertools.islice(pairs(), 100):
        if mask.any():
            assert boundary_scores(mask, mask, tolerance=0) == {"hd95": 0, "assd": 0, "nsd": 1}
            assert cldice(mask, mask) == 1


def test_scores_are_symmetric():
    for predicted, target in itertools.islice(pairs(), 200):
        ours = boundary_scores(predicted, target, tolerance=2)
        swapped = boundary_scores(target, predicted, tolerance=2)
        assert ours == pytest.approx(swapped, nan_ok=True)
        assert cldice(predicted, target) == pytest.approx(cldice(target, predicted), nan_ok=True)


def test_the_border_of_the_image_is_a_border_of_the_mask():
    assert surface(np.ones((5, 6), bool)).sum() == 2 * 5 + 2 * 6 - 4


def test_thinning_keeps_every_part_and_makes_lines():
    rng = np.random.default_rng(3)
    for share in (0.02, 0.1, 0.3, 0.6):
        mask = blob(rng, share)
        thin = skeleton(mask)
        assert (thin <= mask).all()
        count = [cv2.connectedComponents(part.astype(np.uint8), connectivity=8)[0] for part in (mask, thin)]
        assert count[0] == count[1]
        whole = [thin[r : r + 3, c : c + 3].all() for r in range(SIZE[0] - 2) for c in range(SIZE[1] - 2)]
        assert not any(whole)


def test_a_line_two_pixels_wide_is_thinned_from_below():
    mask = np.zeros((6, 12), bool)
    mask[2:4, 2:10] = True
    thin = skeleton(mask)
    assert thin[2, 3:9].all() and not thin[3, 3:9].any()


def thinned_by_loops(mask):
    """Thin a mask as Zhang and Suen (1984) describe it, pixel by pixel; parts that vanish are not kept."""
    thin = np.pad(mask, 1).astype(int)
    changed = True
    while changed:
        changed = False
        for products in (((0, 2, 4), (2, 4, 6)), ((0, 2, 6), (0, 4, 6))):  # of the neighbors north, east, south, west
            gone = []
            for r, c in np.argwhere(thin):
                p = [thin[r + dr, c + dc] for dr, dc in AROUND]
                rises = sum((p[k], p[(k + 1) % 8]) == (0, 1) for k in range(8))
                if 2 <= sum(p) <= 6 and rises == 1 and not any(all(p[k] for k in three) for three in products):
                    gone.append((r, c))
            for r, c in gone:
                thin[r, c] = 0
            changed = changed or bool(gone)
    return thin[1:-1, 1:-1].astype(bool)


AROUND = [(-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1)]  # clockwise from the north


def test_thinning_is_that_of_the_algorithm_written_as_loops():
    rng = np.random.default_rng(7)
    for share in (0.3, 0.5, 0.6, 0.7, 0.8, 0.9):
        mask = rng.random((14, 16)) < share
        thin, by_loops = skeleton(mask), thinned_by_loops(mask)
        assert (by_loops <= thin).all()
        number, parts = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
        lost = set(range(1, number)) - set(parts[by_loops])
        assert thin.sum() == by_loops.sum() + len(lost)  # a pixel for each part that vanished
        assert set(parts[thin & ~by_loops]) == lost


def test_a_part_that_would_vanish_keeps_its_first_pixel():
    mask = np.zeros((6, 9), bool)
    mask[1:3, 1:3] = mask[3:5, 5:7] = True
    assert np.argwhere(skeleton(mask)).tolist() == [[1, 1], [3, 5]]
    line = np.eye(5, dtype=bool)
    assert np.array_equal(skeleton(line), line)


def test_the_centerline_of_half_a_vessel_covers_half_of_the_other():
    vessel, half = np.zeros((5, 12), bool), np.zeros((5, 12), bool)
    vessel[2, 1:11], half[2, 1:6] = True, True
    assert cldice(half, vessel) == cldice(vessel, half) == pytest.approx(2 * 0.5 / 1.5)
    other = np.zeros((5, 12), bool)
    other[4, 1:11] = True
    assert cldice(other, vessel) == 0


def test_the_95th_percentile_and_the_mean_of_a_row_of_pixels():
    predicted, target = np.ones((1, 21), bool), np.zeros((1, 21), bool)
    target[0, 0] = True
    # distances 0 to 20 one way, 0 the other: the 95th percentile of 0 to 20 is 19
    assert boundary_scores(predicted, target, tolerance=0) == {"hd95": 19, "assd": 210 / 22, "nsd": 2 / 22}
    assert hd95(predicted, target) == hd95(target, predicted) == 19
    assert assd(predicted, target, spacing=0.5) == 105 / 22
    assert nsd(predicted, target, 10) == 12 / 22


def test_four_tools_four_hd95s():
    """The definitions in use differ on one pair of masks; ours is the first, MONAI's."""
    predicted, target = np.zeros((40, 40), bool), np.zeros((40, 40), bool)
    target[10:20, 10:20] = True
    predicted[10:20, 10:20], predicted[30:32, 30:32] = True, True
    far = [np.hypot(r - 19, c - 19) for r in (30, 31) for c in (30, 31)]
    one_way, back = np.array([0.0] * 36 + far), np.zeros(36)
    ours = hd95(predicted, target)
    pooled = np.percentile(np.concatenate([one_way, back]), 95)  # both directions in one list
    mean = (np.percentile(one_way, 95) + np.percentile(back, 95)) / 2  # the mean of both directions
    inside = np.percentile([0.0] * 100 + far, 95)  # of all pixels of the mask, not of its surface
    assert ours == np.percentile(one_way, 95)
    assert len({round(float(value), 6) for value in (ours, pooled, mean, inside, max(far))}) == 5


@pytest.mark.skipif(not HAS_MONAI, reason="needs monai (the bench extra)")
def test_distances_are_those_of_monai():
    """On 1,000 pairs; where one mask is empty MONAI gives infinity or NaN, depending on which it is."""
    import torch
    from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance, compute_surface_dice

    compared = empty = 0
    for predicted, target in pairs():
        ours = boundary_scores(predicted, target, tolerance=2)
        if not (predicted.any() and target.any()):
            empty += 1
            continue
        p, t = (torch.from_numpy(mask)[None, None].float() for mask in (predicted, target))
        settings = {"include_background": True}
        theirs = {
            "hd95": float(compute_hausdorff_distance(p, t, percentile=95, **settings)),
            "assd": float(compute_average_surface_distance(p, t, symmetric=True, **settings)),
            "nsd": float(compute_surface_dice(p, t, class_thresholds=[2.0], **settings)),
        }
        assert ours == pytest.approx(theirs, abs=1e-5)
        compared += 1
    assert (compared, empty) == (991, 9)


@pytest.mark.skipif(not HAS_SKIMAGE, reason="needs scikit-image")
def test_cldice_is_close_to_that_of_another_thinning():
    """scikit-image thins with a variant of the same algorithm, so centerlines differ by a pixel; scores hardly do."""
    from skimage.morphology import skeletonize

    rng, differences = np.random.default_rng(5), []
    for _ in range(50):
        target = np.zeros((80, 80), np.uint8)
        for _ in range(4):
            points = rng.integers(5, 75, (4, 2)).astype(np.int32)
            cv2.polylines(target, [points], False, 1, int(rng.integers(1, 4)))
        predicted = target.copy()
        r, c = rng.integers(0, 60, 2)
        predicted[r : r + 20, c : c + 20] = 0
        p, t = predicted.astype(bool), target.astype(bool)
        of_p, of_t = skeletonize(p), skeletonize(t)
        precision, sensitivity = (of_p & t).sum() / of_p.sum(), (of_t & p).sum() / of_t.sum()
        differences.append(abs(cldice(p, t) - 2 * precision * sensitivity / (precision + sensitivity)))
    assert max(differences) < 0.02
