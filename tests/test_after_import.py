"""What happens after `data new`: a run takes the data set, or refuses it with a remedy before anything is trained."""

import numpy as np
import pytest
from test_cli import assert_refused, retina_kit
from test_own_data import save, scene

from retina_kit.data.manifest import read_manifest
from retina_kit.errors import DataError, UsageError
from retina_kit.experiment import Experiment
from retina_kit.packs.custom import ImportOptions, new_pack
from retina_kit.packs.mask_files import MaskRules
from retina_kit.reporting import figures


def pack_of(folder, num_patients, name="eyes", gray=False):
    """Make a pack of two images per patient and return its data root."""
    for patient in range(num_patients):
        for eye, number in (("L", 2 * patient), ("R", 2 * patient + 1)):
            image, mask = scene(number, gray)
            save(folder / "images" / f"{patient}_{eye}.png", image)
            save(folder / "masks" / f"{patient}_{eye}.png", mask)
    new_pack(name, folder / "images", folder / "masks", r"^(\d+)_", folder / "data")
    return folder / "data"


def experiment(paper, data_root, profile="smoke", **more):
    """Resolve an experiment on the pack."""
    options = {"overrides": {"target": "eyes"}, "data_root": data_root, "output_root": data_root.parent / "out"}
    return Experiment(paper, profile, **(options | more))


def jobs_of(*arguments):
    """Plan the runs of an experiment on the pack."""
    return experiment(*arguments).jobs


def test_too_few_patients_are_refused_before_training(tmp_path):
    data_root = pack_of(tmp_path, num_patients=2)
    with pytest.raises(UsageError, match=r"arms .* and \d+ more: 5 folds need as many patients; there are 2; add pat"):
        jobs_of("hu2018", data_root, "lesson")
    with pytest.raises(UsageError, match=r"--set folds=2 \(4 images of 2 patients in eyes\)"):
        jobs_of("huang2023", data_root)


def test_four_images_of_two_patients_are_enough_where_two_folds_are(tmp_path):
    found = experiment("hu2018", pack_of(tmp_path, num_patients=2))
    job = next(job for job in found.jobs if job.arm.data.dataset == "eyes" and not job.parent)
    prepared = found.prepared(job.arm.name, fold=job.fold)
    assert len(prepared.train) == len(prepared.test) == 2


def test_a_data_set_of_the_kit_needs_the_settings_of_real_images(tmp_path):
    done = retina_kit("run", "hu2018", "--profile", "smoke", "--set", "target=chase_db1", cwd=tmp_path)
    assert_refused(done, 2, "chase_db1 is read from files, but the options (num_patients,", "add --data public")


def test_own_images_have_one_annotator(tmp_path):
    data_root = pack_of(tmp_path, num_patients=6, gray=True)
    for paper in ("melinscak2020", "huang2023"):
        found = experiment(paper, data_root)
        assert found.parameters["graders"] == ["target"]
        arm = next(arm.name for arm in found.arms if arm.data.dataset == "eyes")
        assert found.graders(arm).empty
        seen = found.images(arm, masks=found.parameters["graders"]).subset([0, 1])
        assert list(seen.masks) == ["target"]
        assert len(figures.plot_annotators(seen.images, seen.masks, titles=seen.rows["id"]).axes) == 2


