"""What a paper prints, read from data_manifests/published/<paper>.toml, and our numbers beside it.

Printed numbers are kept as they stand (a string), as a fraction, and with the half width of what rounding or
reading off a plot leaves open, so that an audit can tell a slip from a rounding.
"""

import difflib
import functools
import json
import math
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import fastjsonschema
import pandas as pd

from retina_kit.errors import DataError, UsageError
from retina_kit.files import kit_root

SAME_METRIC = {"sensitivity": "recall", "f1": "dice"}  # two names of one thing
TABLE_COLUMNS = (
    "arm", "metric", "ours_mean", "ours_sd", "ours_ci_low", "ours_ci_high", "n_images", "n_patients",
    "n_seeds", "paper_value", "paper_spread", "paper_spread_is", "note",
)  # fmt: skip
NUMBER_COLUMNS = (
    "id", "item", "row", "metric", "printed", "unit", "value", "half_width", "corrected", "why", "sure",
    "step", "spread", "spread_half_width", "spread_is_printed", "spread_is", "n", "evaluation", "confusion",
    "averaged", "digitised", "literature", "where", "note",
)  # fmt: skip


@dataclass(frozen=True)
class Published:
    """Every number of one paper, what it claims, what is wrong with it, and its tables and figures.

    `numbers` has a row a number (NUMBER_COLUMNS): value, corrected, spread and half widths are fractions
    where the paper prints per cent or fractions, and in the paper's own unit otherwise.
    """

    meta: dict
    numbers: pd.DataFrame
    claims: list = field(default_factory=list)
    errata: list = field(default_factory=list)
    artifacts: list = field(default_factory=list)
    evaluations: dict = field(default_factory=dict)
    counts: dict = field(default_factory=dict)
    splits: list = field(default_factory=list)
    settings: list = field(default_factory=list)
    printed_names: dict = field(default_factory=dict)

    def item(self, name):
        """Return the single numbers (no curve points) that one table or figure prints."""
        numbers = self.numbers[(self.numbers["item"] == name) & self.numbers["step"].isna()]
        if numbers.empty:
            raise _unknown(f"{self.meta['key']} prints no numbers in", name, self.numbers["item"].unique())
        return numbers

    def curves(self, name):
        """Return the points that were read off one figure: row, metric, step, value; hidden ones are NaN."""
        points = self.numbers[(self.numbers["item"] == name) & self.numbers["step"].notna()]
        if points.empty:
            raise UsageError(f"{self.meta['key']} has no curve that was read off {name!r}")
        return points[["row", "metric", "step", "value", "half_width"]].reset_index(drop=True)


def folder_of_published():
    """Return the folder that holds a file of printed numbers for each paper, and their schema."""
    return kit_root() / "data_manifests" / "published"


def read_published(paper):
    """Return the Published of a paper, named by its key or by the path of a TOML file of your own."""
    path = Path(paper)
    if path.suffix != ".toml":
        path = folder_of_published() / f"{paper}.toml"
    if not path.is_file():
        raise _unknown("no printed numbers of", paper, (p.stem for p in folder_of_published().glob("*.toml")))
    return parse_published(path)


def parse_published(path):
    """Return the Published in a TOML file; what the schema does not know is an error with its place."""
    try:
        content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{Path(path).name} is not valid TOML: {error}") from error
    return published_of(content, Path(path).name)


def published_of(content, name="these numbers"):
    """Return the Published of a parsed file; `name` is what errors call it."""
    schema, follows_the_schema = _schema()
    try:
        follows_the_schema(content)
    except fastjsonschema.JsonSchemaValueException as error:
        raise DataError(f"{name}, {_best_message(schema, content) or error.message}") from error
    published = unchecked_published(content, name)
    _check_references(published, name)
    return published


@functools.cache
def _schema():
    """Return the schema of published numbers and a function that raises where content does not follow it."""
    schema = json.loads((folder_of_published() / "schema.json").read_text(encoding="utf-8"))
    return schema, fastjsonschema.compile(schema)


