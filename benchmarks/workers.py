"""Is a processor better used by one run on all cores, or by one run per core? (`--workers` of `run`)"""

import multiprocessing
import os
import time

import torch

from benchmarks.steps import seconds_of_steps
from retina_kit.experiment import Experiment
from retina_kit.experiment_file import list_papers
from retina_kit.training.recipe import Recipe


def train_beside_others(paper, arm, threads, num_steps, barrier, answers):
    """Train an arm of the lesson for some steps, at the same time as the others, and answer with steps per second."""
    torch.set_num_threads(threads)
    experiment = Experiment(paper, "lesson", "synthetic", device="cpu")
    batches = experiment.batches(arm)
    batches.recipe = Recipe(**{**vars(batches.recipe), "steps": num_steps + 1, "epochs": 0, "validate_every": 0})
    barrier.wait()
    began = time.perf_counter()
    seconds_of_steps(experiment.model(arm), batches, batches.recipe, device=torch.device("cpu"), num_steps=num_steps)
    answers.put((num_steps + 1) / (time.perf_counter() - began))


def steps_per_second(paper, arm, count, threads, num_steps):
    """Return the steps per second that `count` processes of `threads` threads make together."""
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(count), context.Queue()
    arguments = (paper, arm, threads, num_steps, barrier, answers)
    processes = [context.Process(target=train_beside_others, args=arguments) for _ in range(count)]
    for process in processes:
        process.start()
    speeds = [answers.get(timeout=300) for _ in processes]
    for process in processes:
        process.join()
    return sum(speeds)


def one_or_many(device, num_steps):
    """Return, for one arm per paper in profile `lesson`, the steps per second of both ways and their ratio."""
    cores, rows = os.cpu_count(), {}
    for paper in list_papers():
        recipes = {arm.name: arm.recipe for arm in Experiment(paper, "lesson").arms}
        arm = max(recipes, key=lambda name: (recipes[name].steps or 0) + (recipes[name].epochs or 0))
        one = steps_per_second(paper, arm, 1, cores, 4 * num_steps)
        many = steps_per_second(paper, arm, cores, 1, 4 * num_steps)
        rows[f"{paper}, {arm}"] = {
            f"one process, {cores} threads": round(one, 2),
            f"{cores} processes, one thread each": round(many, 2),
            "ratio": round(many / one, 2),
        }
    return rows
