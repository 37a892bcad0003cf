"""Widgets for notebooks: thin views on plain functions; each leaves a static image or table without a browser."""

from retina_kit.reporting.figures.rendering import png_of
from retina_kit.teaching.widgets.arm_picker import pick_arms
from retina_kit.teaching.widgets.browser import browse_images
from retina_kit.teaching.widgets.explorer import explore_predictions
from retina_kit.teaching.widgets.gap_explorer import explore_domain_gap
from retina_kit.teaching.widgets.live_curve import LiveCurve
from retina_kit.teaching.widgets.own_image import predict_own
from retina_kit.teaching.widgets.static import present, show, show_folded, show_settings, show_source

__all__ = [
    "LiveCurve",
    "browse_images",
    "explore_domain_gap",
    "explore_predictions",
    "pick_arms",
    "png_of",
    "predict_own",
    "present",
    "show",
    "show_folded",
    "show_settings",
    "show_source",
]
