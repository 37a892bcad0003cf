"""The reference of the library: a page per module, made from its docstrings."""

import ast
import re
from pathlib import Path

from retina_kit.files import PACKAGE

CODE = re.compile(r"(`[^`]+`)")
HEADS = {
    "retina_kit": "The kit",
    "data": "Images",
    "packs": "Getting data",
    "models": "Networks",
    "training": "Training",
    "evaluation": "Scores and verdicts",
    "prediction": "Prediction",
    "runs": "Runs",
    "comparison": "Comparing runs",
    "papers": "Papers",
    "reporting": "Tables, figures, pages",
    "teaching": "Teaching",
    "authoring": "Writing a paper of your own",
}


def public_modules() -> list[str]:
    """List the modules of the library, by their dotted names.

    >>> "retina_kit.training.loop" in public_modules()
    True
    """
    names = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        if "share" not in parts and not any(part.startswith("_") for part in parts[:-1]) and parts[-1] != "__main__":
            names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return names


def public_names(module: str) -> list[str]:
    """List the functions and classes that a module defines and that do not begin with an underscore.

    >>> public_names("retina_kit.training.batches")
    ['Batches', 'pad_to_fit', 'mix']
    """
    place = PACKAGE.parent / Path(*module.split("."))
    path = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node.name for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")]


def write_reference(folder: Path, homes: dict[str, str]) -> int:
    """Write the reference's sources below `folder`/api, and return how many public functions and classes it has.

    `homes` maps each name of the library's top level to the module that defines it.
    """
    api = folder / "api"
    api.mkdir(parents=True, exist_ok=True)
    modules = [module for module in public_modules() if public_names(module) or module == "retina_kit"]
    for module in modules:
        lines = [
            module,
            "=" * len(module),
            "",
            f".. automodule:: {module}",
            "   :members:",
            "   :ignore-module-all:",
            "",
        ]
        (api / f"{module}.rst").write_text("\n".join(lines), encoding="utf-8")
    lines = ["Reference", "=========", "", "``import retina_kit as rk`` offers:", ""]
    lines += [f"- :py:obj:`rk.{name} <retina_kit.{home}.{name}>`" for name, home in homes.items()]
    for head, title in HEADS.items():
        mine = [module for module in modules if _package_of(module) == head]
        lines += ["", title, "-" * len(title), "", ".. toctree::", "   :maxdepth: 1", ""]
        lines += [f"   {module}" for module in mine]
    (api / "index.rst").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return sum(len(public_names(module)) for module in modules)


def _package_of(module: str) -> str:
    """Return the package that a module belongs to, "retina_kit" for the modules of the top level."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in HEADS else "retina_kit"


def as_restructured(docstring: str) -> str:
    r"""Turn a docstring of the library, which is plain text with `code`, into reStructuredText.

    >>> as_restructured("Scale `x` by a*b.")
    'Scale ``x`` by a\\*b.'
    """
    paragraphs = re.split(r"\n[ \t]*\n", docstring)
    return "\n\n".join(_paragraph(paragraph) for paragraph in paragraphs)


def _paragraph(text: str) -> str:
    """Turn one paragraph: doctests stay, indented text is literal, the rest is prose; a list keeps its lines."""
    lines = text.strip("\n").splitlines()
    if not lines or lines[0].lstrip().startswith(">>>"):
        return text
    if all(line.startswith("    ") for line in lines):
        return "::\n\n" + "\n".join(lines)
    if any(line.startswith(" ") for line in lines[1:]):
        return "\n".join(f"| {_prose(line.lstrip())}" for line in lines)
    return "\n".join(_prose(line) for line in lines)


def _prose(line: str) -> str:
    """Escape what reStructuredText would read as markup, and mark code as code."""
    parts = CODE.split(line)
    parts[::2] = [re.sub(r"_(?=\W|$)", r"\\_", re.sub(r"([\\*|])", r"\\\1", part)) for part in parts[::2]]
    parts[1::2] = [
        f"`{part}`" + "\\ " * after[:1].isalnum() for part, after in zip(parts[1::2], parts[2::2], strict=True)
    ]
    return "".join(parts)
