"""The commands `retina-kit predict` and `retina-kit export`."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pandas as pd
import typer

from retina_kit.cli_options import Device, Json, OutputRoot, Precision, finish
from retina_kit.errors import UsageError
from retina_kit.files import atomic_path
from retina_kit.prediction import LIMITS

if TYPE_CHECKING:
    from retina_kit.prediction.answer_folder import AnswerResult
    from retina_kit.prediction.folder import FolderResult
    from retina_kit.training.metadata import Metadata

CARD, OUR_CARD = "README.md", "library_name: retina-kit"  # the model card, and a line that tells it from others
Weights = Annotated[str, typer.Argument(help="a run's folder, its hash, or a file of weights", metavar="RUN|WEIGHTS")]


def find_weights(given: str, output_root: Path) -> Path:
    """Resolve a file of weights, a run's folder, or the (beginning of the) hash of a run in the store."""
    path = Path(given)
    if path.exists() or path.suffix == ".safetensors" or len(path.parts) > 1:
        return path
    found = sorted((output_root / "runs").glob(f"{given}*/weights.safetensors")) if given.isalnum() else []
    if len(found) != 1:
        what = f"{len(found)} runs begin with it" if found else f"{output_root / 'runs'} has no such run"
        raise UsageError(f"{given!r} is neither a file nor a folder, and {what}; see: retina-kit store list")
    return found[0].parent


def predict(
    weights: Weights,
    images: Annotated[list[Path], typer.Option(help="an image, or a folder of images; repeatable")],
    output: Annotated[Path, typer.Option(help="folder for masks, overlays, predictions.csv and index.html")],
    more: Annotated[list[Path] | None, typer.Argument(help="further images", metavar="[FILE ...]")] = None,
    probabilities: Annotated[bool, typer.Option("--probabilities", help="also write probabilities (TIFF)")] = False,
    flip: Annotated[bool, typer.Option("--flip", help="average with the prediction of the mirror image")] = False,
    ensemble: Annotated[bool, typer.Option("--ensemble", help="average all finished runs of the arm")] = False,
    pixel_size: Annotated[str | None, typer.Option(help="micrometers per pixel, such as 6 or 11.5x3.9 (WxH)")] = None,
    threshold: Annotated[float | None, typer.Option(help="default: the network's own")] = None,
    output_root: OutputRoot = Path("outputs"),
    device: Device = "auto",
    precision: Precision = "auto",
    as_json: Json = False,
) -> None:
    """Predict your own images with a trained network: any size, any common format, no ground truth needed."""
    from retina_kit.prediction.answer_folder import predict_answers
    from retina_kit.prediction.answers import TASKS, ImagePredictor
    from retina_kit.prediction.ensemble import runs_of_the_same_arm
    from retina_kit.prediction.folder import parse_pixel_size, predict_files
    from retina_kit.prediction.predictor import Predictor, weights_file
    from retina_kit.training.metadata import read_metadata

    path = find_weights(weights, output_root)
    paths, inputs = (runs_of_the_same_arm(path) if ensemble else [path]), [*images, *(more or [])]
    metadata = read_metadata(weights_file(path))
    how: Any = {"flip": flip, "device": device, "precision": precision}
    began = time.perf_counter()
    result: AnswerResult | FolderResult
    if metadata.task in TASKS:
        given = {"--probabilities": probabilities, "--pixel-size": pixel_size, "--threshold": threshold}
        check_options(metadata.task, given)
        answerer = ImagePredictor.load(*paths, **how)
        result = predict_answers(answerer, inputs, output, threshold=threshold)
    else:
        predictor = Predictor.load(*paths, **how)
        size = parse_pixel_size(pixel_size) if pixel_size else None
        result = predict_files(
            predictor, inputs, output, threshold=threshold, probabilities=probabilities, pixel_size=size
        )
    seconds = time.perf_counter() - began
    finish(report_of(result, output, [read_metadata(weights_file(path)) for path in paths], seconds), as_json)


