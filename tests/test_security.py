"""What keeps a stranger out: JupyterLab's door, the page's escaping, no pickles, pinned downloads."""

import contextlib
import dis
import json
import os
import re
import socket
import subprocess
import sys
import time
import types
import urllib.error
import urllib.request
from pathlib import Path

import pandas as pd
import pytest
import small_pack
from small_paper import make_paper, run_paper
from test_architecture import MODULES, PACKAGE, ROOT
from typer.testing import CliRunner

from retina_kit.cli import app
from retina_kit.data.card import parse_card
from retina_kit.errors import DataError
from retina_kit.papers.compare import TABLE_COLUMNS
from retina_kit.reporting.site import build_site
from retina_kit.reporting.website.runs import PaperPage, copy_results, find_pages

RUNS_STRANGERS_CODE = {
    "pickle", "cPickle", "_pickle", "dill", "joblib", "shelve", "marshal", "allow_pickle", "eval", "exec", "__import__",
    "weights_only", "read_pickle", "yaml", "run_path",
}  # fmt: skip
ALLOWED = {
    ("experiment_file.py", "exec"),  # an experiment file is a program that the user wrote or chose
    ("data/synthetic/kept.py", "allow_pickle"),  # set to False: NumPy reads arrays only
    ("models/tensor_files.py", "weights_only"),  # ImageNet's published files, by torch's reader of tensors only
}


def names_of(code):
    """Return every name of a module's bytecode, functions and classes inside it too; `model.eval` is no `eval`."""
    names = {item.argval for item in dis.get_instructions(code) if item.opname in ("LOAD_ATTR", "LOAD_METHOD")} - {
        "eval"
    }
    names |= {item.argval for item in dis.get_instructions(code) if "GLOBAL" in item.opname or "NAME" in item.opname}
    names |= {name for const in code.co_consts if isinstance(const, tuple) for name in const if isinstance(name, str)}
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            names |= names_of(const)
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_bytecode_knows_nothing_that_runs_a_strangers_code(path):
    source = path.read_text()
    found = names_of(compile(source, str(path), "exec")) & RUNS_STRANGERS_CODE
    name = path.relative_to(PACKAGE).as_posix()
    assert found - {allowed for file, allowed in ALLOWED if file == name} == set()
    loads = re.findall(r"\b(?:torch|np|numpy)\.load\((.*)\)", source)
    safe = {"models/tensor_files.py": "weights_only=True", "data/synthetic/kept.py": "allow_pickle=False"}
    assert all(name in safe and safe[name] in load for load in loads)
    assert "shell=True" not in source


@pytest.mark.parametrize(
    ("lock", "least", "without"),
    [("requirements.lock", 100, set()), ("requirements-dev.lock", 10, set()),
     ("requirements-cpu.lock", 90, {"torch", "torchvision"})],
)  # fmt: skip
def test_every_pin_has_its_hashes(lock, least, without):
    """PyTorch's wheels without CUDA come from an index of their own, which the lock cannot name (see test_locks)."""
    lines = (ROOT / lock).read_text().replace("\\\n", " ").splitlines()
    pins = [line for line in lines if line and not line.startswith(("#", "--"))]
    assert len(pins) > least
    for pin in pins:
        name = re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]+\])?==\S+", pin)
        assert name, pin
        assert "--hash=sha256:" in pin or name[1] in without, pin


NO_NETWORK = """
import importlib, pkgutil, sys
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "urllib.Request"):
        raise AssertionError(f"{event} {arguments}")
sys.addaudithook(refuse)
import retina_kit
for name in retina_kit.__all__:
    getattr(retina_kit, name)
names = [module.name for module in pkgutil.walk_packages(retina_kit.__path__, "retina_kit.")]
names = [name for name in names if not name.startswith("retina_kit.share") and name != "retina_kit.__main__"]
for name in names:
    importlib.import_module(name)
print(len(names))
"""


