"""Small damage to real files, as chance and ill will do it: one changed number, text, byte, key, line or member.

Every function takes a `random.Random`, so an input follows from its number alone.
"""

import io
import json
import random
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

OUTSIDE = "../../../../escaped"
VALUES: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 1, 2, 3, 255, 2**31, 2**63, 10**30, -0.5, 0.5, 1e308, float("nan"), float("inf")),
    *("", " ", OUTSIDE, "/etc/passwd", "a/../../b", "\0", "\u202e", "\ud800", "=1+1", "a" * 5000, "NA", "0", "nan"),
    *("<script>alert(1)</script>", "{{ 7 * 7 }}", "%s%n", "con", "ä ö", "line\nbreak", '"', "'", "|", "[x](y)"),
    *([], {}, [1], ["a"], [[]], {"a": 1}, [0, 0], [10**9, 10**9], [None]),
)
NUMBERS = ("-1", "0", "1", "2", "1e999", "nan", "", "99999999999999999999", "0.5", "1e-300", "''", "true", "[]", "{}")
WORDS = ("", "x", OUTSIDE, "/etc/passwd", "NA", "é" * 300, "a,b", '"', "=1+1", "\\n", "\t", "1", "<b>")
TOKEN = re.compile(r"-?\d+(?:\.\d+)?|\"[^\"\n]*\"|[A-Za-z_][\w.-]*|[^\s\w]")
TEXTS = (".csv", ".toml", ".py", ".md")


def damage(path: Path, rng: random.Random) -> None:
    """Change one file in place, in the way of its kind most of the time, and as bytes otherwise."""
    content = path.read_bytes()
    how = damage_bytes if rng.random() < 0.15 else MUTATIONS.get(path.suffix, damage_bytes)
    path.write_bytes(how(content, rng))


def damage_bytes(content: bytes, rng: random.Random) -> bytes:
    """Flip, delete, repeat or insert some bytes, or cut the file."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        at = rng.randrange(len(data) + 1)
        length = rng.choice((1, 1, 2, 4, 16, 200))
        match rng.randrange(6):
            case 0 if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                del data[at : at + length]
            case 2:
                data[at:at] = data[at : at + length]
            case 3:
                data[at : at + 4] = struct.pack(
                    rng.choice("<>") + "I", rng.choice((0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 65536))
                )
            case 4:
                data[at:at] = rng.randbytes(length)
            case _ if rng.random() < 0.2:
                del data[at:]
    return bytes(data)


def damage_text(content: bytes, rng: random.Random) -> bytes:
    """Replace some tokens of a text, or delete, repeat or swap lines."""
    text = content.decode("utf-8", "replace")
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        lines = text.split("\n")
        at = rng.randrange(len(lines))
        match rng.randrange(8):
            case 0:
                del lines[at]
            case 1:
                lines.insert(at, lines[rng.randrange(len(lines))])
            case 2:
                other = rng.randrange(len(lines))
                lines[at], lines[other] = lines[other], lines[at]
            case _:
                lines[at] = _other_token(lines[at], rng)
        text = "\n".join(lines)
    return text.encode("utf-8", "surrogatepass")


def _other_token(line: str, rng: random.Random) -> str:
    """Replace one number, text, name or sign of a line."""
    tokens = list(TOKEN.finditer(line))
    if not tokens:
        return line + rng.choice(WORDS)
    token = rng.choice(tokens)
    new = rng.choice(NUMBERS if token[0][:1].isdigit() else WORDS)
    if token[0].startswith('"'):
        new = json.dumps(rng.choice([value for value in VALUES if isinstance(value, str)]))
    return line[: token.start()] + new + line[token.end() :]


def damage_json(content: bytes, rng: random.Random) -> bytes:
    """Replace, delete, rename or copy some values of a JSON text."""
    try:
        data = json.loads(content)
    except ValueError:
        return damage_bytes(content, rng)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        data = damage_value(data, rng)
    return json.dumps(data).encode()


def damage_value(data: Any, rng: random.Random) -> Any:
    """Change one value somewhere inside JSON data, and return the data."""
    places = list(_places(data))
    if not places or rng.random() < 0.01:
        return rng.choice(VALUES)
    holder, key = rng.choice(places)
    match rng.randrange(8):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[rng.choice(("", "name", OUTSIDE, f"{key}s"))] = holder.pop(key)
        case 2:
            other, its_key = rng.choice(places)
            holder[key] = json.loads(json.dumps(other[its_key]))
        case _:
            holder[key] = rng.choice(VALUES)
    return data


def _places(data: Any) -> Any:
    """Yield (container, key) of every value inside JSON data."""
    for key, value in list(
        data.items() if isinstance(data, dict) else enumerate(data if isinstance(data, list) else [])
    ):
        yield data, key
        yield from _places(value)


def damage_weights(content: bytes, rng: random.Random) -> bytes:
    """Change the description inside a safetensors file, or what its header has about the tensors."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    about = header.get("__metadata__", {})
    if about and rng.random() < 0.85:
        name = rng.choice(list(about))
        about[name] = damage_json(about[name].encode(), rng).decode()
    else:
        header = damage_value(header, rng)
    packed = json.dumps(header).encode()
    packed += b" " * (-len(packed) % 8)
    return len(packed).to_bytes(8, "little") + packed + content[8 + length :]


def damage_zip(content: bytes, rng: random.Random) -> bytes:
    """Change one member of a zip file, its name, or its kind of compression."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    chosen = rng.choice(list(members))
    inner = members.pop(chosen)
    match rng.randrange(4):
        case 0:
            members[rng.choice(("", OUTSIDE, f"/{chosen}", f"../{chosen}", chosen.upper(), f"{chosen}/x"))] = inner
        case 1:
            members[f"{chosen}.{rng.randrange(9)}"] = inner
        case _:
            members[chosen] = MUTATIONS.get(Path(chosen).suffix, damage_bytes)(inner, rng)
    with io.BytesIO() as buffer:
        with zipfile.ZipFile(buffer, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
            for name, data in members.items():
                archive.writestr(name or "x", data)
        return buffer.getvalue()


Mutation = Callable[[bytes, random.Random], bytes]
MUTATIONS: dict[str, Mutation] = {
    **dict.fromkeys(TEXTS, damage_text),
    ".json": damage_json,
    ".ipynb": damage_json,
    ".safetensors": damage_weights,
    ".zip": damage_zip,
}
