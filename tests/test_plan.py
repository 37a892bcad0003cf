"""Many runs: parents first, failures stay with their arm, and local workers give the same results."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import psutil
import pytest
import torch
from small_arm import TRANSFER, small_arm, small_jobs, train
from small_pack import forget_cards, use_cards

from retina_kit.data.card import folder_of_cards
from retina_kit.data.manifest import read_manifest
from retina_kit.errors import Interrupted, KitError, SetupError, UsageError
from retina_kit.experiment import Experiment
from retina_kit.runs import workers
from retina_kit.runs.execute import identity_of
from retina_kit.runs.plan import in_order
from retina_kit.runs.reuse import CHANGED, FINISHED, INTERRUPTED, RETRAIN, SAME, TO_TRAIN, explain_reuse, jobs_to_train
from retina_kit.runs.scheduling import StepReporter
from retina_kit.runs.store import RunStore, canonical_hash
from retina_kit.runs.workers import MOST_DEATHS, LocalWorkers, sensible_workers
from retina_kit.training.prepare import prepare_arm, trained_model


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "runs")


class Diary:
    """A progress display that remembers what it was told."""

    def __init__(self, stop_at=None):
        self.lines, self.steps, self.stop_at = [], [], stop_at

    def start(self, job):
        self.lines.append(f"start {job.title}")

    def step(self, key, step, num_steps, loss, scores):
        self.steps.append((step, num_steps))
        return step == self.stop_at

    def done(self, job, outcome):
        self.lines.append(f"{'failed' if isinstance(outcome, Exception) else 'done'} {job.title}")


# ---- the plan ------------------------------------------------------------------------------------------------------
def names(arms):
    """Return the names of arms."""
    return [arm.name for arm in arms]


def test_parents_come_before_children_and_nothing_else_moves():
    arms = [
        small_arm("grandchild", start={"parent": "child"}),
        small_arm("alone"),
        small_arm("child", start={"parent": "parent"}),
        small_arm("parent"),
    ]
    assert names(in_order(arms)) == ["parent", "child", "grandchild", "alone"]


def test_a_circle_is_shown():
    arms = [small_arm(name, start={"parent": parent}) for name, parent in (("a", "b"), ("b", "c"), ("c", "a"))]
    with pytest.raises(UsageError, match="circle: a -> b -> c -> a"):
        in_order(arms)


def test_an_unknown_parent_is_named():
    with pytest.raises(UsageError, match="arm child starts from 'nobody', which is not an arm of this profile"):
        in_order([small_arm("child", start={"parent": "nobody"})])


def test_a_child_starts_from_the_parent_of_its_seed_or_from_its_first():
    arms = [small_arm("parent", seeds=[0, 1]), small_arm("child", start=TRANSFER)]
    jobs = {(job.arm.name, job.seed): job for job in small_jobs(arms, seeds=(1, 2))}
    assert list(jobs) == [("parent", 0), ("parent", 1), ("child", 1), ("child", 2)]
    assert jobs["child", 1].parent == jobs["parent", 1].key
    assert jobs["child", 2].parent == jobs["parent", 0].key


def test_each_fold_is_a_run():
    split = {"split": {"kind": "leave_patients_out", "num_folds": 2}}
    arms = [small_arm("parent", folds=2, replace=split), small_arm("child", folds=2, start=TRANSFER, replace=split)]
    jobs = small_jobs(arms)
    assert [job.title for job in jobs] == [
        f"{name} (seed 0, fold {fold})" for name in ("parent", "child") for fold in (0, 1)
    ]
    assert [job.parent for job in jobs[2:]] == [job.key for job in jobs[:2]]
    assert len({job.key for job in jobs}) == 4


def test_names_and_labels_decide_nothing_but_settings_do():
    def key(arm, seed=0, parent=None):
        return canonical_hash(identity_of(arm, seed, None, "fingerprint", parent))

    plain = key(small_arm("fluid"))
    assert key(small_arm("renamed", role="pretraining")) == plain
    others = [
        key(small_arm("fluid"), seed=1),
        key(small_arm("fluid"), parent="0" * 16),
        key(small_arm("fluid", recipe={"steps": 4})),
        key(small_arm("fluid", model={"norm": None})),
        key(small_arm("fluid", data={"mask": "irf"})),
    ]
    assert len({plain, *others}) == 6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recipe": {"optimizer": "magic"}}, "arm fluid: recipe.optimizer is 'magic'"),
        ({"recipe": {"steps": -1}}, "arm fluid: .*steps"),
        ({"model": {"width": 3}}, "arm fluid: .*no setting 'width'; did you mean 'widths'"),
        ({"freeze": ["tail"]}, "arm fluid: .*'tail'"),
        ({"task": "guess"}, "arm fluid: task is 'guess'"),
        ({"evaluation": {"variants": ["last", "best"]}}, "validate_every is 0"),
    ],
)
def test_an_arm_that_cannot_be_trained_stops_the_plan(changes, message):
    with pytest.raises(UsageError, match=message):
        small_jobs([small_arm("fluid", **changes)])


# ---- the run -------------------------------------------------------------------------------------------------------
def test_what_the_store_has_is_not_trained_again(store):
    arms = [small_arm("parent"), small_arm("child", start=TRANSFER)]
    first, second = Diary(), Diary()
    runs = train(arms, store, progress=first)
    assert first.lines == [f"{what} {name} (seed 0)" for name in ("parent", "child") for what in ("start", "done")]
    assert first.steps == [(1, 3), (2, 3), (3, 3)] * 2
    assert train(arms, store, progress=second) == runs
    assert second.lines == []


def test_two_names_for_one_run_are_trained_once(store):
    diary = Diary()
    runs = train([small_arm("a"), small_arm("b")], store, progress=diary)
    assert diary.lines == ["start a (seed 0)", "done a (seed 0)"]
    assert runs["a", 0] == runs["b", 0]


def test_a_child_begins_with_its_parents_encoder(store):
    arms = [small_arm("parent"), small_arm("child", start=TRANSFER, freeze=["encoder"])]
    runs = train(arms, store)
    parent, child = runs["parent", 0].weights(), runs["child", 0].weights()
    assert all(torch.equal(parent[name], child[name]) for name in child if name.startswith("encoder."))
    assert not torch.equal(parent["head.weight"], child["head.weight"])


def test_a_run_scores_every_test_image_and_predicts_again(store):
    arm = small_arm("fluid", recipe={"validate_every": 1}, evaluation={"variants": ["last", "best", "last_whole"]})
    run = train([arm], store)["fluid", 0]
    assert run.scores["variant"].value_counts().to_dict() == {"last": 2, "best": 2, "last_whole": 2}
    assert (run.scores[["tp", "fp", "fn", "tn"]].sum(axis=1) == 32 * 48).all()
    assert len(run.history) == 3
    task, cpu = prepare_arm(arm, 0, None, "nowhere"), torch.device("cpu")
    model = trained_model(arm, run.weights(), cpu)
    probability = task.predict(model, task.make_batches(0, cpu), task.test, precision="float32").numpy()
    assert probability.shape == (2, 32, 48)
    overlap = ((probability > 0.5) & task.masks[task.test]).sum(axis=(1, 2))
    assert overlap.tolist() == run.scores[run.scores["variant"] == "last"]["tp"].tolist()


def test_a_failure_stays_with_its_arm_and_its_children(store):
    arms = [
        small_arm("parent", data={"mask": "magic"}),
        small_arm("child", start=TRANSFER),
        small_arm("grandchild", start={"parent": "child"}),
        small_arm("alone"),
    ]
    diary = Diary()
    outcomes = train(arms, store, progress=diary)
    assert "magic" in str(outcomes["parent", 0])
    assert outcomes["child", 0] is outcomes["grandchild", 0] is outcomes["parent", 0]
    assert len(outcomes["alone", 0].scores) == 2
    assert diary.lines == ["start parent (seed 0)", "failed parent (seed 0)", "start alone (seed 0)",
                           "done alone (seed 0)"]  # fmt: skip


def test_a_stop_saves_and_the_next_run_goes_on(store, tmp_path):
    arm = small_arm("fluid", recipe={"steps": 5})
    with pytest.raises(Interrupted, match="stopped after step 2; run again") as caught:
        train([arm], store, progress=Diary(stop_at=2))
    assert caught.value.exit_code == 130
    diary = Diary()
    resumed = train([arm], store, progress=diary)["fluid", 0]
    assert [step for step, _ in diary.steps] == [3, 4, 5]
    unbroken = train([arm], RunStore(tmp_path / "other"))["fluid", 0]
    assert_same_result(resumed, unbroken)


def assert_same_result(first, second):
    """Compare the files of two runs with one hash: all but what was measured on the way."""
    assert first.folder.name == second.folder.name
    assert first.settings["files"] == second.settings["files"]  # the sha256 of history, scores and weights
    pd.testing.assert_frame_equal(first.scores, second.scores)


def worker_processes():
    """Return the worker processes that this process has started."""
    return [child for child in psutil.Process().children() if any("dask_worker" in part for part in child.cmdline())]


def test_local_workers_give_the_same_results(store, tmp_path):
    arms = [
        small_arm("parent"),
        small_arm("child", start=TRANSFER),
        small_arm("wrong", data={"mask": "magic"}),
        small_arm("child of wrong", start={"parent": "wrong"}),
    ]
    diary = Diary()
    found = train(arms, store, workers=2, progress=diary)
    assert worker_processes() == []
    here = train(arms, RunStore(tmp_path / "other"))
    for name in ("parent", "child"):
        assert_same_result(found[name, 0], here[name, 0])
    for name in ("wrong", "child of wrong"):
        assert str(found[name, 0]) == str(here[name, 0])
        assert type(found[name, 0]) is UsageError
    assert sorted(diary.lines) == ["done child (seed 0)", "done parent (seed 0)", "failed wrong (seed 0)",
                                   "start child (seed 0)", "start parent (seed 0)", "start wrong (seed 0)"]  # fmt: skip
    assert diary.lines.index("done parent (seed 0)") < diary.lines.index("start child (seed 0)")
    assert (3, 3) in diary.steps
    assert set(diary.steps) <= {(1, 3), (2, 3), (3, 3)}
    assert not list((store.folder / ".locks").glob("stop-*"))


def test_workers_start_only_if_there_is_work_for_two(store):
    with LocalWorkers(2) as workers:
        train([small_arm("one")], store, cluster=workers)
        train([small_arm("one")], store, cluster=workers)
        assert worker_processes() == []
        train([small_arm(name, recipe={"learning_rate": rate}) for name, rate in (("a", 0.1), ("b", 0.2))], store,
              cluster=workers)  # fmt: skip
        assert len(worker_processes()) == 2
        train([small_arm(name, recipe={"learning_rate": rate}) for name, rate in (("a", 0.3), ("b", 0.4))], store,
              cluster=workers)  # fmt: skip
        assert len(worker_processes()) == 2, "the second batch uses the same workers"
    assert len(store.runs()) == 5


def test_a_worker_that_cannot_start_is_reported(store, monkeypatch):
    monkeypatch.setattr("retina_kit.runs.workers.worker_environment", lambda num_threads: {"PYTHONHOME": "/nowhere"})
    arms = [small_arm(name, recipe={"learning_rate": rate}) for name, rate in (("a", 0.1), ("b", 0.2))]
    with pytest.raises(SetupError, match=r"worker processes die repeatedly \(.*\); try --workers 1"):
        train(arms, store, workers=2)


def test_a_script_without_a_main_guard_trains_on_workers(tmp_path):
    """Workers do not import the caller's script, so it is not run again in each of them."""
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from small_arm import small_arm, train\n"
        "from retina_kit.runs.store import RunStore\n"
        "arms = [small_arm(f'a{k}', recipe={'learning_rate': k * 0.1}) for k in (1, 2)]\n"
        "print(len(train(arms, RunStore('runs'), workers=2)))\n"
    )
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr


