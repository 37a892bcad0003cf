"""Each check of published values by hand: what it finds, what it says, how sure it is, and on what it stays quiet."""

import dataclasses
import warnings

import pytest
from small_published import PAPER, number, split_of, table_of

from retina_kit.papers.anomalies import (
    gain_anomalies,
    prevalence_anomalies,
    range_anomalies,
    row_anomalies,
    split_anomalies,
    spread_anomalies,
)
from retina_kit.papers.audit import find_anomalies
from retina_kit.papers.published import published_of


def test_a_row_of_one_confusion_matrix_is_quiet():
    # tp 60, fp 20, fn 40, tn 880
    values = {"dice": "66.67", "iou": "50.00", "recall": "60.0", "precision": "75", "specificity": "97.78",
              "accuracy": "94"}  # fmt: skip
    assert find_anomalies(table_of(values)).empty


@pytest.mark.parametrize(
    ("values", "check"),
    [
        ({"iou": "50", "dice": "70"}, "dice_iou"),
        ({"precision": "80", "recall": "60", "f1": "70"}, "f1"),
        ({"iou": "50", "recall": "45"}, "overlap"),
        ({"dice": "80", "precision": "60"}, "overlap"),
        ({"accuracy": "98.1", "sensitivity": "88.12", "specificity": "96.1"}, "accuracy"),
        ({"accuracy": "90", "sensitivity": "80", "specificity": "92", "precision": "99"}, "one_matrix"),
        ({"accuracy": "50.0", "recall": "90.0", "precision": "90.0"}, "one_matrix"),  # a prevalence of 2.5
        ({"accuracy": "50.0", "recall": "90.0", "dice": "90.0"}, "one_matrix"),
        ({"dice": "101.5"}, "range"),
    ],
)
def test_each_check_finds_its_slip(values, check):
    assert find_anomalies(table_of(values))["check"].tolist() == [check]


def test_rounding_is_no_slip_and_a_cut_digit_is_only_likely():
    # IoU 33.34 to 33.345 gives Dice 50.01 to 50.013: 50.0 is its rounding, 50.1 is not.
    assert find_anomalies(table_of({"iou": "33.34", "dice": "50.0"})).empty
    assert find_anomalies(table_of({"iou": "33.34", "dice": "50.1"}))["sure"].tolist() == ["likely"]
    assert find_anomalies(table_of({"iou": "33.34", "dice": "51.0"}))["sure"].tolist() == ["certain"]


def test_means_over_images_may_have_a_lower_dice_but_not_a_higher_one():
    def averaged(dice):
        published = table_of({"iou": "50", "dice": dice})
        published.numbers["averaged"] = True
        return find_anomalies(published)["check"].tolist()

    assert averaged("60") == [] and averaged("70") == ["dice_iou"] and averaged("45") == ["dice_iou"]


def test_prevalences_of_one_set_must_agree():
    # accuracy = p x sensitivity + (1 - p) x specificity: p = 0.5, then p = 0.25
    one = {"accuracy": "85.0", "sensitivity": "80.0", "specificity": "90.0"}
    other = {"accuracy": "87.5", "sensitivity": "80.0", "specificity": "90.0"}
    assert find_anomalies(table_of(one, one)).empty
    found = find_anomalies(table_of(one, other))
    assert found["check"].tolist() == ["prevalence"]
    assert "row 0 49.0-51.0, row 1 24.0-26.0" in found["arithmetic"][0]


def test_a_spread_is_bounded_by_the_mean():
    def check(value, spread, n, kind):
        return find_anomalies(table_of(number=[number("a", value, spread, n, kind)]))["check"].tolist()

    assert check("0.5", "0.51", 100, "SD") == ["spread"]  # at most 0.5025
    assert check("0.5", "0.50", 100, "SD") == []
    assert check("0.90", "0.10", 10, "SEM") == []
    assert check("0.90", "0.11", 10, "SEM") == ["spread"]  # at most 0.1


def test_a_standard_error_that_is_too_large_may_be_a_standard_deviation():
    fixes = []
    for known, spread in (({"n": 10}, "0.30"), ({}, "0.35")):  # n unknown counts as 2: at most sqrt(0.9 x 0.1) = 0.3
        entry = number("a", "0.90", spread, 0, "SEM") | known
        found = find_anomalies(table_of(number=[entry if known else {k: v for k, v in entry.items() if k != "n"}]))
        fixes.append(found["fix"].tolist())
    assert fixes == [["it fits as a standard deviation; the SEM would be 0.0949"], [""]]


