"""What a reproduction report states about a finished run, as plain data for the template."""

import json
import math
import shlex
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retina_kit.authoring.training_compute import flops_of, num_weights
from retina_kit.comparison.finished_runs import FinishedRun
from retina_kit.errors import KitError
from retina_kit.experiment import Experiment
from retina_kit.fractions import FRACTION
from retina_kit.papers.audit import find_anomalies
from retina_kit.reporting.saved_run import read_claims, read_comparison
from retina_kit.reporting.tables import show_comparison
from retina_kit.reporting.units import estimate
from retina_kit.training.arm import Arm

READERS_COLUMNS = ["arm", "metric", "ours", "SD over seeds", "95 % interval", "the paper", "note"]


def gather_facts(experiment: Experiment, run: FinishedRun) -> dict[str, Any]:
    """Collect everything that the report of a run needs; tables and claims are read from its folder."""
    results, published = run.results, experiment.published
    claims = _claims(run.folder)
    made = {figure["id"] for figure in results["figures"]} | set(results["tables"])
    return {
        "title": published.paper.title,
        "citation": published.paper.citation,
        "question": experiment.definition.question,
        "profile": experiment.profile,
        "data": experiment.data,
        "is_smoke": experiment.profile == "smoke",
        "is_synthetic": experiment.data == "synthetic",
        "version": results["versions"]["retina-kit"],
        "claims": claims,
        "has_controls": any(claim["kind"] == "control" for claim in claims),
        "verdicts": _verdicts(claims),
        "not_reproduced": [item for item in published.artifacts if item.id not in made],
        "arms": _arms(experiment),
        "num_arms": len(experiment.arms),
        "roles": _count(Counter(arm.role for arm in experiment.arms)),
        "num_runs": len(results["arms"]),
        "seeds": ", ".join(map(str, results["seeds"])),
        "data_says": results["data_says"],
        "fingerprints": results["data_fingerprints"],
        "settings": [[_cell(value) for value in row] for row in experiment.settings().to_numpy().tolist()],
        "setup": _setup(results),
        "command": command_of(experiment),
        "tables": _tables(experiment, run.folder),
        "deviations": _deviations(experiment),
        "audit": find_anomalies(published).to_dict("records"),
        **_cost(experiment, run),
    }


def command_of(experiment: Experiment) -> str:
    """Return the command that makes a run again, for a shell in the folder where `data_root` is."""
    files = experiment.definition.files
    parts = ["retina-kit run", "." if files.is_own else experiment.paper]
    parts += [f"--profile {experiment.profile}", f"--data {experiment.data}"]
    for name, value in experiment.changed_settings().items():
        if name == "seeds":
            parts.append(f"--seeds {','.join(map(str, value))}")
        elif name == FRACTION:
            parts.append(f"--fraction {value!r}")
        else:
            text = value if isinstance(value, str) else as_toml(value)
            parts.append(f"--set {shlex.quote(f'{name}={text}')}")
    parts += [] if experiment.precision == "auto" else [f"--precision {experiment.precision}"]
    return " ".join(parts)


