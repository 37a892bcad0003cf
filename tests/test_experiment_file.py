"""Experiment files: what a profile, a data choice and an override make of an arm, and what a mistake leads to."""

import pytest

from retina_kit.errors import UsageError
from retina_kit.experiment_check import PROFILES
from retina_kit.experiment_file import DATA_CHOICES, find_paper, list_papers, load_paper

TEXT = """
from itertools import product
from retina_kit.experiment_file import *

SETTINGS = {
    "steps": Setting(paper=1000, lesson=100, smoke=2, what="steps"),
    "rate": Setting(paper=0.01, what="learning rate", where="section 2"),
    "target": Setting(paper="real_scans", on_synthetic="synthetic_oct", what="data set"),
    "options": Setting(
        paper={"num_patients": 9},
        on_synthetic=ByProfile(smoke={"num_patients": 2}, lesson={"num_patients": 20}),
        what="synthetic scans",
    ),
    "window": Setting(paper={"stare": 128, "hrf": 256}, what="window", ours=True),
    "seeds": Setting(paper=[0, 1, 2], smoke=[0], what="seeds"),
    "ratio": Setting(paper=[0.5, 2.0], what="resize"),
    "deep": Setting(paper=False, what="a yes or no"),
}


def arm(s, name, **recipe):
    return Arm(
        name,
        role="replication",
        data=Data(s.target, mask="fluid", options=s.options),
        split=Split("patients", test_fraction=0.2, seed=0),
        model=network("unet", dropout_between=s.deep),
        recipe=Recipe(learning_rate=s.rate, augmentation=Augmentation(ratio=s.ratio), **recipe),
        evaluation=Evaluation(window=s.window["hrf"]),
    )


def arms(s, profile):
    for loss, size in product(("cross_entropy", "soft_dice"), (2, 4)):
        yield arm(s, f"{loss}_{size}", loss=loss, batch_size=size, steps=s.steps * 4)
    if profile == "paper":
        yield arm(s, "large", steps=s.steps)


PAPER = Paper(
    key="small",
    title="A small paper",
    notebook="09_small",
    question="Why?",
    data={"synthetic": DataSource(description="Synthetic scans.")},
    settings=SETTINGS,
    arms=arms,
    tables=(Table(id="table1", title="Scores", metrics=("dice",), rows={"large": ""}),),
    claims=(),
    artifacts=Artifacts(tables=("table1",), figures=()),
)
"""


@pytest.fixture
def load(tmp_path):
    """Write an experiment file, with one piece of text replaced, and load it."""

    def load_with(old="", new=""):
        assert old in TEXT
        path = tmp_path / "small.py"
        path.write_text(TEXT.replace(old, new, 1) if old else TEXT)
        return load_paper(path)

    return load_with


def arms_of(paper, profile="lesson", data="synthetic", overrides=None):
    """Return {name: arm} of a paper."""
    return {arm.name: arm for arm in paper.resolve_arms(profile, paper.resolve_settings(profile, data, overrides))}


def test_a_profile_replaces_the_papers_value(load):
    paper = load()
    steps = {profile: paper.resolve_settings(profile, "paper")["steps"] for profile in PROFILES}
    assert steps == {"smoke": 2, "lesson": 100, "paper": 1000}
    assert {paper.resolve_settings(profile, "paper")["rate"] for profile in PROFILES} == {0.01}


def test_a_data_choice_replaces_a_value_in_all_profiles_or_in_one(load):
    paper = load()
    assert paper.resolve_settings("paper", "public")["target"] == "real_scans"
    assert paper.resolve_settings("paper", "synthetic")["target"] == "synthetic_oct"
    assert paper.resolve_settings("smoke", "synthetic")["options"] == {"num_patients": 2}
    assert paper.resolve_settings("paper", "synthetic")["options"] == {"num_patients": 9}
    assert paper.resolve_settings("smoke", "public")["options"] == {"num_patients": 9}


def test_a_target_of_your_own_takes_all_else_from_the_data_choice_below(load):
    paper = load('"rate": Setting(paper=0.01,', '"rate": Setting(paper=0.01, on_own=0.5,')
    values = paper.resolve_settings("smoke", "own", instead_of="synthetic")
    assert (values["rate"], values["target"]) == (0.5, "synthetic_oct")