def test_rows_that_disagree_about_a_set_are_named_by_the_first():
    values = [{"accuracy": accuracy, "sensitivity": "80.0", "specificity": "90.0"} for accuracy in ("85.0", "87.5")]
    confusion = [
        {
            "item": "table1",
            "row": f"row {k}",
            "values": row,
            "unit": "percent",
            "evaluation": "test",
            "where": f"Table {k}",
        }
        for k, row in enumerate(values)
    ]
    evaluation = [{"id": "test", "what": "test images"}]
    found = find_anomalies(published_of({"paper": PAPER, "evaluation": evaluation, "confusion": confusion}))
    assert found["where"].tolist() == ["Table 0: test images"]


def test_a_split_after_augmentation_leaves_odd_parts():
    assert find_anomalies(split_of([90, 30], [40], 3)).empty
    assert find_anomalies(split_of([91, 29], [40], 3))["check"].tolist() == ["split"]
    assert find_anomalies(split_of([91, 29], [40]))["sure"].tolist() == ["likely"]
    assert find_anomalies(split_of([91, 20], [40], 3))["check"].tolist() == ["sum"]
    assert find_anomalies(split_of([1000, 224], [1224])).empty


def test_a_gain_is_compared_with_its_noise():
    numbers = [number("tuned", "0.88", "0.1", 92), number("scratch", "0.84", "0.2", 92)]
    pair = [["figure1/tuned/dice", "figure1/scratch/dice"]]
    claim = [{"id": "c", "statement": "s", "test": "greater", "where": "w", "pairs": pair}]
    found = find_anomalies(table_of(number=numbers, claim=claim))
    assert found["check"].tolist() == ["gain"] and "unpaired z = 1.72" in found["arithmetic"][0]
    numbers[1] = number("scratch", "0.80", "0.2", 92)
    assert find_anomalies(table_of(number=numbers, claim=claim)).empty


def test_an_honest_standard_error_is_turned_into_a_deviation():
    numbers = [number("a", "0.80", "0.01", 100, "SEM"), number("b", "0.78", "0.01", 100, "SEM")]
    claim = [{"id": "c", "statement": "s", "test": "greater", "where": "w",
              "pairs": [["figure1/a/dice", "figure1/b/dice"]]}]  # fmt: skip
    assert "SD 0.1 and 0.1" in find_anomalies(table_of(number=numbers, claim=claim))["arithmetic"][0]


# ---- What is found, word by word --------------------------------------------------------------------------------


def plain(row, value, *, unit="fraction", metric="dice", **further):
    """Return one printed value without a spread."""
    found = {"item": "figure1", "row": row, "metric": metric, "value": value, "unit": unit, "where": "Figure 1"}
    return found | further


def only(anomalies):
    """Return the only anomaly."""
    (found,) = anomalies
    return found


@pytest.mark.parametrize("value", ["1.01", "1.004", "2", "-0.01", "-1"])
def test_a_score_above_1_or_below_0_is_out_of_range(value):
    found = only(range_anomalies(table_of(number=[plain("a", value)])))
    assert (found.check, found.where, found.sure) == ("range", "Figure 1, row a", "certain")
    assert (found.arithmetic, found.fix) == (f"dice {float(value):g} is not between 0 and 1", "")


def test_what_may_be_a_rounded_score_or_is_none_is_in_range():
    numbers = [
        plain("one", "1.0"), plain("half", "0.5"), plain("none", "0.00"),
        plain("a loss", "1.7", metric="loss"),
        plain("an error", "206.15", metric="mse", unit="pixels2"),
    ]  # fmt: skip
    curve = {"item": "figure2", "row": "a", "metric": "dice", "unit": "fraction", "every": 10, "values": [1.2]}
    curves = [{**curve, "accuracy": 0.01, "where": "Figure 2"}]
    assert list(range_anomalies(table_of(number=numbers, curve=curves))) == []
    found = only(range_anomalies(table_of(number=[*numbers, plain("bad", "1.5")], curve=curves)))
    assert found.where == "Figure 1, row bad"


