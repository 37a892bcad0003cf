"""Every kind of image file that people have, and every kind that is damaged."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retina_kit.data.image_files import list_image_files, read_page, read_pages, scaled_to_8_bit
from retina_kit.errors import DataError, SetupError
from retina_kit.prediction.folder import pages_of

GRAY = np.random.default_rng(0).integers(0, 255, (20, 30)).astype(np.uint8)
COLOR = np.random.default_rng(1).integers(0, 255, (20, 30, 3)).astype(np.uint8)
HAS_PYDICOM = importlib.util.find_spec("pydicom") is not None


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "gif", "pgm"])
def test_gray_images_keep_their_values(tmp_path, suffix):
    Image.fromarray(GRAY).save(tmp_path / f"eye.{suffix}")
    pixels = read_page(tmp_path / f"eye.{suffix}").pixels
    assert pixels.dtype == np.uint8
    assert ((pixels if pixels.ndim == 2 else pixels[..., 0]) == GRAY).all()


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "ppm"])
def test_color_images_keep_their_values(tmp_path, suffix):
    Image.fromarray(COLOR).save(tmp_path / f"eye.{suffix}")
    page = read_page(tmp_path / f"eye.{suffix}")
    assert (page.pixels == COLOR).all()
    assert page.notes == ()


def test_a_jpeg_is_what_opencv_decodes(tmp_path):
    import cv2

    Image.fromarray(COLOR).save(tmp_path / "eye.jpg", quality=92, subsampling=0)
    ours = read_page(tmp_path / "eye.jpg").pixels
    assert (ours == cv2.imread(str(tmp_path / "eye.jpg"))[..., ::-1]).all()


@pytest.mark.parametrize(
    ("pixels", "expected", "note"),
    [
        (GRAY.astype(np.uint16) * 257, GRAY, "16 bits"),
        (np.array([[0, 2048, 4095]], np.uint16), [[0, 128, 255]], "12 bits"),
        (np.array([[0, 7, 255]], np.uint16), [[0, 7, 255]], ""),
        (np.array([[0, 0.5, 1]], np.float32), [[0, 128, 255]], "fractions"),
        (np.array([[0, 1, 255]], np.float32), [[0, 1, 255]], ""),
        (np.array([[0, 200, 255.6]], np.float32), [[0, 200, 255]], ""),
    ],
    ids=["16 bit", "12 bit", "8 in 16", "fractions", "8 in float", "interpolated"],
)
def test_deep_tiffs_are_reduced(tmp_path, pixels, expected, note):
    Image.fromarray(pixels).save(tmp_path / "eye.tif")
    page = read_page(tmp_path / "eye.tif")
    assert (page.pixels == np.array(expected)).all()
    assert note in " ".join(page.notes)


def test_a_16_bit_png_is_reduced(tmp_path):
    import cv2

    cv2.imwrite(str(tmp_path / "eye.png"), GRAY.astype(np.uint16) * 257)
    assert (read_page(tmp_path / "eye.png").pixels == GRAY).all()


@pytest.mark.parametrize("values", [[-1.0, 5.0], [0.0, 1e6], [np.nan, 1.0]])
def test_values_that_mean_nothing_are_refused(values):
    with pytest.raises(DataError, match=r"scale it to 0\.\.255"):
        scaled_to_8_bit(np.array([values]), "eye.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_applied(tmp_path, orientation):
    upright = Image.fromarray(np.kron(COLOR[:4, :6], np.ones((8, 8, 1), np.uint8)))
    back = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]  # the transpose that undoes it
    exif = Image.Exif()
    exif[274] = orientation
    stored = upright if back is None else upright.transpose(Image.Transpose(back))
    stored.save(tmp_path / "eye.tif", exif=exif)
    page = read_page(tmp_path / "eye.tif")
    assert (page.pixels == np.asarray(upright)).all()
    assert bool(page.notes) == (orientation > 1)


def test_every_page_is_an_image(tmp_path):
    pages = [Image.fromarray(GRAY), Image.fromarray(GRAY[:10]), Image.fromarray(COLOR)]
    pages[0].save(tmp_path / "eye.tif", save_all=True, append_images=pages[1:])
    found = list(read_pages(tmp_path / "eye.tif"))
    assert [page.name for page in found] == ["eye", "eye_page2", "eye_page3"]
    assert (found[1].pixels == GRAY[:10]).all()
    assert (found[2].pixels == COLOR).all()
    with pytest.raises(DataError, match="several pages"):
        read_page(tmp_path / "eye.tif")


def test_palettes_alpha_and_inks_are_resolved(tmp_path):
    palette = Image.fromarray((GRAY > 100).astype(np.uint8), "P")
    palette.putpalette([0, 0, 0, 128, 0, 0])
    palette.save(tmp_path / "palette.png")
    assert (read_page(tmp_path / "palette.png").pixels[..., 0] == (GRAY > 100) * 128).all()
    alpha = np.dstack([COLOR, np.where(GRAY > 100, 255, 0).astype(np.uint8)])
    Image.fromarray(alpha).save(tmp_path / "alpha.png")
    page = read_page(tmp_path / "alpha.png")
    assert (page.pixels == COLOR * (GRAY > 100)[..., None]).all()
    assert "transparent" in page.notes[0]
    Image.fromarray(COLOR).convert("CMYK").save(tmp_path / "inks.jpg")
    page = read_page(tmp_path / "inks.jpg")
    assert page.pixels.shape == COLOR.shape
    assert page.notes == ("converted from CMYK to RGB",)
    Image.fromarray(GRAY > 100).save(tmp_path / "bits.png")
    assert (read_page(tmp_path / "bits.png").pixels == (GRAY > 100) * 255).all()


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "gif", "bmp"])
def test_a_truncated_file_is_named(tmp_path, suffix):
    path = tmp_path / f"eye.{suffix}"
    Image.fromarray(COLOR).convert("P" if suffix == "gif" else "RGB").save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=f"eye.{suffix} is (damaged|not an image)"):
        list(read_pages(path))


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_image_is_named(tmp_path, content):
    (tmp_path / "eye.png").write_bytes(content)
    with pytest.raises(DataError, match=r"eye\.png"):
        read_page(tmp_path / "eye.png")


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path):
    Image.new("1", (10000, 9000)).save(tmp_path / "bomb.png")
    with pytest.raises(DataError, match=r"bomb.png (claims|is damaged)"):
        read_page(tmp_path / "bomb.png")


def test_folders_are_searched_and_what_is_no_image_is_skipped(tmp_path):
    for name in ("b.png", "inner/a.JPG", "._b.png", ".hidden/c.png", "Thumbs.db", "__MACOSX/b.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "empty").mkdir()
    found = list_image_files([tmp_path, tmp_path / "b.png", tmp_path / "notes.txt"])
    assert [path.relative_to(tmp_path).as_posix() for path in found] == ["b.png", "inner/a.JPG", "notes.txt"]
    with pytest.raises(DataError, match="holds no images"):
        list_image_files([tmp_path / "empty"])
    with pytest.raises(DataError, match="does not exist"):
        list_image_files([tmp_path / "nowhere"])


def write_dicom(path: Path, pixels, photometric="MONOCHROME2", bits=8, spacing=None):
    """Write a small DICOM file; several frames if `pixels` has four axes, or three for gray."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    color = photometric == "RGB"
    data.SOPClassUID, data.SOPInstanceUID = SecondaryCaptureImageStorage, meta.MediaStorageSOPInstanceUID
    frames = pixels if pixels.ndim == 3 + color else pixels[None]
    data.Rows, data.Columns, data.NumberOfFrames = frames.shape[1], frames.shape[2], len(frames)
    data.SamplesPerPixel, data.PhotometricInterpretation = 3 if color else 1, photometric
    if color:
        data.PlanarConfiguration = 0
    data.BitsAllocated = 8 * pixels.dtype.itemsize
    data.BitsStored, data.HighBit, data.PixelRepresentation = bits, bits - 1, 0
    if spacing:
        data.PixelSpacing = list(spacing)
    data.PixelData = frames.tobytes()
    data.save_as(path, enforce_file_format=True)


