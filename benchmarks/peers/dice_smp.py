"""segmentation_models.pytorch with Lightning in `time-to-dice`, as in its binary segmentation example.

Settings are words: an architecture, an encoder, "imagenet" or "random", and optionally a learning rate. The example
takes FPN and resnet34 with ImageNet weights, Dice loss, Adam at 2e-4 with a cosine schedule over ten epochs to 1e-5,
16 images a step and no augmentation. Weights of resnet34 cannot be had from a package registry, those of
EfficientNet-Lite0 can: the encoder gets the very file that this kit can start from.
"""

import lightning
import segmentation_models_pytorch as smp
import torch
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.dice_clock import main
from retina_kit.models.efficientnet import imagenet_file
from retina_kit.models.tensor_files import read_tensors

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
EPOCHS, BATCH = 10, 16


def make_model(architecture: str, encoder: str, start: str):
    """Build the network; with "imagenet" its EfficientNet-Lite0 encoder gets the weights of the installed package."""
    model = smp.create_model(architecture, encoder_name=encoder, encoder_weights=None, in_channels=3, classes=1)
    if start == "imagenet":
        theirs = read_tensors(imagenet_file())
        given = [tensor for name, tensor in theirs.items() if not name.startswith("_fc")]  # same layers, same order
        model.encoder.load_state_dict(dict(zip(model.encoder.state_dict(), given, strict=True)))
    return model.to(memory_format=torch.channels_last)


class Segmenter(lightning.LightningModule):
    """The example's module: normalization as the encoder's weights want it, Dice loss, Adam, cosine schedule."""

    def __init__(self, model, rate, num_steps, update, test):
        super().__init__()
        self.model, self.rate, self.num_steps, self.update = model, rate, num_steps, update
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1))
        self.loss_fn = smp.losses.DiceLoss(smp.losses.BINARY_MODE, from_logits=True)

    def forward(self, images):
        """Return logits (N, 1, h, w) of uint8 images; gray ones are repeated to three channels."""
        images = (images.expand(-1, 3, -1, -1).float() - self.mean) / self.std
        return self.model(images.contiguous(memory_format=torch.channels_last))

    def training_step(self, batch, _):
        """Return the loss of a batch."""
        images, masks = batch
        return self.loss_fn(self(images).float(), masks[:, None].float())

    def configure_optimizers(self):
        """Return Adam and its cosine schedule, a step at a time."""
        optimizer = torch.optim.Adam(self.parameters(), lr=self.rate, fused=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=self.num_steps, eta_min=1e-5)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def train(task, update, clock):
    """Train with a Lightning Trainer in bf16-mixed and channels_last."""
    architecture, encoder, start, rate = task.settings.split()
    lightning.seed_everything(task.seed, verbose=False)
    clock.start()
    loader = DataLoader(
        TensorDataset(torch.from_numpy(task.images), torch.from_numpy(task.targets)), BATCH, shuffle=True
    )
    module = Segmenter(make_model(architecture, encoder, start), float(rate), EPOCHS * len(loader), update, None)

    def predict(test_images):
        module.model.eval()
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            found = torch.cat([module(part).float().sigmoid()[:, 0] for part in torch.from_numpy(test_images).split(8)])
        module.model.train()
        return found

    class Score(lightning.Callback):
        """Calls the clock after every update."""

        def on_train_batch_end(self, trainer, module, outputs, batch, number):
            """Read the loss and let the clock decide."""
            outputs["loss"].item()
            update(predict)

    trainer = lightning.Trainer(
        max_epochs=10**6, accelerator="cpu", devices=1, precision="bf16-mixed", callbacks=[Score()], logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(module, loader)


if __name__ == "__main__":
    main(train, ["lightning", "segmentation-models-pytorch", "torch"])
