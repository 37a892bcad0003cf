"""An arm as it is written: what it takes for granted, and which contradictions it refuses."""

import dataclasses

import pytest
from small_arm import TRANSFER, small_arm

from retina_kit.errors import UsageError
from retina_kit.training.arm import Data, Evaluation, Start

TWO = {"data": {"mask": "", "masks": ["irf", "srf"]}, "model": {"num_classes": 2}}


def classifier(**changes):
    """Return an arm that segments nothing."""
    data = {"dataset": "synthetic_fundus", "options": {"num_patients": 4, "size": [64, 64], "lesions": True}}
    model = {"name": "encoder_classifier", "encoder": "vgg_like", "width": 1 / 32, "input_size": (64, 64)}
    recipe = {"steps": 1, "loss": "binary_cross_entropy"}
    return small_arm("grade", task="classify", replace={"data": data, "model": model, "recipe": recipe}, **changes)


def test_data_reach_the_network_as_they_are_unless_something_is_asked_for():
    data = Data("synthetic_oct")
    assert (data.scale, data.mean, data.std) == (1.0, (0.0,), (255.0,))
    assert (data.copies, data.patch, data.per_lesion, data.shuffle_centers) == (0, 0, 0.0, False)
    assert (data.classes, data.size, data.preprocess_first) == ((), None, None)


def test_whole_images_are_tested_and_nothing_is_held_out_unless_something_is_asked_for():
    evaluation = Evaluation()
    assert (evaluation.variants, evaluation.window, evaluation.stride) == (("last",), 0, 0)
    assert (evaluation.batch_size, evaluation.validation_fraction, evaluation.validate_on) == (0, 0.0, 0)
    arm = small_arm("arm")
    assert (arm.folds, arm.seeds, arm.start, arm.parent, arm.freeze) == (0, None, None, None, ())
    assert not Start("parent").calibrate


@pytest.mark.parametrize(
    ("settings", "name"),
    [(Data("synthetic_oct"), "mask"), (Start("parent"), "into"), (Evaluation(), "window"), (small_arm("arm"), "label")],
)
def test_an_arm_cannot_be_changed_once_it_is_checked(settings, name):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(settings, name, "other")


def test_names_and_titles_are_the_arms_own_or_one_for_each_class():
    one, two = small_arm("one"), small_arm("two", **TWO)
    assert (one.title, one.scored_names, one.titles) == ("one", ("one",), {"one": "one"})
    assert small_arm("one", label="The first").titles == {"one": "The first"}
    assert two.titles == {"two:irf": "two: irf", "two:srf": "two: srf"}
    assert (one.data.classes, two.data.classes) == (("fluid",), ("irf", "srf"))


