"""One paper in one profile on one choice of data: its settings, arms, runs, tables and claims."""

import contextlib
import functools
import importlib.util
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from retina_kit import predictions
from retina_kit.data.card import own_cards
from retina_kit.data.collection import ImageSet
from retina_kit.data.dataset import fingerprint, load_images
from retina_kit.data.manifest import has_pack, require_pack
from retina_kit.data.synthetic import kept
from retina_kit.errors import KitError, SetupError, UsageError, did_you_mean, unknown_name
from retina_kit.evaluation.agreement import annotator_agreement
from retina_kit.evaluation.claims import evaluate_claims
from retina_kit.evaluation.scoring import CLASS_MARK, with_class_names
from retina_kit.evaluation.summary import spreads, summarize
from retina_kit.experiment_check import PROFILES, check_name, checked_seeds
from retina_kit.experiment_file import DATA_CHOICES, find_paper
from retina_kit.fractions import FRACTION, at_fraction, checked_fraction
from retina_kit.injected_parameters import check_injected, executed_cells
from retina_kit.papers.audit import summarize_published
from retina_kit.papers.compare import TIME, compare_table, with_training_time
from retina_kit.papers.published import Published, read_published
from retina_kit.predictions import Examples, Probabilities
from retina_kit.reporting.beyond_dice import TOLERANCE, BeyondDice
from retina_kit.reporting.tables import arms_table, settings_table
from retina_kit.runs.execute import columns_that_decide
from retina_kit.runs.plan import Job, plan_jobs, run_jobs
from retina_kit.runs.progress import TrainingProgress
from retina_kit.runs.reuse import explain_reuse
from retina_kit.runs.store import Run, RunStore
from retina_kit.runs.supply import check_supply
from retina_kit.schema import to_json
from retina_kit.setting_names import checked_overrides, setting_name
from retina_kit.teaching.exercises import Checks
from retina_kit.training.arm import Arm
from retina_kit.training.batches import Batches
from retina_kit.training.device import PRECISIONS, choose_device, give_back_freed_memory
from retina_kit.training.prepare import images_of, masks_of, prepare_arm, start_model, trained_model
from retina_kit.training.tasks.interface import Task
from retina_kit.working_copy import rooted


