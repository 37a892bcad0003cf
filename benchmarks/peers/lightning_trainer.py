"""segmentation_models.pytorch with Lightning, as in its binary segmentation example: module, Dice loss, statistics."""

import lightning
import segmentation_models_pytorch as smp
import torch
from torch.utils.data import DataLoader, Dataset

from benchmarks.pacer import main
from retina_kit.models.build import build_model
from retina_kit.training.device import choose_device, has_fast_bfloat16


class Scans(Dataset):
    """Images and masks as dictionaries."""

    def __init__(self, images, targets):
        self.images, self.targets = images, targets

    def __len__(self):
        """Return the number of images."""
        return len(self.images)

    def __getitem__(self, index):
        """Return one image and its mask, both (1, H, W)."""
        return {"image": self.images[index][None], "mask": self.targets[index][None]}


class Segmenter(lightning.LightningModule):
    """The network with the example's loss and per-step statistics; at best they are left for the epoch's end."""

    def __init__(self, best):
        super().__init__()
        self.model, self.best = build_model({"name": "unet"}), best
        self.loss_fn = smp.losses.DiceLoss(smp.losses.BINARY_MODE, from_logits=True)
        self.outputs = []

    def training_step(self, batch, _):
        """Return the loss of a batch."""
        image = batch["image"].float() / 255
        if self.best:
            image = image.contiguous(memory_format=torch.channels_last)
        logits, mask = self.model(image), batch["mask"].float()
        loss = self.loss_fn(logits.float(), mask)
        if not self.best:
            predicted = (logits.sigmoid() > 0.5).float()
            counts = smp.metrics.get_stats(predicted.long(), mask.long(), mode="binary")
            self.outputs.append({"loss": loss.detach(), "counts": counts})
        return loss

    def on_train_epoch_end(self):
        """Sum the statistics up, as the example does."""
        self.outputs.clear()

    def configure_optimizers(self):
        """Return the optimizer."""
        return torch.optim.Adam(self.parameters(), lr=1e-5, fused=self.best or None)


class Turns(lightning.Callback):
    """Calls the pacer after every update."""

    def __init__(self, pacer):
        self.pacer = pacer

    def on_train_batch_end(self, trainer, module, outputs, batch, number):
        """Read the loss and pause where the turn is over."""
        outputs["loss"].item()
        self.pacer()


def train(images, targets, task, pacer):
    """Train with a Lightning Trainer; at best in fast bf16-mixed, channels_last, without statistics every step."""
    device, best = choose_device(task.device), task.settings == "best"
    module = Segmenter(best)
    if best:
        module = module.to(memory_format=torch.channels_last)
    loader = DataLoader(Scans(images, targets), task.batch, shuffle=True, num_workers=0)
    trainer = lightning.Trainer(
        max_epochs=10**6,
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=1,
        precision="bf16-mixed" if best and has_fast_bfloat16(device) else "32-true",
        callbacks=[Turns(pacer)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, loader)


if __name__ == "__main__":
    main(train, ["lightning", "segmentation-models-pytorch", "torch"])
