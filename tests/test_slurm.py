"""A real Slurm on this machine (controller, node daemon, munge) trains a small sweep through dask-jobqueue."""

import contextlib
import os
import shutil
import socket
import subprocess
import time

import pytest
import torch
from small_arm import small_arm, train
from test_sweep import TRANSFER, Diary, assert_same_result

from retina_kit.errors import SetupError, UsageError
from retina_kit.runs.store import RunStore

pytest.importorskip("distributed", reason="dask is not installed (pip install retina-kit[cluster])")
pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed (pip install retina-kit[cluster])")
from retina_kit.runs.slurm import job_settings, read_settings, slurm_cluster

SLURM_CONF = """
ClusterName=small
SlurmctldHost={host}
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmdSpoolDir={folder}/spool
StateSaveLocation={folder}/state
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=4000 State=UNKNOWN
PartitionName=small Nodes={host} Default=YES MaxTime=60 State=UP OverSubscribe=YES
"""


def free_port():
    """Return a port that nobody listens on."""
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return opened.getsockname()[1]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """A running Slurm; the path of its configuration is in the environment."""
    missing = [name for name in ("munged", "slurmctld", "slurmd", "sbatch") if not shutil.which(name)]
    if missing:
        pytest.skip(f"Slurm is not installed: no {', '.join(missing)} (Debian: apt-get install slurm-wlm munge)")
    if os.geteuid() != 0:
        pytest.skip("slurmd needs root")
    folder = tmp_path_factory.mktemp("slurm")
    for name in ("spool", "state"):
        (folder / name).mkdir()
    conf = folder / "slurm.conf"
    conf.write_text(SLURM_CONF.format(folder=folder, host=socket.gethostname().split(".")[0], cpus=os.cpu_count(),
                                      controller_port=free_port(), node_port=free_port()))  # fmt: skip
    (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o600)
    munge = ["munged", "--foreground", "--force", f"--key-file={folder}/munge.key", f"--socket={folder}/munge.socket",
             f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log",
             f"--seed-file={folder}/munged.seed"]  # fmt: skip
    with contextlib.ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(conf))
        for command in (munge, ["slurmctld", "-D"], ["slurmd", "-D"]):
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            time.sleep(0.5)
        wait_for_node(folder)
        yield conf


def wait_for_node(folder):
    """Wait until the node takes jobs; skip where it never does, with what the logs say."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        shown = subprocess.run(["sinfo", "-h", "-o", "%t"], capture_output=True, text=True, check=False, timeout=30)
        if shown.stdout.strip() == "idle":
            return
        time.sleep(0.3)
    logs = " | ".join(path.read_text(errors="replace")[-300:] for path in folder.glob("slurm*.log"))
    pytest.skip(f"Slurm does not come up on this machine: {shown.stdout.strip()} {logs}")


def test_a_sweep_runs_in_slurm_jobs(slurm, tmp_path):
    torch.set_num_threads(1)
    file = tmp_path / "cluster.toml"
    file.write_text('jobs = 2\nwalltime = "00:10:00"\nmemory = "1500MB"\nqueue = "small"\ninterface = "lo"\n')
    arms = [small_arm("parent"), small_arm("child", start=TRANSFER), small_arm("alone", recipe={"steps": 4})]
    store, diary, lines = RunStore(tmp_path / "runs"), Diary(), []
    with slurm_cluster(file, store.folder / ".slurm", say=lines.append) as cluster:
        there = train(arms, store, cluster=cluster, progress=diary)
        shown = subprocess.run(["squeue", "-h", "-o", "%j %T"], capture_output=True, text=True, check=True)
        assert "dask-worker RUNNING" in shown.stdout
    here = train(arms, RunStore(tmp_path / "other"))
    for arm in here:
        assert_same_result(there[arm], here[arm])
    assert (4, 4) in diary.steps
    assert "dashboard" in lines[0]


def test_what_slurm_refuses_is_said(slurm, tmp_path):
    file = tmp_path / "cluster.toml"
    file.write_text('queue = "no_such_partition"\ninterface = "lo"\n')
    with (
        pytest.raises(SetupError, match=r"Slurm does not take the jobs of cluster\.toml.*partition"),
        slurm_cluster(file, tmp_path / "logs"),
    ):
        pass


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("job = 2", "no setting is called 'job'; there are jobs, "),
        ("jobs = 0", "jobs=0 must be like 1"),
        ('cores = "4"', "cores='4' must be like 1"),
        ("directives = [3]", "directives must be a list of texts"),
        ("jobs =", "is not valid TOML"),
    ],
)
def test_a_wrong_cluster_file_is_refused(tmp_path, text, message):
    (tmp_path / "cluster.toml").write_text(text)
    with pytest.raises(UsageError, match=rf"cluster\.toml.*{message}"):
        read_settings(tmp_path / "cluster.toml")
    with pytest.raises(UsageError, match=r"missing\.toml cannot be read"):
        read_settings(tmp_path / "missing.toml")


def test_a_gpu_is_asked_for_and_shared(tmp_path):
    file = tmp_path / "cluster.toml"
    file.write_text("cores = 8\ngpus = 1\nreplicates_at_once = 4\n")
    job = job_settings(read_settings(file), tmp_path)
    assert job["job_extra_directives"] == ["--gres=gpu:1"]
    assert (job["cores"], job["processes"], job["job_cpu"]) == (4, 4, 8)
    assert job["worker_extra_args"] == ["--resources", "GPU=1"]
    assert any("OMP_NUM_THREADS=2" in line for line in job["job_script_prologue"])
