"""Our scores next to the published values: the table, training times, and what the audit found."""

import dataclasses
import math

import pandas as pd
import pytest
from test_published import SMALL

from retina_kit.errors import UsageError
from retina_kit.evaluation.summary import SUMMARY_COLUMNS
from retina_kit.papers.compare import (
    TABLE_COLUMNS,
    Table,
    compare_with_paper,
    mark_findings,
    note_of,
    paper_value,
    with_training_time,
)
from retina_kit.papers.published import published_of, read_published
from retina_kit.reporting.tables import show_comparison
from retina_kit.reporting.units import duration
from retina_kit.schema import parse

SUMMARY = pd.DataFrame([("net", "accuracy", 0.9, None, None, None, 3, 3, 2, "")], columns=SUMMARY_COLUMNS)


def summary_of(*rows):
    """Return a summary with the given (arm, metric, mean) rows."""
    records = [(arm, metric, mean, 0.01, 0.4, 0.6, 22, 2, 5, "") for arm, metric, mean in rows]
    return pd.DataFrame(records, columns=SUMMARY_COLUMNS)


def test_the_table_takes_the_corrected_value_and_notes_what_is_printed():
    summary = summary_of(("a", "iou", 0.5), ("a", "dice", 0.6), ("b", "dice", 0.7))
    table = compare_with_paper(summary, published_of(SMALL), "table1", {"a": "ours", "b": ""})
    assert list(table) == list(TABLE_COLUMNS)
    dice = table[(table["arm"] == "a") & (table["metric"] == "dice")].iloc[0]
    assert dice["paper_value"] == pytest.approx(0.4733) and dice["ours_mean"] == 0.6
    assert dice["note"] == "published 37.80: columns swapped"
    assert math.isnan(table[table["arm"] == "b"]["paper_value"].iloc[0])


def test_published_rows_without_an_arm_are_listed_too():
    table = compare_with_paper(summary_of(("a", "dice", 0.6)), published_of(SMALL), "table1", {"a": "ours"})
    assert table["arm"].tolist() == ["a", "a", "a", "theirs"]
    assert table["n_seeds"].tolist() == [5, 0, 0, 0]
    assert "other authors' number" in table["note"].iloc[-1]


def test_recall_is_compared_with_sensitivity():
    table = compare_with_paper(summary_of(("a", "recall", 0.6)), published_of(SMALL), "table1", {"a": "theirs"})
    assert table.iloc[0]["paper_value"] == 0.5


def test_the_spread_is_what_it_is_not_what_it_is_called():
    table = compare_with_paper(summary_of(("a", "dice", 0.6)), published_of(SMALL), "figure1", {"a": "all"})
    assert table.iloc[0]["paper_spread_is"] == "SD"
    assert "reported as SEM" in table.iloc[0]["note"]


def test_an_unknown_row_comes_with_the_closest_one():
    with pytest.raises(UsageError, match="did you mean 'ours'"):
        compare_with_paper(summary_of(("a", "dice", 0.6)), published_of(SMALL), "table1", {"a": "our"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrcs": ["dice"]}, "no setting 'metrcs'; did you mean 'metrics'"),
        ({"metrics": []}, "metrics"),
        ({"rows": {}}, "rows"),
        ({"rows": ["a"]}, "rows"),
        ({"id": "Table 1"}, "id"),
        ({"pooled": "no"}, "pooled"),
    ],
)
def test_a_table_that_is_written_wrong_is_refused(changes, message):
    written = {"id": "table1", "title": "T", "metrics": ["dice"], "rows": {"a": ""}}
    assert parse(Table, written, "mine.toml") == Table("table1", "T", ["dice"], {"a": ""})
    with pytest.raises(UsageError, match=f"mine.toml, table table1: .*{message}"):
        parse(Table, written | changes, "mine.toml, table table1")


def test_a_table_is_compared_with_its_own_item_unless_it_names_another():
    names = [Table("table9", "T", "dice", {"a": ""}, item=item).published_item for item in (None, "", "table1")]
    assert names == ["table9", "", "table1"]


