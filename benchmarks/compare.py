"""The main comparison: this kit and other frameworks on one U-Net, in turns, with medians, spreads and ratios."""

import statistics
import tempfile

from benchmarks.machine import ceilings, higher, share_of_ceiling
from benchmarks.pacer import Rival, save_images
from benchmarks.steps import work_of_a_step
from retina_kit.data.synthetic.oct import generate_oct
from retina_kit.files import kit_root

NUM_PICTURES = 32
THE_KIT = "this kit"
ROWS = {  # row: module, settings, what it is; "fast" means only where the processor has instructions for it
    THE_KIT: ("kit", "best", "training/loop.py as it is"),
    "plain PyTorch": ("plain", "tutorial", "DataLoader, NCHW, float32"),
    "plain PyTorch, best": ("plain", "best", "channels_last, fused Adam, fast bfloat16"),
    "MONAI": ("monai_trainer", "tutorial", "SupervisedTrainer, CacheDataset"),
    "MONAI, best": ("monai_trainer", "best", "ThreadDataLoader, no decollation, channels_last, fast bfloat16"),
    "smp + Lightning": ("lightning_trainer", "tutorial", "Trainer, 32-true, statistics every step"),
    "smp + Lightning, best": ("lightning_trainer", "best", "channels_last, no statistics, fast bf16-mixed"),
    "Keras": ("keras_fit", "tutorial", "model.fit on arrays, float32, as melinscak2020's authors"),
    "Keras, 2020": ("keras_fit", "2020", "the same with TensorFlow's own operations, its default when they trained"),
    "Keras, best": ("keras_fit", "best", "tf.data cache and prefetch, fast mixed_bfloat16"),
}
WITHOUT_PEERS = (THE_KIT, "plain PyTorch", "plain PyTorch, best")


def compare(size, *, batch, device, rows, repeats, num_steps=None, together=len(ROWS)):
    """Return seconds an update of every row at one image size, with ratios to the kit and to the ceilings.

    Each row is a process of its own; `together` frameworks and the kit stay alive and take turns of
    `num_steps` updates, `repeats` times. By default a turn is one pass over the images, so that what a framework does
    between two passes counts as well. If they do not all fit into memory at once, the kit is in each group.
    """
    image_set = generate_oct(NUM_PICTURES // 4, 4, size, seed=0)
    best, found = ceilings(device), []
    work = work_of_a_step({"name": "unet"}, (batch, 1, *size))
    others = [name for name in rows if name != THE_KIT]
    with tempfile.TemporaryDirectory() as folder:
        path = save_images(image_set.images[:, 0], image_set.masks["fluid"].astype("uint8"), folder)
        for first in range(0, max(1, len(others)), together):
            names = [THE_KIT, *others[first : first + together]]
            rivals = take_turns(names, path, batch, device, repeats, num_steps or NUM_PICTURES // batch)
            best = higher(best, ceilings(device))
            own = rivals[THE_KIT].seconds
            found += [(name, rival, own) for name, rival in rivals.items() if name != THE_KIT or not first]
    return {
        "workload": f"U-Net of {work['weights']:,} weights, {batch} images of {size[0]}x{size[1]}",
        "device": str(device),
        "ceilings": best,
        "gflop a step": round(work["flops"] / 1e9, 1),
        "gigabytes a step at least": round(work["bytes"] / 1e9, 2),
        "rows": [row_of(name, rival, own, work, best) for name, rival, own in found],
    }


def take_turns(names, image_set, batch, device, repeats, num_steps):
    """Return the frameworks of these names after `repeats` turns of `num_steps` updates each."""
    rivals = {}
    try:
        for name in names:
            module, settings, _ = ROWS[name]
            rivals[name] = Rival(module, settings, image_set, batch, str(device), kit_root())
        for _ in range(repeats):
            for rival in rivals.values():
                rival.turn(num_steps)
    finally:
        for rival in rivals.values():
            rival.stop()
    return rivals


def side_by_side(count, size, *, batch, device, num_steps):
    """Return updates a second of `count` replicates that the kit trains at the same time on one device."""
    image_set = generate_oct(NUM_PICTURES // 4, 4, size, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        path = save_images(image_set.images[:, 0], image_set.masks["fluid"].astype("uint8"), folder)
        rivals = [Rival("kit", "best", path, batch, str(device), kit_root()) for _ in range(count)]
        for rival in rivals:
            rival.ask(num_steps)
        for rival in rivals:
            rival.answer()
            rival.stop()
    errors = [rival.error for rival in rivals if rival.error]
    if errors:
        return {"replicates": count, "error": errors[0]}
    return {"replicates": count, "updates a second": round(sum(1 / rival.seconds[0] for rival in rivals), 2)}


def row_of(name, rival, own, work, best):
    """Return one framework's row: seconds an update, ratios to the kit's `own` seconds and to the ceilings, memory."""
    row = {"row": name, "what": ROWS[name][2], "versions": rival.versions}
    if not rival.seconds:
        return row | {"error": rival.error}
    median = statistics.median(rival.seconds)
    return row | {
        "seconds": [round(value, 4) for value in rival.seconds],
        "median": round(median, 4),
        "fastest": round(min(rival.seconds), 4),
        "spread": round(max(rival.seconds) - min(rival.seconds), 4),
        "times the kit": round(median / statistics.median(own), 2) if own else None,
        "times the kit, fastest turns": round(min(rival.seconds) / min(own), 2) if own else None,
        **share_of_ceiling(work["flops"] / median, best),
        "start and first update": round(rival.first, 1),
        "peak_mb": rival.peak_mb,
        "peak_gpu_mb": rival.peak_gpu_mb,
    }


def lines_of(comparison):
    """Return a comparison as lines for people."""
    lines = [comparison["workload"], f"ceilings: {comparison['ceilings']}"]
    for row in comparison["rows"]:
        if "error" in row:
            lines.append(f"  {row['row']:24} could not take part: {row['error']}")
        else:
            ((ceiling, share),) = [(name, value) for name, value in row.items() if name.startswith("share of the")]
            lines.append(
                f"  {row['row']:24} {row['median']:8.3f} s an update (spread {row['spread']:.3f}), "
                f"{row['times the kit']:5.2f} times the kit's, "
                f"{share:5.1%} of {ceiling.removeprefix('share of ')}, {row['peak_mb']} MiB"
            )
    return lines
