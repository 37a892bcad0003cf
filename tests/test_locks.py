"""What is installed: the three locks, the conda environment and the container files agree with pyproject.toml."""

import contextlib
import importlib.metadata
import importlib.util
import json
import os
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
CUDA = re.compile(r"nvidia|cuda|triton|cudnn|nccl")
DEVELOPERS = {"playwright", "hypothesis", "pytest", "pytest-cov", "mypy", "ruff", "types-psutil"}
CONDA_NAMES = {"torch": "pytorch", "opencv-python-headless": "py-opencv", "matplotlib": "matplotlib-base",
               "nbconvert": "nbconvert-core", "dask": "dask-core"}  # fmt: skip


def load_deriving():
    """Import .ci/derive_locks.py."""
    spec = importlib.util.spec_from_file_location("derive_locks", ROOT / ".ci" / "derive_locks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def lock(name):
    """Return a lock's entries by package name."""
    return load_deriving().read_lock((ROOT / name).read_text())


def pins_of(entry):
    """Return what an entry pins, with its markers: a package may have several versions for several Pythons."""
    return [line.removesuffix(" \\") for line in entry.splitlines() if "==" in line.split(";")[0]]


def test_the_cpu_lock_has_no_cuda_and_else_what_the_users_lock_has():
    users, cpu = lock("requirements.lock"), lock("requirements-cpu.lock")
    assert not [name for name in cpu if CUDA.search(name)]
    assert all(CUDA.search(name) for name in users.keys() - cpu.keys())
    for name, entry in cpu.items():
        assert pins_of(entry) == pins_of(users[name])
    assert len(pins_of(cpu["scipy"])) > 1  # one for each range of Pythons
    assert {name for name, entry in cpu.items() if "--hash" not in entry} == {"torch", "torchvision"}
    assert all("--hash" in entry for entry in users.values())


def test_users_get_no_tools_of_developers():
    users, developers = lock("requirements.lock"), lock("requirements-dev.lock")
    assert not users.keys() & DEVELOPERS
    assert developers.keys() >= DEVELOPERS
    assert not users.keys() & developers.keys()


def test_the_derived_locks_are_up_to_date(tmp_path):
    deriving = load_deriving()
    users, developers = lock("requirements.lock"), lock("requirements-dev.lock")
    (tmp_path / "requirements.lock").write_text("".join(users.values()))
    (tmp_path / "all").write_text("".join((users | developers).values()))
    deriving.main(str(tmp_path / "requirements.lock"), str(tmp_path / "all"))
    for name in ("requirements-cpu.lock", "requirements-dev.lock"):
        assert (tmp_path / name).read_text() == (ROOT / name).read_text(), f"{name} is stale; run make lock"


def test_two_locks_that_differ_are_refused():
    deriving = load_deriving()
    with pytest.raises(ValueError, match="differ in rich"):
        deriving.only_developers({"rich": "rich==13\n"}, {"rich": "rich==14\n"})


def test_conda_takes_every_dependency_from_conda_forge():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = (ROOT / "environment.yml").read_text()
    listed = set(re.findall(r"^  - ([\w.>=-]+)$", text, flags=re.MULTILINE))
    for dependency in project["dependencies"]:
        name, bound = re.match(r"([\w-]+)(.*)", dependency).groups()
        assert f"{CONDA_NAMES.get(name, name)}{bound}" in listed, dependency
    assert re.findall(r"^      - (.*)$", text, flags=re.MULTILINE) == ["--editable ."]  # all that pip installs


def test_binder_takes_the_packages_of_the_conda_environment():
    def packages(path):
        return re.findall(r"^  - ([\w.>-]+=?[\d.]*)", (ROOT / path).read_text(), flags=re.MULTILINE)

    assert [*packages(".binder/environment.yml"), "pip"] == packages("environment.yml")  # the last one installs the kit
    assert (ROOT / ".binder/postBuild").read_text().startswith("#!/bin/sh\n")
    assert os.access(ROOT / ".binder/postBuild", os.X_OK)


def test_no_file_that_installs_names_an_index_and_all_take_the_same_uv():
    files = [ROOT / name for name in ("Makefile", "Dockerfile", "environment.yml", ".devcontainer/Dockerfile")]
    files += sorted(ROOT.glob("requirements*.lock"))
    for path in files:
        assert not re.search(r"https?://|(?<!no-emit-)index-url", path.read_text()), path.name
    versions = {version for path in files for version in re.findall(r"\buv==([\d.]+)", path.read_text())}
    assert len(versions) == 1


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-cpu.lock"])
def test_jsonschema_compiles_no_grammars_when_jupyterlab_imports_it(name):
    assert "jsonschema" in lock(name)
    assert "rfc3987-syntax" not in lock(name)  # 2.3 s for formats that no notebook holds


def test_every_extra_that_a_locked_package_asks_for_is_locked():
    """Without them, pip refuses to install a lock with hashes unless it pins the newest versions."""
    pinned = {package: re.findall(r"^[\w.-]+\[(.*?)\]", entry) for package, entry in lock("requirements.lock").items()}
    for package in pinned:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # of another system or another Python
            for requirement in map(Requirement, importlib.metadata.requires(package) or []):
                if requirement.extras and (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
                    extras = ",".join(pinned[requirement.name])
                    assert requirement.extras <= set(re.split(", *", extras)), f"{package}: {requirement}"


def test_the_container_copies_what_the_wheel_is_built_from():
    docker = (ROOT / "Dockerfile").read_text()
    allowed = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] == "!"}
    copied = {name for line in re.findall(r"^COPY (.*)$", docker, flags=re.MULTILINE) for name in line.split()[:-1]}
    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)
    assert docker.index("\nUSER student") < docker.index("\nCMD")  # not as root
    settings = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert (ROOT / ".devcontainer" / settings["build"]["dockerfile"]).is_file()
    assert settings["remoteUser"] == "student"


def test_the_version_is_the_same_everywhere():
    from retina_kit import __version__

    assert f"version: {__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"\n## {__version__}" in (ROOT / "CHANGELOG.md").read_text()
    assert "version" in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dynamic"]
