"""Published values: the four files, their numbers, and what is refused."""

import dataclasses
import math

import pytest

from retina_kit.errors import DataError, UsageError
from retina_kit.evaluation.claims import TESTS
from retina_kit.papers.published import folder_of_published, half_unit, published_of, read_published

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


NUMBER, ROW, CURVE = SMALL["number"][0], SMALL["confusion"][0], SMALL["curve"][0]
CLAIM = {"id": "c", "statement": "s", "test": "greater", "where": "w"}


def changed(**changes):
    """Return SMALL with some entries replaced."""
    return {**SMALL, **changes}


@pytest.mark.parametrize("paper", PAPERS)
def test_every_file_is_complete(paper):
    published = read_published(paper)
    assert published.paper.key == paper
    numbers = published.numbers
    assert (numbers["where"] != "").all() and numbers["id"].is_unique
    shares = numbers[numbers["unit"] == "fraction"]
    assert shares["value"].dropna().between(0, 1).all()
    assert published.claims and published.errata and published.artifacts
    assert {claim.test for claim in published.claims} <= set(TESTS)
    in_tables = {name for name in numbers["item"] if name.startswith(("table", "figure"))}
    assert in_tables <= {artifact.id for artifact in published.artifacts}


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


def test_every_correction_reconciles_dice_and_iou():
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


def test_percent_become_fractions_and_keep_what_was_printed():
    number = published_of(SMALL).numbers.set_index("id").loc["table1/ours/dice"]
    assert (number["value"], number["printed"]) == (pytest.approx(0.378), "37.80")
    assert number["half_width"] == pytest.approx(0.00005)


def test_every_kind_of_value_has_the_same_columns():
    numbers = published_of(SMALL).numbers.set_index("id")
    assert numbers.index.tolist() == [
        "table1/ours/iou", "table1/ours/dice", "table1/ours/recall", "table1/theirs/sensitivity", "figure1/all/dice",
        "figure2/a/miou/10", "figure2/a/miou/20",
    ]  # fmt: skip
    assert numbers["digitized"].tolist() == [False] * 5 + [True] * 2
    assert numbers["literature"].tolist() == [False] * 3 + [True] + [False] * 3
    assert not numbers["averaged"].any() and set(numbers["unit"]) == {"fraction"}
    assert numbers["confusion"].tolist() == ["table1/ours"] * 3 + ["table1/theirs"] + [""] * 3
    assert numbers["evaluation"].tolist() == ["test"] * 3 + [""] * 4
    corrected = numbers["corrected"].tolist()
    assert corrected[1:3] == pytest.approx([0.4733, 0.378]) and all(math.isnan(value) for value in corrected[3:])
    assert math.isnan(corrected[0]) and numbers["sure"].tolist()[:3] == ["", "certain", "certain"]
    assert numbers["why"].tolist()[:2] == ["", "columns swapped"]
    text = numbers.loc["figure1/all/dice"]
    assert (text["spread"], text["spread_half_width"], text["n"]) == (0.272, 0.0005, 224)
    assert (text["spread_is_printed"], text["spread_is"], text["sure"]) == ("SEM", "SD", "")
    point = numbers.loc["figure2/a/miou/20"]
    assert (point["value"], point["half_width"], point["step"]) == (pytest.approx(0.496), pytest.approx(0.003), 20)
    assert math.isnan(point["n"]) and math.isnan(point["spread"]) and point["spread_is"] == ""


