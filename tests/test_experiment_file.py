"""The experiment file: what a profile, a data choice, an override and a preset make of an arm."""

import pytest

from retina_kit.errors import UsageError
from retina_kit.experiment_file import (
    DATA_CHOICES,
    PROFILES,
    list_papers,
    parse_experiment,
    read_experiment,
    resolve_arms,
    resolve_parameters,
)

TEXT = """
paper = "small"
title = "A small paper"
notebook = "09_small"
[data]
synthetic = { packs = [] }

[parameters]
steps = { value = 1000, lesson = 100, smoke = 2, what = "updates" }
rate = { value = 0.01, what = "learning rate" }
target = { value = "real_scans", on_synthetic = "synthetic_oct", what = "data set" }
options = { value = {}, on_synthetic = { smoke = { num = 2 }, lesson = { num = 20 } }, what = "how scans are drawn" }
window = { value = { stare = 128, hrf = 256 }, what = "window" }
seeds = { value = [0, 1, 2], smoke = [0], what = "seeds" }
ratio = { value = [0.5, 2.0], what = "resize" }
deep = { value = false, what = "a yes or no" }

[preset.base]
role = "replication"
data = { dataset = "$target", options = "$options" }
split = { kind = "patients", test_fraction = 0.2 }
recipe = { steps = "$steps", learning_rate = "$rate", loss = "cross_entropy" }

[preset.dice]
recipe = { loss = "soft_dice", momentum = 0.9 }

[[arm]]
name = "{head}_{size}"
like = ["base"]
each = { head = ["fcn", "psp"], size = [2, 4] }
without = [{ head = "psp", size = 4 }]
model = { head = "{head}" }
recipe = { batch_size = "{size}", steps = "$steps * 4" }

[[arm]]
name = "dice"
like = ["base", "dice"]
start = { from = "fcn_2" }
split = { kind = "published" }
recipe = { momentum = 0.5 }
evaluation = { window = "$window.hrf" }

[[arm]]
name = "large"
like = ["base"]
profiles = ["paper"]
"""


@pytest.fixture
def parse(tmp_path):
    """Write an experiment file, with one piece of text replaced, and parse it."""

    def parse_with(old="", new=""):
        assert old in TEXT
        path = tmp_path / "small.toml"
        path.write_text(TEXT.replace(old, new, 1) if old else TEXT)
        return parse_experiment(path)

    return parse_with


def arms_of(content, profile="lesson", data="synthetic", overrides=None):
    """Return {name: arm} of a parsed file."""
    arms = resolve_arms(content, profile, resolve_parameters(content, profile, data, overrides))
    return {arm["name"]: arm for arm in arms}


def test_a_profile_replaces_the_papers_value(parse):
    content = parse()
    steps = {profile: resolve_parameters(content, profile, "paper")["steps"] for profile in PROFILES}
    assert steps == {"smoke": 2, "lesson": 100, "paper": 1000}
    assert {resolve_parameters(content, profile, "paper")["rate"] for profile in PROFILES} == {0.01}


def test_synthetic_data_replace_a_value_in_all_profiles_or_in_one(parse):
    content = parse()
    assert resolve_parameters(content, "paper", "public")["target"] == "real_scans"
    assert resolve_parameters(content, "paper", "synthetic")["target"] == "synthetic_oct"
    assert resolve_parameters(content, "smoke", "synthetic")["options"] == {"num": 2}
    assert resolve_parameters(content, "paper", "synthetic")["options"] == {}
    assert resolve_parameters(content, "smoke", "public")["options"] == {}


def test_sets_that_can_be_had_replace_the_papers_value(parse):
    content = parse()
    content["parameters"]["rate"]["on_paper"] = 0.5
    rates = {data: resolve_parameters(content, "paper", data)["rate"] for data in DATA_CHOICES}
    assert rates == {"synthetic": 0.01, "public": 0.01, "paper": 0.5}


def test_an_entry_of_a_parameter_may_name_another_parameter(parse):
    content = parse("{ num = 2 }", '{ num = 2, rate = "$rate", name = "$nobody" }')
    options = {}
    for data in ("synthetic", "public"):
        values = resolve_parameters(content, "smoke", data, {"rate": 0.5})
        options[data] = resolve_arms(content, "smoke", values)[0]["data"]["options"]
    assert options == {"synthetic": {"num": 2, "rate": 0.5, "name": "$nobody"}, "public": {}}


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("steps", "7", 7),
        ("steps", 7, 7),
        ("rate", "1", 1.0),
        ("rate", "3e-4", 3e-4),
        ("target", "7", "7"),
        ("deep", "true", True),
        ("seeds", "[3, 4]", [3, 4]),
        ("ratio", "[1, 2]", [1.0, 2.0]),
        ("window", "{ stare = 64, hrf = 64 }", {"stare": 64, "hrf": 64}),
    ],
)
def test_an_override_has_the_type_of_its_parameter(parse, name, given, value):
    found = resolve_parameters(parse(), "lesson", "synthetic", {name: given})[name]
    assert found == value
    assert type(found) is type(value)
    if isinstance(value, list):
        assert [type(item) for item in found] == [type(item) for item in value]


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("steps", "many", "steps='many' must be a whole number, such as 100"),
        ("steps", "1.5", "steps=1.5 must be a whole number"),
        ("steps", True, "steps=True must be a whole number"),
        ("steps", "true", "steps=True must be a whole number"),
        ("rate", "fast", "rate='fast' must be a number, such as 0.01"),
        ("rate", "true", "must be a number"),
        ("rate", "nan", "must be a number"),
        ("rate", float("inf"), "must be a number"),
        ("deep", "1", "must be true or false"),
        ("target", 3, "must be text"),
        ("seeds", "0", "must be a list"),
        ("seeds", "[0, 'one']", r"seeds\[1\]='one' must be a whole number"),
        ("window", "128", "must be a table"),
        ("step", "3", "no parameter is called 'step'; did you mean 'steps'"),
        ("velocity", "3", "no parameter is called 'velocity'. There are: deep, options"),
    ],
)
def test_a_mistyped_override_is_refused(parse, name, given, message):
    with pytest.raises(UsageError, match=message):
        resolve_parameters(parse(), "lesson", "synthetic", {name: given})


