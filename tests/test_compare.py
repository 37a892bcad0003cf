"""Training time and the audit's findings in a table."""

import pandas as pd
import pytest

from retina_kit.evaluation.scoring import SUMMARY_COLUMNS
from retina_kit.papers.audit import audit
from retina_kit.papers.beside import mark_findings, with_training_time
from retina_kit.papers.published import beside_paper, read_published
from retina_kit.reporting.tables import duration, show_beside_paper

SUMMARY = pd.DataFrame([("net", "accuracy", 0.9, None, None, None, 3, 3, 2, "")], columns=SUMMARY_COLUMNS)


def test_time_is_in_hours_with_its_spread_over_seeds():
    times = pd.DataFrame({"arm": ["net", "net", "other"], "seed": [0, 1, 0], "seconds": [3600, 7200, 1]})
    time = with_training_time(SUMMARY, times).iloc[1]
    assert time["metric"] == "time"
    assert time["ours_mean"] == pytest.approx(1.5)
    assert time["ours_sd"] == pytest.approx(0.5**0.5)
    assert time["n_seeds"] == 2


def test_a_printed_row_that_cannot_be_says_so():
    published, rows = read_published("ortiz2022"), {"net": "Exudates: VGG-16"}
    table = mark_findings(beside_paper(SUMMARY, published, "table2", rows), audit(published), rows)
    notes = table[table["arm"] == "net"].set_index("metric")["note"]
    assert "cannot be (certain): accuracy 98.10 is outside" in notes["accuracy"]
    possible = table[table["arm"] == "Hemorrhages: VGG-16"]
    assert not possible["note"].str.contains("cannot be").any()
    marked = table.loc[table["note"].str.contains("cannot be"), "arm"].unique()
    assert len(marked) == 4  # facts that the paper's own numbers give away


def test_a_table_of_our_own_has_no_printed_rows():
    table = beside_paper(SUMMARY, read_published("ortiz2022"), "", {"net": ""})
    assert table["arm"].tolist() == ["net"]


def test_times_are_shown_as_times():
    assert [duration(hours) for hours in (26, 0.5, 12 / 3600, float("nan"))] == ["26 h", "30.0 min", "12 s", "-"]
    table = beside_paper(SUMMARY, read_published("ortiz2022"), "table1", {"net": "VGG-16"})
    shown = show_beside_paper(table).set_index("metric")
    assert shown.loc["time", "the paper"].iloc[0] == "24 h"
    assert shown.loc["accuracy", "the paper"].iloc[0] == "87.0"
