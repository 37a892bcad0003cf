"""The command line in this process: what it prints and its exit code, without the start of another Python."""

import contextlib
import io
import os
import sys
from typing import NamedTuple
from unittest import mock

from retina_kit.cli import main
from retina_kit.data import manifest
from retina_kit.training import prepare


class Done(NamedTuple):
    """What a command left, under the names that subprocess.run uses."""

    returncode: int
    stdout: str
    stderr: str


def command_line(*arguments, cwd):
    """Run a command in a folder as `retina-kit ARGUMENTS` would; for tests that are not about the process."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    forget_data()
    with (
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.object(sys, "argv", ["retina-kit", *map(str, arguments)]),
        mock.patch.dict(os.environ, {"COLUMNS": "200"}),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code
    forget_data()
    return Done(code or 0, out.getvalue(), err.getvalue())


def forget_data():
    """Forget what was read below a relative data root, which is another one in another folder."""
    manifest.forget_cards()
    prepare.KEPT.clear()
