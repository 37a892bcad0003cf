"""Agreement of annotators, on masks that can be counted by hand."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from retina_kit.data.dataset import load_images
from retina_kit.data.manifest import has_pack
from retina_kit.evaluation.agreement import annotator_agreement

REAL = Path(__file__).resolve().parents[2] / "shared" / "data"


def test_two_annotators_and_an_image_that_both_leave_empty():
    one = np.array([[[1, 1, 0, 0]], [[1, 0, 0, 0]], [[0, 0, 0, 0]]], bool)
    two = np.array([[[1, 0, 0, 0]], [[1, 0, 0, 0]], [[0, 0, 0, 0]]], bool)
    rows = pd.DataFrame({"id": list("abc"), "patient": list("abc")})
    found = annotator_agreement({"one": one, "two": two}, rows).iloc[0]
    # pooled: 2 shared, 3 and 2 marked; image a: 2 / 3, image b: 1
    assert (found["first"], found["second"]) == ("one", "two")
    assert found["pooled Dice"] == pytest.approx(4 / 5)
    assert found["mean Dice"] == pytest.approx(5 / 6)
    assert found["images with fluid"] == 2 and found["images"] == 3


@pytest.mark.real_data
@pytest.mark.parametrize(("patients", "pooled"), [(["09", "10"], 0.653), (None, 0.689)])
def test_the_graders_of_the_oct_scans_agree_as_the_kept_results_tell(patients, pooled):
    if not has_pack("oct_dme_chiu2015", REAL):
        pytest.skip("oct_dme_chiu2015 is not in ../shared/data")
    found = load_images("oct_dme_chiu2015", REAL, masks=["grader1", "grader2"])
    chosen = found.rows["patient"].isin(patients or found.rows["patient"]).to_numpy()
    masks = {grader: found.masks[grader][chosen] for grader in ("grader1", "grader2")}
    assert annotator_agreement(masks, found.rows[chosen])["pooled Dice"].item() == pytest.approx(pooled, abs=5e-4)
