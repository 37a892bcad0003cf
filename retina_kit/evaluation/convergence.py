"""Speed of convergence: the steps and epochs that an arm needs to reach a share of its final score."""

import math
from collections.abc import Mapping

import pandas as pd

from retina_kit.errors import UsageError

COLUMNS = ("arm", "seed", "final", "first steps", "first epochs", "steps", "epochs", "of steps", "of epochs")


def convergence_of(
    histories: pd.DataFrame, metric: str, epochs_per_step: Mapping[str, float], share: float = 0.95
) -> pd.DataFrame:
    """Return one row per arm and seed: the final score, and when `share` of it was reached, first and for good.

    `histories` has one row per step: arm, seed, step, and `metric` if there was a validation; UsageError if a step
    has several, as those of cross-validation have: choose a fold. `epochs_per_step`
    maps an arm to the epochs that one step is. The final score is the mean of the last three validations. "first" is
    the first validation at or above the share, which may be a lucky one; steps and epochs are those of the first from
    which the curve stays there. An arm with a final score of 0 has learned nothing and reaches nothing (NaN).

    >>> history = pd.DataFrame({"arm": "net", "seed": 0, "step": [10, 20, 30, 40], "dice": [0.1, 0.8, 0.8, 0.8]})
    >>> found = convergence_of(history, "dice", {"net": 0.5})
    >>> found[["steps", "epochs", "of steps"]].to_numpy().tolist()
    [[20.0, 10.0, 40.0]]
    """
    records = []
    for (arm, seed), rows in histories.dropna(subset=[metric]).groupby(["arm", "seed"], sort=False):
        curve = rows.sort_values("step").set_index("step")[metric]
        if curve.index.has_duplicates:
            raise UsageError(f"arm {arm}, seed {seed} has several validations of one step; choose a fold")
        final = float(curve.iloc[-3:].mean())
        below = curve.index[curve < share * final]
        after = curve.index[curve.index > below[-1]] if len(below) else curve.index
        steps = float(after[0]) if len(after) and final > 0 else math.nan
        reached = curve.index[curve >= share * final]
        first = float(reached[0]) if len(reached) and final > 0 else math.nan
        times, epochs = (first, steps, float(curve.index[-1])), epochs_per_step[arm]
        records.append((arm, seed, final, *[value for time in times for value in (time, time * epochs)]))
    return pd.DataFrame(records, columns=COLUMNS)
