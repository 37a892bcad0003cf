"""A run that was stopped and goes on is the run that was never stopped, bit by bit."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from small_arm import small_arm

from retina_kit.errors import SetupError
from retina_kit.runs.checkpoint import Checkpoint
from retina_kit.training.loop import fit
from retina_kit.training.prepare import prepare_arm, start_model
from retina_kit.training.tasks.interface import Validator

CPU = torch.device("cpu")
NUM_STEPS, STOPPED_AFTER = 7, 3
KINDS = {
    "adam": {"recipe": {"optimizer": "adam", "learning_rate": 1e-2}},
    "sgd with momentum": {
        "recipe": {"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 5e-4, "schedule": "poly"}
    },
    "rmsprop in epochs": {"recipe": {"optimizer": "rmsprop", "steps": 0, "epochs": 3}},
    "dropout": {"model": {"dropout": 0.3}},
    "frozen encoder": {"freeze": ["encoder"], "recipe": {"optimizer": "sgd", "momentum": 0.9}},
    "auxiliary head": {
        "model": {"name": "unet_s5_d16", "base_width": 4, "in_channels": 3},
        "recipe": {"auxiliary_weight": 0.4},
    },
}


class Killed(Exception):
    """Stands for a kill between two steps."""


def set_up(kind, path, every_seconds=1e9):
    """Return a fresh model, its batches, recipe, validator and checkpoint."""
    changes = {key: copy.copy(value) for key, value in KINDS[kind].items()}
    changes["recipe"] = {"steps": NUM_STEPS, "validate_every": 2} | changes.get("recipe", {})
    replace = {"model": changes.pop("model")} if changes.get("model", {}).get("name", "unet") != "unet" else {}
    arm = small_arm("fluid", replace=replace, **changes)
    task, recipe = prepare_arm(arm, 0, None, "nowhere"), arm.recipe
    batches = task.make_batches(0, CPU)
    validator = Validator(task, batches, "float32")
    checkpoint = Checkpoint(path, every_seconds=every_seconds, keeper=validator)
    return start_model(arm, 0), batches, recipe, validator, checkpoint


def train(kind, path, watch=None, precision="float32", every_seconds=1e9):
    """Train until the end or until `watch` stops it; return the model, its history and its validator."""
    torch.set_num_threads(1)
    model, batches, recipe, validator, checkpoint = set_up(kind, path, every_seconds)
    history = fit(model, batches, recipe, device=CPU, precision=precision, validate=validator, watch=watch,
                  checkpoint=checkpoint)  # fmt: skip
    return model, history, validator


def stop_early(step, num_steps, losses, scores):
    """Stop after the third step."""
    return step + 1 == STOPPED_AFTER


def assert_same(first, second):
    """Compare weights, losses, validations and the best weights, bit by bit."""
    for name, tensor in first[0].state_dict().items():
        assert torch.equal(tensor, second[0].state_dict()[name]), name
    pd.testing.assert_frame_equal(first[1], second[1], check_exact=True)
    assert first[2].best_score == second[2].best_score
    assert first[2].best_weights.keys() == second[2].best_weights.keys() != set()
    for name, tensor in first[2].best_weights.items():
        assert torch.equal(tensor, second[2].best_weights[name]), name


@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_run_ends_as_an_unbroken_one(kind, tmp_path):
    unbroken = train(kind, tmp_path / "unbroken.safetensors")
    stopped = train(kind, tmp_path / "stopped.safetensors", watch=stop_early)
    assert len(stopped[1]) == STOPPED_AFTER < len(unbroken[1])
    assert not any(
        torch.equal(tensor, unbroken[0].state_dict()[name])
        for name, tensor in stopped[0].named_parameters()
        if tensor.requires_grad and tensor.dim() > 1
    )
    assert_same(train(kind, tmp_path / "stopped.safetensors"), unbroken)


def test_a_run_that_was_killed_goes_on_from_its_last_checkpoint(tmp_path):
    def die(step, num_steps, losses, scores):
        seen.append(step)
        if step == 5 and len(seen) == 6:
            raise Killed

    path, seen = tmp_path / "run.safetensors", []
    with pytest.raises(Killed):
        train("adam", path, watch=die, every_seconds=0.0)
    resumed = train("adam", path, watch=die, every_seconds=0.0)
    assert seen == [0, 1, 2, 3, 4, 5, 5, 6]  # step 5 was done and lost, so it is done again
    assert_same(resumed, train("adam", tmp_path / "unbroken.safetensors"))


def test_a_resumed_run_in_the_fast_precision_is_the_same_too(tmp_path):
    unbroken = train("adam", tmp_path / "unbroken.safetensors", precision="bfloat16")
    train("adam", tmp_path / "stopped.safetensors", watch=stop_early, precision="bfloat16")
    assert_same(train("adam", tmp_path / "stopped.safetensors", precision="bfloat16"), unbroken)


def test_nothing_saved_means_the_first_step(tmp_path):
    model, _, recipe, _, checkpoint = set_up("adam", tmp_path / "none.safetensors")
    losses = []
    assert checkpoint.restore(model, recipe.make_optimizer(model), losses, []) == 0
    assert losses == []


@pytest.mark.parametrize("damage", [lambda content: content[: len(content) // 2], lambda content: b""])
def test_a_damaged_checkpoint_starts_the_run_again(tmp_path, damage, capsys):
    path = tmp_path / "run.safetensors"
    train("adam", path, watch=stop_early)
    path.write_bytes(damage(path.read_bytes()))
    again = train("adam", path)
    assert "cannot be read" in capsys.readouterr().err
    assert_same(again, train("adam", tmp_path / "unbroken.safetensors"))


def test_it_saves_only_as_often_as_it_was_told(tmp_path):
    model, _, recipe, _, checkpoint = set_up("adam", tmp_path / "run.safetensors", every_seconds=1e9)
    optimizer, losses = recipe.make_optimizer(model), [torch.tensor(0.5)]
    checkpoint.save_if_due(model, optimizer, losses, [])
    assert not checkpoint.path.exists()
    checkpoint.save_if_due(model, optimizer, losses, [], now=True)
    assert checkpoint.path.exists()


def test_a_full_disk_keeps_the_last_checkpoint(small_disk):
    model, _, recipe, _, checkpoint = set_up("adam", small_disk / "run.safetensors")
    optimizer = recipe.make_optimizer(model)
    checkpoint.save(model, optimizer, [torch.tensor(0.5)], [])
    before = checkpoint.path.read_bytes()
    (small_disk / "ballast").write_bytes(np.zeros(256 * 1024 - 2 * len(before), np.uint8).tobytes())
    with pytest.raises(SetupError, match=r"cannot write .*run\.safetensors.*No space left"):
        checkpoint.save(model, optimizer, [torch.tensor(0.5)] * 20_000, [])
    assert checkpoint.path.read_bytes() == before
    assert sorted(path.name for path in small_disk.iterdir()) == ["ballast", "run.safetensors"]


def test_a_resumed_run_counts_the_seconds_of_its_first_part(tmp_path):
    path = tmp_path / "run.safetensors"
    model, batches, recipe, validator, checkpoint = set_up("adam", path)
    checkpoint.began -= 40  # seconds ago
    fit(model, batches, recipe, device=CPU, precision="float32", validate=validator, watch=stop_early,
        checkpoint=checkpoint)  # fmt: skip
    for earlier in (40, 140):
        model, batches, recipe, validator, checkpoint = set_up("adam", path)
        fit(model, batches, recipe, device=CPU, precision="float32", validate=validator, watch=lambda *_: True,
            checkpoint=checkpoint)  # fmt: skip
        assert earlier <= checkpoint.earlier_seconds < earlier + 30
        checkpoint.began -= 100
        checkpoint.save(model, recipe.make_optimizer(model), [torch.tensor(1.0)] * 4, [])
