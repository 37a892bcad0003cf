"""Printed numbers: the four files, the schema, and the table beside the paper."""

import math

import pandas as pd
import pytest

from retina_kit.errors import DataError, UsageError
from retina_kit.evaluation.claims import TESTS
from retina_kit.evaluation.scoring import SUMMARY_COLUMNS
from retina_kit.papers.published import (
    TABLE_COLUMNS,
    beside_paper,
    folder_of_published,
    half_unit,
    parse_published,
    published_of,
    read_published,
)

PAPERS = sorted(path.stem for path in folder_of_published().glob("*.toml"))

SMALL = {
    "paper": {"key": "mine", "title": "T", "authors": ["A"], "year": 2020, "citation": "A, T (2020)"},
    "evaluation": [{"id": "test", "what": "ten images", "num_images": 10}],
    "confusion": [
        {"item": "table1", "row": "ours", "values": {"iou": "31.00", "dice": "37.80", "recall": "47.33"},
         "unit": "percent", "corrected": {"dice": "47.33", "recall": "37.80"}, "why": "columns swapped",
         "sure": "certain", "evaluation": "test", "where": "Table 1"},
        {"item": "table1", "row": "theirs", "values": {"sensitivity": "0.5"}, "unit": "fraction",
         "literature": True, "where": "Table 1"},
    ],
    "number": [
        {"item": "figure1", "row": "all", "metric": "dice", "value": "0.579", "unit": "fraction",
         "spread": "0.272", "spread_is_printed": "SEM", "spread_is": "SD", "n": 224, "where": "text"},
    ],
    "curve": [
        {"item": "figure2", "row": "a", "metric": "miou", "unit": "percent", "every": 10,
         "values": [math.nan, 49.6], "accuracy": 0.3, "where": "Figure 2"},
    ],
}  # fmt: skip


def summary_of(*rows):
    """Return a summary with the given (arm, metric, mean) rows."""
    records = [(arm, metric, mean, 0.01, 0.4, 0.6, 22, 2, 5, "") for arm, metric, mean in rows]
    return pd.DataFrame(records, columns=SUMMARY_COLUMNS)


def changed(**changes):
    """Return SMALL with some entries replaced."""
    return {**SMALL, **changes}


@pytest.mark.parametrize("paper", PAPERS)
def test_every_file_is_complete(paper):
    published = read_published(paper)
    assert published.meta["key"] == paper
    numbers = published.numbers
    assert (numbers["where"] != "").all() and numbers["id"].is_unique
    shares = numbers[numbers["unit"] == "fraction"]
    assert shares["value"].dropna().between(0, 1).all()
    assert published.claims and published.errata and published.artifacts
    assert {claim["test"] for claim in published.claims} <= set(TESTS)
    in_tables = {name for name in numbers["item"] if name.startswith(("table", "figure"))}
    assert in_tables <= {artifact["id"] for artifact in published.artifacts}


def test_the_four_papers_are_there():
    assert set(PAPERS) >= {"hu2018", "melinscak2020", "ortiz2022", "huang2023"}


@pytest.mark.parametrize(
    ("paper", "number", "value"),
    [
        ("hu2018", "localization/test set/mse", 206.15),
        ("hu2018", "figure2a/pretrained, all training images/dice", 0.88),
        ("melinscak2020", "figure4/with TL, 1000/dice", 0.826),
        ("melinscak2020", "source_model/source model on the target test set/dice", 0.348),
        ("ortiz2022", "table1/RESNET 50 CBAM/precision", 0.9002),
        ("ortiz2022", "table2/Microaneurysms: Kou et al./auc", 0.9999),
        ("huang2023", "table3/No/recall", 0.2342),
        ("huang2023", "poster/UNet+FCN Cityscapes, CE/recall", 0.709),
        ("huang2023", "figure1/DeepLab HRF, batch 8/miou/200", 0.711),
    ],
)
def test_numbers_are_the_printed_ones(paper, number, value):
    numbers = read_published(paper).numbers.set_index("id")
    assert numbers.loc[number, "value"] == pytest.approx(value)


def test_every_correction_mends_dice_and_iou():
    for paper in PAPERS:
        numbers = read_published(paper).numbers
        for _, row in numbers[numbers["sure"] == "certain"].groupby("confusion"):
            iou = numbers[numbers["confusion"] == row["confusion"].iloc[0]].set_index("metric").loc["iou", "value"]
            dice = row.set_index("metric").loc["dice", "corrected"]
            assert dice == pytest.approx(2 * iou / (1 + iou), abs=1.5e-4)


