"""Does profile `paper` run through, every paper on all its data, and leave every file that it promises?

    python -m benchmarks.paper_profile [PAPER ...] --data-root data [--fraction 0.00005]

Networks, image sizes, batch sizes and folds are the paper's; steps and images are a fraction (see fractions.py). HRF,
RETOUCH and AROI, which the kit cannot download, are written in the layout of their releases and imported: few eyes in
HRF's size, small scans. The other packs are those below --data-root. A row for each paper and choice of data goes to
results/paper_profile.csv; `seconds` are those of a machine that may have been busy.

The images and batches are the paper's, so a process needs 3 to 5 GB (hu2018, melinscak2020), 8 GB (huang2023), 10 GB
(hu2018 with ImageNet) or 15 GB (ortiz2022).
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from benchmarks.command import run
from benchmarks.machine import describe_machine
from retina_kit.data.card import read_card
from retina_kit.data.manifest import read_manifest
from retina_kit.data.synthetic.fundus import generate_fundus
from retina_kit.experiment import Experiment
from retina_kit.experiment_file import find_paper, list_papers
from retina_kit.files import kit_root
from retina_kit.packs.importing import import_pack
from retina_kit.training.device import choose_device, device_name, resolve_precision
from tests.small_releases import write_aroi, write_retouch

RESULTS = Path(__file__).parent / "results" / "paper_profile.csv"
RENDERED = ("notebook.ipynb", "notebook.html")


def write_hrf(folder):
    """Write photographs, vessels and fields of view in the names, formats and size of HRF; they show three eyes."""
    height, width = read_card("hrf").size
    eyes = generate_fundus(num_patients=3, images_per_patient=1, size=(height // 4, width // 4), seed=0)
    for part in ("images", "manual1", "mask"):
        (folder / part).mkdir(parents=True)
    for place, name in enumerate(read_manifest("hrf")["id"]):
        eye = place % len(eyes.images)
        pixels = {f"images/{name}.jpg": np.ascontiguousarray(eyes.images[eye].transpose(1, 2, 0))}
        for mask, path in (("vessels", f"manual1/{name}.tif"), ("fov", f"mask/{name}_mask.tif")):
            pixels[path] = 255 * eyes.masks[mask][eye].astype(np.uint8)
        for path, array in pixels.items():
            Image.fromarray(array).resize((width, height), Image.Resampling.NEAREST).save(folder / path)


def prepare_data(folder, data_root, cells):
    """Make a data root in `folder` for some (paper, data): links to packs of `data_root`, and releases written here."""
    root = folder / "data"
    root.mkdir()
    writers = {"retouch": write_retouch, "aroi": lambda given: write_aroi(given, num_patients=24), "hrf": write_hrf}
    for pack in sorted({pack for paper, data in cells for pack in find_paper(paper).data[data].packs}):
        if pack in writers:
            writers[pack](folder / pack)
            import_pack(pack, folder / pack, root, progress=False)
        elif (Path(data_root) / pack).is_dir():
            (root / pack).symlink_to((Path(data_root) / pack).resolve())
    return root


def missing_files(folder, promised):
    """Return those of the promised files that are not in a folder, or are empty."""
    return [name for name in promised if not ((folder / name).is_file() and (folder / name).stat().st_size)]


def run_cell(paper, data, folder, options):
    """Run one paper on one choice of data as a user would, and return its row."""
    experiment = Experiment(
        paper, "paper", data, data_root=folder / "data", output_root=folder / "outputs", seeds=[0],
        device=options.device, precision=options.precision, overrides={"fraction": options.fraction},
    )  # fmt: skip
    command = [
        *(sys.executable, "-m", "retina_kit", "run", paper, "--profile", "paper", "--data", data, "--seeds", "0"),
        *("--fraction", str(options.fraction), "--data-root", folder / "data", "--output-root", folder / "outputs"),
        *("--device", options.device, "--precision", options.precision, "--workers", str(options.workers)),
    ]
    began = time.perf_counter()
    done = subprocess.run(
        command, cwd=kit_root(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    seconds = round(time.perf_counter() - began)
    if done.returncode:
        print(done.stdout[-3000:], file=sys.stderr)
    device, promised = choose_device(options.device), [*experiment.promised(), *RENDERED]
    missing = missing_files(experiment.folder, promised)
    return {
        "paper": paper, "data": data, "fraction": options.fraction, "arms": len(experiment.arms),
        "arms_left_out": " ".join(experiment.left_out), "runs": len(experiment.jobs), "seconds": seconds,
        "exit_code": done.returncode, "files_promised": len(promised), "files_missing": " ".join(missing),
        "device": device_name(device), "precision": resolve_precision(device, options.precision),
        "processor": describe_machine(device)["processor"], "torch": torch.__version__,
    }  # fmt: skip


def keep_row(row, path=RESULTS):
    """Add a row to the table of results, in place of that of the same paper, data and device."""
    rows = pd.read_csv(path, keep_default_na=False).to_dict("records") if path.is_file() else []
    same = lambda other: all(other[key] == row[key] for key in ("paper", "data", "device"))  # noqa: E731
    rows = [*(other for other in rows if not same(other)), row]
    pd.DataFrame(rows).sort_values(["device", "paper", "data"]).to_csv(path, index=False, lineterminator="\n")


def main():
    """Run all papers, or those named, on all their data, and keep a row of each; 1 if one of them failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("papers", nargs="*", default=list_papers())
    parser.add_argument("--data", action="append", help="only this choice of data; repeatable")
    parser.add_argument("--data-root", default="data")
    parser.add_argument("--fraction", type=float, default=0.00005)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--save", type=Path, default=RESULTS, help="the table that gets the rows")
    options = parser.parse_args()
    failed = False
    cells = [(key, data) for key in options.papers for data in find_paper(key).data]
    cells = [(paper, data) for paper, data in cells if options.data is None or data in options.data]
    with tempfile.TemporaryDirectory() as folder:
        prepare_data(Path(folder), options.data_root, cells)
        for paper, data in cells:
            row = run_cell(paper, data, Path(folder), options)
            keep_row(row, options.save)
            print(f"{paper} {data}: exit {row['exit_code']} after {row['seconds']} s, {row['runs']} runs", flush=True)
            failed = failed or row["exit_code"] != 0 or row["files_missing"] != ""
    return int(failed)


if __name__ == "__main__":
    run(main)
