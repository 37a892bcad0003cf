"""MONAI: SupervisedTrainer on a CacheDataset of dictionaries, as in its segmentation tutorials.

Its `amp=True` is written for "cuda" alone, so at best settings on a CPU bfloat16 comes in through an inferer, which
is MONAI's own place for such things.
"""

import torch
from ignite.engine import Events
from monai.data import CacheDataset, DataLoader, ThreadDataLoader
from monai.engines import SupervisedTrainer
from monai.inferers import SimpleInferer
from monai.losses import DiceLoss
from monai.transforms import Compose, EnsureTyped, ScaleIntensityRanged
from monai.utils import CommonKeys

from benchmarks.pacer import main
from retina_kit.models.build import build_model
from retina_kit.training.device import choose_device, has_fast_bfloat16


class BFloat16Inferer(SimpleInferer):
    """Calls the network under bfloat16 autocast and gives its answer back in float32."""

    def __call__(self, inputs, network, *args, **kwargs):
        """Return the network's answer."""
        with torch.autocast(inputs.device.type, torch.bfloat16):
            return super().__call__(inputs, network, *args, **kwargs).float()


def train(images, targets, task, pacer):
    """Train with MONAI's trainer; at best without MetaTensors and decollation, in fast bfloat16."""
    device, best = choose_device(task.device), task.settings == "best"
    keys = (CommonKeys.IMAGE, CommonKeys.LABEL)
    items = [{keys[0]: image[None], keys[1]: mask[None]} for image, mask in zip(images, targets, strict=True)]
    transform = Compose(
        [ScaleIntensityRanged(keys[0], 0, 255, 0.0, 1.0), EnsureTyped(keys, dtype=torch.float32, track_meta=not best)]
    )
    cached = CacheDataset(items, transform, progress=False)
    loader = (ThreadDataLoader if best else DataLoader)(cached, batch_size=task.batch, shuffle=True, num_workers=0)
    model = build_model({"name": "unet"}).to(device)
    if best:
        model = model.to(memory_format=torch.channels_last)
    trainer = SupervisedTrainer(
        device=device,
        max_epochs=10**6,
        train_data_loader=loader,
        network=model,
        optimizer=torch.optim.Adam(model.parameters(), lr=1e-5, fused=best or None),
        loss_function=DiceLoss(sigmoid=True),
        inferer=BFloat16Inferer() if best and has_fast_bfloat16(device) else None,
        decollate=not best,
        optim_set_to_none=best,
        to_kwargs={"memory_format": torch.channels_last} if best else None,
    )

    @trainer.on(Events.ITERATION_COMPLETED)
    def _(engine):
        output = engine.state.output  # decollated: a list of dictionaries, one an image
        float((output[0] if isinstance(output, list) else output)[CommonKeys.LOSS])
        pacer()

    trainer.run()


if __name__ == "__main__":
    main(train, ["monai", "pytorch-ignite", "torch"])
