"""The wheel: what it holds, and that it works from an environment it cannot write to and an empty folder."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARE = "retina_kit/share"
PAPER = "huang2023"
NOT_INHERITED = ("PYTHONPATH", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "MPLCONFIGDIR")

pytest.importorskip("hatchling", reason="hatchling is not installed (pip install -e .[checkout])")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from the tracked files alone."""
    folder = tmp_path_factory.mktemp("wheel")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, tracked.split("\0")):
        if (ROOT / name).is_file():
            (folder / "kit" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / "kit" / name)
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=folder / "kit", check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """An environment with the wheel, read-only, that takes everything else from this one."""
    folder = tmp_path_factory.mktemp("an environment ü")
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", str(wheel)]
    subprocess.run(command, check=True)
    site = next(folder.rglob("site-packages"))
    (site / "others.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    paths = [folder, *folder.rglob("*")]
    for path in paths:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & ~0o222)
    yield folder
    for path in paths:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | 0o200)


def installed(environment, name, *arguments, cwd, **variables):
    """Run a program of the environment, which finds Jupyter's templates and kernels in this one."""
    program = environment / ("Scripts" if os.name == "nt" else "bin") / name
    inherited = {key: value for key, value in os.environ.items() if key not in NOT_INHERITED}
    settings = inherited | {"JUPYTER_PATH": str(Path(sys.prefix) / "share" / "jupyter")} | variables
    command = [str(program), *arguments]
    return subprocess.run(command, cwd=cwd, env=settings, capture_output=True, text=True, timeout=600, check=False)


def listing(folder):
    """Return every file below a folder with its size and time."""
    return {path: (path.lstat().st_size, path.lstat().st_mtime_ns) for path in folder.rglob("*")}


def test_the_wheel_holds_all_that_a_run_needs_and_no_tests(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for folder in ("notebooks", "data_manifests"):
        ours = {path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts}
        missing = {f"{SHARE}/{path.relative_to(ROOT).as_posix()}" for path in ours} - names
        assert not [name for name in missing if ".ipynb_checkpoints" not in name]
    assert "retina_kit/py.typed" in names
    assert any(name.startswith("retina_kit/reporting/") and name.endswith(".jinja") for name in names)
    tops = {name.split("/")[0] for name in names}
    assert len(tops) == 2, tops  # the package and its metadata
    assert max(len(name) for name in names) < 130  # Windows: 260 with the folder of the environment


def test_the_version_comes_from_the_package(wheel):
    from retina_kit import __version__

    assert wheel.name == f"retina_kit-{__version__}-py3-none-any.whl"


def surroundings(tmp_path):
    """A folder with spaces and umlauts, temporary files elsewhere, a home that cannot be written to, a C locale."""
    folder, temporary = tmp_path / "Übung eins & zwei (Kopie)", tmp_path / "tmp ü"
    folder.mkdir()
    temporary.mkdir()
    (tmp_path / "file").touch()
    places = {"HOME": tmp_path / "file" / "home", "TMPDIR": temporary, "TEMP": temporary, "TMP": temporary}
    locale = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    return folder, temporary, {name: str(place) for name, place in places.items()} | locale


@pytest.mark.slow
def test_a_run_in_odd_surroundings_writes_below_the_current_folder_only(environment, tmp_path):
    folder, temporary, variables = surroundings(tmp_path)
    before = listing(environment)
    done = installed(environment, "retina-kit", "run", PAPER, "--profile", "smoke", "--json", cwd=folder, **variables)
    assert done.returncode == 0, done.stderr[-2000:]
    assert Path(json.loads(done.stdout)["index"]) == Path("outputs/index.html")
    results = folder / "outputs" / PAPER / "smoke-synthetic"
    assert (results / "notebook.html").is_file()
    assert str(tmp_path) not in (results / "notebook.ipynb").read_text(encoding="utf-8")
    assert [path.name for path in folder.iterdir()] == ["outputs"]
    left = [path.name for path in temporary.iterdir()]
    assert not [name for name in left if not name.startswith("torchinductor_")]  # torch's own cache
    assert listing(environment) == before
    folded = [str(path).casefold() for path in folder.rglob("*")]
    assert len(folded) == len(set(folded))  # the same on a file system that ignores case


def test_an_installed_kit_copies_its_notebooks(environment, tmp_path):
    before = listing(environment)
    code = "from retina_kit.working_copy import *; make_working_copy(starting_folder())"
    installed(environment, "python", "-c", code, cwd=tmp_path)
    assert len(sorted((tmp_path / "retina-kit-notebooks").glob("*.ipynb"))) == 4
    assert installed(environment, "retina-kit", "data", "verify", "x", cwd=tmp_path).returncode == 2
    assert listing(environment) == before
