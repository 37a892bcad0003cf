"""A pack is taken from files that a person downloaded, verified like a fetched one."""

import gzip
import shutil
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io
import small_pack

from retina_kit.data import manifest
from retina_kit.data.card import read_card
from retina_kit.data.dataset import load_images
from retina_kit.data.pixels import pixel_sha256
from retina_kit.errors import DataError
from retina_kit.packs.files import pack_files
from retina_kit.packs.importing import import_pack

REAL = Path(__file__).resolve().parents[2] / "shared" / "data"
VOLUMES = """
title = "Two subjects with volumes of four B-scans"
home = "https://example.org/volumes"
license = "research use"
access = "terms"
redistribute = false
citation = "Somebody, Volumes (2021)"
modality = "oct"
channels = 1
size = [6, 8]
how_to_get = "download the Subject_NN.mat files"

[masks]
grader1 = "fluid"

[labels]
bscan_index = "from 0"

[[sources]]
of = "image"
file = "Subject_{patient}.mat"
variable = "images"
scan = "{bscan_index}"
convert = "matlab_scan"

[[sources]]
of = "mask_grader1"
file = "Subject_{patient}.mat"
variable = "manualFluid1"
scan = "{bscan_index}"
convert = "matlab_mask"
"""


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Originals of the small pack in tmp_path/originals, its card in use."""
    small_pack.write_originals(tmp_path / "originals")
    small_pack.write_manifest(tmp_path / "cards", tmp_path / "originals")
    small_pack.use_cards(monkeypatch, tmp_path / "cards")
    yield tmp_path
    small_pack.forget_cards()


def import_small(small, source="originals"):
    """Import the small pack into small/data and return how many files were written."""
    return import_pack("small", small / source, small / "data", progress=False)


def test_originals_in_a_folder_are_imported_and_verified(small):
    assert import_small(small) == 9
    assert manifest.verify_pack("small", small / "data") == []
    assert import_small(small) == 0, "verified files are left alone"


def test_folders_may_be_named_otherwise(small):
    (small / "mine").mkdir()
    for path in (small / "originals/all eyes").iterdir():
        shutil.copy(path, small / "mine" / path.name.upper())
    assert import_small(small, "mine") == 9


def test_other_names_and_compressed_files_are_found(small):
    vessels = small / "originals/all eyes/eye_2_vessels.png"
    with gzip.open(vessels.with_name("eye_2.vessels.png.gz"), "wb") as packed:
        packed.write(vessels.read_bytes())
    vessels.unlink()
    assert import_small(small) == 9


def test_of_two_files_with_one_name_the_better_path_is_taken(small):
    decoy = small / "originals/another set/eye_1.jpg"
    decoy.parent.mkdir()
    shutil.copy(small / "originals/all eyes/eye_2.jpg", decoy)
    assert import_small(small) == 9


@pytest.mark.parametrize("kind", ["zip", "gztar"])
def test_an_archive_is_taken(small, kind):
    archive = Path(shutil.make_archive(str(small / "download"), kind, small / "originals"))
    assert import_small(small, archive.name) == 9
    assert manifest.verify_pack("small", small / "data") == []
    assert [path.name for path in (small / "data").iterdir()] == ["small"], "nothing unpacked is left behind"


def test_an_archive_that_reaches_out_is_refused(small):
    with zipfile.ZipFile(small / "evil.zip", "w") as archive:
        archive.writestr("../../evil.txt", b"evil")
    with pytest.raises(DataError, match=r"evil\.zip"):
        import_small(small, "evil.zip")
    assert not list(small.rglob("evil.txt"))


@pytest.mark.parametrize("below", ["", "small"])
def test_a_folder_that_is_a_pack_already_is_copied(small, below):
    import_small(small)
    (small / "data/small").rename(small / "elsewhere")
    if below:
        (small / "outer").mkdir()
        (small / "elsewhere").rename(small / "outer/small")
    assert import_small(small, "outer" if below else "elsewhere") == 9
    assert manifest.verify_pack("small", small / "data") == []


def test_what_may_name_a_patient_is_dropped(small):
    import_small(small)
    assert not any(b"John Doe" in path.read_bytes() for path in (small / "data").rglob("*") if path.is_file())


def test_a_missing_original_is_named_and_nothing_is_written(small):
    (small / "originals/all eyes/eye_3.jpg").unlink()
    with pytest.raises(DataError, match=r"lacks 2 of the files .*eye_3\.jpg; ask at the home page"):
        import_small(small)
    assert not (small / "data/small").exists()


def test_a_wrong_original_is_named_and_what_was_there_stays(small):
    import_small(small)
    kept = (small / "data/small/images/eye_1.jpg").read_bytes()
    (small / "data/small/masks/eye_3.png").unlink()
    shutil.copy(small / "originals/all eyes/eye_1_vessels.png", small / "originals/all eyes/eye_3_vessels.png")
    with pytest.raises(DataError, match=r"eye_3_vessels\.png does not give the masks/eye_3\.png of the manifest"):
        import_small(small)
    assert not (small / "data/small/masks/eye_3.png").exists()
    assert (small / "data/small/images/eye_1.jpg").read_bytes() == kept


def test_a_source_that_does_not_exist_is_named(small):
    with pytest.raises(DataError, match="nowhere does not exist"):
        import_small(small, "nowhere")


def test_a_set_without_checksums_is_taken_by_its_file_names(tmp_path):
    size = read_card("drive").size
    for file in pack_files(read_card("drive"), tmp_path / "data"):
        path = tmp_path / "DRIVE" / file.sources[0].file
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.zeros((*size, 3), np.uint8)
        pixels[: len(path.stem)] = 255
        if not cv2.imwrite(str(path), pixels):
            pytest.skip("this OpenCV cannot write GIF files")
    assert import_pack("drive", tmp_path / "DRIVE", tmp_path / "data", progress=False) == 140
    assert manifest.has_pack("drive", tmp_path / "data")
    image_set = load_images("drive", tmp_path / "data", masks=["vessels", "vessels_2nd"], split="test")
    assert image_set.images.shape == (20, 3, *size)
    assert image_set.masks["vessels_2nd"].sum(axis=(1, 2)).tolist() == [len("01_manual2") * size[1]] * 20
    assert "no checksums" in manifest.verify_pack("drive", tmp_path / "data")[0]


def write_volumes(folder, **changes):
    """Write card, manifest and two .mat files; B-scans 1 and 3 of each subject are annotated."""
    random = np.random.default_rng(3)
    (folder / "cards").mkdir()
    (folder / "mats").mkdir()
    (folder / "cards/volumes.toml").write_text(VOLUMES)
    lines = ["id,patient,split,bscan_index,image,image_sha256,mask_grader1,mask_grader1_sha256"]
    for subject in ("01", "02"):
        images = random.integers(0, 256, (6, 8, 4), dtype=np.uint8)
        fluid = np.full((6, 8, 4), np.nan)
        fluid[:, :, [1, 3]] = random.integers(0, 4, (6, 8, 2))
        content = {"images": images, "manualFluid1": fluid} | changes
        scipy.io.savemat(folder / f"mats/Subject_{subject}.mat", content, do_compression=True)
        for scan in (1, 3):
            name = f"{subject}_{scan:02d}"
            sums = [pixel_sha256(images[:, :, scan]), pixel_sha256((fluid[:, :, scan] > 0).astype(np.uint8))]
            lines.append(f"{name},{subject},,{scan},images/{name}.png,{sums[0]},masks/{name}.png,{sums[1]}")
    (folder / "cards/volumes.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture
def volumes(tmp_path, monkeypatch):
    """Two .mat files in tmp_path/mats, their card in use."""
    small_pack.use_cards(monkeypatch, tmp_path / "cards")
    yield tmp_path
    small_pack.forget_cards()


def test_annotated_scans_are_taken_from_matlab_files(volumes):
    write_volumes(volumes)
    assert import_pack("volumes", volumes / "mats", volumes / "data", progress=False) == 8
    assert manifest.verify_pack("volumes", volumes / "data") == []
    image_set = load_images("volumes", volumes / "data", masks=["grader1"])
    original = scipy.io.loadmat(volumes / "mats/Subject_02.mat")
    assert (image_set.images[3, 0] == original["images"][:, :, 3]).all()
    assert (image_set.masks["grader1"][3] == (original["manualFluid1"][:, :, 3] > 0)).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"manualFluid1": np.full((6, 8, 4), np.nan)}, "not annotated"),
        ({"images": np.zeros((6, 8, 4))}, "expected uint8"),
        ({"images": np.zeros((6, 8, 1), np.uint8)}, r"expected a volume .* with scan 1"),
        ({"images": np.zeros((5, 8, 4), np.uint8)}, r"Subject_01\.mat does not give the images/01_01\.png"),
    ],
)
def test_matlab_files_that_hold_something_else_are_refused(volumes, changes, message):
    write_volumes(volumes, **changes)
    with pytest.raises(DataError, match=message):
        import_pack("volumes", volumes / "mats", volumes / "data", progress=False)


@pytest.mark.parametrize("content", [b"", b"MATLAB 5.0 MAT-file" + bytes(200), b"\x89HDF\r\n\x1a\n" + bytes(600)])
def test_files_that_are_no_matlab_files_are_named(volumes, content):
    write_volumes(volumes)
    (volumes / "mats/Subject_01.mat").write_bytes(content)
    with pytest.raises(DataError, match=r"Subject_01\.mat"):
        import_pack("volumes", volumes / "mats", volumes / "data", progress=False)


def test_a_matlab_file_cut_short_is_named(volumes):
    write_volumes(volumes)
    path = volumes / "mats/Subject_01.mat"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DataError, match=r"Subject_01\.mat is not a complete MATLAB file"):
        import_pack("volumes", volumes / "mats", volumes / "data", progress=False)


def write_duke_subject(path, rows):
    """Write a subject's .mat file as Duke has it, from the pack: 496 x 768 x 61, NaN where not annotated."""
    folder = REAL / "oct_dme_chiu2015"
    content = {"images": np.zeros((496, 768, 61), np.uint8)}
    content |= {name: np.full((496, 768, 61), np.nan) for name in ("manualFluid1", "manualFluid2")}
    image_set = load_images("oct_dme_chiu2015", REAL, masks=["grader1", "grader2"]).subset(rows.index)
    for place, scan in enumerate(rows["bscan_index"]):
        content["images"][:, :, scan] = image_set.images[place, 0]
        content["manualFluid1"][:, :, scan] = image_set.masks["grader1"][place] * 5  # instance numbers
        content["manualFluid2"][:, :, scan] = image_set.masks["grader2"][place] * 2
    assert folder.is_dir()
    scipy.io.savemat(path, content, do_compression=True)


@pytest.mark.real_data
def test_the_duke_files_give_the_manifests_pixels(tmp_path):
    name = "oct_dme_chiu2015"
    if not manifest.has_pack(name, REAL):
        pytest.skip(f"{name} is not in ../shared/data")
    rows = manifest.read_manifest(name)
    for file in pack_files(read_card(name), tmp_path / "data"):
        if not file.path.stem.startswith("04"):  # the other nine subjects are there already
            file.path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REAL / name / file.relative, file.path)
    (tmp_path / "mats").mkdir()
    write_duke_subject(tmp_path / "mats/Subject_04.mat", rows[rows["patient"] == "04"])
    assert import_pack(name, tmp_path / "mats", tmp_path / "data", progress=False) == 33
    assert manifest.verify_pack(name, tmp_path / "data") == []
