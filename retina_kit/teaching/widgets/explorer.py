"""The prediction explorer: move the threshold and see Dice, hits, misses and false alarms, the worst image first."""

from collections.abc import Iterable, Sequence
from typing import Any

import ipywidgets
import numpy as np
import numpy.typing as npt

from retina_kit.evaluation.thresholds import ThresholdCounts
from retina_kit.reporting.figures.images import ERROR_COLORS
from retina_kit.reporting.figures.overlays import as_png, blend_errors, with_caption
from retina_kit.reporting.living.states import explorer_state
from retina_kit.teaching.widgets.static import present


def explore_predictions(
    images: np.ndarray,
    probability: npt.ArrayLike,
    ground_truth: npt.ArrayLike,
    names: Iterable[object],
    *,
    threshold: float = 0.5,
) -> None:
    """Show predictions with a threshold slider, the worst image first; a static page keeps the image of the worst one.

    `images` is uint8 (N, C, H, W), `probability` float and `ground_truth` bool (N, H, W), `names` the images' ids.
    """
    explorer = PredictionExplorer(images, probability, ground_truth, names, threshold)
    state = explorer_state(images, explorer.probability, explorer.ground_truth, explorer.names, threshold)
    present(explorer.box, png=explorer.image_view.value, text=explorer.describe(), state=state)


class PredictionExplorer:
    """The explorer's controls and what they show; `box` is the widget."""

    def __init__(
        self,
        images: np.ndarray,
        probability: npt.ArrayLike,
        ground_truth: npt.ArrayLike,
        names: Iterable[object],
        threshold: float = 0.5,
    ) -> None:
        self.images, self.probability, self.ground_truth = images, np.asarray(probability), np.asarray(ground_truth)
        self.names = [str(name) for name in names]
        self.counts = ThresholdCounts(self.probability, self.ground_truth)
        self.threshold = ipywidgets.FloatSlider(threshold, min=0, max=1, step=0.01, description="threshold")
        self.order = ipywidgets.Dropdown(options=worst_first(self.counts.dice(threshold), self.names))
        self.order.description = "image"
        self.again = ipywidgets.Button(description="worst first", tooltip="sort the images at this threshold")
        self.scores = ipywidgets.HTML()
        self.image_view = ipywidgets.Image(format="png", width=640)
        for control, name in ((self.threshold, "threshold"), (self.order, "worst"), (self.image_view, "explorer")):
            control.add_class(f"kit-{name}")
        self.scores.add_class("kit-dice")
        for control in (self.threshold, self.order):
            control.observe(self.update, names="value")
        self.again.on_click(self.reorder)
        self.update()
        controls = ipywidgets.HBox([self.threshold, self.order, self.again])
        self.box = ipywidgets.VBox([controls, self.scores, self.image_view])

    def reorder(self, _: Any = None) -> None:
        """Sort the images by their Dice at this threshold, and show the worst one."""
        self.order.options = worst_first(self.counts.dice(self.threshold.value), self.names)
        self.order.value = self.order.options[0][1]

    def describe(self) -> str:
        """Put the scores into words."""
        threshold, k = self.threshold.value, self.order.value
        mine = self.counts.dice(threshold)[k]
        alone = "no Dice (both masks are empty)" if np.isnan(mine) else f"Dice {mine:.3f}"
        pooled = self.counts.pooled_dice(threshold)
        return f"threshold {threshold:.2f}: {self.names[k]} has {alone}; all images pooled: {pooled:.3f}"

    def update(self, _: Any = None) -> None:
        """Show the chosen image at the chosen threshold."""
        k = self.order.value
        predicted = self.probability[k] > self.threshold.value
        canvas = blend_errors(self.images[k], predicted, self.ground_truth[k])
        mine, pooled = self.counts.dice(self.threshold.value)[k], self.counts.pooled_dice(self.threshold.value)
        title = f"{self.names[k]}  t {self.threshold.value:.2f}  Dice {mine:.3f}  pooled {pooled:.3f}"
        self.image_view.value = as_png(with_caption(canvas, title, ERROR_COLORS))
        self.scores.value = self.describe()


def worst_first(dice: np.ndarray, names: Sequence[str]) -> list[tuple[str, int]]:
    """List (label, position) by increasing Dice; images without a Dice come last.

    >>> worst_first(np.array([0.5, np.nan, 0.1]), ["a", "b", "c"])
    [('c: Dice 0.10', 2), ('a: Dice 0.50', 0), ('b: no Dice', 1)]
    """
    order = np.argsort(np.where(np.isnan(dice), np.inf, dice), kind="stable")
    label = {int(k): "no Dice" if np.isnan(dice[k]) else f"Dice {dice[k]:.2f}" for k in order}
    return [(f"{names[k]}: {label[k]}", k) for k in label]
