"""Estimates what a batch will cost before it starts: hours, memory and disk, from measured steps."""

import copy
import dataclasses
import itertools
import json
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from retina_kit.models.layout import to_device
from retina_kit.runs.execute import peak_memory_mb
from retina_kit.runs.plan import Job
from retina_kit.runs.store import RunStore, canonical_hash
from retina_kit.training.batches import Batches
from retina_kit.training.device import choose_device, device_name, resolve_precision
from retina_kit.training.loop import fit, is_due
from retina_kit.training.prepare import prepare_arm, start_model

DECIDES_COST = ("loss", "auxiliary_loss", "auxiliary_weight", "optimizer", "batch_size", "augmentation")
PROBE_SECONDS, PROBE_STEPS = 0.3, 3  # at least; the median step counts
LONG_ENOUGH = 1.0  # seconds of a step that is measured once
PROBE_IMAGES = 2  # that a probe predicts, and takes of a large batch: BatchNorm needs two
LARGE_STEP = 100.0  # GFLOP: seconds on two cores; a larger step is not made in full
SECONDS = ("training_seconds", "evaluation_seconds", "seconds")
ROOM_FOR_OPTIMIZER = 3  # a checkpoint contains the weights and up to two momenta of each


def cost_key(description: dict[str, Any], precision: str) -> str:
    """Hash what decides the time and memory of one step; seed, number of steps and learning rate do not.

    `precision` is what the run computes in, "float32" or "bfloat16".
    """
    recipe = {key: value for key, value in description["recipe"].items() if key in DECIDES_COST}
    data = {key: value for key, value in description["data"].items() if key != "mask"}
    parts = {key: description.get(key) for key in ("task", "model", "split", "evaluation")}
    length = [unit for unit in ("steps", "epochs") if description["recipe"].get(unit)]  # none: nothing is trained
    parts |= {"recipe": recipe, "data": data, "freeze": description.get("freeze", []), "length": length}
    parts["precision"] = precision
    return canonical_hash(parts)


def measured_costs(store: RunStore, device: torch.device) -> dict[str, dict[str, Any]]:
    """Take {cost key: cost of a step} from the finished runs of a store on this kind of device; newest wins."""
    costs: dict[str, dict[str, Any]] = {}
    for run in sorted(store.runs(), key=lambda run: (run.folder / "settings.json").stat().st_mtime):
        facts = run.settings
        if facts.get("steps") and facts["device"] == device_name(device):
            weights = sum(path.stat().st_size for path in run.folder.glob("*.safetensors"))
            costs[cost_key(facts["description"], facts["precision"])] = {
                "seconds_a_step": facts["seconds"] / facts["steps"],  # reading, validating and scoring included
                "scoring_seconds": None,
                "validation_seconds": None,
                "gflop_a_step": None,
                "steps": facts["steps"],
                "length": _length_of(facts["description"]["recipe"]),
                "memory_mb": facts["peak_memory_mb"],
                "weights_mb": weights / 2**20,
                "from": "past runs",
            }
    return costs


def _length_of(recipe: dict[str, Any]) -> int:
    """Return the length of a training in the unit of its recipe: steps or epochs."""
    return recipe.get("steps") or recipe.get("epochs") or 0


def probe(job: Job, data_root: str | Path, device: torch.device) -> dict[str, Any]:
    """Measure the cost of a job on a few real steps of it, and on predicting a few of its test images."""
    task = prepare_arm(job.arm, job.seed, job.fold, data_root)
    model, batches = start_model(job.arm, job.seed), task.make_batches(job.seed, device)
    to_device(model, device)
    step = _cost_of_a_step(job, model, batches, device) if len(batches) else Step(0.0, 0.0, 0.0)
    for number in (1, PROBE_IMAGES):  # the first one is slow, unless it is large
        index, began = task.test[:number], time.perf_counter()
        task.predict(model, batches, index, precision=job.precision)
        an_image = (time.perf_counter() - began) / len(index)
        if an_image > PROBE_SECONDS:
            break
    return {
        "seconds_a_step": step.seconds,
        "scoring_seconds": an_image * len(task.test) * len(job.arm.evaluation.variants),
        "validation_seconds": an_image * (job.arm.evaluation.validate_on or len(task.validation)),
        "gflop_a_step": step.gflop,
        "steps": len(batches),
        "length": _length_of(job.description["recipe"]),
        "memory_mb": round(peak_memory_mb(device) + step.more_memory_mb),
        "weights_mb": sum(tensor.nbytes for tensor in model.state_dict().values()) / 2**20,
        "from": "a probe",
    }