class Killer(Diary):
    """A progress display that kills the worker of a run whenever it hears of a step of it, so many times."""

    def __init__(self, store, key, times):
        super().__init__()
        self.lock, self.key, self.times, self.killed = str(store.folder.resolve() / ".locks" / key), key, times, set()

    def step(self, key, step, num_steps, loss, scores):
        super().step(key, step, num_steps, loss, scores)
        if key == self.key and len(self.killed) < self.times:
            holders = [
                worker for worker in worker_processes() if self.lock in [file.path for file in worker.open_files()]
            ]
            for worker in holders:
                worker.kill()
                self.killed.add(worker.pid)


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced_and_nothing_is_lost(store, tmp_path):
    arms = [small_arm(name, recipe={"steps": 100, "learning_rate": rate}) for name, rate in (("a", 0.1), ("b", 0.2))]
    killer = Killer(store, small_jobs(arms)[0].key, times=1)
    outcomes = train(arms, store, workers=2, progress=killer)
    assert len(killer.killed) == 1
    here = train(arms, RunStore(tmp_path / "other"))
    for arm in here:
        assert_same_result(outcomes[arm], here[arm])


@pytest.mark.slow
def test_a_run_whose_worker_dies_repeatedly_is_given_up_and_the_others_continue(store):
    arms = [small_arm(name, recipe={"steps": steps, "learning_rate": 0.1}) for name, steps in (("a", 5000), ("b", 400))]
    arms += [small_arm("child", start={"parent": "a"}), small_arm("c", recipe={"learning_rate": 0.3})]
    killer = Killer(store, small_jobs(arms)[0].key, times=9)
    outcomes = train(arms, store, workers=2, progress=killer)
    assert len(killer.killed) == MOST_DEATHS
    assert type(outcomes["a", 0]) is KitError
    assert str(outcomes["a", 0]) == (
        "a (seed 0): its worker died repeatedly; run again, with fewer workers, to resume it"
    )
    assert outcomes["child", 0] is outcomes["a", 0]
    assert len(outcomes["b", 0].history) == 400
    assert len(outcomes["c", 0].history) == 3


