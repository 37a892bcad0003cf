"""Published values of a paper that does not exist: rows, numbers and counts, a few at a time."""

from retina_kit.papers.published import published_of

PAPER = {"key": "mine", "title": "T", "authors": ["A"], "year": 2020, "citation": "A"}


def table_of(*rows, **further):
    """Return the Published of rows of printed values in percent, all on one evaluation set."""
    confusion = [
        {"item": "table1", "row": f"row {k}", "values": values, "unit": "percent", "evaluation": "test",
         "where": "Table 1"}
        for k, values in enumerate(rows)
    ]  # fmt: skip
    evaluation = [{"id": "test", "what": "test images"}]
    return published_of({"paper": PAPER, "evaluation": evaluation, "confusion": confusion, **further})


def number(row, value, spread, n, kind="SD"):
    """Return one printed mean with its spread."""
    found = {"item": "figure1", "row": row, "metric": "dice", "value": value, "unit": "fraction"}
    return {**found, "spread": spread, "spread_is_printed": kind, "n": n, "where": "Figure 1"}


def split_of(parts, sources, copies=None):
    """Return a Published with one split."""
    values = {**{f"p{k}": v for k, v in enumerate(parts)}, **{f"s{k}": v for k, v in enumerate(sources)}}
    count = [{"id": name, "what": name, "value": value, "where": "text"} for name, value in values.items()]
    split = {"what": "all", "where": "text", "parts": [n for n in values if n[0] == "p"],
             "sources": [n for n in values if n[0] == "s"]}  # fmt: skip
    return table_of(count=count, split=[split | ({"copies": copies} if copies else {})])
