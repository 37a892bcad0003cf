"""Mutants of a module: its source with one operator, number or condition changed by cosmic-ray.

Of cosmic-ray's operators these are taken: each arithmetic or comparison sign has one replacement, the one that is
hardest to notice, instead of all eleven. Asserts, code for type checkers and the `|` of annotations stay as they are.
"""

import ast
import gc
import importlib.machinery
import importlib.util
import inspect
import operator
import random
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosmic_ray.ast import Visitor, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator

OPERATORS = (
    *(f"ReplaceBinaryOperator_{pair}" for pair in (
        "Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "FloorDiv_Div", "Mod_FloorDiv", "Pow_Mul",
        "BitAnd_BitOr", "BitOr_BitAnd", "BitXor_BitOr", "LShift_RShift", "RShift_LShift",
    )),
    *(f"ReplaceComparisonOperator_{pair}" for pair in (
        "Lt_LtE", "LtE_Lt", "Gt_GtE", "GtE_Gt", "Eq_NotEq", "NotEq_Eq", "Is_IsNot", "IsNot_Is",
    )),
    *(f"ReplaceUnaryOperator_Delete_{sign}" for sign in ("USub", "Not", "Invert")),
    "AddNot", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr", "ReplaceOrWithAnd",
    "ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "ExceptionReplacer", "NumberReplacer", "RemoveDecorator",
    "ZeroIterationForLoop",
)  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """A module's source with one change, and the line before and after it (the first line of several)."""

    path: Path
    operator: str
    line: int
    source: str
    before: str
    after: str


class Places(Visitor):
    """The lines of a module at which an operator can be applied, in cosmic-ray's order."""

    def __init__(self, operator: Any) -> None:
        self.operator = operator
        self.found: list[tuple[int, int]] = []

    def visit(self, node: Any) -> Any:
        """Note each place of a node and return the node."""
        self.found += [start for start, _ in self.operator.mutation_positions(node)]
        return node


def mutants_of(path: Path, at_most: int, seed: int) -> tuple[list[Mutant], int]:
    """Return `at_most` mutants of a module, sampled at random (0: all), and how many there are."""
    source = path.read_text(encoding="utf-8")
    tree, left_alone, unions, places = get_ast(source), _lines_left_alone(source), _annotations(source), []
    for name in OPERATORS:
        finder = Places(get_operator(f"core/{name}")())
        finder.walk(tree)
        for occurrence, place in enumerate(finder.found):
            in_annotation = name.startswith("ReplaceBinaryOperator_BitOr") and any(a <= place <= b for a, b in unions)
            if place[0] not in left_alone and not in_annotation:
                places.append((name, occurrence, place[0]))
    chosen = places
    if 0 < at_most < len(places):
        chosen = sorted(random.Random(f"{seed} {path.name}").sample(places, at_most), key=lambda place: place[2])
    made = (_mutant(path, source, *place) for place in chosen)
    return [mutant for mutant in made if _is_python(mutant.source)], len(places)


def _is_python(source: str) -> bool:
    """Tell whether a source can be compiled; {**settings} with a single star cannot."""
    try:
        compile(source, "", "exec")
    except SyntaxError:
        return False
    return True


def _mutant(path: Path, source: str, name: str, occurrence: int, line: int) -> Mutant:
    """Apply an operator at one of its places."""
    mutated = mutate_code(source, get_operator(f"core/{name}")(), occurrence)
    pairs = zip(source.splitlines(), mutated.splitlines(), strict=False)
    before, after = next((old.strip(), new.strip()) for old, new in pairs if old != new)
    return Mutant(path, name, line, mutated, before, after)


def _lines_left_alone(source: str) -> set[int]:
    """Return the numbers of lines that hold an assert or are only read by type checkers."""
    lines: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assert) or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)):
            lines |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return lines


def _annotations(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return (start, end) of each annotation of a module, as (line, column)."""
    spans = []
    for node in ast.walk(ast.parse(source)):
        for name in ("annotation", "returns"):
            found = getattr(node, name, None)
            if isinstance(found, ast.expr):
                spans.append(((found.lineno, found.col_offset), (found.end_lineno or 0, found.end_col_offset or 0)))
    return spans


def functions_of(code: types.CodeType) -> Iterator[types.CodeType]:
    """Yield the code of a module's functions and methods in order, not of functions inside them."""
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            is_function = constant.co_flags & inspect.CO_OPTIMIZED  # the body of a class is not
            yield from [constant] if is_function else functions_of(constant)


def _closures(code: types.CodeType) -> list[types.CodeType]:
    """Return the code of the functions with a name that a function defines inside itself."""
    return [part for part in code.co_consts if isinstance(part, types.CodeType) and part.co_name[0] != "<"]


def loaded_functions(path: Path) -> list[types.FunctionType]:
    """Return the functions and methods that are now loaded from a file, decorated ones included."""
    found = [thing for thing in gc.get_objects() if type(thing) is types.FunctionType]
    return [function for function in found if function.__code__.co_filename == str(path)]


def change_in_place(mutant: Mutant, functions: Iterable[types.FunctionType]) -> Callable[[], None] | None:
    """Return a function that puts a mutant into the loaded `functions`, or None if it changes something else.

    Only the code of one function is replaced, so nothing has to be imported again. Functions inside it may have been
    made already, as those of a decorator are, so a change in them cannot be put in. A decorator is no code of its
    function; without it only line numbers differ.
    """
    if mutant.operator == "RemoveDecorator":
        return None
    original = mutant.path.read_text(encoding="utf-8")
    codes = [list(functions_of(compile(text, str(mutant.path), "exec"))) for text in (original, mutant.source)]
    changed = [(old, new) for old, new in zip(*codes, strict=True) if old != new]
    if len(changed) != 1 or any(map(operator.ne, *map(_closures, changed[0]))):
        return None
    affected = [function for function in functions if function.__code__ == changed[0][0]]
    if not affected:
        return None

    def change() -> None:
        for function in affected:
            function.__code__ = changed[0][1]

    return change


class MutantFinder(importlib.machinery.SourceFileLoader):
    """A pytest plugin that imports one module from a mutant's source instead of its file."""

    def __init__(self, name: str, mutant: Mutant) -> None:
        super().__init__(name, str(mutant.path))
        self.mutant = mutant

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Return how the mutated module is imported; other modules are not found here."""
        return importlib.util.spec_from_file_location(name, self.path, loader=self) if name == self.name else None

    def get_code(self, fullname: str) -> types.CodeType:
        """Compile the mutant."""
        return compile(self.mutant.source, self.path, "exec", dont_inherit=True)

    def pytest_sessionstart(self) -> None:
        """Find the mutant before pytest finds the module, which it would read for its doctests."""
        sys.meta_path.insert(0, self)
