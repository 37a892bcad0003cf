"""How fast an arm got where it got: the updates and epochs to a share of its final score."""

import math

import pandas as pd

COLUMNS = ("arm", "seed", "final", "updates", "epochs", "of updates", "of epochs")


def convergence_of(histories, metric, epochs_of_update, share=0.95):
    """Return one row an arm and seed: the final score, and when `share` of it was reached for good.

    `histories` has a row an update: arm, seed, step, and `metric` where there was a validation. `epochs_of_update`
    maps an arm to the passes over its pictures that one update is. The final score is the mean of the last three
    validations, and the first validation from which the curve stays above the share counts, so that one lucky
    validation does not. An arm that ends at 0 has learned nothing and reaches nothing (NaN).
    """
    records = []
    for (arm, seed), rows in histories.dropna(subset=[metric]).groupby(["arm", "seed"], sort=False):
        curve = rows.sort_values("step").set_index("step")[metric]
        final = float(curve.iloc[-3:].mean())
        below = curve.index[curve < share * final]
        after = curve.index[curve.index > below[-1]] if len(below) else curve.index
        updates = float(after[0]) if len(after) and final > 0 else math.nan
        last, passes = float(curve.index[-1]), epochs_of_update[arm]
        records.append((arm, seed, final, updates, updates * passes, last, last * passes))
    return pd.DataFrame(records, columns=COLUMNS)
