"""Entries of a file of published values: what they take for granted, and what they refuse."""

import dataclasses

import pytest
from small_published import PAPER

from retina_kit.errors import DataError
from retina_kit.papers import entries
from retina_kit.schema import parse

ROW = {"item": "table1", "row": "ours", "values": {"dice": "0.5"}, "unit": "fraction", "where": "Table 1"}
NUMBER = {"item": "text", "row": "ours", "metric": "dice", "value": "0.5", "unit": "fraction", "where": "text"}
CURVE = {"item": "figure1", "row": "ours", "metric": "dice", "unit": "fraction", "accuracy": 0.01, "where": "Figure 1"}
COUNT = {"id": "n", "what": "images", "value": 3, "where": "text"}
SPLIT = {"what": "all", "parts": ["n"], "sources": ["n"], "where": "text"}
CLAIM = {"id": "c", "statement": "s", "test": "greater", "where": "text"}
KINDS = [
    (entries.Paper, PAPER),
    (entries.Evaluation, {"id": "test", "what": "images"}),
    (entries.Row, ROW),
    (entries.Number, NUMBER),
    (entries.Curve, CURVE | {"every": 10, "values": [0.5]}),
    (entries.Count, COUNT),
    (entries.Split, SPLIT),
    (entries.PublishedSetting, {"item": "text", "name": "rate", "value": "0.1", "where": "text"}),
    (entries.PublishedClaim, CLAIM),
    (entries.Erratum, {"what": "w", "evidence": "e", "sure": "likely"}),
    (entries.Artifact, {"id": "table1", "title": "T"}),
    (entries.PublishedFile, {"paper": PAPER}),
]


def entry(kind, content, **changes):
    """Return an entry with some changes; None leaves a setting out."""
    content = {name: value for name, value in (content | changes).items() if value is not None}
    return parse(kind, content, "entry", DataError)


@pytest.mark.parametrize(("kind", "content"), KINDS, ids=[kind.__name__ for kind, _ in KINDS])
def test_an_entry_is_strict_and_cannot_be_changed(kind, content):
    found = entry(kind, content)
    name = dataclasses.fields(kind)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(found, name, "other")
    with pytest.raises(DataError, match="no setting 'titel'"):
        entry(kind, content, titel="T")


def test_values_are_the_papers_own_and_of_one_matrix_unless_something_else_is_said():
    row, number = entry(entries.Row, ROW), entry(entries.Number, NUMBER)
    assert (row.averaged, row.literature, number.literature) == (False, False, False)
    assert (row.evaluation, row.note, row.corrected, number.n, number.spread) == ("", "", None, None, None)


@pytest.mark.parametrize(
    ("kind", "content", "corrected"), [(entries.Row, ROW, {"dice": "0.6"}), (entries.Number, NUMBER, "0.6")]
)
def test_a_corrected_value_needs_a_reason_and_how_sure_it_is(kind, content, corrected):
    assert entry(kind, content, corrected=corrected, why="swapped", sure="likely").corrected == corrected
    for known in ({}, {"why": "swapped"}, {"sure": "likely"}):
        with pytest.raises(DataError, match="corrected needs why and sure"):
            entry(kind, content, corrected=corrected, **known)
    assert entry(kind, content, why="swapped").corrected is None


def test_a_spread_says_what_it_is():
    assert entry(entries.Number, NUMBER, spread="0.1", spread_is_printed="SD").spread_is is None
    assert entry(entries.Number, NUMBER, spread="0.1", spread_is_printed="SEM", spread_is="SD").spread_is == "SD"
    with pytest.raises(DataError, match="spread needs spread_is_printed"):
        entry(entries.Number, NUMBER, spread="0.1")
    with pytest.raises(DataError, match="spread_is needs spread"):
        entry(entries.Number, NUMBER, spread_is="SD")
    assert entry(entries.Number, NUMBER, spread_is_printed="SD").spread is None


def test_the_points_of_a_curve_are_at_regular_or_at_listed_steps():
    assert entry(entries.Curve, CURVE, every=10, values=[0.1, 0.2, 0.3]).all_steps() == (10, 20, 30)
    assert entry(entries.Curve, CURVE, every=1, values=[0.1]).all_steps() == (1,)
    assert entry(entries.Curve, CURVE, steps=[5, 50], values=[0.1, 0.2]).all_steps() == (5, 50)
    for steps in ({}, {"every": 10, "steps": [5, 50]}):
        with pytest.raises(DataError, match="a curve needs either every or steps"):
            entry(entries.Curve, CURVE, values=[0.1, 0.2], **steps)
    with pytest.raises(DataError, match="3 steps but 2 values"):
        entry(entries.Curve, CURVE, values=[0.1, 0.2], steps=[1, 2, 3])


@pytest.mark.parametrize(
    ("kind", "content", "empty"),
    [
        (entries.Row, ROW, {"values": {}}),
        (entries.Paper, PAPER, {"authors": []}),
        (entries.Split, SPLIT, {"parts": []}),
        (entries.Split, SPLIT, {"sources": []}),
        (entries.Curve, CURVE | {"every": 10}, {"values": []}),
        (entries.Number, NUMBER, {"n": 0}),
        (entries.Evaluation, {"id": "test", "what": "images"}, {"num_images": 0}),
        (entries.Split, SPLIT, {"copies": 0}),
        (entries.Count, COUNT, {"value": -1}),
    ],
)
def test_nothing_is_not_enough(kind, content, empty):
    with pytest.raises(DataError, match=next(iter(empty))):
        entry(kind, content, **empty)


def test_a_count_may_be_0_and_one_image_is_enough():
    assert entry(entries.Count, COUNT, value=0).value == 0
    assert entry(entries.Number, NUMBER, n=1).n == 1
    assert entry(entries.Curve, CURVE, every=1, values=[0.5]).values == (0.5,)


@pytest.mark.parametrize("value", ["0.5", "-3", "100", "0.50"])
def test_values_are_printed_numbers(value):
    assert entry(entries.Number, NUMBER, value=value).value == value
    for wrong in (f"{value} %", f"+{value}", f"{value}.", ""):
        with pytest.raises(DataError, match="value"):
            entry(entries.Number, NUMBER, value=wrong)


def test_metrics_are_known_ones():
    assert entry(entries.Number, NUMBER, metric="average_precision").metric == "average_precision"
    with pytest.raises(DataError, match="no metric is called 'dcie'; did you mean 'dice'"):
        entry(entries.Number, NUMBER, metric="dcie")
    assert entries.SAME_METRIC == {"sensitivity": "recall", "f1": "dice"}


def test_a_row_corrects_what_it_has():
    with pytest.raises(DataError, match="corrected has 'iou', which is not among the values"):
        entry(entries.Row, ROW, corrected={"iou": "0.4"}, why="because", sure="likely")
