"""placeholder"""

from pydantic.dataclasses import dataclass

from retina_kit.schema import STRICT, Names


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Table:
    """placeholder"""

    id: str
    title: str
    metrics: Names
    rows: dict[str, str]
    item: str | None = None
    pooled: bool = True
    mark_findings: bool = False
