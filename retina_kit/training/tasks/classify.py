"""Classification: is there a lesion in the image, from one yes or no per image (Ortiz 2022, stage 1)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from retina_kit.data.collection import ImageSet
from retina_kit.data.copies import with_copies
from retina_kit.errors import UsageError, did_you_mean
from retina_kit.evaluation.metrics import roc_auc
from retina_kit.evaluation.scoring import score_classes
from retina_kit.training.batches import Batches
from retina_kit.training.device import autocast
from retina_kit.training.tasks.interface import Task


class Classification(Task):
    """One logit per image; `targets` is float32 (N, 1), 0 or 1."""

    selects_by = "auc"
    resizes_first = False

    def prepare(self, image_set: ImageSet) -> None:
        """Preprocess, then resize to `data.size`; the target is the column `data.label`."""
        data = self.arm.data
        if data.label not in image_set.rows:
            raise UsageError(f"{image_set.name} has no label {data.label!r}{did_you_mean(data.label, image_set.rows)}")
        self.images = self.preprocessed(image_set.images, data.size or image_set.images.shape[-2:])
        self.targets = torch.from_numpy(image_set.rows[data.label].to_numpy(np.float32)[:, None])

    def training_data(self, seed: int) -> tuple[Tensor, Tensor]:
        """Return the training images and `data.copies` moved copies of each.

        Copies are made here, of training images only: no test image has a relative among them.
        """
        images, targets = self.images[self.train], self.targets[self.train]
        if self.arm.data.copies:
            images = torch.from_numpy(with_copies(images.numpy(), self.arm.data.copies, seed))
            targets = targets.repeat(1 + self.arm.data.copies, 1)
        return images, targets

    def names_at(self, positions: Sequence[int]) -> list[str]:
        """Name some training images; copies follow all the images, in the same order."""
        number = len(self.train)
        names = super().names_at([position % number for position in positions])
        return [name if p < number else f"a copy of {name}" for p, name in zip(positions, names, strict=True)]

    @torch.inference_mode()
    def predict(
        self, model: nn.Module, batches: Batches, index: np.ndarray, *, variant: str = "last", precision: str = "auto"
    ) -> Tensor:
        """Predict the probability (n,) of a lesion."""
        model.eval()
        parts = []
        for some in self.images[index].split(self.batch_size):
            inputs = batches.inputs(some)
            with autocast(inputs.device, precision):
                logits = model(inputs)
            parts.append(logits.float()[:, 0].sigmoid().cpu())
        return self.finite(torch.cat(parts))

    def score(
        self, model: nn.Module, batches: Batches, *, variant: str = "last", precision: str = "auto"
    ) -> pd.DataFrame:
        """Return each test image's probability, its label, and its 0/1 counts at 0.5."""
        probability = self.predict(model, batches, self.test, variant=variant, precision=precision)
        return score_classes(probability.numpy(), self._labels(self.test), self.rows.iloc[self.test])

    def validation_scores(self, model: nn.Module, batches: Batches, precision: str) -> dict[str, float]:
        """Return the accuracy at 0.5 and the AUC on the validation images, as fractions."""
        probability = self.predict(model, batches, self.validation, precision=precision).numpy()
        labels = self._labels(self.validation)
        return {"accuracy": float(((probability > 0.5) == labels).mean()), "auc": roc_auc(probability, labels)}

    def _labels(self, index: np.ndarray) -> np.ndarray:
        return self.targets[index, 0].numpy() == 1
