"""A session: train the arms of some papers, execute their notebooks, write the front page, and sum up."""

import contextlib
import functools
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retina_kit.data.card import own_cards
from retina_kit.data.synthetic.kept import keep_images
from retina_kit.errors import KitError, UsageError
from retina_kit.evaluation.claims import headline
from retina_kit.experiment import Experiment
from retina_kit.experiment_file import find_paper, list_papers
from retina_kit.fractions import FRACTION
from retina_kit.runs.reuse import explain_reuse, jobs_to_train
from retina_kit.runs.workers import LocalWorkers, sensible_workers
from retina_kit.training.device import choose_device

if TYPE_CHECKING:
    from retina_kit.runs.dask_engine import Cluster

Row = dict[str, Any]


@dataclass(frozen=True)
class RunOptions:
    """The options of `retina-kit run` and `train`.

    `seeds` None means the profile's; `overrides` are parameters by name, as text. `workers` is a number of local
    processes, `scheduler` the address of a Dask cluster to use instead.
    """

    profile: str = "lesson"
    data: str = "synthetic"
    data_root: Path = Path("data")
    output_root: Path = Path("outputs")
    seeds: Sequence[int] | None = None
    overrides: Mapping[str, str] = field(default_factory=dict)
    device: str = "auto"
    precision: str = "auto"
    workers: int | None = None
    scheduler: str | None = None
    fresh: bool = False

    def num_workers(self) -> int:
        """Choose the number of worker processes: by default one per core, or what fits on a GPU.

        The profile `smoke` has one by default: it ends before a second process has started. A cluster brings its own
        workers, and the device is theirs.

        >>> RunOptions(profile="smoke").num_workers(), RunOptions(workers=4).num_workers()
        (1, 4)
        """
        if self.workers:
            return self.workers
        return 1 if self.profile == "smoke" or self.scheduler else sensible_workers(choose_device(self.device))

    def parameters(self) -> dict[str, Any]:
        """Give what an experiment, and the notebook that calls it, is made from, as JSON-able data."""
        found = {
            "profile": self.profile,
            "data": self.data,
            "data_root": str(self.data_root),
            "output_root": str(self.output_root),
            "seeds": None if self.seeds is None else list(self.seeds),
            "device": self.device,
            "overrides": dict(self.overrides),
        }
        return found if self.precision == "auto" else found | {"precision": self.precision}