class Step(NamedTuple):
    """What a step costs: seconds, GFLOP forward and backward, and MiB that measuring it did not take."""

    seconds: float
    gflop: float
    more_memory_mb: float


def _cost_of_a_step(job: Job, model: nn.Module, batches: Batches, device: torch.device) -> Step:
    """Measure a step; on a CPU a large one is measured on a few images and multiplied to the size of the batch."""
    times = min(batches.recipe.batch_size, len(batches.images)) / PROBE_IMAGES
    if device.type == "cpu" and times > 1:
        few = copy.copy(batches)
        few.recipe = dataclasses.replace(batches.recipe, batch_size=PROBE_IMAGES)
        gflop, kept_mb = _first_step(job, model, few, device)
        if gflop * times > LARGE_STEP:
            seconds = _median_seconds(job, model, few, device)
            return Step(seconds * times, gflop * times, kept_mb * (times - 1))
    gflop, _ = _first_step(job, model, batches, device)
    return Step(_median_seconds(job, model, batches, device), gflop, 0.0)


def _first_step(job: Job, model: nn.Module, batches: Batches, device: torch.device) -> tuple[float, float]:
    """Make one step, slow as every first one; return its GFLOP and the MiB that autograd keeps for the way back."""
    kept: dict[int, int] = {}  # {where a tensor lies: its bytes}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.data_ptr()] = tensor.nbytes
        return tensor

    with FlopCounterMode(display=False) as counter, saved_tensors_hooks(keep, lambda tensor: tensor):
        fit(model, batches, job.arm.recipe, device=device, precision=job.precision, watch=lambda *_: True)
    return counter.get_total_flops() / 1e9, sum(kept.values()) / 2**20


def _median_seconds(job: Job, model: nn.Module, batches: Batches, device: torch.device) -> float:
    """Measure the median seconds of a few steps."""
    marks = [time.perf_counter()]

    def watch(step: int, num_steps: int, losses: list[torch.Tensor], scores: dict[str, float]) -> bool:
        losses[-1].item()  # waits for the device
        marks.append(time.perf_counter())
        enough = len(marks) > PROBE_STEPS or marks[-1] - marks[-2] > LONG_ENOUGH
        return enough and marks[-1] - marks[0] > PROBE_SECONDS

    fit(model, batches, job.arm.recipe, device=device, precision=job.precision, watch=watch)
    return statistics.median(later - earlier for earlier, later in itertools.pairwise(marks))


def _evaluation_seconds(job: Job, steps: int, cost: dict[str, Any]) -> float | None:
    """Sum up the validations of a run and the scoring of its test images; None if they are part of its steps."""
    if cost["scoring_seconds"] is None:
        return None
    num_validations = sum(is_due(step, job.arm.recipe.validate_every, steps) for step in range(steps))
    return cost["scoring_seconds"] + num_validations * cost["validation_seconds"]


def estimate_costs(
    jobs: Iterable[Job],
    store: RunStore,
    data_root: str | Path,
    device: str,
    notify: Callable[[str], None] = lambda _: None,
) -> list[dict[str, Any]]:
    """Estimate each of these jobs: a row with seconds, memory, disk, and what they were taken from.

    `seconds` is `training_seconds`, which count the arm's own number of steps, plus `evaluation_seconds`. Costs that
    past runs tell include reading and evaluating; then `evaluation_seconds` and `gflop_a_step` are None. Jobs of one
    cost key are measured once, and `notify` is told before.
    """
    chosen = choose_device(device)
    costs, rows = measured_costs(store, chosen), []
    for job in jobs:
        key = cost_key(job.description, resolve_precision(chosen, job.precision))
        if key not in costs:
            notify(f"measuring a step of {job.arm.name}")
            costs[key] = probe(job, data_root, chosen)
        cost = costs[key]
        of_epochs = cost["steps"] * (job.arm.recipe.epochs or 0) / (cost["length"] or 1)
        steps = round(job.arm.recipe.steps or of_epochs)
        training, evaluation = steps * cost["seconds_a_step"], _evaluation_seconds(job, steps, cost)
        rows.append(
            {
                "run": job.title,
                "arm": job.arm.name,
                "steps": steps,
                "gflop_a_step": cost["gflop_a_step"],
                "training_seconds": training,
                "evaluation_seconds": evaluation,
                "seconds": training + (evaluation or 0.0),
                "memory_mb": cost["memory_mb"],
                "disk_mb": cost["weights_mb"],
                "checkpoint_mb": cost["weights_mb"] * ROOM_FOR_OPTIMIZER,
                "from": cost["from"],
            }
        )
    return rows