@pytest.mark.parametrize(
    ("entry", "arithmetic", "fix"),
    [
        (number("a", "0.5", "0.51", 100),
         "SD 0.51 at mean 0.5, n = 100: at most sqrt(m (1 - m) n / (n - 1)) = 0.5025 with m = 0.5", ""),
        (number("a", "0.90", "0.11", 10, "SEM"),
         "SEM 0.11 at mean 0.9, n = 10: at most sqrt(m (1 - m) / (n - 1)) = 0.1022 with m = 0.895",
         "it fits as a standard deviation; the SEM would be 0.0348"),
        ({k: v for k, v in number("a", "0.90", "0.45", 0).items() if k != "n"},
         "SD 0.45 at mean 0.9, any n: at most sqrt(m (1 - m) n / (n - 1)) = 0.4335 with m = 0.895", ""),
        ({k: v for k, v in number("a", "0.90", "0.35", 0, "SEM").items() if k != "n"},
         "SEM 0.35 at mean 0.9, any n: at most sqrt(m (1 - m) / (n - 1)) = 0.3066 with m = 0.895", ""),
    ],
)  # fmt: skip
def test_a_spread_is_reported_with_its_bound(entry, arithmetic, fix):
    found = only(spread_anomalies(table_of(number=[plain("quiet", "0.5"), entry])))
    assert (found.where, found.arithmetic, found.fix, found.sure) == ("Figure 1, row a", arithmetic, fix, "certain")