# ---- what would be reused ------------------------------------------------------------------------------------------
def test_what_is_reused_and_why(store, monkeypatch):
    arms = [small_arm(name, recipe={"learning_rate": rate}) for name, rate in (("a", 0.1), ("b", 0.2), ("c", 0.3))]
    arms.append(small_arm("twin of a", recipe={"learning_rate": 0.1}))
    jobs = small_jobs(arms)
    same = SAME + "a (seed 0)"
    assert [state for _, state in explain_reuse(jobs, store)] == [TO_TRAIN] * 3 + [same]
    run = train(arms[:1], store)["a", 0]
    for job in jobs[:2]:  # a leftover of a finished run, and a real one
        store.unfinished(job.key).mkdir(parents=True)
        (store.unfinished(job.key) / "checkpoint.safetensors").touch()
    assert [state for _, state in explain_reuse(jobs, store)] == [FINISHED, INTERRUPTED, TO_TRAIN, same]
    assert [job.title for job in jobs_to_train(explain_reuse(jobs, store))] == ["b (seed 0)", "c (seed 0)"]
    assert [state for _, state in explain_reuse(jobs, store, fresh=True)] == [RETRAIN] * 3 + [same]
    monkeypatch.setattr("retina_kit.runs.execute.code_version", lambda: "another")
    assert [state for _, state in explain_reuse(small_jobs(arms), store)] == [CHANGED, TO_TRAIN, TO_TRAIN, same]
    again = train(arms[:1], store)["a", 0]
    assert again.folder != run.folder, "a run of older code is kept but not reused"


