"""Readable tables, and the README's results that must not be stale."""

import math

import pandas as pd
from small_arm import TRANSFER, small_arm

from retina_kit.files import kit_root
from retina_kit.papers.compare import TABLE_COLUMNS
from retina_kit.reporting.tables import arms_table, collect_results, results_markdown, settings_table, with_results
from retina_kit.reporting.units import in_unit, interval, percent
from retina_kit.schema import to_json


def test_percent():
    assert percent(0.6234) == "62.3"
    assert percent(math.nan) == "-"


def test_a_score_has_the_unit_of_its_metric():
    assert in_unit("dice", 0.5) == "50.0"
    assert in_unit("distance", 12.345) == "12.3 px"
    assert in_unit("time", 26) == "26 h"
    assert interval("distance_diameters", 0.05, 0.1) == "0.05 diameters to 0.1 diameters"
    assert interval("dice", math.nan, math.nan) == "-"


def test_the_text_between_the_markers_is_replaced():
    text = "a\n<!-- results: x -->\nold\n<!-- end of results -->\nb"
    assert with_results(text, "new") == "a\n<!-- results: x -->\nnew\n<!-- end of results -->\nb"


def test_the_readme_shows_the_kept_results():
    """Fails when a result was added or changed without `retina-kit build`."""
    readme = (kit_root() / "notebooks" / "results" / "README.md").read_text(encoding="utf-8")
    markdown = results_markdown((kit_root() / "notebooks" / "results").glob("*.csv"))
    assert with_results(readme, markdown) == readme


def test_the_settings_table_tells_what_the_paper_reports_and_what_is_ours():
    """Two settings: one that the paper reports in another size, one that it does not report."""
    settings = {
        "steps": {"what": "training steps", "paper": 1000, "where": "section 2", "ours": False},
        "crop": {"what": "window", "paper": [64, 96], "where": "", "ours": True},
    }
    rows = settings_table(settings, {"steps": 20, "crop": [32, 48]}).values.tolist()
    assert rows == [
        ["steps", "training steps", "20", "1000", "section 2"],
        ["crop", "window", "32, 48", "not reported", "ours"],
    ]


def test_the_arms_table_names_parents_and_counts_steps_or_epochs():
    arms = [small_arm("parent"), small_arm("child", label="Child", start=TRANSFER, replace={"recipe": {"epochs": 2}})]
    table = arms_table(to_json(arm, defaults=True) for arm in arms)
    assert table["what it is"].tolist() == ["parent", "Child"]
    assert table["starts from"].tolist() == ["random weights", "parent"]
    assert table["steps"].tolist() == [3, "2 epochs"]


def test_a_row_that_the_paper_calls_none_keeps_its_name(tmp_path):
    (tmp_path / "tables").mkdir()
    row = dict.fromkeys(TABLE_COLUMNS) | {"arm": "None", "metric": "dice", "paper_value": 0.473}
    pd.DataFrame([row], columns=TABLE_COLUMNS).to_csv(tmp_path / "tables" / "table1.csv", index=False)
    found = collect_results(tmp_path, {})
    assert found["arm"].tolist() == found["label"].tolist() == ["None"]
    assert found["ours_mean"].isna().all()
