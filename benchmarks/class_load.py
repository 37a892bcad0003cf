"""Let two batches and a class of kernels train and read one run store at the same time, and compare what they see.

    python -m benchmarks.class_load --kernels 30

Each kernel opens the paper in profile smoke, asks for every run (which trains what is missing, or waits for whoever
trains it) and prints a hash of all scores. Shown: how many runs were trained, by the store's own books, how many
kernels failed, how many different answers they gave (must be 1), and how long the slowest took.
"""

import argparse
import concurrent.futures
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from jupyter_client.manager import KernelManager

from retina_kit.experiment import Experiment

CELL = """
import hashlib, torch
torch.set_num_threads(1)
import retina_kit as rk
experiment = rk.Experiment({paper!r}, profile="smoke", output_root={output_root!r})
experiment.train()
scores = experiment.scores.round(6).to_csv(index=False)
print("answer", len(experiment.jobs), hashlib.sha256(scores.encode()).hexdigest()[:16])
"""


def ask_kernel(paper, output_root, socket, seconds):
    """Start a kernel, let it train and read; return its answer, or its error, and the seconds it took."""
    began = time.monotonic()
    manager, texts = KernelManager(transport="ipc", ip=str(socket)), []
    manager.start_kernel(extra_arguments=["--HistoryManager.hist_file=:memory:"])
    client = manager.blocking_client()
    client.start_channels()

    def keep(message):
        if message["msg_type"] == "stream" and message["content"]["name"] == "stdout":
            texts.append(message["content"]["text"])

    try:
        client.wait_for_ready(timeout=seconds)
        cell = CELL.format(paper=paper, output_root=str(output_root))
        reply = client.execute_interactive(cell, timeout=seconds, output_hook=keep)["content"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    answers = [line for line in "".join(texts).splitlines() if line.startswith("answer")]
    answer = answers[0] if reply["status"] == "ok" and answers else f"{reply.get('ename')}: {reply.get('evalue')}"
    return answer, time.monotonic() - began


def main():
    """Start everything at once on an empty store and print what came out as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--paper", default="hu2018")
    parser.add_argument("--kernels", type=int, default=30)
    parser.add_argument("--batches", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=1200, help="after which a kernel counts as hung")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="class-") as folder:
        outputs = Path(folder) / "outputs"
        command = [sys.executable, "-m", "retina_kit", "run", options.paper, "--profile", "smoke"]
        batches = [
            subprocess.Popen(
                [*command, "--output-root", str(outputs)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            )
            for _ in range(options.batches)
        ]
        with concurrent.futures.ThreadPoolExecutor(options.kernels) as pool:
            asked = [
                pool.submit(ask_kernel, options.paper, outputs, Path(folder) / f"kernel{number}", options.seconds)
                for number in range(options.kernels)
            ]
            answers = [future.result() for future in asked]
        errors = [batch.communicate()[1].decode()[-500:] for batch in batches]
        jobs = {job.key for job in Experiment(options.paper, profile="smoke", output_root=outputs).jobs}
        finished = [path for path in (outputs / "runs").iterdir() if path.name in jobs]
        print(json.dumps({
            "kernels": options.kernels, "batches": options.batches,
            "exit codes of the batches": [batch.returncode for batch in batches],
            "errors": [error for error, batch in zip(errors, batches, strict=True) if batch.returncode],
            "runs planned, in the store": [len(jobs), len(finished)],
            "answers": Counter(answer for answer, _ in answers),
            "seconds of the slowest kernel": round(max(seconds for _, seconds in answers), 1),
        }, indent=1))  # fmt: skip


if __name__ == "__main__":
    main()
