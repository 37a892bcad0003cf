"""The types of the library, as mypy checks them with the settings of pyproject.toml."""

import subprocess
import sys

import pytest

from retina_kit.files import kit_root


@pytest.mark.slow
def test_all_types_hold():
    pytest.importorskip("mypy", reason="mypy is not installed (pip install -e .[dev])")
    done = subprocess.run([sys.executable, "-m", "mypy"], cwd=kit_root(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
