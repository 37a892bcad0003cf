"""Check the installation: exercise what the kit needs on this machine, and suggest fixes."""

import ast
import importlib.metadata
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from retina_kit.errors import DataError
from retina_kit.machine import total_memory

Check = dict[str, str]
PACKAGES = ("jupyterlab", "ipywidgets", "papermill", "nbconvert", "matplotlib", "safetensors")
NEEDED_GIB = {"memory": 8, "disk": 5}


def examine(data_root: str | Path, output_root: str | Path = "outputs") -> dict[str, Any]:
    """Return the findings as {"text": lines, "checks": rows, "exit_code": 0, 3 (only data are broken) or 5}."""
    checks = [_check("python", "works", platform.python_version()), *map(_package, PACKAGES)]
    checks += [_try(what, action, remedy) for what, action, remedy in EXERCISES]
    checks.append(_try("torchvision", _torchvision, "only vgg16 and resnet50 need one that fits this torch", "absent"))
    checks += [_try("lock", lambda: _lock(output_root), "choose another --output-root"), _chromium()]
    checks += [_memory(), _disk()]
    packs = list(_packs(data_root))
    lines = [f"{check['state']:8} {check['what']:24} {check['finding']}" for check in [*checks, *packs]]
    codes = [code for found, code in ((checks, 5), (packs, 3)) if any(check["state"] == "broken" for check in found)]
    return {"text": lines, "checks": [*checks, *packs], "exit_code": max(codes, default=0)}


def _check(what: str, state: str, finding: str) -> Check:
    return {"what": what, "state": state, "finding": finding}


def _package(name: str) -> Check:
    try:
        return _check(name, "works", importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return _check(name, "broken", "not installed; run: make setup, or pip install .")


def _try(what: str, action: Callable[[], str], remedy: str, otherwise: str = "broken") -> Check:
    """Do something for real; whatever it raises is the finding, in the state `otherwise`."""
    try:
        return _check(what, "works", action())
    except Exception as error:  # a broken library may raise anything, and the report continues
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        return _check(what, otherwise, f"{reason}; {remedy}")


def _opencv() -> str:
    import cv2
    import numpy as np

    image = np.arange(64, dtype=np.uint8).reshape(8, 8)
    decoded = cv2.imdecode(cv2.imencode(".png", image)[1], cv2.IMREAD_UNCHANGED)
    if decoded is None or not np.array_equal(decoded, image):
        raise RuntimeError("a PNG does not survive being written and read")
    return f"{cv2.__version__}, reads and writes a PNG"


def _torch_step() -> str:
    import torch

    from retina_kit.training.device import choose_device, device_name, resolve_precision

    device = choose_device()
    layer = torch.nn.Conv2d(1, 2, 3).to(device)
    layer(torch.zeros(1, 1, 8, 8, device=device)).sum().backward()
    return f"{torch.__version__}, one step on {device_name(device)} in {resolve_precision(device)}"


def _torchvision() -> str:
    import torchvision

    return f"{torchvision.__version__}, imports together with torch"


def _kernel() -> str:
    """Start the kernel that notebooks get, and let it import the kit."""
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(kernel_name="python3", startup_timeout=60, stderr=subprocess.DEVNULL)
    try:
        asked = {"prefix": "sys.prefix"}
        reply = client.execute("import retina_kit, sys", user_expressions=asked, reply=True, timeout=60)["content"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    if reply["status"] != "ok":
        raise RuntimeError(f"the kernel cannot import retina_kit ({reply['evalue']})")
    prefix = ast.literal_eval(reply["user_expressions"]["prefix"]["data"]["text/plain"])
    if prefix != sys.prefix:
        raise RuntimeError(f"notebooks would run in {prefix}, not in {sys.prefix}")
    return "a notebook's kernel starts and imports the kit"


def _dask() -> str:
    import distributed

    return f"{distributed.__version__}, imports"


def _lock(output_root: str | Path) -> str:
    import filelock

    folder = Path(output_root)
    place = next(path for path in (folder, *folder.resolve().parents) if path.is_dir())
    with tempfile.TemporaryDirectory(dir=place) as made, filelock.FileLock(Path(made) / "lock", timeout=5):
        return f"files can be locked in {place}"


EXERCISES = (
    ("opencv", _opencv, "pip install opencv-python-headless"),
    ("torch", _torch_step, "install a torch that fits this machine (pytorch.org)"),
    ("jupyter kernel", _kernel, "python -m ipykernel install --sys-prefix"),
    ("dask", _dask, "pip install dask distributed"),
)


def _chromium() -> Check:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
    return _check("chromium", "works" if found else "absent", found or "only the tests of pages need it")


def _memory() -> Check:
    total = total_memory() / 2**30
    state = "works" if total >= NEEDED_GIB["memory"] * 0.95 else "tight"
    return _check("memory", state, f"{total:.0f} GiB; profile lesson needs about 4")


def _disk() -> Check:
    free = shutil.disk_usage(".").free / 2**30
    return _check("disk", "works" if free >= NEEDED_GIB["disk"] else "tight", f"{free:.0f} GiB free; a run needs 2")


def _packs(data_root: str | Path) -> Iterator[Check]:
    from retina_kit.data.card import list_cards
    from retina_kit.data.manifest import data_summary

    for name in list_cards(data_root):
        try:
            summary = data_summary(name, data_root)
        except DataError as error:
            yield _check(f"data {name}", "broken", str(error))
            continue
        if summary["num_images"]:
            here = f"in {data_root}" if summary["present"] else f"not in {data_root}; run: retina-kit data show {name}"
            yield _check(f"data {name}", "works" if summary["present"] else "absent", here)
