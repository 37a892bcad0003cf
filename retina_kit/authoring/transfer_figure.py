"""The closing figure, which transfer helps and by how much: `python -m retina_kit.authoring.transfer_figure`.

It shows the kept claims that compare a pretrained network with the same network from a random start, both trained in
the same way. Each is one interval over patients, folds and seeds.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from retina_kit.experiment_file import find_paper, list_papers
from retina_kit.files import atomic_path, kit_root
from retina_kit.reporting.figures.transfer import plot_transfer
from retina_kit.reporting.saved_run import read_table


def transfer_claims(folder: Path) -> pd.DataFrame:
    """Return the kept claims about a transfer that were tested, paper by paper, with columns paper, data and label.

    `folder` holds the files <paper>_lesson_<data>_claims.csv.
    """
    rows = []
    for paper, claim in [(key, claim) for key in list_papers() for claim in find_paper(key).claims]:
        for path in sorted(folder.glob(f"{paper}_lesson_*_claims.csv"), reverse=True):  # synthetic, then public
            for row in _tested(read_table(path), claim.id) if claim.transfer else ():
                rows.append({**row, "paper": paper, "data": path.stem.split("_")[2], "label": claim.transfer})
    return pd.DataFrame(
        rows, columns=["paper", "data", "label", "statistic", "estimate", "ci_low", "ci_high", "verdict"]
    )


def _tested(claims: pd.DataFrame, claim: str) -> list[dict[str, Any]]:
    """Return the row of a claim, or nothing if it could not be tested."""
    return claims[(claims["claim"] == claim) & claims["estimate"].notna()].to_dict("records")


def main() -> None:
    """Write docs/images/transfer.png from the kept claims of this checkout."""
    claims = transfer_claims(kit_root() / "notebooks" / "results")
    with atomic_path(kit_root() / "docs" / "images" / "transfer.png") as path:
        plot_transfer(claims).savefig(path, format="png", dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    main()
