"""Coverage-guided fuzzing of all that reads what a stranger wrote: manifests, TOML, images, masks, weights, exports.

    python -m benchmarks.fuzz --minutes 30            (needs atheris: pip install atheris)

Each target gets an equal share of the time in a process of its own, seeded with real files. A finding is an exception
that is no KitError, a file written outside the folder that the target was given, a crash, or an input that takes more
than 20 seconds. Findings are kept as files; the last lines report how many inputs each target was given.
"""

import argparse
import contextlib
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path

TARGETS = ("manifest", "card", "arm", "image", "mask", "weights", "checkpoint", "export", "archive", "setting",
           "volume")  # fmt: skip
MEMORY_MB, SLOWEST_SECONDS, LONGEST_INPUT = 3000, 20, 8192


def make_target(name, folder):
    """Return the function that reads one input, as bytes, below `folder`."""
    import torch

    from retina_kit.data.card import parse_card, read_card
    from retina_kit.data.manifest import parse_manifest
    from retina_kit.data.pixels import read_image, read_mask
    from retina_kit.experiment_file import typed_like
    from retina_kit.packs.archives import unpack
    from retina_kit.packs.volumes import open_volume, read_voxels
    from retina_kit.runs.checkpoint import Checkpoint
    from retina_kit.runs.exchange import import_runs
    from retina_kit.runs.store import Run, RunStore, file_sha256
    from retina_kit.schema import parse
    from retina_kit.training.arm import Arm

    card, network = read_card("chase_db1"), torch.nn.Conv2d(1, 2, 3)

    def file_of(content, ending):
        path = folder / f"input{ending}"
        path.write_bytes(content)
        return path

    def read_arm(content):
        try:
            settings = json.loads(content)
        except (ValueError, RecursionError):
            return
        parse(Arm, settings, "arm")

    def read_weights(content):
        path = folder / "weights.safetensors"
        path.write_bytes(content)
        Run(folder, {"files": {"weights.safetensors": file_sha256(path)}}).weights()

    def read_checkpoint(content):
        path = file_of(content, ".safetensors")
        optimizer = torch.optim.Adam(network.parameters())
        Checkpoint(path).restore(network, optimizer, [], [])

    def read_setting(content):
        text = content.decode("utf-8", "replace")
        for default in (1, 0.5, True, "text", [1, 2], {"a": 1}):
            typed_like("fuzzed", text, default)

    def read_volume(content):
        header, _, voxels = content.partition(b"\n\n")  # what stands after an empty line is the file of voxels
        (folder / "oct.raw").write_bytes(voxels)
        read_voxels(open_volume(file_of(header, ".mhd")))

    targets = {
        "manifest": lambda content: parse_manifest(file_of(content, ".csv"), card),
        "card": lambda content: parse_card(file_of(content, ".toml")),
        "arm": read_arm,
        "image": lambda content: [read_image("input", channels, content) for channels in (1, 3)],
        "mask": lambda content: read_mask("input", None, content),
        "weights": lambda content: read_weights(content),
        "checkpoint": read_checkpoint,
        "export": lambda content: import_runs(RunStore(folder / "runs"), file_of(content, ".zip")),
        "archive": lambda content: unpack(file_of(content, ".zip"), folder / "unpacked", max_bytes=10**6),
        "setting": read_setting,
        "volume": read_volume,
    }
    return targets[name]


def seeds_of(name):
    """Return real inputs to begin with."""
    import cv2
    import numpy as np
    from safetensors.numpy import save

    from retina_kit.experiment_file import find_paper, list_papers
    from retina_kit.files import kit_root
    from retina_kit.schema import to_json

    cards = kit_root() / "data_manifests"
    if name == "manifest":
        return [b"\n".join((cards / "chase_db1.csv").read_bytes().splitlines()[:4]) + b"\n"]
    if name == "card":
        return [path.read_bytes() for path in cards.glob("*.toml")]
    if name == "arm":
        papers = [find_paper(key) for key in list_papers()]
        values = [paper.resolve_settings("smoke", "public") for paper in papers]
        arms = [arm for paper, value in zip(papers, values, strict=True) for arm in paper.resolve_arms("smoke", value)]
        return [json.dumps(to_json(arm)).encode() for arm in arms]
    if name in ("image", "mask"):
        gray = np.eye(12, 16, dtype=np.uint8) * 255
        image_set = [gray, np.dstack([gray] * 3), np.dstack([gray] * 4), gray.astype(np.uint16)]
        return [cv2.imencode(kind, image)[1].tobytes() for kind in (".png", ".tif") for image in image_set] + [
            cv2.imencode(".jpg", image)[1].tobytes() for image in image_set[:2]
        ]
    if name in ("weights", "checkpoint"):
        weight, bias = np.zeros((2, 1, 3, 3), np.float32), np.zeros(2, np.float32)
        tensors = {"model/weight": weight, "model/bias": bias, "losses": np.ones(3, np.float32)}
        return [save(tensors, {"validations": "[]", "best_score": "null"}), save({"weight": weight})]
    if name == "setting":
        return [b"3", b"0.25", b"true", b"[1, 2]", b"{a = 2}", b"1\nvalue = 2", b'__import__("os")']
    if name == "volume":
        voxels = bytes(range(24))
        header = "NDims = 3\nDimSize = 4 3 2\nElementType = MET_UCHAR\n{}ElementDataFile = oct.raw\n\n"
        packed = zlib.compress(voxels)
        stated = f"CompressedData = True\nCompressedDataSize = {len(packed)}\n"
        return [header.format("").encode() + voxels, header.format(stated).encode() + packed]
    with io.BytesIO() as buffer:
        with zipfile.ZipFile(buffer, "w") as archive:
            settings = {"files": {"scores.csv": "0" * 64}, "description": {"seed": 0}, "arm": "a"}
            archive.writestr(f"{'a' * 16}/settings.json", json.dumps(settings))
            archive.writestr(f"{'a' * 16}/scores.csv", "id,dice\n1,0.5\n")
        return [buffer.getvalue()]


