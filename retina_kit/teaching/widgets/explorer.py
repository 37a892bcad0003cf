"""The prediction explorer: turn the threshold and see Dice, hits, misses and false alarms, the worst image first."""

import ipywidgets
import numpy as np

from retina_kit.evaluation.thresholds import ThresholdCounts
from retina_kit.reporting.figures.axes import FALSE_ALARM, HIT, MISS
from retina_kit.reporting.figures.overlays import as_png, blend_errors, with_caption
from retina_kit.teaching.widgets.static import present


def explore_predictions(images, probability, truth, names, *, threshold=0.5):
    """Show predictions with a threshold slider, the worst image first; a page keeps the worst one.

    `images` is uint8 (N, C, H, W), `probability` float and `truth` bool (N, H, W), `names` the images' ids.
    """
    explorer = PredictionExplorer(images, probability, truth, names, threshold)
    present(explorer.box, png=explorer.image_view.value, text=explorer.says())


class PredictionExplorer:
    """The explorer's controls and what they show; `box` is the widget."""

    def __init__(self, images, probability, truth, names, threshold=0.5):
        self.images, self.probability, self.truth = images, np.asarray(probability), np.asarray(truth)
        self.names = [str(name) for name in names]
        self.counts = ThresholdCounts(self.probability, self.truth)
        self.threshold = ipywidgets.FloatSlider(threshold, min=0, max=1, step=0.01, description="threshold")
        self.order = ipywidgets.Dropdown(options=worst_first(self.counts.dice(threshold), self.names))
        self.order.description = "image"
        self.again = ipywidgets.Button(description="worst first", tooltip="order the images at this threshold")
        self.scores = ipywidgets.HTML()
        self.image_view = ipywidgets.Image(format="png", width=640)
        for control, name in ((self.threshold, "threshold"), (self.order, "worst"), (self.image_view, "explorer")):
            control.add_class(f"kit-{name}")
        self.scores.add_class("kit-dice")
        for control in (self.threshold, self.order):
            control.observe(self.draw, names="value")
        self.again.on_click(self.reorder)
        self.draw()
        controls = ipywidgets.HBox([self.threshold, self.order, self.again])
        self.box = ipywidgets.VBox([controls, self.scores, self.image_view])

    def reorder(self, _=None):
        """Put the worst image at this threshold first, and show it."""
        self.order.options = worst_first(self.counts.dice(self.threshold.value), self.names)
        self.order.value = self.order.options[0][1]

    def says(self):
        """Return the scores in words."""
        threshold, k = self.threshold.value, self.order.value
        mine = self.counts.dice(threshold)[k]
        alone = "no Dice (both masks are empty)" if np.isnan(mine) else f"Dice {mine:.3f}"
        pooled = self.counts.pooled_dice(threshold)
        return f"threshold {threshold:.2f}: {self.names[k]} has {alone}; all images pooled: {pooled:.3f}"

    def draw(self, _=None):
        """Draw the chosen image at the chosen threshold."""
        k = self.order.value
        predicted = self.probability[k] > self.threshold.value
        canvas = blend_errors(self.images[k], predicted, self.truth[k])
        mine, pooled = self.counts.dice(self.threshold.value)[k], self.counts.pooled_dice(self.threshold.value)
        title = f"{self.names[k]}  t {self.threshold.value:.2f}  Dice {mine:.3f}  pooled {pooled:.3f}"
        legend = {"hit": HIT, "missed": MISS, "false alarm": FALSE_ALARM}
        self.image_view.value = as_png(with_caption(canvas, title, legend))
        self.scores.value = self.says()


def worst_first(dice, names):
    """Return [(label, position), ...] by rising Dice; images without a Dice come last."""
    order = np.argsort(np.where(np.isnan(dice), np.inf, dice), kind="stable")
    label = {int(k): "no Dice" if np.isnan(dice[k]) else f"Dice {dice[k]:.2f}" for k in order}
    return [(f"{names[k]}: {label[k]}", k) for k in label]
