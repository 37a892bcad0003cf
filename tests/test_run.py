"""The main command from end to end, profile smoke: what the contract promises lies there, nothing is trained twice."""

import ast
import csv
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import nbformat
import pytest
import torch

from retina_kit.evaluation.metrics import dice
from retina_kit.experiment import Experiment
from retina_kit.experiment_file import find_paper, list_papers
from retina_kit.files import kit_root
from retina_kit.papers.compare import TABLE_COLUMNS
from retina_kit.reporting.notebook import build_notebook
from retina_kit.teaching.exercises import read_exercises

pytestmark = pytest.mark.slow  # the first test waits for the run of all papers


def retina_kit(*arguments, cwd):
    """Run the command line in a process of its own."""
    command = [sys.executable, "-m", "retina_kit", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=600)


@pytest.fixture(scope="session")
def first_run(trained, tmp_path_factory):
    """A smoke run of every paper on synthetic data, whose arms are trained already: (its folder, what it said).

    The notebooks' kernels keep training images as if on a GPU, where numpy cannot read them.
    """
    folder = tmp_path_factory.mktemp("run")
    startup = folder / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("pretend_gpu.py"), startup)
    os.environ["IPYTHONDIR"] = str(folder / "ipython")
    shutil.copytree(trained / "outputs" / "runs", folder / "outputs" / "runs")
    os.environ["SOME_SECRET_TOKEN"] = "not-to-be-printed-anywhere"
    done = retina_kit("run", "--profile", "smoke", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, done


@pytest.fixture(scope="session")
def outputs(first_run):
    """The output root of the smoke run."""
    return first_run[0] / "outputs"


@pytest.fixture(scope="session", params=list_papers())
def run_folder(outputs, request):
    """The folder of one paper's smoke run."""
    return outputs / request.param / "smoke-synthetic"


def test_every_promised_table_and_figure_is_there(run_folder):
    artifacts = find_paper(run_folder.parent.name).artifacts
    for name in artifacts.tables:
        with (run_folder / "tables" / f"{name}.csv").open() as file:
            assert len(list(csv.reader(file))) > 1, name
    for name in artifacts.figures:
        image_ = cv2.imread(str(run_folder / "figures" / f"{name}.png"))
        assert image_ is not None, name
        assert image_.std() > 3, f"{name} is blank"
        assert (run_folder / "figures" / f"{name}.svg").read_text().lstrip().startswith("<?xml")


def test_tables_of_the_paper_are_tidy(run_folder):
    for table in find_paper(run_folder.parent.name).tables:
        header = (run_folder / "tables" / f"{table.id}.csv").read_text().splitlines()[0]
        assert header == ",".join(TABLE_COLUMNS), table.id


def test_results_say_what_was_run_and_leak_nothing(run_folder):
    results = json.loads((run_folder / "results.json").read_text())
    assert results["profile"] == "smoke"
    assert {"torch", "python", "retina-kit"} <= set(results["versions"])
    assert all(arm["seconds"] > 0 for arm in results["arms"])
    for name in ("results.json", "notebook.ipynb", "notebook.html", "claims.csv"):
        text = (run_folder / name).read_text()
        assert str(Path.home()) not in text, name
        assert str(run_folder.parents[2]) not in text, name


def test_nothing_says_where_on_this_machine_it_was_made(outputs, run_folder):
    texts = [path for kind in ("html", "ipynb", "json", "csv", "svg") for path in outputs.rglob(f"*.{kind}")]
    assert len(texts) > 20
    for path in texts:
        text = path.read_text()
        for place in (kit_root(), sys.prefix, Path.home(), outputs.parent):
            assert f"{place}/" not in text, f"{path} says {place}"
        for name, value in os.environ.items():
            secret = re.search("SECRET|TOKEN|PASSWORD", name) and len(value) > 7
            assert not (secret and value in text), f"{path} holds ${name}"


def outcomes_of(notebook):
    """Return what the checks of an executed notebook's exercises say, in order."""
    cells = [cell for cell in nbformat.read(notebook, as_version=4).cells if cell.cell_type == "code"]
    texts = [output.get("data", {}).get("text/plain", "") for cell in cells for output in cell.outputs]
    return [text for text in texts if text.startswith(("Right.", "Not yet.", "No answer yet."))]


def cells_that_exercises_need(notebook):
    """Return the exercises of a notebook, its parameters, and the cells that assign names which these use."""
    kept, needed = [], set()
    for cell in reversed(notebook.cells):
        tags = set(cell.metadata.get("tags", []))
        if cell.cell_type != "code" or "colab" in tags:
            continue
        nodes = list(ast.walk(ast.parse(cell.source)))
        names = [node for node in nodes if isinstance(node, ast.Name)]
        assigned = {name.id for name in names if isinstance(name.ctx, ast.Store)}
        assigned |= {node.asname or node.name for node in nodes if isinstance(node, ast.alias)}
        if assigned & needed or {"exercise", "solution", "parameters"} & tags:
            kept.append((tags, cell.source))
            needed |= {name.id for name in names if isinstance(name.ctx, ast.Load)}
    return kept[::-1]


def said_by_checks(notebook, parameters, script):
    """Run the exercises and solutions of a notebook as a script, and return what each of their checks says."""
    lines = ["said = []"]
    for tags, source in cells_that_exercises_need(notebook):
        if {"exercise", "solution"} & tags:
            *before, check = ast.parse(source).body
            source = "\n".join([*map(ast.unparse, before), f"said.append(str({ast.unparse(check)}))"])
        lines.append(source)
        lines += [f"{name} = {value!r}" for name, value in parameters.items()] if "parameters" in tags else []
    script.write_text("\n".join(lines))
    return runpy.run_path(str(script))["said"]


def test_an_unsolved_notebook_fails_its_checks_politely(run_folder):
    exercises = read_exercises(run_folder.parent.name)
    found = outcomes_of(run_folder / "notebook.ipynb")
    assert [text.split(" Hint: ")[0] for text in found] == [f"No answer yet. {e.asks}" for e in exercises]


def test_every_solution_passes_its_check(outputs, run_folder, tmp_path):
    """The instructor's notebook holds each exercise twice: as the students have it, and solved."""
    paper = find_paper(run_folder.parent.name)
    source = kit_root() / "notebooks" / f"{paper.notebook}.py"
    notebook = build_notebook(source, tmp_path / "instructor.ipynb", solutions=True)
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "runs").symlink_to(outputs / "runs")
    parameters = {"profile": "smoke", "output_root": str(tmp_path / "outputs")}
    found = said_by_checks(nbformat.read(notebook, as_version=4), parameters, tmp_path / "solved.py")
    right = [f"Right. {exercise.because}" for exercise in read_exercises(paper.key)]
    assert [text.startswith(words) for text, words in zip(found[1::2], right, strict=True)] == [True] * len(right)
    assert found[-1].endswith(f"({len(right)} of {len(right)} solved.)")
    assert all(text.startswith("No answer yet.") for text in found[::2])