@pytest.mark.skipif(not HAS_PYDICOM, reason="needs pydicom (the dicom extra)")
def test_dicom_is_read_with_its_pixel_size(tmp_path):
    write_dicom(tmp_path / "eye.dcm", GRAY, spacing=(0.004, 0.011))
    page = read_page(tmp_path / "eye.dcm")
    assert (page.pixels == GRAY).all()
    assert page.pixel_size == (0.004, 0.011)
    write_dicom(tmp_path / "no_suffix", np.array([[0, 2048], [4095, 0]], np.uint16), bits=12)
    assert read_page(tmp_path / "no_suffix").pixels.tolist() == [[0, 128], [255, 0]]
    write_dicom(tmp_path / "dark.dcm", GRAY, "MONOCHROME1")
    assert (read_page(tmp_path / "dark.dcm").pixels == 255 - GRAY).all()
    write_dicom(tmp_path / "color.dcm", np.stack([COLOR, COLOR[::-1]]), "RGB")
    pages = list(read_pages(tmp_path / "color.dcm"))
    assert len(pages) == 2
    assert (pages[1].pixels == COLOR[::-1]).all()
    content = (tmp_path / "color.dcm").read_bytes()
    (tmp_path / "cut.dcm").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"cut\.dcm cannot be decoded"):
        list(read_pages(tmp_path / "cut.dcm"))


