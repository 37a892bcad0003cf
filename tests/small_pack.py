"""A whole small data set on disk: original files, card and manifest, written for one test."""

import cv2
import numpy as np

from retina_kit.data import card as cards
from retina_kit.data import manifest
from retina_kit.data.pixels import pixel_sha256, read_image, read_mask
from retina_kit.packs.convert import Original, convert_original

SIZE = (24, 32)
BASE = f"https://raw.githubusercontent.com/someone/eyes/{'a1' * 20}"
CARD = f"""
title = "Three small eyes"
home = "https://example.org/eyes"
license = "CC BY 4.0"
access = "ACCESS"
redistribute = true
citation = "Somebody, Small eyes (2020)"
modality = "fundus"
channels = 3
size = [24, 32]
how_to_get = "ask at the home page"

[masks]
vessels = "vessels"
fov = "field of view"

[derived]
either = ["vessels", "fov"]

[labels]
grade = "a number"

[[sources]]
of = "image"
base = "{BASE}"
file = "all eyes/{{id}}.jpg"
convert = "keep"

[[sources]]
of = "mask_vessels"
base = "{BASE}"
file = "all eyes/{{id}}_vessels.png"
also = ["{{id}}.vessels.png"]
convert = "mask"

[[sources]]
of = "mask_fov"
base = "{BASE}"
file = "all eyes/{{id}}.jpg"
convert = "bright_field"
"""
IDS = ("eye_1", "eye_2", "eye_3")


def write_originals(folder):
    """Write three photographs with EXIF and their vessel masks below `folder`, as their home has them."""
    folder = folder / "all eyes"
    folder.mkdir(parents=True)
    random = np.random.default_rng(5)
    for number, name in enumerate(IDS):
        photograph = np.zeros((*SIZE, 3), np.uint8)
        cv2.circle(photograph, (16, 12), 10, (40, 90, 200), -1)
        photograph += random.integers(0, 20, photograph.shape, dtype=np.uint8)
        content = cv2.imencode(".jpg", photograph, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
        exif = b"Exif\0\0" + b"John Doe, 1 April 1950"
        (folder / f"{name}.jpg").write_bytes(
            content[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + content[2:]
        )
        mask = np.zeros(SIZE, np.uint8)
        mask[10, : number + 5] = 255
        assert cv2.imwrite(str(folder / f"{name}_vessels.png"), mask)


def write_manifest(folder, originals, name="small", access="open"):
    """Write card and manifest of the originals into `folder`, with the checksums of the real conversions."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.toml").write_text(CARD.replace("ACCESS", access))
    card = cards.parse_card(folder / f"{name}.toml")
    lines = ["id,patient,split,grade,image,image_sha256,mask_vessels,mask_vessels_sha256,mask_fov,mask_fov_sha256"]
    for number, eye in enumerate(IDS):
        photograph, vessels = (
            (originals / "all eyes" / f"{eye}{end}").read_bytes() for end in (".jpg", "_vessels.png")
        )
        field = convert_original("bright_field", Original(eye, photograph, size=SIZE))
        sums = [pixel_sha256(read_image(eye, 3, photograph))]
        sums += [pixel_sha256(read_mask(eye, card.size, mask).astype("uint8")) for mask in (vessels, field)]
        files = [f"images/{eye}.jpg,{sums[0]}", f"masks/{eye}.png,{sums[1]}", f"fov/{eye}.png,{sums[2]}"]
        lines.append(",".join([eye, f"p{number // 2}", "train" if number < 2 else "test", str(number), *files]))
    (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")


def use_cards(monkeypatch, folder):
    """Let the kit read cards and manifests from `folder` for one test."""
    for module in (cards, manifest):
        monkeypatch.setattr(module, "folder_of_cards", lambda: folder)
    manifest.forget_cards()


def forget_cards():
    """Forget the cards of a test."""
    manifest.forget_cards()
