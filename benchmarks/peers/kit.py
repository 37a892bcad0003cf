"""This kit: `training/loop.py` as it is."""

import torch

from benchmarks.pacer import main
from retina_kit.models.build import build_model
from retina_kit.training.batches import Batches
from retina_kit.training.device import choose_device
from retina_kit.training.loop import fit
from retina_kit.training.recipe import Recipe


def train(images, targets, task, pacer):
    """Train in the kit's loop; "tutorial" is float32, "best" what the kit does by itself."""
    device = choose_device(task.device)
    recipe = Recipe(loss="soft_dice", optimizer="adam", learning_rate=1e-5, batch_size=task.batch, steps=10**6)
    batches = Batches(torch.from_numpy(images[:, None]), torch.from_numpy(targets), recipe, seed=0, device=device)
    precision = "float32" if task.settings == "tutorial" else "auto"
    fit(build_model({"name": "unet"}), batches, recipe, device=device, precision=precision, watch=watch_of(pacer))


def watch_of(pacer):
    """Return a `watch` that reads the loss, as every framework does, so that a GPU has finished its step."""

    def watch(step, num_steps, losses, scores):
        losses[-1].item()
        pacer()
        del losses[:-1]

    return watch


if __name__ == "__main__":
    main(train, ["torch"])
