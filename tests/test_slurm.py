"""The documented lines start a Dask cluster in Slurm: a real one on this machine, and a stub where there is none."""

import contextlib
import os
import re
import signal
import subprocess

import pytest
import torch
from small_arm import TRANSFER, small_arm, train
from test_plan import Diary, assert_same_result

from benchmarks.small_slurm import NoSlurmError, running_slurm
from retina_kit.files import kit_root
from retina_kit.runs.dask_engine import Cluster
from retina_kit.runs.store import RunStore

pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed (pip install 'retina-kit[slurm]')")

DOCUMENTED = (kit_root() / "docs" / "cluster.md").read_text()
STUB = {
    "sbatch": """#!/bin/sh
job=$(mktemp {folder}/job.XXXX); cp "$1" $job
setsid sh $job > $job.log 2>&1 < /dev/null & echo $! >> {folder}/jobs; echo "Submitted batch job $!"
""",
    "scancel": """#!/bin/sh
for job in "$@"; do kill -- -$job; done
""",
}


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """A running Slurm; the path of its configuration is in the environment."""
    with contextlib.ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        try:
            conf = stack.enter_context(running_slurm(tmp_path_factory.mktemp("slurm")))
        except NoSlurmError as error:
            pytest.skip(str(error))
        patch.setenv("SLURM_CONF", str(conf))
        yield conf


@pytest.fixture
def stub_slurm(tmp_path, monkeypatch):
    """Commands `sbatch` and `scancel` that run each job script in the background on this machine."""
    folder = tmp_path / "stub"
    folder.mkdir()
    for name, script in STUB.items():
        (folder / name).write_text(script.format(folder=folder))
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    yield folder
    for job in (folder / "jobs").read_text().split() if (folder / "jobs").exists() else []:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(int(job), signal.SIGKILL)


def documented_cluster(folder, **changes):
    """Execute the SLURMCluster lines of docs/cluster.md and return the cluster, with some arguments changed."""
    (block,) = re.findall(r"```python\n(.*?)```", DOCUMENTED, re.DOTALL)
    construct, _, rest = block.partition("cluster.scale")
    import dask_jobqueue

    def changed(**arguments):
        return dask_jobqueue.SLURMCluster(**(arguments | {"log_directory": str(folder)} | changes))

    code = construct.replace("from dask_jobqueue import SLURMCluster\n", "")
    names = {"SLURMCluster": changed}
    exec(code, names)  # noqa: S102  our own documentation
    assert rest.startswith("(jobs=")
    return names["cluster"]


def test_the_documented_lines_make_the_job_that_they_say(tmp_path):
    with documented_cluster(tmp_path) as cluster:
        script = cluster.job_script()
    for line in ("#SBATCH -p gpu", "#SBATCH --cpus-per-task=4", "#SBATCH --mem=15G", "#SBATCH -t 08:00:00",
                 "#SBATCH --gres=gpu:1", "module load cuda"):  # fmt: skip
        assert line in script.splitlines(), script
    for part in ("--nthreads 1", "--resources GPU=1", "export OMP_NUM_THREADS=4"):
        assert part in script
    assert "retina-kit train --scheduler" in DOCUMENTED


@contextlib.contextmanager
def train_in_slurm(tmp_path, **changes):
    """Train a few small arms on two Slurm jobs and compare them with runs in this process."""
    torch.set_num_threads(1)
    one_thread = ["export OMP_NUM_THREADS=1", "export MKL_NUM_THREADS=1"]
    settings = {"job_extra_directives": [], "job_script_prologue": one_thread, "worker_extra_args": []}
    settings |= {"interface": "lo"} | changes
    arms = [small_arm("parent"), small_arm("child", start=TRANSFER), small_arm("alone", recipe={"steps": 4})]
    store, diary, lines = RunStore(tmp_path / "runs"), Diary(), []
    with documented_cluster(tmp_path / "logs", **settings) as jobs:
        jobs.scale(jobs=2)
        with Cluster(jobs.scheduler_address, say=lines.append, patience=120) as cluster:
            there = train(arms, store, cluster=cluster, progress=diary)
            yield
    here = train(arms, RunStore(tmp_path / "other"))
    for arm in here:
        assert_same_result(there[arm], here[arm])
    assert (4, 4) in diary.steps
    assert "dashboard" in lines[0]


def test_runs_are_trained_in_slurm_jobs(slurm, tmp_path):
    with train_in_slurm(tmp_path, queue="small", memory="1500MB", walltime="00:10:00", job_cpu=1):
        shown = subprocess.run(["squeue", "-h", "-o", "%j %T"], capture_output=True, text=True, check=True)
        assert "dask-worker RUNNING" in shown.stdout


def test_runs_are_trained_in_the_jobs_of_a_stub(stub_slurm, tmp_path):
    with train_in_slurm(tmp_path):
        assert len((stub_slurm / "jobs").read_text().split()) == 2
