"""Widgets for notebooks: each is a thin view over a plain function, and leaves a static image without a browser."""

from retina_kit.teaching.widgets.arm_picker import pick_arms
from retina_kit.teaching.widgets.browser import browse_images
from retina_kit.teaching.widgets.explorer import explore_predictions
from retina_kit.teaching.widgets.gap_explorer import turn_the_gap
from retina_kit.teaching.widgets.live_curve import LiveCurve
from retina_kit.teaching.widgets.static import png_of, present, show

__all__ = [
    "LiveCurve",
    "browse_images",
    "explore_predictions",
    "pick_arms",
    "png_of",
    "present",
    "show",
    "turn_the_gap",
]
