"""The audit: what it finds in the four papers, and that it stays quiet on numbers that are right."""

import math
import re
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from retina_kit.evaluation.metrics import COUNT_METRICS
from retina_kit.papers import arithmetic
from retina_kit.papers.audit import COLUMNS, audit_html, audit_text, find_anomalies
from retina_kit.papers.published import published_of, read_published
from tests.small_command import command_line

PAPER = {"key": "mine", "title": "T", "authors": ["A"], "year": 2020, "citation": "A"}
METRICS = ["dice", "f1", "iou", "recall", "sensitivity", "precision", "specificity", "accuracy"]


def table_of(*rows, **further):
    """Return the Published of rows of printed values in percent, all on one evaluation set."""
    confusion = [
        {"item": "table1", "row": f"row {k}", "values": values, "unit": "percent", "evaluation": "test",
         "where": "Table 1"}
        for k, values in enumerate(rows)
    ]  # fmt: skip
    evaluation = [{"id": "test", "what": "test images"}]
    return published_of({"paper": PAPER, "evaluation": evaluation, "confusion": confusion, **further})


def number(row, value, spread, n, kind="SD"):
    """Return one printed mean with its spread."""
    found = {"item": "figure1", "row": row, "metric": "dice", "value": value, "unit": "fraction"}
    return {**found, "spread": spread, "spread_is_printed": kind, "n": n, "where": "Figure 1"}


# ---- The four papers ----------------------------------------------


@pytest.fixture(scope="module")
def findings():
    papers = ("hu2018", "melinscak2020", "ortiz2022", "huang2023")
    return pd.concat([find_anomalies(read_published(paper)) for paper in papers], ignore_index=True)


def test_the_known_anomalies_are_found(findings):
    count = findings.groupby(["paper", "check"]).size()
    assert count["melinscak2020", "spread"] == 6
    assert count["huang2023", "dice_iou"] == 10
    assert count["ortiz2022", "accuracy"] == 4
    assert count["ortiz2022", "prevalence"] == 3
    assert count["ortiz2022", "split"] == 1
    assert count["melinscak2020", "gain"] == 2 and count["hu2018", "gain"] == 1
    assert count.sum() == len(findings) == 27


def test_four_rows_are_fixed_by_swapping_dice_and_accuracy(findings):
    swapped = findings[findings["fix"] == "swap the columns Dice and Accuracy"]
    assert swapped["where"].tolist() == [
        "Table 1, row None", "Table 4, row CE", "Table 4, row Dice", "Table 4, row Hybrid",
    ]  # fmt: skip
    poster = findings["where"].str.contains("poster")
    assert not poster.any()


def test_the_arithmetic_can_be_followed(findings):
    lines = findings.set_index("where")["arithmetic"]
    split = lines[lines.index.str.contains("stage 1")].iloc[0]
    assert "100,046 + 11,116 = 111,162 = 3 x 37,054" in split and "100,046 mod 3 = 2" in split
    assert "= 47.33; published 37.80" in lines["Table 1, row None"]
    gain = lines["section III, Figure 4, with TL, 512 against no TL, 512"]
    assert "unpaired z = 1.73" in gain


def test_the_audit_of_four_papers_takes_well_below_three_seconds():
    began = time.process_time()
    for paper in ("hu2018", "melinscak2020", "ortiz2022", "huang2023"):
        find_anomalies(read_published(paper))
    assert time.process_time() - began < 1.5


# ---- Single checks, by hand ----------------------------------------------


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


@pytest.mark.parametrize(
    ("accuracy", "recall", "specificity"),
    [(0.8, (0.8, 0.805), (0.79, 0.81)), (0.815, (0.78, 0.82), (0.79, 0.81)), (0.8, (0.79, 0.81), (0.8, 0.805))],
)
def test_sensitivity_and_specificity_that_may_be_equal_imply_no_prevalence(accuracy, recall, specificity):
    values = {"accuracy": (accuracy, accuracy), "recall": recall, "specificity": specificity}
    low, high = (pd.DataFrame({name: [ends[side]] for name, ends in values.items()}) for side in (0, 1))
    interval = arithmetic.prevalence_interval(arithmetic.Intervals(low, high))
    assert [end.tolist() for end in interval] == [[0.0], [1.0]]


