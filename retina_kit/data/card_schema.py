"""The rules of a card, data_manifests/<name>.toml, as a JSON schema: an unknown key is an error."""

import fastjsonschema

from retina_kit.errors import DataError
from retina_kit.packs.convert import CONVERSIONS

TEXT = {"type": "string", "minLength": 1}
MEANINGS = {"type": "object", "additionalProperties": TEXT, "propertyNames": {"pattern": "^[a-z][a-z0-9_]*$"}}
INSIDE = {"type": "string", "pattern": r"^(?!/)(?!.*\.\.)[^\\]+$"}  # a relative path that stays where it is
PARTS = {"type": "array", "items": TEXT, "minItems": 2}
SOURCE = {
    "type": "object",
    "properties": {
        "of": {"type": "string", "pattern": "^(image|mask_[a-z0-9_]+)$"},
        "base": {"type": "string", "pattern": "^https://[^?#]*/[0-9a-f]{40}$"},  # pinned to a commit
        "file": INSIDE,
        "also": {"type": "array", "items": INSIDE},
        "where": {"type": "object", "additionalProperties": {"type": "string"}},
        "convert": {"enum": sorted(CONVERSIONS)},
        "quality": {"type": "integer", "minimum": 1, "maximum": 100},
        "variable": TEXT,
        "scan": TEXT,
    },
    "required": ["of", "convert"],
    "additionalProperties": False,
    "allOf": [
        {"if": {"properties": {"convert": {"const": "jpeg"}}}, "then": {"required": ["quality"]}},
        {"if": {"properties": {"convert": {"const": "empty_mask"}}}, "else": {"required": ["file"]}},
        {
            "if": {"properties": {"convert": {"pattern": "^matlab"}}},
            "then": {"required": ["variable", "scan"]},
        },
    ],
}
CARD = {
    "type": "object",
    "properties": {
        "title": TEXT,
        "home": {"type": "string", "pattern": "^(https?://|own images$)"},
        "license": TEXT,
        "access": {"enum": ["open", "terms", "registration", "request", "own"]},
        "redistribute": {"type": "boolean"},
        "citation": TEXT,
        "doi": {"type": "string", "pattern": r"^10\.\d{4,}/\S+$"},
        "modality": {"enum": ["oct", "fundus"]},
        "channels": {"enum": [1, 3]},
        "size": {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 2, "maxItems": 2},
        "how_to_get": TEXT,
        "changes": TEXT,
        "traps": {"type": "array", "items": TEXT},
        "masks": MEANINGS,
        "derived": {"type": "object", "additionalProperties": PARTS},
        "labels": MEANINGS,
        "sources": {"type": "array", "items": SOURCE},
    },
    "required": [
        "title", "home", "license", "access", "redistribute", "citation", "modality", "channels",
        "how_to_get",
    ],
    "additionalProperties": False,
}  # fmt: skip

_follows_the_rules = fastjsonschema.compile(CARD)


def check_card(content, file_name):
    """Raise a DataError that names the first thing in a card's content that is against the rules."""
    try:
        _follows_the_rules(content)
    except fastjsonschema.JsonSchemaValueException as error:
        raise DataError(f"card {file_name}: {error.message.replace('data', 'card', 1)}") from error
    for name, parts in content.get("derived", {}).items():
        unknown = set(parts) - set(content.get("masks", {}))
        if unknown:
            raise DataError(f"card {file_name}: derived mask {name} needs {sorted(unknown)[0]!r}, which is no mask")
    columns = {"image", *(f"mask_{name}" for name in content.get("masks", {}))}
    for source in content.get("sources", []):
        if source["of"] not in columns:
            raise DataError(f"card {file_name}: a source is of {source['of']!r}, which is no column of the manifest")
