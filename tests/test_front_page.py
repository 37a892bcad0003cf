"""The front page: a card answers with two intervals, arms have labels, long tables are folded."""

import json
import re
import shutil

import pandas as pd
import pytest

from retina_kit.errors import DataError
from retina_kit.papers.compare import TABLE_COLUMNS
from retina_kit.reporting.site import build_site

ARMS = {"frozen_100": "pretrained, frozen", "random_100": "random start", "random_40": "random start, 40 %"}


def claim(name, kind, verdict, value):
    """One row of claims.csv: frozen_100 minus random_100, with an interval of 0.1 on both sides."""
    return {
        "claim": name,
        "statement": f"The {kind} holds",
        "kind": kind,
        "statistic": "dice, frozen_100 minus random_100",
        "estimate": value,
        "ci_low": value - 0.1,
        "ci_high": value + 0.1,
        "verdict": verdict,
        "sentence": "",
        "rule": "",
        "n_patients": 12,
        "n_seeds": 1,
        "scope": "",
    }


@pytest.fixture
def page(tmp_path):
    """The front page of one run: three arms, two claims, a table of 30 scores."""
    folder = tmp_path / "small" / "lesson-synthetic"
    (folder / "tables").mkdir(parents=True)
    arms = [{"arm": arm, "label": label, "seconds": 1.0, "device": "CPU (1 threads)"} for arm, label in ARMS.items()]
    results = {
        "paper": "small", "title": "A small paper", "question": "Does it help?", "profile": "lesson",
        "data": "synthetic", "data_says": "Synthetic.", "overrides": {"steps": 7}, "tables": ["table1"], "figures": [],
        "arms": arms, "arms_left_out": {}, "seeds": [0], "git_commit": "", "machine": "Linux", "notebook_seconds": 1,
        "peak_memory_mb": 1, "versions": {},
    }  # fmt: skip
    (folder / "results.json").write_text(json.dumps(results))
    claims = [claim("a", "replication", "supported", 0.2), claim("b", "control", "inconclusive", 0.0)]
    pd.DataFrame(claims).to_csv(folder / "claims.csv", index=False)
    row = dict.fromkeys(TABLE_COLUMNS, 0.5) | {"arm": "frozen_100", "metric": "dice", "n_seeds": 1, "note": ""}
    pd.DataFrame([row] * 30).to_csv(folder / "tables" / "table1.csv", index=False)
    return build_site(tmp_path, {"small": {"title": "A small paper"}}).read_text(encoding="utf-8")


def test_a_card_shows_the_claims_that_it_is_told_to(page, tmp_path):
    path = tmp_path / "small" / "lesson-synthetic" / "claims.csv"
    later = claim("c", "control", "supported", 0.3) | {"statement": "The later control holds"}
    pd.concat([pd.read_csv(path), pd.DataFrame([later])]).to_csv(path, index=False)
    for card, shown in (([], "The control holds"), (["a", "c"], "The later control holds")):
        text = build_site(tmp_path, {"small": {"title": "A small paper", "card": card}}).read_text(encoding="utf-8")
        assert shown in text[text.index("<article") : text.index("</article>")]


def test_a_card_shows_both_intervals_on_one_axis(page):
    """From -0.1 to 0.3 on 272 pixels that begin at 14: 0 is at 82, 0.1 at 150, 0.2 at 218."""
    card = page[page.index("<article") : page.index("</article>")]
    assert 'class="zero" x1="82.0" x2="82.0"' in card
    assert re.findall(r'x1="([0-9.]+)" x2="([0-9.]+)" y1="\d+" y2="\d+"/><circle cx="([0-9.]+)"', card) == [
        ("150.0", "286.0", "218.0"),
        ("14.0", "150.0", "82.0"),
    ]
    assert "replication: +0.200 (+0.100 to +0.300); control: +0.000 (-0.100 to +0.100)" in card
    assert "steps = 7" in card


def test_people_read_labels_and_units(page):
    assert "\u201cpretrained, frozen\u201d minus \u201crandom start\u201d; 12 patients, 1 seed" in page
    assert not any(arm in page for arm in ARMS)
    assert "50.0 %" in page
    assert "CPU (1 thread)" in page
    assert "1 threads" not in page


def test_a_long_table_is_folded(page):
    assert "<details><summary>table1: 30 scores</summary>" in page


def test_a_folder_that_lacks_a_table_is_listed_and_stops_no_other(page, tmp_path):
    broken = tmp_path / "small" / "lesson-public"
    shutil.copytree(tmp_path / "small" / "lesson-synthetic", broken)
    (broken / "tables" / "table1.csv").unlink()
    with pytest.raises(DataError, match="not a complete run"):
        build_site(tmp_path, {"small": {"title": "A small paper"}})
    text = build_site(tmp_path, {"small": {"title": "A small paper"}}, skip_incomplete=True).read_text(encoding="utf-8")
    assert "small/lesson-public</h2>" in text and "cannot be shown: " in text
    assert "The control holds" in text


def test_the_page_tells_why_there_is_no_verdict(page, tmp_path):
    path = tmp_path / "small" / "lesson-synthetic" / "claims.csv"
    claims = pd.read_csv(path).astype({"sentence": object})
    start = "dice, frozen_100 minus random_100: +0.000 (95 % interval -0.100 to +0.100), 12 patients, 1 seed"
    claims.loc[1, "sentence"] = f"{start}; a verdict needs 3 seeds"
    claims.to_csv(path, index=False)
    shown = build_site(tmp_path, {"small": {"title": "A small paper"}}).read_text(encoding="utf-8")
    assert "12 patients, 1 seed; a verdict needs 3 seeds" in shown
    assert "12 patients, 1 seed; a verdict" not in page
