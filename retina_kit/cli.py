"""The command line: what each command is called; the longer ones are in the modules <what>_commands."""

import contextlib
import errno
import gc
import io
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from retina_kit import __version__
from retina_kit.class_commands import class_app
from retina_kit.cli_options import (
    Data,
    DataRoot,
    Device,
    Explain,
    Fraction,
    Fresh,
    Json,
    OutputRoot,
    Papers,
    Plan,
    Precision,
    Profile,
    Scheduler,
    Seeds,
    Set,
    Workers,
    fail,
    finish,
)
from retina_kit.data_commands import data_app
from retina_kit.errors import KitError, SetupError
from retina_kit.notebook_commands import build, lab, site
from retina_kit.paper_commands import compare_command, paper_app, sweep_command
from retina_kit.prediction_commands import export, predict
from retina_kit.store_commands import store_app

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Reproduce four papers on transfer learning for retinal image segmentation.",
)
app.add_typer(store_app, name="store")
app.add_typer(data_app, name="data")
app.add_typer(paper_app, name="paper")
app.add_typer(class_app, name="class")


@app.callback(invoke_without_command=True)
def main_options(
    version: Annotated[bool, typer.Option("--version", help="print the version")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="with any command: show the traceback of an error")] = False,
) -> None:
    """Reproduce four papers on transfer learning for retinal image segmentation."""
    if version:
        finish({"text": [f"retina-kit {__version__}"]}, False)


def training_command(*, notebooks: bool) -> Callable[..., None]:
    """Make the command `run`, or `train` without notebooks; both have the same options."""

    def command(
        papers: Papers = None,
        profile: Profile = "lesson",
        data: Data = "synthetic",
        data_root: DataRoot = Path("data"),
        output_root: OutputRoot = Path("outputs"),
        seeds: Seeds = None,
        settings: Set = None,
        fraction: Fraction = None,
        device: Device = "auto",
        precision: Precision = "auto",
        workers: Workers = None,
        scheduler: Scheduler = None,
        fresh: Fresh = False,
        explain: Explain = False,
        plan: Plan = False,
        as_json: Json = False,
    ) -> None:
        from retina_kit.files import check_writable
        from retina_kit.session import RunOptions, Session, parse_seeds, parse_settings
        from retina_kit.working_copy import writable_home

        options = RunOptions(
            profile=profile, data=data, data_root=data_root, output_root=output_root, seeds=parse_seeds(seeds),
            overrides=parse_settings(settings, fraction), device=device, precision=precision, workers=workers,
            scheduler=scheduler, fresh=fresh,
        )  # fmt: skip
        session = Session(papers, options)
        if explain:
            finish(session.explain(), as_json)
        if plan:
            finish(session.plan(), as_json)
        check_writable(output_root)
        with writable_home():
            result = session.run() if notebooks else session.train()
        finish(result, as_json)

    return command


RUN = "Train the arms, execute the notebooks and write tables, figures, verdicts and the front page."
TRAIN = "Train the arms into the run store only; no notebook, no figure."
app.command("run", help=RUN)(training_command(notebooks=True))
app.command("train", help=TRAIN)(training_command(notebooks=False))
app.command("predict")(predict)
app.command("export")(export)
app.command("compare")(compare_command)
app.command("sweep")(sweep_command)
app.command("lab")(lab)
app.command("build")(build)
app.command("site")(site)


@app.command()
def audit(
    papers: Papers = None,
    as_html: Annotated[Path | None, typer.Option("--html", help="write the findings as a page to this file")] = None,
    as_json: Json = False,
) -> None:
    """Check the published numbers themselves: a paper's key, its folder, or a TOML file. No data, no GPU, seconds."""
    from retina_kit.files import atomic_path
    from retina_kit.papers.audit import audit_html, audit_text, find_anomalies
    from retina_kit.papers.published import folder_of_published, read_published

    known = sorted(path.stem for path in folder_of_published().glob("*.toml"))
    own = {name: Path(name) / "published.toml" for name in papers or [] if name not in known and Path(name).is_dir()}
    findings = {name: find_anomalies(read_published(own.get(name, name))) for name in papers or known}
    if as_html:
        with atomic_path(as_html) as path:
            path.write_text("\n".join(audit_html(table) for table in findings.values()), encoding="utf-8")
    lines = [audit_text(table) for table in findings.values()]
    finish({"text": lines, "findings": {name: t.to_dict("records") for name, t in findings.items()}}, as_json)


