"""The commands `retina-kit data list | show | fetch | import | new | verify`."""

from pathlib import Path
from typing import Annotated

import typer

from retina_kit.cli_options import DataRoot, Json, finish

data_app = typer.Typer(no_args_is_help=True, help="Data sets: list, show, fetch, import, new, verify.")


@data_app.command("list")
def data_list(data_root: DataRoot = Path("data"), as_json: Json = False) -> None:
    """List the data packs: what they hold, their license, and whether they are here."""
    from retina_kit.data.card import list_cards
    from retina_kit.data.manifest import data_summary

    rows = [data_summary(name, data_root) for name in list_cards(data_root)]
    here = {True: "here", False: "-"}
    lines = [
        f"{row['name']:22} {here[row['present']]:5} {row['num_images'] or '':>6} {row['access']:13} {row['title']}"
        for row in rows
    ]
    finish({"text": lines, "packs": rows, "exit_code": 0}, as_json)


@data_app.command("show")
def data_show(name: str, data_root: DataRoot = Path("data"), as_json: Json = False) -> None:
    """Show the card of a data pack."""
    from retina_kit.data.manifest import data_summary

    summary = data_summary(name, data_root)
    lines = [f"{key}: {value}" for key, value in summary.items() if value not in (None, "", [], {})]
    finish({"text": lines, **summary, "exit_code": 0}, as_json)


@data_app.command("fetch")
def data_fetch(
    name: str,
    data_root: DataRoot = Path("data"),
    accept_terms: Annotated[bool, typer.Option("--accept-terms", help="you have read and accept its terms")] = False,
    as_json: Json = False,
) -> None:
    """Download a data pack from its pinned public source and verify every image."""
    from retina_kit.packs.fetch import fetch_pack

    fetch_pack(name, data_root, accept_terms=accept_terms, progress=not as_json)
    finish({"text": [f"{name}: complete and verified in {data_root}"], "name": name, "exit_code": 0}, as_json)


@data_app.command("import")
def data_import(
    name: str,
    source: Annotated[Path, typer.Option("--from", help="folder or archive that holds the original files")],
    data_root: DataRoot = Path("data"),
    as_json: Json = False,
) -> None:
    """Take a data pack from files that you downloaded by hand, and verify every image."""
    from retina_kit.packs.importing import import_pack

    import_pack(name, source, data_root)
    finish({"text": [f"{name}: imported and verified in {data_root}"], "name": name, "exit_code": 0}, as_json)


@data_app.command("new")
def data_new(
    name: str,
    images: Annotated[Path, typer.Option(help="folder of your images")],
    masks: Annotated[Path, typer.Option(help="folder of their masks: 0 and 255 (or 0 and 1) only")],
    patient_regex: Annotated[str, typer.Option(help="finds the patient in an image's name, such as '^(\\d+)_'")],
    data_root: DataRoot = Path("data"),
    as_json: Json = False,
) -> None:
    """Make a data pack of your own images: pairs by name, sizes verified; then run with --set target=NAME."""
    from retina_kit.packs.custom import new_pack

    rows = new_pack(name, images, masks, patient_regex, data_root)
    num_patients = rows["patient"].nunique()
    lines = [f"{name}: {len(rows)} images of {num_patients} patients, each with its mask, in {data_root / name}"]
    warning = "warning: every image was assigned its own patient; check --patient-regex"
    lines += [warning] if num_patients == len(rows) else []
    lines += [f"retina-kit run PAPER --set target={name} --data-root {data_root}"]
    finish({"text": lines, "name": name, "images": len(rows), "patients": num_patients, "exit_code": 0}, as_json)


@data_app.command("verify")
def data_verify(
    name: Annotated[str | None, typer.Argument()] = None,
    data_root: DataRoot = Path("data"),
    as_json: Json = False,
) -> None:
    """Verify every image of one data set, or of all that are here, against the manifest."""
    from retina_kit.data.card import list_cards
    from retina_kit.data.manifest import has_pack, require_pack, verify_pack

    names = [name] if name else [card for card in list_cards(data_root) if has_pack(card, data_root)]
    if name:
        require_pack(name, data_root)
    problems = {pack: verify_pack(pack, data_root) for pack in names}
    lines = [f"{pack}: {len(found)} problems" if found else f"{pack}: verified" for pack, found in problems.items()]
    lines += [f"  {line}" for found in problems.values() for line in found]
    lines += [] if names else [f"no data pack is in {data_root}; run: retina-kit data list"]
    bad = any(problems.values()) or not names
    finish({"text": lines, "problems": problems, "exit_code": 3 if bad else 0}, as_json)
