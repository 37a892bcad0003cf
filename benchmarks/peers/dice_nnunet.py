"""nnU-Net v2 in `time-to-dice`: its planner, its preprocessing and `nnUNetv2_train ID 2d all -device cpu`.

`python -m benchmarks.peers.dice_nnunet prepare ARRAYS FOLDER` writes the training images as its raw data set and lets
it plan and preprocess them; that is timed apart. Training is `nnUNetTrainer` with nothing changed but a call after
every update. Its fold "all" trains on all training images, as the other frameworks do.
"""

import json
import multiprocessing
import os
import sys
from pathlib import Path

import numpy as np

DATASET = "Dataset001_retina"


def set_folders(folder: Path) -> None:
    """Tell nnU-Net where it keeps its files; it reads that when it is imported."""
    folders = {"raw": folder / "raw", "preprocessed": folder / "preprocessed", "results": folder / f"run{os.getpid()}"}
    os.environ.update({f"nnUNet_{name}": str(path) for name, path in folders.items()})


def prepare(arrays: Path, folder: Path) -> None:
    """Write the raw data set, plan it and preprocess it for 2D."""
    import cv2

    set_folders(folder)
    raw = folder / "raw" / DATASET
    for name in ("imagesTr", "labelsTr"):
        (raw / name).mkdir(parents=True, exist_ok=True)
    with np.load(arrays) as data:
        images, targets = data["images"], data["targets"]
    for number, (image, target) in enumerate(zip(images, targets, strict=True)):
        cv2.imwrite(str(raw / "imagesTr" / f"case{number:03}_0000.png"), image[::-1].transpose(1, 2, 0))
        cv2.imwrite(str(raw / "labelsTr" / f"case{number:03}.png"), target)
    names = ["R", "G", "B"] if images.shape[1] == 3 else ["OCT"]
    description = {"channel_names": {str(k): name for k, name in enumerate(names)}, "numTraining": len(images),
                   "labels": {"background": 0, "structure": 1}, "file_ending": ".png"}  # fmt: skip
    (raw / "dataset.json").write_text(json.dumps(description), encoding="utf-8")
    from nnunetv2.experiment_planning import plan_and_preprocess_api as api

    api.extract_fingerprints([1], num_processes=2)
    api.plan_experiments([1])
    api.preprocess([1], configurations=("2d",), num_processes=(2,))


def train(task, update, clock) -> None:
    """Train as `nnUNetv2_train` does on a CPU, with its own worker processes for augmentation."""
    set_folders(Path(task.folder))
    import torch
    from nnunetv2.run.run_training import get_trainer_from_args
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    def predict_with(trainer):
        def predict(test_images):
            trainer.network.eval()
            trainer.set_deep_supervision_enabled(False)
            probability = torch.zeros(len(test_images), *test_images.shape[-2:])
            for image, out in zip(test_images, probability, strict=True):
                pixels, box = preprocess(trainer, image)
                out[box] = foreground(trainer.network, pixels)
            trainer.set_deep_supervision_enabled(True)
            trainer.network.train()
            return probability

        return predict

    step = nnUNetTrainer.train_step

    def train_step(trainer, batch):
        result = step(trainer, batch)
        update(predict_with(trainer))
        return result

    nnUNetTrainer.train_step = train_step
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", multiprocessing.cpu_count())))
    clock.start()
    trainer = get_trainer_from_args(DATASET, "2d", "all", device=torch.device("cpu"))
    trainer.run_training()


def preprocess(trainer, image):
    """Return a test image (C, H, W) as nnU-Net preprocesses it, (1, C, h, w), and the slices that it was cut to."""
    import torch

    manager = trainer.configuration_manager
    preprocessor = manager.preprocessor_class(verbose=False)
    pixels, _, facts = preprocessor.run_case_npy(
        image[:, None].astype(np.float32),
        None,
        {"spacing": [999, 1, 1]},
        trainer.plans_manager,
        manager,
        trainer.dataset_json,
    )
    box = tuple(slice(*ends) for ends in facts["bbox_used_for_cropping"][1:])
    return torch.from_numpy(np.asarray(pixels))[:, 0][None], box


def foreground(network, pixels):
    """Return the foreground's probability (h, w) of one image, padded to what six levels take, in bfloat16."""
    import torch
    import torch.nn.functional as F

    height, width = pixels.shape[-2:]
    padded = F.pad(pixels, (0, -width % 32, 0, -height % 32))
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        return network(padded).float().softmax(1)[0, 1, :height, :width]


if __name__ == "__main__":
    if sys.argv[1] == "prepare":
        prepare(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        from benchmarks.dice_clock import main

        main(train, ["nnunetv2", "torch"])
