"""Starts a Dask cluster inside Slurm from a small TOML file; dask-jobqueue writes and submits the job scripts.

jobs = 4                     # how many Slurm jobs
walltime = "08:00:00"
memory = "16GB"              # of a job
cores = 4                    # of a job
gpus = 1                     # of a job; 0: none
replicates_at_once = 1       # of a job: processes that share its cores, memory and GPU
queue = "gpu"                # partition; account = "..." likewise
directives = ["--constraint=a100"]
prologue = ["module load cuda"]
interface = "ib0"            # the network over which scheduler and workers talk
"""

import contextlib
import subprocess
import sys
import tomllib
from pathlib import Path

from retina_kit.errors import SetupError, UsageError
from retina_kit.runs.dask_engine import Cluster

DEFAULTS = {
    "jobs": 1, "walltime": "01:00:00", "memory": "8GB", "cores": 1, "gpus": 0, "replicates_at_once": 1, "queue": "",
    "account": "", "directives": [], "prologue": [], "interface": "", "python": "", "patience_minutes": 60,
}  # fmt: skip


def read_settings(path):
    """Return the settings of a cluster file, typed and complete; an unknown key or a wrong type is an error."""
    path = Path(path)
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--slurm {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path.name} is not valid TOML: {error}") from error
    for key, value in given.items():
        if key not in DEFAULTS:
            raise UsageError(f"{path.name}: no setting is called {key!r}; there are {', '.join(DEFAULTS)}")
        if type(value) is not type(DEFAULTS[key]) or (type(value) is int and value < (key != "gpus")):
            raise UsageError(f"{path.name}: {key}={value!r} must be like {DEFAULTS[key]!r}")
        if isinstance(value, list) and not all(isinstance(item, str) for item in value):
            raise UsageError(f"{path.name}: {key} must be a list of texts")
    return DEFAULTS | given


def job_settings(settings, log_folder):
    """Return what dask-jobqueue is given for the settings of a cluster file."""
    processes = settings["replicates_at_once"]
    threads = max(1, settings["cores"] // processes)
    extra = ["--resources", "GPU=1"] if settings["gpus"] else []
    directives = [f"--gres=gpu:{settings['gpus']}"] if settings["gpus"] else []
    environment = [
        f"export DASK_DISTRIBUTED__NANNY__PRE_SPAWN_ENVIRON__{name}_NUM_THREADS={threads}" for name in ("OMP", "MKL")
    ]
    return {
        "cores": processes,  # Dask's threads, one a process: a process trains one replicate at a time
        "job_cpu": settings["cores"],
        "processes": processes,
        "memory": settings["memory"],
        "walltime": settings["walltime"],
        "queue": settings["queue"] or None,
        "account": settings["account"] or None,
        "interface": settings["interface"] or None,
        "python": settings["python"] or sys.executable,
        "job_extra_directives": directives + settings["directives"],
        "job_script_prologue": environment + settings["prologue"],
        "worker_extra_args": extra,
        "log_directory": str(log_folder),
    }


@contextlib.contextmanager
def slurm_cluster(path, log_folder, *, say=None):
    """Give a Cluster whose workers are Slurm jobs; they are cancelled at the end."""
    settings = read_settings(path)
    import dask_jobqueue  # an extra that only Slurm needs

    log_folder.mkdir(parents=True, exist_ok=True)
    try:
        jobs = dask_jobqueue.SLURMCluster(**job_settings(settings, log_folder))
    except (OSError, ValueError, RuntimeError) as error:
        raise SetupError(f"no Dask scheduler can be started for Slurm: {error}") from error
    with jobs:
        check_job_script(jobs.job_script(), path)
        jobs.scale(jobs=settings["jobs"])
        with Cluster(jobs, say=say, patience=60 * settings["patience_minutes"]) as cluster:
            yield cluster


def check_job_script(script, path):
    """Raise SetupError where Slurm would not take a job script; nothing is submitted."""
    try:
        done = subprocess.run(["sbatch", "--test-only"], input=script, capture_output=True, text=True, check=False)
    except OSError as error:
        raise SetupError("sbatch is not on this machine; run --slurm on a login node of the cluster") from error
    if done.returncode:
        text = " ".join(done.stderr.split())[-400:]
        raise SetupError(f"Slurm does not take the jobs of {Path(path).name}: {text}")