def fuzz_one(name, folder, seconds):
    """Fuzz one target until the time is over; called in a process of its own, which it ends."""
    import atheris

    with atheris.instrument_imports(include=["retina_kit"]):
        target = make_target(name, folder)
    from retina_kit.errors import KitError

    for seed in seeds_of(name):  # what is imported or set up at first use happens before writes are watched
        with contextlib.suppress(KitError):
            target(seed)
    watch_writes(folder)
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123  the kit's own notices; libFuzzer writes past it

    def test_one(content):
        with contextlib.suppress(KitError):
            target(content)

    options = [f"-max_total_time={seconds}", f"-timeout={SLOWEST_SECONDS}", f"-rss_limit_mb={MEMORY_MB}"]
    options += [f"-max_len={LONGEST_INPUT}", "-print_final_stats=1", f"-artifact_prefix={folder}/finding-"]
    atheris.Setup([sys.argv[0], *options, str(folder / "corpus")], test_one)
    atheris.Fuzz()


def watch_writes(folder):
    """Make every opening for writing outside `folder` an error of this process."""
    allowed = (str(folder), "/dev/null")

    def hook(event, arguments):
        if event == "open" and isinstance(arguments[0], str) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            path = os.path.abspath(arguments[0])  # noqa: PTH100  a Path would open files of its own
            if not path.startswith(allowed):
                raise AssertionError(f"a write outside the folder: {path}")

    sys.addaudithook(hook)


def run_target(name, seconds, keep):
    """Fuzz one target, over again after each finding, and return {inputs, seconds, findings}."""
    result = {"target": name, "inputs": 0, "findings": []}
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        folder = Path(folder).resolve()
        (folder / "corpus").mkdir()
        for number, seed in enumerate(seeds_of(name)):
            (folder / "corpus" / f"seed{number}").write_bytes(seed)
        command = [sys.executable, __file__, "--target", name, "--folder", str(folder), "--seconds", str(seconds)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        text = done.stdout + done.stderr
        counts = re.findall(r"(?:number_of_executed_units:|Done) +(\d+)", text)
        result["inputs"] += int(counts[-1]) if counts else 0
        for path in folder.glob("finding-*"):
            target = Path(keep) / f"{name}-{path.name}"
            target.write_bytes(path.read_bytes())
            result["findings"].append({"file": target.name, "message": last_error(text)})
        if done.returncode and not result["findings"]:
            result["findings"].append({"file": "", "message": f"exit {done.returncode}: {last_error(text)}"})
    return result


def last_error(text):
    """Return the lines of a fuzzer's output that report what was found."""
    lines = [line for line in text.splitlines() if re.search(r"Error|Exception|ERROR|File .*retina_kit", line)]
    return " | ".join(lines[-4:])[:600]


def main():
    """Fuzz every target for its share of the time and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--only", choices=TARGETS, action="append")
    parser.add_argument("--keep", default="fuzz_findings", help="folder for inputs that found something")
    parser.add_argument("--target", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.target:
        fuzz_one(options.target, Path(options.folder), options.seconds)
    Path(options.keep).mkdir(exist_ok=True)
    targets = options.only or TARGETS
    results = [run_target(name, int(options.minutes * 60 / len(targets)), options.keep) for name in targets]
    for result in results:
        print(f"{result['target']:12} {result['inputs']:>10} inputs, {len(result['findings'])} findings", flush=True)
        for finding in result["findings"]:
            print(f"  {finding['file']}: {finding['message']}")
    print(f"{sum(result['inputs'] for result in results)} inputs, {sum(len(r['findings']) for r in results)} findings")


if __name__ == "__main__":
    main()