class Experiment:
    """A paper's experiment file, resolved for one profile and one data choice, and the results of its runs."""

    def __init__(
        self,
        paper: str | Path,
        profile: str = "lesson",
        data: str = "synthetic",
        *,
        data_root: str | Path = "data",
        output_root: str | Path = "outputs",
        seeds: Sequence[int] | None = None,
        device: str = "auto",
        precision: str = "auto",
        overrides: Mapping[str, Any] | None = None,
    ) -> None:
        """Resolve the experiment file; nothing is loaded or trained yet.

        `paper` is the key of a paper of the kit, or the folder of one of your own (see paper_files). `seeds` is a list
        of integers (None: the profile's); `overrides` replaces settings by name, and a "fraction" among them is that of
        the steps and images (see fractions). The small networks of smoke and lesson get one thread: a second one saves
        4 % on idle cores and costs 300 % on busy ones. Raises UsageError, or DataError if data are missing.
        """
        cells = executed_cells()
        check_injected(cells)
        if profile != "paper":
            torch.set_num_threads(1)
        self.definition = find_paper(paper)
        check_name("profile", profile, PROFILES)
        check_name("data choice", data, DATA_CHOICES)
        check_name("precision", precision, PRECISIONS)
        if data not in self.definition.data:
            raise UsageError(f"{paper} has no data choice {data!r}{did_you_mean(data, self.definition.data)}")
        self.paper, self.profile, self.data = self.definition.key, profile, data
        self.data_root, self.output_root = rooted(data_root), rooted(output_root)
        self.device, self.precision, self.overrides = device, precision, checked_overrides(overrides)
        self.fraction = checked_fraction(self.overrides.pop(FRACTION, 1.0))
        target = self.overrides.get("target")
        self.own_target = target if target in own_cards(self.data_root) else ""
        self.parameters = self.definition.resolve_settings(
            profile, "own" if self.own_target else data, self.overrides, instead_of=data
        )
        self.seeds = checked_seeds(self.parameters["seeds"] if seeds is None else seeds)
        self.store = RunStore(self.output_root / "runs")
        if cells:  # a notebook that is run again does not generate its images again
            os.environ.setdefault(kept.FOLDER, str((self.store.folder / ".synthetic").resolve()))
        self.ready: dict[str, predictions.Ready] = {}  # runs whose networks have just predicted
        for pack in self.definition.data[data].packs:  # type: ignore[index]
            require_pack(pack, self.data_root)
        self.arms, self.left_out = self._arms_with_data()

    def _arms_with_data(self) -> tuple[list[Arm], dict[str, str]]:
        """Return the arms that this data choice has, and {arm: reason} for the others and their children."""
        kept, left_out = list[Arm](), dict[str, str]()
        for arm in at_fraction(self.definition.resolve_arms(self.profile, self.parameters), self.fraction):
            missing = [p for p in arm.needs if self.data != "synthetic" and not has_pack(p, self.data_root)]
            if arm.only_on and self.data not in arm.only_on:
                left_out[arm.name] = f"it is part of {' and '.join(arm.only_on)} data only"
            elif missing:
                left_out[arm.name] = f"data set {missing[0]} is not in {self.data_root.name}/"
            elif arm.needs_package and importlib.util.find_spec(arm.needs_package) is None:
                left_out[arm.name] = f"package {arm.needs_package} is not installed"
            elif arm.parent in left_out:
                left_out[arm.name] = f"its parent {arm.parent} is left out"
            else:
                kept.append(arm)
        return kept, left_out

    @property
    def folder(self) -> Path:
        """Where this run's notebook, tables and figures go: two settings never share a folder."""
        changed = self.changed_settings() | ({} if self.precision == "auto" else {"precision": self.precision})
        seeds = changed.pop("seeds", None)
        if self.own_target:
            changed.pop("target", None)
        name = setting_name(self.profile, self.data, changed, seeds, own_target=self.own_target)
        return self.output_root / self.paper / name

    def changed_settings(self) -> dict[str, Any]:
        """Return the settings, seeds and fraction included, that are not what the profile sets them to; typed."""
        choice = "own" if self.own_target else self.data
        usual = self.definition.resolve_settings(self.profile, choice, instead_of=self.data)
        asked = self.parameters | {"seeds": self.seeds}
        changed = {name: asked[name] for name in [*self.overrides, "seeds"] if asked[name] != usual[name]}
        return changed | ({} if self.fraction == 1 else {FRACTION: self.fraction})

    def promised(self) -> list[str]:
        """List the files that a finished run leaves in its folder, as relative paths."""
        artifacts = self.definition.artifacts
        tables = [f"tables/{name}.csv" for name in artifacts.tables]
        figures = [f"figures/{name}.{kind}" for name in artifacts.figures for kind in ("png", "svg")]
        return [*tables, *figures, "claims.csv", "results.json"]

    @property
    def exercises_file(self) -> Path:
        """The file of the exercises of this experiment's notebook; it need not exist."""
        return self.definition.files.exercises

    @functools.cached_property
    def check(self) -> Checks:
        """The checks of the exercises of this experiment's notebook: `check.<name>(answer)`."""
        return Checks(self)

    # ---- what will be done --------------------------------------------------------------------------------------

    @property
    def title(self) -> str:
        """The experiment's title."""
        return self.definition.title

    def settings(self) -> pd.DataFrame:
        """Tabulate the settings: this run's value, the paper's, and where the paper reports it."""
        settings = {name: to_json(setting, defaults=True) for name, setting in self.definition.settings.items()}
        return settings_table(settings, self.parameters)

    def arms_table(self) -> pd.DataFrame:
        """Tabulate the arms, one row each: role, parent, loss, batch size and number of steps."""
        return arms_table(to_json(arm, defaults=True) for arm in self.arms)

    @property
    def labels(self) -> dict[str, str]:
        """The label of everything that is scored: each arm, or each class of an arm that has several."""
        return {name: title for arm in self.arms for name, title in arm.titles.items()}

    def arm(self, name: str) -> Arm:
        """Look up an arm by its name, or by that of one of its classes, such as "lesions:ma"."""
        found = {arm.name: arm for arm in self.arms}.get(name.partition(CLASS_MARK)[0])
        if found and CLASS_MARK in name:
            found.class_of(name)  # refuses a class that it does not have
        if found:
            return found
        if name in self.left_out:
            raise UsageError(f"arm {name} is left out of this run: {self.left_out[name]}")
        raise unknown_name("arm", name, [arm.name for arm in self.arms])

    @functools.cached_property
    def jobs(self) -> list[Job]:
        """The runs of all arms, seeds and folds, parents first; each has the images that its arm asks for."""
        check_supply(self.arms, self.data_root)
        return plan_jobs(self.arms, self.seeds, self._fingerprint, self.precision)

    def _fingerprint(self, arm: Arm) -> str:
        data, asked = arm.data, {"masks": masks_of(arm.data), "columns": columns_that_decide(arm)}
        return fingerprint(data.dataset, **asked, data_root=self.data_root, **data.options)

    def explain(self, *, fresh: bool = False) -> pd.DataFrame:
        """List the runs: their hash, their parent, and whether each will be loaded, resumed or trained, and why."""
        return pd.DataFrame(
            {"run": job.title, "hash": job.key, "state": state, "parent": job.parent or ""}
            for job, state in explain_reuse(self.jobs, self.store, fresh=fresh)
        )

    # ---- data and networks ----------------------------------------------------------------------------------------

    def images(self, arm_name: str, *, masks: Sequence[str] | None = None, graders: bool = False) -> ImageSet:
        """Load an arm's images as they were taken, with its own mask or those named, and the annotators' ones."""
        data = self.arm(arm_name).data
        if not (masks or graders):
            return images_of(self.arm(arm_name), self.data_root)
        named = [*(masks or masks_of(data)), *(self.parameters["graders"] if graders else [])]
        return load_images(data.dataset, self.data_root, masks=list(dict.fromkeys(named)), **data.options)

    def prepared(self, arm_name: str, seed: int | None = None, fold: int | None = None) -> Task:
        """Prepare an arm's images as the network sees them, with the positions of its train and test rows."""
        return prepare_arm(self.arm(arm_name), self.seeds[0] if seed is None else seed, fold, self.data_root)

    def batches(self, arm_name: str, seed: int | None = None, fold: int | None = None) -> Batches:
        """Make the training batches of an arm."""
        seed = self.seeds[0] if seed is None else seed
        return self.prepared(arm_name, seed, fold).make_batches(seed, choose_device(self.device))

    def graders(self, arm_name: str) -> pd.DataFrame:
        """Measure how well the annotators of an arm's data agree: one row per pair, Dice pooled and per image."""
        data, names = self.arm(arm_name).data, self.parameters["graders"]
        image_set = load_images(data.dataset, self.data_root, masks=names, **data.options)
        return annotator_agreement(image_set.masks, image_set.rows)

    def model(
        self, arm_name: str, seed: int | None = None, parent_weights: Mapping[str, torch.Tensor] | None = None
    ) -> torch.nn.Module:
        """Build the network of an arm before its first step."""
        return start_model(self.arm(arm_name), self.seeds[0] if seed is None else seed, parent_weights)

    def trained(self, arm_name: str, seed: int | None = None, fold: int | None = None) -> torch.nn.Module:
        """Load the trained network of an arm, by default that of its first seed and fold."""
        weights = self.run_of(arm_name, seed, fold).weights()
        return trained_model(self.arm(arm_name), weights, torch.device("cpu"))

    # ---- training and its results ---------------------------------------------------------------------------------

    def train(
        self, *, workers: int = 1, fresh: bool = False, progress: bool = True, cluster: Any = None
    ) -> dict[str, Run]:
        """Train what the run store does not have yet, load the rest, and return {run title: Run}.

        `workers` is a number of local processes; a `cluster` (`dask_engine.Cluster` or `workers.LocalWorkers` of
        retina_kit.runs) is used instead. Raises the first error of a run after all the others have been tried.
        """
        if fresh:
            self.store.forget([job.key for job in self.jobs])
        with TrainingProgress(self.missing()) if progress else contextlib.nullcontext() as shown:
            outcomes = run_jobs(
                self.jobs,
                self.store,
                data_root=self.data_root,
                device=self.device,
                workers=workers,
                cluster=cluster,
                progress=shown,
            )
        failed = {job.title: error for job in self.jobs if isinstance(error := outcomes[job.key], Exception)}
        if failed:
            title, error = next(iter(failed.items()))
            message = f"{len(failed)} of {len(self.jobs)} runs failed; the first, {title}: {error}"
            kind = SetupError if isinstance(error, SetupError) else KitError
            raise kind(message) from error
        give_back_freed_memory()  # what was kept for the next training step
        return {job.title: run for job in self.jobs if isinstance(run := outcomes[job.key], Run)}

    def missing(self) -> list[Job]:
        """List the runs that the store does not have yet, each once."""
        return list({job.key: job for job in self.jobs if self.store.find(job.key) is None}.values())

    def run_of(self, arm_name: str, seed: int | None = None, fold: int | None = None) -> Run:
        """Return the finished run of an arm; by default its first seed and fold."""
        name = self.arm(arm_name).name
        for job in self.jobs:
            if job.arm.name == name and seed in (None, job.seed) and fold in (None, job.fold):
                if (run := self.store.find(job.key)) is None:
                    raise UsageError(f"{job.title} has not been trained yet; call train() first")
                return run
        raise UsageError(f"arm {arm_name} has no run with seed {seed} and fold {fold}")

    def finished(self, arm_name: str) -> Run | None:
        """Return the finished run of an arm's first seed and fold, None if the run store does not have it."""
        name = self.arm(arm_name).name
        return self.store.find(next(job.key for job in self.jobs if job.arm.name == name))

    def first_seed(self, arm_name: str) -> int:
        """Return the first seed that an arm is trained with."""
        name = self.arm(arm_name).name
        return next(job.seed for job in self.jobs if job.arm.name == name)

    def _gather(self, what: str) -> pd.DataFrame:
        parts = []
        for job in self.jobs:
            part = getattr(self.run_of(job.arm.name, job.seed, job.fold), what)
            which = {"arm": job.arm.name, "seed": job.seed, "source": job.source}
            parts.append(part.assign(**which, fold=-1 if job.fold is None else job.fold))
        return pd.concat(parts, ignore_index=True)

    @functools.cached_property
    def scores(self) -> pd.DataFrame:
        """One scored row per test image, variant, arm (or class of it: "lesions:ma"), seed and fold."""
        return with_class_names(self._gather("scores"))

    @functools.cached_property
    def histories(self) -> pd.DataFrame:
        """One row per training step of every arm, seed and fold."""
        return self._gather("history")

    def curves(self, arm_names: Sequence[str]) -> pd.DataFrame:
        """Return the validation scores of some arms, one row per validation: arm, seed, step and the scores."""
        chosen = self.histories[self.histories["arm"].isin(list(arm_names))]
        metrics = [name for name in ("iou", "dice", "miou") if name in chosen]
        return chosen.dropna(subset=metrics)[["arm", "seed", "step", *metrics]].reset_index(drop=True)

    def published_curves(self, item: str) -> pd.DataFrame | None:
        """Return the curves that were read off a figure of the paper, None if the steps are not comparable."""
        return self.published.curves(item) if self.profile == "paper" and self.fraction == 1 else None

    def predictions(self, arm_names: Sequence[str], *, num_images: int = 4, pick: str = "spread") -> Examples:
        """Predict test images that have something to find (see predictions.predict_examples)."""
        return predictions.predict_examples(self, list(arm_names), num_images=num_images, pick=pick)

    def probabilities(self, arm_name: str) -> Probabilities:
        """Predict the test images of an arm; with cross-validation, those of its first fold."""
        return predictions.predict_probabilities(self, arm_name)

    def beyond_dice(self, arm_names: Sequence[str], *, tolerance: float = TOLERANCE) -> BeyondDice:
        """Score outlines and calibration of segmentation arms, `tolerance` in pixels (see reporting.beyond_dice)."""
        return predictions.score_beyond_dice(self, list(arm_names), tolerance)

    # ---- compared with the paper ------------------------------------------------------------------------------------

    @functools.cached_property
    def published(self) -> Published:
        """The values, claims and errata that the paper reports."""
        return read_published(self.definition.files.published)

    def table(self, table_id: str, variant: str = "last") -> pd.DataFrame:
        """Return a table of the paper, tidy: our mean, SD over seeds and interval next to the published value."""
        tables = {table.id: table for table in self.definition.tables}
        if table_id not in tables:
            raise unknown_name("table", table_id, tables)
        settings = tables[table_id]
        rows = {arm: row for arm, row in settings.rows.items() if arm in self.labels}
        scores = self.scores[(self.scores["variant"] == variant) & self.scores["arm"].isin(rows)]
        metrics = [metric for metric in settings.metrics if metric != TIME]
        ours = summarize(scores, metrics, pooled=settings.pooled)
        if TIME in settings.metrics:
            ours = with_training_time(ours, self.training_times())
        return compare_table(ours, self.published, settings, rows)

    def training_times(self) -> pd.DataFrame:
        """Return how long every run took: arm, seed, seconds; each class of a network has the network's time."""
        seconds = {job.key: self.run_of(job.arm.name, job.seed, job.fold).settings["seconds"] for job in self.jobs}
        times = [(n, j.seed, seconds[j.key]) for j in self.jobs for n in j.arm.scored_names]
        return pd.DataFrame(times, columns=["arm", "seed", "seconds"])

    def _result_of(self, job: Job) -> dict[str, Any]:
        run = self.run_of(job.arm.name, job.seed, job.fold).settings
        facts = {key: run[key] for key in ("seconds", "device", "precision", "torch", "peak_memory_mb")}
        which = {"arm": job.arm.name, "label": job.arm.title, "role": job.arm.role, "seed": job.seed}
        return which | {"fold": job.fold, "hash": job.key} | facts

    def by_size(self, table_id: str) -> pd.DataFrame:
        """Return a table's arms with their number of training images, every spread, and the paper's values."""
        table = self.table(table_id).drop_duplicates("arm").set_index("arm")
        scores = self.scores[(self.scores["variant"] == "last") & self.scores["arm"].isin(table.index)]
        found = spreads(scores).set_index("arm")
        found.insert(0, "n_train", [self.arm(arm).split.num_train for arm in found.index])
        return found.join(table[["paper_value", "paper_spread", "paper_spread_is"]]).reset_index()

    def claims(self) -> pd.DataFrame:
        """Return the verdict on every claim of the experiment file, replication and control."""
        known = [n for arm in self.definition.resolve_arms(self.profile, self.parameters) for n in arm.scored_names]
        reduced = self.profile != "paper" or self.fraction != 1
        return evaluate_claims(self.definition.claims, self.scores, self.data == "synthetic", known, reduced)

    def description(self) -> dict[str, Any]:
        """Describe this run as JSON data, for results.json."""
        own = f" But the target is your own data set, {self.own_target}." if self.own_target else ""
        if self.fraction != 1:
            own += f" At a fraction of {self.fraction} of the steps and images, only to check that everything runs."
        which = {"paper": self.paper, "title": self.title, "question": self.definition.question}
        settings = {"profile": self.profile, "data": self.data, "seeds": self.seeds, "parameters": self.parameters}
        return {
            **which,
            **settings,
            "overrides": self.changed_settings(),
            "data_says": self.definition.data[self.data].description + own,  # type: ignore[index]
            "arms_left_out": self.left_out,
            "published": summarize_published(self.published) if self.definition.files.is_own else {},
            "data_fingerprints": {arm.data.dataset: self._fingerprint(arm) for arm in self.arms},
            "arms": [self._result_of(job) for job in self.jobs],
        }
