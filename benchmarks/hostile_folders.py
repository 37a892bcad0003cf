"""Real files for `fuzz_folders`: weights, images, packs, papers, runs and a class, small enough to read in a blink.

Each function fills an empty folder with the files of one target. They are made once; copies of them are damaged.
"""

import importlib.util
import zipfile
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from retina_kit.authoring.scaffold import new_paper
from retina_kit.data.transforms import Preprocessing
from retina_kit.experiment import Experiment
from retina_kit.models.build import build_model
from retina_kit.packs.custom import ImportOptions, new_pack
from retina_kit.reporting.figures import plot_history
from retina_kit.reporting.living.states import MIME, explorer_state
from retina_kit.reporting.notebook import build_notebook
from retina_kit.reporting.report import Report
from retina_kit.runs.exchange import export_runs
from retina_kit.runs.store import RunStore
from retina_kit.teaching.exercises import read_exercises
from retina_kit.teaching.questions import Exercise
from retina_kit.teaching.records import ANSWER
from retina_kit.teaching.variants import Student, build_variants, read_students
from retina_kit.training.metadata import Metadata, TrainedOn, to_header

PATIENTS, SIDES = 4, (32, 48)  # height, width
EYES = {"num_patients": 12, "images_per_patient": 1, "size": [32, 32]}
KEY = "smith2024"
UNET = {"name": "unet", "widths": [4, 4, 4], "norm": "batch"}
NETWORKS: dict[str, dict[str, Any]] = {
    "plain": {},
    "windows": {"window": 16, "stride": 12},
    "classes": {"network": UNET | {"num_classes": 2}, "classes": ("background", "disc", "cup")},
    "color": {"network": UNET | {"in_channels": 3}, "in_channels": 3, "image_channels": 3, "cropped": True},
    "localizer": {"task": "localize", "classes": ("x", "y"), "stretched": True,
                  "network": {"name": "localizer", "widths": [4, 4], "input_size": [32, 48], "hidden": 4}},
}  # fmt: skip


