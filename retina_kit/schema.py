"""One validation layer for everything a person writes: experiments, data set cards and published values.

Settings are frozen pydantic dataclasses. A name that does not exist is an error that tells where it is and which
name was probably meant; a value of the wrong type is an error that tells what was expected.
"""

import dataclasses
import functools
import json
import math
import types
import typing
from collections.abc import Iterable
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from retina_kit.errors import UsageError, did_you_mean

T = TypeVar("T")

STRICT = ConfigDict(extra="forbid", strict=True)  # for @pydantic.dataclasses.dataclass(frozen=True, config=STRICT)


def as_tuple(value: Any) -> Any:
    """Return a list as a tuple and a single text as a tuple of one; anything else as it is.

    >>> as_tuple("encoder"), as_tuple([64, 96])
    (('encoder',), (64, 96))
    """
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Names = Annotated[tuple[str, ...], BeforeValidator(as_tuple)]
Ints = Annotated[tuple[int, ...], BeforeValidator(as_tuple)]
Floats = Annotated[tuple[float, ...], BeforeValidator(as_tuple)]
Size = Annotated[tuple[int, int], BeforeValidator(as_tuple)]  # height, width
Range = Annotated[tuple[float, float], BeforeValidator(as_tuple)]  # low, high


def parse(kind: type[T], content: dict, where: str, error: type[Exception] = UsageError) -> T:
    """Return parsed TOML or JSON content as a `kind`; raise `error` with `where` and the field if it does not fit."""
    try:
        adapter: TypeAdapter[T] = _adapter(kind)  # type: ignore[arg-type]  # a class is hashable
        return adapter.validate_json(json.dumps(content, default=str))  # dates as text
    except ValidationError as problem:
        raise error(f"{where}: {explain(problem, kind)}") from problem


@functools.cache
def _adapter(kind: Any) -> TypeAdapter:
    return TypeAdapter(kind)


def to_json(settings: Any, *, defaults: bool = False) -> dict[str, Any]:
    """Return settings as plain JSON data; fields with their default value only if `defaults` are asked for.

    Without them, a new option leaves the hash of every earlier run as it was.
    """
    found = {}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        default = field.default_factory() if callable(field.default_factory) else field.default
        if defaults or value != default:
            found[field.name] = _plain(value, defaults)
    return found


def _plain(value: Any, defaults: bool) -> Any:
    if dataclasses.is_dataclass(value):
        return to_json(value, defaults=defaults)
    if isinstance(value, dict):
        return {str(key): _plain(item, defaults) for key, item in value.items()}
    return [_plain(item, defaults) for item in value] if isinstance(value, list | tuple) else value


def explain(error: ValidationError, kind: Any = None) -> str:
    """Return in one line what is wrong: the path of each field and what was expected there.

    `kind` is the class that was validated; with it an unknown name comes with the closest known one.
    """
    return "; ".join(_explain_one(problem, error.title, kind) for problem in error.errors(include_url=False))


def _explain_one(problem: Any, title: str, kind: Any) -> str:
    *path, name = problem["loc"] or ("",)
    if problem["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        known = field_names(kind, path) if kind else []
        return f"{_dotted(path) or title} has no setting {name!r}{did_you_mean(name, known)}"
    where = _dotted(problem["loc"]) or title
    if problem["type"] in ("missing", "missing_argument"):
        return f"{where} is missing"
    if problem["type"] == "value_error":  # raised by a validator of the kit: its message is complete
        return f"{where}: {problem['ctx']['error']}"
    return f"{where} is {problem['input']!r}: {problem['msg'][:1].lower()}{problem['msg'][1:]}"


def _dotted(path: Iterable[str | int]) -> str:
    """Return a path such as sources[2].file; what pydantic adds for unions is left out."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part.isidentifier() or part.replace("-", "_").isidentifier():
            text += f".{part}"
    return text.removeprefix(".")


def field_names(kind: Any, path: Iterable[str | int] = ()) -> list[str]:
    """Return the names of the fields that a settings class has at a path, an empty list if it has none there."""
    for part in path:
        hints = typing.get_type_hints(kind) if dataclasses.is_dataclass(kind) else {}
        if part in hints:
            kind = hints[part]
        kind = _inside(kind)
    kind = _inside(kind)
    return [field.name for field in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []


def _inside(kind: Any) -> Any:
    """Return the settings class within a container or an optional, the kind itself if there is none."""
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is not None:
        for inner in typing.get_args(kind):
            if dataclasses.is_dataclass(found := _inside(inner)):
                return found
    return kind


def without_nan(value: Any) -> Any:
    """Copy nested data with None for the numbers that JSON cannot write.

    >>> without_nan({"dice": [0.5, float("nan")]})
    {'dice': [0.5, None]}
    """
    if isinstance(value, dict):
        return {str(key): without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