class Session:
    """Some papers with one set of options; every wrong setting is found before anything starts."""

    def __init__(self, papers: Iterable[str] | None, options: RunOptions) -> None:
        """Resolve everything that the options name; all papers if none is given."""
        self.options = options
        self.cluster: Cluster | LocalWorkers | None = None
        self.kit: dict[str, str] | None = None
        if options.output_root.exists() and not options.output_root.is_dir():
            raise UsageError(f"--output-root {options.output_root} is a file; name a folder, or one yet to be made")
        check_cluster_options(options)
        if not options.scheduler:
            choose_device(options.device)
        self.workers = options.num_workers()
        self.experiments = [Experiment(paper, **options.parameters()) for paper in papers or list_papers()]
        for experiment in self.experiments:
            experiment.jobs, experiment.published  # noqa: B018  read now, so that a mistake in them stops here

    def explain(self) -> Row:
        """Tell which runs would be loaded, resumed or trained, and why."""
        tables = {experiment.paper: experiment.explain(fresh=self.options.fresh) for experiment in self.experiments}
        lines = [f"{paper}\n{table.to_string(index=False)}" for paper, table in tables.items()]
        return {"text": lines, "papers": {paper: t.to_dict("records") for paper, t in tables.items()}}

    def plan(self) -> Row:
        """Estimate the hours, memory and disk of the runs to be trained, and where a lesson spends its time."""
        from retina_kit.runs.estimate import estimate_costs, summary

        say = functools.partial(print, file=sys.stderr, flush=True)
        rows = []
        for experiment in self.experiments:
            jobs = jobs_to_train(explain_reuse(experiment.jobs, experiment.store, fresh=self.options.fresh))
            costs = estimate_costs(jobs, experiment.store, experiment.data_root, self.options.device, say)
            rows += [{"paper": experiment.paper, **cost} for cost in costs]
        return summary(rows, self.options.device, self.workers)

    def train(self) -> Row:
        """Train what the run store lacks, and sum up in a row per paper."""
        return self._for_each(self._train)

    def run(self) -> Row:
        """Train, execute the notebooks, write the pages, and sum up in a row per paper.

        A notebook is executed while the next paper trains. The front page exists from the start and is written again
        after each paper.
        """
        from retina_kit.reporting.up_to_date import state_of_the_kit

        self.kit = state_of_the_kit()  # now: the code that runs is that of now
        page = self._write_page()
        print(f"front page, one more paper at a time: {page}", file=sys.stderr, flush=True)
        result = self._for_each(self._train, self._report)
        result["text"].append(f"front page: {page}")
        return result | {"index": str(page)}

    def _for_each(self, do: Callable[[Experiment], Row], then: Callable[[Experiment], Row] | None = None) -> Row:
        """Do something for each paper, and `then` something else in the background; sum up with an exit code.

        After a failure the next paper follows.
        """
        generated = keep_images(self.options.output_root / "runs" / ".synthetic")
        workers = open_workers(self.options.scheduler, self.workers)
        with generated, workers as self.cluster, in_background() as submit:
            jobs = []
            for experiment in self.experiments:
                row = outcome_of(do, experiment, {"paper": experiment.paper, "seconds": 0})
                jobs.append(submit(outcome_of, then, experiment, row))
            rows = [job.result() for job in jobs]
        codes = [row.pop("code") for row in rows if "code" in row]
        return {"text": [line_of(row) for row in rows], "papers": rows, "exit_code": codes[0] if codes else 0}

    def _train(self, experiment: Experiment) -> Row:
        num_missing = len(experiment.jobs) if self.options.fresh else len(experiment.missing())
        message = f"{experiment.paper}: {num_missing} of {len(experiment.jobs)} runs to train"
        print(message, file=sys.stderr, flush=True)
        experiment.train(workers=self.workers, fresh=self.options.fresh, cluster=self.cluster)
        return {"trained": num_missing, "loaded": len(experiment.jobs) - num_missing}

    def _report(self, experiment: Experiment) -> Row:
        """Execute a paper's notebook and write its page, unless nothing that they depend on has changed."""
        from retina_kit.reporting.up_to_date import EVERYTHING, keep_record, made_from, what_changed

        began, folder = time.perf_counter(), experiment.folder
        promised = [*experiment.promised(), "notebook.ipynb", "notebook.html"]
        runs = {experiment.store.folder / job.key for job in experiment.jobs}
        made = None if has_own_files(experiment) else made_from(self.kit, self.options.parameters(), runs)
        changed = what_changed(folder, made, promised)
        if changed != EVERYTHING:
            again = f"is executed again; what changed: {changed}"
            done = f"is up to date; delete {folder / 'notebook.ipynb'} to execute it again"
            print(f"{experiment.paper}: its notebook {again if changed else done}", file=sys.stderr, flush=True)
        if changed:
            self._execute(experiment)
            if made:
                keep_record(folder, made)
        self._write_page()
        return {
            "notebook": "executed" if changed else "up to date",
            "notebook_seconds": round(time.perf_counter() - began, 1),
        }

    def _execute(self, experiment: Experiment) -> None:
        from retina_kit.reporting.export import export_html
        from retina_kit.reporting.notebook import as_built, execute_notebook, read_parameters

        folder, files = experiment.folder, experiment.definition.files
        promised = [folder / path for path in experiment.promised()]
        parameters = self.options.parameters() | {"workers": self.workers}
        if files.is_own:
            parameters["paper"] = str(files.folder)
        with as_built(files.newest_notebook()) as notebook:
            if "train_live" in read_parameters(notebook):
                parameters["train_live"] = self.options.profile == "smoke"  # seconds there; else nobody watches
            execute_notebook(notebook, folder / "notebook.ipynb", parameters, promised=promised, cwd=Path.cwd())
        export_html(folder / "notebook.ipynb", folder / "notebook.html", experiment.title)

    @functools.cached_property
    def papers_described(self) -> dict[str, Row]:
        """What the front page shows of every paper."""
        return describe_papers()

    def _write_page(self) -> Path:
        from retina_kit.reporting.site import build_site

        return build_site(self.options.output_root, paper_meta=self.papers_described, skip_incomplete=True)


