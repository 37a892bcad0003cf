"""Badges and the first cell for Colab: all from the repository's address in pyproject.toml."""

import copy
import subprocess
import sys
from pathlib import Path

import jupytext
import pytest

from retina_kit.errors import SetupError
from retina_kit.reporting import badges
from retina_kit.reporting.badges import github_name, repository, with_badges
from retina_kit.teaching.course import sources

ROOT = Path(__file__).resolve().parents[1]
NOT_ON_COLAB = ("papermill", "jupytext", "jupyterlab", "torchvision", "distributed", "dask_jobqueue", "SimpleITK")


@pytest.mark.parametrize("ending", ["", "/", ".git"])
def test_an_address_may_end_in_several_ways(ending):
    assert github_name(f"https://github.com/a-b/kit{ending}") == "a-b/kit"


@pytest.mark.parametrize("address", ["github.com/a/kit", "https://github.com/a", "https://example.org/a/kit"])
def test_an_address_that_colab_cannot_open_is_refused(address):
    with pytest.raises(SetupError, match=r"project\.urls\.Repository"):
        github_name(address)


def test_the_setting_is_read_from_pyproject(tmp_path, monkeypatch):
    monkeypatch.setattr(badges, "kit_root", lambda: tmp_path)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\n')
    assert repository() == ""
    (tmp_path / "pyproject.toml").write_text('[project.urls]\nRepository = "https://github.com/a/kit"\n')
    assert repository() == "a/kit"


@pytest.mark.parametrize("source", sources(), ids=lambda path: path.stem)
def test_a_notebook_gets_its_badges_and_installs_from_the_same_address(source):
    plain = jupytext.read(source, fmt="py:percent")
    cells = with_badges(jupytext.read(source, fmt="py:percent"), source.stem, "a/kit").cells
    assert len(cells) == len(plain.cells) + 1
    place = f"github/a/kit/blob/main/notebooks/{source.stem}.ipynb"
    assert f"(https://colab.research.google.com/{place})" in cells[0].source
    assert f"src=https://github.com/a/kit/blob/main/notebooks/{source.stem}.ipynb)" in cells[0].source
    assert "mybinder.org/v2/gh/a/kit/HEAD?labpath=notebooks%2F" in cells[0].source
    first = next(cell for cell in cells if cell.cell_type == "code")
    assert "%pip install --quiet --no-deps git+https://github.com/a/kit\n" in first.source
    assert "./retina-kit" not in first.source


def test_without_an_address_nothing_changes():
    notebook = jupytext.read(sources()[0], fmt="py:percent")
    before = copy.deepcopy(notebook)
    assert with_badges(notebook, sources()[0].stem, "") == before


def test_a_notebook_needs_none_of_the_libraries_that_colab_lacks():
    code = [f"import sys; sys.modules |= dict.fromkeys({NOT_ON_COLAB!r})"]
    for source in sources():
        cells = [cell for cell in jupytext.read(source, fmt="py:percent").cells if cell.cell_type == "code"]
        lines = [line for cell in cells for line in cell.source.splitlines()]
        code += [line for line in lines if line.startswith(("import ", "from "))]
        code += [f"Experiment({source.stem.split('_')[-1]!r}, 'smoke').arms_table()"]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(code)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
