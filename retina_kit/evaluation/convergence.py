"""How fast an arm got where it got: the updates and epochs to a share of its final score."""

import math

import pandas as pd

COLUMNS = ("arm", "seed", "final", "first updates", "first epochs", "updates", "epochs", "of updates", "of epochs")


def convergence_of(histories, metric, epochs_of_update, share=0.95):
    """Return one row an arm and seed: the final score, and when `share` of it was reached, first and for good.

    `histories` has a row an update: arm, seed, step, and `metric` where there was a validation. `epochs_of_update`
    maps an arm to the passes over its images that one update is. The final score is the mean of the last three
    validations. "first" is the first validation at or above the share, which may be a lucky one; updates and
    epochs are those of the first from which the curve stays there. An arm that ends at 0 has learned nothing and
    reaches nothing (NaN).
    """
    records = []
    for (arm, seed), rows in histories.dropna(subset=[metric]).groupby(["arm", "seed"], sort=False):
        curve = rows.sort_values("step").set_index("step")[metric]
        final = float(curve.iloc[-3:].mean())
        below = curve.index[curve < share * final]
        after = curve.index[curve.index > below[-1]] if len(below) else curve.index
        updates = float(after[0]) if len(after) and final > 0 else math.nan
        reached = curve.index[curve >= share * final]
        first = float(reached[0]) if len(reached) and final > 0 else math.nan
        times, passes = (first, updates, float(curve.index[-1])), epochs_of_update[arm]
        records.append((arm, seed, final, *[value for time in times for value in (time, time * passes)]))
    return pd.DataFrame(records, columns=COLUMNS)
