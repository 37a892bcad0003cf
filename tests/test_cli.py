"""The real command line, once in a process of its own: every bad input has its message and its exit code."""

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer

from retina_kit import __version__ as retina_kit_version
from retina_kit.cli_options import finish
from retina_kit.data.card import list_cards
from retina_kit.data.manifest import read_manifest
from retina_kit.doctor import examine
from tests.small_command import command_line

REAL = Path(__file__).resolve().parents[2] / "shared" / "data"
PAPER = "huang2023"


def retina_kit(*arguments, cwd):
    """Run the command line and return what it said; a traceback is never what it should say."""
    done = command_line(*arguments, cwd=cwd)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def assert_refused(done, exit_code, *parts):
    """Check that a command ended with one message on stderr, with all these parts in it."""
    assert done.returncode == exit_code, (done.stdout, done.stderr)
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("retina-kit: ")
    for part in parts:
        assert part in lines[0]


# ---- settings: exit code 2, before anything starts -------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ([PAPER[:-1] + "x"], [f"no paper is called '{PAPER[:-1]}x'", f"did you mean '{PAPER}'?"]),
        ([PAPER, "--set", "step=3"], ["no parameter is called 'step'; did you mean 'steps'?"]),
        ([PAPER, "--set", "steps=many"], ["parameter steps='many' must be a whole number, such as"]),
        ([PAPER, "--set", "optimizer=magic"], ["huang2023.py, line ", "optimizer is 'magic'", "'adamw' or 'rmsprop'"]),
        ([PAPER, "--profile", "lessons"], ["no profile is called 'lessons'; did you mean 'lesson'?"]),
        ([PAPER, "--seeds", "0,one"], ["--seeds '0,one' must be integers separated by commas"]),
        ([PAPER, "--workers", "2", "--scheduler", "tcp://x:1"], ["use --workers", "or --scheduler", "not both"]),
        ([PAPER, "--precision", "float16"], ["no precision is called 'float16'; did you mean 'bfloat16'?"]),
        ([PAPER, "--output-root", "a_file"], ["a_file is a file; name a folder"]),
    ],
    ids=["paper", "parameter", "value", "name", "profile", "seeds", "both", "precision", "output root"],
)
def test_a_wrong_setting_is_refused(tmp_path, arguments, parts):
    (tmp_path / "a_file").write_text("mine")
    assert_refused(retina_kit("train", *arguments, cwd=tmp_path), 2, *parts)
    assert [path.name for path in tmp_path.iterdir()] == ["a_file"]
    assert (tmp_path / "a_file").read_text() == "mine"


def test_an_unknown_option_is_refused(tmp_path):
    done = retina_kit("data", "list", "--jsn", cwd=tmp_path)
    assert done.returncode == 2
    assert "--jsn" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "exit_code", "text"),
    [
        (["train", PAPER, "--set", "step=3"], 2, "did you mean 'steps'?"),
        (["data", "verify", "star"], 2, "did you mean 'stare'?"),
        (["store", "export", "runs.zip"], 3, "the run store outputs/runs is empty"),
        (["data", "list", "--jsn"], 2, "No such option: --jsn"),
    ],
)
def test_an_error_with_json_is_one_json_object(tmp_path, arguments, exit_code, text):
    done = retina_kit(*arguments, "--json", cwd=tmp_path)
    answer = json.loads(done.stdout)
    assert done.returncode == answer["exit_code"] == exit_code
    assert text in answer["error"]
    assert done.stderr == ""


def test_the_version_is_printed(tmp_path):
    assert retina_kit("--version", cwd=tmp_path).stdout == f"retina-kit {retina_kit_version}\n"


def test_a_process_of_its_own_ends_with_the_exit_code(tmp_path):
    command = [sys.executable, "-m", "retina_kit", "data", "verify", "star"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert_refused(done, 2, "no data set is called 'star'; did you mean 'stare'?")
    assert done.stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--debug", "data", "verify", "star"],
        ["data", "--debug", "verify", "star"],
        ["data", "verify", "star", "--debug"],
        ["store", "--debug", "import", "missing.zip"],
        ["train", "--debug", "nobody2020"],
    ],
)
def test_debug_shows_the_traceback_of_any_command(tmp_path, arguments):
    done = command_line(*arguments, cwd=tmp_path)
    assert done.returncode in (2, 3)
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("retina-kit: ")


