"""The benchmark that runs profile `paper` at a fraction: its table of results, and the release that it writes."""

import numpy as np
import pandas as pd
from PIL import Image

from benchmarks import paper_profile
from benchmarks.paper_profile import keep_row, missing_files, write_hrf


def test_files_that_are_missing_or_empty_are_named(tmp_path):
    (tmp_path / "claims.csv").write_text("claim")
    (tmp_path / "results.json").touch()
    assert missing_files(tmp_path, ["claims.csv", "results.json", "tables/a.csv"]) == ["results.json", "tables/a.csv"]


def test_a_row_replaces_that_of_the_same_cell(tmp_path):
    path, row = tmp_path / "rows.csv", {"paper": "hu2018", "data": "public", "device": "CPU", "seconds": 9}
    for changed in ({}, {"data": "synthetic"}, {"seconds": 7}, {"device": "GPU"}):
        keep_row(row | changed, path)
    rows = pd.read_csv(path)
    assert list(zip(rows["device"], rows["data"], rows["seconds"], strict=True)) == [
        ("CPU", "public", 7),
        ("CPU", "synthetic", 9),
        ("GPU", "public", 9),
    ]


def test_hrf_is_written_as_its_release_names_it(tmp_path, monkeypatch):
    class SmallCard:
        size = (128, 192)

    monkeypatch.setattr(paper_profile, "read_card", lambda name: SmallCard)
    write_hrf(tmp_path)
    assert len(list((tmp_path / "images").iterdir())) == 45
    assert Image.open(tmp_path / "images/01_h.jpg").size == (192, 128)
    for path in ("manual1/01_h.tif", "mask/01_h_mask.tif"):
        assert set(np.unique(np.asarray(Image.open(tmp_path / path)))) == {0, 255}
