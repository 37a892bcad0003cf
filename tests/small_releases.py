"""RETOUCH and AROI in small, written in the layouts that the importers read."""

import zlib

import cv2
import numpy as np

HEIGHT, WIDTH = 48, 40


def draw(number, classes, *, background=0):
    """Return one noisy B-scan and its classes: a bright band, and one blob of each of the class numbers."""
    random = np.random.default_rng(number)
    numbers = np.full((HEIGHT, WIDTH), background, np.uint8)
    image = random.integers(0, 40, (HEIGHT, WIDTH))
    image[20:36] += 120
    for place, value in enumerate(classes):
        center = (7 + 12 * place, int(random.integers(24, 32)))
        cv2.circle(numbers, center, 4, int(value), -1)
    image[numbers > 4 if background else numbers > 0] = 20
    return image.astype(np.uint8), numbers


def write_volume(path, volume, *, compressed=False, **changes):
    """Write a MetaImage, volume (z, y, x): header and voxels; a tag that is changed to None is left out."""
    content = volume.astype(volume.dtype.newbyteorder("<")).tobytes()
    voxels = path.with_suffix(".zraw" if compressed else ".raw")
    tags = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": str(compressed),
        "TransformMatrix": "1 0 0 0 1 0 0 0 1",
        "ElementSpacing": "0.0117 0.002 0.047",
        "DimSize": " ".join(map(str, volume.shape[::-1])),
        "ElementType": {"u1": "MET_UCHAR", "u2": "MET_USHORT"}[volume.dtype.str[1:]],
    } | changes
    tags["ElementDataFile"] = tags.pop("ElementDataFile", voxels.name)  # the last one
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{tag} = {value}\n" for tag, value in tags.items() if value is not None))
    voxels.write_bytes(zlib.compress(content) if compressed else content)


def write_retouch(folder, *, num_volumes=2, num_scans=24):
    """Write Cirrus training volumes, the second half without fluid, a test volume and one of another device."""
    drawn = [draw(k, (1, 2, 3) if k % num_scans < num_scans // 2 else ()) for k in range(num_volumes * num_scans)]
    for volume in range(num_volumes):
        images, classes = map(np.stack, zip(*drawn[volume * num_scans : (volume + 1) * num_scans], strict=True))
        place = folder / "RETOUCH-TrainingSet-Cirrus" / f"TRAIN{volume + 1:03d}"
        write_volume(place / "oct.mhd", images)
        write_volume(place / "reference.mhd", classes, compressed=volume == 1)
    write_volume(folder / "RETOUCH-TestSet-Cirrus/TEST001/oct.mhd", images)
    other = folder / "RETOUCH-TrainingSet-Spectralis/TRAIN025"
    write_volume(other / "oct.mhd", np.full((3, 20, 30), 40_000, np.uint16))
    write_volume(other / "reference.mhd", np.zeros((3, 20, 30), np.uint8))
    return drawn


def write_aroi(folder, *, num_patients=4, num_scans=6):
    """Write labeled B-scans of patients 1, 2, ..., and what lies beside them: raw/ALL, mask/color, inter_intra."""
    for patient in range(1, num_patients + 1):
        home = folder / "AROI - online/24 patient" / f"patient{patient}"
        for scan in range(num_scans):
            image, classes = draw(100 * patient + scan, (5, 6, 7), background=1)
            name = f"patient{patient}_raw{10 + 7 * scan:04d}.png"
            for part, pixels in (("raw/labeled", image), ("raw/ALL", image), ("mask/number", classes)):
                (home / part).mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(home / part / name), pixels)
    (folder / "AROI - online/inter_intra/intraobserver").mkdir(parents=True)
    cv2.imwrite(str(folder / "AROI - online/inter_intra/intraobserver/1.png"), classes)