def test_on_real_scans_each_arm_on_own_images_is_trained_once_on_its_one_split(tmp_path):
    data_root = pack_of(tmp_path, num_patients=6, gray=True)
    for image in read_manifest("oct_dme_chiu2015")["image"]:  # nothing is read of the kit's data set
        save(data_root / "oct_dme_chiu2015" / image, np.zeros((2, 2), np.uint8))
    found = experiment("melinscak2020", data_root, data="public")
    folds = [job.fold for job in found.jobs if job.arm.name == "scratch_tiny"]
    assert (found.arm("scratch_tiny").split.kind, folds) == ("patients", [None])
    with pytest.raises(UsageError, match="asks for 2 folds, but its split of kind 'patients' makes none"):
        assert experiment("melinscak2020", data_root, data="public", overrides={"target": "eyes", "folds": 2}).jobs


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seeds": [0, -1]}, "seed -1 is not one; seeds are at least 0 and below 2147483648"),
        ({"seeds": [2**31]}, "seed 2147483648 is not one"),
        ({"seeds": 1}, r"seeds=1 must be a list of whole numbers, such as \[0, 1, 2\]"),
        ({"seeds": "[0]"}, "seeds='\\[0\\]' must be a list"),
        ({"overrides": "steps"}, "overrides='steps' must be a dictionary, such as {'steps': 100}"),
        ({"overrides": ["steps"]}, "must be a dictionary"),
        ({"overrides": {"steps": "many"}}, "parameter steps='many' must be a whole number"),
        ({"data_root": 3}, "3 is not a folder; data_root and output_root are text"),
        ({"output_root": None}, "None is not a folder"),
        ({"profile": 3}, "no profile is called 3"),
        ({"data": None}, "no data choice is called None"),
    ],
)
def test_values_of_a_wrong_type_are_refused_by_name(given, message):
    """As papermill passes them: `-p seeds 1`, `-p seeds "[0]"`, `-p overrides steps`, `-p data_root 3`."""
    with pytest.raises(UsageError, match=message):
        Experiment("hu2018", **{"profile": "smoke", **given})


def disc_maps(folder):
    """Write eight photographs as Drishti-GS has them: different sizes, a folder of soft maps of four experts each."""
    for k in range(1, 9):
        image, mask = scene(k, h=60 + k, w=64 + k)
        save(folder / "Images" / f"drishtiGS_00{k}.png", image)
        cup = np.roll(mask, -1, 1) & mask
        for name, drawn in (("ODsegSoftmap", mask), ("cupsegSoftmap", cup)):
            votes = sum((np.roll(drawn, shift, 1) > 0).astype(np.uint8) for shift in (-1, 0, 1, 2))
            soft = np.array([0, 64, 128, 191, 255], np.uint8)[votes]
            save(folder / "GT" / f"drishtiGS_00{k}" / "SoftMap" / f"drishtiGS_00{k}_{name}.png", soft)
            (folder / "GT" / f"drishtiGS_00{k}" / "AvgBoundary").mkdir(exist_ok=True)
            (folder / "GT" / f"drishtiGS_00{k}" / "AvgBoundary" / f"drishtiGS_00{k}_ODAvgBoundary.txt").touch()


def test_soft_maps_of_four_experts_and_many_sizes_are_one_command(tmp_path):
    disc_maps(tmp_path)
    suffixes = {"disc": "_ODsegSoftmap", "cup": "_cupsegSoftmap"}
    arguments = ("drishti", tmp_path / "Images", tmp_path / "GT", r"_(\d+)$", tmp_path / "data")
    with pytest.raises(DataError, match="--mask-threshold 128"):
        new_pack(*arguments, options=ImportOptions(mask_suffixes=suffixes))
    rules = MaskRules(threshold=128)
    made = new_pack(*arguments, options=ImportOptions(mask_suffixes=suffixes, masks=rules))
    assert len(made.rows) == 8
    assert {"mask_disc", "mask_cup"} <= set(made.rows)
    assert "kept, with a black margin to 72x68 (7 of 8 images)" in made.notes


def test_a_terminal_without_unicode_gets_the_text_of_the_command(tmp_path, monkeypatch):
    """With `PYTHONIOENCODING=ascii` names and messages are written with escapes instead of a UnicodeEncodeError."""
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    for k in (1, 2, 3):
        image, mask = scene(k)
        save(tmp_path / "images" / f"{k}_œil ä.png", image)
        save(tmp_path / "masks" / f"{k}_œil ä.png", mask)
    arguments = ["--images", "images", "--masks", "masks", "--patient-regex", r"^(\d+)"]
    done = retina_kit("data", "new", "eyes", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "3 images of 3 patients" in done.stdout
