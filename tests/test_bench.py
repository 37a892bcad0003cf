"""The benchmark compares like with like, reports who cannot take part, and counts operations by hand-checked rules."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from retina_kit.files import kit_root
from retina_kit.models.build import build_model
from retina_kit.training.batches import Batches
from retina_kit.training.loop import fit
from retina_kit.training.recipe import Recipe

sys.path.insert(0, str(kit_root()))
from benchmarks import machine
from benchmarks.__main__ import with_shares
from benchmarks.compare import THE_KIT, compare, lines_of
from benchmarks.growth import CURVES, measure_point, slope
from benchmarks.pacer import Pacer, Rival, save_images
from benchmarks.planning import plan_paper
from benchmarks.steps import seconds_of_steps, work_of_a_step

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def test_the_fast_and_the_plain_loop_take_the_same_float32_step():
    recipe = Recipe(loss="soft_dice", optimizer="adam", learning_rate=1e-3, epsilon=1e-3, batch_size=2, steps=1)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, 1, 32, 32), generator=generator, dtype=torch.uint8)
    targets = (images[:, 0] > 128).to(torch.uint8)
    torch.manual_seed(0)
    fast = build_model({"name": "unet"})
    torch.manual_seed(0)
    plain = build_model({"name": "unet"})
    batches = Batches(images, targets, recipe, seed=0, device=CPU)
    history = fit(fast, batches, recipe, device=CPU, precision="float32")

    chosen = batches.index_of(0)
    optimizer = torch.optim.Adam(plain.parameters(), lr=1e-3, eps=1e-3, foreach=False)
    probability = plain.train()(images[chosen].float() / 255)[:, 0].sigmoid()
    truth = targets[chosen].float()
    loss = 1 - (2 * (probability * truth).sum() + 1) / (probability.sum() + truth.sum() + 1)
    loss.backward()
    optimizer.step()

    assert history["loss"][0] == pytest.approx(loss.item(), abs=1e-5)
    for weight, expected in zip(fast.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(weight, expected, atol=1e-5, rtol=0)


@pytest.mark.slow
def test_the_kit_and_a_plain_loop_take_turns():
    comparison = compare((32, 32), batch=2, device=CPU, rows=[THE_KIT, "plain PyTorch"], repeats=2, num_steps=1)
    kit, plain = comparison["rows"]
    assert len(kit["seconds"]) == len(plain["seconds"]) == 2
    assert kit["times the kit"] == 1
    assert kit["peak_mb"] > 100
    assert "7,759,521" in lines_of(comparison)[0]


@pytest.mark.parametrize("curve", ["manifest_rows", "images_mapped"])
def test_a_curve_begins_at_its_smallest_point(curve):
    point = measure_point(curve, CURVES[curve][1][0])
    assert point["seconds"] > 0
    assert point["peak_mb"] >= 1


def test_a_rival_that_cannot_take_part_is_reported_with_its_error(tmp_path):
    path = save_images(np.zeros((2, 16, 16), np.uint8), np.zeros((2, 16, 16), np.uint8), tmp_path)
    rival = Rival("no_such_rival", "best", path, 2, "cpu", kit_root())
    rival.turn(1)
    rival.stop()
    assert rival.seconds == []
    assert "no_such_rival" in rival.error


def test_a_pacer_reports_a_block_of_updates(capsys):
    asked = iter(["2\n"])
    pacer = Pacer(warm_up=1, read=lambda: next(asked))
    pacer()  # warms up, reports, is told to do two more
    pacer()
    assert pacer.left == 1
    facts = json.loads(capsys.readouterr().out.removeprefix("@@bench "))
    assert facts["steps"] == 1
    assert facts["seconds"] >= 0


def test_operations_are_those_of_the_first_convolution_counted_by_hand():
    narrow = {"name": "unet", "widths": [1, 1]}
    work = work_of_a_step(narrow, (1, 1, 2, 2))
    # forward: 2 * out pixels * 9 * in channels; three 3x3 pairs, one 2x2 up, one 1x1; the backward pass at most twice
    convs = 2 * 9 * (4 * 1 + 4 * 1 + 1 + 1 + 4 * 2 + 4 * 1)
    forward = convs + 2 * 1 * 4 + 2 * 4
    assert forward < work["flops"] <= 3 * forward
    assert work["weights"] == sum(p.numel() for p in build_model(narrow).parameters())


def test_an_unknown_workload_is_named():
    command = [sys.executable, "-m", "benchmarks", "--workload", "unet_9"]
    done = subprocess.run(command, cwd=kit_root(), capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "unet_9" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_slope_is_that_of_the_upper_half():
    assert slope([1, 2, 4, 8], [9, 9, 16, 64]) == 2.0
    assert slope([10, 100, 1_000, 10_000], [5, 5, 5, 50]) == 1.0


def test_the_share_of_the_ceiling_is_a_quotient():
    measured = with_shares({"ceilings": {"bfloat16_gflops": 400.0}, "step": {"gflop_per_s": 300.0}, "command": ""})
    assert measured["step"]["share of the bfloat16 ceiling"] == 0.75
    measured = with_shares({"ceilings": {"float32_gflops": 400.0}, "step": {"gflop_per_s": 100.0}, "command": ""})
    assert measured["step"]["share of the float32 ceiling"] == 0.25


def test_a_product_in_bfloat16_is_measured_only_where_the_hardware_has_it(monkeypatch):
    monkeypatch.setattr(machine, "best_time", lambda work, device, repeats: 1.0)
    for has, expected in ((False, {"float32"}), (True, {"float32", "bfloat16"})):
        monkeypatch.setattr("retina_kit.training.device.has_fast_bfloat16", lambda device, has=has: has)
        found = machine.ceilings(CPU)
        assert {name.split("_")[0] for name in found} - {"copy"} == expected


def test_a_paper_that_is_not_here_yet_is_named_not_skipped():
    assert "nobody1999" in plan_paper("nobody1999", "smoke", CPU, 1)["left out"]


def test_seconds_are_taken_of_every_update_but_the_first():
    recipe = Recipe(batch_size=2, steps=10)
    images = torch.zeros(2, 1, 16, 16, dtype=torch.uint8)
    batches = Batches(images, images[:, 0], recipe, seed=0, device=CPU)
    model = build_model({"name": "unet", "widths": [2, 2]})
    seconds = seconds_of_steps(model, batches, recipe, device=CPU, num_steps=3)
    assert len(seconds) == 3
    assert all(value > 0 for value in seconds)