@pytest.mark.parametrize(
    ("recall", "swaps"), [(0.66, []), (0.663, [("dice", "recall")]), (0.671, [("dice", "recall")]), (0.6725, [])]
)
def test_a_swap_fits_within_what_rounding_leaves_open(recall, swaps):
    # IoU 0.495 to 0.505 gives Dice 0.6622 to 0.6711.
    row, half_widths = {"iou": 0.5, "dice": 0.9, "recall": recall}, {"iou": 0.005, "dice": 1e-4, "recall": 1e-4}
    assert arithmetic.swaps_that_fit(row, half_widths) == swaps


def test_a_spread_is_bounded_by_the_mean():
    def check(value, spread, n, kind):
        return find_anomalies(table_of(number=[number("a", value, spread, n, kind)]))["check"].tolist()

    assert check("0.5", "0.51", 100, "SD") == ["spread"]  # at most 0.5025
    assert check("0.5", "0.50", 100, "SD") == []
    assert check("0.90", "0.10", 10, "SEM") == []
    assert check("0.90", "0.11", 10, "SEM") == ["spread"]  # at most 0.1


def test_a_standard_error_that_is_too_large_may_be_a_standard_deviation():
    fixes = []
    for known in ({"n": 10}, {}):  # n unknown counts as 2: at most sqrt(0.9 x 0.1) = 0.3
        entry = number("a", "0.90", "0.35", 0, "SEM") | known
        found = find_anomalies(table_of(number=[entry if known else {k: v for k, v in entry.items() if k != "n"}]))
        fixes.append(found["fix"].tolist())
    assert fixes == [["it fits as a standard deviation; the SEM would be 0.1107"], [""]]


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


def test_the_spread_of_zeros_and_ones_is_the_largest():
    scores = np.array([0, 1, 1, 1])
    largest = arithmetic.largest_spread(np.array([0.75]), np.array([0.0]), np.array([4.0]), ["SD"])
    assert largest[0] == pytest.approx(scores.std(ddof=1))


def split_of(parts, sources, copies=None):
    """Return a Published with one split."""
    values = {**{f"p{k}": v for k, v in enumerate(parts)}, **{f"s{k}": v for k, v in enumerate(sources)}}
    count = [{"id": name, "what": name, "value": value, "where": "text"} for name, value in values.items()]
    split = {"what": "all", "where": "text", "parts": [n for n in values if n[0] == "p"],
             "sources": [n for n in values if n[0] == "s"]}  # fmt: skip
    return table_of(count=count, split=[split | ({"copies": copies} if copies else {})])


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


# ---- Quiet on what is right ----------------------------------------------


def printed(value, decimals):
    """Return a fraction as printed in percent."""
    return f"{100 * value:.{decimals}f}"


def random_row(rng, positives, negatives):
    """Return the printed metrics of a random confusion matrix; undefined ones are left out."""
    skill, false_alarms = rng.beta(0.7, 0.7, 2)
    tp, fp = rng.binomial(positives, skill), rng.binomial(negatives, false_alarms)
    chosen = rng.permutation(METRICS)[: rng.integers(2, len(METRICS) + 1)]
    with np.errstate(invalid="ignore"):
        values = {m: COUNT_METRICS[m](np.float64(tp), fp, positives - tp, negatives - fp) for m in chosen}
    return {m: printed(v, rng.integers(0, 5)) for m, v in values.items() if not math.isnan(v)}


def test_ten_thousand_consistent_tables_raise_no_alarm():
    rng = np.random.default_rng(0)
    confusion = []
    for table in range(10_000):
        positives, negatives = (int(10 ** rng.uniform(0, 6)) for _ in range(2))
        for k in range(rng.integers(1, 5)):
            values = random_row(rng, positives, negatives)
            if values:
                entry = {"item": f"table{table}", "row": f"row {k}", "values": values, "unit": "percent"}
                confusion.append({**entry, "evaluation": f"set {table}", "where": "Table"})
    evaluation = [{"id": f"set {table}", "what": "test images"} for table in range(10_000)]
    found = find_anomalies(published_of({"paper": PAPER, "confusion": confusion, "evaluation": evaluation}))
    assert found.empty, audit_text(found)


