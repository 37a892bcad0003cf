"""Reads notebooks/experiments/<paper>.toml: parameters, presets and arms, resolved for a profile and a data choice.

A parameter is a table `{value, lesson, smoke, on_synthetic, on_public, on_paper, what, where}`: `value` is the paper's
own setting (profile `paper`), the others replace it; on_paper where the sets that can be had differ from the paper's.
Arms name parameters as "$name" or "$name.key" and take shared settings from presets. Whatever the file says that this
module does not know is an error.
"""

import copy
import difflib
import itertools
import math
import re
import tomllib
from pathlib import Path

from retina_kit.errors import UsageError
from retina_kit.experiment_schema import SECTIONS, check_shape
from retina_kit.files import kit_root

PROFILES = ("smoke", "lesson", "paper")
DATA_CHOICES = ("synthetic", "public", "paper")
TOP_KEYS = {
    "paper", "title", "notebook", "question", "data", "parameters", "preset", "arm", "table", "claim", "artifacts",
}  # fmt: skip
PARAMETER_KEYS = {
    "value", "lesson", "smoke", "on_synthetic", "on_public", "on_paper", "on_own", "what", "where", "ours",
}  # fmt: skip
ARM_KEYS = {
    "name", "label", "role", "like", "each", "without", "profiles", "on", "needs", "seeds", "folds", "task", "data",
    "split", "model", "start", "recipe", "evaluation",
}  # fmt: skip
ROLES = ("pretraining", "replication", "control")


def list_papers():
    """Return the papers that have an experiment file, in the notebooks' order."""
    folder = kit_root() / "notebooks" / "experiments"
    return sorted((path.stem for path in folder.glob("*.toml")), key=lambda paper: read_experiment(paper)["notebook"])


def unknown_name(kind, name, known):
    """Return a UsageError that says what there is and what was perhaps meant."""
    close = difflib.get_close_matches(str(name), [str(item) for item in known], n=1)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    return UsageError(f"no {kind} is called {name!r}{hint} There are: {', '.join(map(str, known))}")


def read_experiment(paper):
    """Return the parsed experiment file of a paper, its keys checked."""
    folder = kit_root() / "notebooks" / "experiments"
    path = folder / f"{paper}.toml"
    if not path.is_file():
        raise unknown_name("paper", paper, sorted(found.stem for found in folder.glob("*.toml")))
    return parse_experiment(path)


def parse_experiment(path):
    """Return an experiment file as a dict; TOML errors and unknown keys name the file."""
    path = Path(path)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{path.name} is not valid TOML: {error}") from error
    check_keys(path.name, content, TOP_KEYS)
    check_shape(path.name, content)
    for key in ("paper", "title", "notebook", "data", "parameters", "arm"):
        if key not in content:
            raise UsageError(f"{path.name} lacks {key!r}")
    for name, parameter in content["parameters"].items():
        check_keys(f"{path.name}, parameter {name}", parameter, PARAMETER_KEYS)
        for key in ("value", "what"):
            if key not in parameter:
                raise UsageError(f"{path.name}: parameter {name} lacks {key!r}")
    for preset in content.get("preset", {}).values():
        check_keys(f"{path.name}, preset", preset, ARM_KEYS)
    for arm in content["arm"]:
        if "name" not in arm:
            raise UsageError(f"{path.name}: an arm has no name: {arm}")
        check_keys(f"{path.name}, arm {arm['name']}", arm, ARM_KEYS)
    return content


def check_keys(where, table, known):
    """Raise where a table has a key that is not known."""
    for key in table:
        if key not in known:
            raise UsageError(f"{where}: {unknown_name('key', key, sorted(known))}")


def resolve_parameters(content, profile, data, overrides=None, *, instead_of=None):
    """Return every parameter's value for this profile and data choice; `overrides` replace them, typed and checked.

    Where a parameter says nothing about the data choice, that of `instead_of` counts: a target of your own ("own")
    takes everything else from the choice that it was laid over.
    """
    values = {}
    for name, entry in content["parameters"].items():
        value = entry.get(profile, entry["value"])
        on_data = entry.get(f"on_{data}", entry.get(f"on_{instead_of}"))
        if isinstance(on_data, dict) and set(on_data) <= set(PROFILES):
            value = on_data.get(profile, value)
        elif on_data is not None:
            value = on_data
        values[name] = value
    for name, value in (overrides or {}).items():
        if name not in values:
            raise unknown_name("parameter", name, sorted(values))
        values[name] = typed_like(name, value, values[name])
    return values


def typed_like(name, given, default):
    """Return a value that the user gave, as text or as a literal, in the type of the default."""
    if isinstance(given, str) and not isinstance(default, str):
        try:
            given = tomllib.loads(f"value = {given}")["value"]
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"parameter {name}={given!r} must be {kind_of(default)}, such as {default!r}") from error
    if isinstance(default, float) and isinstance(given, int) and not isinstance(given, bool) and abs(given) < 2**1000:
        given = float(given)
    if isinstance(given, list) and isinstance(default, list) and len({type(item) for item in default}) == 1:
        return [typed_like(f"{name}[{place}]", item, default[0]) for place, item in enumerate(given)]
    if type(given) is not type(default) or (isinstance(given, float) and not math.isfinite(given)):
        raise UsageError(f"parameter {name}={given!r} must be {kind_of(default)}, such as {default!r}")
    return given