def check_options(task: str, given: Mapping[str, object]) -> None:
    """Raise UsageError for an option that a network with one answer per image does not have."""
    allowed = ["--threshold"] if task == "classify" else []
    for option, value in given.items():
        if value and option not in allowed:
            raise UsageError(f"{option} is for networks that segment; these weights were trained to {task}")


def report_of(
    result: "AnswerResult | FolderResult", output: Path, networks: list["Metadata"], seconds: float
) -> dict[str, Any]:
    """Write the contact sheet of predicted images, and sum up what was done."""
    from retina_kit.prediction.answers import structures_of
    from retina_kit.prediction.folder import color_of
    from retina_kit.reporting.contact_sheet import write_contact_sheet

    rows, structures = result.rows(), structures_of(networks[0])
    structure, number = ", ".join(structures), len({(row["file"], row["page"]) for row in rows})
    names = [f"{network.arm} (seed {network.seed})" for network in networks]
    sheet = write_contact_sheet(
        output,
        rows,
        result.failures,
        structure=structure,
        networks=names,
        limits=LIMITS,
        colors={name: "#{:02x}{:02x}{:02x}".format(*color_of(k)) for k, name in enumerate(structures)},
    )
    lines = [f"{number} images predicted in {seconds:.1f} s with {len(names)} network(s): {structure}"]
    lines += [f"not predicted: {reason}" for reason in result.failures.values()]
    lines += [f"contact sheet: {sheet}", LIMITS]
    done = {"predictions": rows, "failures": result.failures, "seconds": round(seconds, 3), "networks": names}
    return {"text": lines, **done, "index": str(sheet), "exit_code": 3 if result.failures else 0}


def export(
    weights: Weights,
    onnx: Annotated[Path | None, typer.Option(help="ONNX file to write (needs the export extra)")] = None,
    pt2: Annotated[Path | None, typer.Option(help="torch.export file to write, such as network.pt2")] = None,
    output_root: OutputRoot = Path("outputs"),
    as_json: Json = False,
) -> None:
    """Export a trained network for other programs, checked against torch, with a model card next to it."""
    from retina_kit.prediction.describe import model_card
    from retina_kit.prediction.export import export_onnx, export_pt2
    from retina_kit.prediction.predictor import TrainedNetwork, weights_file

    targets = [(path, write) for path, write in ((onnx, export_onnx), (pt2, export_pt2)) if path]
    if not targets:
        raise UsageError("nothing to export; name a file with --onnx or --pt2, such as --pt2 network.pt2")
    for path, _ in targets:
        check_card(path.parent / CARD)
    file = weights_file(find_weights(weights, output_root))
    network = TrainedNetwork.load(file, "cpu", "float32")
    differences = {path: write(network, path) for path, write in targets}
    cards = sorted({path.parent / CARD for path in differences})
    for card in cards:
        inside = {path.name: value for path, value in differences.items() if path.parent == card.parent}
        with atomic_path(card) as temporary:
            temporary.write_text(model_card(network.metadata, inside, scores_of(file)), encoding="utf-8")
    lines = [f"{path}: differs from torch by at most {value:.1e}" for path, value in differences.items()]
    lines += [f"model card: {card}" for card in cards]
    result = {"differences": {str(path): value for path, value in differences.items()}, "cards": [*map(str, cards)]}
    finish({"text": [*lines, LIMITS], **result, "exit_code": 0}, as_json)


def check_card(path: Path) -> None:
    """Raise UsageError if a README that is not a model card of the kit would be overwritten."""
    if path.is_file() and OUR_CARD not in path.read_text(encoding="utf-8", errors="replace"):
        raise UsageError(f"{path} is not a model card and would be overwritten; export to a folder of its own")


def scores_of(weights: Path) -> pd.DataFrame | None:
    """Read the scores of the run that the weights belong to, None if the weights are alone."""
    from retina_kit.runs.store import RunStore

    run = RunStore(weights.parent.parent).find(weights.parent.name) if weights.parent.name else None
    return run.scores if run else None
