"""What a run will do and what it did, as tables: its settings, its arms, its runs."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from retina_kit.experiment_file import Setting
    from retina_kit.runs.plan import Job
    from retina_kit.runs.store import Run
    from retina_kit.training.arm import Arm


def settings_table(written: "Mapping[str, Setting]", values: Mapping[str, Any]) -> pd.DataFrame:
    """Return the settings table: setting, this run, the paper, where it says so.

    `written` holds the settings of the experiment file, `values` what they are in this run.
    """
    rows = []
    for name, setting in written.items():
        paper = "not reported" if setting.ours else short(setting.paper)
        where = "ours" if setting.ours else setting.where
        rows.append((name, setting.what, short(values[name]), paper, where))
    return pd.DataFrame(rows, columns=["setting", "what it is", "this run", "the paper", "where it says so"])


def arms_table(arms: "Sequence[Arm]") -> pd.DataFrame:
    """Tabulate the arms, one row each: role, parent, loss, batch size and number of steps."""
    rows = []
    for arm in arms:
        recipe = arm.recipe
        rows.append(
            {
                "arm": arm.name,
                "what it is": arm.title,
                "role": arm.role,
                "starts from": arm.parent or "random weights",
                "loss": recipe.loss,
                "batch": recipe.batch_size,
                "steps": recipe.steps or (f"{recipe.epochs} epochs" if recipe.epochs else 0),
            }
        )
    return pd.DataFrame(rows)


def job_result(job: "Job", run: "Run") -> dict[str, Any]:
    """Describe one run for results.json."""
    facts = {key: run.settings[key] for key in ("seconds", "device", "precision", "torch", "peak_memory_mb")}
    who = {"arm": job.arm.name, "role": job.arm.role, "seed": job.seed, "fold": job.fold, "hash": job.key}
    return who | facts


def short(value: Any) -> str:
    """Return a parameter's value as short text."""
    return json.dumps(value) if isinstance(value, dict | list) else str(value)
