"""Small arms on synthetic OCT scans: networks of a few hundred weights that train in a blink."""

import copy

from retina_kit.data.dataset import fingerprint
from retina_kit.runs.plan import plan_jobs, run_jobs
from retina_kit.schema import parse
from retina_kit.training.arm import Arm

OPTIONS = {"num_patients": 4, "scans_per_patient": 2, "size": [32, 48], "seed": 1}
ARM = {
    "role": "control",
    "data": {"dataset": "synthetic_oct", "mask": "fluid", "options": OPTIONS},
    "split": {"kind": "patients", "test_fraction": 0.25, "seed": 0},
    "model": {"name": "unet", "widths": [4, 4, 4, 4, 4], "norm": "batch"},
    "recipe": {"steps": 3, "batch_size": 2, "augmentation": {"crop": 16, "ratio": [0.8, 1.2], "flip": 0.5}},
}
TRANSFER = {"parent": "parent", "parts": ["encoder"]}


def small_arm(name, *, replace=None, **changes):
    """Return a small arm; a table in `changes` is laid over the arm's own, one in `replace` takes its place."""
    arm = copy.deepcopy(ARM) | {"name": name}
    for key, value in changes.items():
        arm[key] = arm.get(key, {}) | value if isinstance(value, dict) else value
    return parse(Arm, arm | (replace or {}), f"arm {name}")


def small_jobs(arms, seeds=(0,)):
    """Return the jobs of small arms."""
    return plan_jobs(arms, seeds, lambda arm: fingerprint("synthetic_oct", masks=["fluid"], **OPTIONS), "float32")


def train(arms, store, seeds=(0,), **settings):
    """Train small arms on the CPU in float32 and return {(arm, seed): run or error}."""
    jobs = small_jobs(arms, seeds)
    outcomes = run_jobs(jobs, store, data_root="nowhere", device="cpu", **settings)
    return {(job.arm.name, job.seed): outcomes[job.key] for job in jobs}
