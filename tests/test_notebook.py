"""The strict layer around papermill, with real kernels: what papermill would accept must fail here."""

import os
from pathlib import Path

import nbformat
import pytest

from retina_kit.errors import DataError, KitError, UsageError
from retina_kit.files import kit_root
from retina_kit.injected_parameters import check_injected
from retina_kit.reporting import notebook as nb
from retina_kit.reporting.export import export_html

PARAMETERS = '# %% tags=["parameters"]\nprofile = "lesson"\nsteps = 3\nrate = 0.5\nseeds = None\n'


@pytest.fixture
def make(tmp_path):
    """Return a function that builds a notebook from cells of source."""

    def build(*cells):
        source = tmp_path / "small.py"
        source.write_text(PARAMETERS + "".join(f"\n# %%\n{cell}\n" for cell in cells))
        return nb.build_notebook(source)

    return build


def test_building_twice_gives_the_same_bytes(make, tmp_path):
    path = make("1 + 1")
    first = path.read_bytes()
    assert nb.check_built(tmp_path / "small.py", path)
    assert make("1 + 1").read_bytes() == first
    (tmp_path / "small.py").write_text(PARAMETERS)
    assert not nb.check_built(tmp_path / "small.py", path)


@pytest.mark.parametrize(
    ("given", "message"),
    [({"profil": "smoke"}, "did you mean 'profile'"), ({"steps": "many"}, "steps='many'"), ({"steps": 1.5}, "steps")],
)
def test_wrong_parameters_stop_before_a_kernel_starts(make, tmp_path, given, message):
    with pytest.raises(UsageError, match=message):
        nb.execute_notebook(make("1"), tmp_path / "out.ipynb", given)
    assert not (tmp_path / "out.ipynb").exists()


def test_right_parameters_pass(make):
    nb.check_parameters(make("1"), {"profile": "smoke", "steps": 1, "rate": 1, "seeds": [1, 2]})


def test_a_good_notebook_is_executed_and_exported_without_network(make, tmp_path):
    path = make("import pathlib", "pathlib.Path('made.txt').write_text(profile)", "print(profile)")
    out = tmp_path / "out.ipynb"
    done = nb.execute_notebook(path, out, {"profile": "smoke"}, promised=[tmp_path / "made.txt"], cwd=tmp_path)
    assert done.seconds > 0
    assert (tmp_path / "made.txt").read_text() == "smoke"
    html = export_html(out, tmp_path / "out.html", "a title").read_text()
    assert "<title>a title</title>" in html
    assert 'src="http' not in html
    assert 'href="http' not in html.split("<body")[0]


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("import sys; sys.exit(0)", "cell"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "kernel died|never executed|Kernel died"),
    ],
    ids=["raises", "exits", "killed"],
)
def test_a_failure_is_a_failure(make, tmp_path, cell, message):
    good = tmp_path / "out.ipynb"
    good.write_text("the good one of last time")
    with pytest.raises(KitError, match=message):
        nb.execute_notebook(make(cell, "after = 1"), good, {})
    assert good.read_text() == "the good one of last time"
    failed = nbformat.read(tmp_path / "out.failed.ipynb", as_version=4)
    assert "This run failed" in failed.cells[0].source


def test_an_expected_file_of_an_earlier_run_is_a_failure(make, tmp_path):
    (tmp_path / "old.csv").write_text("of last time")
    with pytest.raises(KitError, match="not written by this run"):
        nb.execute_notebook(make("1"), tmp_path / "out.ipynb", {}, promised=[tmp_path / "old.csv"])


@pytest.mark.skipif(os.name == "nt", reason="Windows kernels talk over TCP")
def test_a_kernel_is_reached_through_a_socket_file_that_is_removed(make, tmp_path):
    cell = "from ipykernel.kernelapp import IPKernelApp\nimport pathlib\nkernel = IPKernelApp.instance()"
    write = "pathlib.Path('kernel.txt').write_text(f'{kernel.transport} {kernel.ip}')"
    nb.execute_notebook(make(cell, write), tmp_path / "out.ipynb", {}, cwd=tmp_path)
    transport, address = (tmp_path / "kernel.txt").read_text().split()
    assert transport == "ipc"
    assert not Path(address).parent.exists()


