"""This kit's training loop beside a plain PyTorch loop: same network, same pictures, same batches, one run, ratios.

    retina-kit bench            or            python benchmarks/speed.py

The rivals take turns, so that a slow minute of the machine hits both. A second figure says which share of a step is
spent on drawing and augmenting the batch, a third how fast synthetic pictures are drawn.
"""

import argparse
import json
import statistics
import time

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from retina_kit.data.augment import Augmentation
from retina_kit.data.synthetic_fundus import draw_fundus
from retina_kit.data.synthetic_oct import draw_oct
from retina_kit.models.build import build_model, count_parameters
from retina_kit.training.batches import Batches
from retina_kit.training.device import choose_device, has_fast_bfloat16
from retina_kit.training.loop import fit
from retina_kit.training.losses import soft_dice
from retina_kit.training.recipe import Recipe

BATCH, SIZE = 4, 256


def plain_loop(images, targets, num_steps, device):
    """Return seconds a step of a loop as a tutorial writes it: DataLoader, NCHW, float32."""
    model = build_model({"name": "unet"}).to(device).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-5)
    loader = DataLoader(TensorDataset(images.float() / 255, targets.float()[:, None]), BATCH, shuffle=True)
    criterion, done, began = nn.BCEWithLogitsLoss(), 0, None
    while True:
        for batch, labels in loader:
            if done == 1:  # the first step warms up
                began = time.perf_counter()
            optimizer.zero_grad()
            loss = criterion(model(batch.to(device)), labels.to(device))
            loss.backward()
            optimizer.step()
            loss.item()
            done += 1
            if done > num_steps:
                return (time.perf_counter() - began) / num_steps


def our_loop(images, targets, num_steps, device, precision="auto"):
    """Return seconds a step of the kit's loop and the share that drawing the batch takes."""
    recipe = Recipe(loss="soft_dice", optimizer="adam", learning_rate=1e-5, batch_size=BATCH, steps=1)
    batches = Batches(images, targets, recipe, seed=0, device=device)
    model = build_model({"name": "unet"})
    fit(model, batches, recipe, device=device, precision=precision)  # warms up
    longer = Recipe(loss="soft_dice", optimizer="adam", learning_rate=1e-5, batch_size=BATCH, steps=num_steps)
    batches = Batches(images, targets, longer, seed=0, device=device)
    began = time.perf_counter()
    fit(model, batches, longer, device=device, precision=precision)
    return (time.perf_counter() - began) / num_steps


def share_of_drawing(images, targets, step_seconds, device):
    """Return which share of a step goes into drawing a batch with full augmentation."""
    recipe = Recipe(batch_size=BATCH, steps=20, augmentation=Augmentation(crop=SIZE, ratio=(0.5, 2.0), flip=0.5))
    batches = Batches(images, targets, recipe, seed=0, device=device)
    batches.draw(0)
    began = time.perf_counter()
    for step in range(20):
        batches.draw(step)
    return (time.perf_counter() - began) / 20 / step_seconds


def matrix_ceiling(device, dtype):
    """Return the floating-point operations a second of a large matrix product, the best of five."""
    side = 2048 if device.type == "cpu" else 8192
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        (a @ b).sum().item()
        best = min(best, time.perf_counter() - began)
    return 2 * side**3 / best


def flops_of_a_step(device):
    """Return the floating-point operations of one forward and backward pass, by torch's own counter."""
    from torch.utils.flop_counter import FlopCounterMode

    model = build_model({"name": "unet"}).to(device)
    with FlopCounterMode(display=False) as counter:
        logits = model(torch.randn(BATCH, 1, SIZE, SIZE, device=device))
        soft_dice(logits, torch.zeros(BATCH, SIZE, SIZE, dtype=torch.uint8, device=device)).backward()
    return counter.get_total_flops()


def drawing_speed():
    """Return pictures of 256x256 drawn a second: OCT and fundus."""
    speeds = {}
    for name, draw in (("synthetic_oct", draw_oct), ("synthetic_fundus", draw_fundus)):
        began = time.perf_counter()
        speeds[name] = round(len(draw(40, 4, (256, 256), seed=0)) / (time.perf_counter() - began))
    return speeds


def measure(repeats=3, num_steps=4, device="auto"):
    """Return all figures of one run as JSON-able data."""
    device = choose_device(device)
    pictures = draw_oct(8, 4, (SIZE, SIZE), seed=0)
    images, targets = torch.from_numpy(pictures.images), torch.from_numpy(pictures.masks["fluid"]).to(torch.uint8)
    times = {"plain": [], "ours": []}
    for _ in range(repeats):
        times["plain"].append(plain_loop(images, targets, num_steps, device))
        times["ours"].append(our_loop(images, targets, num_steps, device))
    plain, ours = (statistics.median(times[name]) for name in ("plain", "ours"))
    ceiling = matrix_ceiling(device, torch.bfloat16 if has_fast_bfloat16(device) else torch.float32)
    return {
        "workload": f"U-Net, {count_parameters(build_model({'name': 'unet'})):,} weights, {BATCH}x1x{SIZE}x{SIZE}",
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "bfloat16 in hardware": has_fast_bfloat16(device),
        "seconds a step": {name: [round(t, 4) for t in values] for name, values in times.items()},
        "plain / ours": round(plain / ours, 2),
        "share of the matrix ceiling": round(flops_of_a_step(device) / ours / ceiling, 3),
        "share of a step spent on drawing the batch": round(share_of_drawing(images, targets, ours, device), 4),
        "pictures drawn a second": drawing_speed(),
    }


def main():
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    print(json.dumps(measure(options.repeats, options.steps, options.device), indent=1))


if __name__ == "__main__":
    main()
