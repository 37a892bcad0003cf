"""Evidence about arms that differ in more than their networks: images, folds, rows that are missing."""

import numpy as np
import pandas as pd
import pytest

from retina_kit.evaluation.claims import Claim, evaluate_claims
from retina_kit.evaluation.evidence import gather_evidence
from retina_kit.evaluation.noise import noise_of
from retina_kit.evaluation.paired import paired_difference
from retina_kit.evaluation.summary import summarize
from retina_kit.experiment import Experiment

NUM = 12  # patients, an image each
DIFFERENCE = {"a": 1.0, "b": -1.0}


def rows(arm, dice, seeds=(0, 1, 2), **columns):
    """Return scored rows of an arm, the same Dice in each seed."""
    table = pd.DataFrame({"arm": arm, "variant": "last", "id": range(len(dice)), "patient": range(len(dice))})
    return pd.concat([table.assign(dice=dice, **columns, seed=seed) for seed in seeds], ignore_index=True)


def evidence(*tables):
    """Return the evidence about arms a and b, or about those that there are."""
    scores = pd.concat(tables, ignore_index=True)
    return gather_evidence(scores, list(dict.fromkeys(scores["arm"])), "dice", pooled=False)


def judged(*tables, **claim):
    """Return the row of a claim about some arms."""
    claim = Claim("c", "", "control", pooled=False, **claim)
    return evaluate_claims([claim], pd.concat(tables, ignore_index=True), synthetic=False).iloc[0]


def test_images_of_different_sources_may_have_the_same_names():
    place = np.linspace(-0.1, 0.1, NUM)
    a, b = rows("a", 0.7 + place, source="eyes 1"), rows("b", 0.65 + place, source="eyes 2")
    found = evidence(a, b)
    assert not found.paired and "not the same images" in str(found)
    apart = evidence(a, b.assign(id=b["id"] + 100))
    assert found.combine(DIFFERENCE) == apart.combine(DIFFERENCE)
    assert evidence(a, b.assign(source="eyes 1")).combine(DIFFERENCE).low > 0  # paired: the same everywhere
    a.loc[a["id"] == 0, "dice"] = np.nan  # an image of the other source stays
    assert evidence(a, b).score("b") == pytest.approx(0.65)


def test_each_way_of_dividing_patients_into_folds_adds_its_noise():
    place, rng = np.arange(NUM), np.random.default_rng(0)
    dice = {arm: 0.7 + 0.05 * rng.normal(size=NUM) for arm in "ab"}
    a, b = (rows(arm, dice[arm]).assign(fold=np.tile(place % k, 3)) for arm, k in (("a", 4), ("b", 3)))
    found = evidence(a, b)
    noise, difference = found.noise(DIFFERENCE), dice["a"] - dice["b"]
    shares = np.repeat((difference - difference.mean())[:, None] / NUM, 3, axis=1)
    by_hand = noise_of(shares, np.full(3, difference.mean()), [place % 4, place % 3])
    assert [number for _, number in noise.folds] == [4, 3]
    assert noise.half_width() == pytest.approx(by_hand.half_width())
    assert str(found).endswith("12 patients, 3 seeds, 4 and 3 folds") and not found.note
    assert len(evidence(a, b.assign(fold=a["fold"])).folds) == 1  # the same way


def test_the_folds_of_one_arm_count_if_the_other_has_none():
    place, rng = np.arange(NUM), np.random.default_rng(1)
    a = rows("a", 0.7 + 0.05 * rng.normal(size=NUM)).assign(fold=np.tile(place % 4, 3))
    b = rows("b", 0.7 + 0.05 * rng.normal(size=NUM)).assign(fold=-1)
    elsewhere = b.assign(id=b["id"] + 100)
    for other in (b, elsewhere):
        found = evidence(a, other)
        assert [number for _, number in found.noise(DIFFERENCE).folds] == [4] and "4 folds" in str(found)
    # on other images, only a's own patients are in folds
    alone = gather_evidence(a, ["a"], "dice", pooled=False).noise({"a": 1.0})
    assert evidence(a, elsewhere).noise(DIFFERENCE).folds[0][0] == pytest.approx(alone.folds[0][0])


