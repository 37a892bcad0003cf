"""Every rule of a card: what is wrong in one is named with its file, its field and what was expected."""

import pytest
import small_pack

from retina_kit.data.card import kit_cards, list_cards, parse_card, read_card
from retina_kit.errors import DataError, UsageError

GOOD = small_pack.CARD.replace("ACCESS", "open")


@pytest.fixture
def parse(tmp_path):
    """Parse the small card after a change; the changed part must be there."""

    def parse_changed(old="", new=""):
        assert old in GOOD
        (tmp_path / "small.toml").write_text(GOOD.replace(old, new, 1), encoding="utf-8")
        return parse_card(tmp_path / "small.toml")

    return parse_changed


def test_a_card_is_typed(parse):
    card = parse()
    assert (card.name, card.size, card.channels, card.redistribute) == ("small", (24, 32), 3, True)
    assert card.derived == {"either": ("vessels", "fov")}
    assert [source.convert for source in card.sources] == ["keep", "mask", "bright_field"]
    assert card.sources[1].also == ("{id}.vessels.png",)
    assert (card.doi, card.changes, card.pitfalls) == (None, None, ())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("license =", "licence =", "no setting 'licence'; did you mean 'license'"),
        ("modality =", "traps = ['one']\nmodality =", "no setting 'traps'"),
        (
            'convert = "keep"',
            'convert = "keep"\nbases = ""',
            r"sources\[0\] has no setting 'bases'; did you mean 'base'",
        ),
        ('title = "Three small eyes"', 'title = ""', "title is ''"),
        ('title = "Three small eyes"', "title = 3", "title is 3"),
        ('home = "https://example.org/eyes"', 'home = "example.org"', "home is 'example.org'"),
        ('modality = "fundus"', 'modality = "mri"', "modality is 'mri'"),
        ("channels = 3", "channels = 2", "channels is 2"),
        ("channels = 3", f"channels = {'9' * 5000}", "not valid TOML"),
        ("redistribute = true", 'redistribute = "yes"', "redistribute is 'yes'"),
        ("size = [24, 32]", "size = [24]", r"size\[1\] is missing"),
        ("size = [24, 32]", "size = [0, 32]", r"size\[0\] is 0"),
        ("size = [24, 32]", 'doi = "11.1/x"', "doi is '11.1/x'"),
        ('vessels = "vessels"', '"Vessels" = "vessels"', "masks.Vessels is 'Vessels': string should match"),
        ('grade = "a number"', "grade = 1", "labels.grade is 1"),
        ('["vessels", "fov"]', '["vessels"]', "derived.either"),
        ('of = "image"', 'of = "picture"', r"sources\[0\].of is 'picture'"),
        ('of = "image"\n', "", r"sources\[0\].of is missing"),
        ('convert = "keep"', 'convert = "magic"', r"sources\[0\].convert is 'magic': input should be 'keep', 'png'"),
        ('convert = "keep"', 'convert = "jpeg"', r"sources\[0\]: convert = 'jpeg' needs quality"),
        ('convert = "keep"', 'convert = "jpeg"\nquality = 101', r"sources\[0\].quality is 101"),
        ('convert = "keep"', 'convert = "matlab_scan"\nscan = "0"', "needs variable"),
        ('file = "all eyes/{id}.jpg"\n', "", "convert = 'keep' needs file"),
        ('file = "all eyes/{id}.jpg"', 'file = "/all eyes/{id}.jpg"', r"sources\[0\].file: '/all.*stays in its folder"),
        ('also = ["{id}.vessels.png"]', r'also = ["..\\{id}.png"]', r"sources\[1\].also\[0\].*stays in its folder"),
        ('convert = "keep"', 'convert = "keep"\nwhere = {eye = "L"}', r"sources\[0\].where uses 'eye'"),
        ('convert = "keep"', 'convert = "keep"\nwhere = {grade = 1}', r"sources\[0\].where.grade is 1"),
        ("https://raw", "http://raw", r"sources\[0\].base is 'http://raw"),
        ("title =", 'name = "other"\ntitle =', "field 'name'"),
        ("title =", "title = " + "[" * 5000, "not valid TOML"),
    ],
)
def test_a_wrong_field_is_named_with_what_was_expected(parse, old, new, message):
    with pytest.raises(DataError, match=rf"card small\.toml.*{message}"):
        parse(old, new)


def test_a_conversion_that_resizes_needs_a_size(parse, tmp_path):
    text = GOOD.replace("size = [24, 32]\n", "")
    (tmp_path / "small.toml").write_text(text)
    assert parse_card(tmp_path / "small.toml").size is None
    (tmp_path / "small.toml").write_text(text.replace('convert = "keep"', 'convert = "jpeg"\nquality = 90'))
    with pytest.raises(DataError, match=r"sources\[0\].convert is 'jpeg', which needs the card's size"):
        parse_card(tmp_path / "small.toml")


def test_the_paths_of_a_public_copy_are_the_publishers(parse):
    """They are addresses: their spelling is not ours to correct."""
    files = [source.file for source in read_card("idrid_seg_1024").sources if source.of == "mask_he" and source.file]
    assert len(files) == 2
    assert all("/2. Haemorrhages/{id}_HE.tif" in file for file in files)


def test_your_own_cards_are_listed_below_their_data_root(tmp_path):
    (tmp_path / "my_eyes").mkdir()
    (tmp_path / "my_eyes/card.toml").write_text(GOOD)
    assert list_cards(tmp_path) == [*kit_cards(), "my_eyes"]
    assert read_card("my_eyes", tmp_path).name == "my_eyes"
    with pytest.raises(UsageError, match="no data set is called 'my_eye'; did you mean 'my_eyes'"):
        read_card("my_eye", tmp_path)
    with pytest.raises(UsageError, match="no data set is called 'my_eyes'"):
        read_card("my_eyes")
