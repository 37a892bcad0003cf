"""RETOUCH and AROI as they are given out become packs; what does not look like them is named and changes nothing."""

import dataclasses
import re
import shutil

import cv2
import numpy as np
import pytest
import small_releases
import torch
from small_releases import HEIGHT, WIDTH, write_volume

from retina_kit.data import manifest
from retina_kit.data.dataset import load_images
from retina_kit.errors import DataError
from retina_kit.experiment import Experiment
from retina_kit.experiment_file import find_paper
from retina_kit.models.build import network
from retina_kit.packs.importing import import_pack
from retina_kit.training.arm_training import ArmTraining
from retina_kit.training.prepare import prepare_arm
from tests.small_command import command_line

FLUIDS = {"retouch": {"irf": 1, "srf": 2, "ped": 3}, "aroi": {"ped": 5, "srf": 6, "irf": 7}}
CIRRUS = "RETOUCH-TrainingSet-Cirrus"
PATIENT = "AROI - online/24 patient/patient2"


@pytest.fixture
def given(tmp_path):
    """Both releases in tmp_path/in, small."""
    small_releases.write_retouch(tmp_path / "in", num_scans=6)
    small_releases.write_aroi(tmp_path / "in", num_scans=3)
    return tmp_path


def import_given(given, name, source="in"):
    """Import one of the releases; return how many files were written."""
    return import_pack(name, given / source, given / "data", progress=False)


def test_volumes_of_the_cirrus_become_scans_and_masks(given):
    drawn = small_releases.write_retouch(given / "again", num_scans=6)
    assert import_given(given, "retouch", "again") == 12 * 4
    image_set = load_images("retouch", given / "data", masks=["irf", "srf", "ped", "fluid"])
    assert image_set.images.shape == (12, 1, HEIGHT, WIDTH)
    for place, (image, classes) in enumerate(drawn):
        assert (image_set.images[place, 0] == image).all()
        assert (image_set.masks["fluid"][place] == (classes > 0)).all()
        for mask, number in FLUIDS["retouch"].items():
            assert (image_set.masks[mask][place] == (classes == number)).all()
    assert image_set.rows["id"].tolist()[5:7] == ["TRAIN001_005", "TRAIN002_000"]
    assert image_set.rows["patient"].unique().tolist() == ["TRAIN001", "TRAIN002"], "no test volume, no other device"
    assert image_set.rows["bscan_index"].tolist() == [*range(6)] * 2
    assert manifest.verify_pack("retouch", given / "data") == []