def test_a_number_may_have_an_id_a_correction_and_a_spread_of_its_own():
    entry = {name: value for name, value in NUMBER.items() if name != "spread_is"}
    entry |= {"id": "mine", "unit": "percent", "value": "57.9", "spread": "10.5", "spread_is_printed": "SD"}
    entry |= {"corrected": "58.9", "why": "a slip", "sure": "likely", "literature": True, "evaluation": "test"}
    number = published_of(changed(number=[entry])).numbers.set_index("id").loc["mine"]
    assert number[["value", "corrected", "spread"]].tolist() == pytest.approx([0.579, 0.589, 0.105])
    assert number[["half_width", "spread_half_width"]].tolist() == pytest.approx([0.0005, 0.0005])
    assert number[["spread_is", "why", "sure"]].tolist() == ["SD", "a slip", "likely"]
    assert number["literature"] and number["printed"] == "57.9" and number["evaluation"] == "test"
    bare = {name: value for name, value in NUMBER.items() if not name.startswith("spread")}
    number = published_of(changed(number=[{**bare, "unit": "pixels"}])).numbers.set_index("id").loc["figure1/all/dice"]
    assert number[["value", "unit", "spread_is_printed", "spread_is"]].tolist() == [0.579, "pixels", "", ""]


def test_the_numbers_of_an_item_are_single_ones_and_its_curve_is_apart():
    published = published_of(changed(curve=[{**CURVE, "item": "figure1"}, CURVE]))
    assert published.item("figure1")["row"].tolist() == ["all"]
    assert published.item("table1")["metric"].tolist() == ["iou", "dice", "recall", "sensitivity"]
    points = published.curves("figure2")
    assert list(points) == ["row", "metric", "step", "value", "half_width"]
    assert points.index.tolist() == [0, 1] and points["step"].tolist() == [10, 20]
    with pytest.raises(dataclasses.FrozenInstanceError):
        published.numbers = None


def test_the_first_of_the_repeated_numbers_is_named():
    other = {**NUMBER, "row": "some"}
    with pytest.raises(DataError, match="two numbers are called 'figure1/some/dice'; give one of them"):
        published_of(changed(number=[NUMBER, other, other, NUMBER]))


