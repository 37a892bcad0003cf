"""The domain-gap explorer: set device, gap, noise and annotator, see source and target, and train with a button."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets
import numpy as np
import pandas as pd

from retina_kit.reporting.figures.axes import COLORS
from retina_kit.reporting.figures.overlays import BRIGHT, as_png, blend_masks, side_by_side, with_caption
from retina_kit.teaching.domain_gap import ANNOTATORS, DomainGap, GapResult
from retina_kit.teaching.widgets.static import present

BAR = "<div style='display:inline-block; height:12px; width:{width}px; background:{color}'></div>"
NAMES = {"zero_shot": "zero-shot (source only)", "fine_tuned": "fine-tuned on the target", "scratch": "target only"}
DEVICES = ("cirrus", "spectralis")
Generate = Callable[..., DomainGap]  # device, gap, noise, annotator -> source and target
Train = Callable[[DomainGap], GapResult]


def gap_png(domains: DomainGap, rank: int, annotator: str) -> bytes:
    """Render a source scan next to a target scan, with the exact mask and the training mask, as a PNG.

    `rank` 0 takes the scan with most fluid from each, 1 the next.
    """
    here, there = (np.argsort(-part.masks["fluid"].sum(axis=(1, 2)))[rank] for part in (domains.source, domains.target))
    source = blend_masks(domains.source.images[here], {"fluid": domains.source.masks["fluid"][here]}, 0.0, width=420)
    names = ["fluid"] if domains.mask == "fluid" else ["fluid", domains.mask]
    masks = {name: domains.target.masks[name][there] for name in names}
    target = blend_masks(domains.target.images[there], masks, 0.0, width=420)
    legend = {"exact": BRIGHT[0]} | ({f"{annotator} annotator": BRIGHT[1]} if len(names) > 1 else {})
    left, right = with_caption(source, "source", {"exact": BRIGHT[0]}), with_caption(target, "target", legend)
    return as_png(side_by_side([left, right]))


def scores_html(scores: Mapping[str, float], before: Mapping[str, float] | None = None) -> str:
    """Show the three Dice as bars; with the scores of an earlier training, also how much each has changed."""
    rows = []
    for color, (key, name) in zip(COLORS, NAMES.items(), strict=False):
        change = f" ({scores[key] - before[key]:+.2f})" if before else ""
        bar = BAR.format(width=round(220 * scores[key]), color=color)
        rows.append(f"<tr><td>{name}</td><td>{bar} {scores[key]:.2f}{change}</td></tr>")
    return f"<table>{''.join(rows)}</table>"


def explore_domain_gap(
    generate: Generate,
    train: Train,
    *,
    scores: Mapping[str, float] | None = None,
    devices: Sequence[str] = DEVICES,
    annotators: Sequence[str] = tuple(ANNOTATORS),
) -> None:
    """Show the explorer; a static page keeps source and target, and the scores if they are given.

    `generate(device, gap, noise, annotator)` returns a DomainGap, `train(domains)` the Dice of zero-shot, fine-tuned
    and scratch. `scores` are those of the first setting if it was trained before.
    """
    explorer = GapExplorer(generate, train, scores, devices, annotators)
    present(explorer.box, png=explorer.image_view.value, text=explorer.describe(), data=explorer.panels())


class GapExplorer:
    """The explorer's controls, its image and its scores; `box` is the widget."""

    def __init__(
        self,
        generate: Generate,
        train: Train,
        scores: Mapping[str, float] | None = None,
        devices: Sequence[str] = DEVICES,
        annotators: Sequence[str] = tuple(ANNOTATORS),
    ) -> None:
        self.generate, self.train_across, self.trained = generate, train, scores
        self.device = ipywidgets.Dropdown(options=devices, description="device")
        self.gap = ipywidgets.FloatSlider(1.0, min=0, max=1, step=0.1, description="gap")
        self.noise = ipywidgets.FloatSlider(1.0, min=0, max=3, step=0.25, description="noise")
        self.annotator = ipywidgets.Dropdown(options=annotators, description="annotator")
        self.scan = ipywidgets.IntSlider(0, min=0, max=0, description="scan")
        self.button = ipywidgets.Button(description="Train", tooltip="train a tiny network, under 30 seconds")
        self.state, self.scores = ipywidgets.HTML(), ipywidgets.HTML(scores_html(scores) if scores else "")
        self.image_view = ipywidgets.Image(format="png", width=848)
        settings = {"device": self.device, "gap": self.gap, "noise": self.noise, "annotator": self.annotator}
        named = {**settings, "train": self.button, "scores": self.scores, "domains": self.image_view}
        for name, control in named.items():
            control.add_class(f"kit-{name}")
        for control in settings.values():
            control.continuous_update = False
            control.observe(self.change_settings, names="value")
        self.scan.observe(self.update, names="value")
        self.button.on_click(self.train)
        self.change_settings()
        rows = [[self.device, self.gap], [self.annotator, self.noise], [self.button, self.scan, self.state]]
        self.box = ipywidgets.VBox([*map(ipywidgets.HBox, rows), self.image_view, self.scores])

    def change_settings(self, _: Any = None) -> None:
        """Generate source and target with the chosen settings."""
        self.domains = self.generate(self.device.value, self.gap.value, self.noise.value, self.annotator.value)
        self.scan.max = len(self.domains.target.images) - 1
        self.state.value = "settings changed; press Train to update the scores"
        self.update()

    def update(self, _: Any = None) -> None:
        """Show the chosen scan of source and target."""
        self.image_view.value = gap_png(self.domains, self.scan.value, self.annotator.value)

    def train(self, _: Any = None) -> None:
        """Train the tiny network, and show how much the scores have changed."""
        self.button.disabled, self.state.value = True, "training ..."
        result = self.train_across(self.domains)
        self.scores.value = scores_html(result.scores, self.trained)
        self.trained, self.button.disabled, self.state.value = result.scores, False, result.note

    def panels(self) -> pd.DataFrame:
        """List what source and target show: their scans' size in pixels, and the masks that are outlined."""
        masks = "exact mask" if self.domains.mask == "fluid" else f"exact mask, {self.annotator.value} annotator"
        parts = [("source", self.domains.source, "exact mask"), ("target", self.domains.target, masks)]
        size = {name: " x ".join(map(str, part.images.shape[:1:-1])) for name, part, _ in parts}
        shown = [f"{name}: OCT scan, {size[name]} pixels, outlined: {outlined}" for name, _, outlined in parts]
        return pd.DataFrame({"column": [1, 2], "shown": shown})

    def describe(self) -> str:
        """Put what is shown into words."""
        shown = f"{self.device.value}, gap {self.gap.value:g}, noise {self.noise.value:g}, {self.annotator.value} masks"
        scores = "; ".join(f"{NAMES[key]}: Dice {value:.2f}" for key, value in (self.trained or {}).items())
        return f"source and target ({shown}); {scores or 'not trained yet'}"