@pytest.mark.parametrize("value", [{}, None, 0, False])
def test_an_empty_value_is_a_value(load, value):
    paper = load('"rate": Setting(paper=0.01,', f'"rate": Setting(paper=0.01, on_paper={value!r},')
    assert paper.resolve_settings("paper", "paper")["rate"] == value


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
def test_an_override_has_the_type_of_its_parameter(load, name, given, value):
    found = load().resolve_settings("lesson", "synthetic", {name: given})[name]
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
        ("velocity", "3", "no parameter is called 'velocity'. Known: steps, rate"),
    ],
)
def test_a_mistyped_override_is_refused(load, name, given, message):
    with pytest.raises(UsageError, match=message):
        load().resolve_settings("lesson", "synthetic", {name: given})


def test_arms_are_what_the_function_yields(load):
    arms = arms_of(load(), overrides={"rate": 0.5})
    assert list(arms) == ["cross_entropy_2", "cross_entropy_4", "soft_dice_2", "soft_dice_4"]
    arm = arms["soft_dice_4"]
    assert (arm.recipe.batch_size, arm.recipe.steps, arm.recipe.learning_rate) == (4, 400, 0.5)
    assert (arm.data.dataset, arm.data.options) == ("synthetic_oct", {"num_patients": 20})
    assert arm.evaluation.window == 256
    assert "large" in arms_of(load(), "paper")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("key=", "keys=", r"small\.py, line \d+: .*Paper has no setting 'keys'; did you mean 'key'"),
        ('what="steps"', 'wat="steps"', r"line 6: .*Setting has no setting 'wat'; did you mean 'what'"),
        (', what="a yes or no"', "", r"line 17: what is missing"),
        ("ByProfile(smoke=", "ByProfile(smok=", r"line \d+: ByProfile has no setting 'smok'; did you mean 'smoke'"),
        ('    title="A small paper",\n', "", r"title is missing"),
        ("DataSource(description=", "DataSource(descriptoin=", "DataSource has no setting 'descriptoin'"),
        ("metrics=", "metrcs=", "Table has no setting 'metrcs'; did you mean 'metrics'"),
        ("figures=()", "figurs=()", "Artifacts has no setting 'figurs'; did you mean 'figures'"),
        ('"synthetic": Data', '"syntethic": Data', "data.syntethic"),
        ("SETTINGS = {", "SETTINGS = {{", r"line \d+: "),
        ("Setting(paper=1000", "Seting(paper=1000", r"line 6: NameError: name 'Seting' is not defined"),
        ("PAPER = Paper(", "PAPER = dict(", "must make one Paper, not 0"),
    ],
)
def test_a_file_with_a_mistake_is_refused(load, old, new, message):
    with pytest.raises(UsageError, match=message):
        load(old, new)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("s.steps * 4", "s.stips * 4", r"line 35: no setting is called 'stips'; did you mean 'steps'"),
        ('window["hrf"]', 'window["hrv"]', r"line \d+: KeyError: 'hrv'"),
        ('role="replication"', 'role="decoration"', r"line \d+: role is 'decoration': input should be"),
        ('mask="fluid"', 'msak="fluid"', r"line \d+: Data has no setting 'msak'; did you mean 'mask'"),
        ("test_fraction=", "test_fractoin=", "Split has no setting 'test_fractoin'; did you mean 'test_fraction'"),
        ("learning_rate=s", "learning_rat=s", "Recipe has no setting 'learning_rat'; did you mean 'learning_rate'"),
        ('network("unet", ', 'network("unet", norn=1, ', "no setting 'norn'; did you mean 'norm'"),
        ('network("unet"', 'network("nnet"', "'nnet'; did you mean 'unet'"),
        ('"soft_dice")', '"soft_dyce")', "loss is 'soft_dyce'"),
        ("evaluation=Eval", "evalaution=Eval", "Arm has no setting 'evalaution'; did you mean 'evaluation'"),
        ("{loss}_{size}", "{loss}", "two arms are called 'cross_entropy'"),
    ],
)
def test_an_arm_with_a_mistake_is_refused(load, old, new, message):
    with pytest.raises(UsageError, match=message):
        arms_of(load(old, new))


def test_every_experiment_resolves_in_every_profile():
    assert list_papers()
    for name in list_papers():
        paper = find_paper(name)
        for profile in PROFILES:
            for data in set(DATA_CHOICES) & set(paper.data):
                arms = arms_of(paper, profile, data)
                assert all(arm.parent in (None, *arms) for arm in arms.values())
                assert {arm for table in paper.tables for arm in table.rows} & set(arms)
