"""A batch: train the arms of some papers, execute their notebooks, write the front page, and sum up."""

import contextlib
import sys
import time
from pathlib import Path

from retina_kit.errors import KitError, SetupError, UsageError
from retina_kit.experiment import Experiment
from retina_kit.experiment_file import list_papers
from retina_kit.files import kit_root
from retina_kit.runs.pool import sensible_workers
from retina_kit.training.device import choose_device


class Batch:
    """Some papers in one profile on one choice of data; every wrong setting is found before anything starts."""

    def __init__(self, papers, profile, data, *, data_root, output_root, seeds=None, overrides=None, device="auto",
                 workers=None, fresh=False, scheduler=None, slurm=None):  # fmt: skip
        """Resolve everything; `scheduler` is a Dask address, `slurm` a cluster file, both instead of `workers`.

        Without `workers` there is one a core, or one for a GPU; and one for `smoke`, which is over before a second
        process has begun.
        """
        self.output_root, self.fresh = Path(output_root), fresh
        self.where, self.cluster = (scheduler, slurm), None
        if self.output_root.exists() and not self.output_root.is_dir():
            raise UsageError(f"--output-root {output_root} is a file; name a folder, or one that does not exist yet")
        self.workers = workers or (1 if profile == "smoke" else sensible_workers(choose_device(device)))
        check_where(scheduler, slurm)
        self.parameters = {
            "profile": profile,
            "data": data,
            "data_root": str(data_root),
            "output_root": str(output_root),
            "seeds": seeds,
            "device": device,
            "overrides": overrides or {},
        }
        self.experiments = [Experiment(paper, **self.parameters) for paper in papers or list_papers()]
        for experiment in self.experiments:
            experiment.jobs  # noqa: B018  resolves every arm, so that a mistake stops here

    def explain(self):
        """Return what would be trained and what would be reused."""
        tables = {experiment.paper: experiment.explain() for experiment in self.experiments}
        lines = [f"{paper}\n{table.to_string(index=False)}" for paper, table in tables.items()]
        return {"text": lines, "papers": {paper: t.to_dict("records") for paper, t in tables.items()}}

    def plan(self):
        """Return how many replicates are to be trained, and their hours, memory and disk, from measured steps."""
        from retina_kit.runs.estimate import estimate, summary

        device, rows = self.parameters["device"], []
        for experiment in self.experiments:
            rows += estimate(experiment.jobs, experiment.store, experiment.data_root, device)
        return summary(rows, device, self.workers)

    def train(self):
        """Train what the run store lacks; return one summary row a paper."""
        return self._for_each(self._train)

    def run(self):
        """Train, execute the notebooks and write the pages; return one summary row a paper."""
        result = self._for_each(self._run)
        page = self._write_page()
        result["text"].append(f"front page: {page}")
        return result | {"index": str(page)}

    def _for_each(self, do):
        """Do something for each paper, go on after a failure, and return the summary with its exit code."""
        with open_cluster(*self.where, self.output_root / "runs") as self.cluster:
            return self._for_each_on_cluster(do)

    def _for_each_on_cluster(self, do):
        rows, code = [], 0
        for experiment in self.experiments:
            began, row = time.perf_counter(), {"paper": experiment.paper}
            try:
                row |= do(experiment)
                row["state"] = "done"
            except KitError as error:
                row |= {"state": "failed", "error": str(error)}
                code = code or (error.exit_code if error.exit_code in (5, 130) else 1)
                if error.exit_code == 130:
                    raise
            row["seconds"] = round(time.perf_counter() - began, 1)
            rows.append(row)
        return {"text": [line_of(row) for row in rows], "papers": rows, "exit_code": code}

    def _train(self, experiment):
        num_missing = experiment.num_missing()
        message = f"{experiment.paper}: {num_missing} of {len(experiment.jobs)} replicates to train"
        print(message, file=sys.stderr, flush=True)
        experiment.train(workers=self.workers, fresh=self.fresh, cluster=self.cluster)
        return {"trained": num_missing, "loaded": len(experiment.jobs) - num_missing}

    def _run(self, experiment):
        from retina_kit.reporting.export import export_html
        from retina_kit.reporting.notebook import execute_notebook

        row = self._train(experiment)
        folder = experiment.folder
        notebook = kit_root() / "notebooks" / f"{experiment.definition.notebook}.ipynb"
        began = time.perf_counter()
        promised = [folder / path for path in experiment.promised()]
        parameters = self.parameters | {"workers": self.workers}
        execute_notebook(notebook, folder / "notebook.ipynb", parameters, promised=promised, cwd=Path.cwd())
        export_html(folder / "notebook.ipynb", folder / "notebook.html", experiment.title)
        return row | {"notebook_seconds": round(time.perf_counter() - began, 1)}

    def _write_page(self):
        from retina_kit.reporting.site import build_site

        return build_site(self.output_root, paper_meta={name: meta_of(name) for name in list_papers()})


def check_where(scheduler, slurm):
    """Raise where a cluster is asked for that cannot be: both kinds, no dask, a wrong cluster file."""
    if scheduler and slurm:
        raise UsageError("give --scheduler or --slurm, not both")
    if scheduler or slurm:
        try:
            from retina_kit.runs.slurm import read_settings
        except ModuleNotFoundError as error:
            remedy = "pip install 'retina-kit[cluster]'"
            raise SetupError(f"a cluster needs {error.name}, which is not installed: {remedy}") from error
        if slurm:
            read_settings(slurm)


def open_cluster(scheduler, slurm, store_folder):
    """Return a context manager: a connection to a Dask cluster, a cluster started in Slurm, or None for neither."""
    if not scheduler and not slurm:
        return contextlib.nullcontext()
    from retina_kit.runs.dask_engine import Cluster
    from retina_kit.runs.slurm import slurm_cluster

    return Cluster(scheduler) if scheduler else slurm_cluster(slurm, store_folder / ".slurm")


def meta_of(paper):
    """Return what the front page says of a paper, as plain data: citation, claims, audit findings."""
    from retina_kit.papers.audit import find_anomalies
    from retina_kit.papers.published import read_published
    from retina_kit.schema import to_json

    published = read_published(paper)
    return {
        **to_json(published.paper),
        "artifacts": [to_json(artifact) for artifact in published.artifacts],
        "audit": find_anomalies(published).to_dict("records"),
    }


def line_of(row):
    """Return one summary line of a paper."""
    facts = [f"{row[key]} {key}" for key in ("trained", "loaded") if key in row]
    error = f": {row['error']}" if "error" in row else ""
    return f"{row['paper']}: {row['state']} in {row['seconds']} s ({', '.join(facts)}){error}"


def parse_seeds(text):
    """Return "0,1,2" as a list of integers, None as None."""
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise UsageError(f"--seeds {text!r} must be whole numbers with commas between, such as 0,1,2") from error


def parse_settings(settings):
    """Return ["name=value", ...] as a dict of texts; values are typed later, beside the parameter's default."""
    overrides = {}
    for setting in settings or []:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise UsageError(f"--set {setting!r} must be NAME=VALUE, such as --set steps=100")
        overrides[name.strip()] = value.strip()
    return overrides


def check_writable(folder):
    """Raise SetupError where a folder cannot be written to."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise SetupError(f"cannot write to {folder}: {error.strerror}; choose another --output-root") from error
