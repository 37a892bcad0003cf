"""The commands about papers and their runs: `paper new | notebook | report | settings`, `compare`, `sweep`."""

from pathlib import Path
from typing import Annotated

import typer

from retina_kit.cli_options import (
    Data,
    DataRoot,
    Device,
    Json,
    OutputRoot,
    Precision,
    Profile,
    Seeds,
    Set,
    Workers,
    finish,
)
from retina_kit.errors import KitError, UsageError

paper_app = typer.Typer(no_args_is_help=True, help="Papers, the kit's and your own: new, notebook, report, settings.")

Paper = Annotated[str, typer.Argument(help="a paper's key, or the folder of one of your own")]


@paper_app.command("new")
def paper_new(
    key: Annotated[str, typer.Argument(help="short name, such as smith2024")],
    title: Annotated[str, typer.Option(help="title of the paper")] = "",
    folder: Annotated[Path | None, typer.Option(help="folder to make; default: ./KEY")] = None,
    modality: Annotated[str, typer.Option(help="what the experiment begins with: fundus or oct")] = "fundus",
    as_json: Json = False,
) -> None:
    """Make the folder of a paper of your own: experiment, published values, notebook, exercises, README."""
    from retina_kit.authoring.scaffold import new_paper

    made = new_paper(key, title=title, folder=folder, modality=modality)
    lines = [f"{path}" for path in sorted(made.iterdir())]
    lines += ["it can be run as it is:", f"  cd {made} && retina-kit run . --profile smoke"]
    finish({"text": lines, "folder": str(made), "exit_code": 0}, as_json)


@paper_app.command("notebook")
def paper_notebook(
    folder: Annotated[Path, typer.Argument(help="folder of the paper")],
    output: Annotated[Path | None, typer.Option(help="file to write; default: the paper's notebook")] = None,
) -> None:
    """Write a notebook to match the experiment: a section per table and figure, and the claims."""
    from retina_kit.authoring.drafting import write_draft

    finish({"text": [f"{write_draft(folder, output)}: written"], "exit_code": 0}, False)


@paper_app.command("report")
def paper_report(
    paper: Paper,
    profile: Profile = "lesson",
    data: Data = "synthetic",
    data_root: DataRoot = Path("data"),
    output_root: OutputRoot = Path("outputs"),
    seeds: Seeds = None,
    settings: Set = None,
    output: Annotated[Path | None, typer.Option(help="folder for report.md and report.html")] = None,
) -> None:
    """Write the reproduction report (Markdown, HTML) from a finished run; your own words in it stay."""
    from retina_kit.authoring.reproduction_report import write_report
    from retina_kit.session import parse_seeds, parse_settings

    paths = write_report(
        paper,
        output,
        profile=profile,
        data=data,
        data_root=data_root,
        output_root=output_root,
        seeds=parse_seeds(seeds),
        overrides=parse_settings(settings),
    )
    finish({"text": [f"{path}: written" for path in paths], "exit_code": 0}, False)


@paper_app.command("settings")
def paper_settings(paper: Paper, profile: Profile = "lesson", as_json: Json = False) -> None:
    """List the settings of a paper that --set can change: the value in a profile, and what the paper reports."""
    from retina_kit.experiment import Experiment

    table = Experiment(paper, profile).settings()
    lines = [f"{row['setting']} = {row['this run']} (the paper: {row['the paper']}): {row['what it is']}"
             for row in table.to_dict("records")]  # fmt: skip
    finish({"text": lines, "settings": table.to_dict("records"), "exit_code": 0}, as_json)


def compare_command(
    a: Annotated[str, typer.Argument(help="a run's folder, PAPER/SETTING below the output root, or an output root")],
    b: Annotated[str, typer.Argument(help="another one")],
    output_root: OutputRoot = Path("outputs"),
    metric: Annotated[list[str] | None, typer.Option(help="score to compare; repeatable; default: dice")] = None,
    output: Annotated[Path | None, typer.Option(help="folder for differences, scores and images as CSV")] = None,
    as_json: Json = False,
) -> None:
    """Compare two finished runs: what differs, and paired differences with intervals over patients, folds, seeds."""
    from retina_kit.comparison.two_runs import Comparison, both_are_roots, compare, compare_roots

    found: dict[str, Comparison | KitError] = {}
    if both_are_roots(a, b):
        found = compare_roots(a, b, metrics=metric or ())
    else:
        one = compare(a, b, output_root=output_root, metrics=metric or ())
        found = {one.a.name: one}
    done = {name: result for name, result in found.items() if isinstance(result, Comparison)}
    if output:
        for name, result in done.items():
            result.save(output / name if len(found) > 1 else output)
    errors = {name: {"error": str(result)} for name, result in found.items() if name not in done}
    codes = [result.exit_code for result in found.values() if isinstance(result, KitError)]
    code = max(codes, default=0) if not done or max(codes, default=0) != UsageError.exit_code else 0
    report = errors | {name: result.to_json() for name, result in done.items()}
    text = [str(result) for result in found.values()]
    finish({"text": ["\n\n".join(text)], "comparisons": report, "exit_code": code}, as_json)


def sweep_command(
    paper: Paper,
    settings: Annotated[list[str], typer.Option("--set", help="NAME=V1,V2,V3 once; NAME=VALUE for what stays fixed")],
    profile: Profile = "lesson",
    data: Data = "synthetic",
    data_root: DataRoot = Path("data"),
    output_root: OutputRoot = Path("outputs"),
    seeds: Seeds = None,
    device: Device = "auto",
    precision: Precision = "auto",
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Train a paper's arms with several values of a setting: one table, one figure; if interrupted, it resumes."""
    from retina_kit.comparison.sweep_values import parse_sweep
    from retina_kit.comparison.sweeps import sweep
    from retina_kit.files import check_writable
    from retina_kit.session import RunOptions, parse_seeds

    name, values, fixed = parse_sweep(settings)
    options = RunOptions(profile=profile, device=device, workers=workers)
    check_writable(output_root)
    found = sweep(
        paper,
        name,
        values,
        overrides=fixed,
        profile=profile,
        data=data,
        data_root=data_root,
        output_root=output_root,
        seeds=parse_seeds(seeds),
        device=device,
        precision=precision,
        workers=options.num_workers(),
    )
    folder = found.save()
    lines = [str(found), f"table and figure: {folder}"]
    lines += [f"not trained: {name} = {value}: {reason}" for value, reason in found.failures.items()]
    result = {"folder": str(folder), "table": found.table.to_dict("records"), "failures": dict(found.failures)}
    finish({"text": lines, **result, "exit_code": 1 if found.failures else 0}, as_json)
