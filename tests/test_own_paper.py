"""A paper of one's own: from an empty folder to the page and the report, without touching the library."""

import ast
import dataclasses
import json
import re
import tomllib
from pathlib import Path

import jupytext
import nbformat
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from retina_kit.authoring.drafting import draft_notebook, write_draft
from retina_kit.authoring.kept import experiment_hash, keep_run
from retina_kit.authoring.report_facts import _compute
from retina_kit.authoring.reproduction_report import write_report
from retina_kit.authoring.scaffold import MODALITIES, new_paper
from retina_kit.authoring.training_compute import flops_per_image
from retina_kit.errors import UsageError
from retina_kit.experiment import Experiment
from retina_kit.experiment_file import find_paper
from retina_kit.papers.published import read_published
from retina_kit.reporting.report import Report
from tests.small_command import command_line
from tests.small_paper import make_paper, run_paper

FIVE_NUMBERS = """[paper]
key = "smith2024"
title = "A study of loss functions"
authors = ["A. Smith"]
year = 2024
citation = "A. Smith, A study of loss functions (2024)"

[[confusion]]
item = "table1"
row = "proposed"
values = { dice = "85.0", iou = "73.9" }
unit = "percent"
where = "Table 1"

[[confusion]]
item = "table1"
row = "baseline"
values = { dice = "80.0", iou = "75.0" }
unit = "percent"
where = "Table 1"

[[number]]
item = "table1"
row = "Jones 2020"
metric = "dice"
value = "79.0"
unit = "percent"
where = "Table 1"
literature = true
"""