def test_debug_is_accepted_by_commands_that_do_not_fail(tmp_path):
    assert retina_kit("data", "list", "--debug", cwd=tmp_path).returncode == 0
    assert retina_kit("store", "--debug", "list", cwd=tmp_path).returncode == 0


# ---- data: exit code 3 ---------------------------------------------------------------------------------------------
def test_a_missing_pack_is_named_with_the_remedy(tmp_path):
    parts = ["data set 'stare' is not in nowhere", "retina-kit data fetch stare --data-root nowhere"]
    assert_refused(retina_kit("data", "verify", "stare", "--data-root", "nowhere", cwd=tmp_path), 3, *parts)


def test_training_without_its_pack_says_how_to_get_it(tmp_path):
    done = retina_kit("train", PAPER, "--profile", "smoke", "--data", "public", "--data-root", "nowhere", cwd=tmp_path)
    assert_refused(done, 3, "is not in nowhere; run: retina-kit data fetch")


@pytest.fixture
def pack(tmp_path):
    """A copy of a real pack that may be damaged."""
    if not (REAL / "stare").is_dir():
        pytest.skip("the data pack stare is not in ../shared/data")
    return Path(shutil.copytree(REAL / "stare", tmp_path / "data" / "stare"))


@pytest.mark.real_data
def test_every_damaged_file_of_a_pack_is_named(pack, tmp_path):
    rows = read_manifest("stare")
    assert retina_kit("data", "verify", "stare", cwd=tmp_path).stdout == "stare: verified\n"
    small, cut, changed, gone = (rows[column][k] for column, k in
                                 (("mask_vessels", 1), ("mask_vessels", 2), ("image", 3), ("mask_fov", 4)))  # fmt: skip
    cv2.imwrite(str(pack / small), np.zeros((30, 40), np.uint8))
    (pack / cut).write_bytes((pack / cut).read_bytes()[:-400])
    pixels = cv2.imread(str(pack / changed))
    cv2.imwrite(str(pack / changed), 255 - pixels)
    (pack / gone).unlink()
    before = {path: path.read_bytes() for path in pack.rglob("*.*")}

    done = retina_kit("data", "verify", "stare", cwd=tmp_path)
    assert done.returncode == 3
    lines = done.stdout.splitlines()
    assert lines[0] == "stare: 4 problems"
    for line, (name, message) in zip(
        lines[1:],
        [
            (small, "is 30x40, but its image is 605x700 (H x W)"),
            (cut, "unsupported or truncated image file"),
            (changed, "the pixels are not those of the manifest"),
            (gone, "cannot be read: No such file or directory"),
        ],
        strict=True,
    ):
        assert name in line
        assert message in line
    assert {path: path.read_bytes() for path in pack.rglob("*.*")} == before

    as_json = json.loads(retina_kit("data", "verify", "stare", "--json", cwd=tmp_path).stdout)
    assert len(as_json["problems"]["stare"]) == 4


# ---- the environment: exit code 5 --------------------------------------------------------------------------------
def test_a_full_disk_stops_the_run_and_leaves_nothing_half_written(small_disk, tmp_path):
    done = retina_kit("train", PAPER, "--profile", "smoke", "--output-root", small_disk, cwd=tmp_path)
    assert done.returncode in (1, 5)
    assert "No space left on device" in done.stdout
    assert "free some space or choose another folder" in done.stdout
    left = [path for path in small_disk.rglob("*") if path.is_file()]
    finished = [path.parent for path in left if path.name == "settings.json"]
    beside = (".locks", ".synthetic")  # whole files that a store may have next to its runs
    assert all(path.parent in finished or path.parent.name in beside for path in left)
    assert list(small_disk.rglob("*.part*")) == []


def test_an_output_root_below_a_file_is_refused(tmp_path):
    (tmp_path / "a_file").write_text("mine")
    done = retina_kit("audit", PAPER, "--html", "a_file/audit.html", cwd=tmp_path)
    assert_refused(done, 5, "cannot write a_file/audit.html", "a_file is not a directory")
    assert (tmp_path / "a_file").read_text() == "mine"


def test_a_file_that_the_system_refuses_is_one_message(tmp_path):
    name = "a" * 300
    for command in (["data", "list", "--data-root", name], ["store", "verify", "--output-root", name]):
        assert_refused(retina_kit(*command, cwd=tmp_path), 5, name, "File name too long")


