"""The domain-gap bench: turn device, gap, noise and annotator, see source and target, and train on a button."""

import ipywidgets
import numpy as np

from retina_kit.reporting.figures.axes import COLORS
from retina_kit.reporting.figures.overlays import BRIGHT, as_png, blend_masks, side_by_side, with_caption
from retina_kit.teaching.widgets.static import present

BAR = "<div style='display:inline-block; height:12px; width:{width}px; background:{color}'></div>"
NAMES = {"zero_shot": "zero-shot (source only)", "fine_tuned": "fine-tuned on the target", "scratch": "target only"}
DEVICES, ANNOTATORS = ("cirrus", "spectralis"), ("exact", "first", "second")


def bench_png(bench, rank, marked):
    """Return a PNG: a source scan beside a target scan, with the exact mask and the one that is trained on.

    `rank` 0 takes the scan with most fluid from each, 1 the next.
    """
    here, there = (np.argsort(-part.masks["fluid"].sum(axis=(1, 2)))[rank] for part in (bench.source, bench.target))
    source = blend_masks(bench.source.images[here], {"fluid": bench.source.masks["fluid"][here]}, 0.0, width=420)
    names = ["fluid"] if bench.mask == "fluid" else ["fluid", bench.mask]
    masks = {name: bench.target.masks[name][there] for name in names}
    target = blend_masks(bench.target.images[there], masks, 0.0, width=420)
    legend = {"exact": BRIGHT[0]} | ({f"{marked} annotator": BRIGHT[1]} if len(names) > 1 else {})
    left, right = with_caption(source, "source", {"exact": BRIGHT[0]}), with_caption(target, "target", legend)
    return as_png(side_by_side([left, right]))


def scores_html(scores, before=None):
    """Return the three Dice as bars; where something was trained before, how far each has moved."""
    rows = []
    for color, (key, name) in zip(COLORS, NAMES.items(), strict=False):
        moved = f" ({scores[key] - before[key]:+.2f})" if before else ""
        bar = BAR.format(width=round(220 * scores[key]), color=color)
        rows.append(f"<tr><td>{name}</td><td>{bar} {scores[key]:.2f}{moved}</td></tr>")
    return f"<table>{''.join(rows)}</table>"


def turn_the_gap(draw, train, *, scores=None, devices=DEVICES, annotators=ANNOTATORS):
    """Show the bench; a page keeps source beside target, and the scores where they were given.

    `draw(device, gap, noise, annotator)` returns a bench (source, target, mask), `train(bench)` its Dice:
    zero_shot, fine_tuned and scratch. `scores` are those of the first bench where it was trained already.
    """
    dials = GapBench(draw, train, scores, devices, annotators)
    present(dials.box, png=dials.image_view.value, text=dials.says())


class GapBench:
    """The bench's dials, its image and its scores; `box` is the widget."""

    def __init__(self, draw, train, scores=None, devices=DEVICES, annotators=ANNOTATORS):
        self.draw_bench, self.train_bench, self.trained = draw, train, scores
        self.device = ipywidgets.Dropdown(options=devices, description="device")
        self.gap = ipywidgets.FloatSlider(1.0, min=0, max=1, step=0.1, description="gap")
        self.noise = ipywidgets.FloatSlider(1.0, min=0, max=3, step=0.25, description="noise")
        self.annotator = ipywidgets.Dropdown(options=annotators, description="annotator")
        self.scan = ipywidgets.IntSlider(0, min=0, max=0, description="scan")
        self.button = ipywidgets.Button(description="Train", tooltip="a tiny network, under 20 seconds")
        self.state, self.scores = ipywidgets.HTML(), ipywidgets.HTML(scores_html(scores) if scores else "")
        self.image_view = ipywidgets.Image(format="png", width=848)
        dials = {"device": self.device, "gap": self.gap, "noise": self.noise, "annotator": self.annotator}
        for name, control in {**dials, "train": self.button, "scores": self.scores, "bench": self.image_view}.items():
            control.add_class(f"kit-{name}")
        for control in dials.values():
            control.continuous_update = False
            control.observe(self.turn, names="value")
        self.scan.observe(self.show_scan, names="value")
        self.button.on_click(self.train)
        self.turn()
        rows = [[self.device, self.gap], [self.annotator, self.noise], [self.button, self.scan, self.state]]
        self.box = ipywidgets.VBox([*map(ipywidgets.HBox, rows), self.image_view, self.scores])

    def turn(self, _=None):
        """Draw the eyes anew as the dials say."""
        self.bench = self.draw_bench(self.device.value, self.gap.value, self.noise.value, self.annotator.value)
        self.scan.max = len(self.bench.target.images) - 1
        self.state.value = "turned; press Train to see what it does"
        self.show_scan()

    def show_scan(self, _=None):
        """Show one scan of source and target."""
        self.image_view.value = bench_png(self.bench, self.scan.value, self.annotator.value)

    def train(self, _=None):
        """Train the tiny network on this bench, and show how the scores moved."""
        self.button.disabled, self.state.value = True, "training ..."
        scores = self.train_bench(self.bench)
        self.scores.value = scores_html(scores, self.trained)
        self.trained, self.button.disabled, self.state.value = scores, False, "trained"

    def says(self):
        """Return what is seen, in words."""
        dials = f"{self.device.value}, gap {self.gap.value:g}, noise {self.noise.value:g}, {self.annotator.value} masks"
        scores = "; ".join(f"{NAMES[key]}: Dice {value:.2f}" for key, value in (self.trained or {}).items())
        return f"source beside target ({dials}); {scores or 'not trained yet'}"