def retina_kit(*arguments, cwd):
    """Run the command line, and return what it printed."""
    done = command_line(*arguments, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def save_own_images(folder, num_images=20):
    """Save images of bright disks of ten patients, with their masks."""
    rng = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for number in range(num_images):
        y, x = np.mgrid[:32, :32]
        mask = (y - rng.integers(10, 22)) ** 2 + (x - rng.integers(10, 22)) ** 2 < 36
        image = rng.integers(0, 60, (32, 32, 3)) + 150 * mask[..., None]
        name = f"{number // 2}_{'LR'[number % 2]}.png"
        Image.fromarray(image.astype(np.uint8)).save(folder / "images" / name)
        Image.fromarray(mask.astype(np.uint8) * 255).save(folder / "masks" / name)


@pytest.mark.slow
def test_from_an_empty_folder_to_the_page_and_the_report(tmp_path):
    retina_kit("paper", "new", "smith2024", "--title", "A study of loss functions", cwd=tmp_path)
    folder = tmp_path / "smith2024"
    python = {path: path.read_bytes() for path in folder.glob("*.py")}
    (folder / "published.toml").write_text(FIVE_NUMBERS)
    save_own_images(tmp_path / "mine")
    mine = ["--images", tmp_path / "mine" / "images", "--masks", tmp_path / "mine" / "masks"]
    retina_kit("data", "new", "my_eyes", *mine, "--patient-regex", r"^(\d+)_", cwd=folder)
    setting = ["--profile", "smoke", "--set", "target=my_eyes"]
    retina_kit("run", ".", *setting, cwd=folder)
    assert "IoU 75.00 needs Dice" in retina_kit("audit", ".", cwd=folder)
    retina_kit("paper", "report", ".", *setting, cwd=folder)

    results = folder / "outputs" / "smith2024" / "smoke-synthetic-my_eyes"
    table = pd.read_csv(results / "tables" / "table1.csv")
    assert sorted(table["paper_value"].dropna()) == pytest.approx([0.739, 0.75, 0.79, 0.80, 0.85])
    assert table.loc[table["n_seeds"] > 0, "n_patients"].min() >= 3
    assert {path.name for path in results.iterdir()} >= {
        "notebook.ipynb",
        "notebook.html",
        "claims.csv",
        "results.json",
    }
    page = (folder / "outputs" / "index.html").read_text()
    assert "A study of loss functions" in page
    assert "target = my_eyes" in page
    assert "A. Smith, A study of loss functions (2024)" in page
    assert "IoU 75.00 needs Dice" in page
    report = (folder / "report.md").read_text()
    for text in ("85.0", "A. Smith", "--set target=my_eyes", "What was difficult", "floating-point operations"):
        assert text in report, text
    assert "<h1" in (folder / "report.html").read_text()
    assert {path: path.read_bytes() for path in folder.glob("*.py")} == python
    for path in (results / "results.json", results / "notebook.ipynb", folder / "report.md"):
        assert str(Path.home()) not in path.read_text(), path


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_new_paper_can_be_loaded_and_explains_its_files(tmp_path, modality):
    folder = new_paper("smith2024", title='Say "hello"', folder=tmp_path / "paper", modality=modality)
    paper = find_paper(folder)
    assert (paper.key, paper.title) == ("smith2024", 'Say "hello"')
    assert [arm.role for arm in paper.resolve_arms("lesson", paper.resolve_settings("lesson", "synthetic"))] == [
        "replication",
        "control",
    ]
    published = (folder / "published.toml").read_text()
    assert set(tomllib.loads(published)) == {"paper", "number"}
    for entry in ("evaluation", "confusion", "curve", "split", "erratum"):
        assert f"# [[{entry}]]" in published
    assert max(map(len, published.splitlines())) <= 120
    assert read_published(folder / "published.toml").paper.key == "smith2024"


def test_the_notebook_is_built_from_the_experiment(tmp_path):
    folder = make_paper(tmp_path)
    notebook = jupytext.read(folder / "smith2024_notebook.py", fmt="py:percent")
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert 12 <= len(code) <= 24
    assert max(len(source.splitlines()) for source in code) <= 15
    nodes = [node for source in code for node in ast.walk(ast.parse(source))]
    assert not any(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in nodes)
    saved = set(re.findall(r'save_(?:table|figure)\(\s*"(\w+)"', "\n".join(code)))
    artifacts = find_paper(folder).artifacts
    assert saved == {*artifacts.tables, *artifacts.figures}
    assert "experiment.check.the_gain(...)" in "\n".join(code)


def test_another_table_gives_another_section(tmp_path):
    folder = make_paper(tmp_path)
    file = folder / "experiment.py"
    more = (
        '    Table(id="recall", title="Recall", metrics=("recall",), item="", rows={"proposed": ""}),\n)\n\n# 4. Claims'
    )
    text = file.read_text().replace(")\n\n# 4. Claims", more, 1)
    file.write_text(text.replace('tables=("settings", "table1")', 'tables=("settings", "table1", "recall")'))
    assert "## 8 · Recall" in write_draft(folder, tmp_path / "new.py").read_text()
    with pytest.raises(UsageError, match="already exists"):
        write_draft(folder)
    file.write_text(text.replace('"examples", "claims")', '"examples", "roc")'))
    with pytest.raises(UsageError, match="cannot make the figure 'roc'"):
        draft_notebook(find_paper(folder))


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("hu2018", "is a paper of the kit"),
        ("Smith", "must be lower-case"),
        ("../up", "must be lower-case"),
        ("con", "must be lower-case"),
        ("runs", "must be lower-case"),
    ],
)
def test_a_key_that_cannot_be_is_refused(tmp_path, key, message):
    with pytest.raises(UsageError, match=message):
        new_paper(key, folder=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_nothing_that_is_there_is_overwritten(tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        new_paper("smith2024", folder=tmp_path)
    with pytest.raises(UsageError, match="no modality is called 'fundsu'; did you mean 'fundus'"):
        new_paper("smith2024", folder=tmp_path / "new", modality="fundsu")
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]


def test_folders_that_are_no_paper_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"has no experiment\.py"):
        find_paper(tmp_path)
    with pytest.raises(UsageError, match="no paper is called 'hu2081'; did you mean 'hu2018'"):
        find_paper("hu2081")
    folder = make_paper(tmp_path)
    file = folder / "experiment.py"
    file.write_text(file.read_text().replace('key="smith2024"', 'key="hu2018"'))
    with pytest.raises(UsageError, match="hu2018 is a paper of the kit"):
        find_paper(folder)
    (folder / "published.toml").unlink()
    file.write_text(file.read_text().replace('key="hu2018"', 'key="smith2024"'))
    with pytest.raises(UsageError, match=r"published\.toml cannot be read"):
        Experiment(folder).published  # noqa: B018


def test_an_edited_experiment_is_read_again(tmp_path):
    folder = make_paper(tmp_path)
    assert Experiment(folder, "smoke").parameters["steps"] == 2
    file = folder / "experiment.py"
    file.write_text(file.read_text().replace("lesson=150, smoke=2", "lesson=150, smoke=3"))
    assert Experiment(folder, "smoke").parameters["steps"] == 3


