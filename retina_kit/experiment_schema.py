"""The shape of an experiment file, as a JSON schema: which entries are tables, lists, text or numbers."""

import fastjsonschema

from retina_kit.errors import UsageError

TEXT = {"type": "string"}
TEXTS = {"type": "array", "items": TEXT}
TABLE = {"type": "object"}
COUNT = {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 10_000}, TEXT]}  # a text names a parameter
SECTIONS = ("data", "split", "model", "start", "recipe", "evaluation")
ARM = {
    "type": "object",
    "properties": {
        "name": TEXT,
        "label": TEXT,
        "role": TEXT,
        "like": TEXTS,
        "each": {"type": "object", "additionalProperties": {"type": "array", "maxItems": 1000}, "maxProperties": 8},
        "without": {"type": "array", "items": TABLE},
        "profiles": TEXTS,
        "needs": TEXTS,
        "seeds": {"anyOf": [{"type": "array", "items": {"type": "integer"}}, TEXT]},
        "folds": COUNT,
        "task": TEXT,
        **{section: {"type": ["object", "string"]} for section in SECTIONS},
    },
}
EXPERIMENT = {
    "type": "object",
    "properties": {
        "paper": TEXT,
        "title": TEXT,
        "notebook": TEXT,
        "data": {"type": "object", "additionalProperties": TABLE},
        "parameters": {"type": "object", "additionalProperties": TABLE},
        "preset": {"type": "object", "additionalProperties": ARM},
        "arm": {"type": "array", "items": ARM},
        "table": {"type": "array", "items": TABLE},
        "claim": {"type": "array", "items": TABLE},
        "artifacts": TABLE,
    },
}

_has_the_shape = fastjsonschema.compile(EXPERIMENT)


def check_shape(file_name, content):
    """Raise a UsageError that names the first entry of an experiment file which is not of the kind it must be."""
    try:
        _has_the_shape(content)
    except fastjsonschema.JsonSchemaValueException as error:
        raise UsageError(f"{file_name}: {error.message.replace('data.', '', 1)}") from error
