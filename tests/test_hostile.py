"""Input that was made to do harm: it is refused with one message, and nothing is run, unpacked or written by it."""

import io
import struct
import zipfile
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import small_pack
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

from retina_kit.data import manifest
from retina_kit.data.card import parse_card
from retina_kit.data.pixels import MAX_PIXELS, read_image, read_mask
from retina_kit.errors import DataError, KitError, UsageError
from retina_kit.experiment_file import typed_like
from retina_kit.packs.archives import unpack
from retina_kit.packs.mask_files import MaskRules, read_any_mask
from retina_kit.reporting import notebook as nb
from retina_kit.runs.checkpoint import Checkpoint
from retina_kit.runs.exchange import import_runs
from retina_kit.runs.store import Run, RunStore, file_sha256

NOISE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def encoded(kind, pixels):
    """Return pixels as the bytes of an image file."""
    return cv2.imencode(kind, pixels)[1].tobytes()


def chunk(kind, content):
    """Return one chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width, height, *, color=0, before=b"", rows=b""):
    """Return a PNG, hand-made."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + before + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def tiff(**tags):
    """Return the beginning of a TIFF with these tags, eight bits of gray a pixel, its pixels after the directory."""
    numbers = {
        "width": 256,
        "height": 257,
        "bits": 258,
        "photometric": 262,
        "strip_at": 273,
        "strip_bytes": 279,
        "tile_width": 322,
        "tile_height": 323,
        "tile_at": 324,
        "tile_bytes": 325,
    }
    next_page = tags.pop("next", 0)
    tags = {"bits": 8, "photometric": 1} | tags
    tags = dict(sorted(tags.items(), key=lambda tag: numbers[tag[0]]))
    entries = b"".join(struct.pack("<HHII", numbers[name], 4, 1, value) for name, value in tags.items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", next_page) + bytes(16)


def pages(kind, number):
    """Return a file with this number of frames or pages."""
    frames = [Image.fromarray(NOISE[k:]) for k in range(number)]
    with io.BytesIO() as buffer:
        frames[0].save(buffer, kind, save_all=True, append_images=frames[1:])
        return buffer.getvalue()


def bmp(width, height):
    """Return the header of a Windows bitmap."""
    return b"BM" + struct.pack("<IIIIiiHHIIIIII", 54, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)


# ---- images --------------------------------------------------------------------------------------------------------
SIDE = int(MAX_PIXELS**0.5) + 1
UNREADABLE = "unsupported or truncated image file"
TOO_LARGE = "at most 80,000,000 are read"
STRIP = {"strip_at": 8 + 2 + 6 * 12 + 4, "strip_bytes": 16}  # right after the directory
HOSTILE = {
    "png bomb": (png(SIDE, SIDE, rows=bytes(1000)), TOO_LARGE),
    "larger png bomb": (png(2 * SIDE, 2 * SIDE, rows=bytes(1000)), TOO_LARGE),
    "png chunk longer than the file": (png(4, 4, before=struct.pack(">I", 2**31 - 1) + b"tEXt"), UNREADABLE),
    "png chunk with another checksum": (png(4, 4, before=chunk(b"tEXt", b"a\0b")[:-1] + b"?"), UNREADABLE),
    "png text that unpacks to too much": (
        png(4, 4, before=chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**8)))),
        UNREADABLE,
    ),
    "jpeg whose frame is hidden": (b"\xff\xd8\xff\xe0\x70\x00" + encoded(".jpg", NOISE)[4:], UNREADABLE),
    "tiff bomb": (tiff(width=SIDE, height=SIDE, **STRIP), TOO_LARGE),
    "tiff with a bomb of a tile": (
        tiff(width=4, height=4, tile_width=SIDE, tile_height=SIDE, tile_at=140, tile_bytes=16),
        TOO_LARGE,
    ),
    "tiff without pixels": (tiff(width=4, height=4), UNREADABLE),
    "bmp bomb": (bmp(SIDE, -SIDE), TOO_LARGE),
    "ppm bomb": (b"P6 # a comment\n%d %d\n255\n" % (SIDE, SIDE), TOO_LARGE),
    "16 bit": (encoded(".png", NOISE.astype(np.uint16) * 200), "uint16 pixels; expected 8-bit ones"),
    "16 bit tiff": (encoded(".tif", NOISE.astype(np.uint16) * 200), "unsupported|uint16 pixels; expected 8-bit ones"),
    "floating point": (encoded(".tif", NOISE.astype(np.float32)), "unsupported|float32 pixels; expected 8-bit ones"),
    "several pages": (pages("TIFF", 2), "several frames or pages"),
    "animated gif": (pages("GIF", 2), "several frames or pages"),
    "animated png": (pages("PNG", 2), "several frames or pages"),
    "png that says it is animated": (png(4, 4, before=chunk(b"acTL", bytes(8)), rows=bytes(20)), UNREADABLE),
    "nothing": (b"", UNREADABLE),
    "a page": (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", UNREADABLE),
    "another kind": (encoded(".webp", NOISE), UNREADABLE),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_image_is_refused_and_named(tmp_path, name):
    content, message = HOSTILE[name]
    (tmp_path / "hostile.img").write_bytes(content)
    for read in (lambda path: read_image(path, 3), read_mask):
        with pytest.raises(DataError, match=rf"hostile\.img.*({message})"):
            read(tmp_path / "hostile.img")


@pytest.mark.parametrize("side", [SIDE, 2 * SIDE])
def test_a_transparent_mask_that_is_too_large_is_refused_and_named(tmp_path, side):
    (tmp_path / "hostile.png").write_bytes(png(side, side, color=6, rows=bytes(1000)))
    with pytest.raises(DataError, match=r"hostile\.png"):
        read_any_mask(tmp_path / "hostile.png", MaskRules(), "target")


def test_a_tiff_that_is_its_own_next_page_is_one_page():
    assert read_image("loop.tif", 1, tiff(width=4, height=4, next=8, **STRIP)).tolist() == [[0] * 4] * 4


def test_a_rotation_in_exif_is_not_obeyed(tmp_path):
    """An image and its mask are two files: turning only one of them would misalign them."""
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    content = encoded(".jpg", NOISE)
    turned = content[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + content[2:]
    assert cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR).shape == (30, 20, 3)
    assert (read_image("a.jpg", 3, turned) == read_image("a.jpg", 3, content)).all()


def test_a_palette_is_colors_and_no_mask(tmp_path):
    palette = png(2, 2, color=3, before=chunk(b"PLTE", bytes([9, 8, 7, 200, 0, 0])), rows=b"\0\0\1\0\1\0")
    assert read_image("p.png", 3, palette)[0].tolist() == [[9, 8, 7], [200, 0, 0]]
    with pytest.raises(DataError, match="colored image"):
        read_mask("p.png", None, palette)


@QUICK
@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"II*\0", b"GIF89a", b"BM", b"P6 "]),
)
def test_any_bytes_are_read_or_refused(content, start):
    for read in (lambda data: read_image("any", 1, data), lambda data: read_mask("any", None, data)):
        try:
            read(start + content)
        except DataError as error:
            assert "any" in str(error)


