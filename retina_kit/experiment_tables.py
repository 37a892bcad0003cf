"""What a run will do and what it did, as tables: its settings, its arms, its replicates."""

import json

import pandas as pd


def settings_table(written, values):
    """Return the settings table: setting, this run, the paper, where it says so.

    `written` holds the settings of the experiment file, `values` what they are in this run.
    """
    rows = []
    for name, setting in written.items():
        paper = "not reported" if setting.ours else short(setting.paper)
        where = "ours" if setting.ours else setting.where
        rows.append((name, setting.what, short(values[name]), paper, where))
    return pd.DataFrame(rows, columns=["setting", "what it is", "this run", "the paper", "where it says so"])


def arms_table(arms):
    """Return one row an arm: its role, its parent, its loss, batch size and number of updates."""
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
                "updates": recipe.steps or (f"{recipe.epochs} epochs" if recipe.epochs else 0),
            }
        )
    return pd.DataFrame(rows)


def job_result(job, run):
    """Return what results.json says of one replicate."""
    facts = {key: run.settings[key] for key in ("seconds", "device", "precision", "torch", "peak_memory_mb")}
    who = {"arm": job.arm.name, "role": job.arm.role, "seed": job.seed, "fold": job.fold, "hash": job.key}
    return who | facts


def short(value):
    """Return a parameter's value as short text."""
    return json.dumps(value) if isinstance(value, dict | list) else str(value)