def _best_message(schema, content):
    """Return the place and the plainest of the errors; imported only now, since jsonschema takes a second to load."""
    import jsonschema

    wrong = jsonschema.exceptions.best_match(jsonschema.Draft7Validator(schema).iter_errors(content))
    return wrong and f"{'.'.join(str(part) for part in wrong.absolute_path) or 'top level'}: {wrong.message}"


def unchecked_published(content, name="these numbers"):
    """Return the Published of a parsed file that needs no checking, such as thousands of drawn tables."""
    records = [*_of_confusions(content), *_of_numbers(content), *_of_curves(content, name)]
    return Published(
        meta=content["paper"],
        numbers=pd.DataFrame(records, columns=NUMBER_COLUMNS),
        claims=content.get("claim", []),
        errata=content.get("erratum", []),
        artifacts=content.get("artifact", []),
        evaluations={entry["id"]: entry for entry in content.get("evaluation", [])},
        counts={entry["id"]: entry for entry in content.get("count", [])},
        splits=content.get("split", []),
        settings=content.get("setting", []),
        printed_names=content.get("printed_names", {}),
    )


def _of_confusions(content):
    """Yield one record a number of the [[confusion]] rows."""
    for entry in content.get("confusion", []):
        group = f"{entry['item']}/{entry['row']}"
        for metric, printed in entry["values"].items():
            corrected = entry.get("corrected", {}).get(metric)
            single = {**entry, "metric": metric, "value": printed, "confusion": group, "corrected": corrected}
            if corrected is None:
                single |= {"why": "", "sure": ""}
            yield _record(single)


def _of_numbers(content):
    """Yield one record a [[number]]."""
    for entry in content.get("number", []):
        yield _record(entry)


def _of_curves(content, name):
    """Yield one record a point of the [[curve]] entries."""
    for entry in content.get("curve", []):
        values = entry["values"]
        steps = entry.get("steps") or [entry["every"] * (k + 1) for k in range(len(values))]
        if len(steps) != len(values):
            raise DataError(f"{name}, curve {entry['row']!r}: {len(steps)} steps but {len(values)} values")
        for step, value in zip(steps, values, strict=True):
            single = {
                **entry,
                "value": str(value),
                "half": entry["accuracy"],
                "step": step,
                "digitised": True,
            }
            yield _record(single)


def _record(entry):
    """Return one row of the numbers table, per cent turned into fractions."""
    factor = 0.01 if entry["unit"] == "percent" else 1.0
    corrected, spread = entry.get("corrected"), entry.get("spread")
    step = entry.get("step", math.nan)
    place = [entry["item"], entry["row"], entry["metric"]] + ([str(step)] if "step" in entry else [])
    known = {name: entry.get(name, "") for name in ("why", "sure", "evaluation", "confusion", "where", "note")}
    return {
        **known,
        "id": entry.get("id", "/".join(place)),
        **{name: entry[name] for name in ("item", "row", "metric")},
        "printed": entry["value"],
        "unit": "fraction" if entry["unit"] == "percent" else entry["unit"],
        "value": float(entry["value"]) * factor,
        "half_width": entry.get("half", half_unit(entry["value"])) * factor,
        "corrected": math.nan if corrected is None else float(corrected) * factor,
        "step": step,
        "spread": math.nan if spread is None else float(spread) * factor,
        "spread_half_width": math.nan if spread is None else half_unit(spread) * factor,
        "spread_is_printed": entry.get("spread_is_printed", ""),
        "spread_is": entry.get("spread_is", entry.get("spread_is_printed", "")),
        "n": entry.get("n", math.nan),
        **{name: entry.get(name, False) for name in ("averaged", "digitised", "literature")},
    }


def half_unit(printed):
    """Return half a unit of the last printed digit: "86.6" is 86.55 to 86.65, so 0.05."""
    return 0.5 * 10.0 ** -len(printed.partition(".")[2])


