"""Readable tables, and the README's results that must not be stale."""

import math

from retina_kit.files import kit_root
from retina_kit.reporting.tables import in_unit, interval, percent, results_markdown, with_results


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
    readme = (kit_root() / "README.md").read_text(encoding="utf-8")
    markdown = results_markdown((kit_root() / "notebooks" / "results").glob("*.csv"))
    assert with_results(readme, markdown) == readme
