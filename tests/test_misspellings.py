"""Every key of every experiment, card and published file, misspelled one at a time, is refused by name."""

import ast
import re
import shutil

import pytest

from retina_kit.data.card import folder_of_cards, kit_cards, parse_card, read_card
from retina_kit.data.dataset import check_options
from retina_kit.data.manifest import parse_manifest
from retina_kit.errors import KitError
from retina_kit.experiment_file import experiments_folder, list_papers, load_paper
from retina_kit.files import kit_root
from retina_kit.packs.layouts import check_layout
from retina_kit.papers.published import folder_of_published, read_published

KEY = re.compile(r"(?:^|(?<=[{,]))[ \t]*([A-Za-z_][\w-]*)(?=[ \t]*=)|^\[+([a-z_]+)(?=\])", re.MULTILINE)
STRING = re.compile(r'"""(?:[^"\\]|\\.|"(?!""))*"""|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|#[^\n]*')


def misspelled(name):
    """Return a name with its last two letters swapped, or one letter more where that changes nothing."""
    swapped = name[:-2] + name[-1] + name[-2] if len(name) > 3 and name[-1] != name[-2] else name + "x"
    return swapped if swapped.isidentifier() else name + "x"


def names_in_python(source):
    """Return (offset, name) of every keyword, every text key of a dict and every setting that is read."""
    starts = [0, *(match.end() for match in re.finditer("\n", source))]
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.keyword) and node.arg:
            found.append((starts[node.lineno - 1] + node.col_offset, node.arg))
        elif isinstance(node, ast.Dict):
            keys = [key for key in node.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)]
            found += [(starts[key.lineno - 1] + key.col_offset + 1, key.value) for key in keys]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "s":
            found.append((starts[node.end_lineno - 1] + node.end_col_offset - len(node.attr), node.attr))
    return sorted(set(found))


def names_in_toml(source):
    """Return (offset, name) of every key and every table's name, outside texts and comments."""
    blank = STRING.sub(lambda match: " " * len(match.group()), source)
    return [(match.start(match.lastindex), match.group(match.lastindex)) for match in KEY.finditer(blank)]


def accepted(source, names, load):
    """Return the names that may be misspelled without an error that names them."""
    found = []
    for offset, name in names:
        assert source[offset : offset + len(name)] == name
        wrong = misspelled(name)
        try:
            load(source[:offset] + wrong + source[offset + len(name) :])
        except KitError as error:
            if wrong not in str(error) and name not in str(error):
                found.append(f"{name} (line {source[:offset].count(chr(10)) + 1}): {error}")
        else:
            found.append(f"{name} (line {source[:offset].count(chr(10)) + 1}): accepted")
    return found


@pytest.mark.slow
@pytest.mark.parametrize("paper", list_papers())
def test_no_key_of_an_experiment_can_be_misspelled(paper, tmp_path, monkeypatch):
    remembered = {}

    def check_once(dataset, options, data_root):
        """Check options of a data set once: they are looked up in files, which stay the same."""
        question = repr((dataset, options, data_root))
        if question not in remembered:
            check_options(dataset, options, data_root)
            remembered[question] = True

    monkeypatch.setattr("retina_kit.experiment_check.check_options", check_once)
    notebooks = tmp_path / "notebooks"
    (notebooks / "experiments").mkdir(parents=True)
    for path in (kit_root() / "notebooks").glob("[0-9]*.py"):
        shutil.copy(path, notebooks)
    file, source = notebooks / "experiments" / f"{paper}.py", (experiments_folder() / f"{paper}.py").read_text()

    def load(text):
        file.write_text(text)
        load_paper(file)

    load(source)
    names = names_in_python(source)
    print(f"{paper}: {len(names)} names")
    assert len(names) > 200
    assert accepted(source, names, load) == []


@pytest.mark.parametrize("name", kit_cards())
def test_no_key_of_a_card_can_be_misspelled(name, tmp_path):
    source, manifest = (folder_of_cards() / f"{name}.toml").read_text(), folder_of_cards() / f"{name}.csv"
    file = tmp_path / f"{name}.toml"

    def load(text):
        file.write_text(text)
        card = parse_card(file)
        if manifest.is_file():
            parse_manifest(manifest, card)
        else:
            check_layout(card)

    load(source)
    defined_here = read_card(name).derived  # experiments refer to these names, no other line of the card does
    names = [(offset, key) for offset, key in names_in_toml(source) if key not in defined_here]
    print(f"{name}: {len(names)} names")
    assert accepted(source, names, load) == []


@pytest.mark.parametrize("paper", list_papers())
def test_no_key_of_the_published_values_can_be_misspelled(paper, tmp_path):
    source, file = (folder_of_published() / f"{paper}.toml").read_text(), tmp_path / f"{paper}.toml"

    def load(text):
        file.write_text(text)
        read_published(str(file))

    load(source)
    names = names_in_toml(source)
    print(f"{paper}: {len(names)} names")
    assert accepted(source, names, load) == []