def image_of(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a color image with a bright ellipse, and its mask (0 and 255)."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[: SIDES[0], : SIDES[1]]
    mask = ((y - 14 - rng.integers(4)) / 6) ** 2 + ((x - 20 - rng.integers(8)) / 8) ** 2 < 1
    image = rng.integers(10, 60, (*SIDES, 3)) + 150 * mask[..., None]
    return image.astype(np.uint8), mask.astype(np.uint8) * 255


def write_dicom(path: Path, pixels: np.ndarray) -> None:
    """Write gray frames (N, H, W) of 16 bits as a DICOM file."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = SecondaryCaptureImageStorage, meta.MediaStorageSOPInstanceUID
    data.NumberOfFrames, data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    data.PixelSpacing = [0.004, 0.011]
    data.PixelData = pixels.astype(np.uint16).tobytes()
    data.save_as(path, enforce_file_format=True)


def own_images(folder: Path) -> None:
    """Write images and masks of all kinds: palette, transparency, 16 bits, pages, JPEG, GIF, DICOM, and a table."""
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for number in range(2 * PATIENTS):
        image, mask = image_of(number)
        name, pixels = f"{number // 2}_{'LR'[number % 2]}", Image.fromarray(image)
        if number == 0:
            pixels.save(folder / "images" / f"{name}.tif", save_all=True, append_images=[pixels])
        elif number == 1:
            Image.fromarray(image[..., 0].astype(np.uint16) * 257).save(folder / "images" / f"{name}.png")
        elif number == 2 and importlib.util.find_spec("pydicom"):
            write_dicom(folder / "images" / f"{name}.dcm", image[None, ..., 0] * np.uint16(16))
        else:
            pixels.save(folder / "images" / f"{name}.{('jpg', 'bmp', 'gif', 'ppm', 'png')[number % 5]}")
        drawn = Image.fromarray(mask)
        if number == 3:
            drawn = Image.fromarray((mask > 0).astype(np.uint8), "P")
            drawn.putpalette([0, 0, 0, 128, 0, 0])
        elif number == 4:
            drawn = Image.fromarray(np.dstack([np.full_like(mask, 255)] * 3 + [mask]))
        drawn.save(folder / "masks" / f"{name}.{'gif' if number == 5 else 'tif' if number == 6 else 'png'}")
    masks = sorted((folder / "masks").iterdir())
    rows = [f"images/{path.name},masks/{masks[k].name},{path.stem[0]}"
            for k, path in enumerate(sorted((folder / "images").iterdir()))]  # fmt: skip
    (folder / "table.csv").write_text("\n".join(["image,mask,patient", *rows]) + "\n")


def pack(folder: Path) -> None:
    """Write a pack of one's own."""
    own_images(folder / "mine")
    new_pack("eyes", folder / "mine" / "images", folder / "mine" / "masks", r"^(\d+)_", folder / "data",
             options=ImportOptions())  # fmt: skip


def weights(folder: Path) -> None:
    """Write one file of weights per network, and a folder of images."""
    source = TrainedOn("synthetic_oct", "synthetic", "none", "retina-kit", True, "0" * 16)
    general: dict[str, Any] = {
        "arm": "fluid", "label": "fluid", "task": "segment", "network": UNET, "in_channels": 1, "image_channels": 1,
        "image_size": SIDES, "working_size": SIDES, "stretched": False, "resize_first": False, "cropped": False,
        "preprocessing": Preprocessing(), "mean": (127.5,), "std": (127.5,), "window": 0, "stride": 0, "batch_size": 2,
        "threshold": 0.5, "classes": ("background", "fluid"), "variant": "last", "seed": 0, "fold": None,
        "precision": "float32", "steps": 3, "run": "a" * 16, "kit_version": "1.0.0", "sources": (source,),
    }  # fmt: skip
    for name, changes in NETWORKS.items():
        metadata = Metadata(**general | changes)
        torch.manual_seed(0)
        model = build_model(metadata.network)
        save_file(model.state_dict(), folder / f"{name}.safetensors", to_header(metadata))
    own_images(folder / "mine")


def train_paper(folder: Path) -> Experiment:
    """Make a paper of one's own, train it at smoke size, and write what its notebook would; return the experiment."""
    paper = new_paper(KEY, folder=folder / KEY)
    experiment = Experiment(paper, "smoke", output_root=folder / "outputs", seeds=[0, 1, 2],
                            overrides={"target_options": EYES})  # fmt: skip
    experiment.train(progress=False)
    report = Report(experiment.folder)
    report.save_table("table1", experiment.table("table1"))
    report.save_figure("curves", plot_history(experiment.histories), alt="loss by step")
    report.save_claims(experiment.claims())
    report.finish(experiment.description())
    return experiment


def finished_runs(folder: Path) -> None:
    """Write an output root with a finished run: its tables, a notebook with a widget's state, and its run store."""
    experiment = train_paper(folder)
    built = nbformat.read(build_notebook(experiment.definition.files.source), as_version=4)
    state = explorer_state(
        np.zeros((1, 1, 1, 3), np.uint8), np.array([[[0.9, 0.4, 0.2]]]), np.array([[[True, True, False]]]), ["eye"], 0.5
    )
    cell = nbformat.v4.new_code_cell("explore()", execution_count=1)
    cell.outputs = [nbformat.v4.new_output("display_data", data={"text/plain": "threshold", MIME: state})]
    text = nbformat.v4.new_markdown_cell("Dice $\\frac{2TP}{2TP+FP}$, see the [glossary](../docs/glossary.md).")
    built.cells += [text, cell]
    nbformat.write(built, experiment.folder / "notebook.ipynb")
    export_runs(RunStore(folder / "outputs" / "runs"), folder / "runs.zip")


def record_of_answer(exercise: Exercise, paper: str, student: Student) -> dict[str, Any]:
    """Return what a check would record of the answer 0.25, all numbers of the run being 0.5."""
    run = {"paper": paper, "profile": "lesson", "data": "synthetic", "seeds": [student.seed]}
    numbers = [vars(cell) | {"value": 0.5} for cell in exercise.cells()]
    return {"exercise": exercise.name, "answer": 0.25, **run, "numbers": numbers}


def school_class(folder: Path, sources: dict[str, Path]) -> None:
    """Write what a class of three hands in: notebooks with answers and records, and one in a zip file."""
    (folder / "ids.csv").write_text("student\ns01\ns02\ns03\n")
    students = read_students(folder / "ids.csv")
    build_variants(students, sources, folder / "variants")
    for student in students:
        target = folder / "handed_in" / student.id
        target.mkdir(parents=True)
        for path in (folder / "variants" / student.id).glob("*.ipynb"):
            notebook = nbformat.read(path, as_version=4)
            paper = path.stem.split("_")[-1]
            exercises = {exercise.name: exercise for exercise in read_exercises(paper)}
            for cell in notebook.cells:
                if "exercise" in cell.metadata.get("tags", []):
                    exercise = exercises[cell.source.split("check.")[-1].split("(")[0]]
                    cell.source = cell.source.replace("(...)", "(0.25)")
                    data = {"text/plain": "feedback", ANSWER: record_of_answer(exercise, paper, student)}
                    cell.outputs = [nbformat.v4.new_output("display_data", data)]
            (target / path.name).write_text(nbformat.writes(notebook), encoding="utf-8")
    with zipfile.ZipFile(folder / "handed_in" / "s03.zip", "w") as archive:
        for path in (folder / "handed_in" / "s03").iterdir():
            archive.write(path, f"s03/{path.name}")
            path.unlink()