DEEP = np.array([[0, 257 * 7], [257 * 200, 257 * 255]], np.uint16)


@pytest.mark.skipif(not HAS_PYDICOM, reason="needs pydicom (the dicom extra)")
@pytest.mark.parametrize(
    ("pixels", "photometric", "bits", "expected", "note"),
    [
        (GRAY, "MONOCHROME2", 8, GRAY, ""),
        (DEEP, "MONOCHROME2", 16, [[0, 7], [200, 255]], "16 bits reduced to 8"),
        (DEEP, "MONOCHROME1", 16, [[255, 248], [55, 0]], "inverted"),
        (np.array([[0, 2048], [4095, 4095]], np.uint16), "MONOCHROME1", 12, [[255, 127], [0, 0]], "inverted"),
        (np.array([[0, 100], [255, 8]], np.uint16), "MONOCHROME2", 16, [[0, 0], [1, 0]], "16 bits reduced to 8"),
        (COLOR, "RGB", 8, COLOR, ""),
    ],
    ids=["8 bit", "16 bit", "16 bit inverted", "12 bit inverted", "16 bit, dark", "color"],
)
def test_dicom_of_every_depth_and_color(tmp_path, pixels, photometric, bits, expected, note):
    """The stored bits decide how values are scaled, not the brightest pixel: two frames of one scan stay comparable."""
    write_dicom(tmp_path / "eye.dcm", pixels, photometric, bits)
    page = read_page(tmp_path / "eye.dcm")
    assert page.pixels.tolist() == np.asarray(expected).tolist()
    assert note in " ".join(page.notes)
    assert page.pixel_size is None


