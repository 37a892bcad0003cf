"""The benchmark of some arms: what they start from comes along, and a row is replaced by its newer one."""

import pandas as pd
import pytest

from benchmarks import imagenet
from benchmarks.some_arms import WHICH, OfFolds, keep, leave_only
from retina_kit.errors import UsageError
from retina_kit.experiment import Experiment


def test_the_named_arms_keep_what_they_start_from(tmp_path):
    experiment = Experiment("hu2018", "smoke", output_root=tmp_path)
    leave_only(experiment, ["window_100", "gray_100"])
    assert [arm.name for arm in experiment.arms] == ["localizer_color", "gray_100", "window_100"]
    with pytest.raises(UsageError, match="did you mean 'gray_100'"):
        leave_only(Experiment("hu2018", "smoke", output_root=tmp_path), ["grey_100"])


def test_a_row_replaces_the_one_of_the_same_arm_and_settings(tmp_path):
    row = dict.fromkeys(WHICH, "x")
    for settings, dice in (("", 0.5), ("steps=800", 0.6), ("", 0.7)):
        keep(pd.DataFrame([row | {"settings": settings or "the lesson's", "ours_mean": dice}]), tmp_path / "rows.csv")
    kept = pd.read_csv(tmp_path / "rows.csv").set_index("settings")["ours_mean"]
    assert kept.to_dict() == {"steps=800": 0.6, "the lesson's": 0.7}


def test_some_folds_are_trained_with_what_they_start_from(tmp_path):
    experiment = OfFolds("huang2023", "smoke", output_root=tmp_path)
    leave_only(experiment, ["fcn_stare_left_out"])
    num_jobs = len(experiment.jobs)
    experiment.only_folds = [0, 1]
    assert [job.fold for job in experiment.jobs] == [None, 0, 1] and num_jobs > 3


def test_claims_about_imagenet_replace_only_themselves(tmp_path):
    row = {"paper": "melinscak2020", "data": "public"}
    for claim, estimate in (("few", 0.1), ("all", 0.2), ("few", 0.3)):
        imagenet.keep(pd.DataFrame([row | {"claim": claim, "estimate": estimate}]), tmp_path / "claims.csv")
    assert pd.read_csv(tmp_path / "claims.csv").set_index("claim")["estimate"].to_dict() == {"few": 0.3, "all": 0.2}
