"""Four papers on transfer learning for retinal image segmentation, reproduced, controlled and taught.

    import retina_kit as rk

    experiment = rk.Experiment("hu2018", profile="smoke")

Everything in `__all__` is imported when it is first used, so that `import retina_kit` costs next to nothing.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", "80000000")  # data.pixels.MAX_PIXELS; read when cv2 is loaded

_HOME = {
    "Arm": "training.arm",
    "Batches": "training.batches",
    "Experiment": "experiment",
    "ImagePredictor": "prediction.answers",
    "KitError": "errors",
    "Predictor": "prediction.predictor",
    "Recipe": "training.recipe",
    "Split": "data.splits",
    "UNet": "models.unet",
    "build_model": "models.build",
    "choose_device": "training.device",
    "choose_split": "data.splits",
    "compare": "comparison.two_runs",
    "count_parameters": "models.build",
    "fit": "training.loop",
    "generate_fundus": "data.synthetic.fundus",
    "generate_oct": "data.synthetic.oct",
    "load_images": "data.dataset",
    "predict_probability": "training.inference",
    "soft_dice": "training.losses",
    "sweep": "comparison.sweeps",
}
__all__ = [*_HOME, "__version__"]

if TYPE_CHECKING:
    from retina_kit.comparison.sweeps import sweep as sweep
    from retina_kit.comparison.two_runs import compare as compare
    from retina_kit.data.dataset import load_images as load_images
    from retina_kit.data.splits import Split as Split
    from retina_kit.data.splits import choose_split as choose_split
    from retina_kit.data.synthetic.fundus import generate_fundus as generate_fundus
    from retina_kit.data.synthetic.oct import generate_oct as generate_oct
    from retina_kit.errors import KitError as KitError
    from retina_kit.experiment import Experiment as Experiment
    from retina_kit.models.build import build_model as build_model
    from retina_kit.models.build import count_parameters as count_parameters
    from retina_kit.models.unet import UNet as UNet
    from retina_kit.prediction.answers import ImagePredictor as ImagePredictor
    from retina_kit.prediction.predictor import Predictor as Predictor
    from retina_kit.training.arm import Arm as Arm
    from retina_kit.training.batches import Batches as Batches
    from retina_kit.training.device import choose_device as choose_device
    from retina_kit.training.inference import predict_probability as predict_probability
    from retina_kit.training.loop import fit as fit
    from retina_kit.training.losses import soft_dice as soft_dice
    from retina_kit.training.recipe import Recipe as Recipe


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