@pytest.mark.skipif(not HAS_PYDICOM, reason="needs pydicom (the dicom extra)")
def test_every_frame_of_a_dicom_volume_is_an_image(tmp_path):
    frames = np.stack([GRAY, GRAY[::-1], GRAY[:, ::-1]]).astype(np.uint16) * 257
    write_dicom(tmp_path / "volume.dcm", frames, bits=16, spacing=(0.0039, 0.0115))
    pages = list(read_pages(tmp_path / "volume.dcm"))
    assert [page.name for page in pages] == ["volume", "volume_page2", "volume_page3"]
    assert all((page.pixels == frame // 257).all() for page, frame in zip(pages, frames, strict=True))
    assert {page.pixel_size for page in pages} == {(0.0039, 0.0115)}


@pytest.mark.skipif(not HAS_PYDICOM, reason="needs pydicom (the dicom extra)")
def test_a_compressed_dicom_is_read_and_a_palette_is_refused(tmp_path):
    import pydicom
    from pydicom.uid import RLELossless

    write_dicom(tmp_path / "eye.dcm", GRAY)
    data = pydicom.dcmread(tmp_path / "eye.dcm")
    data.compress(RLELossless)
    data.save_as(tmp_path / "rle.dcm")
    assert (read_page(tmp_path / "rle.dcm").pixels == GRAY).all()
    write_dicom(tmp_path / "palette.dcm", GRAY, "PALETTE COLOR")
    with pytest.raises(DataError, match=r"palette\.dcm has a color palette; save it as RGB"):
        read_page(tmp_path / "palette.dcm")


@pytest.mark.skipif(not HAS_PYDICOM, reason="needs pydicom (the dicom extra)")
def test_own_dicom_images_become_a_pack(tmp_path):
    from retina_kit.data.dataset import load_images
    from retina_kit.packs.custom import new_pack

    for k in range(4):
        pixels = np.roll(GRAY, k, 1)
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "masks").mkdir(exist_ok=True)
        write_dicom(tmp_path / "images" / f"{k}_L.dcm", pixels)
        write_dicom(tmp_path / "masks" / f"{k}_L.dcm", (pixels > 128).astype(np.uint8) * 255)
    made = new_pack("scans", tmp_path / "images", tmp_path / "masks", r"^(\d)_", tmp_path / "data")
    assert len(made.rows) == 4
    image_set = load_images("scans", tmp_path / "data", masks=["target"])
    assert (image_set.images[2, 0] == np.roll(GRAY, 2, 1)).all()
    assert (image_set.masks["target"] == (image_set.images[:, 0] > 128)).all()


@pytest.mark.skipif(HAS_PYDICOM, reason="pydicom is installed")
def test_dicom_needs_an_extra(tmp_path):
    (tmp_path / "eye.dcm").write_bytes(b"\0" * 128 + b"DICM")
    with pytest.raises(SetupError, match=r"retina-kit\[dicom\]"):
        list(read_pages(tmp_path / "eye.dcm"))


def test_the_pages_of_a_file_and_the_files_of_a_folder_share_one_brightness(tmp_path):
    dark, bright = np.full((4, 4), 800, np.uint16), np.full((4, 4), 800, np.uint16)
    dark[0, 0], bright[0, 0] = 1000, 3000  # by itself, the first would be 10 bits and the second 12
    Image.fromarray(dark).save(tmp_path / "volume.tif", save_all=True, append_images=[Image.fromarray(bright)])
    assert [page.pixels[1, 1] for page in read_pages(tmp_path / "volume.tif")] == [50, 50]  # 800 x 255 / 4095 = 49.8
    for name, pixels in (("a", dark), ("b", bright)):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    files = [tmp_path / "a.png", tmp_path / "b.png"]
    assert [page.pixels[1, 1] for page in pages_of(files, {})] == [50, 50]
    assert next(iter(read_pages(files[0]))).pixels[1, 1] == 199  # alone: 800 x 255 / 1023


def test_a_page_of_8_bits_does_not_hide_the_depth_of_the_next(tmp_path):
    deep = np.array([[0, 300], [2048, 4095]], np.uint16)
    Image.fromarray(GRAY).save(tmp_path / "a.tif", save_all=True, append_images=[Image.fromarray(deep)])
    first, second = read_pages(tmp_path / "a.tif")
    assert (first.pixels == GRAY).all()
    assert second.pixels.tolist() == [[0, 19], [128, 255]]  # 300 x 255 / 4095 = 18.7


def test_fractions_and_integers_in_one_folder_keep_their_own_scale(tmp_path):
    Image.fromarray(np.full((2, 2), 4000, np.uint16)).save(tmp_path / "a.png")
    Image.fromarray(np.full((2, 2), 0.5, np.float32)).save(tmp_path / "b.tif")
    assert [page.pixels[0, 0] for page in pages_of([tmp_path / "a.png", tmp_path / "b.tif"], {})] == [249, 128]


def test_an_unreadable_deep_file_is_reported_and_the_others_keep_their_depth(tmp_path):
    Image.fromarray(np.full((2, 2), 1000, np.uint16)).save(tmp_path / "a.png")
    Image.fromarray(np.full((2, 2), -5, np.int32)).save(tmp_path / "b.tif")
    failures = {}
    assert [page.pixels[0, 0] for page in pages_of([tmp_path / "a.png", tmp_path / "b.tif"], failures)] == [249]
    assert "values from -5" in failures[str(tmp_path / "b.tif")]
