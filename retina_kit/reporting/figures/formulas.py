"""Formulas as drawings, for pages that load no script."""

import io
import re

from matplotlib.font_manager import FontProperties
from matplotlib.mathtext import math_to_image


def formula_svg(tex: str, size: float = 14.0) -> str:
    r"""Draw a TeX formula as an <svg> element that scales with the font around it, and stands on its baseline.

    Raises ValueError for TeX that matplotlib does not know.

    >>> formula_svg(r"\frac{2\,TP}{2\,TP + FP + FN}").startswith('<svg style="height:')
    True
    """
    drawing = io.StringIO()
    depth = math_to_image(f"${tex}$", drawing, prop=FontProperties(size=size), format="svg")
    svg = drawing.getvalue()
    height = float(re.search(r'height="([0-9.]+)pt"', svg)[1])  # type: ignore[index]
    style = f'style="height:{height / size:.2f}em;width:auto;vertical-align:{-depth / size:.2f}em" fill="currentColor"'
    return svg[svg.index("<svg") :].replace("<svg", f"<svg {style}", 1)
