"""Widgets for notebooks: each is a thin view over a plain function, and leaves a static picture without a browser."""

from retina_kit.reporting.widgets.arm_picker import pick_arms
from retina_kit.reporting.widgets.browser import browse_pictures
from retina_kit.reporting.widgets.explorer import explore_predictions
from retina_kit.reporting.widgets.gap_bench import turn_the_gap
from retina_kit.reporting.widgets.live_curve import LiveCurve
from retina_kit.reporting.widgets.static import png_of, present, show

__all__ = [
    "LiveCurve",
    "browse_pictures",
    "explore_predictions",
    "pick_arms",
    "png_of",
    "present",
    "show",
    "turn_the_gap",
]