def test_labeled_scans_become_images_and_masks(given):
    assert import_given(given, "aroi") == 12 * 4
    image_set = load_images("aroi", given / "data", masks=["ped", "srf", "irf", "fluid"])
    assert image_set.rows["id"].tolist()[:4] == [
        "patient1_raw0010",
        "patient1_raw0017",
        "patient1_raw0024",
        "patient2_raw0010",
    ]
    assert image_set.rows["patient"].nunique() == 4
    for place, row in enumerate(image_set.rows.itertuples()):
        image, classes = small_releases.draw(100 * (1 + place // 3) + place % 3, (5, 6, 7), background=1)
        assert (image_set.images[place, 0] == image).all(), row.id
        assert (image_set.masks["fluid"][place] == (classes > 4)).all()
        for mask, number in FLUIDS["aroi"].items():
            assert (image_set.masks[mask][place] == (classes == number)).all()
    assert manifest.verify_pack("aroi", given / "data") == []


def test_patients_stand_in_the_order_of_their_numbers(given):
    small_releases.write_aroi(given / "many", num_patients=11, num_scans=1)
    import_given(given, "aroi", "many")
    assert manifest.read_manifest("aroi", given / "data")["patient"].tolist() == [f"patient{k}" for k in range(1, 12)]


def test_the_folder_of_the_device_itself_may_be_given(given):
    assert import_given(given, "retouch", f"in/{CIRRUS}") == 12 * 4


def test_an_archive_is_taken(given):
    shutil.make_archive(str(given / "download"), "zip", given / "in")
    for name in FLUIDS:
        assert import_given(given, name, "download.zip") == 12 * 4
        assert manifest.verify_pack(name, given / "data") == []


def test_voxels_of_16_bits_are_taken_where_8_would_do(given):
    image, classes = small_releases.draw(3, (1, 2, 3))
    for name, pixels in (("oct", image), ("reference", classes)):
        write_volume(given / f"in/{CIRRUS}/TRAIN001/{name}.mhd", pixels[None].astype(np.uint16))
    import_given(given, "retouch")
    assert (load_images("retouch", given / "data", masks=["ped"]).images[0, 0] == image).all()


def png_of(pixels):
    """Return the bytes of a PNG."""
    return cv2.imencode(".png", pixels)[1].tobytes()


GRAY = np.zeros((HEIGHT, WIDTH), np.uint8)
NUMBERS, SCANS = f"{PATIENT}/mask/number/patient2_raw0010.png", f"{PATIENT}/raw/labeled/patient2_raw0010.png"
WRONG = {
    "a volume without classes": (
        f"{CIRRUS}/TRAIN002/reference.mhd",
        None,
        r"TRAIN002.reference\.mhd cannot be read: No such file",
    ),
    "a volume without voxels": (f"{CIRRUS}/TRAIN001/oct.raw", None, r"oct\.mhd names 'oct\.raw' as its file of voxels"),
    "voxels cut short": (
        f"{CIRRUS}/TRAIN001/oct.raw",
        b"abc",
        r"oct\.raw holds 3 bytes of voxels; oct\.mhd promises 11,520",
    ),
    "voxels that are damaged": (
        f"{CIRRUS}/TRAIN002/reference.zraw",
        b"abc",
        r"reference\.zraw cannot be read.*incorrect header check",
    ),
    "a class that is none": (
        f"{CIRRUS}/TRAIN001/reference.raw",
        bytes(range(5)) + bytes(6 * HEIGHT * WIDTH - 5),
        r"TRAIN001.reference\.raw, B-scan 0, holds the values \[0, 1, 2, 3, 4\]; classes are 0 to 3",
    ),
    "a scan without classes": (NUMBERS, None, r"labeled.patient2_raw0010\.png has no partner.*mask/number"),
    "classes without a scan": (SCANS, None, r"number.patient2_raw0010\.png has no partner.*raw/labeled"),
    "classes of another size": (NUMBERS, png_of(GRAY[:40]), r"number.*is 40 x 40, but its B-scan is 48 x 40"),
    "classes that are none": (NUMBERS, png_of(GRAY + 80), r"number.*holds the values \[80\]; classes are 0 to 7"),
    "classes in color": (NUMBERS, png_of(np.dstack([GRAY, GRAY, GRAY + 9])), "number.*colored image"),
    "a scan in color": (SCANS, png_of(np.dstack([GRAY, GRAY, GRAY + 9])), "labeled.*color image"),
    "a scan cut short": (SCANS, png_of(GRAY)[:40], "labeled.*unsupported or truncated image file"),
}


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("had_it_before", [False, True])
def test_what_is_wrong_is_named_and_what_was_there_stays(given, what, had_it_before):
    relative, content, message = WRONG[what]
    name = "retouch" if "TRAIN" in relative else "aroi"
    if had_it_before:
        import_given(given, name)
    path = given / "in" / relative
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        import_given(given, name)
    assert [left.name for left in (given / "data").glob("*")] == ([name] if had_it_before else [])
    assert (given / "data" / name / "manifest.csv").exists() == had_it_before
    if had_it_before:
        assert manifest.verify_pack(name, given / "data") == []


def test_volumes_that_do_not_fit_each_other_are_named(given):
    write_volume(given / f"in/{CIRRUS}/TRAIN001/reference.mhd", np.zeros((5, HEIGHT, WIDTH), np.uint8))
    with pytest.raises(DataError, match=r"reference\.mhd is 40 x 48 x 5, but oct\.mhd is 40 x 48 x 6"):
        import_given(given, "retouch")


def test_voxels_that_need_16_bits_are_refused(given):
    write_volume(given / f"in/{CIRRUS}/TRAIN001/oct.mhd", np.full((6, HEIGHT, WIDTH), 256, np.uint16))
    with pytest.raises(DataError, match=r"oct\.raw holds values up to 256; those of a Cirrus are 0 to 255"):
        import_given(given, "retouch")


def test_a_volume_of_an_unknown_device_is_refused(given):
    (given / "in" / CIRRUS).rename(given / "in" / "unpacked")
    with pytest.raises(DataError, match="is not in a folder that names its device, such as RETOUCH-TrainingSet-Cirrus"):
        import_given(given, "retouch")


def test_two_scans_of_one_name_are_refused(given):
    shutil.copytree(given / "in", given / "in/copy")
    with pytest.raises(DataError, match="are both TRAIN001; give one of them"):
        import_given(given, "retouch")
    with pytest.raises(DataError, match="are both patient 1, B-scan 10"):
        import_given(given, "aroi")


def test_a_scan_whose_patient_cannot_be_told_is_refused(given):
    for part in ("raw/labeled", "mask/number"):
        path = given / "in" / PATIENT / part / "patient2_raw0010.png"
        path.rename(path.with_name("scan 10.png"))
    with pytest.raises(DataError, match=r"scan 10\.png is not named like patient1_raw0001\.png"):
        import_given(given, "aroi")


@pytest.mark.parametrize("name", FLUIDS)
def test_another_folder_is_refused_with_the_cards_advice(given, name):
    (given / "nothing").mkdir()
    with pytest.raises(DataError, match=f"no B-scan of {name} with its classes; .*retina-kit data import {name}"):
        import_given(given, name, "nothing")


def test_verify_names_what_happened_to_a_pack(given):
    import_given(given, "aroi")
    pack = given / "data" / "aroi"
    (pack / "images/patient1_raw0017.png").unlink()
    cv2.imwrite(str(pack / "masks/ped/patient2_raw0010.png"), GRAY)
    cv2.imwrite(str(pack / "masks/srf/patient2_raw0017.png"), GRAY[:9])
    cv2.imwrite(str(pack / "masks/irf/patient3_raw0010.png"), GRAY + 7)
    found = "\n".join(manifest.verify_pack("aroi", given / "data"))
    for message in (
        r"patient1_raw0017\.png cannot be read",
        r"ped.patient2_raw0010\.png: the mask is not that of the manifest",
        r"srf.patient2_raw0017\.png is 9x40, but its image is 48x40",
        r"irf.patient3_raw0010\.png holds the values \[7\]",
    ):
        assert re.search(message, found), message
    assert len(found.splitlines()) == 4


def test_without_the_packs_the_experiment_says_how_to_get_them(given):
    settings = {"data_root": given / "data", "output_root": given / "out"}
    with pytest.raises(DataError, match=r"'aroi' is not in .*; request it .*retina-kit data import aroi --from DIR"):
        Experiment("melinscak2020", "smoke", "paper", **settings)
    import_given(given, "aroi")
    with pytest.raises(DataError, match=r"'retouch' is not in .*; join .*retina-kit data import retouch --from DIR"):
        Experiment("melinscak2020", "smoke", "paper", **settings)
    import_given(given, "retouch")
    source = Experiment("melinscak2020", "smoke", "paper", **settings).arm("source").data
    assert (source.dataset, source.mask, source.options) == ("retouch", "fluid", {}), "files take no options"


def test_one_network_learns_the_three_fluids_of_a_release(given):
    import_given(given, "retouch")
    paper = find_paper("melinscak2020")
    named = {arm.name: arm for arm in paper.resolve_arms("paper", paper.resolve_settings("paper", "paper"))}
    arm = named["source_three_fluids"]
    assert (arm.data.dataset, arm.data.masks, arm.only_on) == ("retouch", ("irf", "srf", "ped"), ("paper",))
    assert all("source_three_fluids" not in names for names in (arm_names(paper, p) for p in ("lesson", "smoke")))
    short = dataclasses.replace(arm.recipe, epochs=None, steps=2, batch_size=2, validate_every=0)
    small = network("unet", widths=[4, 4, 4, 4, 4], num_classes=3)
    changed = {"data": dataclasses.replace(arm.data, size=(48, 48)), "recipe": short, "model": small}
    split = dataclasses.replace(arm.split, num_train=0)
    task = prepare_arm(dataclasses.replace(arm, split=split, **changed), 0, None, given / "data")
    images = load_images("retouch", given / "data", masks=["irf", "srf", "ped"])
    for k, name in enumerate(("irf", "srf", "ped")):
        assert np.array_equal(task.masks[:, k], images.masks[name])
    training = ArmTraining(task, 0, torch.device("cpu"), "float32")
    assert training.fit()["loss"].notna().all()
    scores = training.score()
    assert scores.groupby("class")["id"].count().to_dict() == dict.fromkeys(("irf", "srf", "ped"), len(task.test))
    found = scores[scores["class"] == "srf"].set_index("id")
    assert np.array_equal(found["tp"] + found["fn"], images.masks["srf"][task.test].sum(axis=(1, 2)))


def arm_names(paper, profile):
    """Return the names of the arms of a profile on the paper's own data."""
    return [arm.name for arm in paper.resolve_arms(profile, paper.resolve_settings(profile, "paper"))]


@pytest.mark.slow
def test_the_notebook_runs_on_both(tmp_path):
    small_releases.write_retouch(tmp_path / "in")
    small_releases.write_aroi(tmp_path / "in")
    for name in FLUIDS:
        assert command_line("data", "import", name, "--from", "in", cwd=tmp_path).returncode == 0
    done = command_line("run", "melinscak2020", "--data", "paper", "--profile", "smoke", cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    folder = tmp_path / "outputs" / "melinscak2020" / "smoke-paper"
    for name in ("tables/figure4.csv", "figures/figure2.png", "claims.csv", "notebook.html"):
        assert (folder / name).is_file(), name