def test_a_class_is_named_if_there_are_several_and_must_exist():
    one, two = small_arm("one"), small_arm("two", **TWO)
    assert (one.class_of("one"), two.class_of("two:srf"), two.class_of("two:irf")) == ("fluid", "srf", "irf")
    with pytest.raises(UsageError, match="arm two has no class 'sfr'; did you mean 'srf'"):
        two.class_of("two:sfr")
    with pytest.raises(UsageError, match="several classes; name one of them: two:irf, two:srf"):
        two.class_of("two")
    with pytest.raises(UsageError, match="arm one has no class 'fluid'"):
        one.class_of("one:fluid")
    with pytest.raises(UsageError, match="name one of them: none; it does not segment"):
        classifier().class_of("grade")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start": {"parent": "p", "calibrate": True}}, "freezes none"),
        ({"start": {"calibrate": True}}, "freezes none"),
        ({"start": {}}, "needs a parent or calibrate=True"),
        ({"start": {"parts": ["encoder"], "calibrate": True}}, "a start without a parent copies nothing"),
        ({"start": {"into": "unet", "calibrate": True}}, "a start without a parent copies nothing"),
        ({"recipe": {"steps": 0}}, "no training steps and no parent"),
        ({"recipe": {"steps": None, "epochs": 0}}, "no training steps and no parent"),
        ({"recipe": {"steps": 0}, "start": {"calibrate": True}, "freeze": ["encoder"]}, "no training steps"),
        ({"evaluation": {"variants": ["lsat"]}}, "variant 'lsat' is not one of last, best, last_whole, best_whole"),
        ({"evaluation": {"variants": ["last", "best_whole"]}}, "at its best checkpoint, but validate_every is 0"),
        ({"evaluation": {"validation_fraction": 1.0}}, "validation_fraction is 1.0; it is at least 0 and below 1"),
        ({"evaluation": {"validation_fraction": -0.5}}, "validation_fraction is -0.5"),
        ({"evaluation": {"validation_by": "spread"}}, "validation_by 'spread' needs a validation_fraction above 0"),
        ({"data": {"shuffle_centers": True}}, "no centers to shuffle"),
        ({"data": {"masks": ["irf", "srf"]}}, "exclude each other"),
        ({"data": {"mask": "", "masks": ["irf", "irf"]}}, "name a class twice"),
        ({"data": TWO["data"]}, "2 masks, but its network num_classes=1; set num_classes=2, one per mask"),
        ({"data": TWO["data"], "model": {"num_classes": 3}}, "2 masks, but its network num_classes=3"),
        ({"model": {"num_classes": 3}}, "one mask, but its network num_classes=3; name the classes"),
        ({"model": {"num_classes": 0}}, "num_classes"),
        ({"model": {"widht": [4]}}, "widht"),
        ({"model": {"name": "unot"}}, "did you mean 'unet'"),
        ({"replace": {"model": {"widths": [4, 4]}}}, "name"),
    ],
)
def test_what_contradicts_itself_is_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        small_arm("arm", **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"start": TRANSFER},
        {"start": {"parent": "p", "into": "unet"}},
        {"start": {"calibrate": True}, "freeze": ["encoder"]},
        {"start": {"parent": "p"}, "recipe": {"steps": 0}},
        {"recipe": {"steps": 1}},
        {"recipe": {"steps": None, "epochs": 1}},
        {"evaluation": {"variants": ["best"]}, "recipe": {"validate_every": 1}},
        {"evaluation": {"validation_fraction": 0.5}},
        {"evaluation": {"validation_fraction": 0.5, "validation_by": "patient"}},
        {"model": {"num_classes": 1}},
        {"model": {"num_classes": 2}},
        TWO,
    ],
)
def test_what_fits_together_is_taken(changes):
    assert small_arm("arm", **changes).name == "arm"


def test_only_segmentation_has_classes():
    assert classifier().titles == {"grade": "grade"}
    with pytest.raises(UsageError, match=r"arm grade has masks \['ex'\], but its task is classify"):
        small_arm("grade", task="classify", data={"mask": "", "masks": ["ex"]})


def test_centers_are_shuffled_among_training_images_of_the_task_localize():
    data = {"dataset": "synthetic_fundus", "center": ["disc_x", "disc_y"], "shuffle_centers": True}
    recipe = {"steps": 1, "loss": "mean_squared_error"}
    model = {"name": "localizer", "widths": [4, 4], "input_size": [16, 16], "hidden": 0}
    arm = small_arm("arm", task="localize", replace={"data": data, "model": model, "recipe": recipe})
    assert arm.data.shuffle_centers


@pytest.mark.parametrize(("variants", "keeps"), [(["last"], False), (["last_whole", "best_whole"], True)])
def test_the_best_weights_are_kept_if_they_are_tested(variants, keeps):
    assert small_arm("arm", recipe={"validate_every": 1}, evaluation={"variants": variants}).keeps_best is keeps


def test_the_parent_is_the_arm_whose_weights_are_copied():
    assert small_arm("child", start=TRANSFER).parent == "parent"
    assert small_arm("calibrated", start={"calibrate": True}, freeze=["encoder"]).parent is None


def test_copies_are_refused_where_nobody_makes_them():
    with pytest.raises(UsageError, match="the task segment makes no copies"):
        small_arm("net", data={"copies": 2})
