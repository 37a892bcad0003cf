"""Weights describe themselves: what the description holds, and what happens without one."""

import dataclasses

import pytest
from safetensors.torch import load_file
from small_arm import TRANSFER, small_arm, train

from retina_kit import __version__
from retina_kit.runs.store import RunStore
from retina_kit.training.metadata import (
    Metadata,
    from_header,
    read_metadata,
    to_header,
)

STANDARDIZED = {"preprocess": ["gray", "standardize", "equalize", "gamma"]}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Return a store with a trained parent, its child, and an arm that keeps its best weights."""
    store = RunStore(tmp_path_factory.mktemp("runs"))
    arms = [
        small_arm("parent", label="the parent", data=STANDARDIZED),
        small_arm("child", start=TRANSFER, data={"scale": 0.5}, evaluation={"window": 16, "stride": 8}),
        small_arm("best", recipe={"validate_every": 1}, evaluation={"variants": ["last", "best"]}),
    ]
    return {arm: run for (arm, _), run in train(arms, store).items()}


def test_a_run_describes_its_weights(runs):
    metadata = runs["parent"].metadata()
    assert (metadata.arm, metadata.label, metadata.task) == ("parent", "the parent", "segment")
    assert metadata.network["widths"] == [4, 4, 4, 4, 4]
    assert (metadata.in_channels, metadata.image_channels) == (1, 1)
    assert (metadata.image_size, metadata.working_size, metadata.stretched) == ((32, 48), (32, 48), False)
    assert metadata.classes == ("background", "fluid")
    assert (metadata.threshold, metadata.seed, metadata.fold, metadata.steps) == (0.5, 0, None, 3)
    assert (metadata.kit_version, metadata.run) == (__version__, runs["parent"].folder.name)
    assert [source.name for source in metadata.sources] == ["synthetic_oct"]
    assert metadata.sources[0].fingerprint == runs["parent"].settings["description"]["data_fingerprint"]
    assert "synthetic" in metadata.sources[0].title


def test_the_description_holds_the_statistics_of_the_training_images(runs):
    steps = runs["parent"].metadata().preprocessing.steps
    assert [step.name for step in steps] == ["gray", "standardize", "equalize", "gamma"]
    assert 0 < steps[1].mean < 255
    assert steps[1].std > 0
    assert steps[0].mean is steps[2].mean is None


def test_windows_and_scale_are_described(runs):
    metadata = runs["child"].metadata()
    assert (metadata.window, metadata.stride, metadata.working_size) == (16, 8, (16, 24))


def test_the_best_weights_are_described_as_the_best(runs):
    assert runs["best"].metadata().variant == "last"
    assert runs["best"].metadata("best").variant == "best"


def test_a_description_survives_the_file(runs, tmp_path):
    metadata = runs["child"].metadata()
    assert from_header(to_header(metadata), "x") == metadata
    assert read_metadata(runs["child"].folder / "weights.safetensors") == metadata


def test_sources_are_inherited_from_the_parent(runs, tmp_path):
    parent = runs["parent"].metadata()
    elsewhere = dataclasses.replace(parent.sources[0], name="stare", license="none stated")
    header = to_header(dataclasses.replace(parent, sources=(elsewhere,)))
    assert from_header(header, "x").sources == (elsewhere,)
    assert runs["child"].metadata().sources == parent.sources  # the same data set is named once


def test_tensors_are_those_that_were_trained(runs):
    tensors = load_file(runs["parent"].folder / "weights.safetensors")
    assert all((tensors[name] == tensor).all() for name, tensor in runs["parent"].weights().items())
    assert isinstance(runs["parent"].metadata(), Metadata)
