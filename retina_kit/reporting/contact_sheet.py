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
    colors: Mapping[str, str] | None = None,
) -> Path:
    """Write <folder>/index.html from rows of predictions.csv, in their order, and return its path.

    The page needs no network and no other file to be read; its links lead to the overlays and masks. Rows with the same
    overlay are the structures of one image. `structure` is what was predicted, `networks` names the networks, `limits`
    is the sentence about what the page is not for, and `colors` maps a structure to its color (CSS) in the overlays.
    """
    folder = Path(folder)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row["overlay"], []).append(row)
    cards = [
        {
            "thumbnail": thumbnail(folder / shown),
            "alt": alt_text(parts),
            "parts": [dict(part) | {"facts": facts(part)} for part in parts],
        }
        for shown, parts in groups.items()
    ]
    page = environment.get_template("contact_sheet.html.jinja").render(
        cards=cards,
        failures=failures,
        structure=structure,
        networks=networks,
        limits=limits,
        colors=colors or {},
        meaning=meaning(rows),
    )
    target = folder / "index.html"
    with atomic_path(target) as path:
        path.write_text(page, encoding="utf-8")
    return target


def meaning(rows: Sequence[Mapping[str, Any]]) -> str:
    """Explain the numbers on the page: what is certain, and where a point is counted from."""
    first = rows[0] if rows else {}
    if "x" in first:
        return "x and y count pixels from the left and the top of the image."
    of = "the probability" if "probability" in first else "all pixels"
    every = "it is 0 or 1" if "probability" in first else "every pixel is certain"
    none = "it is 0.5" if "probability" in first else "none is"
    return f"The uncertainty is the mean binary entropy of {of}: 0 bits if {every}, 1 bit if {none}."


def alt_text(parts: Sequence[Mapping[str, Any]]) -> str:
    """Describe the prediction of one image, a row per structure, for people who cannot see it.

    >>> alt_text([{"file": "a/1.png", "page": 1, "structure": "fluid", "share": 0.0312, "mean_uncertainty": 0.05}])
    '1.png with the predicted fluid outlined: 3.12 % of the image, mean uncertainty 0.050 bits'
    """
    first = parts[0]
    name = Path(first["file"]).name + (f", page {first['page']}," if first["page"] > 1 else "")
    if "probability" in first:
        return f"{name}: {first['structure']} with a probability of {first['probability']:.3f}"
    if "x" in first:
        where = f"{first['x']:.0f} pixels right, {first['y']:.0f} down"
        return f"{name} with a cross at the predicted {first['structure']}, {where}"
    texts = [
        f"predicted {part['structure']} outlined: {100 * part['share']:.2f} % of the image, "
        f"mean uncertainty {part['mean_uncertainty']:.3f} bits"
        for part in parts
    ]
    return f"{name} with the {'; '.join(texts)}"


def facts(row: Mapping[str, Any]) -> str:
    """Put the numbers of one prediction into a line.

    >>> facts({"x": 12.25, "y": 7.5}), facts({"probability": 0.75, "answer": "lesion", "uncertainty": 0.811278})
    ('x 12.2, y 7.5 pixels', 'lesion: probability 0.750, uncertainty 0.811 bits')
    """
    if "probability" in row:
        return f"{row['answer']}: probability {row['probability']:.3f}, uncertainty {row['uncertainty']:.3f} bits"
    if "x" in row:
        return f"x {row['x']:.1f}, y {row['y']:.1f} pixels"
    area = f"area {row['area_px']:,} pixels" + (f" = {row['area_mm2']:.4g} mm²" if row["area_mm2"] is not None else "")
    return f"uncertainty {row['mean_uncertainty']:.3f} bits · {area} ({100 * row['share']:.2f} %)"


def thumbnail(path: Path) -> str:
    """Reduce an image to a JPEG inside an address (data:...)."""
    with Image.open(path) as image:
        image.thumbnail((SIDE, SIDE))
        content = io.BytesIO()
        image.convert("RGB").save(content, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode()