def as_toml(value: Any) -> str:
    """Return a value as --set reads it: TOML on one line.

    >>> as_toml([0.5, 2]), as_toml({"stare": 64}), as_toml(["gray", "equalize"]), as_toml(True)
    ('[0.5, 2]', '{"stare" = 64}', '["gray", "equalize"]', 'true')
    """
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)} = {as_toml(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    return json.dumps(value)


def _cell(value: Any) -> str:
    """Return a value as the text of a cell of a Markdown table."""
    return str(value).replace("|", "\\|").replace("\n", " ")


def _claims(folder: Path) -> list[dict[str, Any]]:
    """Read the claims and verdicts of a run."""
    table = read_claims(folder)
    rows = table.fillna({"statistic": "", "sentence": ""}).to_dict("records") if len(table) else []
    for row in rows:
        row["estimate"] = estimate(row["estimate"], row["ci_low"], row["ci_high"])
        row["statement"], row["sentence"] = _cell(row["statement"]), _cell(row["sentence"])
    return rows


def _verdicts(claims: list[dict[str, Any]]) -> str:
    """Sum up the verdicts in one sentence per kind of claim."""
    sentences = []
    for kind in ("replication", "control"):
        found = Counter(claim["verdict"] for claim in claims if claim["kind"] == kind)
        if found:
            sentences.append(f"{kind.capitalize()} claims: {_count(found)}.")
    return " ".join(sentences) or "No claim was tested."


def _count(counter: "Counter[str]") -> str:
    """Return counts as "2 control, 1 replication"."""
    return ", ".join(f"{count} {name}" for name, count in sorted(counter.items()))


def _arms(experiment: Experiment) -> list[dict[str, Any]]:
    """Describe the network of each arm."""
    rows = []
    for arm in experiment.arms:
        options = ", ".join(f"{key} {value}" for key, value in arm.model.items() if key != "name")
        row = {"name": arm.name, "label": arm.title, "role": arm.role, "parent": arm.parent or "random weights"}
        row |= {"network": f"{arm.model['name']} ({options})", "weights": f"{num_weights(arm):,}"}
        rows.append({key: _cell(value) for key, value in row.items()})
    return rows


def _tables(experiment: Experiment, folder: Path) -> list[dict[str, Any]]:
    """Read the tables that compare this run with the paper, each as rows of text."""
    labels = experiment.labels
    found = []
    for table in experiment.definition.tables:
        path = folder / "tables" / f"{table.id}.csv"
        if path.is_file():
            shown = show_comparison(read_comparison(path), labels)
            rows = [[_cell(value) for value in row] for row in shown[READERS_COLUMNS].to_numpy().tolist()]
            found.append({"id": table.id, "title": table.title, "rows": rows})
    return found


def _setup(results: dict[str, Any]) -> str:
    """Describe where the runs were made."""
    versions = results["versions"]
    text = f"retina-kit {versions['retina-kit']}, Python {versions['python']}, PyTorch {versions['torch']}"
    text += f" on {results['machine']}"
    return f"{text}, commit {results['git_commit']}." if results.get("git_commit") else f"{text}."


def _cost(experiment: Experiment, run: FinishedRun) -> dict[str, str]:
    """Sum up hours, devices, memory and operations of all runs."""
    results = run.results
    seconds = sum(entry["seconds"] for entry in results["arms"])
    memory = max((entry["peak_memory_mb"] for entry in results["arms"]), default=0)
    steps = [(experiment.arm(entry["arm"]), run.stored(entry["hash"]).settings["steps"]) for entry in results["arms"]]
    return {
        "hours": f"{seconds / 3600:,.1f} hours" if seconds >= 360 else f"{seconds:.0f} seconds",
        "devices": ", ".join(sorted({entry["device"] for entry in results["arms"]})),
        "memory": f"{memory:,} MiB",
        "flops": _compute(steps),
    }


def _compute(steps: list[tuple[Arm, int]]) -> str:
    """Describe the operations of some runs, each an arm and its steps; an estimate that fails gives its reason."""
    try:
        flops = flops_of(steps)
    except (KitError, RuntimeError) as error:
        return f"not estimated ({_cell(error)})"
    exponent = math.floor(math.log10(flops)) if flops else 0
    return f"{flops / 10**exponent:.1f} x 10^{exponent} floating-point operations" if flops else "not estimated"


def _deviations(experiment: Experiment) -> list[str]:
    """List what differs from the paper as far as the settings tell: other values, our own choices, arms left out."""
    lines = []
    for name, setting in experiment.definition.settings.items():
        value = experiment.parameters[name]
        if setting.ours:
            lines.append(f"`{name}` ({setting.what}): the paper does not report it; {value!r} is ours")
        elif value != setting.paper:
            where = f", {setting.where}" if setting.where else ""
            lines.append(f"`{name}` ({setting.what}): {value!r} here, {setting.paper!r} in the paper{where}")
    lines += [f"arm {name} is left out: {reason}" for name, reason in experiment.left_out.items()]
    return lines