# ---- what only looks -----------------------------------------------------------------------------------------------
def test_explain_says_what_would_be_done_and_does_nothing(tmp_path):
    done = retina_kit("run", PAPER, "--profile", "smoke", "--explain", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["papers"][PAPER]
    assert {row["state"] for row in rows} == {"to be trained"}
    assert len({row["run"] for row in rows}) == len(rows) > 5
    known = set()
    for row in rows:
        assert row["parent"] == "" or row["parent"] in known, "a parent stands after its child"
        known.add(row["hash"])
    assert list(tmp_path.iterdir()) == []


def test_the_settings_that_set_can_change_are_listed(tmp_path):
    done = retina_kit("paper", "settings", "hu2018", "--profile", "smoke", cwd=tmp_path)
    assert done.returncode == 0
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("folds = "))
    assert "(the paper: 5): folds of the cross-validation" in line


def test_plan_counts_the_runs_that_explain_lists(tmp_path):
    command = ["train", PAPER, "--profile", "smoke", "--json"]
    explained = json.loads(retina_kit(*command, "--explain", cwd=tmp_path).stdout)["papers"][PAPER]
    planned = json.loads(retina_kit(*command, "--plan", cwd=tmp_path).stdout)
    to_train = [row["run"] for row in explained if row["state"] == "to be trained"]
    assert [row["run"] for row in planned["rows"]] == to_train
    assert planned["runs"] == len(to_train)
    assert list(tmp_path.iterdir()) == []


def test_the_list_of_packs_says_what_is_here(tmp_path):
    packs = json.loads(retina_kit("data", "list", "--json", cwd=tmp_path).stdout)["packs"]
    assert [pack["name"] for pack in packs] == list_cards()
    assert not any(pack["present"] for pack in packs)
    assert all(pack["license"] and pack["home"] for pack in packs)


def test_the_doctor_examines_this_machine(tmp_path):
    done = retina_kit("doctor", "--json", cwd=tmp_path)
    checks = {check["what"]: check for check in json.loads(done.stdout)["checks"]}
    assert done.returncode == (5 if any(check["state"] == "broken" for check in checks.values()) else 0)
    assert {"python", "torch", "lock", "memory", "disk", "data stare"} <= set(checks)
    assert checks["python"]["finding"] == ".".join(map(str, sys.version_info[:3]))
    assert checks["data stare"]["state"] == "absent"


def test_an_empty_store_is_listed_and_a_strange_import_refused(tmp_path):
    assert retina_kit("store", "list", cwd=tmp_path).stdout == "the run store is empty\n"
    (tmp_path / "runs.zip").write_text("no zip")
    done = retina_kit("store", "import", "runs.zip", cwd=tmp_path)
    assert_refused(done, 3, "runs.zip cannot be read as an exported run store")


def test_one_damaged_card_of_your_own_hides_no_other_data_set(tmp_path):
    for name in ("broken_eyes", "other_eyes"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "card.toml").write_text("title = 3")
    listed = retina_kit("data", "list", cwd=tmp_path)
    assert listed.returncode == 3
    assert [line.split()[0] for line in listed.stdout.splitlines() if "broken: " in line] == [
        "broken_eyes",
        "other_eyes",
    ]
    assert all(name in listed.stdout for name in list_cards())
    verified = retina_kit("data", "verify", "--json", cwd=tmp_path)
    assert verified.returncode == 3
    assert list(json.loads(verified.stdout)["problems"]) == ["broken_eyes", "other_eyes"]
    assert_refused(retina_kit("data", "verify", "broken_eyes", cwd=tmp_path), 3, "card.toml")
    checks = {check["what"]: check for check in examine(tmp_path / "data", tmp_path)["checks"]}
    assert checks["data broken_eyes"]["state"] == "broken"
    assert checks["data stare"]["state"] == "absent"


def test_json_has_null_for_what_is_no_number(capsys):
    with pytest.raises(typer.Exit):
        finish({"table": [{"sd": math.nan}]}, True)
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == {"table": [{"sd": None}]}


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--student", "--check"], "--check compares"), (["--output", "handout"], "--output needs")],
)
def test_options_of_build_that_would_do_nothing_are_refused(tmp_path, options, message):
    assert_refused(retina_kit("build", *options, cwd=tmp_path), 2, message)
    assert not list(tmp_path.iterdir())