@app.command()
def doctor(as_json: Json = False, data_root: DataRoot = Path("data")) -> None:
    """Check the installation and suggest fixes."""
    from retina_kit.doctor import examine
    from retina_kit.working_copy import writable_home

    with writable_home():
        findings = examine(data_root)
    finish(findings, as_json)


@app.command()
def bench(
    peers: Annotated[bool, typer.Option("--peers", help="with the frameworks of the bench extra")] = False,
    workload: Annotated[list[str] | None, typer.Option(help="what to measure; repeatable; `all`")] = None,
    repeats: Annotated[int, typer.Option(help="how often each framework is measured", min=1)] = 3,
    save: Annotated[str | None, typer.Option(help="keep the figures under this name in benchmarks/results")] = None,
    device: Device = "auto",
    data_root: DataRoot = Path("data"),
    as_json: Json = False,
) -> None:
    """Benchmark this kit against other frameworks, and its workloads."""
    import subprocess

    from retina_kit.files import kit_root

    if not (kit_root() / "benchmarks" / "__main__.py").is_file():
        raise SetupError(f"{kit_root() / 'benchmarks'} is not there; run bench from a checkout of the kit")
    command = [sys.executable, "-m", "benchmarks", "--repeats", str(repeats), "--device", device]
    command += ["--data-root", str(data_root.resolve())]
    command += ["--peers"] * peers + ["--json"] * as_json + (["--save", save] if save else [])
    command += [part for name in workload or [] for part in ("--workload", name)]
    raise typer.Exit(subprocess.call(command, cwd=kit_root()))


def ensure_unicode() -> None:
    """Let names with umlauts through: in paths by starting again in UTF-8 mode if need be, on a terminal escaped."""
    if sys.getfilesystemencoding() == "ascii":  # a C locale, with Python's own remedy switched off
        command = [sys.executable, "-m", "retina_kit", *sys.argv[1:]]
        os.execve(sys.executable, command, os.environ | {"PYTHONUTF8": "1"})
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def system_message(error: Exception) -> str:
    """Return the message about a full disk or memory, or a file that the system refuses; "" for any other error.

    >>> system_message(OSError(errno.ENOSPC, "No space left on device", "/tmp/scans"))
    '/tmp/scans: No space left on device; free some space, or set TMPDIR to another folder'
    >>> system_message(PermissionError(errno.EACCES, "Permission denied", "/tmp/scans"))
    '/tmp/scans: Permission denied'
    """
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        place = error.filename or tempfile.gettempdir()
        return f"{place}: {error.strerror}; free some space, or set TMPDIR to another folder"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, MemoryError | RuntimeError):
        from retina_kit.runs.diagnostics import is_out_of_memory

        if is_out_of_memory(error):
            return f"memory ran out ({str(error)[:200]}); give smaller or fewer images, or close other programs"
    return ""


def main() -> None:
    """Run the command line; an error is one message and its exit code, a Ctrl-C is 130.

    `--debug` and `--json` are read here, because they decide how an error of any command is shown.
    """
    ensure_unicode()
    gc.set_threshold(20_000, 20, 20)  # by default imports of libraries that stay are searched for garbage: 0.9 s of 6.3
    # jsonschema, which nbformat loads, would build grammars with it, for addresses that no notebook holds: 1.4 s
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    debug, as_json = "--debug" in sys.argv, "--json" in arguments
    code: Any = 0
    try:
        with contextlib.suppress(BrokenPipeError):
            code = app(args=arguments, standalone_mode=not as_json)
    except SystemExit as end:
        code = end.code
    except KitError as error:
        if debug:
            traceback.print_exc()
        fail(str(error), error.exit_code, as_json)
    except KeyboardInterrupt:
        code = 130
    except Exception as error:
        if hasattr(error, "format_message"):  # of typer's usage errors, whose class moved between its versions
            fail(error.format_message(), 2, as_json)
        message = system_message(error)
        if debug or not message:
            raise
        fail(message, SetupError.exit_code, as_json)
    if code == 130:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # another Ctrl-C does not change how this ends
        fail("interrupted; run again to resume", code, as_json)
    sys.exit(code)
