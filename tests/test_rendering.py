"""From a figure to its files: laid out once, laid out again after a change, cut to what it shows."""

import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from retina_kit.reporting.figures.axes import new_axes
from retina_kit.reporting.figures.rendering import png_of, write_figure


def test_a_figure_is_laid_out_once_for_all_its_files(tmp_path, monkeypatch):
    drawn, draw = [], Figure.draw
    monkeypatch.setattr(Figure, "draw", lambda *given: drawn.append(1) or draw(*given))
    ax = new_axes()
    write_figure(ax, tmp_path, "dice")
    assert len(drawn) == 3  # the layout, the .png, the .svg
    png_of(ax)
    assert len(drawn) == 4
    ax.set_ylabel("a name that needs room")
    png_of(ax)
    assert len(drawn) == 6


def test_a_label_added_after_saving_finds_its_room(tmp_path):
    late, early = new_axes(), new_axes()
    write_figure(late, tmp_path, "late")
    for ax in (late, early):
        ax.set_ylabel("Dice\nof the\nfluid", fontsize=20)
    assert png_of(late) == png_of(early)


def test_files_show_what_matplotlib_would_write(tmp_path):
    ax = new_axes()
    ax.plot([1, 2], [0.5, 0.6], label="Dice")
    ax.legend(loc="center left", bbox_to_anchor=(1.1, 0.5))
    theirs = io.BytesIO()
    ax.figure.savefig(theirs, format="png", dpi=120, bbox_inches="tight")
    write_figure(ax, tmp_path, "ours")
    with Image.open(theirs) as expected, Image.open(tmp_path / "ours.png") as found:
        differs = np.abs(np.subtract(found.size, expected.size))
    assert differs.max() <= 3  # pixels: texts are measured at 100 instead of 120 dots per inch
    assert (tmp_path / "ours.svg").read_text(encoding="utf-8").startswith("<?xml")


@pytest.mark.parametrize("layout", ["constrained", "compressed", "tight", "none"])
def test_a_figure_of_any_layout_is_saved_and_keeps_its_engine(tmp_path, layout):
    figure = Figure(layout=layout)
    figure.colorbar(figure.subplots().imshow(np.eye(3)))
    engine = figure.get_layout_engine()
    for _ in range(2):
        write_figure(figure, tmp_path, "errors")
        assert png_of(figure)
        assert figure.get_layout_engine() is engine


def test_a_label_that_matplotlib_does_not_see_change_finds_its_room_when_it_is_saved(tmp_path):
    late, early = new_axes(), new_axes()
    write_figure(late, tmp_path, "late")
    for ax in (late, early):
        ax.yaxis.label.set_text("Dice\nof the\nfluid")
        write_figure(ax, tmp_path, "late" if ax is late else "early")
    assert (tmp_path / "late.png").read_bytes() == (tmp_path / "early.png").read_bytes()
