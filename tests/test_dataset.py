"""A data set is loaded by its name, as one collection."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import small_pack

from retina_kit.data import large_arrays, manifest
from retina_kit.data.dataset import Exclude, check_options, fingerprint, kept_rows, load_images
from retina_kit.data.manifest import read_manifest
from retina_kit.data.splits import by_patients
from retina_kit.errors import DataError, UsageError
from retina_kit.packs.importing import import_pack

REAL = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A small pack below tmp_path/data."""
    small_pack.write_originals(tmp_path / "originals")
    small_pack.write_manifest(tmp_path / "cards", tmp_path / "originals")
    small_pack.use_cards(monkeypatch, tmp_path / "cards")
    import_pack("small", tmp_path / "originals", tmp_path / "data", progress=False)
    yield tmp_path / "data"
    small_pack.forget_cards()


def test_images_masks_and_rows_belong_together(small):
    image_set = load_images("small", small, masks=["vessels", "fov"])
    assert image_set.images.shape == (3, 3, 24, 32)
    assert image_set.images.dtype == np.uint8
    assert image_set.masks["vessels"].dtype == bool
    assert image_set.masks["vessels"].sum(axis=(1, 2)).tolist() == [5, 6, 7]
    assert image_set.rows["id"].tolist() == list(small_pack.IDS)
    assert image_set.rows["grade"].tolist() == [0, 1, 2]
    red, _, blue = image_set.images[0, :, 12, 16]
    assert red > 150 > 100 > blue


def test_a_derived_mask_is_the_union(small):
    image_set = load_images("small", small, masks=["either", "vessels"])
    assert list(image_set.masks) == ["either", "vessels"]
    both = load_images("small", small, masks=["vessels", "fov"]).masks
    assert (image_set.masks["either"] == (both["vessels"] | both["fov"])).all()


def test_images_that_do_not_fit_into_memory_are_the_same(small, monkeypatch):
    in_memory = load_images("small", small, masks=["either", "vessels"], size=(12, 16))
    monkeypatch.setattr(large_arrays, "free_memory", lambda: 0)
    mapped = load_images("small", small, masks=["either", "vessels"], size=(12, 16))
    assert mapped.fingerprint() == in_memory.fingerprint()


def test_no_mask_may_be_asked_for(small):
    assert load_images("small", small, masks=[]).masks == {}


def test_one_split_only(small):
    assert load_images("small", small, masks=["fov"], split="test").rows["id"].tolist() == ["eye_3"]
    with pytest.raises(UsageError, match="no split 'validation'; it has test, train"):
        load_images("small", small, masks=["fov"], split="validation")


def test_images_are_resized_by_area_and_masks_to_the_nearest_pixel(small):
    whole = load_images("small", small, masks=["fov"])
    half = load_images("small", small, masks=["fov"], size=(12, 16))
    assert half.images.shape == (3, 3, 12, 16)
    means = whole.images.reshape(3, 3, 12, 2, 16, 2).mean(axis=(3, 5))
    assert np.abs(half.images - means).max() <= 0.5
    assert (half.masks["fov"] == whole.masks["fov"][:, 1::2, 1::2]).all()  # the pixel at the center, not the corner


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"masks": ["veins"]}, r"no mask 'veins'.* Known: vessels, fov, either"),
        ({"masks": [], "num_patients": 3}, "a data set read from files has no setting 'num_patients'"),
    ],
)
def test_what_a_pack_does_not_have_is_refused(small, settings, message):
    with pytest.raises(UsageError, match=message):
        load_images("small", small, **settings)


def test_an_unknown_name_gets_a_suggestion(tmp_path):
    with pytest.raises(UsageError, match="did you mean 'synthetic_oct'"):
        load_images("sythetic_oct", tmp_path, masks=["fluid"])


def test_a_pack_that_is_not_there_says_how_to_get_it(tmp_path):
    with pytest.raises(DataError, match="retina-kit data fetch stare"):
        load_images("stare", tmp_path, masks=["vessels"])


@pytest.mark.parametrize(("name", "message"), [("masks/eye_2.png", "mask"), ("images/eye_2.jpg", "pixels")])
def test_wrong_pixels_are_never_loaded(small, name, message):
    pixels = cv2.imread(str(small / "small" / name), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(small / "small" / name), pixels[::-1].copy())
    with pytest.raises(DataError, match=f"{Path(name).name}.*{message}"):
        load_images("small", small, masks=["vessels"])


