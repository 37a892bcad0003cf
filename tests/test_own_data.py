"""Own data as it comes: every quirk of real folders either works or is refused with what to do."""

import cv2
import numpy as np
import pytest
from PIL import Image
from test_cli import assert_refused, retina_kit

from retina_kit.data.dataset import load_images
from retina_kit.errors import DataError, UsageError
from retina_kit.experiment import Experiment
from retina_kit.experiment_file import list_papers
from retina_kit.packs.custom import ImportOptions, new_pack, with_classes
from retina_kit.packs.mask_files import MaskRules, parse_classes
from retina_kit.packs.pairing import Entry, parse_named
from retina_kit.packs.sizes import on_canvas

H, W, N = 48, 64, 8


def scene(k, gray=False, h=H, w=W):
    """Return a dark image with one bright ellipse off the center, and its mask, 0 and 255."""
    rng = np.random.default_rng(k)
    mask = np.zeros((h, w), np.uint8)
    center = (int(w * 0.3) + int(rng.integers(0, w // 6)), int(h * 0.3) + int(rng.integers(0, h // 8)))
    cv2.ellipse(mask, center, (w // 7, h // 7), 0, 0, 360, 255, -1)
    image = rng.integers(20, 60, (h, w, 3)).astype(np.uint8)
    image[mask > 0] = (230, 180, 90)
    return (image[..., 1].copy() if gray else image), mask


def save(path, pixels, **how):
    """Write pixels or a Pillow image, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(path, **how)


def write(folder, image="{k}_L.png", mask="{k}_L.png", image_of=lambda i, k: i, mask_of=lambda m, k: m, gray=False):
    """Write eight images and masks; a function may change each."""
    for k in range(1, N + 1):
        pixels, drawn = scene(k, gray)
        save(folder / "images" / image.format(k=k), image_of(pixels, k))
        save(folder / "masks" / mask.format(k=k), mask_of(drawn, k))
    return folder


def make(folder, regex=r"^(\d+)_", name="eyes", masks=None, **options):
    """Make the pack and return it with its images."""
    made = new_pack(name, folder / "images", masks or folder / "masks", regex, folder / "data",
                    options=ImportOptions(**options))  # fmt: skip
    columns = [column[5:] for column in made.rows if column.startswith("mask_") and not column.endswith("sha256")]
    return made, load_images(name, folder / "data", masks=columns)


def overlap(image_set, mask="target"):
    """Return how well the bright ellipses and the masks agree, pooled (Dice)."""
    bright, drawn = image_set.images.max(axis=1) > 150, image_set.masks[mask]
    return 2 * (bright & drawn).sum() / (bright.sum() + drawn.sum())


def assert_right(folder, **options):
    """Check that a folder becomes a pack whose masks lie on the bright ellipses, and return the notes."""
    made, image_set = make(folder, **options)
    assert len(made.rows) == N
    assert overlap(image_set) > 0.97
    assert (folder / "data" / "eyes" / "preview.jpg").stat().st_size > 1000
    return " ".join(made.notes)


def as_palette(mask, k):
    """Return a mask as an image with a palette: black and dark red."""
    image = Image.fromarray((mask > 0).astype(np.uint8), "P")
    image.putpalette([0, 0, 0, 128, 0, 0])
    return image


MASKS = {
    "zero_one": lambda m, k: (m > 0).astype(np.uint8),
    "zero_128": lambda m, k: (m > 0).astype(np.uint8) * 128,
    "mixed_1_and_255": lambda m, k: (m > 0).astype(np.uint8) * (1 if k % 2 else 255),
    "rgb": lambda m, k: np.dstack([m] * 3),
    "red": lambda m, k: np.dstack([m, m * 0, m * 0]),
    "palette": as_palette,
    "sixteen_bit": lambda m, k: m.astype(np.uint16) * 257,
    "one_bit": lambda m, k: m > 0,
    "white_with_alpha": lambda m, k: np.dstack([np.full_like(m, 255)] * 3 + [m]),
    "opaque_alpha": lambda m, k: np.dstack([m] * 3 + [np.full_like(m, 255)]),
    "shape_in_both": lambda m, k: np.dstack([m] * 3 + [m]),
}


@pytest.mark.parametrize("kind", MASKS)
def test_masks_of_many_kinds(tmp_path, kind):
    assert_right(write(tmp_path, mask_of=MASKS[kind]))


@pytest.mark.parametrize(
    ("suffix", "change"),
    [("gif", lambda m, k: m), ("tif", lambda m, k: m), ("TIF", lambda m, k: (m > 0).astype(np.float32)),
     ("bmp", lambda m, k: m), ("jpg", lambda m, k: m)],
    ids=["gif", "tif", "float tif", "bmp", "jpeg"],
)  # fmt: skip
def test_masks_of_many_formats(tmp_path, suffix, change):
    write(tmp_path, mask=f"{{k}}_L.{suffix}", mask_of=change)
    notes = assert_right(tmp_path)
    assert ("cut at 128" in notes) == (suffix == "jpg")


IMAGES = {
    "ppm": ("ppm", lambda i, k: i, ""),
    "wrong_extension": ("png", lambda i, k: i, ""),
    "rgba": ("png", lambda i, k: np.dstack([i, np.full(i.shape[:2], 255, np.uint8)]), ""),
    "cmyk": ("jpg", lambda i, k: Image.fromarray(i).convert("CMYK"), "converted from CMYK"),
    "gray_and_color": ("png", lambda i, k: i[..., 0] if k % 2 else i, "gray image stored as color"),
}


@pytest.mark.parametrize("kind", IMAGES)
def test_images_of_many_kinds(tmp_path, kind):
    suffix, change, note = IMAGES[kind]
    write(tmp_path, image=f"{{k}}_L.{suffix}", image_of=change)
    if kind == "wrong_extension":
        for path in (tmp_path / "images").iterdir():
            Image.open(path).convert("RGB").save(path, "JPEG", quality=97)
    assert note in assert_right(tmp_path)


def test_sixteen_bit_images_are_reduced(tmp_path):
    write(tmp_path, gray=True, image_of=lambda i, k: i.astype(np.uint16) * 257)
    assert "16 bits reduced to 8 (8 of 8 images)" in assert_right(tmp_path)


def test_of_several_pages_the_first_is_taken(tmp_path):
    write(tmp_path, image="{k}_L.tif")
    for path in (tmp_path / "images").iterdir():
        first = Image.open(path).copy()
        first.save(path, save_all=True, append_images=[first.rotate(180)])
    assert "only the first of 2 pages was taken" in assert_right(tmp_path)


@pytest.mark.parametrize(("orientation", "turns"), [(3, 2), (6, 1), (8, 3)])
def test_the_exif_orientation_is_applied_and_said(tmp_path, orientation, turns):
    write(tmp_path, image="{k}_L.jpg")
    exif = Image.Exif()
    exif[274] = orientation
    for k in range(1, N + 1):
        turned = np.rot90(scene(k)[0], turns).copy()
        Image.fromarray(turned).save(tmp_path / "images" / f"{k}_L.jpg", quality=97, exif=exif)
    assert "according to its EXIF orientation (8 of 8 images)" in assert_right(tmp_path)


NAMES = {
    "unicode": ("œil №{k}_ÄÖ 左.png", "œil №{k}_ÄÖ 左_mask.png", r"(\d+)_"),
    "spaces": ("eye {k} (left).png", "eye {k} (left) mask.png", r"eye (\d+)"),
    "leading_zeros": ("00{k}_L.png", "00{k}_L.png", r"^(\d+)_"),
    "drive": ("{k}_training.png", "{k}_manual1.gif", r"^(\d+)_"),
    "nested": ("patient{k}/{k}_L.png", "patient{k}/{k}_L.png", r"^(\d+)_"),
    "nested_images_only": ("patient{k}/{k}_L.png", "{k}_L.png", r"^(\d+)_"),
    "upper_suffix": ("{k}_L.PNG", "{k}_L.TIF", r"^(\d+)_"),
    "long": ("{k}_" + "x" * 235 + ".png", "{k}_" + "x" * 235 + ".png", r"^(\d+)_"),
    "letters": ("NA{k}_L.png", "NA{k}_L.png", r"^([A-Z0-9]+)_"),
}


@pytest.mark.parametrize("kind", NAMES)
def test_names_of_many_kinds(tmp_path, kind):
    image, mask, regex = NAMES[kind]
    assert_right(write(tmp_path, image, mask), regex=regex)


def test_a_name_that_begins_like_another_keeps_its_own_mask(tmp_path):
    for k in range(1, 5):
        for number, stem in enumerate((f"{k}", f"{k}_2")):
            image, mask = scene(10 * k + number)
            save(tmp_path / "images" / f"{stem}.png", image)
            save(tmp_path / "masks" / f"{stem}_mask.png", mask)
    assert_right(tmp_path, regex=r"^(\d+)")


def test_digits_are_never_taken_for_an_ending(tmp_path):
    write(tmp_path, "{k}.png", "{k}_2.png")
    with pytest.raises(DataError, match=r"1.png has no mask.*--mask-suffix"):
        make(tmp_path, regex=r"^(\d+)")
    assert_right(tmp_path, regex=r"^(\d+)", mask_suffixes={"target": "_2"})


def test_files_of_other_systems_are_skipped(tmp_path):
    write(tmp_path)
    for folder in ("images", "masks"):
        for name in ("._1_L.png", "Thumbs.db", ".DS_Store", "desktop.ini", "readme.txt"):
            (tmp_path / folder / name).write_bytes(b"of another system")
    assert_right(tmp_path)


def test_missing_masks_are_refused_with_a_remedy_or_empty(tmp_path):
    write(tmp_path)
    for k in (2, 5):
        (tmp_path / "masks" / f"{k}_L.png").unlink()
    with pytest.raises(DataError, match=r"2_L.png has no mask.*--missing-mask empty"):
        make(tmp_path)
    made, image_set = make(tmp_path, missing_is_empty=True)
    assert len(made.rows) == N
    assert image_set.masks["target"].any(axis=(1, 2)).sum() == N - 2


def test_two_observers_are_two_masks(tmp_path):
    write(tmp_path, mask="{k}_L_1stHO.png")
    for k in range(1, N + 1):
        save(tmp_path / "masks" / f"{k}_L_2ndHO.png", np.roll(scene(k)[1], 1))
    with pytest.raises(DataError, match="each image has 2 masks; choose --mask-suffix _1stHO or --mask-suffix _2ndHO"):
        make(tmp_path)
    _, image_set = make(tmp_path, mask_suffixes={"first": "_1stHO", "second": "_2ndHO"})
    assert overlap(image_set, "first") > overlap(image_set, "second") > 0.8


def write_sizes(folder, height_of, width_of):
    """Write eight images whose sizes depend on their number."""
    for k in range(1, N + 1):
        image, mask = scene(k, h=height_of(k), w=width_of(k))
        save(folder / "images" / f"{k}_L.png", image)
        save(folder / "masks" / f"{k}_L.png", mask)
    return folder


def test_images_of_many_sizes_are_kept_with_a_black_margin(tmp_path):
    write_sizes(tmp_path, lambda k: 48 + 3 * k, lambda k: 64 + k)
    made, image_set = make(tmp_path)
    assert image_set.images.shape == (N, 3, 72, 72)
    assert overlap(image_set) == 1
    assert "kept, with a black margin to 72x72 (7 of 8 images)" in made.notes
    for k, (image, mask) in enumerate(zip(image_set.images, image_set.masks["target"], strict=True), start=1):
        original, drawn = scene(k, h=48 + 3 * k, w=64 + k)
        height, width = drawn.shape
        assert (image[:, :height, :width] == original.transpose(2, 0, 1)).all()
        assert (mask[:height, :width] == (drawn > 0)).all()
        assert image[:, height:].sum() == image[:, :, width:].sum() == mask[height:].sum() == 0


def test_images_of_many_sizes_are_scaled_to_fit_on_demand(tmp_path):
    made, image_set = make(write_sizes(tmp_path, lambda k: 48 + 3 * k, lambda k: 64 + k), size=(48, 64))
    assert image_set.images.shape == (N, 3, 48, 64)
    assert overlap(image_set) > 0.93
    assert "scaled to fit 64x48" in " ".join(made.notes)


def test_sizes_that_would_leave_mostly_margin_are_refused_with_a_size(tmp_path):
    write_sizes(tmp_path, lambda k: 40 if k < 8 else 400, lambda k: 60 if k < 8 else 600)
    with pytest.raises(DataError, match=r"differ much in size \(from 60x40 to 600x400\); add --size 60x40 to scale"):
        make(tmp_path)
    assert make(tmp_path, size=(40, 60))[1].images.shape == (N, 3, 40, 60)


@pytest.mark.parametrize("orientation", [2, 3, 4, 5, 6, 7, 8])
def test_square_images_are_turned_upright_too(tmp_path, orientation):
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]  # the transpose that undoes it
    exif = Image.Exif()
    exif[274] = orientation
    for k in range(1, N + 1):
        image, mask = scene(k, h=64, w=64)
        stored = Image.fromarray(image).transpose(Image.Transpose(back))
        save(tmp_path / "images" / f"{k}_L.jpg", stored, quality=97, exif=exif)
        save(tmp_path / "masks" / f"{k}_L.png", mask)
    assert "according to its EXIF orientation (8 of 8 images)" in assert_right(tmp_path)


def test_empty_masks_are_kept_and_empty_masks_only_are_refused(tmp_path):
    write(tmp_path / "some", mask_of=lambda m, k: m * 0 if k % 2 else m)
    _, image_set = make(tmp_path / "some")
    assert image_set.masks["target"].any(axis=(1, 2)).tolist() == [False, True] * 4
    with pytest.raises(DataError, match=r"all masks are empty.*check --masks, --mask-threshold and --mask-class"):
        make(write(tmp_path / "all", mask_of=lambda m, k: m * 0))


def test_gray_images_saved_as_color_are_gray(tmp_path):
    write(tmp_path, image_of=lambda i, k: np.dstack([i] * 3), gray=True)
    assert make(tmp_path)[1].images.shape == (N, 1, H, W)


def test_one_patient_is_refused_with_the_option_to_check(tmp_path):
    write(tmp_path, "7_{k}.png", "7_{k}.png")
    with pytest.raises(DataError, match=r"all images are of patient '7'.*check --patient-regex"):
        make(tmp_path)


def test_soft_masks_need_a_threshold(tmp_path):
    write(tmp_path, mask_of=lambda m, k: cv2.GaussianBlur(m, (0, 0), 2))
    with pytest.raises(DataError, match=r"different colors.*--mask-threshold 128"):
        make(tmp_path)
    _, image_set = make_with(tmp_path, MaskRules(threshold=128))
    assert overlap(image_set) > 0.95


def make_with(folder, rules, name="eyes", **more):
    """Make the pack with rules for masks."""
    made = new_pack(name, folder / "images", folder / "masks", r"^(\d+)_", folder / "data",
                    options=ImportOptions(masks=rules, **more))  # fmt: skip
    columns = [column[5:] for column in made.rows if column.startswith("mask_") and not column.endswith("sha256")]
    return made, load_images(name, folder / "data", masks=columns)


def test_a_label_map_gives_a_mask_per_class(tmp_path):
    def rings(m, k):  # as in REFUGE: the cup 0, the rim 128, the background 255
        return np.where(cv2.erode(m, np.ones((5, 5))) > 0, 0, np.where(m > 0, 128, 255)).astype(np.uint8)

    write(tmp_path, mask_of=rings)
    with pytest.raises(DataError, match="3 different colors"):
        make(tmp_path)
    _, image_set = make_with(tmp_path, MaskRules(classes=parse_classes(["disc=0,128", "cup=0"])))
    assert overlap(image_set, "disc") == 1
    assert (image_set.masks["cup"] <= image_set.masks["disc"]).all()
    assert 0 < image_set.masks["cup"].sum() < image_set.masks["disc"].sum()


def test_a_folder_per_class_gives_a_mask_per_class(tmp_path):
    write(tmp_path)
    for k in range(1, N + 1):
        save(tmp_path / "cups" / f"{k}_L_cup.png", cv2.erode(scene(k)[1], np.ones((5, 5))))
    _, image_set = make(tmp_path, masks={"disc": tmp_path / "masks", "cup": tmp_path / "cups"})
    assert overlap(image_set, "disc") > 0.97
    assert (image_set.masks["cup"] <= image_set.masks["disc"]).all()


@pytest.mark.parametrize("paper", list_papers())
def test_every_paper_takes_one_of_several_masks(tmp_path, paper):
    write(tmp_path)
    make(tmp_path, masks={"disc": tmp_path / "masks", "cup": tmp_path / "masks"})
    overrides = {"target": "eyes", "target_mask": "cup"}
    experiment = Experiment(
        paper, "smoke", data_root=tmp_path / "data", output_root=tmp_path / "out", overrides=overrides
    )
    assert {arm.data.mask for arm in experiment.arms if arm.data.dataset == "eyes"} == {"cup"}


def test_inverted_masks_are_warned_about(tmp_path):
    write(tmp_path, mask_of=lambda m, k: 255 - m)
    made, _ = make(tmp_path)
    assert any("cover 94 % of the images" in note and "--invert-masks" in note for note in made.notes)
    assert overlap(make_with(tmp_path, MaskRules(invert=True), "upright")[1]) > 0.97


def test_alpha_and_colors_that_disagree_are_refused(tmp_path):
    def both(m, k):
        return np.dstack([np.roll(m, 6, 1)] * 3 + [m])

    with pytest.raises(DataError, match="colors and transparency show different shapes"):
        make(write(tmp_path, mask_of=both))


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda m, k: cv2.resize(m, (2 * W, 2 * H), interpolation=cv2.INTER_NEAREST), "2 times .* add --resize-masks"),
        (lambda m, k: m.T.copy(), "turned by 90 degrees or transposed"),
        (lambda m, k: m[:40], "do not belong together, or one was cropped; replace one of them"),
    ],
    ids=["larger", "transposed", "cropped"],
)
def test_masks_of_another_size_are_refused_with_the_likely_cause(tmp_path, change, cause):
    with pytest.raises(DataError, match=cause):
        make(write(tmp_path, mask_of=change))


def test_larger_masks_can_be_reduced(tmp_path):
    write(tmp_path, mask_of=lambda m, k: cv2.resize(m, (2 * W, 2 * H), interpolation=cv2.INTER_NEAREST))
    assert overlap(make_with(tmp_path, MaskRules(resize=True))[1]) > 0.97


def test_one_image_under_two_patients_is_refused(tmp_path):
    write(tmp_path)
    for folder, pixels in zip(("images", "masks"), scene(1), strict=True):
        save(tmp_path / folder / "9_L.png", pixels)
    with pytest.raises(DataError, match=r"1_L.png \(patient 1\) and 9_L.png \(patient 9\) are the same image"):
        make(tmp_path)
    assert not (tmp_path / "data" / "eyes").exists()


def test_a_table_takes_the_place_of_names(tmp_path):
    write(tmp_path, "{k}.png", "drawn by {k}.png")
    lines = [
        f"images/{k}.png,{'' if k == 3 else f'masks/drawn by {k}.png'},{['NA', 'B'][k % 2]}" for k in range(1, N + 1)
    ]
    (tmp_path / "all.csv").write_text("\n".join(["image,mask,patient", *lines]), encoding="utf-8")
    with pytest.raises(DataError, match=r"all.csv, line 4: the mask is empty.*--missing-mask empty"):
        new_pack("eyes", None, None, "", tmp_path / "data", table=tmp_path / "all.csv")
    options = ImportOptions(missing_is_empty=True)
    made = new_pack("eyes", None, None, "", tmp_path / "data", table=tmp_path / "all.csv", options=options)
    assert sorted(set(made.rows["patient"])) == ["B", "NA"]
    image_set = load_images("eyes", tmp_path / "data", masks=["target"])
    assert sorted(set(image_set.rows["patient"])) == ["B", "NA"]
    assert not image_set.masks["target"][2].any()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,patient\na.png,1", "lacks the column 'mask'"),
        ("image,mask\na.png,b.png", "lacks the column 'patient'"),
        ("image,mask,patient\n", "no image found in .*all.csv"),
        ("image,mask,patient\nno.png,b.png,1", r"line 2: .*no.png does not exist"),
        ("image,mask,patient\n" + "é" * 300 + ".png,b.png,1", r"line 2: .*é.png does not exist"),
    ],
)
def test_a_table_that_does_not_fit_is_named(tmp_path, text, message):
    (tmp_path / "all.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        new_pack("eyes", None, None, "", tmp_path / "data", table=tmp_path / "all.csv")


def test_the_command_shows_what_it_did(tmp_path):
    write(tmp_path, "{k}_training.png", "{k}_manual1.gif")
    arguments = ["--images", "images", "--masks", "vessels=masks", "--patient-regex", r"^(\d+)"]
    done = retina_kit("data", "new", "drive_like", *arguments, "--data-root", "data", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "8 images of 8 patients" in done.stdout
    assert "1_training -> 1" in done.stdout
    assert "every image was assigned its own patient" in done.stdout
    assert "--set target=drive_like --set target_mask=vessels" in done.stdout
    assert "preview.jpg" in done.stdout


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ([], ["give --images, --masks and --patient-regex, or one --table"]),
        (["--images", "images", "--masks", "masks"], ["--patient-regex"]),
        (["--missing-mask", "emtpy"], ["did you mean 'empty'?"]),
        (["--size", "big"], ["--size 'big' must be WIDTHxHEIGHT"]),
        (["--mask-class", "disc=300"], ["--mask-class 'disc=300' must be NAME=VALUE"]),
        (["--masks", "a", "--masks", "b"], ["'target' was given already"]),
    ],
)
def test_wrong_options_are_one_message(tmp_path, options, parts):
    write(tmp_path)
    assert_refused(retina_kit("data", "new", "eyes", *options, "--data-root", "data", cwd=tmp_path), 2, *parts)
    assert not (tmp_path / "data").exists()


def test_a_canvas_keeps_shapes():
    image = np.full((10, 20, 3), 9, np.uint8)
    assert on_canvas(image, (20, 20))[:5].max() == 0
    assert (on_canvas(image, (20, 20))[5:15] == 9).all()
    assert on_canvas(image, (10, 20)) is image


def test_a_name_given_twice_is_refused():
    with pytest.raises(UsageError, match="was given already"):
        parse_named(["a=x", "a=y"], "target", "--masks")


def label_maps(folder, color):
    """Make a pack of four noisy images and label maps: a disc (128) with a cup (255) on a clear background."""
    for name in ("images", "masks"):
        (folder / name).mkdir()
    for number in range(4):
        noise = np.random.default_rng(number).integers(0, 250, (40, 40)).astype(np.uint8)
        Image.fromarray(noise).save(folder / "images" / f"{number}.png")
        layer = np.zeros((40, 40, 4), np.uint8)
        layer[5:25, 5:25] = (128, 128, 128, 255)
        layer[10:20, 10:20] = (255, 255, 255, 255)
        Image.fromarray(layer).save(folder / "masks" / f"{number}.png")
    rules = MaskRules(classes=parse_classes(["disc=128", f"cup={color}"]))
    options = ImportOptions(masks=rules)
    return new_pack("eyes", folder / "images", folder / "masks", r"\d", folder / "data", options=options)


def test_the_classes_of_a_label_map_on_a_clear_background_are_its_colors(tmp_path):
    label_maps(tmp_path, 255)
    masks = load_images("eyes", tmp_path / "data", masks=["disc", "cup"]).masks
    assert masks["disc"][0].sum() == 20 * 20 - 10 * 10
    assert masks["cup"][0].sum() == 10 * 10


def test_a_class_that_no_image_has_is_warned_about(tmp_path):
    notes = label_maps(tmp_path, 254).notes
    assert [note for note in notes if note.startswith("warning: the mask 'cup' is empty in all images")] != []


def test_classes_are_read_from_one_folder_of_masks(tmp_path):
    entry = Entry("a", tmp_path / "a.png", {"one": None, "two": None}, "1")
    with pytest.raises(UsageError, match="--mask-class reads all classes from one file, but there are masks one, two"):
        with_classes([entry], MaskRules(classes={"disc": ((1, 1, 1),)}))


def test_a_class_that_is_given_twice_is_refused():
    with pytest.raises(UsageError, match="--mask-class names 'lesion' twice; list its values once, such as lesion=1,2"):
        parse_classes(["lesion=1", "lesion=2"])


def test_the_name_of_a_folder_is_that_of_its_ending(tmp_path):
    write(tmp_path, mask="{k}_L_disc.png")
    named = {"disc": tmp_path / "masks"}
    with pytest.raises(UsageError, match="--mask-suffix names 'target', but --masks has only disc"):
        make(tmp_path, masks=named, mask_suffixes={"target": "_disc"})
    assert overlap(make(tmp_path, masks=named, mask_suffixes={"disc": "_disc"})[1], "disc") == 1
