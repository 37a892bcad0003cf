"""Demand against supply: every arm of every paper has the images it asks for, in every profile on every data choice."""

import numpy as np
import pandas as pd
import pytest
from small_arm import small_arm

from retina_kit.data.card import read_card
from retina_kit.data.dataset import list_rows, load_images
from retina_kit.data.manifest import MANIFEST_FILE
from retina_kit.errors import UsageError
from retina_kit.experiment_check import PROFILES
from retina_kit.experiment_file import DATA_CHOICES, find_paper, list_papers
from retina_kit.fractions import at_fraction
from retina_kit.runs.supply import check_supply

SCANS = {"aroi": np.repeat(np.arange(24), [48] * 8 + [47] * 16), "retouch": np.repeat(np.arange(24), 49)}


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    """Write the manifests of the data sets that are given on request: 24 patients, 1136 and 1176 scans."""
    root = tmp_path_factory.mktemp("data")
    for name, patients in SCANS.items():
        card = read_card(name)
        files = ["image", *(f"mask_{mask}" for mask in card.masks)]
        rows = pd.DataFrame({"id": [f"s{k}" for k in range(len(patients))], "patient": patients, "split": ""})
        rows = rows.assign(
            **{f"{file}{end}": "x" for file in files for end in ("", "_sha256")}, **dict.fromkeys(card.labels, "1")
        )
        (root / name).mkdir()
        rows.to_csv(root / name / MANIFEST_FILE, index=False)
    return root


@pytest.mark.parametrize("fraction", [1, 0.00005])
@pytest.mark.parametrize("data", DATA_CHOICES)
@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("paper", list_papers())
def test_every_arm_has_the_images_it_asks_for(paper, profile, data, fraction, data_root):
    definition = find_paper(paper)
    if data not in definition.data:
        pytest.skip(f"{paper} has no data choice {data}")
    arms = at_fraction(definition.resolve_arms(profile, definition.resolve_settings(profile, data)), fraction)
    check_supply([arm for arm in arms if not arm.only_on or data in arm.only_on], data_root)


@pytest.mark.parametrize("name", ["synthetic_oct", "synthetic_fundus"])
@pytest.mark.parametrize("copies", [0, 2])
def test_rows_without_images_are_those_of_the_images(name, copies):
    options = {"num_patients": 3, "size": (32, 32), "copies": copies}
    loaded = load_images(name, "nowhere", masks=[], **options).rows[["id", "patient", "split"]]
    pd.testing.assert_frame_equal(list_rows(name, "nowhere", masks=[], **options), loaded)


def asks_for(**split):
    """Return an arm on 2 scans of each of 4 patients, of whom one is tested."""
    return small_arm("arm", split=split)


def test_too_few_images_are_an_error_that_names_demand_and_supply():
    check_supply([asks_for(num_train=6)], "nowhere")
    with pytest.raises(
        UsageError, match=r"arm arm: it asks for 7 training images, its split leaves 6; .*\(8 images of 4"
    ):
        check_supply([asks_for(num_train=7)], "nowhere")
    check_supply([asks_for(num_train=7, at_most=True)], "nowhere")


def test_every_arm_that_lacks_something_is_named():
    arms = [small_arm(name, split={"num_train": number}) for name, number in (("a", 7), ("b", 6), ("c", 9))]
    with pytest.raises(UsageError) as caught:
        check_supply(arms, "nowhere")
    assert [line[:5] for line in str(caught.value).split("\n")] == ["arm a", "arm c"]


def test_folds_and_what_is_held_out_are_checked():
    folds = {"kind": "leave_patients_out", "num_folds": 3}
    with pytest.raises(UsageError, match="asks for 4 folds, its split makes 3"):
        check_supply([small_arm("arm", replace={"split": folds, "folds": 4})], "nowhere")
    with pytest.raises(UsageError, match="9 folds need as many patients; there are 4"):
        check_supply([small_arm("arm", replace={"split": folds | {"num_folds": 9}, "folds": 9})], "nowhere")
    whole = {"validation_fraction": 0.9, "validation_by": "patient"}
    with pytest.raises(UsageError, match="none is trained on"):
        check_supply([small_arm("arm", evaluation=whole)], "nowhere")


def test_all_of_fewer_images_can_be_taken_on_purpose():
    with pytest.raises(UsageError, match="at_most bounds num_train"):
        asks_for(at_most=True)
