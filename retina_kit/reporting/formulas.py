"""Formulas of exported pages: LaTeX becomes MathML, which browsers show without a network and screen readers read."""

import re

from nbformat import NotebookNode

FORMULA = re.compile(
    r"(?P<code>```.*?```|`[^`\n]*`)"
    r"|\$\$(?P<block>.+?)\$\$"
    r"|(?<![\\\w$])\$(?=\S)(?P<inline>[^$\n]+?)(?<=\S)\$(?![\w$])",
    re.DOTALL,
)


def take_formulas(notebook: NotebookNode) -> dict[str, str]:
    """Replace each LaTeX formula in the Markdown cells by a word, and return {word: MathML}.

    The words pass through nbconvert, which drops MathML from Markdown; `put_formulas` replaces them on the page.
    Formulas in code are left as they are.
    """
    formulas: dict[str, str] = {}

    def replaced(match: re.Match[str]) -> str:
        if match["code"]:
            return match["code"]
        word = f"kitformula{len(formulas)}end"
        formulas[word] = to_mathml(match["block"] or match["inline"], is_block=bool(match["block"]))
        return word

    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = FORMULA.sub(replaced, cell.source)
    return formulas


def put_formulas(page: str, formulas: dict[str, str]) -> str:
    """Replace the words of `take_formulas` on an exported page by their MathML."""
    return re.sub(r"kitformula\d+end", lambda match: formulas.get(match[0], match[0]), page)


def to_mathml(latex: str, *, is_block: bool = False) -> str:
    """Convert a LaTeX formula to MathML.

    >>> to_mathml("A")
    '<math xmlns="http://www.w3.org/1998/Math/MathML" display="inline"><mrow><mi>A</mi></mrow></math>'
    """
    from latex2mathml.converter import convert  # only an export needs it

    return convert(" ".join(latex.split()), display="block" if is_block else "inline")
