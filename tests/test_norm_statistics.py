"""BatchNorm statistics of frozen parts: averaged by hand, and in an arm of every task."""

import pytest
import torch
from small_arm import small_arm, train
from torch import nn

from retina_kit.errors import UsageError
from retina_kit.models.freezing import FreezableEncoder
from retina_kit.models.unet import UNet
from retina_kit.runs.store import RunStore
from retina_kit.training.arm_training import ArmTraining
from retina_kit.training.batches import Batches
from retina_kit.training.norm_statistics import calibrate_norms
from retina_kit.training.prepare import prepare_arm
from retina_kit.training.recipe import Recipe

CALIBRATED = {"start": {"calibrate": True}, "freeze": ["encoder"]}


class OneNorm(FreezableEncoder):
    """Dropout and a BatchNorm as the encoder, another BatchNorm as the head."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm2d(1))
        self.head = nn.BatchNorm2d(1)

    def forward(self, images):
        return self.head(self.encoder(images))


def batches_of(*gray_values):
    images = torch.tensor(gray_values, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 32, 32).contiguous()
    return Batches(images, torch.zeros(len(images), 32, 32).byte(), Recipe(steps=1), seed=0, device="cpu", std=[1.0])


def test_statistics_are_the_average_over_the_batches_of_all_training_images():
    model = OneNorm().train()
    calibrate_norms(model, batches_of(0, 2, 10, 20), ["encoder"], batch_size=2)
    norm = model.encoder[1]
    assert norm.running_mean.item() == pytest.approx((1 + 15) / 2)  # batches 0, 2 and 10, 20
    assert norm.running_var.item() == pytest.approx((1 + 25) / 2 * 2048 / 2047, rel=1e-6)  # unbiased, 2 x 32 x 32
    assert norm.momentum == 0.1
    assert (model.head.running_mean.item(), model.head.running_var.item()) == (0, 1)
    assert not model.training


def test_calibrated_twice_is_calibrated_once():
    once, twice = OneNorm(), OneNorm()
    for model, times in ((once, 1), (twice, 2)):
        for _ in range(times):
            calibrate_norms(model, batches_of(0, 2, 10), ["encoder"], batch_size=2)
    assert all(torch.equal(a, b) for a, b in zip(once.buffers(), twice.buffers(), strict=True))


def test_a_part_without_a_batchnorm_is_an_error():
    with pytest.raises(UsageError, match="no BatchNorm"):
        calibrate_norms(UNet(widths=[4, 4]), batches_of(0, 2), ["encoder"], batch_size=2)


def test_an_arm_that_calibrates_has_its_own_hash_and_keeps_the_statistics(tmp_path):
    frozen = small_arm("frozen", freeze=["encoder"])
    calibrated = small_arm("calibrated", **CALIBRATED)
    runs = train([frozen, calibrated], RunStore(tmp_path))
    plain, measured = (runs[name, 0].weights() for name in ("frozen", "calibrated"))
    of_encoder = [name for name in plain if name.startswith("encoder") and name.endswith("running_mean")]
    assert of_encoder
    assert all(not plain[name].any() for name in of_encoder)
    assert all(measured[name].any() for name in of_encoder)
    same = [name for name in plain if name.startswith("encoder") and "running" not in name and "num_b" not in name]
    assert all(torch.equal(plain[name], measured[name]) for name in same)
    again = train([calibrated], RunStore(tmp_path / "again"))["calibrated", 0].weights()
    assert all(torch.equal(measured[name], again[name]) for name in measured)


def test_a_start_that_starts_from_nothing_is_an_error():
    with pytest.raises(UsageError, match="needs a parent or calibrate"):
        small_arm("arm", start={})
    with pytest.raises(UsageError, match="copies nothing"):
        small_arm("arm", start={"parts": ["encoder"], "calibrate": True}, freeze=["encoder"])
    with pytest.raises(UsageError, match="freezes none"):
        small_arm("arm", start={"calibrate": True})


@pytest.mark.parametrize("task", ["segment_patches", "classify"])
def test_patches_and_whole_images_calibrate_an_encoder(task):
    size, network = (64, 64), {"encoder": "vgg_like", "width": 1 / 32}
    data = {"dataset": "synthetic_fundus", "options": {"num_patients": 4, "size": [64, 64], "lesions": True}}
    if task == "classify":
        model = {"name": "encoder_classifier", "input_size": size, **network}
        recipe = {"steps": 1, "batch_size": 2, "loss": "binary_cross_entropy"}
    else:
        model, recipe = {"name": "encoder_decoder", **network}, {"steps": 1, "batch_size": 2}
        data |= {"mask": "ex", "patch": 32}
    arm = small_arm("arm", replace={"data": data, "model": model, "recipe": recipe}, task=task, **CALIBRATED)
    training = ArmTraining(prepare_arm(arm, 0, None, "nowhere"), 0, torch.device("cpu"), "float32")
    means = {name: value for name, value in training.model.named_buffers() if name.endswith("running_mean")}
    assert all(bool(value.any()) == name.startswith("encoder") for name, value in means.items())
