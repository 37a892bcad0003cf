"""A contact sheet: one HTML page with a small image per prediction, the most uncertain first."""

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from PIL import Image

from retina_kit.files import atomic_path

SIDE = 420  # of a small image, pixels


def write_contact_sheet(
    folder: str | Path,
    rows: Sequence[Mapping[str, Any]],
    failures: Mapping[str, str],
    *,
    structure: str,
    networks: Sequence[str],
    limits: str,
) -> Path:
    """Write <folder>/index.html from rows of predictions.csv, in their order, and return its path.

    The page needs no network and no other file to be read; its links lead to the overlays and masks. `structure` is
    what was predicted, `networks` names the networks, and `limits` is the sentence about what the page is not for.
    """
    folder = Path(folder)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    cards = [
        dict(row) | {"thumbnail": thumbnail(folder / row["overlay"]), "alt": alt_text(row, structure)} for row in rows
    ]
    page = environment.get_template("contact_sheet.html.jinja").render(
        cards=cards, failures=failures, structure=structure, networks=networks, limits=limits
    )
    target = folder / "index.html"
    with atomic_path(target) as path:
        path.write_text(page, encoding="utf-8")
    return target


def alt_text(row: Mapping[str, Any], structure: str) -> str:
    """Describe one prediction for people who cannot see it.

    >>> alt_text({"file": "eyes/1.png", "page": 1, "share": 0.0312, "mean_uncertainty": 0.05}, "fluid")
    '1.png with the predicted fluid outlined: 3.12 % of the image, mean uncertainty 0.050 bits'
    """
    name = Path(row["file"]).name + (f", page {row['page']}," if row["page"] > 1 else "")
    share, doubt = f"{100 * row['share']:.2f} %", f"{row['mean_uncertainty']:.3f} bits"
    return f"{name} with the predicted {structure} outlined: {share} of the image, mean uncertainty {doubt}"


def thumbnail(path: Path) -> str:
    """Reduce an image to a JPEG inside an address (data:...)."""
    with Image.open(path) as image:
        image.thumbnail((SIDE, SIDE))
        content = io.BytesIO()
        image.convert("RGB").save(content, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode()