def test_what_is_referred_to_must_exist():
    count = [{"id": "a", "what": "images", "value": 3, "where": "w"}]
    split = {"what": "s", "parts": ["a"], "sources": ["a"], "where": "w"}
    pairs = {**CLAIM, "pairs": [["figure1/all/dice", "table1/ours/dice"]]}
    published = published_of(changed(count=count, split=[split], claim=[pairs]))
    assert published.counts["a"].value == 3 and published.splits[0].parts == ("a",)
    assert published.claims[0].pairs == (("figure1/all/dice", "table1/ours/dice"),)
    with pytest.raises(DataError, match="no count is called 'b'"):
        published_of(changed(count=count, split=[{**split, "sources": ["b"]}]))
    with pytest.raises(DataError, match="no number is called 'table1/our/dice'"):
        published_of(changed(claim=[{**pairs, "pairs": [["figure1/all/dice", "table1/our/dice"]]}]))


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a = " + b"[" * 20_000, b"a = 1\na = 2\n"])
def test_a_file_that_is_no_toml_is_named(tmp_path, content):
    (tmp_path / "mine.toml").write_bytes(content)
    with pytest.raises(DataError, match=r"^mine\.toml is not valid TOML: "):
        read_published(tmp_path / "mine.toml")


def test_unknown_items_figures_and_papers_list_what_there_is():
    with pytest.raises(UsageError, match="Known: figure1, table1"):
        published_of(SMALL).item("table9")
    assert published_of(SMALL).curves("figure2")["value"].isna().tolist() == [True, False]
    with pytest.raises(UsageError, match="Known: figure2"):
        published_of(SMALL).curves("figure1")
    with pytest.raises(UsageError, match="did you mean 'hu2018'"):
        read_published("hu2081")
    with pytest.raises(UsageError, match=r"missing\.toml cannot be read: No such file"):
        read_published("missing.toml")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"numbers": []}, "has no setting 'numbers'; did you mean 'number'"),
        ({"paper": {**SMALL["paper"], "yaer": 2020}}, "paper has no setting 'yaer'; did you mean 'year'"),
        ({"paper": {**SMALL["paper"], "authors": []}}, "paper.authors"),
        ({"paper": {**SMALL["paper"], "year": "2020"}}, "paper.year is '2020'"),
        ({"number": [NUMBER, {**NUMBER, "valeu": "1"}]}, r"number\[1\] has no setting 'valeu'; did you mean 'value'"),
        ({"number": [{**NUMBER, "value": 0.579}]}, r"number\[0\].value is 0.579"),
        ({"number": [{**NUMBER, "value": "57.9 %"}]}, r"number\[0\].value is '57.9 %'"),
        ({"number": [{**NUMBER, "item": "Table 1"}]}, r"number\[0\].item"),
        ({"number": [{**NUMBER, "unit": "parts"}]}, r"number\[0\].unit is 'parts'.*'percent'"),
        ({"number": [{**NUMBER, "n": 0}]}, r"number\[0\].n is 0"),
        ({"number": [{**NUMBER, "corrected": "0.6"}]}, r"number\[0\]: corrected needs why and sure"),
        ({"number": [{**NUMBER, "spread_is_printed": "SE"}]}, r"number\[0\].spread_is_printed is 'SE'"),
        ({"number": [NUMBER, NUMBER]}, "two numbers are called"),
        ({"number": [{**NUMBER, "evaluation": "tset"}]}, "no evaluation is called 'tset'; did you mean 'test'"),
        ({"number": [{k: v for k, v in NUMBER.items() if k != "where"}]}, r"number\[0\].where is missing"),
        ({"confusion": [{**ROW, "values": {"dise": "0.5"}}]}, r"values.dise: no metric .* did you mean 'dice'"),
        ({"confusion": [{**ROW, "values": {}}]}, r"confusion\[0\].values"),
        ({"confusion": [{**ROW, "sure": None}]}, r"confusion\[0\]: corrected needs why and sure"),
        ({"printed_names": {"recal": "Accuracy"}}, "printed_names.recal: no metric .* did you mean 'recall'"),
        ({"curve": [{**CURVE, "steps": [10, 20]}]}, r"curve\[0\]: a curve needs either every or steps"),
        ({"curve": [{**CURVE, "steps": [10], "every": None}]}, r"curve\[0\]: 1 steps but 2 values"),
        ({"split": [{"what": "s", "parts": ["a"], "sources": ["b"], "where": "w"}]}, "no count is called 'a'"),
        ({"split": [{"what": "s", "parts": "a", "sources": ["b"], "where": "w"}]}, r"split\[0\].parts is 'a'"),
        ({"claim": [{**CLAIM, "pairs": [["x", "y"]]}]}, "no number is called 'x'"),
        ({"claim": [{**CLAIM, "pairs": [["x"]]}]}, r"claim\[0\].pairs\[0\]"),
        ({"erratum": [{"what": "w", "evidence": "e", "sure": "perhaps"}]}, r"erratum\[0\].sure is 'perhaps'"),
    ],
)
def test_whatever_is_not_known_is_an_error_with_its_place(changes, message):
    with pytest.raises(DataError, match=rf"^mine\.toml: .*{message}"):
        published_of(changed(**changes), "mine.toml")


@pytest.mark.parametrize(("spread", "missing"), [("spread", "spread_is_printed"), ("spread_is", "spread")])
def test_a_spread_needs_its_kind_and_a_kind_its_spread(spread, missing):
    entry = {name: value for name, value in NUMBER.items() if not name.startswith("spread")}
    with pytest.raises(DataError, match=rf"number\[0\]: {spread} needs {missing}"):
        published_of(changed(number=[{**entry, spread: NUMBER[spread]}]), "mine.toml")


def test_a_file_of_your_own_is_read_by_its_path(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('[paper]\nkey = "mine"\ntitle = "T"\nauthors = ["A"]\nyear = 2020\ncitation = "A"\n')
    assert read_published(path).paper.title == "T"
    path.write_text("[paper]\nyear = 2020-01-01\n")
    with pytest.raises(DataError, match=r"paper\.year is '2020-01-01'"):
        read_published(path)
    path.write_text("[paper\n")
    with pytest.raises(DataError, match="is not valid TOML"):
        read_published(path)
