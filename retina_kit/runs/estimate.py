"""Estimates what a batch will cost before it starts: hours, memory and disk, from measured steps."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from retina_kit.runs.execute import peak_memory_mb
from retina_kit.runs.plan import Job
from retina_kit.runs.store import RunStore, canonical_hash
from retina_kit.training.device import choose_device, device_name
from retina_kit.training.inference import predict_probability
from retina_kit.training.loop import Stopwatch, fit
from retina_kit.training.prepare import prepare_arm, start_model

DECIDES_COST = ("loss", "auxiliary_loss", "auxiliary_weight", "optimizer", "batch_size", "augmentation")
PROBE_SECONDS = 4.0
ROOM_FOR_OPTIMIZER = 3  # a checkpoint contains the weights and up to two momenta of each


def cost_key(description: dict[str, Any]) -> str:
    """Hash what decides the time and memory of one step; seed, length and learning rate do not."""
    recipe = {key: value for key, value in description["recipe"].items() if key in DECIDES_COST}
    data = {key: value for key, value in description["data"].items() if key != "mask"}
    parts = {key: description.get(key) for key in ("task", "model", "split")}
    return canonical_hash(parts | {"recipe": recipe, "data": data, "freeze": description.get("freeze", [])})


def measured_costs(store: RunStore, device: torch.device) -> dict[str, dict[str, Any]]:
    """Take {cost key: cost of a step} from the finished runs of a store on this kind of device; newest wins."""
    costs: dict[str, dict[str, Any]] = {}
    for run in store.runs():
        facts = run.settings
        if facts.get("steps") and facts["device"] == device_name(device):
            weights = sum(path.stat().st_size for path in run.folder.glob("*.safetensors"))
            costs[cost_key(facts["description"])] = {
                "seconds_a_step": facts["seconds"] / facts["steps"],  # reading, validating and scoring included
                "extra_seconds": 0.0,
                "steps": facts["steps"],
                "memory_mb": facts["peak_memory_mb"],
                "weights_mb": weights / 2**20,
                "from": "past runs",
            }
    return costs


def probe(job: Job, data_root: str | Path, device: torch.device) -> dict[str, Any]:
    """Measure the cost of a job on a few real steps of it, and on scoring a few of its test images."""
    task = prepare_arm(job.arm, job.seed, job.fold, data_root)
    recipe, model = job.arm.recipe, start_model(job.arm, job.seed)
    batches = task.make_batches(job.seed, device)
    fit(model, batches, recipe, device=device, precision=job.precision, watch=lambda *_: True)  # the first is slow
    clock = Stopwatch(PROBE_SECONDS)
    fit(model, batches, recipe, device=device, precision=job.precision, watch=clock)
    images, began = task.images[task.test[:4]], time.perf_counter()
    predict_probability(model, batches, images, precision=job.precision, batch_size=len(images))
    scoring = (time.perf_counter() - began) * len(task.test) / len(images)
    times = 1 + (len(batches) // recipe.validate_every if recipe.validate_every else 0)
    return {
        "seconds_a_step": clock.seconds / clock.num_steps,
        "extra_seconds": scoring * times,
        "steps": len(batches),
        "memory_mb": peak_memory_mb(device),
        "weights_mb": sum(tensor.nbytes for tensor in model.state_dict().values()) / 2**20,
        "from": "a probe",
    }


def estimate_costs(jobs: Iterable[Job], store: RunStore, data_root: str | Path, device: str) -> list[dict[str, Any]]:
    """Estimate each of these jobs: a row with seconds, memory, disk, and what they were taken from.

    `seconds` count the arm's own number of steps; jobs of one cost key are measured once.
    """
    chosen = choose_device(device)
    costs, rows, lengths = measured_costs(store, chosen), [], {}
    for job in jobs:
        key = cost_key(job.description)
        length = job.arm.recipe.steps or job.arm.recipe.epochs or 0
        if key not in costs:
            costs[key] = probe(job, data_root, chosen)
            lengths[key] = length
        cost = costs[key]
        steps = job.arm.recipe.steps or cost["steps"] * length / lengths.get(key, length)
        rows.append(
            {
                "run": job.title,
                "steps": round(steps),
                "seconds": steps * cost["seconds_a_step"] + cost["extra_seconds"],
                "memory_mb": cost["memory_mb"],
                "disk_mb": cost["weights_mb"],
                "checkpoint_mb": cost["weights_mb"] * ROOM_FOR_OPTIMIZER,
                "from": cost["from"],
            }
        )
    return rows


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
    return {"text": lines, **facts, "rows": rows}