@QUICK
@given(st.data())
def test_a_image_with_changed_bytes_is_read_or_refused(data):
    content = bytearray(encoded(data.draw(st.sampled_from([".png", ".jpg", ".tif", ".bmp", ".ppm"])), NOISE))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        pixels = read_image("changed", 3, bytes(content))
    except DataError as error:
        assert "changed" in str(error)
    else:
        assert pixels.dtype == np.uint8


# ---- manifests -------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def card(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cards")
    (folder / "small.toml").write_text(small_pack.CARD.replace("ACCESS", "open"))
    return parse_card(folder / "small.toml")


HEADER = "id,patient,split,grade,image,image_sha256,mask_vessels,mask_vessels_sha256,mask_fov,mask_fov_sha256\n"


def test_a_manifest_of_a_million_rows_is_read(tmp_path, card):
    rows = (f"e{k},p{k // 2},train,1,images/{k}.jpg,,masks/{k}.png,,fov/{k}.png,\n" for k in range(1_000_000))
    (tmp_path / "large.csv").write_text(HEADER + "".join(rows))
    assert len(manifest.parse_manifest(tmp_path / "large.csv", card)) == 1_000_000


@pytest.mark.parametrize(
    "path",
    ["../x.jpg", "/etc/passwd", "a/../../x", "..\\x", "C:\\x", "C:x", "\\\\server\\x", "a\\..\\..\\x", "a/./../../x"],
)
def test_a_path_that_leaves_the_pack_is_refused(tmp_path, card, path):
    (tmp_path / "small.csv").write_text(HEADER + f"e,p,train,1,{path},,m.png,,f.png,\n")
    with pytest.raises(DataError, match="leaves the folder of the data set"):
        manifest.parse_manifest(tmp_path / "small.csv", card)


@QUICK
@given(st.lists(st.lists(st.text(max_size=12), max_size=11), max_size=4), st.binary(max_size=40))
def test_any_manifest_is_read_or_refused(tmp_path, card, rows, tail):
    text = HEADER + "\n".join(",".join(row) for row in rows)
    (tmp_path / "any.csv").write_bytes(text.encode("utf-8", "replace") + tail)
    try:
        found = manifest.parse_manifest(tmp_path / "any.csv", card)
    except DataError as error:
        assert "any.csv" in str(error)
    else:
        assert not any(".." in Path(path).parts or Path(path).is_absolute() for path in found["image"])


