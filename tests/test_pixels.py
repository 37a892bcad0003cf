"""Images and masks are read, or refused with a message that names the file."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from retina_kit.data.pixels import MAX_PIXELS, pixel_sha256, read_image, read_mask
from retina_kit.errors import DataError


def write(path, pixels, *settings):
    """Write pixels as OpenCV takes them, and return the path."""
    assert cv2.imwrite(str(path), pixels, list(settings))
    return path


@pytest.fixture
def image_():
    """An image of noise, (20, 30, 3), as OpenCV has it: BGR."""
    return np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def test_colors_come_as_red_green_blue(tmp_path, image_):
    image_[0, 0] = (1, 2, 3)  # BGR
    assert read_image(write(tmp_path / "a.png", image_), 3)[0, 0].tolist() == [3, 2, 1]


def test_a_gray_image_saved_in_color_is_gray(tmp_path):
    gray = np.arange(60, dtype=np.uint8).reshape(6, 10)
    assert (read_image(write(tmp_path / "a.png", np.dstack([gray] * 3)), 1) == gray).all()


def test_the_checksum_knows_the_shape():
    flat = np.zeros((2, 6), np.uint8)
    assert pixel_sha256(flat) != pixel_sha256(flat.reshape(3, 4))
    assert pixel_sha256(flat) == pixel_sha256(np.asfortranarray(flat))


def test_a_one_bit_mask_is_bool(tmp_path):
    mask = np.eye(5, 7, dtype=np.uint8) * 255
    found = read_mask(write(tmp_path / "m.png", mask, cv2.IMWRITE_PNG_BILEVEL, 1), (5, 7))
    assert found.dtype == bool
    assert found.sum() == 5


def test_zero_and_one_is_a_mask_too(tmp_path):
    assert read_mask(write(tmp_path / "m.png", np.eye(3, dtype=np.uint8))).sum() == 3


@pytest.mark.parametrize("kind", ["png", "jpg"])
@pytest.mark.parametrize("keep", [0, 10, 100, -30])
def test_a_file_cut_short_is_refused(tmp_path, image_, kind, keep):
    path = write(tmp_path / f"cut.{kind}", image_)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=rf"cut\.{kind}"):
        read_image(path, 3)


def test_a_png_with_a_spoilt_middle_is_refused(tmp_path, image_):
    path = write(tmp_path / "spoilt.png", image_)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 40] = b"\0" * 40
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"spoilt\.png"):
        read_image(path, 3)


@pytest.mark.parametrize(
    ("name", "pixels", "channels", "message"),
    [
        ("deep.png", np.full((4, 4), 40000, np.uint16), 1, "8-bit"),
        ("color.png", np.dstack([np.full((4, 4), v, np.uint8) for v in (1, 2, 3)]), 1, "gray"),
        ("gray.png", np.zeros((4, 4), np.uint8), 3, "three colors"),
    ],
)
def test_the_wrong_kind_of_image_is_refused(tmp_path, name, pixels, channels, message):
    with pytest.raises(DataError, match=f"{name}.*{message}"):
        read_image(write(tmp_path / name, pixels), channels)


def test_a_header_that_promises_too_much_is_refused_before_it_is_unpacked(tmp_path):
    side = int(MAX_PIXELS**0.5) + 1
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", b"")]
    content = [struct.pack(">I", len(c)) + name + c + struct.pack(">I", zlib.crc32(name + c)) for name, c in chunks]
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(content))
    with pytest.raises(DataError, match=r"bomb\.png .*pixels"):
        read_image(tmp_path / "bomb.png", 1)


def saved(image, kind, **options):
    """The bytes of an image file that Pillow writes."""
    with io.BytesIO() as buffer:
        image.save(buffer, kind, **options)
        return buffer.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_an_image_in_printing_inks_is_refused(kind):
    content = saved(Image.new("CMYK", (30, 20)), kind)
    with pytest.raises(DataError, match=r"inks.* is a CMYK image; save it as RGB"):
        read_image("inks", 3, content)


def test_a_jpeg_with_a_second_exposure_is_its_first_one():
    first, second = Image.new("RGB", (30, 20), (40, 40, 40)), Image.new("RGB", (30, 20), (200, 200, 200))
    content = saved(first, "MPO", save_all=True, append_images=[second])
    assert np.unique(read_image("phone.jpg", 3, content)).tolist() == [40]


def test_a_truncated_file_of_any_kind_is_refused(image_):
    for kind in ("PNG", "JPEG", "TIFF", "GIF", "BMP", "PPM"):
        content = saved(Image.fromarray(image_), kind)
        assert read_image("whole", 3, content).shape == (20, 30, 3), kind
        for size in (len(content) // 2, len(content) - 20):
            with pytest.raises(DataError, match="cut: unsupported or truncated image file"):
                read_image("cut", 3, content[:size])


def test_an_opaque_fourth_channel_is_left_out_and_another_is_refused(tmp_path, image_):
    opaque = np.dstack([image_, np.full(image_.shape[:2], 255, np.uint8)])
    assert (read_image(write(tmp_path / "a.png", opaque), 3) == image_[..., ::-1]).all()
    opaque[0, 0, 3] = 0
    with pytest.raises(DataError, match="three colors"):
        read_image(write(tmp_path / "b.png", opaque), 3)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.png"):
        read_image(tmp_path / "nowhere.png", 1)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((4, 5), np.uint8), "4x5, but its image is 4x4"),
        (np.full((4, 4), 128, np.uint8), r"\[128\]"),
        (np.array([[0, 1], [255, 0]], np.uint8).repeat(2, 0).repeat(2, 1), r"\[1, 255\]"),
        (np.dstack([np.zeros((4, 4), np.uint8)] * 2 + [np.full((4, 4), 255, np.uint8)]), "colored"),
    ],
)
def test_what_is_no_mask_is_refused(tmp_path, pixels, message):
    with pytest.raises(DataError, match=rf"m\.png.*{message}"):
        read_mask(write(tmp_path / "m.png", pixels), (4, 4))
