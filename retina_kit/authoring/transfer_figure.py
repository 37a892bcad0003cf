"""The closing figure, which transfer helps and by how much: `python -m retina_kit.authoring.transfer_figure`.

It shows the kept claims that compare a pretrained network with the same network from a random start, both trained in
the same way, for as many steps on the target; the random starts of melinscak2020 also have as many as were spent on
pretraining. Each is one interval over patients, folds and seeds. Claims about ImageNet on real images come from
benchmarks/results/imagenet.csv (`python -m benchmarks.imagenet`), unless a kept run on real images has tested them.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from retina_kit.authoring.readme import pretrains_on_synthetic
from retina_kit.experiment_file import DATA_CHOICES, find_paper, list_papers
from retina_kit.files import atomic_path, kit_root
from retina_kit.reporting.figures.transfer import plot_transfer
from retina_kit.reporting.saved_run import read_table


def transfer_claims(folder: Path, imagenet: Path | None = None) -> pd.DataFrame:
    """Return the kept claims about a transfer that were tested, paper by paper, with columns paper, data and label.

    `folder` holds the files <paper>_lesson_<data>_claims.csv, `imagenet` is a table of further claims with columns
    paper and data; a claim that both have tested is taken from the folder.
    """
    apart: dict[Any, pd.DataFrame] = dict(iter(read_table(imagenet).groupby(["paper", "data"]))) if imagenet else {}
    kept: dict[Any, pd.DataFrame] = {}
    for path in folder.glob("*_lesson_*_claims.csv"):
        paper, _, data, _ = path.stem.split("_")
        kept[paper, data] = read_table(path)
    rows = []
    for paper, claim in [(key, claim) for key in list_papers() for claim in find_paper(key).claims if claim.transfer]:
        for data in DATA_CHOICES:
            for row in _tested(kept.get((paper, data)), claim.id) or _tested(apart.get((paper, data)), claim.id):
                imitated = "ImageNet" not in claim.transfer and pretrains_on_synthetic(find_paper(paper), data)
                label = claim.transfer + " [source: synthetic]" * imitated
                rows.append({**row, "paper": paper, "data": data, "label": label})
    return pd.DataFrame(
        rows, columns=["paper", "data", "label", "statistic", "estimate", "ci_low", "ci_high", "verdict"]
    )


def _tested(claims: pd.DataFrame | None, claim: str) -> list[dict[str, Any]]:
    """Return the row of a claim, or nothing if it was not tested."""
    if claims is None:
        return []
    return claims[(claims["claim"] == claim) & claims["estimate"].notna()].to_dict("records")


def main() -> None:
    """Write docs/images/transfer.png from the kept claims of this checkout."""
    imagenet = kit_root() / "benchmarks" / "results" / "imagenet.csv"
    claims = transfer_claims(kit_root() / "notebooks" / "results", imagenet if imagenet.is_file() else None)
    with atomic_path(kit_root() / "docs" / "images" / "transfer.png") as path:
        plot_transfer(claims).savefig(path, format="png", dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    main()