def test_folds_that_share_patients_do_not_hide_those_of_another_arm():
    place = np.arange(NUM)
    a = rows("a", np.linspace(0.6, 0.8, NUM)).assign(fold=np.tile(place % 4, 3))
    b = rows("b", np.full(NUM, 0.5), patient=place // 2).assign(fold=np.tile(place % 2, 3))
    found = evidence(a.assign(patient=np.tile(place // 2, 3), fold=np.tile(place // 2 % 3, 3)), b)
    assert [number for _, number in found.noise(DIFFERENCE).folds] == [3]
    assert found.note == "some folds share patients: the interval does not include their noise"


def test_an_image_without_a_row_is_left_out_as_one_without_a_score():
    hard = np.where(np.arange(NUM) < 4, 0.2, 0.8)
    a, b = rows("a", hard), rows("b", hard)
    missing = (a["id"] < 4) & (a["seed"] == 0)
    unscored = a.assign(dice=a["dice"].mask(missing))
    for part in (a[~missing], unscored):
        found = evidence(part, b)
        assert found.combine(DIFFERENCE).value == pytest.approx(0) and found.paired
        assert found.note == "4 images without a score in one of the two left out in some seeds"
    assert paired_difference(b, a[~missing]).estimate == pytest.approx(0)
    assert summarize(unscored, ["dice"], pooled=False)["note"].tolist() == [
        "4 images without a score left out in some seeds"
    ]


def test_why_there_is_no_verdict_is_true():
    good, silent = rows("a", np.full(NUM, 0.5)), rows("b", np.full(NUM, np.nan))
    assert judged(good, silent, test="greater", arms=["a", "b"])["sentence"].endswith("; no score in b")
    halves = [good.assign(arm=arm, dice=good["dice"].where(good["id"] % 2 == k)) for k, arm in enumerate("ab")]
    assert judged(*halves, test="greater", arms=["a", "b"])["sentence"].endswith("; no image with a score in every arm")
    in_two = pd.concat([silent.iloc[:NUM], good.iloc[NUM:].assign(arm="b")])
    row = judged(good, in_two, test="greater", arms=["a", "b"])
    assert row["sentence"].endswith("; 2 seeds, 1 more without a score: at least 3 needed")
    row = judged(good, test="above_value", value=0.4, arms=["a"], variant="best")
    assert (row["verdict"], row["sentence"]) == ("not tested", "no 'best' score of a")


def test_the_sentence_names_the_difference_that_decided():
    place = np.linspace(-1, 1, NUM)
    wave = 0.01 * np.sin(np.arange(NUM))
    rising = [rows(arm, level + k * wave) for k, (arm, level) in enumerate({"x": 0.3, "y": 0.8, "z": 0.7}.items())]
    row = judged(*rising, test="rises_with", arms=["x", "y", "z"])
    assert row["verdict"] == "not supported" and row["estimate"] > 0
    assert row["sentence"].rsplit("; ")[-1].startswith("decided by z minus y: -0.100 (95 % interval -0.1")
    pairs = [rows("t1", 0.5 + 0.3 * place), rows("s1", np.full(NUM, 0.55)), rows("t2", 0.58 + 0.01 * place)]
    row = judged(*pairs, rows("s2", np.full(NUM, 0.6)), test="all_greater", arms=[["t1", "s1"], ["t2", "s2"]])
    assert row["verdict"] == "not supported" and "decided by t2 minus s2: -0.020" in row["sentence"]
    clear = judged(*rising[1:], test="rises_with", arms=["y", "z"])
    assert clear["verdict"] == "not supported" and "decided by" not in clear["sentence"]
    assert clear["p_value"] == judged(*rising[1:], test="greater", arms=["z", "y"])["p_value"]


@pytest.mark.parametrize("shift", [-0.0095, -0.008, -0.0075, 0.0])
def test_a_pair_within_the_margin_speaks_against_a_conjunction(shift):
    wave = 0.01 * np.sin(3 * np.arange(NUM))
    pairs = [rows("t1", 0.8 + wave), rows("s1", np.full(NUM, 0.5)), rows("t2", 0.6 + shift + wave - wave.mean())]
    arms = [["t1", "s1"], ["t2", "s2"]]
    row = judged(*pairs, rows("s2", np.full(NUM, 0.6)), test="all_greater", arms=arms, margin=0.02)
    assert row["verdict"] == "not supported"


def test_scores_of_an_experiment_name_their_source(trained):
    experiment = Experiment("melinscak2020", "smoke", output_root=trained / "outputs")
    sources = experiment.scores.groupby("arm")["source"].unique().map(list)
    assert sources["source_on_itself"] == ["synthetic_oct 101"]
    assert sources["source_on_target"] == sources["scratch_tiny"] == ["synthetic_oct 202"]
    found = gather_evidence(experiment.scores, ["source_on_itself", "source_on_target"], "dice", pooled=False)
    assert not found.paired