def test_the_newest_of_script_and_notebook_is_executed(tmp_path):
    files = find_paper(make_paper(tmp_path)).files
    assert files.newest_notebook() == files.source
    built = files.source.with_suffix(".ipynb")
    nbformat.write(nbformat.v4.new_notebook(), built)
    assert files.newest_notebook() == built
    files.source.unlink()
    built.unlink()
    with pytest.raises(UsageError, match="retina-kit paper notebook"):
        files.newest_notebook()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A small paper with a finished run: its folder, and the options that name the run."""
    tmp_path = tmp_path_factory.mktemp("report")
    experiment = run_paper(make_paper(tmp_path), tmp_path / "outputs", seeds=(0, 1))
    options = {
        "profile": "smoke",
        "output_root": tmp_path / "outputs",
        "seeds": [0, 1],
        "overrides": experiment.overrides,
    }
    return experiment.definition.files.folder, options


def test_a_run_is_kept_next_to_its_experiment(finished, tmp_path):
    folder, options = finished
    experiment = Experiment(folder, **options)
    scores, claims, run = keep_run(experiment, tmp_path)
    assert [path.name for path in (scores, claims, run)] == [
        f"smith2024_smoke_synthetic{end}" for end in (".csv", "_claims.csv", "_run.json")
    ]
    facts = json.loads(run.read_text())
    assert facts["seeds"] == [0, 1]
    assert facts["experiment"] == experiment_hash(folder, "smoke", "synthetic")
    assert "proposed" in set(pd.read_csv(scores)["arm"])


def test_the_authors_words_survive_a_rerun(finished):
    folder, options = finished
    path, page = write_report(folder, **options)
    first = path.read_text()
    own = first.replace(
        "*Write here: what was clear in the paper, and what worked at once.*", "The data. A < B.\n\nAll of it."
    )
    own += "\n<!-- author: thanks -->\nTo all.\n<!-- end author -->\n"
    path.write_text(own)
    write_report(folder, **options)
    assert "The data. A < B.\n\nAll of it." in path.read_text()
    assert "To all." in path.read_text()
    assert "A &lt; B" in page.read_text()
    assert "author:" not in page.read_text()
    write_report(folder, **options)
    assert path.read_text().count("To all.") == 1


def test_a_report_that_was_edited_elsewhere_is_kept_each_time(finished, tmp_path):
    folder, options = finished
    path, _ = write_report(folder, tmp_path, **options)
    for title in ("My", "Our", "Your"):
        path.write_text(path.read_text().replace("## 4 Results", f"## 4 {title} results"))
        write_report(folder, tmp_path, **options)
        assert "## 4 Results" in path.read_text()
    for name, title in (("before", "My"), ("before-2", "Our"), ("before-3", "Your")):
        assert f"## 4 {title} results" in (tmp_path / f"report.{name}.md").read_text()


def test_words_without_an_end_are_never_lost(finished):
    folder, options = finished
    path, _ = write_report(folder, **options)
    broken = path.read_text().replace("<!-- end author -->", "", 1)
    path.write_text(broken)
    with pytest.raises(UsageError, match="has lost its line"):
        write_report(folder, **options)
    assert path.read_text() == broken
    path.unlink()


def test_a_report_needs_a_run(finished):
    folder, options = finished
    with pytest.raises(
        UsageError, match=r"make it with: retina-kit run \. --profile smoke --data synthetic --set steps=9"
    ):
        write_report(folder, profile="smoke", output_root=options["output_root"], overrides={"steps": 9})


def test_the_report_holds_what_the_run_found(finished):
    folder, options = finished
    text = write_report(folder, **options)[0].read_text()
    results = json.loads((Experiment(folder, **options).folder / "results.json").read_text())
    assert f"commit {results['git_commit']}" in text or not results["git_commit"]
    assert "1,781" in text  # weights of the smoke network: 3x3 convolutions of widths 4 and 8
    assert "Replication claims: 1 " in text
    assert "`steps` (training steps of each arm): the paper does not report it; 2 is ours" in text


def test_the_current_folder_is_not_replaced_by_a_new_paper(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"--folder \. is the current folder"):
        new_paper("smith2024", folder=".")
    assert new_paper("smith2024").is_dir()


def test_the_compute_of_images_that_training_pads_is_that_of_the_padded_ones(finished):
    folder, options = finished
    arm = Experiment(folder, **options).arms[0]
    odd, padded = (
        dataclasses.replace(arm, data=dataclasses.replace(arm.data, size=size, patch=0), recipe=dataclasses.replace(
            arm.recipe, augmentation=dataclasses.replace(arm.recipe.augmentation, crop=0)))
        for size in ((100, 150), (112, 160))
    )  # fmt: skip
    assert flops_per_image(odd) == flops_per_image(padded) > 0


def test_the_compute_of_a_network_that_takes_one_size_is_of_that_size():
    arm = next(arm for arm in Experiment("hu2018", "smoke").arms if arm.task == "localize")
    free, other = (dataclasses.replace(arm, data=dataclasses.replace(arm.data, size=size)) for size in (None, (16, 16)))
    assert flops_per_image(free) == flops_per_image(arm) > 0
    assert _compute([(other, 2)]).startswith("not estimated (")


def test_a_table_or_figure_that_is_saved_again_is_listed_once(tmp_path):
    report, table = Report(tmp_path), pd.DataFrame({"a": [1]})
    for alt in ("first", "second"):
        report.save_table("table9", table, tidy=False)
        report.save_figure("figure9", Figure(), alt=alt)
    results = json.loads(report.finish({}).read_text())
    assert results["tables"] == ["table9"]
    assert results["figures"] == [{"id": "figure9", "alt": "second"}]
