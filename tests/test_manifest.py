"""Cards and manifests: the real ones are whole, wrong ones are refused, every file of a pack is verified."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import small_pack

from retina_kit.data import card as cards
from retina_kit.data import manifest
from retina_kit.errors import DataError, UsageError
from retina_kit.packs.fetch import address_of
from retina_kit.packs.files import pack_files
from retina_kit.packs.importing import import_pack

REAL = Path(__file__).resolve().parents[2] / "shared" / "data"
WITH_CHECKSUMS = {
    "oct_dme_chiu2015": (110, 10, 88, 22),  # images, patients, train, test
    "chase_db1": (28, 14, 20, 8),
    "stare": (20, 20, 0, 0),
    "idrid_seg_1024": (81, 81, 54, 27),
    "idrid_grading_loc": (516, 510, 413, 103),  # six pairs are one photograph each
    "drive": (40, 40, 20, 20),
    "hrf": (45, 45, 15, 30),
}


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A small pack in place below tmp_path/data, its cards in tmp_path/cards."""
    small_pack.write_originals(tmp_path / "originals")
    small_pack.write_manifest(tmp_path / "cards", tmp_path / "originals")
    small_pack.use_cards(monkeypatch, tmp_path / "cards")
    import_pack("small", tmp_path / "originals", tmp_path / "data", progress=False)
    yield tmp_path
    small_pack.forget_cards()


@pytest.mark.parametrize("name", cards.list_cards())
def test_every_card_is_whole(name):
    card = cards.read_card(name)
    assert len(card.title) > 10
    assert "TODO" not in str(card)
    if cards.can_fetch(card):
        assert all(file.sources for file in pack_files(card, "data")), "a file that cannot be made from anything"


@pytest.mark.parametrize("name", WITH_CHECKSUMS)
def test_manifests_count_what_the_data_sets_have(name):
    rows = manifest.read_manifest(name)
    split = rows["split"].value_counts()
    counts = (len(rows), rows["patient"].nunique(), split.get("train", 0), split.get("test", 0))
    assert counts == WITH_CHECKSUMS[name]


@pytest.mark.parametrize("name", [name for name in WITH_CHECKSUMS if name not in ("idrid_grading_loc", "stare")])
def test_no_published_split_shares_a_patient(name):
    rows = manifest.read_manifest(name)
    patients = rows.groupby("split")["patient"].agg(set)
    assert not patients["train"] & patients["test"]


def test_one_photograph_of_idrid_is_one_patient_in_both_packs():
    grading, segmentation = (
        manifest.read_manifest(name).set_index("id") for name in ("idrid_grading_loc", "idrid_seg_1024")
    )
    shared = grading[grading["same_image_in_segmentation_set"] != ""]
    theirs = segmentation.loc[shared["same_image_in_segmentation_set"].str.split(":").str[1]]
    assert len(shared) == 61
    assert (shared["patient"].to_numpy() == theirs["patient"].to_numpy()).all()
    assert (theirs["split"] == "test").sum() == 15
    twins = grading[grading["duplicate_of"] != ""]
    assert len(twins) == 12
    assert (twins["patient"].to_numpy() == grading.loc[twins["duplicate_of"], "patient"].to_numpy()).all()
    assert (twins["image_sha256"].to_numpy() == grading.loc[twins["duplicate_of"], "image_sha256"].to_numpy()).all()


def test_unknown_checksums_are_empty():
    for name in ("drive", "hrf"):
        rows = manifest.read_manifest(name)
        assert (rows[[column for column in rows if column.endswith("sha256")]] == "").all().all()


def test_labels_that_are_numbers_become_numbers():
    rows = manifest.read_manifest("idrid_grading_loc")
    assert rows["grade"].value_counts().sort_index().tolist() == [168, 25, 168, 93, 62]
    assert rows["fovea_x_official"].notna().sum() == 103
    assert manifest.read_manifest("oct_dme_chiu2015")["patient"].iat[0] == "01"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("redistribute = true", "redistribute = true\nlicens = 'free'", "no setting 'licens'; did you mean 'license'"),
        ('access = "open"', 'access = "free"', "access is 'free'.*'open', 'terms'"),
        ("channels = 3", 'channels = "three"', "channels"),
        ('home = "https://example.org/eyes"\n', "", "home"),
        ('file = "all eyes/{id}.jpg"', 'file = "../{id}.jpg"', "file"),
        ("a1a1", "main", "base"),
        ('convert = "keep"', 'convert = "magic"', "convert"),
        ('["vessels", "fov"]', '["vessels", "veins"]', "veins"),
        ('of = "mask_fov"', 'of = "mask_disc"', "mask_disc"),
        ("channels = 3", "channels =", "not valid TOML"),
        ("Three small eyes", "Drei kleine Augen \udce4", "not UTF-8"),
    ],
)
def test_a_wrong_card_is_refused(small, old, new, message):
    path = small / "cards" / "small.toml"
    text = path.read_text()
    assert old in text
    path.write_bytes(text.replace(old, new).encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=rf"small\.toml.*{message}"):
        cards.parse_card(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("eye_2,p0", "eye_1,p0", "eye_1.*in more than one row"),
        ("images/eye_1.jpg", "/etc/eye_1.jpg", "leaves the folder of the data set"),
        ("masks/eye_1.png", "masks/../../eye_1.png", "leaves the folder of the data set"),
        ("image_sha256", "image_md5", "lacks the columns image_sha256"),
        ("grade", "graad", "lacks the columns grade"),
        ("grade", "grade,vein", "vein"),
        (",train,", ",training,", "training"),
        ("eye_1", "eye_\udce4", "not a UTF-8 table"),
    ],
)
def test_a_wrong_manifest_is_refused(small, old, new, message):
    path = small / "cards" / "small.csv"
    text = path.read_text()
    assert old in text
    path.write_bytes(text.replace(old, new, 1).encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=rf"small\.csv.*{message}"):
        manifest.parse_manifest(path, cards.read_card("small"))


