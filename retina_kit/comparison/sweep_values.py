"""Parses the values of a sweep: --set steps=50,100,200 or --set "ratio=[0.5, 2.0],[0.9, 1.1]"."""

from collections.abc import Iterable

from retina_kit.errors import UsageError

OPENING, CLOSING = "[{", "]}"


def parse_sweep(settings: Iterable[str]) -> tuple[str, list[str], dict[str, str]]:
    """Return the swept setting, its values as text, and {name: value} of the settings that stay fixed.

    Raises UsageError unless exactly one setting has several values.

    >>> parse_sweep(["steps=50,100", "loss=soft_dice"])
    ('steps', ['50', '100'], {'loss': 'soft_dice'})
    """
    values: dict[str, list[str]] = {}
    for text in settings:
        name, equals, given = text.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--set {text!r} must be NAME=V1,V2,V3, such as --set steps=50,100,200")
        if name.strip() in values:
            raise UsageError(f"--set {name.strip()} is given twice; list all of its values at once")
        values[name.strip()] = split_values(given)
    swept = [name for name, found in values.items() if len(found) > 1]
    if len(swept) != 1:
        found_names = " and ".join(swept) or "none"
        raise UsageError(f"a sweep takes one setting with several values, such as steps=50,100; here: {found_names}")
    fixed = {name: found[0] for name, found in values.items() if name != swept[0]}
    return swept[0], values[swept[0]], fixed


def split_values(text: str) -> list[str]:
    """Split at the commas that are not within brackets or quotes.

    >>> split_values("[0.5, 2.0],[0.9, 1.1]"), split_values("adam, sgd")
    (['[0.5, 2.0]', '[0.9, 1.1]'], ['adam', 'sgd'])
    """
    parts, depth, quote = [""], 0, ""
    for character in text:
        if character in "\"'" and quote in ("", character):
            quote = "" if quote else character
        if not quote:
            depth += (character in OPENING) - (character in CLOSING)
        if character == "," and depth == 0 and not quote:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]
