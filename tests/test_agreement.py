"""Agreement of annotators, on masks that can be counted by hand."""

import numpy as np
import pandas as pd
import pytest

from retina_kit.evaluation.agreement import annotator_agreement


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
