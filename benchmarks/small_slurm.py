"""A Slurm of one node on this machine, for tests and for `benchmarks.faults`: it needs root, munge and slurm-wlm."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
SECONDS_TO_START = 30
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


class NoSlurmError(RuntimeError):
    """Slurm cannot run here; the message is why."""


@contextlib.contextmanager
def running_slurm(folder: Path) -> Iterator[Path]:
    """Start Slurm with everything below `folder`, and give its slurm.conf, which SLURM_CONF must name."""
    missing = [name for name in PROGRAMS if not shutil.which(name)]
    if missing:
        raise NoSlurmError(f"Slurm is not installed: no {', '.join(missing)} (Debian: apt-get install slurm-wlm munge)")
    if os.geteuid() != 0:
        raise NoSlurmError("slurmd needs root")
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
    environment = os.environ | {"SLURM_CONF": str(conf)}
    with contextlib.ExitStack() as stack:
        for command in (munge, ["slurmctld", "-D"], ["slurmd", "-D"]):
            process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            time.sleep(0.5)
        _wait_for_node(folder, environment)
        yield conf


def _wait_for_node(folder: Path, environment: dict[str, str]) -> None:
    """Wait until the node takes jobs; raise NoSlurmError with what the logs hold if it never does."""
    state, end = "", time.monotonic() + SECONDS_TO_START
    while time.monotonic() < end:
        command = ["sinfo", "-h", "-o", "%t"]
        state = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=30
        ).stdout.strip()
        if state == "idle":
            return
        time.sleep(0.3)
    logs = " | ".join(path.read_text(errors="replace")[-300:] for path in folder.glob("slurm*.log"))
    raise NoSlurmError(f"Slurm does not come up on this machine: {state} {logs}")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return opened.getsockname()[1]
