"""Does bfloat16 reach the Dice of float32? Trains a small U-Net in both, three seeds each, on real scans.

    python -m benchmarks.precision --data-root data          (needs the pack oct_dme_chiu2015)

The answer is yes where the difference of the means lies within the spread over seeds. Without the pack, `--synthetic`
takes synthetic scans instead and notes it.
"""

import argparse
import itertools
import statistics
import time

import numpy as np
import torch

from benchmarks.machine import describe_machine, write_json
from retina_kit.data.dataset import load_images
from retina_kit.data.splits import Split, choose_split
from retina_kit.files import kit_root
from retina_kit.models.build import build_model
from retina_kit.training.batches import Batches
from retina_kit.training.device import choose_device
from retina_kit.training.inference import predict_probability
from retina_kit.training.loop import fit
from retina_kit.training.recipe import Recipe
from retina_kit.training.tasks.segment import pooled_scores

SIZE, WIDTHS = (160, 256), (8, 16, 32, 64, 128)


def load(data_root, synthetic):
    """Return scans with the fluid of either grader, split by patients: two of ten, or of eight, are tested."""
    if synthetic:
        image_set = load_images("synthetic_oct", "", masks=["fluid"], size=SIZE, num_patients=8, scans_per_patient=8)
        return image_set, image_set.masks["fluid"], Split(kind="patients", test_fraction=0.25, seed=0)
    image_set = load_images("oct_dme_chiu2015", data_root, masks=["union"], size=SIZE)
    return image_set, image_set.masks["union"], Split(kind="published")


def dice_of(precision, seed, images, targets, train, test, recipe, device):
    """Return the pooled test Dice of one network, trained and tested in one precision."""
    torch.manual_seed(seed)
    model = build_model({"name": "unet", "widths": list(WIDTHS), "norm": "batch"})
    batches = Batches(images[train], targets[train], recipe, seed=seed, device=device, mean=46.6, std=54.7)
    fit(model, batches, recipe, device=device, seed=seed, precision=precision)
    predicted = predict_probability(model, batches, images[test], precision=precision) > 0.5
    return pooled_scores(predicted, targets[test] == 1)["dice"]


def compare(data_root, seeds, steps, device, synthetic):
    """Return the Dice of every seed in both precisions, the difference of the means and the spread over seeds."""
    image_set, masks, split = load(data_root, synthetic)
    train, test = choose_split(image_set.rows, split)
    images, targets = torch.from_numpy(image_set.images), torch.from_numpy(masks.astype(np.uint8))
    recipe = Recipe(loss="soft_dice", optimizer="adam", learning_rate=2e-3, batch_size=4, steps=steps)
    dice = {"float32": [], "bfloat16": []}
    for seed, precision in itertools.product(range(seeds), dice):
        began = time.perf_counter()
        dice[precision].append(dice_of(precision, seed, images, targets, train, test, recipe, device))
        print(
            f"seed {seed}, {precision}: Dice {dice[precision][-1]:.4f} ({time.perf_counter() - began:.0f} s)",
            flush=True,
        )
    means = {name: statistics.mean(values) for name, values in dice.items()}
    spreads = {name: statistics.stdev(values) for name, values in dice.items()}
    difference = means["bfloat16"] - means["float32"]
    return {
        "data": "synthetic scans" if synthetic else "oct_dme_chiu2015, union of both graders",
        "test images": len(test),
        "updates": steps,
        "dice": {name: [round(value, 4) for value in values] for name, values in dice.items()},
        "mean": {name: round(value, 4) for name, value in means.items()},
        "SD over seeds": {name: round(value, 4) for name, value in spreads.items()},
        "bfloat16 minus float32": round(difference, 4),
        "within the seed spread": verdict(dice, abs(difference) <= max(spreads.values())),
    }


def verdict(dice, is_within):
    """Return yes or no, or why neither can be decided: a network that found nothing makes any spread wide."""
    failed = [f"{name}, seed {seed}" for name, values in dice.items() for seed, v in enumerate(values) if not v > 0.1]
    if failed:
        return f"inconclusive: nothing was learned with {'; '.join(failed)}"
    return "yes" if is_within else "no"


def main():
    """Train, print and keep the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", default="data")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--synthetic", action="store_true", help="synthetic scans instead of real ones")
    options = parser.parse_args()
    device = choose_device(options.device)
    found = compare(options.data_root, options.seeds, options.steps, device, options.synthetic)
    print(found)
    name = f"precision_{'synthetic' if options.synthetic else 'real'}.json"
    write_json(kit_root() / "benchmarks" / "results" / name, {"machine": describe_machine(device)} | found)


if __name__ == "__main__":
    main()