def test_no_module_asks_the_network_for_anything_when_it_is_imported(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", NO_NETWORK], env=os.environ | {"PYTHONPATH": str(ROOT)}, cwd=tmp_path,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 200


SECRETS = {"API_TOKEN": "hunter2-token", "AWS_SECRET_ACCESS_KEY": "hunter2-key", "JUPYTER_TOKEN": "hunter2-lab"}


def leaks(folder, *paths):
    """List the files below a folder that tell where they were made, or a secret of the environment."""
    telling = [*SECRETS.values(), str(ROOT), os.path.realpath(sys.prefix), *map(str, paths)]
    telling += [f"{Path.home()}/", socket.gethostname()] if len(socket.gethostname()) > 5 else [f"{Path.home()}/"]
    found = []
    for path in folder.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        found += [f"{path.relative_to(folder)}: {text}" for text in telling if text.encode() in content]
    return found


@pytest.mark.parametrize("command", ["variants", "export", "notes", "grade", "student", "instructor", "slides"])
def test_what_a_class_gets_tells_nothing_of_this_machine(tmp_path, monkeypatch, command):
    for name, secret in SECRETS.items():
        monkeypatch.setenv(name, secret)
    (tmp_path / "ids.csv").write_text("student\ns01\n")
    (tmp_path / "in" / "s01").mkdir(parents=True)
    (tmp_path / "in" / "s01" / "damaged.ipynb").write_text("{")
    out, ids = tmp_path / "out", str(tmp_path / "ids.csv")
    arguments = {
        "variants": ["class", "variants", ids, "--output", str(out)],
        "export": ["class", "export", "--nbgrader", str(out / "a"), "--otter", str(out / "b")],
        "notes": ["class", "notes", "--output", str(out)],
        "grade": ["class", "grade", str(tmp_path / "in"), "--variants", ids, "--output", str(out)],
    }.get(command, ["build", f"--{command}", "--output", str(out)])
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert len([path for path in out.rglob("*") if path.is_file()]) >= 4
    assert leaks(out, tmp_path) == []


def test_the_results_of_a_site_tell_nothing_of_this_machine(tmp_path, monkeypatch):
    for name, secret in SECRETS.items():
        monkeypatch.setenv(name, secret)
    run_paper(make_paper(tmp_path), tmp_path / "outputs", seeds=(0,))
    pages = find_pages(ROOT, tmp_path / "outputs")
    (folder,) = (tmp_path / "outputs" / "smith2024").iterdir()
    mine = [PaperPage("notebooks/mine.ipynb", folder / "notebook.ipynb", f"smith2024/{folder.name}", "smoke")]
    copy_results(mine, tmp_path / "outputs", tmp_path / "site")
    build_site(tmp_path / "site", {})
    assert len(list((tmp_path / "site").rglob("*.*"))) > 3
    assert leaks(tmp_path / "site", tmp_path) == []
    assert all(str(tmp_path) not in page.name + page.about for page in pages)


@pytest.mark.parametrize("base", ["http://example.org/eyes/", "ftp://example.org/", "file:///etc/"])
def test_a_download_without_https_or_without_a_pin_is_refused(tmp_path, base):
    text = small_pack.CARD.replace("ACCESS", "open")
    for wrong in (f"{base}{'a1' * 20}", "https://example.org/eyes/main"):
        (tmp_path / "card.toml").write_text(text.replace(small_pack.BASE, wrong))
        with pytest.raises(DataError, match="base"):
            parse_card(tmp_path / "card.toml")


def test_the_page_escapes_what_comes_from_data(tmp_path):
    evil = "<script>alert('here')</script><img src=x onerror=alert(1)>"
    folder = tmp_path / "some_paper" / "smoke-synthetic"
    (folder / "tables").mkdir(parents=True)
    (folder / "figures").mkdir()
    row = dict.fromkeys(TABLE_COLUMNS, 0.5) | {"arm": evil, "metric": evil, "note": evil}
    pd.DataFrame([row]).to_csv(folder / "tables" / "table1.csv", index=False)
    texts = dict.fromkeys(("claim", "statement", "kind", "verdict", "rule", "sentence", "scope", "statistic"), evil)
    numbers = {"estimate": 0.1, "ci_low": 0.0, "ci_high": 0.2, "n_patients": 4, "n_seeds": 3}
    pd.DataFrame([texts | numbers]).to_csv(folder / "claims.csv", index=False)
    results = {
        "paper": "some_paper", "title": evil, "question": evil, "profile": evil, "data": evil, "data_says": evil,
        "seeds": [0], "parameters": {evil: evil}, "overrides": {evil: evil}, "arms_left_out": {evil: evil},
        "data_fingerprints": {evil: evil}, "tables": ["table1"], "figures": [{"id": evil, "alt": evil}],
        "arms": [{"arm": evil, "role": evil, "seed": 0, "fold": None, "hash": evil, "seconds": 1.0, "device": evil,
                  "precision": evil, "torch": evil, "peak_memory_mb": 1}],
        "versions": {"torch": evil, "python": evil, "retina-kit": evil}, "git_commit": evil, "machine": evil,
        "notebook_seconds": 1.0, "peak_memory_mb": 1,
    }  # fmt: skip
    (folder / "results.json").write_text(json.dumps(results))
    page = build_site(tmp_path, {"other": {"title": evil, "citation": evil, "artifacts": [], "audit": []}}).read_text()
    assert "alert" in page
    assert "<script>alert" not in page
    assert "<img src=x" not in page


def test_jupyterlab_opens_on_this_machine_only_and_asks_for_a_token(tmp_path):
    port = free_port()
    (tmp_path / "jupyter_server_config.json").write_text('{"ServerApp": {"open_browser": false}}')
    environment = os.environ | {"JUPYTER_CONFIG_DIR": str(tmp_path), "BROWSER": "true"}
    command = [sys.executable, "-m", "retina_kit", "lab", "--port", str(port)]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL, start_new_session=True
    ) as lab:
        try:
            wait_until_it_listens(port, lab)
            with pytest.raises(urllib.error.HTTPError, match="403"):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api/contents", timeout=10)
            assert addresses_listening(port) == {"127.0.0.1"}
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(lab.pid, 15)


def free_port():
    """Return a port that nobody listens on."""
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return opened.getsockname()[1]


def wait_until_it_listens(port, process, seconds=60):
    """Wait until something listens on a port of this machine."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise AssertionError("JupyterLab did not start")


def addresses_listening(port):
    """Return the addresses of this machine on which a port is open, of both internet protocols."""
    found = set()
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            address, number = line.split()[1].split(":")
            if int(number, 16) == port and line.split()[3] == "0A":  # listening
                plain = ".".join(str(byte) for byte in bytes.fromhex(address)[::-1]) if name == "tcp" else address
                found.add(plain)
    return found