def test_a_mask_that_only_some_images_have_is_refused_for_the_others(small):
    path = small.parent / "cards/small.csv"
    rows = manifest.read_manifest("small")
    rows.loc[rows["split"] == "train", "mask_vessels"] = ""
    rows.to_csv(path, index=False)
    small_pack.forget_cards()
    with pytest.raises(UsageError, match="for some images only"):
        load_images("small", small, masks=["vessels"])
    assert len(load_images("small", small, masks=["vessels"], split="test")) == 1


def test_the_fingerprint_needs_no_files_and_follows_the_manifest(small):
    before = fingerprint("small", masks=["fov"])
    assert fingerprint("small", masks=["fov"]) == before
    assert fingerprint("small", masks=["vessels"]) != before
    path = small.parent / "cards/small.csv"
    path.write_text(path.read_text().replace("p1,test", "p1,train"))
    small_pack.forget_cards()
    assert fingerprint("small", masks=["fov"]) != before


def test_the_fingerprint_follows_the_parts_of_a_derived_mask(small):
    before, card = fingerprint("small", masks=["either"]), small.parent / "cards/small.toml"
    text = card.read_text().replace("[derived]", '[derived]\nboth = ["fov", "vessels"]')
    card.write_text(text)
    small_pack.forget_cards()
    assert fingerprint("small", masks=["either"]) == before
    card.write_text(text.replace('either = ["vessels", "fov"]', 'either = ["fov", "vessels"]'))
    small_pack.forget_cards()
    assert fingerprint("small", masks=["either"]) != before


def test_the_fingerprint_follows_the_patients_that_another_data_set_excludes(small):
    cards, exclude = small.parent / "cards", {"also_in": "other"}
    for end in ("toml", "csv"):
        (cards / f"other.{end}").write_text((cards / f"small.{end}").read_text())
    small_pack.forget_cards()
    before = fingerprint("small", masks=["fov"], exclude=exclude)
    other = cards / "other.csv"
    other.write_text(other.read_text().replace("p1,test", "p1,train").replace("p0,train", "p0,test"))
    small_pack.forget_cards()
    assert fingerprint("small", masks=["fov"], exclude=exclude) != before
    assert fingerprint("small", masks=["fov"]) == fingerprint("small", masks=["fov"], exclude={"ids": []})


@pytest.mark.real_data
def test_the_union_of_both_graders_has_the_pixels_that_the_paper_trained_on():
    if not manifest.has_pack("oct_dme_chiu2015", REAL):
        pytest.skip("oct_dme_chiu2015 is not in ../shared/data")
    image_set = load_images("oct_dme_chiu2015", REAL, masks=["union"])
    fluid = image_set.masks["union"].sum(axis=(1, 2))
    test = (image_set.rows["split"] == "test").to_numpy()
    assert (fluid[~test].sum(), fluid[test].sum()) == (419_348, 79_169)
    assert set(image_set.rows["patient"][test]) == {"09", "10"}


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "mask", "shape"),
    [
        ("chase_db1", "vessels_2nd", (28, 3, 960, 999)),
        ("stare", "vessels", (20, 3, 605, 700)),
        ("idrid_seg_1024", "disc", (81, 3, 680, 1024)),
    ],
)
def test_real_packs_have_one_size_each(name, mask, shape):
    if not manifest.has_pack(name, REAL):
        pytest.skip(f"{name} is not in ../shared/data")
    image_set = load_images(name, REAL, masks=[mask])
    assert image_set.images.shape == shape
    assert image_set.masks[mask].any(axis=(1, 2)).all()


@pytest.mark.parametrize(("name", "channels"), [("synthetic_oct", 1), ("synthetic_fundus", 3)])
def test_synthetic_images_come_by_name_too(name, channels, tmp_path):
    mask = "fluid" if channels == 1 else "vessels"
    image_set = load_images(name, tmp_path, masks=[mask], num_patients=2, size=[64, 96], seed=4)
    assert image_set.images.shape[1:] == (channels, 64, 96)
    assert list(image_set.masks) == [mask]
    again = load_images(name, tmp_path, masks=[mask], num_patients=2, size=[64, 96], seed=4)
    assert again.fingerprint() == image_set.fingerprint()
    with pytest.raises(UsageError, match=f"num_patients is missing; {name} has no setting 'num_people'"):
        load_images(name, tmp_path, masks=[mask], num_people=2)