def test_curves_have_twenty_points_a_run():
    points = read_published("huang2023").curves("figure1")
    assert points.groupby("row").size().tolist() == [20] * 12
    assert points["step"].max() == 200 and points["value"].isna().any()


def test_half_a_unit_of_the_last_digit():
    assert half_unit("87") == 0.5 and half_unit("86.6") == pytest.approx(0.05)
    assert half_unit("0.270") == pytest.approx(0.0005)


def test_per_cent_become_fractions_and_keep_their_print():
    number = published_of(SMALL).numbers.set_index("id").loc["table1/ours/dice"]
    assert (number["value"], number["printed"]) == (pytest.approx(0.378), "37.80")
    assert number["half_width"] == pytest.approx(0.00005)


def test_the_table_takes_the_corrected_value_and_says_what_is_printed():
    summary = summary_of(("a", "iou", 0.5), ("a", "dice", 0.6), ("b", "dice", 0.7))
    table = beside_paper(summary, published_of(SMALL), "table1", {"a": "ours", "b": ""})
    assert list(table) == list(TABLE_COLUMNS)
    dice = table[(table["arm"] == "a") & (table["metric"] == "dice")].iloc[0]
    assert dice["paper_value"] == pytest.approx(0.4733) and dice["ours_mean"] == 0.6
    assert dice["note"] == "printed 37.80: columns swapped"
    assert math.isnan(table[table["arm"] == "b"]["paper_value"].iloc[0])


def test_what_no_arm_stands_for_is_listed_all_the_same():
    table = beside_paper(summary_of(("a", "dice", 0.6)), published_of(SMALL), "table1", {"a": "ours"})
    assert table["arm"].tolist() == ["a", "a", "a", "theirs"]
    assert table["n_seeds"].tolist() == [5, 0, 0, 0]
    assert "other authors' number" in table["note"].iloc[-1]


def test_recall_meets_the_column_that_is_called_sensitivity():
    table = beside_paper(summary_of(("a", "recall", 0.6)), published_of(SMALL), "table1", {"a": "theirs"})
    assert table.iloc[0]["paper_value"] == 0.5


def test_the_spread_is_what_it_is_not_what_it_is_called():
    table = beside_paper(summary_of(("a", "dice", 0.6)), published_of(SMALL), "figure1", {"a": "all"})
    assert table.iloc[0]["paper_spread_is"] == "SD"
    assert "printed as SEM" in table.iloc[0]["note"]


def test_unknown_rows_items_and_papers_say_what_there_is():
    with pytest.raises(UsageError, match="did you mean 'ours'"):
        beside_paper(summary_of(("a", "dice", 0.6)), published_of(SMALL), "table1", {"a": "our"})
    with pytest.raises(UsageError, match="There are: figure1, figure2, table1"):
        published_of(SMALL).item("table9")
    with pytest.raises(UsageError, match="hu2018"):
        read_published("hu2081")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"numbers": []}, "numbers"),
        ({"number": [{**SMALL["number"][0], "valeu": "1"}]}, "valeu"),
        ({"number": [{**SMALL["number"][0], "value": 0.579}]}, "number.0.value"),
        ({"number": [SMALL["number"][0], SMALL["number"][0]]}, "two numbers are called"),
        ({"number": [{**SMALL["number"][0], "evaluation": "tset"}]}, "did you mean 'test'"),
        ({"confusion": [{**SMALL["confusion"][1], "values": {"jaccard": "0.5"}}]}, "jaccard"),
        ({"curve": [{**SMALL["curve"][0], "steps": [10]}]}, "curve.0"),
        ({"split": [{"what": "s", "parts": ["a"], "sources": ["b"], "where": "w"}]}, "no count is called"),
        (
            {"claim": [{"id": "c", "statement": "s", "test": "t", "where": "w", "pairs": [["x", "y"]]}]},
            "number",
        ),
    ],
)
def test_whatever_the_schema_does_not_know_is_an_error_with_its_place(changes, message):
    with pytest.raises(DataError, match=message):
        published_of(changed(**changes), "mine.toml")


def test_a_file_of_your_own_is_read_by_its_path(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('[paper]\nkey = "mine"\ntitle = "T"\nauthors = ["A"]\nyear = 2020\ncitation = "A"\n')
    assert read_published(path).meta["title"] == "T"
    path.write_text("[paper\n")
    with pytest.raises(DataError, match="is not valid TOML"):
        parse_published(path)
