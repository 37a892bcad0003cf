"""One training of an arm: its network, its batches and its validation, from the first step to the scores."""

from collections.abc import Mapping

import pandas as pd
import torch
from torch import Tensor

from retina_kit.training.loop import SavesProgress, Watch, fit
from retina_kit.training.norm_statistics import calibrate_norms
from retina_kit.training.prepare import score_variants, start_model
from retina_kit.training.tasks.interface import Task, Validator


class ArmTraining:
    """An arm with one seed, ready to be trained on a device and scored on its test images.

    Everything that decides a score happens here and in what is imported here; who calls it only finds parents, saves
    checkpoints and stores results.
    """

    def __init__(
        self,
        task: Task,
        seed: int,
        device: torch.device,
        precision: str = "auto",
        parent_weights: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.task, self.seed, self.device, self.precision = task, seed, device, precision
        self.model = start_model(task.arm, seed, parent_weights)
        self.batches = task.make_batches(seed, device)
        if task.arm.start and task.arm.start.calibrate:
            calibrate_norms(self.model, self.batches, task.arm.freeze, task.batch_size)
        validates = task.arm.recipe.validate_every > 0
        self.validator = Validator(task, self.batches, precision) if validates else None

    def fit(self, *, watch: Watch | None = None, checkpoint: SavesProgress | None = None) -> pd.DataFrame:
        """Train to the last step, or until `watch` asks to stop; return the history, one row per step."""
        return fit(
            self.model,
            self.batches,
            self.task.arm.recipe,
            device=self.device,
            seed=self.seed,
            precision=self.precision,
            validate=self.validator,
            watch=watch,
            checkpoint=checkpoint,
        )

    def is_finished(self, history: pd.DataFrame) -> bool:
        """Tell whether a history goes to the last step."""
        return len(history) >= len(self.batches)

    def score(self) -> pd.DataFrame:
        """Score the test images once per variant of the arm."""
        return score_variants(self.task, self.model, self.batches, self.validator, self.precision)

    def best_weights(self) -> dict[str, Tensor] | None:
        """Return the weights of the best validation if the arm is tested with them."""
        return self.validator.best_weights if self.validator and self.task.arm.keeps_best else None
