"""From an arm to its network, its data and its scores: what is copied, loaded once, and scored with which weights."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from small_arm import TRANSFER, small_arm
from torch import nn

from retina_kit.errors import UsageError
from retina_kit.training import prepare
from retina_kit.training.arm_training import ArmTraining
from retina_kit.training.prepare import (
    check_network,
    images_of,
    prepare_arm,
    score_variants,
    start_model,
    trained_model,
)
from retina_kit.training.tasks.segment import Segmentation

CPU = torch.device("cpu")
EVERY_VARIANT = {"variants": ["last", "best", "last_whole", "best_whole"]}


def test_a_network_that_cannot_be_built_or_frozen_is_refused_with_its_arm():
    check_network(small_arm("fine", freeze=["encoder"]))
    with pytest.raises(UsageError, match=r"^arm odd: this network has no part 'tail'"):
        check_network(small_arm("odd", freeze=["tail"]))


def test_a_data_set_is_read_once_whatever_the_order_of_its_options():
    arm = small_arm("arm")
    options = dict(reversed(arm.data.options.items()))
    assert list(options) != list(arm.data.options)
    images = images_of(arm, "nowhere")
    assert images_of(small_arm("same", data={"options": options}), "nowhere") is images
    assert images_of(small_arm("more", data={"options": options | {"seed": 2}}), "nowhere") is not images


def test_a_process_keeps_the_data_sets_used_last_and_no_more_than_fit(monkeypatch):
    kept = {}
    monkeypatch.setattr(prepare, "KEPT", kept)
    arms = [small_arm("arm", data={"options": small_arm("arm").data.options | {"seed": seed}}) for seed in (7, 8, 9)]
    first, second = images_of(arms[0], "nowhere"), images_of(arms[1], "nowhere")
    monkeypatch.setattr(prepare, "KEPT_BYTES", 2 * first.num_bytes)
    assert images_of(arms[0], "nowhere") is first
    third = images_of(arms[2], "nowhere")
    assert [id(images) for images in kept.values()] == [id(first), id(third)], "the one not used for longest goes"
    assert images_of(arms[1], "nowhere") is not second
    monkeypatch.setattr(prepare, "KEPT_BYTES", 0)
    fourth = images_of(arms[2], "nowhere")
    assert list(kept.values()) == [fourth], "the last one is kept whatever its size"
    monkeypatch.setattr(prepare, "load_images", lambda **_: kept_when_reading.append(len(kept)) or fourth)
    kept_when_reading = []
    images_of(arms[0], "nowhere")
    assert kept_when_reading == [0], "and let go before the next one is read"


def test_an_arm_is_split_and_given_to_its_task():
    arm = small_arm("arm")
    task = prepare_arm(arm, 0, None, "nowhere")
    assert type(task) is Segmentation and task.arm is arm
    assert sorted([*task.train, *task.test]) == list(range(8))  # 4 patients, 2 scans each
    assert len(task.test) == 2


def weight_of(model):
    """Return a weight of a network's encoder."""
    return next(
        weight for name, weight in model.state_dict().items() if name.startswith("encoder") and weight.dim() == 4
    )


def test_a_network_starts_from_its_seed_and_with_the_parts_of_its_parent():
    parent = start_model(small_arm("parent"), 1)
    plain, child = small_arm("plain"), small_arm("child", start=TRANSFER)
    random, same, copied = start_model(plain, 0), start_model(child, 0), start_model(child, 0, parent.state_dict())
    assert torch.equal(weight_of(random), weight_of(same))  # nothing to copy yet
    assert not torch.equal(weight_of(random), weight_of(parent))
    assert torch.equal(weight_of(copied), weight_of(parent))
    assert torch.equal(copied.head.weight, random.head.weight)
    assert torch.equal(weight_of(start_model(plain, 0, parent.state_dict())), weight_of(random))  # it has no start


def test_a_trained_network_has_the_weights_that_it_is_given():
    arm = small_arm("arm")
    weights = start_model(arm, 1).state_dict()
    model = trained_model(arm, weights, CPU)
    assert all(torch.equal(weights[name], value) for name, value in model.state_dict().items())