def test_a_folder_too_deep_for_a_socket_leaves_the_kernel_on_tcp():
    assert "KernelManager" not in nb._transport("/" + "deep/" * 30)


def test_a_promise_that_is_not_kept_is_a_failure(make, tmp_path):
    with pytest.raises(KitError, match=r"expected output .*nothing.csv was not created"):
        nb.execute_notebook(make("1"), tmp_path / "out.ipynb", {}, promised=[tmp_path / "nothing.csv"])


NOTEBOOKS = sorted((kit_root() / "notebooks").glob("[0-9]*.py"))


@pytest.mark.parametrize("source", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_keeps_the_rhythm(source):
    """16 to 24 code cells, median 4 lines or fewer, none above 15, no def, no class, no outputs, freshly built.

    What is built here is the students' notebook: exercises count, solutions are in the instructor's build only.
    """
    built = source.with_suffix(".ipynb")
    assert nb.check_built(source, built), "run retina-kit build"
    code = [cell.source for cell in nbformat.read(built, as_version=4).cells if cell.cell_type == "code"]
    lengths = sorted(len([line for line in cell.splitlines() if line.strip()]) for cell in code)
    assert 16 <= len(code) <= 24
    assert lengths[len(lengths) // 2] <= 4
    assert lengths[-1] <= 15
    assert not any(line.startswith(("def ", "class ")) for cell in code for line in cell.splitlines())
    assert set(nb.read_parameters(built)) >= {"profile", "data", "data_root", "output_root", "seeds", "device"}
    by_hand = next(cell for cell in code if "LiveCurve()" in cell)
    assert "experiment.model(" in by_hand, "running the cell again would continue from trained weights"


def test_the_parameters_cell_holds_literals_only(tmp_path):
    source = Path(tmp_path / "bad.py")
    source.write_text('# %% tags=["parameters"]\nprofile = "a"\nfolder = f"outputs/{profile}"\n')
    with pytest.raises(UsageError, match="literal"):
        nb.read_parameters(nb.build_notebook(source))


def test_a_figure_keeps_its_description_on_the_page(make, tmp_path):
    cell = "from retina_kit.reporting import figures\nfrom retina_kit.teaching.widgets import show\n"
    cell += "ax = figures.new_axes(2, 2)\nax.figure.set_label('Dice & loss')\nshow(ax)"
    executed = nb.execute_notebook(make(cell), tmp_path / "out.ipynb", {})
    page = export_html(executed.path, tmp_path / "out.html", "a title").read_text()
    assert 'alt="Dice &amp; loss"' in page
    assert "No description" not in page


def test_a_mistyped_parameter_that_papermill_injects_is_an_error():
    """papermill only logs it; `In` of a kernel begins with an empty text."""
    cells = ["", "import os", "profile = 'lesson'\nseeds = None", '# Parameters\nprofil = "smoke"\n', "1 + 1"]
    with pytest.raises(UsageError, match="no parameter is called 'profil'; did you mean 'profile'"):
        check_injected(cells)


def test_formulas_become_mathml_and_prices_in_code_do_not(tmp_path):
    text = "Masks $A$ and\n\n$$\\frac{2 TP}{n_i}$$\n\ncost `$5` and `$6`, or $7 each."
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)])
    nbformat.write(notebook, tmp_path / "text.ipynb")
    page = export_html(tmp_path / "text.ipynb", tmp_path / "text.html", "formulas").read_text(encoding="utf-8")
    assert page.count("<math") == page.count("</math>") == 2
    assert "<mfrac>" in page
    assert "$$" not in page.split("<body")[1]
    assert "<code>$5</code> and <code>$6</code>, or $7 each." in page


def test_a_source_that_is_no_text_is_named(tmp_path):
    source = tmp_path / "notebook.py"
    source.write_bytes(b"# %%\nx = '\x8f'\n")
    with pytest.raises(DataError, match=r"notebook.py: not a text in UTF-8 .* at byte 10"):
        nb.build_notebook(source)
