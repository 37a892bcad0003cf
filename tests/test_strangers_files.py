"""Files from elsewhere that promise too much: weights that describe harm, runs that no run wrote, links out of it all.

Each was found by `benchmarks.fuzz_folders` in one form; here is the kind.
"""

import errno
import json
import shutil
import tempfile

import nbformat
import pytest
import torch
from safetensors.torch import save_file
from small_arm import small_arm, train
from test_website import make_run

from retina_kit.cli import main
from retina_kit.errors import DataError, UsageError
from retina_kit.experiment_file import typed_like
from retina_kit.packs.pairing import read_table as read_pairs
from retina_kit.papers.compare import TABLE_COLUMNS
from retina_kit.prediction.predictor import Predictor, TrainedNetwork
from retina_kit.reporting.saved_run import (
    CLAIM_NUMBERS,
    CLAIM_TEXTS,
    read_claims,
    read_comparison,
    read_results,
    read_table,
)
from retina_kit.reporting.site import build_site
from retina_kit.reporting.website.documents import Sources
from retina_kit.reporting.website.runs import read_notebook
from retina_kit.runs.store import RunStore
from retina_kit.schema import to_json
from retina_kit.teaching.exercises import read_exercises
from retina_kit.training.metadata import KEY, read_metadata


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Return (tensors, description) of a small network for two structures."""
    arm = small_arm("fluid", model={"num_classes": 2}, recipe={"steps": 1})
    run = train([arm], RunStore(tmp_path_factory.mktemp("runs")))["fluid", 0]
    path = run.folder / "weights.safetensors"
    description = to_json(read_metadata(path), defaults=True)
    return run.weights(), description | {"classes": ["background", "disc", "cup"]}


DESCRIPTIONS = {
    "a class that leaves the folder": ({"classes": ["background", "../../escaped", "cup"]}, "cannot name a folder"),
    "a class that is an absolute path": ({"classes": ["background", "/tmp/escaped", "cup"]}, "cannot name a folder"),
    "a class of an endless name": ({"classes": ["background", "a" * 300, "cup"]}, "cannot name a folder"),
    "a class with a zero byte": ({"classes": ["background", "a\0b", "cup"]}, "cannot name a folder"),
    "two classes of one name": ({"classes": ["background", "disc", "Disc"]}, "two or more different names"),
    "no class": ({"classes": []}, "two or more different names"),
    "more classes than channels": ({"classes": ["b", "x", "y", "z"]}, "not what segment needs"),
    "another task": ({"task": "classify"}, "not what classify needs"),
    "an unknown task": ({"task": "cure"}, "no task is called 'cure'"),
    "an image of no size": ({"working_size": [0, 48]}, "not that of an image"),
    "an image of a terabyte": ({"working_size": [10**6, 10**6]}, "not that of an image"),
    "no batch": ({"batch_size": 0}, "are no sizes"),
    "windows of a negative size": ({"window": -5}, "are no sizes"),
    "no mean": ({"mean": []}, "do not fit 1 channels"),
    "division by zero": ({"std": [0.0]}, "std is 0"),
    "seven channels": ({"image_channels": 7}, "images have 7 channels"),
    "an unknown step": ({"preprocessing": {"steps": [{"name": "x"}]}}, "no preprocessing step is 'x'"),
    "no source": ({"sources": []}, "names no data"),
    "a threshold above all": ({"threshold": 7.0}, "not between 0 and 1"),
    "a network that takes all memory": ({"network": {"name": "unet", "widths": [10**6] * 5}}, "instead of"),
    "a network of no layers": ({"network": {"name": "unet", "widths": []}}, "cannot be built"),
    "a network of words": ({"network": {"name": "unet", "widths": "x"}}, "cannot be built"),
    "a network that is a list": ({"network": {"name": []}}, "cannot be built"),
    "too much dropout": ({"network": {"name": "unet", "dropout": 7.0}}, "cannot be built"),
}


def described(folder, weights, changes):
    """Write a file of weights whose description is changed."""
    tensors, description = weights
    path = folder / "strange.safetensors"
    save_file(tensors, path, {KEY: json.dumps(description | changes)})
    return path


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_weights_that_describe_what_cannot_be_are_refused(weights, tmp_path, name):
    changes, message = DESCRIPTIONS[name]
    with pytest.raises(DataError, match=rf"strange\.safetensors.*{message}"):
        TrainedNetwork.load(described(tmp_path, weights, changes), "cpu")


def test_weights_as_they_were_written_are_taken(weights, tmp_path):
    predict = Predictor.load(described(tmp_path, weights, {}), device="cpu")
    assert predict(torch.zeros(32, 48, dtype=torch.uint8).numpy()).shape == (2, 32, 48)


# ---- the folder of a run ---------------------------------------------------------------------------------------------
CLAIM = dict.fromkeys(CLAIM_TEXTS, "t") | dict.fromkeys(CLAIM_NUMBERS, "0.5") | {"statistic": "dice", "sentence": "s"}
ROW = dict.fromkeys(TABLE_COLUMNS, "0.5") | {"arm": "None", "metric": "dice", "paper_spread_is": "", "note": ""}


def write_table(path, row):
    """Write a table of one row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(",".join(row) + "\n" + ",".join(row.values()) + "\n")
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"paper": "../../other"}, "paper: it must be a name"),
        ({"tables": ["/etc/passwd"]}, r"tables\[0\]: it must be a name"),
        ({"figures": [{"id": "..\\x", "alt": "a"}]}, r"figures\[0\].id: it must be a name"),
        ({"arms": [{"arm": "a", "hash": "../x"}]}, r"arms\[0\].hash: it must be a name"),
        ({"seeds": ["0"]}, "seeds"),
        ({"arms": [{"arm": ["a"]}]}, r"arms\[0\].arm"),
        ({"arms": 3}, "arms"),
        ({"title": None}, "title"),
        ({"versions": {"torch": 2}}, "versions.torch"),
    ],
)
def test_results_that_no_run_wrote_are_refused_by_field(tmp_path, changes, message):
    folder = make_run(tmp_path)
    path = folder / "results.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    for read in (read_results, lambda _: build_site(tmp_path, {})):
        with pytest.raises(DataError, match=rf"is not a complete run \(results.json: it: .*{message}.*rerun it"):
            read(folder)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "\xff", '{"paper": "\\ud800"}', "[" * 100_000])