def test_time_is_in_hours_with_its_spread_over_seeds():
    times = pd.DataFrame({"arm": ["net", "net", "other"], "seed": [0, 1, 0], "seconds": [3600, 7200, 1]})
    time = with_training_time(SUMMARY, times).iloc[1]
    assert time["metric"] == "time"
    assert time["ours_mean"] == pytest.approx(1.5)
    assert time["ours_sd"] == pytest.approx(0.5**0.5)
    assert time["n_seeds"] == 2


def test_the_note_of_an_inconsistent_row_points_it_out():
    published, rows = read_published("ortiz2022"), {"net": "Exudates: VGG-16"}
    table = mark_findings(compare_with_paper(SUMMARY, published, "table2", rows), published, "table2", rows)
    notes = table[table["arm"] == "net"].set_index("metric")["note"]
    assert "inconsistent (certain): accuracy 98.10 is outside" in notes["accuracy"]
    possible = table[table["arm"] == "Hemorrhages: VGG-16"]
    assert not possible["note"].str.contains("inconsistent").any()
    marked = table.loc[table["note"].str.contains("inconsistent"), "arm"].unique()
    assert len(marked) == 4  # facts that the paper's own numbers give away


def test_a_table_of_our_own_has_no_published_rows():
    table = compare_with_paper(SUMMARY, read_published("ortiz2022"), "", {"net": ""})
    assert table["arm"].tolist() == ["net"]


def entry_of(**changes):
    """Return a published number as a table holds it."""
    plain = {"corrected": math.nan, "value": 0.5, "printed": "0.5", "sure": "", "why": "", "spread_is": "SD"}
    return {**plain, "spread_is_printed": "SD", "literature": False, "note": "", **changes}


@pytest.mark.parametrize(
    ("changes", "value", "note"),
    [
        ({}, 0.5, ""),
        ({"note": "read off"}, 0.5, "read off"),
        ({"sure": "certain", "corrected": 0.6, "why": "swapped"}, 0.6, "published 0.5: swapped"),
        ({"sure": "likely", "corrected": 0.6, "why": "swapped"}, 0.5, "perhaps 0.6 (likely): swapped"),
        ({"spread_is_printed": "SEM"}, 0.5, "the spread is reported as SEM"),
        ({"literature": True, "note": "2019"}, 0.5, "other authors' number; 2019"),
    ],
)
def test_a_published_number_is_the_corrected_one_only_if_the_mistake_is_certain(changes, value, note):
    assert (paper_value(entry_of(**changes)), note_of(entry_of(**changes))) == (value, note)


def test_a_row_holds_our_summary_beside_the_published_value():
    summary = summary_of(("b", "dice", 0.7), ("a", "iou", 0.5), ("a", "dice", 0.6)).assign(note="2 images left out")
    table = compare_with_paper(summary, published_of(SMALL), "table1", {"a": "ours", "b": ""})
    assert list(zip(table["arm"], table["metric"], strict=True)) == [
        ("a", "iou"), ("a", "dice"), ("a", "recall"), ("b", "dice"), ("theirs", "sensitivity"),
    ]  # fmt: skip
    ours = table.iloc[0]
    assert ours[["ours_mean", "ours_sd", "ours_ci_low", "ours_ci_high"]].tolist() == [0.5, 0.01, 0.4, 0.6]
    assert ours[["n_images", "n_patients", "n_seeds"]].tolist() == [22, 2, 5]
    assert ours["paper_value"] == 0.31 and ours["note"] == "2 images left out"
    assert table["note"].tolist()[1] == "2 images left out; published 37.80: columns swapped"
    recall, theirs = table.iloc[2], table.iloc[4]
    for row, value in ((recall, 0.378), (theirs, 0.5)):
        assert row[["n_images", "n_patients", "n_seeds"]].tolist() == [0, 0, 0]
        assert math.isnan(row["ours_mean"]) and row["paper_value"] == pytest.approx(value)
    assert recall["note"] == "not run here; published 47.33: columns swapped"
    assert theirs["note"] == "not run here; other authors' number"
    assert math.isnan(table["paper_value"][3]) and table["paper_spread_is"][3] == ""


