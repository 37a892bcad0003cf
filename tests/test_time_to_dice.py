"""Time to Dice: the clock stands still while it scores, and every framework trains to a level in its own loop."""

import dataclasses
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from retina_kit.files import kit_root

sys.path.insert(0, str(kit_root()))
from benchmarks.dice_clock import DiceClock, pooled_dice
from benchmarks.time_to_dice import LEVELS, ROWS, THE_KIT, lines_of_dice, prepare, run_once, save_arrays, summary
from retina_kit.data.collection import ImageSet

PACKAGES = {"MONAI": "monai", "smp + Lightning": "segmentation_models_pytorch", "nnU-Net v2": "nnunetv2"}


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def squares(num_images, channels, size=(96, 96)):
    """Return gray noise with a bright square, its masks, and a split: every other image is tested."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 60, (num_images, channels, *size), dtype=np.uint8)
    masks = np.zeros((num_images, *size), bool)
    for number, mask in enumerate(masks):
        mask[8 + number : 40 + number, 20:60] = True
    images += 150 * masks[:, None].astype(np.uint8)
    return images, masks


def test_the_clock_counts_training_and_not_scoring(capsys):
    seconds = iter([100.0, 101.0, 103.0, 103.1, 103.5, 104.5])  # start; asked, scored; asked early; asked, scored
    answers = iter([[[[0.9, 0.1]]], [[[0.9, 0.9]]]])  # (n, h, w) = (1, 1, 2)
    masks = np.array([[[True, True]]])
    clock = DiceClock(np.zeros((1, 1, 1, 2), np.uint8), masks, level=0.9, cap=60, now=lambda: next(seconds))
    clock.start()

    def predict(images):
        return torch.tensor(next(answers))

    assert not clock(predict)
    assert not clock(predict)  # 0.1 s later nothing is due: every 0.25 s
    assert clock(predict)
    assert clock.curve == [[1.0, 0.6667, 1], [1.5, 1.0, 3]]
    assert '"reached": true, "seconds": 1.5' in capsys.readouterr().out


def test_the_dice_is_pooled_at_the_size_of_the_masks():
    probability = torch.tensor([[[0.9, 0.1]], [[0.1, 0.1]]])
    masks = np.array([[[True, True, False, False]], [[True, True, False, False]]])
    assert pooled_dice(probability, masks) == pytest.approx(2 * 2 / (2 + 4))


def test_a_run_that_did_not_reach_the_level_counts_as_longer_than_any():
    runs = [{"task": "fluid", "row": THE_KIT, "reached": s < 60, "seconds": s} for s in (2.0, 60.1, 4.0)]
    found = summary("fluid", THE_KIT, runs)
    assert (found["median"], found["lowest"], found["highest"]) == (4.0, 2.0, None)
    assert found["reached"] == "2 of 3"
    text = "\n".join(lines_of_dice({"what": "seconds", "table": [found], "cap": 60}))
    assert "4.0 s (2.0 to > 60), reached by 2 of 3" in text


@pytest.mark.parametrize("level", LEVELS.values(), ids=list(LEVELS))
def test_settings_are_chosen_on_patients_of_the_training_set(level):
    rows = pd.read_csv(kit_root() / "data_manifests" / f"{level.pack}.csv", dtype=str)
    assert set(rows["split"][rows["patient"].isin(level.validation)]) == {"train"}


def test_held_out_patients_are_neither_trained_on_nor_the_test_set(tmp_path):
    images, masks = squares(6, 1)
    level = dataclasses.replace(LEVELS["fluid"], mask="fluid", size=(48, 48), validation=("b",))
    rows = pd.DataFrame({"id": list("123456"), "patient": list("aabbcc"), "split": ["train"] * 4 + ["test"] * 2})
    save_arrays(level, ImageSet(images, {"fluid": masks}, rows, "squares"), tmp_path / "choose.npz", choose=True)
    with np.load(tmp_path / "choose.npz") as arrays:
        assert arrays["images"].shape == (2, 1, 48, 48)
        np.testing.assert_array_equal(arrays["test_masks"], masks[2:4])


@pytest.mark.slow
@pytest.mark.parametrize("name", list(ROWS))
def test_every_framework_learns_a_square(name, tmp_path):
    if name in PACKAGES:
        pytest.importorskip(PACKAGES[name], reason=f"{name} is not installed: pip install '.[bench,nnunet]'")
    images, masks = squares(12, 1)
    np.savez(tmp_path / "fluid.npz", images=images[:8], targets=masks[:8].view(np.uint8), test_images=images[8:],
             test_masks=masks[8:])  # fmt: skip
    if ROWS[name].prepares:
        assert "error" not in prepare(name, ROWS[name], "fluid", tmp_path)
    run = run_once(ROWS[name], "fluid", tmp_path, seed=0, cap=2)
    assert "error" not in run
    assert run["updates"] >= 1
    assert run["curve"][-1][0] == pytest.approx(run["seconds"], abs=1e-3)


def test_a_framework_that_is_missing_says_so(tmp_path):
    np.savez(tmp_path / "fluid.npz", images=[])
    run = run_once(dataclasses.replace(ROWS[THE_KIT], module="dice_of_nobody"), "fluid", tmp_path, seed=0, cap=1)
    assert "dice_of_nobody" in run["error"]
