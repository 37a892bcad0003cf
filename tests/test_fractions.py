"""A run at a fraction: steps and images scaled, all else kept, and told apart from a whole run."""

import pytest
from small_arm import small_arm

from retina_kit.errors import UsageError
from retina_kit.experiment import Experiment
from retina_kit.fractions import at_fraction, checked_fraction
from retina_kit.session import parse_settings


def test_steps_and_images_are_scaled_and_batches_are_not():
    options = {"num_patients": 300, "scans_per_patient": 2, "size": [32, 48], "seed": 1}
    recipe = {"steps": 4000, "batch_size": 8, "decay_steps": 2000, "validate_every": 10}
    arm = small_arm("arm", replace={"recipe": recipe}, data={"options": options}, split={"num_train": 200})
    (scaled,) = at_fraction([arm], 0.05)
    assert (scaled.recipe.steps, scaled.recipe.decay_steps, scaled.recipe.validate_every) == (200, 100, 1)
    assert (scaled.recipe.batch_size, scaled.recipe.learning_rate) == (8, 1e-3)
    assert (scaled.data.options["num_patients"], scaled.split.num_train, scaled.split.num_test) == (15, 10, 5)
    assert at_fraction([arm], 1.0) == [arm]


def test_arms_that_share_data_still_share_them():
    options = {"num_patients": 300, "size": [32, 48]}
    folds = {"kind": "leave_patients_out", "num_folds": 8}
    arms = [
        small_arm("a", data={"options": options}),
        small_arm("b", data={"options": options}, replace={"split": folds, "folds": 8}),
    ]
    assert [arm.data.options["num_patients"] for arm in at_fraction(arms, 0.01)] == [16, 16]


def test_a_share_that_arms_are_compared_at_stays_and_all_of_a_data_set_is_reduced():
    pack = {"dataset": "chase_db1", "mask": "vessels"}
    arms = [
        small_arm("arm", split={"train_percent": 40.0}),
        small_arm("all"),
        small_arm("pack", replace={"data": pack}),
    ]
    assert [arm.split.train_percent for arm in at_fraction(arms, 0.5)] == [40.0, 0.0, 50.0]


def test_a_fraction_has_a_folder_of_its_own_and_is_told():
    whole, part = Experiment("hu2018", "smoke"), Experiment("hu2018", "smoke", overrides={"fraction": "0.5"})
    assert part.folder.name == "smoke-synthetic-fraction-0.5" != whole.folder.name
    assert not {job.key for job in part.jobs} & {job.key for job in whole.jobs}
    part.jobs = []  # nothing of it has been trained
    assert part.description()["overrides"] == {"fraction": 0.5}
    assert "fraction of 0.5" in part.description()["data_says"]
    assert Experiment("hu2018", "smoke", overrides={"fraction": 1.0}).folder == whole.folder


@pytest.mark.parametrize("given", ["0", "1.5", "-1", "nan", "much", None])
def test_what_is_no_fraction_is_refused(given):
    with pytest.raises(UsageError, match="above 0 and at most 1"):
        checked_fraction(given)


def test_the_command_line_hands_it_on_as_a_setting():
    assert parse_settings(["steps=3"], 0.01) == {"steps": "3", "fraction": "0.01"}
    assert parse_settings(None) == {}