def test_results_that_are_no_table_are_refused(tmp_path, content):
    (tmp_path / "results.json").write_text(content, encoding="latin-1")
    with pytest.raises(DataError, match="is not a complete run"):
        read_results(tmp_path)


@pytest.mark.parametrize("name", [*CLAIM_NUMBERS, "statement"])
def test_claims_with_a_text_for_a_number_or_a_column_too_few_are_refused(tmp_path, name):
    assert read_claims(tmp_path).empty
    write_table(tmp_path / "claims.csv", CLAIM)
    assert read_claims(tmp_path)["estimate"].tolist() == [0.5]
    write_table(tmp_path / "claims.csv", {key: value for key, value in CLAIM.items() if key != "statistic"})
    assert read_claims(tmp_path)["statistic"].isna().all()
    write_table(tmp_path / "claims.csv", {key: value for key, value in CLAIM.items() if key != name})
    with pytest.raises(DataError, match=rf"claims.csv: it has no column '{name}'"):
        read_claims(tmp_path)
    if name in CLAIM_NUMBERS:
        write_table(tmp_path / "claims.csv", CLAIM | {name: "much"})
        with pytest.raises(DataError, match=r"claims\.csv: Unable to parse string"):
            read_claims(tmp_path)


def test_a_table_with_a_text_for_a_number_is_refused(tmp_path):
    path = write_table(tmp_path / "tables" / "table1.csv", ROW)
    assert read_table(path)[["arm", "ours_mean"]].to_numpy().tolist() == [["None", 0.5]]
    write_table(path, ROW | {"ours_mean": "much"})
    with pytest.raises(DataError, match=r"table1\.csv: Unable to parse string"):
        read_table(path)
    write_table(path, {name: value for name, value in ROW.items() if name != "ours_ci_high"})
    assert list(read_table(path).columns) == [name for name in ROW if name != "ours_ci_high"], "other tables are read"
    with pytest.raises(DataError, match=r"not a comparison with the paper: see the columns \['ours_ci_high'\]"):
        read_comparison(path)
    with pytest.raises(DataError, match=r"missing.csv: .*No such file"):
        read_table(tmp_path / "missing.csv")


@pytest.mark.parametrize("damage", ["no notebook", "a source that is a number", "a surrogate"])
def test_a_notebook_that_no_run_wrote_is_refused(tmp_path, damage):
    path = make_run(tmp_path) / "notebook.ipynb"
    assert len(read_notebook(path).cells) == 3
    notebook = json.loads(path.read_text())
    if damage == "a source that is a number":
        notebook["cells"][0]["source"] = 3
    elif damage == "a surrogate":
        notebook["cells"][0]["source"] = "\ud800"
    path.write_text("{}" if damage == "no notebook" else json.dumps(notebook))
    with pytest.raises(DataError, match="is not a notebook that a run wrote"):
        read_notebook(path)


