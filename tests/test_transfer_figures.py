"""The figures of two phases: boxes from layers, curves over shares, error maps, stages."""

import numpy as np
import pandas as pd
import pytest
from test_figures import pixels_of

from retina_kit.models.build import describe_layers
from retina_kit.reporting import figures
from retina_kit.reporting.figures.two_phases import blocks_of

WIDTHS = [4, 6, 8, 10, 12]
LOCALIZER = describe_layers({"name": "localizer", "widths": WIDTHS, "input_size": [32, 48], "hidden": 0}, (1, 32, 48))
UNET = describe_layers({"name": "unet", "widths": WIDTHS, "norm": "batch"}, (1, 32, 48))


def shares_table():
    """Two families at two shares, one printed value."""
    rows = [(f, p, 0.5 + p / 400, 0.4 + p / 400, 0.6 + p / 400) for f in ("one", "two") for p in (10, 100)]
    table = pd.DataFrame(rows, columns=["family", "percent", "ours_mean", "ours_ci_low", "ours_ci_high"])
    return table.assign(paper_value=[np.nan, 0.88, np.nan, np.nan])


def comparison():
    """One pair of families at two shares."""
    rows = [("one", "two", p, 0.1, 0.05, 0.2, 0.01, 0.02, 0.0) for p in (10, 100)]
    columns = ["family", "baseline", "percent", "difference", "ci_low", "ci_high", "p_t", "p_wilcoxon", "p_value"]
    return pd.DataFrame(rows, columns=columns)


def points():
    """Three images of one localizer."""
    rows = pd.DataFrame({"arm": "one", "target_x": [100, 300, 500], "target_y": [200, 210, 220]})
    rows = rows.assign(predicted_x=rows["target_x"] + 20, predicted_y=rows["target_y"] - 15, distance=25.0)
    return rows.assign(distance_diameters=[0.3, 0.4, 2.5])


def test_a_network_is_drawn_as_its_blocks():
    blocks = blocks_of(UNET)
    assert blocks["part"].value_counts().to_dict() == {"encoder": 5, "decoder": 4, "head": 1}
    encoder = blocks[blocks["part"] == "encoder"]
    assert encoder["output"].iloc[0] == (4, 32, 48)
    assert encoder["output"].iloc[-1] == (12, 2, 3)
    assert blocks["weights"].sum() == UNET["weights"].sum()


def images_of_seeds():
    """Two images with three seeds; one fails completely with two of them, the other has no score with one."""
    dice = [0.0, 0.8, 0.0, np.nan, 0.5, 0.7]
    return pd.DataFrame({"arm": "one", "seed": [0, 0, 1, 1, 2, 2], "dice": dice})


def test_failed_images_are_counted_by_seed():
    texts = [text.get_text() for text in figures.plot_spread(images_of_seeds(), {"one": "One"}).texts]
    assert texts == ["0.667", "failed"]


@pytest.mark.parametrize(
    "draw",
    [
        lambda: figures.plot_two_phases(LOCALIZER, UNET),
        lambda: figures.plot_dice_by_share(shares_table(), {"one": "One", "two": "Two"}),
        lambda: figures.plot_p_values(comparison()),
        lambda: figures.plot_contrasts(comparison(), {("one", "two"): "one against two"}),
        lambda: figures.plot_spread(images_of_seeds(), {"one": "One"}),
        lambda: figures.plot_point_errors(points(), {"one": "One"}, (425, 640)),
        lambda: figures.plot_steps({"a": np.full((3, 32, 48), 90, np.uint8), "b": np.eye(48, dtype=np.uint8)[None]}),
    ],
)
def test_a_figure_shows_something(draw):
    assert pixels_of(draw()).std() > 3


def test_equal_p_values_do_not_hide_each_other():
    """Below the lowest value all tests are plotted at the same place."""
    ax = figures.plot_p_values(comparison().assign(p_t=1e-12, p_wilcoxon=1e-10, p_value=0.0), lowest=1e-8)
    lines = ax.get_lines()[:3]
    assert all(list(line.get_ydata()) == [1e-8, 1e-8] for line in lines)
    assert len({(line.get_linestyle(), line.get_marker()) for line in lines}) == 3
    assert lines[0].get_linewidth() > lines[1].get_linewidth()
    assert lines[1].get_fillstyle() == "none"


def test_published_values_below_ours_are_in_sight():
    low = shares_table().assign(ours_mean=0.9, ours_ci_low=0.88, ours_ci_high=0.92, paper_value=0.55)
    assert figures.plot_dice_by_share(low, {"one": "One", "two": "Two"}).get_ylim()[0] < 0.55
