"""How long a whole paper takes in a profile: updates counted, seconds an update measured, the rest multiplied."""

import dataclasses
import json
import statistics

from benchmarks.steps import seconds_of_steps, work_of_a_step
from retina_kit.experiment import Experiment
from retina_kit.experiment_file import list_papers
from retina_kit.schema import to_json


def plan_paper(paper, profile, device, num_steps):
    """Return the updates of all replicates and the seconds that they will take, by measured seconds an update.

    Arms with the same network, batch and image size share one measurement. `seconds` is updates times seconds
    an update: extrapolated, without validation, scoring and the notebook.
    """
    if paper not in list_papers():
        return {"left out": f"{paper} has no experiment file in this checkout yet"}
    experiment = Experiment(paper, profile, "synthetic", device=str(device))
    shapes, lengths = {}, {}
    for job in experiment.jobs:
        recipe, arm = job.arm.recipe, job.arm.name
        if recipe.steps or recipe.epochs:
            if (arm, job.fold) not in lengths:
                batches = experiment.batches(arm, fold=job.fold)
                lengths[arm, job.fold] = len(batches)
            shape = shapes.setdefault(
                shape_of(job.arm), {"arm": arm, "recipe": recipe, "batches": batches, "steps": []}
            )
            shape["steps"].append(lengths[arm, job.fold])
    rows = [measure_shape(experiment, shape, device, num_steps) for shape in shapes.values()]
    updates, seconds = (sum(row[name] for row in rows) for name in ("updates", "seconds"))
    flops = sum(row["updates"] * row["gflop"] for row in rows)
    return {
        "replicates": len(experiment.jobs),
        "updates": updates,
        "seconds": round(seconds),
        "gflop_per_s": round(flops / seconds, 1),
        "gflop": round(flops),
        "measured": rows,
    }


def shape_of(arm):
    """Return what an update's cost depends on, as text: network, batch, augmentation, size of the images."""
    recipe, data = arm.recipe, arm.data
    facts = [arm.model, recipe.batch_size, to_json(recipe.augmentation), recipe.auxiliary_weight]
    return json.dumps([*facts, arm.freeze, data.size, data.scale, data.options])


def measure_shape(experiment, shape, device, num_steps):
    """Return one row: an arm that stands for its like, its updates in all, and its measured seconds an update."""
    arm, recipe = experiment.arm(shape["arm"]), shape["recipe"]
    images, _ = shape["batches"].sample(0)
    short = dataclasses.replace(recipe, steps=num_steps + 2, epochs=0, validate_every=0)
    shape["batches"].recipe = short
    seconds = seconds_of_steps(experiment.model(shape["arm"]), shape["batches"], short, device=device,
                               num_steps=num_steps)  # fmt: skip
    median = statistics.median(seconds)
    work = work_of_a_step(arm.model, tuple(images.shape), auxiliary=recipe.auxiliary_weight > 0)
    return {
        "arm": shape["arm"],
        "shape": list(images.shape),
        "replicates": len(shape["steps"]),
        "updates": sum(shape["steps"]),
        "seconds an update": round(median, 4),
        "gflop": round(work["flops"] / 1e9, 3),
        "seconds": round(sum(shape["steps"]) * median, 1),
    }