def test_an_arm_is_written_once_and_expanded(parse):
    arms = arms_of(parse())
    assert list(arms) == ["fcn_2", "fcn_4", "psp_2", "dice"]  # in the order of the file, psp_4 left out
    assert arms["psp_2"]["model"] == {"head": "psp"}
    assert arms["fcn_4"]["recipe"]["batch_size"] == 4  # a number, not text
    assert arms["fcn_4"]["recipe"]["steps"] == 400
    assert "large" in arms_of(parse(), "paper")


def test_parameters_fill_the_arm(parse):
    arm = arms_of(parse(), overrides={"rate": 0.5})["dice"]
    assert arm["recipe"]["learning_rate"] == 0.5
    assert arm["data"] == {"dataset": "synthetic_oct", "options": {"num": 20}}
    assert arm["evaluation"] == {"window": 256}


def test_arm_above_later_preset_above_earlier_preset(parse):
    recipe = arms_of(parse())["dice"]["recipe"]
    assert recipe["loss"] == "soft_dice"  # the later preset
    assert recipe["momentum"] == 0.5  # the arm itself
    assert recipe["steps"] == 100  # the earlier preset


def test_a_table_with_its_own_kind_replaces_the_presets(parse):
    assert arms_of(parse())["dice"]["split"] == {"kind": "published"}
    assert arms_of(parse())["fcn_2"]["split"] == {"kind": "patients", "test_fraction": 0.2}


def test_every_arm_is_complete(parse):
    arm = arms_of(parse())["fcn_2"]
    assert (arm["task"], arm["label"], arm["folds"], arm["needs"]) == ("segment", "fcn_2", 0, [])
    assert arm["start"] == {} and arm["evaluation"] == {}


def test_arms_do_not_share_their_tables(parse):
    arms = arms_of(parse())
    arms["fcn_2"]["data"]["options"]["num"] = 99
    assert arms["fcn_4"]["data"]["options"]["num"] == 20


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("paper =", "papers =", "small.toml: no key is called 'papers'; did you mean 'paper'"),
        ("[[arm]]\nname", "[[arm]]\nnames", "an arm has no name"),
        ('what = "updates"', 'wat = "updates"', "parameter steps: no key is called 'wat'; did you mean 'what'"),
        ('value = 1000, lesson = 100, smoke = 2, what = "updates"', 'value = 1', "steps lacks 'what'"),
        ("profiles =", "profile =", "arm large: no key is called 'profile'; did you mean 'profiles'"),
        ('role = "replication"', 'rule = "replication"', "preset: no key is called 'rule'"),
        ('title = "A small paper"', "", "lacks 'title'"),
        ("[data]", "[data", "not valid TOML"),
    ],
)  # fmt: skip
def test_a_file_with_a_mistake_is_refused(parse, old, new, message):
    with pytest.raises(UsageError, match=message):
        parse(old, new)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('like = ["base"]', 'like = ["bass"]', "no preset is called 'bass'; did you mean 'base'"),
        ("$steps * 4", "$stips * 4", "no parameter is called 'stips'; did you mean 'steps'"),
        ("$window.hrf", "$window.hrv", "no entry of window is called 'hrv'; did you mean 'hrf'"),
        ("$window.hrf", "$steps.hrf", "steps is not a table"),
        ('role = "replication"', 'role = "decoration"', "role must be one of"),
        ("{head}_{size}", "{head}", "two arms called 'fcn'"),
    ],
)
def test_an_arm_with_a_mistake_is_refused(parse, old, new, message):
    with pytest.raises(UsageError, match=message):
        arms_of(parse(old, new))


def test_every_experiment_resolves_in_every_profile():
    assert list_papers()
    for paper in list_papers():
        content = read_experiment(paper)
        for profile in PROFILES:
            for data in set(DATA_CHOICES) & set(content["data"]):
                arms = arms_of(content, profile, data)
                assert all(arm["start"].get("from") in (None, *arms) for arm in arms.values())
                assert "$" not in str(arms.values())


def test_a_table_is_laid_over_a_parameter_and_a_text_takes_its_value(tmp_path):
    text = TEXT.replace('name = "large"\n', 'name = "large"\nlabel = "of $target, $window.hrf pixels"\n')
    text = text.replace('options = "$options" }', 'options = { over = "$options", gap = "$rate" } }')
    path = tmp_path / "small.toml"
    path.write_text(text)
    content = parse_experiment(path)
    arms = resolve_arms(content, "paper", resolve_parameters(content, "lesson", "synthetic"))
    large = next(arm for arm in arms if arm["name"] == "large")
    assert large["label"] == "of synthetic_oct, 256 pixels"
    assert large["data"]["options"] == {"num": 20, "gap": 0.01}
    assert large["on"] == list(DATA_CHOICES)
