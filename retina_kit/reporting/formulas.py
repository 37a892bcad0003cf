"""Formulas of exported pages: LaTeX becomes MathML, which browsers show without a network and screen readers read."""

import re

FORMULA = re.compile(
    r"(?P<code>```.*?```|`[^`\n]*`)"
    r"|\$\$(?P<block>.+?)\$\$"
    r"|(?<![\\\w$])\$(?=\S)(?P<inline>[^$\n]+?)(?<=\S)\$(?![\w$])",
    re.DOTALL,
)
BOX = '<span class="kit-formula" tabindex="0" role="group" aria-label="formula">{}</span>'


def take_formulas(text: str, formulas: dict[str, str]) -> str:
    """Replace each LaTeX formula of a Markdown text by a word, and add {word: MathML} to `formulas`.

    The words pass through a converter of Markdown, which drops MathML; `put_formulas` replaces them on the page.
    Formulas in code are left as they are.

    >>> take_formulas("The sum $A + B$ costs `$5`.", {})
    'The sum kitformula0end costs `$5`.'
    """

    def replaced(match: re.Match[str]) -> str:
        if match["code"]:
            return match["code"]
        word = f"kitformula{len(formulas)}end"
        formulas[word] = to_mathml(match["block"] or match["inline"], is_block=bool(match["block"]))
        return word

    return FORMULA.sub(replaced, text)


def put_formulas(page: str, formulas: dict[str, str]) -> str:
    """Replace the words of `take_formulas` on an exported page by their MathML."""
    return re.sub(r"kitformula\d+end", lambda match: formulas.get(match[0], match[0]), page)


def to_mathml(latex: str, *, is_block: bool = False) -> str:
    """Convert a LaTeX formula to MathML; a block is in a box that a keyboard can scroll on a narrow screen.

    >>> to_mathml("A")
    '<math xmlns="http://www.w3.org/1998/Math/MathML" display="inline"><mrow><mi>A</mi></mrow></math>'
    """
    from latex2mathml.converter import convert  # only an export needs it

    page = convert(" ".join(latex.split()), display="block" if is_block else "inline")
    page = page.replace('<mo stretchy="false">&#x0007C;', '<mo stretchy="false" lspace="0" rspace="0">&#x0007C;')
    return BOX.format(page) if is_block else page