def _check_references(published, name):
    """Raise DataError where an id is used twice, or named but not there."""
    ids = published.numbers["id"]
    repeated = ids[ids.duplicated()].tolist()
    if repeated:
        raise DataError(f"{name}: two numbers are called {repeated[0]!r}; give one of them another row or id")
    wanted = [(e, published.evaluations, "evaluation") for e in published.numbers["evaluation"].unique() if e]
    wanted += [(c, published.counts, "count") for s in published.splits for c in s["parts"] + s["sources"]]
    wanted += [(n, set(ids), "number") for c in published.claims for pair in c.get("pairs", []) for n in pair]
    for reference, known, kind in wanted:
        if reference not in known:
            raise DataError(f"{name}: {_unknown(f'no {kind} is called', reference, known)}")


def _unknown(what, given, known):
    """Return a UsageError that says what there is and what was perhaps meant."""
    known = sorted(map(str, known))
    close = difflib.get_close_matches(str(given), known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return UsageError(f"{what} {str(given)!r}{hint} There are: {', '.join(known)}")


def beside_paper(summary, published, item, rows):
    """Return the tidy table of one item, TABLE_COLUMNS: our summary of each arm, then what the paper prints.

    `summary` comes from scoring.summarize; `rows` maps an arm to the paper's row label, "" where the paper has no
    such row; an `item` of "" is a table that the paper does not have. The paper's value is the corrected one where
    a slip is certain; the note says what is printed. Printed rows and columns that no arm stands for follow, ours
    left empty, so nothing is dropped.
    """
    printed = published.item(item) if item else published.numbers.iloc[:0]
    for arm, row in rows.items():
        if row and row not in set(printed["row"]):
            raise _unknown(f"arm {arm}: {item} of {published.meta['key']} prints no row", row, printed["row"].unique())
    records, used = [], set()
    ours = {(line["arm"], line["metric"]): line for line in summary.to_dict("records")}
    theirs = {(n["row"], SAME_METRIC.get(n["metric"], n["metric"])): n for n in printed.to_dict("records")}
    for arm, row in rows.items():
        metrics = [metric for name, metric in ours if name == arm]
        for metric in metrics:
            key = (row, SAME_METRIC.get(metric, metric))
            records.append(_line(arm, metric, ours[arm, metric], theirs.get(key)))
            used.add(key)
        for key in [key for key in theirs if key[0] == row and key not in used]:
            records.append(_line(arm, theirs[key]["metric"], None, theirs[key]))
            used.add(key)
    records += [_line(key[0], n["metric"], None, n) for key, n in theirs.items() if key not in used]
    return pd.DataFrame(records, columns=TABLE_COLUMNS)


def _line(arm, metric, ours, printed):
    """Return one row of the tidy table; `ours` or `printed` may be None."""
    line = {"arm": arm, "metric": metric, **dict.fromkeys(TABLE_COLUMNS[2:-2], math.nan)}
    line |= {"paper_spread_is": "", "n_images": 0, "n_patients": 0, "n_seeds": 0}
    notes = [] if ours else ["not run here"]
    if ours:
        line |= {name: ours[name] for name in TABLE_COLUMNS[2:9]}
        notes.append(ours.get("note", ""))
    if printed:
        line |= {"paper_value": paper_value(printed), "paper_spread": printed["spread"]}
        line["paper_spread_is"] = printed["spread_is"]
        notes.append(note_of(printed))
    return line | {"note": "; ".join(note for note in notes if note)}


def paper_value(number):
    """Return what the paper means: the printed value, or the corrected one where the slip is certain."""
    return number["corrected"] if number["sure"] == "certain" else number["value"]


def note_of(number):
    """Return what a reader of a printed number must know: what is corrected, read off, or of others."""
    notes = []
    if number["sure"] == "certain":
        notes.append(f"printed {number['printed']}: {number['why']}")
    elif number["sure"]:
        notes.append(f"perhaps {number['corrected']:g} ({number['sure']}): {number['why']}")
    if number["spread_is"] != number["spread_is_printed"]:
        notes.append(f"the spread is printed as {number['spread_is_printed']}")
    if number["literature"]:
        notes.append("other authors' number")
    return "; ".join([*notes, *([number["note"]] if number["note"] else [])])
