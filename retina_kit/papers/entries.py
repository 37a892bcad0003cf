"""The entries of a file of published values, data_manifests/published/<paper>.toml: one class per kind of entry.

Published values are text, because their last digit tells how they were rounded: "86.60" is not "86.6".
"""

from dataclasses import field
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic.dataclasses import dataclass

from retina_kit.errors import did_you_mean
from retina_kit.evaluation.metrics import COUNT_METRICS, IMAGE_METRICS
from retina_kit.schema import STRICT, Positive

OTHER_METRICS = ("auc", "average_precision", "compactness", "solidity", "mse", "distance", "loss", "p_value", "time")
METRICS = (*COUNT_METRICS, *IMAGE_METRICS, *OTHER_METRICS)
SAME_METRIC = {"sensitivity": "recall", "f1": "dice"}  # two names of one metric


def _known_metric(name: str) -> str:
    """Pass a metric's name on; raise ValueError with the closest known name if there is no such metric."""
    if name not in METRICS:
        raise ValueError(f"no metric is called {name!r}{did_you_mean(name, METRICS)}")
    return name


Metric = Annotated[str, AfterValidator(_known_metric)]
Item = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]  # a table, figure or section: "table1", "text"
Printed = Annotated[str, Field(pattern=r"^-?[0-9]+(\.[0-9]+)?$")]
PrintedByMetric = Annotated[dict[Metric, Printed], Field(min_length=1)]
Unit = Literal["percent", "fraction", "pixels", "pixels2", "seconds", "minutes", "hours"]
Sure = Literal["certain", "likely", "possible"]
Spread = Literal["SD", "SEM"]
SomeNames = Annotated[tuple[str, ...], Field(min_length=1)]


def _check_correction(entry: "Row | Number") -> None:
    """Raise ValueError if a corrected value lacks its reason or how certain it is, or these lack the value."""
    if entry.corrected and not (entry.why and entry.sure):
        raise ValueError("corrected needs why and sure")
    if entry.sure and not entry.corrected:
        raise ValueError("sure needs corrected; a doubt without a better value belongs into note")


@dataclass(frozen=True, config=STRICT)
class Paper:
    """Who published the values, and where."""

    key: str
    title: str
    authors: SomeNames
    year: int
    citation: str
    venue: str = ""
    doi: str = ""
    url: str = ""
    code: str = ""


@dataclass(frozen=True, config=STRICT)
class Evaluation:
    """A set of images on which several rows were scored."""

    id: str
    what: str
    num_images: Positive | None = None
    num_patients: Positive | None = None


@dataclass(frozen=True, config=STRICT)
class Row:
    """A [[confusion]] entry: one published row whose values come from one confusion matrix.

    `averaged` marks means over images, which are not those of one pooled matrix; `literature` another author's row.
    """

    item: Item
    row: str
    values: PrintedByMetric
    unit: Unit
    where: str
    evaluation: str = ""
    corrected: PrintedByMetric | None = None
    why: str = ""
    sure: Sure | None = None
    averaged: bool = False
    literature: bool = False
    note: str = ""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_correction(self)
        unknown = sorted(set(self.corrected or {}) - set(self.values))
        if unknown:
            raise ValueError(f"corrected has {unknown[0]!r}, which is not among the values")
        return self


@dataclass(frozen=True, config=STRICT)
class Number:
    """A [[number]] entry: a single published value, with its spread over `n` images if there is one.

    `spread_is_printed` is what the paper calls the spread, `spread_is` what it must be.
    """

    item: Item
    row: str
    metric: Metric
    value: Printed
    unit: Unit
    where: str
    id: str = ""
    corrected: Printed | None = None
    why: str = ""
    sure: Sure | None = None
    spread: Printed | None = None
    spread_is_printed: Spread | None = None
    spread_is: Spread | None = None
    n: Positive | None = None
    evaluation: str = ""
    literature: bool = False
    note: str = ""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_correction(self)
        if self.spread and not self.spread_is_printed:
            raise ValueError("spread needs spread_is_printed")
        if self.spread_is and not self.spread:
            raise ValueError("spread_is needs spread")
        return self


@dataclass(frozen=True, config=STRICT)
class Curve:
    """A [[curve]] entry: values digitized from a plot, NaN for a hidden point; `accuracy` is +-, in the unit.

    The steps are those listed, or every `every` steps.
    """

    item: Item
    row: str
    metric: Metric
    unit: Unit
    values: Annotated[tuple[float, ...], Field(min_length=1)]
    accuracy: float
    where: str
    every: Positive | None = None
    steps: tuple[int, ...] | None = None
    evaluation: str = ""
    note: str = ""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.every is None) == (self.steps is None):
            raise ValueError("a curve needs either every or steps")
        if self.steps is not None and len(self.steps) != len(self.values):
            raise ValueError(f"{len(self.steps)} steps but {len(self.values)} values")
        return self

    def all_steps(self) -> tuple[int, ...]:
        """Return the training step of each value."""
        return self.steps or tuple((self.every or 1) * (k + 1) for k in range(len(self.values)))


@dataclass(frozen=True, config=STRICT)
class Count:
    """A published whole number: of images, patients or parameters."""

    id: str
    what: str
    value: Annotated[int, Field(ge=0)]
    where: str
    note: str = ""


@dataclass(frozen=True, config=STRICT)
class Split:
    """Counts that are parts of a whole; `copies` is how many images augmentation makes of each, itself included."""

    what: str
    parts: SomeNames
    sources: SomeNames
    where: str
    copies: Positive | None = None


@dataclass(frozen=True, config=STRICT)
class PublishedSetting:
    """A hyperparameter that the paper reports."""

    item: Item
    name: str
    value: str
    where: str
    note: str = ""


@dataclass(frozen=True, config=STRICT)
class PublishedClaim:
    """What the paper concludes from its numbers, in our words.

    `pairs` holds ids of published numbers: the better one, then its baseline.
    """

    id: str
    statement: str
    test: str
    where: str
    pairs: tuple[tuple[str, str], ...] = ()
    note: str = ""


@dataclass(frozen=True, config=STRICT)
class Erratum:
    """A mistake in the paper and the evidence for it."""

    what: str
    evidence: str
    sure: Sure
    where: str = ""


@dataclass(frozen=True, config=STRICT)
class Artifact:
    """A table or figure of the paper; `why` is the reason if it cannot be reproduced."""

    id: Item
    title: str
    why: str = ""


@dataclass(frozen=True, config=STRICT)
class PublishedFile:
    """A whole file; `printed_names` maps a metric to the paper's own column heading if that differs."""

    paper: Paper
    printed_names: dict[Metric, str] = field(default_factory=dict)
    evaluation: tuple[Evaluation, ...] = ()
    confusion: tuple[Row, ...] = ()
    number: tuple[Number, ...] = ()
    curve: tuple[Curve, ...] = ()
    count: tuple[Count, ...] = ()
    split: tuple[Split, ...] = ()
    setting: tuple[PublishedSetting, ...] = ()
    claim: tuple[PublishedClaim, ...] = ()
    erratum: tuple[Erratum, ...] = ()
    artifact: tuple[Artifact, ...] = ()
