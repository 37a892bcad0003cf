"""Keeps generated images in files, so that the processes of a session generate each set once.

A file's name holds a hash of the code that generates, of the versions of NumPy and OpenCV and of the options, so
whatever would change a pixel leads to another file. Only a session keeps images: it names the folder in the environment
variable RETINA_KIT_SYNTHETIC, which its workers and kernels inherit. Without it, images are generated each time.
"""

import contextlib
import functools
import hashlib
import json
import os
import platform
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from retina_kit.data.collection import ImageSet
from retina_kit.errors import SetupError
from retina_kit.files import atomic_path, remove_remains

FOLDER = "RETINA_KIT_SYNTHETIC"
MOST_BYTES = 500_000_000  # of all files of a folder; a set that does not fit is not kept


@contextlib.contextmanager
def keep_images(folder: str | Path) -> Iterator[None]:
    """Keep the images that this process and those that it starts generate meanwhile in a folder."""
    before = os.environ.get(FOLDER)
    os.environ[FOLDER] = str(Path(folder).resolve())
    try:
        yield
    finally:
        if before is None:
            del os.environ[FOLDER]
        else:
            os.environ[FOLDER] = before


def generate_once(generate: Callable[..., ImageSet], options: Mapping[str, Any]) -> ImageSet:
    """Load the images that `generate` would give for these options, or generate and keep them.

    A file that is missing or damaged is written again; in a folder that cannot be written to nothing is kept.
    """
    folder = os.environ.get(FOLDER)
    if not folder:
        return generate(**options)
    path = Path(folder) / f"{generate.__name__}-{_code()}-{_hash(json.dumps(options, sort_keys=True))}.npz"
    with contextlib.suppress(OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
        return _read(path)
    image_set = generate(**options)
    with contextlib.suppress(OSError, SetupError):  # read-only or full: the images are here all the same
        _write(image_set, path)
    return image_set


@functools.cache
def _code() -> str:
    """Hash the code that generates images, with the versions of its libraries."""
    sources = [path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.glob("*.py"))]
    return _hash("\n".join([np.__version__, cv2.__version__, platform.machine(), *sources]))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _read(path: Path) -> ImageSet:
    """Read an ImageSet; NumPy checks every array against its checksum."""
    with np.load(path, allow_pickle=False) as arrays:
        facts = json.loads(str(arrays["facts"]))
        images = arrays["images"]
        count, _, height, width = images.shape
        shape, num_pixels = (count, height, width), count * height * width
        masks = {
            name: np.unpackbits(arrays[f"mask_{name}"], count=num_pixels).view(bool).reshape(shape)
            for name in facts["masks"]
        }
        rows = pd.DataFrame({name: arrays[f"row_{name}"] for name in facts["columns"]}).astype(facts["columns"])
    return ImageSet(images, masks, rows, facts["name"])


def _write(image_set: ImageSet, path: Path) -> None:
    """Write an ImageSet if it fits, and delete what older code has generated."""
    rows = image_set.rows
    facts = {
        "name": image_set.name,
        "masks": list(image_set.masks),
        "columns": {name: str(kind) for name, kind in rows.dtypes.items()},
    }
    arrays: dict[str, Any] = {"facts": np.array(json.dumps(facts)), "images": image_set.images}
    arrays |= {f"mask_{name}": np.packbits(mask) for name, mask in image_set.masks.items()}
    for name in rows:
        values = rows[name].to_numpy()
        arrays[f"row_{name}"] = values.astype(str) if values.dtype == object else values
    remove_remains(path)
    for other in path.parent.glob("*.npz"):
        if f"-{_code()}-" not in other.name:
            other.unlink(missing_ok=True)
    num_bytes = sum(array.nbytes for array in arrays.values())
    if num_bytes + sum(other.stat().st_size for other in path.parent.glob("*.npz")) <= MOST_BYTES:
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)
