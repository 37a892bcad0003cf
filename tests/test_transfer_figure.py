"""The closing figure of the course: kept claims, and those about ImageNet that were trained apart."""

import pandas as pd

from retina_kit.authoring.transfer_figure import transfer_claims
from retina_kit.reporting.figures.transfer import plot_transfer

ROW = {"statistic": "dice, a minus b", "estimate": 0.1, "ci_low": 0.0, "ci_high": 0.2, "verdict": "supported"}


def table(**estimates):
    """Return claims of these estimates; None: not tested."""
    return pd.DataFrame([{**ROW, "claim": claim, "estimate": estimate} for claim, estimate in estimates.items()])


def test_claims_that_were_trained_apart_are_added_and_kept_ones_come_first(tmp_path):
    both = "pretraining_helps_when_both_are_trainable"
    table(**{both: 0.3, "imagenet_helps": None, "pretraining_helps": 0.4}).to_csv(
        tmp_path / "hu2018_lesson_synthetic_claims.csv", index=False
    )
    table(transfer_helps_at_equal_updates=0.5).to_csv(tmp_path / "huang2023_lesson_public_claims.csv", index=False)
    apart = table(imagenet_helps=0.2).assign(paper="hu2018", data="public")
    replaced = table(transfer_helps_at_equal_updates=0.6, imagenet_helps=0.7).assign(paper="huang2023", data="public")
    pd.concat([apart, replaced]).to_csv(tmp_path / "imagenet.csv", index=False)
    found = transfer_claims(tmp_path, tmp_path / "imagenet.csv")
    assert found[["paper", "data", "label", "estimate"]].to_numpy().tolist() == [
        ["hu2018", "synthetic", "localizer, all masks", 0.3],
        ["hu2018", "public", "ImageNet", 0.2],
        ["huang2023", "public", "vessels, few steps", 0.5],
        ["huang2023", "public", "ImageNet", 0.7],
    ]
    assert transfer_claims(tmp_path)["data"].tolist() == ["synthetic", "public"]


def test_real_images_after_synthetic_ones_are_called_so(tmp_path):
    rows = table(transfer_helps_large_at_equal_updates=0.1, imagenet_helps_with_all_scans=0.2)
    for data in ("synthetic", "public"):
        rows.to_csv(tmp_path / f"melinscak2020_lesson_{data}_claims.csv", index=False)
    synthetic, public, *imagenet = transfer_claims(tmp_path)["label"]
    assert public == f"{synthetic} [source: synthetic]"
    assert not any("source" in label for label in imagenet)


def test_only_the_papers_are_bold():
    rows = table(a=0.1, b=0.2).assign(paper="hu2018", data="public", label=["localizer (ours)", "ImageNet"])
    (ax,) = plot_transfer(rows).axes
    bold = [text.get_text() for text in ax.get_yticklabels() if text.get_fontweight() == "bold"]
    assert bold == ["hu2018 (Dice)"]
