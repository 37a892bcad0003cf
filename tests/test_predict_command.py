"""`retina-kit predict`: weights alone in a folder, images of all kinds, bad files among them."""

import csv
import html
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_arm import small_arm, train
from test_cli import assert_refused, retina_kit

from retina_kit.errors import UsageError
from retina_kit.prediction.ensemble import runs_of_the_same_arm
from retina_kit.prediction.folder import output_names, overlay, parse_pixel_size, predict_files
from retina_kit.prediction.predictor import Predictor
from retina_kit.runs.store import RunStore

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 255, (40, 60)).astype(np.uint8)
SIZES = {"a.png": (40, 60), "b.jpg": (75, 50), "deep.tif": (33, 47), "inner/c.gif": (40, 60), "pages.tif": (32, 48)}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Return a store with two seeds of one arm, and another arm."""
    store = RunStore(tmp_path_factory.mktemp("out") / "runs")
    runs = train([small_arm("fluid"), small_arm("other", data={"scale": 0.5})], store, seeds=(0, 1))
    return store, {key: run.folder for key, run in runs.items()}


@pytest.fixture
def alone(store, tmp_path):
    """Return an empty folder with weights alone, and a folder of images of four sizes, four formats, six pages."""
    shutil.copy(store[1]["fluid", 0] / "weights.safetensors", tmp_path / "w.safetensors")
    (tmp_path / "eyes" / "inner").mkdir(parents=True)
    for name, (height, width) in SIZES.items():
        pixels = RNG.integers(0, 255, (height, width)).astype(np.uint8)
        first = Image.fromarray(pixels.astype(np.uint16) * 257 if name == "deep.tif" else pixels)
        more = {"save_all": True, "append_images": [Image.fromarray(pixels.T)]} if name == "pages.tif" else {}
        first.save(tmp_path / "eyes" / name, **more)
    return tmp_path


def table_of(folder):
    """Return the rows of predictions.csv."""
    with (folder / "predictions.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_weights_alone_predict_a_folder(alone):
    done = retina_kit("predict", "w.safetensors", "--images", "eyes", "--output", "found", "--json", cwd=alone)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["failures"] == {}
    rows = table_of(alone / "found")
    assert len(rows) == 6
    doubts = [float(row["mean_uncertainty"]) for row in rows]
    assert doubts == sorted(doubts, reverse=True)
    for row in rows:
        mask = np.asarray(Image.open(alone / "found" / row["mask"]))
        assert mask.shape == (int(row["height"]), int(row["width"]))
        assert set(np.unique(mask)) <= {0, 255}
        assert int(row["area_px"]) == (mask > 0).sum()
        assert row["area_mm2"] == ""
        assert Image.open(alone / "found" / row["overlay"]).size == mask.shape[::-1]
    found = {row["mask"]: (int(row["height"]), int(row["width"])) for row in rows}
    assert found["masks/inner/c.png"] == SIZES["inner/c.gif"]
    assert found["masks/pages.png"] == found["masks/pages_page2.png"][::-1] == (32, 48)
    deep = next(row for row in rows if row["file"].endswith("deep.tif"))
    assert deep["notes"] == "16 bits reduced to 8"
    assert not (alone / "found" / "probabilities").exists()


def test_the_contact_sheet_shows_every_image_with_an_alternative_text(alone):
    retina_kit("predict", "w.safetensors", "--images", "eyes", "--output", "found", cwd=alone)
    page = html.unescape((alone / "found" / "index.html").read_text())
    texts = re.findall(r'<img src="data:image/jpeg;base64,[^"]+" alt="([^"]+)"', page)
    assert len(texts) == 6
    assert all("predicted fluid outlined" in text for text in texts)
    rows = table_of(alone / "found")
    assert [text.split(" ")[0].rstrip(",") for text in texts] == [row["file"].split("/")[-1] for row in rows]
    assert "not for clinical use" in page
    assert 'src="http' not in page


def test_bad_files_are_named_and_the_others_done(alone):
    (alone / "eyes" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (alone / "eyes" / "cut.jpg").write_bytes((alone / "eyes" / "b.jpg").read_bytes()[:500])
    (alone / "eyes" / "._a.png").write_bytes(b"junk of another system")
    done = retina_kit("predict", "w.safetensors", "--images", "eyes", "--output", "found", cwd=alone)
    assert done.returncode == 3
    assert "6 images predicted" in done.stdout
    assert "not predicted: eyes/broken.png" in done.stdout
    assert "not predicted: eyes/cut.jpg" in done.stdout
    assert len(table_of(alone / "found")) == 6
    assert "eyes/broken.png" in (alone / "found" / "index.html").read_text()


def test_all_options_together(store, alone):
    shutil.copytree(store[0].folder, alone / "outputs" / "runs")
    key = store[1]["fluid", 1].name
    options = ["--probabilities", "--flip", "--ensemble", "--pixel-size", "10x5", "--threshold", "0.4", "--json"]
    done = retina_kit(
        "predict", key[:8], "--images", "eyes/a.png", "--output", "found", *options, "eyes/b.jpg", cwd=alone
    )
    assert done.returncode == 0, done.stdout
    result = json.loads(done.stdout)
    assert sorted(result["networks"]) == ["fluid (seed 0)", "fluid (seed 1)"]
    row = next(row for row in result["predictions"] if row["file"].endswith("a.png"))
    assert row["area_mm2"] == pytest.approx(row["area_px"] * 0.01 * 0.005)
    probability = np.asarray(Image.open(alone / "found" / "probabilities" / "a.tif"))
    assert probability.dtype == np.float32
    folders = [store[1]["fluid", seed] for seed in (1, 0)]
    expected = Predictor.load(*folders, flip=True, device="cpu")(alone / "eyes" / "a.png")
    np.testing.assert_allclose(probability, expected, atol=1e-6)
    assert row["area_px"] == (probability > 0.4).sum()


def test_the_runs_of_an_arm_are_its_seeds_only(store):
    folders = store[1]
    found = runs_of_the_same_arm(folders["fluid", 1])
    assert [path.parent for path in found] == [folders["fluid", 1], folders["fluid", 0]]


@pytest.mark.parametrize(
    ("arguments", "code", "parts"),
    [
        (["w.safetensors", "--images", "nowhere"], 3, ["nowhere does not exist"]),
        (["nothing.safetensors", "--images", "eyes"], 3, ["nothing.safetensors does not exist"]),
        (["0123456789abcdef", "--images", "eyes"], 2, ["neither a file nor a folder", "retina-kit store list"]),
        (["eyes", "--images", "eyes"], 3, ["eyes holds no weights.safetensors"]),
        (["w.safetensors", "--images", "eyes", "--threshold", "1.5"], 2, ["--threshold 1.5 must be between 0 and 1"]),
        (["w.safetensors", "--images", "eyes", "--pixel-size", "big"], 2, ["--pixel-size 'big' must be micrometers"]),
        (["w.safetensors", "--images", "eyes", "--device", "tpu9"], 2, ["tpu9"]),
    ],
)
def test_mistakes_are_one_message(alone, arguments, code, parts):
    done = retina_kit("predict", *arguments, "--output", "found", cwd=alone)
    assert_refused(done, code, *parts)
    assert not (alone / "found").exists()


def test_results_are_never_taken_for_images(alone):
    for _ in range(2):  # the second time the first results are below the images' folder
        done = retina_kit("predict", "w.safetensors", "--images", "eyes", "--output", "eyes/found", cwd=alone)
        assert "6 images predicted" in done.stdout


def test_a_folder_gives_what_single_images_give(store, alone):
    predictor = Predictor.load(alone / "w.safetensors", device="cpu")
    result = predict_files(predictor, [alone / "eyes"], alone / "found", probabilities=True)
    for page in result.pages:
        if page.page == 1 and page.file.endswith((".png", ".gif")):
            probability = np.asarray(
                Image.open(alone / "found" / page.mask.replace("masks", "probabilities").replace("png", "tif"))
            )
            np.testing.assert_allclose(probability, predictor(page.file), atol=1e-6)


def test_files_of_one_name_do_not_overwrite_each_other(tmp_path):
    files = [tmp_path / name for name in ("x/1.png", "y/1.png", "x/1.tif", "y/1.jpg")]
    names = output_names(files, files)
    assert len(set(names.values())) == 4
    assert names[files[0]] == "1"


def test_names_that_differ_in_case_only_are_one_file_on_many_systems(tmp_path):
    files = [tmp_path / name for name in ("x/A.png", "y/a.png")]
    assert list(output_names(files, [tmp_path / "x", tmp_path / "y"]).values()) == ["A", "a_png"]


def test_pages_and_files_of_one_name_do_not_overwrite_each_other(store, tmp_path):
    pages = [Image.fromarray(GRAY), Image.fromarray(GRAY.T)]
    (tmp_path / "eyes").mkdir()
    pages[0].save(tmp_path / "eyes" / "scan.tif", save_all=True, append_images=pages[1:])
    pages[0].save(tmp_path / "eyes" / "Scan_page2.png")
    predictor = Predictor.load(store[1]["fluid", 0], device="cpu")
    result = predict_files(predictor, [tmp_path / "eyes"], tmp_path / "found")
    found = {(Path(page.file).name, page.page): page.mask for page in result.pages}
    expected = {("scan.tif", 1): "scan", ("scan.tif", 2): "scan_page2_2", ("Scan_page2.png", 1): "Scan_page2"}
    assert found == {page: f"masks/{name}.png" for page, name in expected.items()}
    assert all((tmp_path / "found" / mask).is_file() for mask in found.values())


def test_an_overlay_tints_the_mask_and_leaves_the_rest():
    mask = np.zeros(GRAY.shape, bool)
    mask[10:20, 10:30] = True
    shown = overlay(GRAY, mask)
    outside = np.ones(GRAY.shape, bool)
    outside[8:22, 8:32] = False
    assert (shown[outside] == GRAY[outside][:, None]).all()
    assert (shown[15, 20] != GRAY[15, 20]).any()


@pytest.mark.parametrize("text", ["", "x", "0", "-3", "1x2x3", "nan", "1e9"])
def test_a_pixel_size_that_means_nothing_is_refused(text):
    with pytest.raises(UsageError, match="micrometers"):
        parse_pixel_size(text)
