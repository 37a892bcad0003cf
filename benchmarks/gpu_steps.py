"""Where a training step spends its time on a GPU, and whether a CUDA graph would shorten it.

    python -m benchmarks.gpu_steps [--profile lesson] [--save gpu_steps]       # needs a CUDA device

For the arm of each paper that is named below: seconds of a step in the kit's loop; seconds that kernels run, and their
number (torch.profiler); seconds of sampling the batch; and seconds of the same update when it is recorded once and
replayed as a CUDA graph. What is left between the first and the second figure is Python and the launches of kernels:
that is what a graph, or several runs side by side, can win.
"""

import argparse
import statistics
import time

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.ceiling import started
from benchmarks.command import run
from benchmarks.gpu import RESULTS
from benchmarks.machine import describe_machine, write_json
from benchmarks.steps import seconds_of_steps, work_of_a_step
from retina_kit.experiment import Experiment
from retina_kit.models.layout import to_device
from retina_kit.training.device import autocast, choose_device
from retina_kit.training.loop import as_float32, fit, outputs_and_loss

ARMS = {
    "hu2018": "random_trainable_100",
    "melinscak2020": "scratch_large",
    "ortiz2022": "published",
    "huang2023": "fcn_scratch",
}


def kernels_of_a_step(model, batches, recipe, device, steps=10):
    """Return the seconds that kernels of a step run, and how many there are."""
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        fit(model, batches, recipe, device=device, watch=lambda step, *_: step + 1 == steps)
    kernels = [event for event in profiler.events() if event.device_type == DeviceType.CUDA]
    seconds = sum(event.time_range.elapsed_us() for event in kernels) / 1e6
    return round(seconds / steps, 5), round(len(kernels) / steps)


def seconds_to_sample(batches, steps=20):
    """Return the median seconds until a batch has been sampled."""
    seconds = []
    for step in range(steps):
        began = time.perf_counter()
        batches.sample(step)
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return round(statistics.median(seconds), 5)


def seconds_of_graph(model, batches, recipe, device, replays=50):
    """Return the seconds of an update that is replayed as a CUDA graph, the sampling of its batch left out."""
    to_device(model, device).train()
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=1e-6, fused=True, capturable=True)
    predict, loss_of = outputs_and_loss(model, recipe)
    images, targets = batches.sample(0)

    def update():
        optimizer.zero_grad(set_to_none=True)
        with autocast(device):
            outputs = predict(images)
        loss_of(as_float32(outputs), targets).backward()
        optimizer.step()

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            update()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    optimizer.zero_grad(set_to_none=True)
    with torch.cuda.graph(graph):
        update()
    graph.replay()
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(replays):
        graph.replay()
    torch.cuda.synchronize()
    return round((time.perf_counter() - began) / replays, 5)


def measure(paper, profile_name, device, steps):
    """Return the figures of one paper's arm."""
    arm = Experiment(paper, profile_name, "synthetic", device=str(device)).arm(ARMS[paper])
    _, model, batches = started(arm, device)
    images, _ = batches.sample(0)
    work = work_of_a_step(arm.model, tuple(images.shape), auxiliary=arm.recipe.auxiliary_weight != 0)
    seconds = statistics.median(seconds_of_steps(model, batches, arm.recipe, device=device, num_steps=steps))
    row = {"arm": arm.name, "shape": list(images.shape), "gflop": round(work["flops"] / 1e9, 2)}
    row |= {"seconds": round(seconds, 5), "gflop_per_s": round(work["flops"] / seconds / 1e9)}
    row["images_per_s"] = round(len(images) / seconds, 1)
    if device.type == "cuda":
        row["seconds of kernels"], row["kernels"] = kernels_of_a_step(model, batches, arm.recipe, device)
        row["seconds of sampling"] = seconds_to_sample(batches)
        row["seconds of a graph"] = seconds_of_graph(model, batches, arm.recipe, device)
        row["peak_gpu_mb"] = round(torch.cuda.max_memory_allocated() / 2**20)
    return row


def main():
    """Measure the papers' arms one after the other and keep the figures after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("papers", nargs="*", default=list(ARMS))
    parser.add_argument("--profile", default="lesson")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--save", default="gpu_steps")
    options = parser.parse_args()
    device = choose_device(options.device)
    rows = {}
    for paper in options.papers:
        try:
            rows[paper] = measure(paper, options.profile, device, options.steps)
        except RuntimeError as error:  # one arm that does not fit must not hide the others
            rows[paper] = {"error": str(error).splitlines()[0]}
        print(paper, rows[paper], flush=True)
        kept = {"machine": describe_machine(device), "profile": options.profile, "arms": rows}
        write_json(RESULTS / f"{options.save}.json", kept)


if __name__ == "__main__":
    run(main)
