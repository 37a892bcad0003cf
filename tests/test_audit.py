"""The audit: what it finds in the four papers, and that it stays quiet on numbers that are right."""

import math
import re
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_published import PAPER, number, split_of, table_of

from retina_kit.evaluation.metrics import COUNT_METRICS
from retina_kit.papers.audit import COLUMNS, audit_html, audit_text, find_anomalies
from retina_kit.papers.published import published_of, read_published
from tests.small_command import command_line

METRICS = ["dice", "f1", "iou", "recall", "sensitivity", "precision", "specificity", "accuracy"]


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


FINDINGS = pd.DataFrame(
    [("zoo", "spread", "Figure 1", "1 > 0", "a fix", "certain"), ("zoo", "dice_iou", "Table 1", "2 > 0", "", "likely"),
     ("zoo", "spread", "Figure 2", "3 > 0", "", "certain"), ("ant", "sum", "text", "4 > 0", "", "possible")],
    columns=list(COLUMNS),
)  # fmt: skip


def test_findings_are_grouped_by_paper_and_check_in_their_order():
    assert audit_text(FINDINGS).splitlines() == [
        "zoo: 3 findings",
        "  A spread above the largest possible one",
        "    [certain] Figure 1: 1 > 0 -> a fix",
        "    [certain] Figure 2: 3 > 0",
        "  Dice and IoU that are not of one confusion matrix",
        "    [likely] Table 1: 2 > 0",
        "ant: 1 finding",
        "  Counts that do not add up",
        "    [possible] text: 4 > 0",
    ]
    assert audit_text(FINDINGS.iloc[:2]).startswith("zoo: 2 findings")


def test_a_page_has_a_table_for_each_paper_and_check():
    page = audit_html(FINDINGS).splitlines()
    assert [line.split("<caption>")[1].split(":")[0] for line in page] == ["zoo", "zoo", "ant"]
    cells = "".join(f"<th scope='col'>{name}</th>" for name in ("how sure", "where", "arithmetic", "what would fix it"))
    assert f"<thead><tr>{cells}</tr></thead>" in page[0]
    assert "<tr><td>certain</td><td>Figure 1</td><td>1 &gt; 0</td><td>a fix</td></tr>" in page[0]
    assert page[0].count("<td>") == 8 and page[1].count("<td>") == 4


def test_the_paper_comes_first_in_each_finding():
    found = find_anomalies(table_of({"iou": "50", "dice": "70"}))
    assert found.columns.tolist() == list(COLUMNS)
    assert found.iloc[0][["paper", "check", "where", "sure"]].tolist() == [
        "mine", "dice_iou", "Table 1, row row 0", "certain",
    ]  # fmt: skip


def test_the_example_of_the_guide_prints_what_the_guide_shows(tmp_path):
    readme = (Path(__file__).resolve().parents[1] / "docs" / "audit.md").read_text()
    (tmp_path / "my_paper.toml").write_text(re.search(r"```toml\n(.*?)```", readme, re.DOTALL)[1])
    output = command_line("audit", tmp_path / "my_paper.toml", cwd=tmp_path).stdout
    assert len(output.splitlines()) == 7
    for line in output.splitlines():
        assert f"    {line}\n" in readme