def test_patients_are_text_always(small):
    path = small / "cards" / "small.csv"
    text = (
        path.read_text().replace("eye_1,p0", "eye_1,NA").replace("eye_2,p0", "eye_2,007").replace("eye_3,p1", "NaN,1e3")
    )
    path.write_text(text)
    rows = manifest.parse_manifest(path, cards.read_card("small"))
    assert rows["patient"].tolist() == ["NA", "007", "1e3"]
    assert rows["id"].tolist() == ["eye_1", "eye_2", "NaN"]


def test_either_path_separator_is_understood(small):
    path = small / "cards" / "small.csv"
    path.write_text(path.read_text().replace("masks/", "masks\\").replace("images/", "images\\"))
    manifest.forget_cards()
    assert manifest.read_manifest("small")["image"].iat[0] == "images/eye_1.jpg"
    assert manifest.verify_pack("small", small / "data") == []


def test_an_unknown_name_gets_a_suggestion():
    with pytest.raises(UsageError, match="did you mean 'chase_db1'"):
        cards.read_card("chasedb1")


def test_a_pack_that_is_not_there_says_how_to_get_it(tmp_path):
    with pytest.raises(DataError, match="retina-kit data fetch chase_db1 --data-root"):
        manifest.require_pack("chase_db1", tmp_path)
    with pytest.raises(DataError, match="register at the home page"):
        manifest.require_pack("drive", tmp_path)


def test_a_complete_pack_is_verified(small):
    assert manifest.has_pack("small", small / "data")
    assert manifest.verify_pack("small", small / "data") == []


@pytest.mark.parametrize("position", [0, -1])
def test_a_pack_without_its_first_or_last_image_is_not_there(small, position):
    image = manifest.read_manifest("small", small / "data")["image"].iat[position]
    (small / "data" / "small" / image).unlink()
    assert not manifest.has_pack("small", small / "data")


@pytest.mark.parametrize("damage", ["one pixel", "missing", "size", "swapped", "cut short"])
def test_one_wrong_file_is_found_and_named(small, damage):
    path = small / "data" / "small" / "masks" / "eye_2.png"
    mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if damage == "one pixel":
        mask[0, 0] = 255
        cv2.imwrite(str(path), mask)
    elif damage == "missing":
        path.unlink()
    elif damage == "size":
        cv2.imwrite(str(path), np.zeros((24, 31), np.uint8))
    elif damage == "swapped":
        shutil.copy(path.with_name("eye_1.png"), path)
    else:
        path.write_bytes(path.read_bytes()[:-20])
    problems = manifest.verify_pack("small", small / "data")
    assert len(problems) == 1
    assert "eye_2.png" in problems[0]


def test_saving_a_mask_with_other_settings_does_not_matter(small):
    path = small / "data" / "small" / "masks" / "eye_2.png"
    cv2.imwrite(str(path), cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), [cv2.IMWRITE_PNG_COMPRESSION, 0])
    assert manifest.verify_pack("small", small / "data") == []


def test_a_summary_says_what_is_there(small):
    summary = manifest.data_summary("small", small / "data")
    assert (summary["present"], summary["num_images"], summary["num_patients"]) == (True, 3, 2)
    assert summary["masks"] == ["vessels", "fov", "either"]
    assert manifest.data_summary("small", small / "elsewhere")["present"] is False


def test_a_file_is_taken_from_the_commit_that_the_card_names():
    card = cards.read_card("oct_dme_chiu2015")
    files = {(file.relative, file.column): file.sources for file in pack_files(card, "data")}
    image = address_of(files["images/04_06.png", "image"][0])
    assert image.endswith("/661-DME-Transfer-Learning/5037c3ac509c04ddc8e3b1e82d98b0e54f4ad68b/Dataset/images/04_6.png")
    first = address_of(files["masks_grader1/10_50.png", "mask_grader1"][0])
    assert first.endswith("/b677c49efd7bc4f015144be6d0eab10c8ba57962/data/annotation/img_109.png")


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["oct_dme_chiu2015", "chase_db1", "stare", "idrid_seg_1024", "idrid_grading_loc"])
def test_the_real_packs_are_verified(name):
    if not manifest.has_pack(name, REAL):
        pytest.skip(f"{name} is not in ../shared/data")
    assert manifest.verify_pack(name, REAL) == []
