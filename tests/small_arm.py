"""Small arms on drawn OCT scans: networks of a few hundred weights that train in a blink."""

import copy

from retina_kit.data.dataset import fingerprint
from retina_kit.runs.plan import plan_jobs, run_jobs

OPTIONS = {"num_patients": 4, "scans_per_patient": 2, "size": [32, 48], "seed": 1}
ARM = {
    "name": "fluid",
    "label": "fluid",
    "role": "control",
    "task": "segment",
    "folds": 0,
    "needs": [],
    "data": {"dataset": "synthetic_oct", "mask": "fluid", "options": OPTIONS},
    "split": {"kind": "patients", "test_fraction": 0.25, "seed": 0},
    "model": {"name": "unet", "widths": [4, 4, 4, 4, 4], "norm": "batch"},
    "start": {},
    "recipe": {"steps": 3, "batch_size": 2, "augmentation": {"crop": 16, "ratio": [0.8, 1.2], "flip": 0.5}},
    "evaluation": {"variants": ["last"]},
}


def small_arm(name, **changes):
    """Return a small arm; a table in `changes` is laid over the arm's own."""
    arm = copy.deepcopy(ARM) | {"name": name, "label": name}
    for key, value in changes.items():
        arm[key] = arm[key] | value if isinstance(value, dict) else value
    return arm


def small_jobs(arms, seeds=(0,)):
    """Return the jobs of small arms."""
    return plan_jobs(arms, seeds, lambda arm: fingerprint("synthetic_oct", masks=["fluid"], **OPTIONS), "float32")


def train(arms, store, seeds=(0,), **settings):
    """Train small arms on the CPU in float32 and return {(arm, seed): run or error}."""
    jobs = small_jobs(arms, seeds)
    outcomes = run_jobs(jobs, store, data_root="nowhere", device="cpu", **settings)
    return {(job.arm["name"], job.seed): outcomes[job.key] for job in jobs}