def test_a_shuffled_column_is_noticed_in_most_tables():
    rng = np.random.default_rng(1)
    confusion = []
    for table in range(500):
        tp, fp, fn = rng.integers(50, 500, 3)
        values = {m: printed(COUNT_METRICS[m](tp, fp, fn, 0), 2) for m in ("iou", "dice", "recall")}
        values["dice"], values["recall"] = values["recall"], values["dice"]
        entry = {"item": f"table{table}", "row": "row", "values": values, "unit": "percent", "where": "T"}
        confusion.append(entry)
    found = find_anomalies(published_of({"paper": PAPER, "confusion": confusion}))
    assert len(found) > 480
    assert found["fix"].str.contains("Dice and Recall").mean() > 0.98


def test_means_and_spreads_of_real_scores_raise_no_alarm():
    rng = np.random.default_rng(2)
    numbers = []
    for k in range(10_000):
        n = int(rng.integers(2, 60))
        shape = 10 ** rng.uniform(-2, 1, 2)  # from zeros and ones only to a narrow hump
        scores, decimals = rng.beta(*shape, n), rng.integers(1, 5)
        kind = rng.choice(["SD", "SEM"])
        spread = scores.std(ddof=1) / (math.sqrt(n) if kind == "SEM" else 1)
        numbers.append(number(f"row {k}", f"{scores.mean():.{decimals}f}", f"{spread:.{decimals}f}", n, str(kind)))
    found = find_anomalies(published_of({"paper": PAPER, "number": numbers}))
    assert found.empty, audit_text(found)


def test_averages_over_images_raise_no_alarm():
    rng = np.random.default_rng(3)
    confusion = []
    for table in range(2_000):
        tp, fp, fn = rng.integers(0, 200, (3, int(rng.integers(2, 10)))) + 1
        values = {m: printed(COUNT_METRICS[m](tp, fp, fn, 0 * tp).mean(), 2) for m in ("iou", "dice", "recall")}
        entry = {"item": f"table{table}", "row": "row", "values": values, "unit": "percent", "where": "T"}
        confusion.append({**entry, "averaged": True})
    found = find_anomalies(published_of({"paper": PAPER, "confusion": confusion}))
    assert found.empty, audit_text(found)


def test_splits_before_augmentation_raise_no_alarm():
    rng = np.random.default_rng(4)
    for _ in range(200):
        image_set, copies = int(rng.integers(10, 1000)), int(rng.integers(1, 6))
        train = int(rng.integers(1, image_set))
        assert find_anomalies(split_of([copies * train, copies * (image_set - train)], [image_set], copies)).empty


# ---- Renderers ----------------------------------------------


def test_findings_are_written_as_text_and_html(findings):
    assert list(findings) == list(COLUMNS)
    text = audit_text(findings)
    assert "huang2023: 10 findings" in text and "[certain] Table 4, row CE" in text
    page = audit_html(findings)
    assert page.count("<tr>") == 27 + page.count("<table")


def test_html_is_escaped_and_no_findings_are_reported():
    found = find_anomalies(table_of({"iou": "50", "dice": "70"}))
    found["where"] = "<script>alert(1)</script>"
    assert "<script>" not in audit_html(found) and "&lt;script&gt;" in audit_html(found)
    nothing = find_anomalies(table_of({"iou": "50"}))
    assert audit_text(nothing) == "no findings"
    assert audit_html(nothing) == "<p>no findings</p>"


def test_the_example_of_the_guide_prints_what_the_guide_shows(tmp_path):
    readme = (Path(__file__).resolve().parents[1] / "docs" / "audit.md").read_text()
    (tmp_path / "my_paper.toml").write_text(re.search(r"```toml\n(.*?)```", readme, re.DOTALL)[1])
    output = command_line("audit", tmp_path / "my_paper.toml", cwd=tmp_path).stdout
    assert len(output.splitlines()) == 7
    for line in output.splitlines():
        assert f"    {line}\n" in readme