def test_losses_are_read_rarely():
    seen = []
    watch = StepReporter("key", lambda *report: seen.append(report[1]), times=10)
    for step in range(1000):
        watch(step, 1000, [torch.tensor(0.5)], {})
    assert seen == [1, 101, 201, 301, 401, 501, 601, 701, 801, 901, 1000]


def test_a_cpu_has_no_more_workers_than_cores_and_an_accelerator_that_nobody_measured_has_one():
    assert 1 <= sensible_workers(torch.device("cpu")) <= os.cpu_count()
    assert sensible_workers(torch.device("xpu")) == 1


@pytest.mark.parametrize(("gib", "cores", "number"), [(8, 16, 1), (24, 16, 1), (80, 16, 4), (141, 16, 7), (141, 2, 2)])
def test_a_gpu_has_as_many_workers_as_its_memory_and_the_cores_allow(monkeypatch, gib, cores, number):
    monkeypatch.setattr(workers, "usable_cores", lambda: cores)
    monkeypatch.setattr(workers, "total_memory", lambda: 128 * 2**30)
    properties = SimpleNamespace(total_memory=gib * 2**30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    assert sensible_workers(torch.device("cuda")) == number


def test_a_corrected_entry_of_a_column_that_decides_who_is_trained_on_trains_those_arms_again(tmp_path, monkeypatch):
    shutil.copytree(folder_of_cards(), tmp_path / "cards")
    use_cards(monkeypatch, tmp_path / "cards")
    manifest = tmp_path / "cards" / "idrid_grading_loc.csv"
    rows = pd.read_csv(manifest, dtype=str, keep_default_na=False)
    for pack in ("idrid_grading_loc", "idrid_seg_1024"):  # no image is read
        for image in read_manifest(pack)["image"].iloc[[0, -1]]:
            (tmp_path / pack / image).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / pack / image).touch()

    def hashes():
        forget_cards()
        experiment = Experiment("hu2018", "smoke", "public", data_root=tmp_path, output_root=tmp_path / "out")
        return {job.arm.name: job.fingerprint for job in experiment.jobs}

    try:
        before = hashes()
        rows.loc[rows["same_image_in_segmentation_set"] != "", "same_image_in_segmentation_set"] = ""
        rows.to_csv(manifest, index=False)
        changed = {name for name, key in hashes().items() if key != before[name]}
    finally:
        monkeypatch.undo()
        forget_cards()
    assert changed == {"localizer", "localizer_color", "localizer_shuffled"}