def test_a_link_of_a_notebook_publishes_nothing_but_the_checkouts_open_files(tmp_path):
    root = tmp_path / "checkout"
    for name in ("docs/plot.png", ".git/config", "docs/.env", "data/eyes/1.png", "outputs/a.csv", "../secret"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")
    sources = Sources(root, tmp_path / "site")
    links = ["../../secret", "../.git/config", "../docs/.env", "../data/eyes/1.png", "../outputs/a.csv", "/etc/passwd"]
    for link in links:
        assert sources.with_links(f"![see]({link})", "notebooks/1.ipynb") == "see"
    assert not (tmp_path / "site").exists()
    assert sources.with_links("[see](../docs/plot.png)", "notebooks/1.ipynb") == "[see](</docs/plot.png>)"
    assert [path.name for path in (tmp_path / "site").rglob("*") if path.is_file()] == ["plot.png"]


# ---- the run store, tables, settings ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "changes", [{"files": []}, {"files": {"scores.csv": 3}}, {"description": 3}, {"arm": []}, {"seconds": "1"}]
)
def test_an_entry_whose_settings_no_run_wrote_is_set_aside(tmp_path, changes, capsys):
    store = RunStore(tmp_path / "runs")
    run = train([small_arm("fluid", recipe={"steps": 1})], store)["fluid", 0]
    path = run.folder / "settings.json"
    path.write_text(json.dumps(run.settings | changes))
    assert list(store.verify()) == [run.folder.name]
    assert store.verify()[run.folder.name] != []
    assert store.runs() == []
    assert "set aside as" in capsys.readouterr().err


def test_the_store_lists_an_entry_that_lacks_a_name(tmp_path, capsys, monkeypatch):
    store = RunStore(tmp_path / "runs")
    run = train([small_arm("fluid", recipe={"steps": 1})], store)["fluid", 0]
    settings = {name: value for name, value in run.settings.items() if name not in ("arm", "seconds")}
    (run.folder / "settings.json").write_text(json.dumps(settings))
    monkeypatch.setattr("sys.argv", ["retina-kit", "store", "list", "--output-root", str(tmp_path)])
    with pytest.raises(SystemExit, match="0"):
        main()
    assert f"{run.folder.name}       0.0 s  ?  on " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), f"{tempfile.gettempdir()}: No space left on device; free"),
        (MemoryError(), "memory ran out"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "memory ran out (DefaultCPUAllocator"),
    ],
)
def test_a_disk_or_memory_that_is_full_is_one_line_wherever_it_is_met(tmp_path, capsys, monkeypatch, error, message):
    def full(self):
        raise error

    monkeypatch.setattr(RunStore, "runs", full)
    monkeypatch.setattr("sys.argv", ["retina-kit", "store", "list", "--output-root", str(tmp_path)])
    with pytest.raises(SystemExit, match="5"):
        main()
    said = capsys.readouterr().err
    assert said.startswith(f"retina-kit: {message}")
    assert said.count("\n") == 1


def test_a_table_of_images_with_a_short_line_is_refused_by_its_line(tmp_path):
    for name in ("1.png", "m.png"):
        (tmp_path / name).write_text("x")
    (tmp_path / "table.csv").write_text("image,mask,patient\n1.png,m.png,a\n1.png\n")
    with pytest.raises(DataError, match=r"table.csv, line 3: the patient is empty"):
        read_pairs(tmp_path / "table.csv")
    (tmp_path / "table.csv").write_text("")
    with pytest.raises(DataError, match="cannot be read as a table"):
        read_pairs(tmp_path / "table.csv")


@pytest.mark.parametrize("text", ["9" * 5000, "[" * 100_000])
def test_toml_without_end_is_refused(tmp_path, text):
    (tmp_path / "exercises.toml").write_text(f"value = {text}")
    with pytest.raises(UsageError, match=r"exercises\.toml"):
        read_exercises(tmp_path / "exercises.toml")
    with pytest.raises(UsageError, match="must be a whole number"):
        typed_like("steps", text, 3)


def test_a_paper_of_ones_own_without_solutions_can_be_handed_out(tmp_path):
    from retina_kit.authoring.scaffold import new_paper
    from retina_kit.experiment_file import find_paper
    from retina_kit.teaching.course import build_course
    from retina_kit.teaching.nbgrader import build_nbgrader
    from retina_kit.teaching.otter import build_assignment

    source = find_paper(new_paper("mine2026", folder=tmp_path / "mine")).files.source
    otter = nbformat.read(build_assignment(source, tmp_path / "otter.ipynb"), as_version=4)
    answers = [
        cell.source.splitlines() for cell in otter.cells if "# SOLUTION" in cell.source and "answer_" in cell.source
    ]
    assert answers == [
        ["answer_the_control = ...  # SOLUTION", "experiment.check.the_control(answer_the_control)"],
        ["answer_the_gain = ...  # SOLUTION", "experiment.check.the_gain(answer_the_gain)"],
    ]
    assert "Going further" in otter.cells[-1].source, "what follows an exercise is kept"
    graded = nbformat.read(build_nbgrader(source, tmp_path / "course"), as_version=4)
    assert sum("answer_the_gain = ..." in cell.source for cell in graded.cells) == 1
    (slides,) = build_course("slides", tmp_path / "slides", output_root=tmp_path, notebooks=[source])
    assert "differs from the replication arm in the loss only" in slides.read_text(), "the answers are its notes"
    shutil.rmtree(tmp_path / "mine")
