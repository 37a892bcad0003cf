"""What differs between two finished runs of a paper: settings, code, data and machine, each exactly."""

from typing import Any

import pandas as pd

from retina_kit.comparison.finished_runs import FinishedRun
from retina_kit.reporting.tables import differing, flattened

COLUMNS = ("kind", "name", "a", "b")
NOT_SETTINGS = ("seed", "fold", "code", "data_fingerprint", "parent")  # of a run's description


def list_differences(a: FinishedRun, b: FinishedRun) -> pd.DataFrame:
    """Return one row per difference: its kind (settings, code, data, machine), its name, and both values."""
    facts = [
        ("settings", settings_of(a), settings_of(b)),
        ("code", code_of(a), code_of(b)),
        ("data", data_of(a), data_of(b)),
        ("machine", machine_of(a), machine_of(b)),
    ]
    rows = [(kind, *difference) for kind, one, two in facts for difference in differing(one, two)]
    return pd.DataFrame(rows, columns=COLUMNS)


def settings_of(run: FinishedRun) -> dict[str, Any]:
    """Return the settings of a run by name: profile, data choice, seeds, and all parameters."""
    results = run.results
    parameters = {name: value for name, value in results["parameters"].items() if name != "seeds"}
    return {"profile": results["profile"], "data": results["data"], "seeds": results["seeds"], **parameters}


def code_of(run: FinishedRun) -> dict[str, Any]:
    """Return the versions of the code: that which decides results, and the kit's commit."""
    codes = sorted({str(run.description(arm)["code"]) for arm in run.arms})
    return {"code version": ", ".join(codes), "git commit": run.results.get("git_commit", "")}


def data_of(run: FinishedRun) -> dict[str, Any]:
    """Return the fingerprints of the images and masks that the arms use, by data set."""
    found: dict[str, set[str]] = {}
    for arm in run.arms:
        description = run.description(arm)
        found.setdefault(description["data"]["dataset"], set()).add(str(description["data_fingerprint"]))
    return {name: ", ".join(sorted(fingerprints)) for name, fingerprints in found.items()}


def machine_of(run: FinishedRun) -> dict[str, Any]:
    """Return what the runs were made on: system, devices, precision, and the versions of the libraries."""
    facts = {"system": run.results.get("machine", "")}
    for name in ("device", "precision"):
        facts[name] = ", ".join(sorted({str(entry[name]) for entry in run.results["arms"] if name in entry}))
    return facts | run.results.get("versions", {})


def arm_differences(a: FinishedRun, b: FinishedRun) -> pd.DataFrame:
    """Return one row per setting of an arm that differs: arm, setting such as "recipe.steps", and both values.

    Arms that only one of the runs has are not listed; an arm whose parent differs has a row "start".
    """
    rows = []
    for arm in [arm for arm in a.arms if arm in b.arms]:
        if a.hashes(arm) == b.hashes(arm):
            continue
        one, two = a.description(arm), b.description(arm)
        found = differing(*(dict(flattened({k: v for k, v in d.items() if k not in NOT_SETTINGS})) for d in (one, two)))
        if one["parent"] != two["parent"]:
            found.append(("start", "another run of its parent", "another run of its parent"))
        rows += [(arm, *difference) for difference in found]
    return pd.DataFrame(rows, columns=["arm", "setting", "a", "b"])
