"""Generated images that are kept in files: the same bytes, whatever happens to the files."""

import multiprocessing
import os

import numpy as np
import pandas as pd
import pytest

from retina_kit.data.dataset import load_images
from retina_kit.data.synthetic import kept
from retina_kit.data.synthetic.fundus import generate_fundus
from retina_kit.data.synthetic.oct import generate_oct

SMALL = {"num_patients": 2, "size": (32, 48), "seed": 3}


def assert_same(one, two):
    assert one.name == two.name and list(one.masks) == list(two.masks)
    for a, b in [(one.images, two.images), *((one.masks[name], two.masks[name]) for name in one.masks)]:
        assert (
            a.dtype == b.dtype
            and a.flags.c_contiguous == b.flags.c_contiguous
            and a.flags.writeable == b.flags.writeable
        )
        np.testing.assert_array_equal(a, b)
    pd.testing.assert_frame_equal(one.rows, two.rows)


@pytest.mark.parametrize(("generate", "options"), [(generate_fundus, {}), (generate_oct, {"annotators": True})])
def test_kept_images_are_those_that_would_be_generated(tmp_path, generate, options):
    fresh = generate(**SMALL, **options)
    with kept.keep_images(tmp_path):
        assert_same(kept.generate_once(generate, SMALL | options), fresh)  # generated and written
        (file,) = tmp_path.glob("*.npz")
        written = file.stat().st_mtime_ns
        assert_same(kept.generate_once(generate, SMALL | options), fresh)  # read
        assert file.stat().st_mtime_ns == written
    assert kept.FOLDER not in os.environ


def test_images_are_read_and_not_generated_the_second_time(tmp_path):
    calls = []

    def generate(**options):
        calls.append(options)
        return generate_fundus(**options)

    with kept.keep_images(tmp_path):
        kept.generate_once(generate, SMALL)
        kept.generate_once(generate, SMALL)
        kept.generate_once(generate, SMALL | {"seed": 4})
    assert [options["seed"] for options in calls] == [3, 4]


def test_a_damaged_file_is_replaced(tmp_path):
    fresh = generate_fundus(**SMALL)
    with kept.keep_images(tmp_path):
        kept.generate_once(generate_fundus, SMALL)
        (file,) = tmp_path.glob("*.npz")
        whole = file.read_bytes()
        middle = len(whole) // 2
        for damaged in (b"", whole[:middle], whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :]):
            file.write_bytes(damaged)
            assert_same(kept.generate_once(generate_fundus, SMALL), fresh)
            assert file.read_bytes() == whole


def test_images_are_generated_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").touch()
    with kept.keep_images(tmp_path / "file"):  # not even the administrator can write below a file
        assert_same(kept.generate_once(generate_fundus, SMALL), generate_fundus(**SMALL))


def test_files_of_older_code_are_deleted_and_the_folder_stays_small(tmp_path, monkeypatch):
    (tmp_path / "generate_oct-0123456789abcdef-0123456789abcdef.npz").touch()
    with kept.keep_images(tmp_path):
        kept.generate_once(generate_fundus, SMALL)
        (file,) = tmp_path.glob("*.npz")
        assert file.name.startswith("generate_fundus-")
        monkeypatch.setattr(kept, "MOST_BYTES", file.stat().st_size)
        kept.generate_once(generate_fundus, SMALL | {"seed": 4})
    assert list(tmp_path.iterdir()) == [file]


def _load(folder):
    with kept.keep_images(folder):
        return load_images("synthetic_oct", "data", masks=["fluid"], **SMALL).fingerprint()


def test_processes_that_write_at_once_load_the_same(tmp_path):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        found = pool.map(_load, [tmp_path] * 4)
    assert set(found) == {load_images("synthetic_oct", "data", masks=["fluid"], **SMALL).fingerprint()}
    assert len(list(tmp_path.iterdir())) == 1
