"""Homes, locales, terminals, file systems and line ends as users have them; test_wheel.py has a whole run in them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from retina_kit.experiment import Experiment
from retina_kit.runs.deciding_code import code_version

ROOT = Path(__file__).resolve().parents[1]
PAPER = "huang2023"
UNKNOWN = ["data", "verify", "x"]
C_LOCALE = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
RESERVED = re.compile(r'[<>:"|?*\\]|[. ]$|^(con|prn|aux|nul|com\d|lpt\d)(\.|$)', flags=re.IGNORECASE)


def retina_kit(*arguments, cwd, without=(), **variables):
    """Run the command line with other environment variables."""
    environment = {name: value for name, value in os.environ.items() if name not in without}
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment |= {"PYTHONPATH": os.pathsep.join(paths)} | {name: str(value) for name, value in variables.items()}
    command = [sys.executable, "-m", "retina_kit", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, timeout=600, check=False)


@pytest.fixture
def read_only_home(tmp_path):
    """A home folder on a read-only file system; skipped where nothing may be mounted."""
    if os.name == "nt" or os.geteuid() != 0:
        pytest.skip("mounting a read-only folder needs root")
    home = tmp_path / "home"
    home.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "ro,size=64k", "tmpfs", str(home)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    yield home
    subprocess.run(["umount", str(home)], check=True)


@pytest.mark.parametrize(
    "variables",
    [{"without": ("HOME", "USERPROFILE")}, C_LOCALE, {"PYTHONIOENCODING": "ascii"}, {"TERM": "dumb", "COLUMNS": "20"}],
    ids=["no home", "C locale", "ASCII output", "narrow terminal"],
)
@pytest.mark.parametrize(
    "command", [["audit"], ["data", "list"], ["run", PAPER, "--profile", "smoke", "--explain"], UNKNOWN]
)
def test_commands_answer_in_odd_surroundings(tmp_path, variables, command):
    done = retina_kit(*command, cwd=tmp_path, **variables)
    assert done.returncode == (2 if command == UNKNOWN else 0), done.stderr
    assert b"Traceback" not in done.stderr
    assert "PYTHONIOENCODING" not in variables or done.stdout.isascii()


@pytest.mark.parametrize("locale", [{}, C_LOCALE], ids=["any locale", "C locale"])
def test_a_name_with_umlauts_reaches_an_ascii_terminal_escaped(tmp_path, locale):
    (tmp_path / "Läufe").mkdir()
    command = ["store", "export", "x.zip", "--output-root", "Läufe"]
    done = retina_kit(*command, cwd=tmp_path, PYTHONIOENCODING="ascii", **locale)
    assert done.returncode == 3
    assert rb"the run store L\xe4ufe" in done.stderr


@pytest.mark.slow
def test_the_doctor_starts_a_kernel_with_a_read_only_home(tmp_path, read_only_home):
    unset = ("JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "MPLCONFIGDIR")
    done = retina_kit("doctor", cwd=tmp_path, without=unset, HOME=read_only_home)
    assert done.returncode == 0, done.stdout
    assert re.search(rb"works +jupyter kernel", done.stdout)


def test_no_tracked_name_is_a_problem_on_windows_or_macos():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    names = [name for name in tracked if name]
    assert len({name.casefold() for name in names}) == len(names)
    assert not [name for name in names for part in name.split("/") if RESERVED.search(part)]
    assert max(map(len, names)) < 120


def test_a_checkout_with_windows_line_ends_has_the_same_hashes_and_notebooks(tmp_path):
    """Git keeps line feeds (.gitattributes); a copy that went through an editor or a zip of Windows may not."""
    for folder in ("retina_kit", "notebooks", "data_manifests"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".toml", ".csv", ".jinja", ".js", ".css", ".ipynb", ".typed"} and path.is_file():
                target = tmp_path / path.relative_to(ROOT)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    code = "import sys; from retina_kit.runs import deciding_code; from retina_kit.experiment import Experiment as E; "
    code += f"print(deciding_code.code_version(), [job.key for job in E({PAPER!r}, 'smoke').jobs]); "
    code += "from retina_kit.cli import main; sys.argv = ['retina-kit', 'build', '--check']; main()"
    command, environment = [sys.executable, "-c", code], os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    here = f"{code_version()} {[job.key for job in Experiment(PAPER, 'smoke').jobs]}"
    assert done.stdout.splitlines()[0] == here