def test_a_table_is_pooled_and_unmarked_and_needs_only_one_metric_and_row():
    table = parse(Table, {"id": "table1", "title": "T", "metrics": ["dice"], "rows": {"a": ""}}, "table")
    assert (table.pooled, table.mark_findings) == (True, False)
    with pytest.raises(dataclasses.FrozenInstanceError):
        table.pooled = False


def test_every_arm_has_its_training_time_in_the_order_of_the_summary():
    summary = summary_of(("b", "dice", 0.7), ("a", "dice", 0.6))
    times = pd.DataFrame({"arm": ["a", "b", "b", "b"], "seed": [0, 0, 1, 2], "seconds": [1800, 3600, 7200, 10800]})
    table = with_training_time(summary, times)
    assert table["arm"].tolist() == ["b", "b", "a", "a"] and table.index.tolist() == [0, 1, 2, 3]
    assert table["metric"].tolist() == ["dice", "time", "dice", "time"]
    b, a = table.iloc[1], table.iloc[3]
    assert (b["ours_mean"], b["ours_sd"], b["n_seeds"]) == (2, 1, 3)
    assert a["ours_mean"] == 0.5 and math.isnan(a["ours_sd"]) and a["n_seeds"] == 1
    assert a[["n_images", "n_patients", "note"]].tolist() == [0, 0, ""]
    assert math.isnan(a["ours_ci_low"]) and math.isnan(a["ours_ci_high"])


def test_findings_are_marked_in_the_rows_with_a_published_value():
    wrong = {"iou": "60.0", "dice": "80.0", "recall": "90.0", "specificity": "95.0", "accuracy": "99.0"}
    right = {"iou": "60.0", "dice": "75.0"}
    table = {"row": "ours", "unit": "percent", "where": "Table 1", "item": "table1", "values": wrong}
    other = {**table, "where": "Table 2", "item": "table2", "values": right}
    published, rows = published_of({"paper": SMALL["paper"], "confusion": [table, other]}), {"a": "ours"}
    compared = compare_with_paper(summary_of(("a", "dice", 0.6)), published, "table1", rows)
    compared.loc[1, "paper_value"] = math.nan
    notes = mark_findings(compared, published, "table1", rows)["note"].tolist()
    assert all(note.count("inconsistent (certain)") == 2 for note in notes[:1] + notes[2:])
    assert "IoU 60.00 needs Dice" in notes[0] and "accuracy 99.00 is outside" in notes[0]
    assert notes[1] == compared["note"][1]
    compared = compare_with_paper(summary_of(("a", "dice", 0.6)), published, "table2", rows)
    assert mark_findings(compared, published, "table2", rows).equals(compared)  # the row of this name is consistent


def test_times_are_shown_as_times():
    assert [duration(hours) for hours in (26, 0.5, 12 / 3600, float("nan"))] == ["26 h", "30.0 min", "12 s", "-"]
    table = compare_with_paper(SUMMARY, read_published("ortiz2022"), "table1", {"net": "VGG-16"})
    shown = show_comparison(table).set_index("metric")
    assert shown.loc["time", "the paper"].iloc[0] == "24 h"
    assert shown.loc["accuracy", "the paper"].iloc[0] == "87.0 %"


def test_the_folds_of_a_seed_are_averaged_not_counted_as_seeds():
    times = pd.DataFrame({"arm": "net", "seed": [0, 0, 1, 1], "seconds": [3600, 7200, 7200, 10800]})
    time = with_training_time(SUMMARY, times).iloc[1]
    assert (time["ours_mean"], time["n_seeds"]) == (2.0, 2)
    assert time["ours_sd"] == pytest.approx(0.5**0.5)
