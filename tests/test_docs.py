"""The documentation: links lead somewhere, the README is short and fresh, the reference names every field."""

import dataclasses
import re
from pathlib import Path

import pandas as pd
import pytest

from retina_kit.authoring.readme import findings_markdown, fresh_readme
from retina_kit.authoring.reference import CLASSES, reference_markdown
from retina_kit.evaluation.claims import Claim, headline
from retina_kit.experiment_file import find_paper, list_papers
from retina_kit.files import kit_root
from retina_kit.reporting.timing import read_timing

ROOT = kit_root()
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("notebooks/**/*.md"), *ROOT.glob("benchmarks/*.md")]
)
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(#[^)\s]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_relative_links_lead_to_files(page):
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    for target, anchor in LINK.findall(text):
        found = (page.parent / target).resolve() if target else page
        assert found.exists(), f"{page.name}: {target}"
        if anchor and found.suffix == ".md":
            titles = re.findall(r"^#+ (.*)$", found.read_text("utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
            assert anchor[1:] in anchors, f"{page.name}: {target}{anchor}"


def test_links_of_notebooks_lead_to_files():
    for source in (ROOT / "notebooks").glob("[0-9]*.py"):
        for target, _ in LINK.findall(source.read_text("utf-8")):
            assert (source.parent / target).exists(), f"{source.name}: {target}"


def test_the_readme_is_short_and_its_made_parts_are_fresh():
    readme = (ROOT / "README.md").read_text("utf-8")
    assert len(readme.splitlines()) <= 140
    assert readme == fresh_readme(readme), "run python -m retina_kit.authoring.readme"
    minutes = {timing.precision: timing.all_papers for timing in read_timing()}
    assert f"{minutes['bfloat16']:g} minutes (float32: {minutes['float32']:g})" in readme


def test_kept_claims_become_a_row(tmp_path):
    key = list_papers()[0]
    claim = next(claim for claim in find_paper(key).claims if claim.kind == "replication")
    row = {"claim": claim.id, "statistic": "dice_nonempty, a minus b", "verdict": "inconclusive", "estimate": 0.1}
    row |= {"ci_low": -0.05, "ci_high": 0.2}
    pd.DataFrame([row]).to_csv(tmp_path / f"{key}_lesson_public_claims.csv", index=False)
    (line,) = findings_markdown(tmp_path, [key]).splitlines()[2:]
    assert "**inconclusive**, Dice +0.100 (-0.050 to +0.200) | " in line
    assert line.endswith('": not run yet | public |')  # after the question that the control asks
    assert "pretraining helps" in line


def test_the_control_of_a_row_is_about_a_transfer_and_corrects_its_claim():
    kinds = {
        "a": ("replication", ""),
        "b": ("replication", ""),
        "c": ("control", ""),
        "b_at_equal_steps": ("control", "b"),
    }
    claims = [Claim(key, key, kind, "greater", arms=["x", "y"], transfer=what) for key, (kind, what) in kinds.items()]
    assert [claim.id for claim in headline(claims)] == ["b", "b_at_equal_steps"]
    assert [claim.id for claim in headline(claims[:3])] == ["a", "c"]
    assert headline(claims[:1]) == (claims[0], None)


def test_the_reference_names_every_field():
    page = (ROOT / "docs" / "experiment_file.md").read_text("utf-8")
    assert page == reference_markdown(), "run python -m retina_kit.authoring.reference"
    for kind in CLASSES:
        section = page.split(f"## {kind.__name__}\n", 1)[1].split("\n## ", 1)[0]
        for item in dataclasses.fields(kind):
            assert f"| `{item.name}` |" in section


def test_an_image_of_the_readme_is_small():
    for name in re.findall(r"!\[[^]]*\]\((?!http)([^)]+)\)", (ROOT / "README.md").read_text("utf-8")):
        assert Path(ROOT / name).stat().st_size < 200_000