def scored(best, variants=EVERY_VARIANT):
    """Return the scores of a network of one weight, 1, with the `best` weight, and how often it was scored."""

    def score(model, batches, *, variant, precision):
        calls.append(variant)
        return pd.DataFrame({"weight": [model.weight.item()], "whole": [variant.endswith("whole")]}, index=[7])

    calls = []
    model = nn.Linear(1, 1, bias=False)
    nn.init.ones_(model.weight)
    task = SimpleNamespace(arm=small_arm("arm", recipe={"validate_every": 1}, evaluation=variants), score=score)
    validator = None if best is None else SimpleNamespace(best_weights={"weight": torch.tensor([[best]])})
    scores = score_variants(task, model, None, validator, "float32")
    assert model.weight.item() == 1  # as after the last step
    return scores, calls


def test_every_variant_is_scored_with_its_own_weights():
    scores, calls = scored(best=2.0)
    assert scores["variant"].tolist() == calls == EVERY_VARIANT["variants"]
    assert scores["weight"].tolist() == [1, 2, 1, 2]
    assert scores["whole"].tolist() == [False, False, True, True]
    assert scores.index.tolist() == [0, 1, 2, 3]


def test_nothing_is_scored_twice_if_the_last_weights_are_the_best():
    scores, calls = scored(best=1.0)
    assert calls == ["last", "last_whole"]
    assert scores["variant"].tolist() == EVERY_VARIANT["variants"]
    assert scores["weight"].tolist() == [1, 1, 1, 1]


def test_without_a_validation_the_last_weights_are_scored():
    scores, calls = scored(best=None, variants={"variants": ["last"]})
    assert calls == ["last"] and scores["weight"].tolist() == [1]


def training_of(arm, parent_weights=None):
    """Return an arm before its first step."""
    return ArmTraining(prepare_arm(arm, 0, None, "nowhere"), 0, CPU, "float32", parent_weights)


def test_a_history_of_all_steps_is_finished():
    training = training_of(small_arm("arm"))  # of 3 steps
    assert [training.is_finished(pd.DataFrame(index=range(steps))) for steps in (2, 3)] == [False, True]
    assert training.validator is None and training.best_weights() is None


def test_the_best_weights_are_those_of_the_validation_if_they_are_tested():
    settings = {"recipe": {"validate_every": 1}}
    best = training_of(small_arm("best", evaluation={"variants": ["best"]}, **settings))
    best.validator.best_weights = {"weight": torch.ones(1)}
    assert best.best_weights() is best.validator.best_weights
    last = training_of(small_arm("last", **settings))
    assert last.validator is not None and last.best_weights() is None


def means_of(training):
    """Return the running means of the BatchNorms of the encoder."""
    buffers = training.model.encoder.named_buffers()
    return torch.cat([value for name, value in buffers if name.endswith("running_mean")])


def test_statistics_are_measured_before_the_first_step_only_if_they_are_calibrated():
    frozen = {"freeze": ["encoder"]}
    parent = start_model(small_arm("parent"), 1).state_dict()
    child = training_of(small_arm("child", start=TRANSFER, **frozen), parent)
    assert not means_of(child).any()  # as its parent's
    assert means_of(training_of(small_arm("arm", start={"calibrate": True}, **frozen))).any()


def test_training_hands_over_what_it_is_given():
    seen = []
    training = training_of(small_arm("arm"))
    history = training.fit(watch=lambda step, *_: seen.append(step))
    assert seen == [0, 1, 2] and np.array_equal(history["step"], [1, 2, 3])


def test_a_network_that_is_tested_on_its_training_images_is_not_tested_on_those_held_out():
    arm = small_arm(
        "known", split={"evaluate_on": "train"}, evaluation={"validation_fraction": 0.3}, recipe={"validate_every": 1}
    )
    task = prepare_arm(arm, 0, None, "nowhere")
    assert len(task.validation) > 0
    assert task.test.tolist() == task.train.tolist()
