"""The words in all texts that people read: the field's terms, in American English."""

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from retina_kit.files import kit_root

INSTEAD = {  # a pattern, and what to write instead
    r"drawn|drawing(?!s? from)|redraws?": "synthetic, generated, sampled, plotted",
    r"draws": "generates, samples, plots",
    r"pictures?": "image, photograph, scan",
    r"parted|parting|parts (?:them|patients|scans|B-scans)|parts? \*": "split, separate, isolate",
    r"proven|proves?": "verified, shows",
    r"anew|afresh": "again, re-",
    r"mend(?:s|ed|ing)?": "fix, repair",
    r"(?:go|goes|went|going) on": "continue, resume",
    r"beside|besides": "next to, compared with, in addition to",
    r"(?<!ground )(?<!ground-)truths?": "ground truth",
    r"(?:says?|said)": "reports, states, predicts, tells",
    r"(?:printed|prints?) (?:number|value|score|setting|row|result|width|MSE|SD|Dice|table|accurac)\w*": "published",
    r"papers? prints?|(?:not|never|is|are) printed|as printed": "reported, published",
    r"per cent": "percent",
    r"rivals?": "framework, baseline",
    r"readings": "checkpoint, inference mode",
    r"(?:what|that|can that|cannot|they|it|why can \w+) (?:can)?not be(?=[.,;:?])": "impossible",
    r"(?:one|two|three|four|five|an?|\d+|as many) (?!with|in |on |or |and |is |as |of |where)[\w-]+ an? "
    r"(?:paper|notebook|image|photograph|lesion|stage|patient|arm|replicate|run|fold|class|level|session|week)": "per",
    r"at home and abroad|like best|likes best|turn the dials?": "the field's term",
    r"gap bench": "domain-gap explorer",
    r"to speak of|speaks? of": "points to",
    r"so (?:many|few) \w+ as": "as many as",
    r"colou?rs? blind\b(?!-)|colour\w*|behaviou?rs?(?<!behavior)(?<!behaviors)|favou?r(?<!favor)|neighbour\w*": "-or",
    r"centres?|centred|fibres?|metres?": "-er",
    r"grey\w*|haem\w+|oedema\w*|an(?:ae|æ)sth\w+": "gray, hem-, edema",
    r"(?:normal|local|optim|recogn|initial|organ|visual|summar|character|regular|general|equal|random|synthes|"
    r"priorit|standard|parametr|vector|serial|util|emphas|quant|binar)is(?:e|es|ed|ing|er|ers|ation|ations)": "-ize",
    r"licen[c]es?|artefacts?|judgements?|labelled|modelling|catalogues?|analysed?|whilst|practise[ds]?": "American",
}
PATTERN = re.compile(
    r"(?<![\w./`-])(?:" + "|".join(f"(?P<w{k}>{pattern})" for k, pattern in enumerate(INSTEAD)) + r")(?!\s*=|[\w/(`])",
    re.IGNORECASE,
)
PROGRAMS = ("retina_kit", "notebooks", "docs", "benchmarks")
QUOTED: dict[str, tuple[str, ...]] = {}  # file: words that somebody else wrote, in lower case


def texts() -> Iterator[tuple[Path, int, str]]:
    """Yield (file, line number, text) of everything that a person reads: pages, and comments and strings of code."""
    root = kit_root()
    pages = [
        *root.glob("*.md"),
        *root.glob("docs/**/*.md"),
        *root.glob("notebooks/**/*.md"),
        *root.glob("benchmarks/*.md"),
    ]
    pages += [
        *root.glob("notebooks/exercises/*.toml"),
        *root.glob("docs/**/*.toml"),
        *root.glob("data_manifests/**/*.toml"),
    ]
    pages += root.glob("retina_kit/**/*.jinja")
    for path in pages:
        yield from ((path, number, line) for number, line in enumerate(path.read_text("utf-8").splitlines(), 1))
    for path in (path for folder in PROGRAMS for path in sorted(root.glob(f"{folder}/**/*.py"))):
        yield from ((path, number, line) for number, line in _prose_of(path))


def _prose_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number, line) of the comments and strings of a Python file."""
    kinds = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
    for token in tokenize.generate_tokens(io.StringIO(path.read_text("utf-8")).readline):
        if token.type in kinds and not token.string[1:-1].isidentifier():
            yield from ((token.start[0] + k, line) for k, line in enumerate(token.string.splitlines()))


def hits(lines: Iterator[tuple[Path, int, str]]) -> list[str]:
    """List what is written with a word that has a better one: file, line, word, what to write instead."""
    better, found, before = list(INSTEAD.values()), [], ""
    for path, number, line in lines:
        name = path.relative_to(kit_root()).as_posix()
        text = re.sub(r"^\W*", "ground " if before.endswith("ground") else "", line)  # "ground" ends the line before
        for match in PATTERN.finditer(text):
            if match[0].lower() not in QUOTED.get(name, ()):
                found.append(f"{name}:{number}: {match[0]!r}, better: {better[match.lastindex - 1]}")
        before = line.rstrip()
    return found


def test_people_read_the_words_of_the_field():
    found = hits(texts())
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("Images are drawn anew.", "drawn"),
        ("One notebook a paper.", "One notebook a paper"),
        ("the truth", "truth"),
        ("the colour of the centre", "colour"),
        ("we normalise", "normalise"),
        ("the printed numbers", "printed numbers"),
    ],
)
def test_a_word_is_found(line, word):
    assert repr(word) in "".join(hits(iter([(kit_root() / "README.md", 1, line)])))


def test_the_words_of_the_field_pass():
    lines = ["the ground", "truth of each image, which the paper reports", "a notebook per paper", "says = 'x'"]
    assert not hits((kit_root() / "README.md", number, line) for number, line in enumerate(lines))


TERMS = ("ground truth", "overfitting", "data leakage", "hyperparameter", "baseline", "ablation", "domain shift",
         "inter-rater agreement", "learning curve")  # fmt: skip


@pytest.mark.parametrize("term", TERMS)
def test_a_course_on_few_images_explains_its_terms(term):
    glossary = (kit_root() / "docs" / "glossary.md").read_text("utf-8")
    assert re.search(rf"^\|[^|]*{term}[^|]*\| \S", glossary, re.MULTILINE)
    notebooks = "".join(path.read_text("utf-8") for path in (kit_root() / "notebooks").glob("[0-9]*.py"))
    assert re.search(term.replace(" ", r"(?:\s|#|\*)+").replace("fitting", "fit"), notebooks, re.IGNORECASE)
