"""What a paper trained, as data, and what came out: the only module that sees the whole line of rooms."""

import functools
from pathlib import Path

import numpy as np
import pandas as pd

from retina_kit.data.dataset import fingerprint, load_images
from retina_kit.data.manifest import has_pack, own_cards, require_pack
from retina_kit.errors import KitError, SetupError, UsageError, unknown_name
from retina_kit.evaluation.agreement import agreement
from retina_kit.evaluation.claims import evaluate_claims
from retina_kit.evaluation.scoring import spreads, summarize
from retina_kit.experiment_file import DATA_CHOICES, PROFILES, find_paper
from retina_kit.experiment_tables import arms_table, job_result, settings_table
from retina_kit.files import kit_root
from retina_kit.papers.audit import audit
from retina_kit.papers.beside import TIME, mark_findings, with_training_time
from retina_kit.papers.published import beside_paper, read_published
from retina_kit.runs.plan import plan_jobs, run_jobs
from retina_kit.runs.progress import TrainingProgress
from retina_kit.runs.store import RunStore
from retina_kit.schema import to_json
from retina_kit.teaching.exercises import Checks
from retina_kit.training.device import choose_device
from retina_kit.training.prepare import images_of, masks_of, prepare_arm, start_model, trained_model


class Experiment:
    """One paper in one profile on one choice of data: its settings, its arms, its runs and its tables."""

    def __init__(self, paper, profile="lesson", data="synthetic", *, data_root="data", output_root="outputs",
                 seeds=None, device="auto", overrides=None):  # fmt: skip
        """Read the experiment file and resolve it; nothing is loaded or trained yet.

        `seeds` is a list of integers (None: the profile's); `overrides` replaces parameters by name. Raises
        UsageError for unknown names and wrong types, DataError where a data pack that is needed is missing.
        """
        self.definition = find_paper(paper)
        for kind, name, known in (("profile", profile, PROFILES), ("data choice", data, DATA_CHOICES)):
            if name not in known:
                raise unknown_name(kind, name, known)
        if data not in self.definition.data:
            raise UsageError(f"{paper} has no data choice {data!r}; it has {', '.join(self.definition.data)}")
        self.paper, self.profile, self.data = paper, profile, data
        self.data_root, self.output_root, self.device = rooted(data_root), rooted(output_root), device
        self.overrides = dict(overrides or {})
        own = [name for name in own_cards(self.data_root) if name == self.overrides.get("target")]
        self.own_target = own[0] if own else ""
        self.parameters = self.definition.resolve_settings(profile, "own" if own else data, overrides, instead_of=data)
        self.seeds = list(self.parameters["seeds"] if seeds is None else seeds)
        if not self.seeds:
            raise UsageError("at least one seed is needed, such as --seeds 0")
        self.store = RunStore(self.output_root / "runs")
        for pack in self.definition.data[data].packs:
            require_pack(pack, self.data_root)
        self.arms, self.left_out = self._arms_with_data()
        self._outcomes = None

    def _arms_with_data(self):
        """Return the arms that this data choice has, and {arm: reason} for the others and their children."""
        kept, left_out = [], {}
        for arm in self.definition.resolve_arms(self.profile, self.parameters):
            missing = [p for p in arm.needs if self.data != "synthetic" and not has_pack(p, self.data_root)]
            if arm.only_on and self.data not in arm.only_on:
                left_out[arm.name] = f"it is part of {' and '.join(arm.only_on)} data only"
            elif missing:
                left_out[arm.name] = f"data pack {missing[0]} is not in {self.data_root.name}/"
            elif arm.parent in left_out:
                left_out[arm.name] = f"its parent {arm.parent} is left out"
            else:
                kept.append(arm)
        return kept, left_out

    @property
    def folder(self):
        """Where this run's notebook, tables and figures go."""
        own = f"-{self.own_target}" if self.own_target else ""
        return self.output_root / self.paper / f"{self.profile}-{self.data}{own}"

    def promised(self):
        """Return the files that a finished run leaves in its folder, as relative paths."""
        artifacts = self.definition.artifacts
        tables = [f"tables/{name}.csv" for name in artifacts.tables]
        figures = [f"figures/{name}.{kind}" for name in artifacts.figures for kind in ("png", "svg")]
        return [*tables, *figures, "claims.csv", "results.json"]

    @property
    def check(self):
        """The checks of the exercises of this experiment's notebook: `check.<name>(answer)`."""
        return Checks(self)

    # ---- what will be done --------------------------------------------------------------------------------------

    @property
    def title(self):
        """The experiment's title."""
        return self.definition.title

    def settings(self):
        """Return the settings table: setting, this run, the paper, where it says so."""
        return settings_table(self.definition.settings, self.parameters)

    def arms_table(self):
        """Return one row an arm: its role, its parent, its loss, batch size and number of updates."""
        return arms_table(self.arms)

    def arm(self, name):
        """Return the resolved settings of one arm."""
        for arm in self.arms:
            if arm.name == name:
                return arm
        if name in self.left_out:
            raise UsageError(f"arm {name} is left out of this run: {self.left_out[name]}")
        raise unknown_name("arm", name, [arm.name for arm in self.arms])

    @functools.cached_property
    def jobs(self):
        """The replicates of all arms, parents first."""
        return plan_jobs(self.arms, self.seeds, self._fingerprint)

    def _fingerprint(self, arm):
        data = arm.data
        columns = [*data.center, *data.test_center, *data.diameter, *([data.label] if arm.task == "classify" else [])]
        masks = masks_of(data)
        return fingerprint(data.dataset, masks=masks, columns=columns, data_root=self.data_root, **data.options)

    def explain(self):
        """Return one row a replicate: its hash, and whether the store has it, a checkpoint of it, or neither."""
        rows = []
        for job in self.jobs:
            state = "finished: will be loaded" if self.store.find(job.key) else "to be trained"
            if (self.store.unfinished(job.key) / "checkpoint.safetensors").is_file():
                state = "interrupted: will go on from its checkpoint"
            rows.append({"replicate": job.title, "hash": job.key, "state": state, "parent": job.parent or ""})
        return pd.DataFrame(rows)

    # ---- data and networks ----------------------------------------------------------------------------------------

    def image_set(self, arm_name, *, masks=None, graders=False):
        """Return the images of an arm as they were taken, with its own mask or those named; and the graders' ones."""
        data = self.arm(arm_name).data
        if not (masks or graders):
            return images_of(self.arm(arm_name), self.data_root)
        named = [*(masks or masks_of(data)), *(self.parameters["graders"] if graders else [])]
        return load_images(data.dataset, self.data_root, masks=list(dict.fromkeys(named)), **data.options)

    def prepared(self, arm_name, seed=None, fold=None):
        """Return the images of an arm as the network sees them, with the indices of its train and test rows."""
        arm = self.arm(arm_name)
        return prepare_arm(arm, self.seeds[0] if seed is None else seed, fold, self.data_root)

    def batches(self, arm_name, seed=None, fold=None):
        """Return the training batches of an arm."""
        arm, seed = self.arm(arm_name), self.seeds[0] if seed is None else seed
        return prepare_arm(arm, seed, fold, self.data_root).make_batches(seed, choose_device(self.device))

    def graders(self, arm_name):
        """Return how well the annotators of an arm's data agree: one row a pair, Dice pooled and per image."""
        data, names = self.arm(arm_name).data, self.parameters["graders"]
        image_set = load_images(data.dataset, self.data_root, masks=names, **data.options)
        return agreement(image_set.masks, image_set.rows)

    def model(self, arm_name, seed=None, parent_weights=None):
        """Return the network of an arm before its first step."""
        return start_model(self.arm(arm_name), self.seeds[0] if seed is None else seed, parent_weights)

    def trained(self, arm_name, seed=None, fold=None):
        """Return the trained network of an arm, by default that of its first seed and fold."""
        model = self.model(arm_name)
        model.load_state_dict(self.run_of(arm_name, seed, fold).weights())
        return model

    # ---- training and its results ---------------------------------------------------------------------------------

    def train(self, *, workers=1, fresh=False, progress=True, cluster=None):
        """Train what the run store does not have yet, load the rest, and return {replicate title: Run}.

        `workers` is a number of local processes; `cluster` a `training.cluster.Cluster`, which is used instead.
        Raises the first error of a replicate after all the others have been tried.
        """
        if fresh:
            self.store.forget([job.key for job in self.jobs])
        with TrainingProgress(self.num_missing()) as shown:
            self._outcomes = run_jobs(
                self.jobs, self.store, data_root=self.data_root, device=self.device, workers=workers,
                cluster=cluster, progress=shown if progress else None,
            )  # fmt: skip
        failed = {job.title: self._outcomes[job.key] for job in self.jobs if self._failed(job)}
        if failed:
            title, error = next(iter(failed.items()))
            message = f"{len(failed)} of {len(self.jobs)} replicates failed; the first, {title}: {error}"
            kind = SetupError if isinstance(error, SetupError) else KitError
            raise kind(message) from error
        return {job.title: self._outcomes[job.key] for job in self.jobs}

    def num_missing(self):
        """Return how many replicates the run store does not have yet."""
        return len({job.key for job in self.jobs if self.store.find(job.key) is None})

    def _failed(self, job):
        return isinstance(self._outcomes[job.key], Exception)

    def run_of(self, arm_name, seed=None, fold=None):
        """Return the finished run of an arm; by default its first seed and fold."""
        self.arm(arm_name)
        for job in self.jobs:
            if job.arm.name == arm_name and seed in (None, job.seed) and fold in (None, job.fold):
                run = self.store.find(job.key)
                if run is None:
                    raise UsageError(f"{job.title} has not been trained yet; call train() first")
                return run
        raise UsageError(f"arm {arm_name} has no replicate with seed {seed} and fold {fold}")

    def _gather(self, what):
        parts = []
        for job in self.jobs:
            part = getattr(self.store.find(job.key), what).copy()
            parts.append(part.assign(arm=job.arm.name, seed=job.seed, fold=-1 if job.fold is None else job.fold))
        return pd.concat(parts, ignore_index=True)

    @functools.cached_property
    def scores(self):
        """One scored row a test image, variant, arm, seed and fold."""
        return self._gather("scores")

    @functools.cached_property
    def histories(self):
        """One row a training step of every arm, seed and fold."""
        return self._gather("history")

    def predict(self, arm_name, *, seed=None, fold=None, index=None, variant="last"):
        """Return (probability (n, H, W), the arm's prepared images, the indices predicted) of a trained arm."""
        arm, seed = self.arm(arm_name), seed if seed is not None else self._first_seed(arm_name)
        weights = self.run_of(arm_name, seed, fold).weights("best" if variant.startswith("best") else "last")
        task, device = prepare_arm(arm, seed, fold, self.data_root), choose_device(self.device)
        index = task.test if index is None else np.array(index)
        model, batches = trained_model(arm, weights, device), task.make_batches(seed, device)
        return task.predict(model, batches, index, variant=variant).numpy(), task, index

    def _first_seed(self, arm_name):
        return next(job.seed for job in self.jobs if job.arm.name == arm_name)

    def curves(self, arm_names):
        """Return the validation scores of some arms, a row a validation: arm, seed, step and the scores."""
        chosen = self.histories[self.histories["arm"].isin(list(arm_names))]
        metrics = [name for name in ("iou", "dice", "miou") if name in chosen]
        return chosen.dropna(subset=metrics)[["arm", "seed", "step", *metrics]].reset_index(drop=True)

    def published_curves(self, item):
        """Return the curves that were read off a figure of the paper, None where the steps are not comparable."""
        return self.published.curves(item) if self.profile == "paper" else None

    def predictions(self, arm_names, *, num_images=4, pick="spread"):
        """Return (images, truth, {arm: bool masks}, ids) of test images with something to find.

        `pick` is "spread" (over the test set), "worst" (those of the lowest Dice of the last arm) or "largest" (those
        with the most to find). Where there are folds, an image is predicted by the network that did not learn it.
        """
        rows = self.scores[(self.scores["arm"] == arm_names[-1]) & (self.scores["variant"] == "last")]
        rows = rows[(rows["seed"] == rows["seed"].iloc[0]) & (rows["tp"] + rows["fn"] > 0)]
        if pick == "spread":
            rows = rows.iloc[:: max(1, len(rows) // num_images)]
        elif pick == "worst":
            rows = rows.sort_values("dice")
        else:
            rows = rows.iloc[(-(rows["tp"] + rows["fn"])).argsort(kind="stable")]
        prepared = self.prepared(arm_names[-1])
        index = prepared.rows.index[prepared.rows["id"].isin(rows["id"][:num_images])].to_numpy(copy=True)
        predicted = {name: self._predict_unseen(name, rows, index) > 0.5 for name in arm_names}
        image_set = self.image_set(arm_names[-1]).subset(index)
        return image_set.images, prepared.masks[index], predicted, list(image_set.rows["id"])

    def _predict_unseen(self, arm_name, rows, index):
        """Return probabilities of the images at `index`, each by the fold (of scored `rows`) that tested it."""
        fold_of = rows.set_index("id")["fold"]
        folds = fold_of[self.prepared(arm_name).rows["id"].iloc[index]].to_numpy()
        parts = np.empty(len(index), object)
        for fold in np.unique(folds):
            mine = np.flatnonzero(folds == fold)
            found = self.predict(arm_name, fold=None if fold < 0 else int(fold), index=index[mine])[0]
            for place, probability in zip(mine, found, strict=True):
                parts[place] = probability
        return np.stack(parts)

    def probabilities(self, arm_name):
        """Return (images, probability, truth, ids) of the test images of an arm; where it has folds, of the first."""
        fold = next(job.fold for job in self.jobs if job.arm.name == arm_name)
        probability, prepared, index = self.predict(arm_name, fold=fold)
        image_set = self.image_set(arm_name).subset(index)
        return image_set.images, probability, prepared.masks[index], list(image_set.rows["id"])

    # ---- beside the paper -------------------------------------------------------------------------------------------

    @functools.cached_property
    def published(self):
        """The numbers, claims and errata that the paper prints."""
        return read_published(self.paper)

    def table(self, table_id, variant="last"):
        """Return a table of the paper, tidy: our mean, SD over seeds and interval beside the printed value."""
        tables = {table.id: table for table in self.definition.tables}
        if table_id not in tables:
            raise unknown_name("table", table_id, list(tables))
        settings = tables[table_id]
        trained = {arm.name for arm in self.arms}
        rows = {arm: row for arm, row in settings.rows.items() if arm in trained}
        scores = self.scores[(self.scores["variant"] == variant) & self.scores["arm"].isin(rows)]
        metrics = [metric for metric in settings.metrics if metric != TIME]
        ours = summarize(scores, metrics, pooled=settings.pooled)
        if TIME in settings.metrics:
            ours = with_training_time(ours, self.training_times())
        table = beside_paper(ours, self.published, table_id if settings.item is None else settings.item, rows)
        return mark_findings(table, audit(self.published), rows) if settings.mark_findings else table

    def training_times(self):
        """Return how long every replicate took: arm, seed, seconds."""
        times = [(job.arm.name, job.seed, self.store.find(job.key).settings["seconds"]) for job in self.jobs]
        return pd.DataFrame(times, columns=["arm", "seed", "seconds"])

    def by_size(self, table_id):
        """Return a table's arms with their number of training images, every spread, and the paper's values."""
        table = self.table(table_id).drop_duplicates("arm").set_index("arm")
        scores = self.scores[(self.scores["variant"] == "last") & self.scores["arm"].isin(table.index)]
        found = spreads(scores).set_index("arm")
        found.insert(0, "n_train", [self.arm(arm).split.num_train for arm in found.index])
        return found.join(table[["paper_value", "paper_spread", "paper_spread_is"]]).reset_index()

    def claims(self):
        """Return the verdict on every claim of the experiment file, replication and control."""
        return evaluate_claims(
            [{**to_json(claim), "kind": claim.kind} for claim in self.definition.claims],
            self.scores,
            self.data == "synthetic",
            [*(arm.name for arm in self.arms), *self.left_out],
        )

    def description(self):
        """Return the settings of this run as JSON-able data, for results.json."""
        own = f" But the target is your own data set, {self.own_target}." if self.own_target else ""
        return {
            "paper": self.paper,
            "title": self.title,
            "question": self.definition.question,
            "profile": self.profile,
            "data": self.data,
            "data_says": self.definition.data[self.data].description + own,
            "seeds": self.seeds,
            "parameters": self.parameters,
            "overrides": self.overrides,
            "arms_left_out": self.left_out,
            "data_fingerprints": {arm.data.dataset: self._fingerprint(arm) for arm in self.arms},
            "arms": [job_result(job, self.store.find(job.key)) for job in self.jobs],
        }


def rooted(path):
    """Return a path; a relative one counts from the kit's top folder where a notebook runs in notebooks/."""
    notebooks = kit_root() / "notebooks"
    return kit_root() / path if Path.cwd() == notebooks else Path(path)
