"""What the commands of the command line share: option types, and how they show results and errors."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer


def _rooted(path: Path) -> Path:
    """Let every command find what notebooks in the folder of the copies have written next to that folder."""
    from retina_kit.working_copy import rooted

    return rooted(path)


Papers = Annotated[list[str] | None, typer.Argument(help="papers to run (default: all)")]
Profile = Annotated[str, typer.Option(help="smoke, lesson or paper")]
Data = Annotated[str, typer.Option("--data", help="synthetic, public or paper")]
DataRoot = Annotated[Path, typer.Option(help="folder of the real data sets", callback=_rooted)]
OutputRoot = Annotated[Path, typer.Option(help="folder for the results", callback=_rooted)]
Seeds = Annotated[str | None, typer.Option(help="seeds, such as 0,1,2; default: the profile's")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="NAME=VALUE, a setting (`retina-kit paper settings` lists them); repeatable"),
]
Fraction = Annotated[
    float | None, typer.Option(help="share of the steps and images, such as 0.01, to check that everything runs")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N, mps or xpu")]
Precision = Annotated[str, typer.Option(help="auto, float32 or bfloat16")]
Workers = Annotated[
    int | None, typer.Option(help="processes at once; default: one per core, or per 20 GiB of a GPU", min=1)
]
Scheduler = Annotated[str | None, typer.Option(help="train on a Dask cluster: tcp://HOST:PORT of its scheduler")]
Fresh = Annotated[bool, typer.Option("--fresh", help="retrain even if cached results exist")]
Explain = Annotated[bool, typer.Option("--explain", help="list what would be trained or reused, and why, and stop")]
Plan = Annotated[bool, typer.Option("--plan", help="estimate the cost (hours, memory, disk), and stop")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON object")]


def finish(result: dict[str, Any], as_json: bool) -> NoReturn:
    """Print a result, as lines or as JSON, and leave with its exit code."""
    text, code = "\n".join(result.pop("text", [])), result.pop("exit_code", 0)
    if as_json:
        from retina_kit.schema import without_nan

        text = json.dumps(without_nan(result), indent=1, allow_nan=False, default=str)
    print(text)
    raise typer.Exit(code)


def fail(message: str, exit_code: int, as_json: bool) -> NoReturn:
    """Print an error, as a line on stderr or as JSON on stdout, and leave with its exit code."""
    if as_json:
        print(json.dumps({"error": message, "exit_code": exit_code}))
    else:
        print(f"retina-kit: {message}", file=sys.stderr)
    sys.exit(exit_code)
