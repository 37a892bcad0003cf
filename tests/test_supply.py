"""Demand against supply: every arm of every paper has the images it asks for, in every profile on every data choice."""

import numpy as np
import pandas as pd
import pytest
from small_arm import small_arm
from small_pack import forget_cards, use_cards, write_manifest, write_originals

from retina_kit.data.card import read_card
from retina_kit.data.dataset import list_rows, load_images
from retina_kit.data.manifest import MANIFEST_FILE
from retina_kit.errors import UsageError
from retina_kit.experiment_check import PROFILES
from retina_kit.experiment_file import DATA_CHOICES, find_paper, list_papers
from retina_kit.fractions import at_fraction
from retina_kit.runs.supply import check_supply, problem_of_settings

CENTER = {"dataset": "synthetic_fundus", "mask": "", "center": ["disc_x", "disc_y"]}
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


def test_folds_that_the_split_does_not_make_and_folds_that_nobody_asks_for_are_refused():
    with pytest.raises(UsageError, match="asks for 5 folds, but its split of kind 'patients' makes none"):
        check_supply([small_arm("arm", folds=5)], "nowhere")
    folds = {"kind": "leave_patients_out", "num_folds": 3}
    with pytest.raises(UsageError, match="its split makes 3 folds, but it asks for none"):
        check_supply([small_arm("arm", replace={"split": folds})], "nowhere")


def test_test_windows_with_gaps_are_refused():
    check_supply([small_arm("arm", evaluation={"window": 16, "stride": 16})], "nowhere")
    with pytest.raises(UsageError, match=r"windows of 16 pixels are 24 pixels apart.*make the stride at most 16"):
        check_supply([small_arm("arm", evaluation={"window": 16, "stride": 24})], "nowhere")


def test_an_arm_is_tested_at_its_last_checkpoint():
    for variants in (["best"], ["last_whole"]):
        arm = small_arm("arm", recipe={"validate_every": 1}, evaluation={"variants": variants})
        with pytest.raises(UsageError, match=rf"its variants \({variants[0]}\) lack 'last'"):
            check_supply([arm], "nowhere")


def test_seeds_of_an_arm_are_those_that_torch_takes():
    for seed in (-1, 2**31):
        with pytest.raises(UsageError, match=f"its seed {seed} is not one; seeds are at least 0"):
            check_supply([small_arm("arm", seeds=[0, seed])], "nowhere")


def classifier(dataset, label, options, **split):
    """Return a small classifier of a label."""
    changes = {
        "data": {"dataset": dataset, "label": label, "options": options},
        "split": {"kind": "published"} | split,
        "model": {"name": "encoder_classifier", "width": 0.03, "input_size": [32, 32]},
        "recipe": {"loss": "binary_cross_entropy", "steps": 1, "batch_size": 2},
    }
    return small_arm("arm", task="classify", replace=changes)


def test_a_classifier_learns_labels_of_0_and_1_only():
    check_supply([classifier("idrid_grading_loc", "has_lesion", {})], "nowhere")
    with pytest.raises(UsageError, match="the label 'grade' of 323 images is 2, 3, 4; a classifier learns 0 and 1"):
        check_supply([classifier("idrid_grading_loc", "grade", {})], "nowhere")
    with pytest.raises(UsageError, match="no label 'has_lesions'; did you mean 'has_lesion'"):
        check_supply([classifier("idrid_grading_loc", "has_lesions", {})], "nowhere")


def test_a_label_that_an_image_lacks_is_refused(tmp_path, monkeypatch):
    (tmp_path / "originals").mkdir()
    write_originals(tmp_path / "originals")
    write_manifest(tmp_path / "cards", tmp_path / "originals")
    manifest = tmp_path / "cards" / "small.csv"
    use_cards(monkeypatch, tmp_path / "cards")
    try:
        for grades, value in ((("0", "1", ""), "missing"), (("0", "1", "yes"), "yes")):
            lines = [line.split(",") for line in manifest.read_text().splitlines()]
            for line, grade in zip(lines[1:], grades, strict=True):
                line[3] = grade
            manifest.write_text("\n".join(map(",".join, lines)) + "\n")
            forget_cards()
            with pytest.raises(UsageError, match=f"the label 'grade' of 1 images is {value}"):
                check_supply([classifier("small", "grade", {})], "nowhere")
    finally:
        monkeypatch.undo()
        forget_cards()


@pytest.mark.parametrize("dataset", ["synthetic_fundus", "synthetic_oct"])
def test_of_synthetic_images_a_classifier_learns_the_columns_that_are_0_or_1(dataset):
    rows = load_images(dataset, "nowhere", masks=[], num_patients=6, size=(32, 32), seed=2).rows
    learnable = [column for column in rows if rows[column].isin([0, 1]).all()]
    split = {"kind": "patients", "test_fraction": 0.25, "seed": 0}
    for column in [*rows, "unknown"]:
        arm = classifier(dataset, column, {"num_patients": 6}, **split)
        if column in learnable:
            check_supply([arm], "nowhere")
        else:
            with pytest.raises(UsageError, match=f"{dataset} has no label '{column}' that is 0 or 1"):
                check_supply([arm], "nowhere")


def test_all_of_fewer_images_can_be_taken_on_purpose():
    with pytest.raises(UsageError, match="at_most bounds num_train"):
        asks_for(at_most=True)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"data": {"mask": ""}}, "it names no mask to learn"),
        ({"task": "segment_patches"}, "it learns from patches of 0 pixels"),
        ({"task": "localize"}, "it names 0 columns of a center"),
        ({"task": "localize", "data": CENTER | {"options": {"crop": True}}}, "'crop' moves the images, but not their"),
        ({"task": "localize", "data": CENTER | {"options": {"copies": 1}}}, "'copies' moves the images"),
        ({"task": "localize", "data": CENTER | {"dataset": "own", "options": {"size": [8, 8]}}}, "'size' moves"),
    ],
    ids=["no mask", "no patch", "no center", "crop", "copies", "size"],
)
def test_what_a_task_lacks_or_cannot_use_is_found_before_training(changes, problem):
    assert problem in problem_of_settings(small_arm("arm", **changes))


def test_a_localizer_takes_synthetic_images_of_any_size():
    assert not problem_of_settings(small_arm("arm", task="localize", data=CENTER | {"options": {"size": [32, 32]}}))