def kind_of(value):
    """Return a type in words."""
    names = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "text",
        list: "a list",
        dict: "a table",
    }
    return names[type(value)]


def resolve_arms(content, profile, values):
    """Return the arms of this profile, every "$name" and preset filled in, in the order of the file."""
    arms = []
    for written in content["arm"]:
        for choice in expand(written.get("each", {}), written.get("without", [])):
            arm = substitute_choice({k: v for k, v in written.items() if k not in ("each", "without")}, choice)
            for preset in reversed(arm.pop("like", [])):  # a later preset wins over an earlier one
                if preset not in content.get("preset", {}):
                    raise unknown_name("preset", preset, sorted(content.get("preset", {})))
                arm = merge(substitute_choice(copy.deepcopy(content["preset"][preset]), choice), arm)
            arm = substitute_parameters(arm, values, arm["name"])
            if profile in arm.pop("profiles", PROFILES):
                arms.append(complete(arm))
    names = [arm["name"] for arm in arms]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"the experiment has two arms called {name!r}")
    return arms


def complete(arm):
    """Return an arm with every section present and its parent's name checked for shape."""
    if arm.get("role") not in ROLES:
        raise UsageError(f"arm {arm['name']}: role must be one of {', '.join(ROLES)}, not {arm.get('role')!r}")
    arm.setdefault("task", "segment")
    arm.setdefault("label", arm["name"])
    arm.setdefault("folds", 0)
    arm.setdefault("needs", [])
    arm.setdefault("on", list(DATA_CHOICES))
    for section in SECTIONS:
        if not isinstance(arm.setdefault(section, {}), dict):
            raise UsageError(f"arm {arm['name']}: {section} must be a table, not {arm[section]!r}")
    return arm


def expand(each, without):
    """Return every combination of the choices of an arm, as dicts, less those listed in `without`."""
    combinations = [dict(zip(each, values, strict=True)) for values in itertools.product(*each.values())]
    return [c for c in combinations if not any(bad.items() <= c.items() for bad in without)]


def substitute_choice(value, choice):
    """Return a copy with "{key}" in every text replaced; a text that is just "{key}" takes the value's own type."""
    if isinstance(value, dict):
        return {key: substitute_choice(item, choice) for key, item in value.items()}
    if isinstance(value, list):
        return [substitute_choice(item, choice) for item in value]
    if isinstance(value, str):
        for key, item in choice.items():
            if value == f"{{{key}}}":
                return item
            value = value.replace(f"{{{key}}}", str(item))
    return value


def substitute_parameters(value, parameters, where):
    """Return a copy in which a text "$name", "$name.key" or "$name * 4" is the parameter's value.

    Within a longer text the value is put in as text. A table with the key `over` is laid over the one named there.
    """
    if isinstance(value, dict):
        filled = {key: substitute_parameters(item, parameters, where) for key, item in value.items()}
        return merge(filled.pop("over"), filled) if isinstance(filled.get("over"), dict) else filled
    if isinstance(value, list):
        return [substitute_parameters(item, parameters, where) for item in value]
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\$(\w+)(?:\.(\w+))?(?: \* (\d{1,9}))?", value)
    if match:
        return value_of(match.groups(), parameters, where)
    return re.sub(r"\$(\w+)(?:\.(\w+))?()", lambda found: str(value_of(found.groups(), parameters, where)), value)


def value_of(reference, parameters, where):
    """Return the value of a reference (name, key or None, factor or None) to a parameter."""
    name, key, factor = reference
    if name not in parameters:
        raise UsageError(f"arm {where}: {unknown_name('parameter', name, sorted(parameters))}")
    found = parameters[name]
    if key is not None:
        if not isinstance(found, dict):
            raise UsageError(f"arm {where}: parameter {name} is not a table and has no entry {key!r}")
        if key not in found:
            raise UsageError(f"arm {where}: {unknown_name(f'entry of {name}', key, sorted(found))}")
        found = found[key]
    if isinstance(found, dict):  # an entry may be "$other", another parameter, as it stands
        named = {f"${other}": entry for other, entry in parameters.items()}
        found = {k: named.get(entry, entry) if isinstance(entry, str) else entry for k, entry in found.items()}
    if factor and (isinstance(found, bool) or not isinstance(found, int | float)):
        raise UsageError(f"arm {where}: parameter {name} is no number and cannot be multiplied by {factor}")
    return found * int(factor) if factor else copy.deepcopy(found)


def merge(base, above):
    """Return `base` with `above` laid over it, table by table; a table with its own `kind` replaces the other."""
    merged = dict(base)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict) and "kind" not in value
        merged[key] = merge(merged[key], value) if both else value
    return merged
