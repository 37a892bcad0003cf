"""Names of result folders: readable, safe everywhere, and never the same for two settings."""

import itertools
import re
import shlex

import pytest

from retina_kit.authoring.report_facts import command_of
from retina_kit.experiment import Experiment
from retina_kit.session import parse_settings
from retina_kit.setting_names import setting_name

FORBIDDEN_ON_WINDOWS = re.compile(r'[<>:"/\\|?*\x00-\x1f]|[. ]$')


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ({}, "lesson-synthetic"),
        ({"steps": 50}, "lesson-synthetic-steps-50"),
        ({"steps": 50, "loss": "soft_dice"}, "lesson-synthetic-loss-soft_dice-steps-50"),
        ({"rate": 0.001}, "lesson-synthetic-rate-0.001"),
        ({"deep": True}, "lesson-synthetic-deep-true"),
        ({"ratio": [0.5, 2.0]}, "lesson-synthetic-ratio-0.5_2.0"),
    ],
)
def test_a_name_can_be_read(overrides, name):
    assert setting_name("lesson", "synthetic", overrides) == name
    assert setting_name("lesson", "synthetic", dict(reversed(overrides.items()))) == name


def test_different_settings_have_different_names_even_if_case_does_not_count():
    values = [
        "Adam",
        "adam",
        "a b",
        "a_b",
        "a-b",
        "A/B",
        1,
        1.0,
        -1,
        True,
        [1, 2],
        [[1], 2],
        {"a": 1},
        {},
        [],
        "",
        "x" * 300,
    ]
    values += [1e-9, 1e-10, "x" * 299, "..", "con"]
    names = [setting_name("lesson", "synthetic", {"value": value}) for value in values]
    assert len({name.lower() for name in names}) == len(values)
    for name in names:
        assert len(name) < 100, name
        assert not FORBIDDEN_ON_WINDOWS.search(name), name


def folder_of(overrides=None, seeds=None):
    """Return the name of the folder of a smoke run."""
    return Experiment("hu2018", "smoke", overrides=overrides, seeds=seeds).folder.name


def test_what_the_profile_sets_anyway_is_not_part_of_the_name():
    assert folder_of() == folder_of({"steps": 2}) == folder_of({"steps": "2"}, seeds=[0]) == "smoke-synthetic"


def test_text_and_number_name_the_same_folder():
    assert folder_of({"steps": "50"}) == folder_of({"steps": 50}) == "smoke-synthetic-steps-50"


def test_seeds_are_part_of_the_name_however_they_are_given():
    assert folder_of(seeds=[0, 1, 2]) == folder_of({"seeds": [0, 1, 2]}) == "smoke-synthetic-seeds-0_1_2"


def test_another_precision_has_another_folder(tmp_path):
    folders = [Experiment("hu2018", "smoke", output_root=tmp_path, precision=p).folder for p in ("auto", "float32")]
    assert [folder.name for folder in folders] == ["smoke-synthetic", "smoke-synthetic-precision-float32"]


def test_the_command_of_a_report_can_be_run(tmp_path):
    """What --set reads from the command is what was overridden, text, lists and tables included."""
    overrides = {"preprocess": ["gray", "gamma"], "crop": 16, "loss": "soft_dice", "fraction": 0.5}
    experiment = Experiment("hu2018", "smoke", output_root=tmp_path, overrides=overrides, precision="float32")
    words = shlex.split(command_of(experiment))
    settings = [after for word, after in itertools.pairwise(words) if word == "--set"]
    again = parse_settings(settings, float(words[words.index("--fraction") + 1]))
    same = Experiment("hu2018", "smoke", output_root=tmp_path, overrides=again, precision="float32")
    assert same.folder == experiment.folder and same.parameters == experiment.parameters
    assert words[-2:] == ["--precision", "float32"]
