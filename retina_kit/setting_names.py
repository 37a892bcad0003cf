"""Overrides as they are given, and names of result folders that follow from them.

A folder is called <profile>-<data>, followed by what differs from the profile's own settings. Its name is short,
readable and safe on every file system. Two different settings never share one: where the readable part leaves
something out, such as the brackets of a list or capital letters, a few digits of a hash follow.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from retina_kit.errors import UsageError

MOST_CHARACTERS = 60  # of the readable part of the overrides; Windows allows 260 for a whole path
HASH_DIGITS = 6
PLAIN = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*")


def setting_name(
    profile: str,
    data: str,
    overrides: Mapping[str, Any] | None = None,
    seeds: Sequence[int] | None = None,
    *,
    own_target: str = "",
) -> str:
    """Return the name of the folder of a setting; `overrides` are typed values that differ from the profile's.

    >>> setting_name("lesson", "synthetic", {"steps": 50, "ratio": [0.5, 2.0]}, seeds=[0, 1, 2])
    'lesson-synthetic-ratio-0.5_2.0-steps-50-seeds-0_1_2'
    >>> setting_name("lesson", "public", own_target="my_eyes"), setting_name("lesson", "public", {"note": "A/B"})
    ('lesson-public-my_eyes', 'lesson-public-note-a_b-4275c4')
    """
    values = dict(sorted((overrides or {}).items())) | ({} if seeds is None else {"seeds": list(seeds)})
    return "-".join(part for part in (profile, data, own_target, values_name(values)) if part)


def values_name(values: Mapping[str, Any]) -> str:
    """Return the part of a folder's name that stands for these values and no others.

    >>> values_name({"steps": [50, 100]}), values_name({"note": "A/B"})
    ('steps-50_100', 'note-a_b-4275c4')
    """
    text = "-".join(f"{name}-{readable(value)}" for name, value in values.items())
    if not all(is_plain(value) for value in values.values()) or len(text) > MOST_CHARACTERS:
        text = f"{text[:MOST_CHARACTERS].rstrip('-._')}-{digits_of(values)}"
    return text


def readable(value: Any) -> str:
    """Return a value as text of small letters, digits, dots and underscores.

    >>> readable(0.001), readable([0, 1]), readable({"stare": 128}), readable("Adam")
    ('0.001', '0_1', 'stare_128', 'adam')
    """
    if isinstance(value, Mapping):
        value = [part for pair in value.items() for part in pair]
    if isinstance(value, list | tuple):
        return "_".join(readable(part) for part in value) or "none"
    text = value if isinstance(value, str) else json.dumps(value).replace("-", "minus")
    return re.sub(r"[^a-z0-9.]+", "_", text.lower()).strip("._") or "none"


def is_plain(value: Any) -> bool:
    """Tell whether the readable text of a value stands for this value only.

    >>> is_plain([0.5, 2.0]), is_plain("soft_dice"), is_plain("Adam"), is_plain([[1], 2])
    (True, True, False, False)
    """
    if isinstance(value, list | tuple):
        return bool(value) and all(isinstance(part, int | float) and is_plain(part) for part in value)
    if isinstance(value, bool | int):
        return value >= 0
    if isinstance(value, float):
        return math.isfinite(value) and value >= 0 and PLAIN.fullmatch(repr(value)) is not None
    return isinstance(value, str) and PLAIN.fullmatch(value) is not None and readable(value) == value


def digits_of(values: Mapping[str, Any]) -> str:
    """Return a few digits of the hash of settings, the same on every machine."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:HASH_DIGITS]


def checked_overrides(overrides: Any) -> dict[str, Any]:
    """Return overrides as a dictionary of their own; UsageError unless they map names to values.

    >>> checked_overrides(None), checked_overrides({"steps": 50})
    ({}, {'steps': 50})
    """
    if overrides is not None and not isinstance(overrides, Mapping):
        raise UsageError(f"overrides={overrides!r} must be a dictionary, such as {{'steps': 100}}")
    return dict(overrides or {})