def test_rows_are_left_out_by_id_and_by_what_another_set_tests_on():
    rows = read_manifest("idrid_seg_1024")
    assert "IDRiD_81" not in set(kept_rows(rows, Exclude(ids=("IDRiD_81",)))["id"])
    with pytest.raises(UsageError, match="IDRiD_99"):
        kept_rows(rows, Exclude(ids=("IDRiD_99",)))
    graded = read_manifest("idrid_grading_loc")
    kept = kept_rows(graded, Exclude(also_in="idrid_seg_1024"))
    tested = set(rows.loc[rows["split"] == "test", "patient"])
    assert set(graded["patient"]) & tested
    assert not set(kept["patient"]) & tested
    named = graded["same_image_in_segmentation_set"].str.startswith("test:").sum()
    assert named == 15
    assert len(kept) == len(graded) - named - 2  # two of the fifteen have a byte-identical twin, which no column names


def test_a_split_by_patients_keeps_identical_photographs_together():
    rows = kept_rows(read_manifest("idrid_grading_loc"), Exclude(also_in="idrid_seg_1024"))
    twins = rows[rows["duplicate_of"] != ""]
    assert len(twins)
    for seed in range(5):
        _, test = by_patients(rows, 0.2, seed)
        tested = set(rows["id"].iloc[test])
        assert all((twin["id"] in tested) == (twin["duplicate_of"] in tested) for _, twin in twins.iterrows())


@pytest.mark.parametrize("name", ["idrid_seg_1024"])
def test_lesion_masks_move_with_the_crop(name):
    if not (REAL / name).is_dir():
        pytest.skip(f"{name} is not in ../shared/data")
    whole = load_images(name, REAL, masks=["ex", "ma"], split="test")
    cropped = load_images(name, REAL, masks=["ex", "ma"], split="test", crop=True, exclude={"ids": ["IDRiD_81"]})
    assert len(whole) == 27
    assert len(cropped) == 26
    kept = (whole.rows["id"] != "IDRiD_81").to_numpy()
    assert whole.masks["ex"][~kept].all()  # its original is opaque everywhere
    assert cropped.images.shape[-1] < whole.images.shape[-1]
    for mask in ("ex", "ma"):  # a lesion lies in the field of view, so none is cut off
        assert np.array_equal(cropped.masks[mask].sum(axis=(1, 2)), whole.masks[mask][kept].sum(axis=(1, 2)))


def test_what_is_excluded_is_checked(small):
    with pytest.raises(UsageError, match=r"exclude has no setting 'id'; did you mean 'ids'\? Known: ids, also_in, "):
        load_images("small", small, masks=[], exclude={"id": ["eye_1"]})
    with pytest.raises(UsageError, match=r"is synthetic.*reduce num_patients"):
        load_images("synthetic_fundus", small, masks=[], exclude={"ids": ["p000_0"]}, num_patients=1)
    assert len(load_images("small", small, masks=[], exclude={"ids": ["eye_1"]})) == 2
    assert len(load_images("small", small, masks=[], exclude=Exclude(ids=("eye_1", "eye_3")))) == 1
    with pytest.raises(UsageError, match="no image of small is left"):
        load_images("small", small, masks=[], exclude={"ids": list(small_pack.IDS)})


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("small", {"croped": True}, "has no setting 'croped'; did you mean 'crop'"),
        ("small", {"size": 64}, "data options: size is 64"),
        ("small", {"copies": -1}, "copies is -1"),
        ("small", {"split": "validation"}, "no split 'validation'; it has test, train"),
        ("small", {"exclude": {"ids": ["eye_9"]}}, "no image 'eye_9'"),
        ("small", {"exclude": {"also_in": "idrid"}}, "idrid"),
        ("smal", {}, "no data set is called 'smal'; did you mean 'small'"),
        ("synthetic_oct", {}, "num_patients is missing"),
        ("synthetic_oct", {"num_patients": 0}, "num_patients is 0"),
        ("synthetic_oct", {"num_patients": 4, "device": "cirus"}, "device is 'cirus'.*'spectralis' or 'cirrus'"),
        ("synthetic_oct", {"num_patients": 4, "gap": 1.5}, "gap is 1.5"),
        ("synthetic_oct", {"num_patients": 4, "split": "test"}, "'split' cannot leave rows out"),
        ("synthetic_fundus", {"num_patients": 4, "annotators": True}, "synthetic_fundus has no setting 'annotators'"),
    ],
)
def test_options_are_checked_with_and_without_loading(small, name, options, message):
    with pytest.raises(UsageError, match=message):
        check_options(name, options, small)
    with pytest.raises(UsageError, match=message):
        load_images(name, small, masks=[], **options)
