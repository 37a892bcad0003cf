"""Formulas of exported pages: LaTeX becomes MathML, which browsers show without a network and screen readers read."""

import re

from nbformat import NotebookNode

FORMULA = re.compile(
    r"(?P<code>```.*?```|`[^`\n]*`)"
    r"|\$\$(?P<block>.+?)\$\$"
    r"|(?<![\\\w$])\$(?=\S)(?P<inline>[^$\n]+?)(?<=\S)\$(?![\w$])",
    re.DOTALL,
)


def with_mathml(notebook: NotebookNode) -> NotebookNode:
    """Replace the LaTeX formulas in the Markdown cells of a notebook by MathML; code is left as it is."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = as_mathml(cell.source)
    return notebook


def as_mathml(markdown: str) -> str:
    """Replace `$...$` and `$$...$$` of a Markdown text by MathML, which Markdown lets through as HTML.

    >>> as_mathml("a mask $A$ costs `$5`")
    'a mask <math xmlns="http://www.w3.org/1998/Math/MathML" display="inline"><mrow><mi>A</mi></mrow></math> costs `$5`'
    """
    return FORMULA.sub(_converted, markdown)


def _converted(match: re.Match[str]) -> str:
    """Return the MathML of a formula; code that was matched is returned as it is."""
    from latex2mathml.converter import convert

    if match["code"]:
        return match["code"]
    display = "block" if match["block"] else "inline"
    page = convert(" ".join((match["block"] or match["inline"]).split()), display=display)
    return page.replace("*", "&#42;").replace("_", "&#95;")  # which Markdown would take for emphasis
