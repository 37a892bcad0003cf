"""Renders the templates of this package, and describes the schema of published values in comments."""

import dataclasses
import inspect
from pathlib import Path
from typing import Any

import jinja2

from retina_kit.papers import entries

ENTRIES = {  # table of a file of published values -> the class of its entries
    "paper": entries.Paper,
    "evaluation": entries.Evaluation,
    "number": entries.Number,
    "confusion": entries.Row,
    "curve": entries.Curve,
    "count": entries.Count,
    "split": entries.Split,
    "setting": entries.PublishedSetting,
    "claim": entries.PublishedClaim,
    "erratum": entries.Erratum,
    "artifact": entries.Artifact,
}


def render(template: str, **values: Any) -> str:
    """Render a template of this package, such as "README.md.jinja"."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # the templates make Python, TOML and Markdown, no HTML
    )
    return environment.get_template(template).render(**values)


def schema_help(entry: str) -> list[str]:
    """Describe one kind of entry of a file of published values, in lines of at most 118 characters.

    >>> for line in schema_help("erratum"):
    ...     print(line)
    [[erratum]] A mistake in the paper and the evidence for it.
      needs: what, evidence, sure
      may have: where
    """
    kind = ENTRIES[entry]
    needed: list[str] = []
    optional: list[str] = []
    for field in dataclasses.fields(kind):
        has_default = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        (optional if has_default else needed).append(field.name)
    bracket = "[paper]" if entry == "paper" else f"[[{entry}]]"
    first, *more = inspect.cleandoc(kind.__doc__ or "").splitlines()
    first = first.replace("A [[confusion]] entry: o", "O").replace(f"A [[{entry}]] entry: ", "")
    lines = [f"{bracket} {first[:1].upper()}{first[1:]}", *(f"  {line}" for line in more if line)]
    lines.append(f"  needs: {', '.join(needed)}")
    return lines + ([f"  may have: {', '.join(optional)}"] if optional else [])