# ---- parameters -------------------------------------------------------------------------------------------------
@QUICK
@given(st.text(max_size=60), st.sampled_from([1, 0.5, True, "text", [1], {"a": 1}]))
def test_any_value_is_typed_or_refused(text, default):
    try:
        assert type(typed_like("value", text, default)) is type(default)
    except UsageError as error:
        assert "value" in str(error)


def test_a_number_too_large_for_a_computer_is_refused():
    with pytest.raises(UsageError, match=r"rate=.* must be a number"):
        typed_like("rate", "9" * 400, 0.5)


@pytest.mark.parametrize("damage", ["a name that is no text", "a name cut by zeros", "a place before the file"])
def test_an_archive_damaged_in_its_table_is_refused(tmp_path, damage):
    with zipfile.ZipFile(tmp_path / "good.zip", "w") as archive:
        archive.writestr("first.txt", "one")
    content = bytearray((tmp_path / "good.zip").read_bytes())
    table = content.index(b"PK\x01\x02")
    if damage == "a name that is no text":
        content[table + 9] |= 8  # says that the name is UTF-8
        content[table + 46 : table + 48] = b"\xa9\xa9"
    elif damage == "a name cut by zeros":
        content[table + 46 : table + 55] = bytes(9)
    else:
        content[table + 42 : table + 46] = b"\xff\xff\xff\xff"
    (tmp_path / "bad.zip").write_bytes(content)
    store = RunStore(tmp_path / "runs")
    for read in (lambda path: unpack(path, tmp_path / "out"), lambda path: import_runs(store, path)):
        with pytest.raises(DataError, match=r"bad\.zip"):
            read(tmp_path / "bad.zip")


CODE = ['__import__("os").system("touch harm")', '"; open("harm", "w"); "', "0\nopen('harm', 'w')", "$(touch harm)",
        "'''\nopen('harm', 'w')\n'''", "{{ 7 * 7 }}", "\\\nopen('harm','w')"]  # fmt: skip


@pytest.mark.parametrize("default", [1, 0.5, True, [1], {"a": 1}])
@pytest.mark.parametrize("value", CODE)
def test_code_in_a_value_is_no_number(value, default):
    with pytest.raises(UsageError, match="must be"):
        typed_like("steps", value, default)


def test_code_in_a_text_stays_text_in_the_notebook(tmp_path):
    source = tmp_path / "small.py"
    source.write_text('# %% tags=["parameters"]\ntexts = []\n\n# %%\nimport json\nprint(json.dumps(texts))\n')
    done = nb.execute_notebook(nb.build_notebook(source), tmp_path / "out.ipynb", {"texts": CODE}, cwd=tmp_path)
    printed = nb.nbformat.read(done.path, as_version=4).cells[-1].outputs[0].text
    assert nb.ast.literal_eval(printed) == CODE
    assert not (tmp_path / "harm").exists()


# ---- weights ---------------------------------------------------------------------------------------------------------
class Harm:
    """Something whose pickle runs a command when it is loaded."""

    def __reduce__(self):
        return (Path.touch, (Path("harm"),))


def weights_run(folder, content):
    """Return a run whose weights are these bytes, with the right checksum."""
    (folder / "weights.safetensors").write_bytes(content)
    return Run(folder, {"files": {"weights.safetensors": file_sha256(folder / "weights.safetensors")}})


def test_a_pickle_in_disguise_is_never_loaded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": Harm()}, tmp_path / "harm.pt")
    content = (tmp_path / "harm.pt").read_bytes()
    with pytest.raises(DataError, match="contains no readable weights"):
        weights_run(tmp_path, content).weights()
    (tmp_path / "checkpoint.safetensors").write_bytes(content)
    assert Checkpoint(tmp_path / "checkpoint.safetensors").restore(torch.nn.Linear(1, 1), None, [], []) == 0
    assert not (tmp_path / "harm").exists()


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    save_file({"model/other": torch.zeros(3), "losses": torch.zeros(1)}, path, {"validations": "[]", "best_score": "1"})
    network = torch.nn.Linear(1, 1)
    with pytest.raises(DataError, match=r"checkpoint\.safetensors is not a checkpoint of this run"):
        Checkpoint(path).restore(network, torch.optim.Adam(network.parameters()), [], [])


@QUICK
@given(st.binary(max_size=200))
def test_any_weights_are_read_or_refused(tmp_path, content):
    with pytest.raises(DataError):
        weights_run(tmp_path, content).weights()
    (tmp_path / "any.zip").write_bytes(content)
    with pytest.raises(KitError):
        import_runs(RunStore(tmp_path / "runs"), tmp_path / "any.zip")
