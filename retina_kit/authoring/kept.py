"""Keeps a finished run in notebooks/results: `python -m retina_kit.authoring.kept PAPER PROFILE DATA OUTPUT_ROOT`.

PAPER is a paper of the kit, or the folder of one of your own, whose results are kept in its own folder `results`. The
folder of the real data may follow, then the seeds of the run, such as 0,1,2,3,4.

Three files: the scores (.csv), the claims with their verdicts (_claims.csv), and on which machine, in which precision
and with which seeds they were made (_run.json). The last also has a fingerprint of what was run, so that a test can
tell when kept results no longer belong to the experiment.
"""

import dataclasses
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from retina_kit.experiment import Experiment
from retina_kit.experiment_file import find_paper
from retina_kit.files import atomic_path, kit_root
from retina_kit.machine import processor_name
from retina_kit.reporting.tables import collect_results
from retina_kit.runs.deciding_code import code_version
from retina_kit.runs.store import canonical_hash
from retina_kit.schema import to_json
from retina_kit.session import parse_seeds


def keep_run(experiment: Experiment, results: Path) -> list[Path]:
    """Copy the scores and claims of a finished run into a folder, and describe how they were made; return the files."""
    name = f"{experiment.paper}_{experiment.profile}_{experiment.data}"
    files = [results / f"{name}{end}" for end in (".csv", "_claims.csv", "_run.json")]
    with atomic_path(files[0]) as path:
        collect_results(experiment.folder, experiment.labels).to_csv(path, index=False)
    with atomic_path(files[1]) as path:
        shutil.copyfile(experiment.folder / "claims.csv", path)
    with atomic_path(files[2]) as path:
        path.write_text(json.dumps(_description(experiment), indent=1) + "\n", encoding="utf-8")
    return files


def _description(experiment: Experiment) -> dict[str, Any]:
    """Describe the machine, precision, seeds and cost of a finished run."""
    facts = [run.settings for run in map(experiment.store.find, (job.key for job in experiment.jobs)) if run]
    return {
        "processor": processor_name(),
        "precision": sorted({fact["precision"] for fact in facts}),
        "device": sorted({fact["device"] for fact in facts}),
        "torch": sorted({fact["torch"] for fact in facts}),
        "seeds": experiment.seeds,
        "runs": len(facts),
        "core_seconds": round(sum(fact["seconds"] for fact in facts)),
        "peak_memory_mb": max(fact["peak_memory_mb"] for fact in facts),
        "code": code_version(),
        "experiment": experiment_hash(name_of(experiment), experiment.profile, experiment.data),
    }


def name_of(experiment: Experiment) -> str | Path:
    """Return what finds the paper of an experiment again: its key, or the folder of one of your own."""
    files = experiment.definition.files
    return files.folder if files.is_own else experiment.paper


def results_folder(experiment: Experiment) -> Path:
    """Return the folder that keeps the results of a paper."""
    files = experiment.definition.files
    return files.folder / "results" if files.is_own else kit_root() / "notebooks" / "results"


def experiment_hash(paper: str | Path, profile: str, data: str) -> str:
    """Hash the arms and claims of an experiment as they are now, labels and wording left out.

    >>> len(experiment_hash("hu2018", "lesson", "synthetic"))
    16
    """
    definition = find_paper(paper)
    arms = definition.resolve_arms(profile, definition.resolve_settings(profile, data))
    tests = [to_json(dataclasses.replace(claim, transfer="")) for claim in definition.claims]
    claims = [{**test, "statement": "", "where": ""} for test in tests]
    return canonical_hash({"arms": [{**to_json(arm), "label": ""} for arm in arms], "claims": claims})


def main(paper: str, profile: str, data: str, output_root: str, data_root: str = "data", seeds: str = "") -> None:
    """Keep one run of this checkout."""
    experiment = Experiment(
        paper, profile, data, data_root=data_root, output_root=output_root, seeds=parse_seeds(seeds or None)
    )
    for path in keep_run(experiment, results_folder(experiment)):
        print(path)


if __name__ == "__main__":
    main(*sys.argv[1:])
