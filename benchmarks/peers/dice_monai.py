"""MONAI in `time-to-dice`: its U-Net tutorials with CacheDataset and ThreadDataLoader.

"tutorial" is 2d_segmentation/torch/unet_training_dict.py: U-Net with residual units, Dice loss, Adam at 1e-3, two
images a step with four crops of 96x96 each, half of them centered on foreground, quarter turns. "fast" is
acceleration/fast_training_tutorial.ipynb brought to two dimensions: BatchNorm, DiceCE loss, Novograd at 2e-3, four
images a step with four crops each. Both with CacheDataset, ThreadDataLoader, cached foreground indices and without
MetaTensors, as MONAI's guide to fast training advises, channels_last and bfloat16 on top.
"""

import numpy as np
import torch
from monai.data import CacheDataset, ThreadDataLoader, list_data_collate
from monai.data.meta_obj import set_track_meta
from monai.losses import DiceCELoss, DiceLoss
from monai.networks.nets import UNet
from monai.optimizers import Novograd
from monai.transforms import (
    Compose,
    EnsureTyped,
    FgBgToIndicesd,
    RandCropByPosNegLabeld,
    RandRotate90d,
    ScaleIntensityd,
)
from monai.utils import set_determinism

from benchmarks.dice_clock import main

KEYS = ("img", "seg")


def make_transform(name: str) -> Compose:
    """Return the tutorial's transforms; what is deterministic is cached."""
    turns = [RandRotate90d(KEYS, prob=0.5, spatial_axes=[0, 1])] if name == "tutorial" else []
    return Compose([
        ScaleIntensityd("img"),
        EnsureTyped(KEYS, dtype=torch.float32, track_meta=False),
        FgBgToIndicesd("seg", fg_postfix="_fg", bg_postfix="_bg"),
        RandCropByPosNegLabeld(KEYS, label_key="seg", spatial_size=[96, 96], pos=1, neg=1, num_samples=4,
                               fg_indices_key="seg_fg", bg_indices_key="seg_bg"),
        *turns,
    ])  # fmt: skip


def make_training(name: str, channels: int):
    """Return network, loss and optimizer of a tutorial, and how many images a step takes."""
    norm = {} if name == "tutorial" else {"norm": "batch"}
    model = UNet(spatial_dims=2, in_channels=channels, out_channels=1, channels=(16, 32, 64, 128, 256),
                 strides=(2, 2, 2, 2), num_res_units=2, **norm)  # fmt: skip
    model = model.to(memory_format=torch.channels_last)
    if name == "tutorial":
        return model, DiceLoss(sigmoid=True), torch.optim.Adam(model.parameters(), 1e-3, fused=True), 2
    return model, DiceCELoss(sigmoid=True, squared_pred=True, batch=True), Novograd(model.parameters(), 2e-3), 4


def train(task, update, clock):
    """Train in the tutorial's loop."""
    name, _, precision = task.settings.partition(" ")
    set_determinism(task.seed)
    set_track_meta(False)
    clock.start()
    items = [{"img": image, "seg": mask[None]} for image, mask in zip(task.images, task.targets, strict=True)]
    cached = CacheDataset(items, make_transform(name), progress=False, num_workers=2)
    model, loss_function, optimizer, batch = make_training(name, task.channels)
    loader = ThreadDataLoader(cached, batch_size=batch, shuffle=True, num_workers=0, collate_fn=list_data_collate)

    def forward(images):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision != "float32"):
            return model(images.contiguous(memory_format=torch.channels_last)).float()

    def predict(test_images):
        model.eval()
        with torch.inference_mode():
            low, high = (f(test_images, axis=(1, 2, 3), keepdims=True) for f in (np.min, np.max))
            scaled = torch.from_numpy((test_images.astype(np.float32) - low) / np.maximum(high - low, 1))
            found = torch.cat([forward(part).sigmoid()[:, 0] for part in scaled.split(8)])
        model.train()
        return found

    model.train()
    while True:
        for batch_data in loader:
            optimizer.zero_grad()
            loss = loss_function(forward(batch_data["img"]), batch_data["seg"])
            loss.backward()
            optimizer.step()
            loss.item()
            update(predict)


if __name__ == "__main__":
    main(train, ["monai", "torch"])
