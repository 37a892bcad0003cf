"""Sphinx's settings for the site, and the little that it lacks: docstrings in plain text, formulas without a server."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from retina_kit.reporting.formulas import to_mathml
from retina_kit.reporting.website.reference import as_restructured

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx
    from sphinx.writers.html5 import HTML5Translator

EXTENSIONS = ["sphinx.ext.autodoc", "myst_nb", __name__]


def settings(version: str, extra: Path | None) -> dict[str, Any]:
    """Return Sphinx's settings; `extra` is a folder whose content is copied to the site as it is."""
    return {
        "project": "retina-kit",
        "version": version,
        "root_doc": "index",
        "extensions": EXTENSIONS,
        "language": "en",
        "html_theme": "furo",
        "html_title": "retina-kit",
        "html_static_path": ["_static"],
        "html_css_files": ["site.css"],
        "html_js_files": [("living.js", {"defer": "defer"})],
        "html_extra_path": [str(extra)] if extra else [],
        "html_show_sphinx": False,
        "html_show_sourcelink": False,
        "html_show_search_summary": False,  # it is fetched, which a page that was opened from a file cannot
        "html_math_renderer": "mathml",
        "pygments_style": "a11y-high-contrast-light",
        "pygments_dark_style": "a11y-high-contrast-dark",
        "autodoc_member_order": "bysource",
        "autodoc_typehints_format": "short",
        "autodoc_preserve_defaults": True,
        "default_role": "code",
        "myst_enable_extensions": ["dollarmath", "amsmath"],
        "myst_heading_anchors": 4,
        "suppress_warnings": ["ref.python"],  # a type that two modules define
        "nb_execution_mode": "off",
        "nb_merge_streams": True,
        "nb_output_stderr": "remove",
    }


def setup(application: "Sphinx") -> dict[str, Any]:
    """Register what the site adds to Sphinx."""
    application.connect("autodoc-process-docstring", _process)
    application.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def _process(_: "Sphinx", kind: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Turn a docstring into reStructuredText, in place."""
    lines[:] = as_restructured("\n".join(lines)).splitlines()


def _inline(translator: "HTML5Translator", node: "nodes.math") -> None:
    """Write a formula within a line."""
    _write(translator, node.astext())


def _block(translator: "HTML5Translator", node: "nodes.math_block") -> None:
    """Write a formula that has lines of its own."""
    _write(translator, node.astext(), is_block=True)


def _write(translator: "HTML5Translator", formula: str, *, is_block: bool = False) -> None:
    """Write a formula in MathML, which browsers show without a script."""
    from docutils.nodes import SkipNode

    translator.body.append(to_mathml(formula, is_block=is_block))
    raise SkipNode
