"""What works on this machine and what does not, with the remedy."""

import importlib.metadata
import os
import platform
import shutil

PACKAGES = (
    "torch",
    "torchvision",
    "opencv-python-headless",
    "jupyterlab",
    "ipywidgets",
    "papermill",
    "nbconvert",
    "matplotlib",
)


def examine(data_root):
    """Return the findings as {"text": lines, "checks": rows, "exit_code": 0 or 5}."""
    checks = [_python(), *map(_package, PACKAGES), *_torch(), _memory(), _disk(), *_packs(data_root)]
    lines = [f"{check['state']:8} {check['what']:24} {check['finding']}" for check in checks]
    broken = any(check["state"] == "broken" for check in checks)
    return {"text": lines, "checks": checks, "exit_code": 5 if broken else 0}


def _check(what, state, finding):
    return {"what": what, "state": state, "finding": finding}


def _python():
    version = platform.python_version()
    return _check("python", "works", version)


def _package(name):
    try:
        return _check(name, "works", importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return _check(name, "broken", "not installed; run: make setup")


def _torch():
    """Import torch and torchvision for good: some pairs of versions install but do not import."""
    try:
        import torch
        import torchvision  # noqa: F401

        from retina_kit.training.device import choose_device, has_fast_bfloat16
    except (ImportError, RuntimeError, OSError) as error:
        return [_check("torch and torchvision", "broken", f"they do not import ({error}); install a matching pair")]
    device = choose_device()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {os.cpu_count()} cores"
    fast = has_fast_bfloat16(device)
    return [
        _check("torch and torchvision", "works", "import together"),
        _check("device", "works", name),
        _check(
            "bfloat16",
            "works" if fast else "slow",
            "in hardware" if fast else "not in hardware; float32 is used",
        ),
    ]


def _memory():
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return _check("memory", "works" if total >= 8 else "tight", f"{total:.0f} GiB; profile lesson needs about 4")


def _disk():
    free = shutil.disk_usage(".").free / 2**30
    return _check("disk", "works" if free >= 5 else "tight", f"{free:.0f} GiB free here; a batch needs about 2")


def _packs(data_root):
    from retina_kit.data.manifest import data_summary, list_cards

    for name in list_cards(data_root):
        summary = data_summary(name, data_root)
        if summary["num_images"]:
            here = f"in {data_root}" if summary["present"] else f"not in {data_root}; run: retina-kit data show {name}"
            yield _check(f"data {name}", "works" if summary["present"] else "absent", here)