def by_arm(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Tabulate where the time goes: a row per paper and arm, the most expensive arm of each paper first.

    Columns: paper, arm, runs, steps (of one run), gflop_a_step, then the seconds of all its runs for training,
    evaluation and both, and peak_memory_mb of a process.

    >>> run = {"paper": "hu2018", "arm": "scratch", "steps": 100, "gflop_a_step": 2.0, "training_seconds": 30.0,
    ...        "evaluation_seconds": 1.5, "seconds": 31.5, "memory_mb": 600}
    >>> by_arm([run, run]).to_dict("records")  # doctest: +NORMALIZE_WHITESPACE
    [{'paper': 'hu2018', 'arm': 'scratch', 'runs': 2, 'steps': 100, 'gflop_a_step': 2.0, 'training_seconds': 60.0,
      'evaluation_seconds': 3.0, 'seconds': 63.0, 'peak_memory_mb': 600}]
    """
    if not rows:
        return pd.DataFrame()
    sums = {name: (name, lambda values: values.sum(min_count=1)) for name in SECONDS}
    groups = pd.DataFrame(rows).astype(dict.fromkeys(["gflop_a_step", *SECONDS], float)).groupby(["paper", "arm"])
    table = groups.agg(
        runs=("arm", "size"), steps=("steps", "max"), gflop_a_step=("gflop_a_step", "max"), **sums,
        peak_memory_mb=("memory_mb", "max"),
    )  # fmt: skip
    return table.reset_index().sort_values(["paper", "seconds"], ascending=[True, False], ignore_index=True)


def summary(rows: list[dict[str, Any]], device: str, workers: int) -> dict[str, Any]:
    """Sum these rows up, as the lines and the facts that `--plan` prints."""
    chosen = choose_device(device)
    kind = "CPU" if chosen.type == "cpu" else "GPU"
    hours = sum(row["seconds"] for row in rows) / 3600
    memory = max((row["memory_mb"] for row in rows), default=0)
    disk = sum(row["disk_mb"] for row in rows) + workers * max((row["checkpoint_mb"] for row in rows), default=0)
    sources = sorted({row["from"] for row in rows})
    facts = {
        "runs": len(rows),
        "device": device_name(chosen),
        f"{kind.lower()}_hours": round(hours, 4),
        "hours_to_wait": round(hours / max(1, min(workers, len(rows))), 4),
        "memory_mb_per_run": memory,
        "disk_mb": round(disk, 1),
        "measured_by": sources,
    }
    lines = [
        f"{len(rows)} runs to train on {device_name(chosen)}: {hours:.3g} {kind} hours, measured by "
        f"{' and '.join(sources) or 'nothing: all runs are in the store'}",
        f"memory: {memory:,} MiB per run; disk: {disk:,.0f} MiB with checkpoints",
    ]
    arms = by_arm(rows)
    for paper, table in arms.groupby("paper") if rows else ():
        lines += ["", f"{paper}: {table['seconds'].sum():,.0f} s", as_text(table.drop(columns="paper"))]
    return {"text": lines, **facts, "arms": json.loads(arms.to_json(orient="records")), "rows": rows}


def as_text(table: pd.DataFrame) -> str:
    """Print a table of `by_arm`, with "-" for what nobody has measured."""
    return table.to_string(index=False, na_rep="-", float_format=lambda value: f"{value:.1f}")