def has_own_files(experiment: Experiment) -> bool:
    """Tell whether a paper or a data set is your own: its notebook may read files that the kit does not know."""
    own = own_cards(experiment.data_root)
    return experiment.definition.files.is_own or any(arm.data.dataset in own for arm in experiment.arms)


def outcome_of(do: Callable[[Experiment], Row] | None, experiment: Experiment, row: Row) -> Row:
    """Do something for a paper, unless `row` tells that it has failed; return the row with what came of it.

    A failure is a state, an error and an exit code; an interruption is raised.
    """
    if do is None or row.get("state") == "failed":
        return row
    began = time.perf_counter()
    try:
        row = row | do(experiment) | {"state": "done"}
    except KitError as error:
        if error.exit_code == 130:
            raise
        row = row | {"state": "failed", "error": str(error), "code": 5 if error.exit_code == 5 else 1}
    return row | {"seconds": round(row["seconds"] + time.perf_counter() - began, 1)}


@contextlib.contextmanager
def in_background() -> Iterator[Callable[..., Future[Row]]]:
    """Give a function that does work, such as executing notebooks, in a second thread, one piece after the other.

    An interruption stops the kernels of the notebooks, and so the thread.
    """
    jobs: list[Future[Row]] = []

    def submit(*work: Any) -> Future[Row]:
        jobs.append(thread.submit(*work))
        return jobs[-1]

    with ThreadPoolExecutor(1) as thread:
        try:
            yield submit
        except BaseException:
            thread.shutdown(wait=False, cancel_futures=True)
            while not all(job.done() for job in jobs):
                from retina_kit.reporting.notebook import stop_kernels  # loaded already, if a notebook is executed

                stop_kernels()
                time.sleep(0.1)
            raise


def describe_papers() -> dict[str, Row]:
    """Describe every paper for the front page: published values, artifacts, and the claims of its card."""
    from retina_kit.papers.audit import summarize_published
    from retina_kit.papers.published import read_published

    described = {}
    for name in list_papers():
        card = [claim.id for claim in headline(find_paper(name).claims) if claim]
        described[name] = summarize_published(read_published(name)) | {"card": card}
    return described


def check_cluster_options(options: RunOptions) -> None:
    """Raise UsageError if both local workers and a cluster are asked for."""
    if options.scheduler and options.workers:
        raise UsageError("use --workers (processes of this machine) or --scheduler (a Dask cluster), not both")


def open_workers(
    scheduler: str | None, workers: int
) -> "contextlib.AbstractContextManager[Cluster | LocalWorkers | None]":
    """Connect to a Dask cluster, or prepare local workers; None if one process trains everything."""
    if scheduler:
        from retina_kit.runs.dask_engine import Cluster

        return Cluster(scheduler)
    return LocalWorkers(workers) if workers > 1 else contextlib.nullcontext()


def line_of(row: Row) -> str:
    """Sum a paper up in one line.

    >>> line_of({"paper": "hu2018", "state": "done", "seconds": 2.5, "trained": 3, "loaded": 1})
    'hu2018: done in 2.5 s (3 trained, 1 loaded)'
    """
    facts = [f"{row[key]} {key}" for key in ("trained", "loaded") if key in row]
    error = f": {row['error']}" if "error" in row else ""
    return f"{row['paper']}: {row['state']} in {row['seconds']} s ({', '.join(facts)}){error}"


def parse_seeds(text: str | None) -> list[int] | None:
    """Parse the value of --seeds; None stays None.

    >>> parse_seeds("0,1,2")
    [0, 1, 2]
    """
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise UsageError(f"--seeds {text!r} must be integers separated by commas, such as 0,1,2") from error


def parse_settings(settings: Iterable[str] | None, fraction: float | None = None) -> dict[str, str]:
    """Parse the values of --set, and that of --fraction, into {name: text}; the experiment gives each its type.

    >>> parse_settings(["steps=100", "loss = dice"])
    {'steps': '100', 'loss': 'dice'}
    """
    overrides = {}
    for setting in settings or []:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise UsageError(f"--set {setting!r} must be NAME=VALUE, such as --set steps=100")
        overrides[name.strip()] = value.strip()
    return overrides if fraction is None else overrides | {FRACTION: repr(fraction)}