def test_pages_load_nothing_from_elsewhere(outputs, run_folder):
    for page in (outputs / "index.html", run_folder / "notebook.html"):
        html = page.read_text()
        assert not re.search(r'<(script|img|link|iframe)[^>]+(src|href)="https?:', html), page


def test_the_front_page_links_to_what_is_there(outputs):
    html = (outputs / "index.html").read_text()
    targets = re.findall(r'(?:href|src)="([^"#]+)"', html)
    assert targets
    assert [target for target in targets if not (outputs / target).is_file()] == []
    assert "synthetic" in html


@pytest.mark.browser
@pytest.mark.skipif(not shutil.which("chromium"), reason="no Chromium is installed (Debian: apt-get install chromium)")
def test_the_front_page_opens_in_a_real_browser(outputs, tmp_path):
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    flags += f" --disable-component-update --disable-sync --user-data-dir={tmp_path}/profile --window-size=1200,1800"
    shot = tmp_path / "page.png"
    command = ["chromium", *flags.split(), f"--screenshot={shot}", (outputs / "index.html").as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    assert cv2.imread(str(shot)).std() > 10


def test_a_run_of_trained_papers_trains_nothing(first_run):
    _, done = first_run
    assert done.stderr.count(": 0 of ") == len(list_papers())
    assert [paper["state"] for paper in json.loads(done.stdout)["papers"]] == ["done"] * len(list_papers())


def test_a_second_run_executes_no_notebook_whose_results_would_be_the_same(first_run, outputs):
    folder = outputs / "hu2018" / "smoke-synthetic"
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    done = retina_kit("run", "hu2018", "--profile", "smoke", "--json", cwd=first_run[0])
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["papers"]
    assert (row["notebook"], row["state"]) == ("up to date", "done")
    assert "hu2018: its notebook is up to date; delete " in done.stderr
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == before
    assert {row["notebook"] for row in json.loads(first_run[1].stdout)["papers"]} == {"executed"}


def test_plain_papermill_runs_the_notebook_too_and_gives_the_same_scores(outputs, tmp_path):
    """The notebook needs nothing that only the command line gives."""
    paper = find_paper("huang2023")
    tables = [outputs / paper.key / "smoke-synthetic" / "tables" / f"{table.id}.csv" for table in paper.tables]
    before = [table.read_bytes() for table in tables]
    command = [sys.executable, "-m", "papermill", str(kit_root() / "notebooks" / f"{paper.notebook}.ipynb")]
    options = ["out.ipynb", "-p", "profile", "smoke", "-p", "output_root", str(outputs)]
    done = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert [table.read_bytes() for table in tables] == before


def test_images_are_predicted_by_the_fold_that_tested_them(outputs):
    """What the figure of the worst images shows has the Dice that the scores say."""
    experiment = Experiment("hu2018", "smoke", output_root=outputs)
    arm = "pretrained_frozen_100"
    _, truth, predicted, names = experiment.predictions([arm], num_images=6, pick="worst")
    scored = experiment.scores[experiment.scores["arm"] == arm].set_index("id")
    assert scored.loc[names, "fold"].nunique() == 2
    per_image = dice(torch.from_numpy(predicted[arm]), torch.from_numpy(truth))
    assert per_image.tolist() == pytest.approx(scored.loc[names, "dice"].tolist(), abs=0.02)
