"""The commands `retina-kit store list | verify | clean | export | import`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from retina_kit.cli_options import Json, OutputRoot, finish

store_app = typer.Typer(no_args_is_help=True, help="The run store: list, verify, clean, export, import.")


@store_app.command("list")
def store_list(output_root: OutputRoot = Path("outputs"), as_json: Json = False) -> None:
    """List the finished runs."""
    from retina_kit.runs.store import RunStore

    shown: dict[str, Any] = {"arm": "?", "seconds": 0.0, "device": "?"}  # and what an incomplete entry has instead
    runs = [{"hash": run.folder.name} | {name: run.settings.get(name, default) for name, default in shown.items()}
            for run in RunStore(output_root / "runs").runs()]  # fmt: skip
    lines = [f"{run['hash']}  {run['seconds']:8.1f} s  {run['arm']}  on {run['device']}" for run in runs]
    finish({"text": lines or ["the run store is empty"], "runs": runs, "exit_code": 0}, as_json)


@store_app.command("verify")
def store_verify(output_root: OutputRoot = Path("outputs"), as_json: Json = False) -> None:
    """Check every finished run against its checksums; nothing is changed."""
    from retina_kit.runs.store import RunStore

    problems = RunStore(output_root / "runs").verify()
    lines = [line for found in problems.values() for line in found] or [f"{len(problems)} runs, all intact"]
    finish({"text": lines, "problems": problems, "exit_code": 3 if any(problems.values()) else 0}, as_json)


@store_app.command("clean")
def store_clean(output_root: OutputRoot = Path("outputs"), as_json: Json = False) -> None:
    """Remove checkpoints, damaged entries and synthetic images; finished runs stay."""
    from retina_kit.runs.store import RunStore

    removed = RunStore(output_root / "runs").clean()
    finish({"text": [f"removed {len(removed)} files and folders"], "removed": removed, "exit_code": 0}, as_json)


@store_app.command("export")
def store_export(
    file: Path,
    output_root: OutputRoot = Path("outputs"),
    no_weights: Annotated[bool, typer.Option("--no-weights", help="without the weights")] = False,
    as_json: Json = False,
) -> None:
    """Export the finished runs to one zip file, for another machine."""
    from retina_kit.runs.exchange import export_runs
    from retina_kit.runs.store import RunStore

    count = export_runs(RunStore(output_root / "runs"), file, weights=not no_weights)
    finish({"text": [f"{count} runs written to {file}"], "runs": count, "exit_code": 0}, as_json)


@store_app.command("import")
def store_import(file: Path, output_root: OutputRoot = Path("outputs"), as_json: Json = False) -> None:
    """Import the runs of an exported zip file into the store, after checking each."""
    from retina_kit.runs.exchange import import_runs
    from retina_kit.runs.store import RunStore

    count = import_runs(RunStore(output_root / "runs"), file)
    finish({"text": [f"{count} runs imported"], "runs": count, "exit_code": 0}, as_json)