def test_spreads_of_what_is_no_score_have_no_bound():
    distance = number("a", "20.1", "15.2", 10) | {"metric": "mse", "unit": "pixels2"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no root of a negative number on the way
        assert list(spread_anomalies(table_of(number=[distance]))) == []


@pytest.mark.parametrize(
    ("values", "arithmetic", "fix"),
    [
        ({"iou": "50", "dice": "70"},
         "IoU 50.00 needs Dice 2 IoU / (1 + IoU) = 66.67; published 70.00",
         "no column swap fixes it; off by +3.33 points"),
        ({"iou": "50", "dice": "90", "recall": "66.67", "precision": "66.67"},
         "IoU 50.00 needs Dice 2 IoU / (1 + IoU) = 66.67; published 90.00",
         "swap the columns Dice and Sensitivity, or Dice and Precision"),
        ({"dice": "50", "iou": "66.67"},
         "IoU 66.67 needs Dice 2 IoU / (1 + IoU) = 80.00; published 50.00", "swap the columns Dice and IoU"),
        ({"precision": "80", "recall": "60", "f1": "70"},
         "precision 80.00, recall 60.00: 2 P R / (P + R) = 68.57; published 70.00", ""),
        ({"iou": "50", "recall": "45"}, "IoU 50.00 is never above Sensitivity, published 45.00", ""),
        ({"dice": "80", "precision": "60"}, "IoU 66.67 is never above Precision, published 60.00", ""),
        ({"iou": "50", "recall": "45", "precision": "40"}, "IoU 50.00 is never above Precision, published 40.00", ""),
        ({"accuracy": "98.1", "sensitivity": "88.12", "specificity": "96.1"},
         "accuracy 98.10 is outside [88.12, 96.10] of sensitivity and specificity, whose weighted mean it is", ""),
        ({"accuracy": "90", "sensitivity": "80", "specificity": "92", "precision": "99"},
         "Accuracy 90.00, Sensitivity 80.00, Specificity 92.00, Precision 99.00: no prevalence fits all of them", ""),
    ],
)  # fmt: skip
def test_a_row_is_reported_with_its_arithmetic(values, arithmetic, fix):
    published = table_of({"dice": "50.0"}, values, printed_names={"recall": "Sensitivity"})
    found = only(row_anomalies(published))
    assert (found.where, found.arithmetic, found.fix) == ("Table 1, row row 1", arithmetic, fix)


def test_a_row_is_reported_once_but_its_accuracy_has_bounds_of_its_own():
    broken = {"iou": "50", "dice": "70", "recall": "45"}
    assert [found.check for found in row_anomalies(table_of(broken))] == ["dice_iou"]
    both = {"iou": "50", "dice": "70", "accuracy": "98.1", "sensitivity": "88.12", "specificity": "96.1"}
    assert [found.check for found in row_anomalies(table_of(both))] == ["dice_iou", "accuracy"]


@pytest.mark.parametrize(
    ("dice", "sure"), [("50.01", []), ("50.02", ["likely"]), ("50.03", ["certain"]), ("49.99", ["likely"])]
)
def test_certain_is_what_a_cut_digit_does_not_explain(dice, sure):
    # IoU 33.34 +- 0.005 gives Dice 50.0019 to 50.0131, +- 0.01 gives 49.9963 to 50.0187.
    assert [found.sure for found in row_anomalies(table_of({"iou": "33.34", "dice": dice}))] == sure


@pytest.mark.parametrize(("accuracy", "sure"), [("84.9", None), ("84.7", "likely"), ("84.5", "certain")])
def test_prevalences_that_differ_are_certain_beyond_a_cut_digit(accuracy, sure):
    # Prevalences 0.50, and 0.51, 0.53 or 0.55; rounding leaves about a point open, a cut digit two.
    rows = [{"accuracy": value, "sensitivity": "80.0", "specificity": "90.0"} for value in ("85.0", accuracy)]
    found = list(prevalence_anomalies(table_of(*rows)))
    assert [anomaly.sure for anomaly in found] == ([sure] if sure else [])
    assert list(prevalence_anomalies(table_of())) == []


def test_prevalences_are_reported_in_percent():
    rows = [{"accuracy": value, "sensitivity": "80.0", "specificity": "90.0"} for value in ("85.0", "87.5")]
    found = only(prevalence_anomalies(table_of(*rows)))
    implied = "row 0 49.0-51.0, row 1 24.0-26.0"
    assert found.arithmetic == f"percent positive that each row implies: {implied}; no value fits all"
    assert (found.where, found.sure) == ("Table 1: test images", "certain")


def test_counts_that_do_not_add_up_are_a_question():
    found = only(split_anomalies(split_of([91, 20], [40], 3)))
    assert (found.check, found.where, found.sure) == ("sum", "text: all", "possible")
    assert found.arithmetic == "91 + 20 = 111, but 3 x 40 = 120"


@pytest.mark.parametrize(("copies", "sure"), [(3, "certain"), (None, "likely")])
def test_parts_of_copies_are_reported_with_their_remainders(copies, sure):
    found = only(split_anomalies(split_of([910, 290], [300, 100], copies)))
    assert found.arithmetic == (
        "910 + 290 = 1,200 = 3 x 400, yet 910 mod 3 = 1, 290 mod 3 = 2: copies of one image are on both sides"
    )
    assert (found.check, found.sure) == ("split", sure)
    assert found.fix == "split the 400 images first, then make 3 of each"


def test_two_copies_are_copies_and_what_does_not_divide_says_nothing():
    assert only(split_anomalies(split_of([41, 39], [40]))).check == "split"
    for parts, sources in (([25, 15], [40]), ([91, 30], [40]), ([20, 10], [40]), ([5], [0]), ([0], [0])):
        assert list(split_anomalies(split_of(parts, sources))) == []


def claim_of(*pairs):
    """Return a claim about pairs of rows of Figure 1."""
    ids = [[f"figure1/{row}/dice" for row in pair] for pair in pairs]
    return [{"id": "c", "statement": "s", "test": "greater", "where": "w", "pairs": ids}]


def test_a_gain_within_chance_is_reported_with_what_a_paired_test_needs():
    numbers = [number("tuned", "0.88", "0.1", 92), number("scratch", "0.84", "0.2", 92)]
    found = only(gain_anomalies(table_of(number=numbers, claim=claim_of(("tuned", "scratch")))))
    # 0.04 / sqrt((0.01 + 0.04) / 92); (0.01 + 0.04 - 92 (0.04 / 1.96)^2) / (2 x 0.1 x 0.2)
    assert found.arithmetic == (
        "0.88 - 0.84 = +0.040, SD 0.1 and 0.2, n = 92: unpaired z = 1.72; "
        "a paired test needs scores that correlate above 0.29"
    )
    assert (found.where, found.sure) == ("Figure 1, tuned against scratch", "possible")
    assert found.fix == "run a paired test over the images"


@pytest.mark.parametrize(
    ("better", "baseline"),
    [
        (number("a", "0.80", "0.1", 92), number("b", "0.84", "0.1", 92)),  # a loss
        (number("a", "0.80", "0.1", 92), number("b", "0.80", "0.1", 92)),  # nothing
        (number("a", "0.81", "0.1", 4), number("b", "0.80", "0.4", 4)),  # a correlation of 2.1 would be needed
        (number("a", "0.81", "0.1", 4), number("b", "0.80", "0.2", 4)),  # a correlation of 1.2 would be needed
    ],
)
def test_no_paired_test_is_suggested_where_it_cannot_help(better, baseline):
    found = only(gain_anomalies(table_of(number=[better, baseline], claim=claim_of(("a", "b")))))
    assert "unpaired z" in found.arithmetic and "paired test needs" not in found.arithmetic


def test_the_smaller_number_of_images_decides_the_correlation():
    numbers = [number("a", "0.88", "0.1", 200), number("b", "0.84", "0.2", 92)]
    found = only(gain_anomalies(table_of(number=numbers, claim=claim_of(("a", "b")))))
    assert "n = 200" in found.arithmetic and found.arithmetic.endswith("above 0.29")


def test_pairs_without_a_spread_or_a_number_of_images_are_passed_over():
    numbers = [
        number("a", "0.88", "0.1", 92), number("b", "0.84", "0.2", 92), plain("no spread", "0.84", n=92),
        {k: v for k, v in number("no n", "0.84", "0.2", 0).items() if k != "n"},
    ]  # fmt: skip
    claim = claim_of(("a", "no spread"), ("a", "no n"), ("a", "b"))
    assert only(gain_anomalies(table_of(number=numbers, claim=claim))).where == "Figure 1, a against b"


def test_a_standard_error_too_large_to_be_one_is_taken_as_a_deviation():
    numbers = [number("a", "0.90", "0.35", 100, "SEM"), number("b", "0.88", "0.01", 100, "SEM")]
    found = only(gain_anomalies(table_of(number=numbers, claim=claim_of(("a", "b")))))
    assert "SD 0.35 and 0.1," in found.arithmetic


def test_a_paper_without_rows_has_no_anomalies_in_them():
    published = table_of(number=[plain("a", "0.5")])
    assert list(row_anomalies(published)) == list(prevalence_anomalies(published)) == []


def test_an_anomaly_cannot_be_changed():
    found = only(row_anomalies(table_of({"iou": "50", "dice": "70"})))
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.sure = "likely"


def test_what_has_no_maximum_is_no_impossible_score():
    compactness = number("ours", "1.62", "0.9", 20) | {"metric": "compactness"}
    loss = number("theirs", "0.3", "0.6", 20) | {"metric": "loss"}
    assert find_anomalies(published_of({"paper": PAPER, "number": [compactness, loss]})).empty
    assert len(find_anomalies(published_of({"paper": PAPER, "number": [number("ours", "0.3", "0.6", 20)]}))) == 1


def in_pixels(row, value, spread, n):
    """Return a mean distance, of which the smaller is the better."""
    return {**number(row, value, spread, n), "metric": "distance", "unit": "pixels"}


def test_a_smaller_distance_is_a_gain_and_a_larger_one_is_none():
    claim = [
        {
            "id": "c",
            "statement": "s",
            "test": "greater",
            "where": "w",
            "pairs": [["figure1/a/distance", "figure1/b/distance"]],
        }
    ]
    numbers = [in_pixels("a", "10", "1", 20), in_pixels("b", "20", "1", 20)]
    assert list(gain_anomalies(table_of(number=numbers, claim=claim))) == []
    numbers = [in_pixels("a", "20", "1", 20), in_pixels("b", "10", "1", 20)]
    found = only(gain_anomalies(table_of(number=numbers, claim=claim)))
    # (10 - 20) / sqrt(1 / 20 + 1 / 20)
    assert found.arithmetic == "10 - 20 = -10.000, SD 1 and 1, n = 20: unpaired z = -31.62"


@pytest.mark.parametrize("spreads", [("0", "0"), ("0", "0.1"), ("0.1", "0")])
def test_a_published_spread_of_zero_tests_nothing(spreads):
    numbers = [number(row, "0.88", spread, 92) for row, spread in zip("ab", spreads, strict=True)]
    assert list(gain_anomalies(table_of(number=numbers, claim=claim_of(("a", "b"))))) == []


def test_a_deviation_is_suggested_only_if_it_fits():
    """Scores with mean 0.5 have an SD of at most sqrt(0.25 x 18 / 17) = 0.514."""
    for spread, suggested in (("0.50", True), ("0.90", False)):
        found = only(spread_anomalies(table_of(number=[number("a", "0.50", spread, 18, "SEM")])))
        assert ("it fits as a standard deviation" in found.fix) == suggested


def test_a_spread_that_a_cut_digit_explains_is_only_likely():
    """A mean of 0.4 was rounded from at most 0.45 (SD up to 0.7036), or cut from at most 0.5 (0.7071)."""
    assert only(spread_anomalies(table_of(number=[number("a", "0.4", "0.705", 2)]))).sure == "likely"
