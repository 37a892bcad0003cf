"""Figures: functions that take data and return axes or a figure; `rendering` writes them to files."""

from retina_kit.reporting.figures.axes import COLORS, new_axes, new_grid
from retina_kit.reporting.figures.calibration import plot_reliability
from retina_kit.reporting.figures.classes import plot_annotators, plot_classes, plot_filters, plot_one_image
from retina_kit.reporting.figures.curves import plot_history, plot_losses, plot_validations
from retina_kit.reporting.figures.diagrams import plot_method, plot_stages
from retina_kit.reporting.figures.images import (
    overlay_of,
    plot_image,
    plot_images,
    plot_panels,
    plot_predictions,
    plot_steps,
)
from retina_kit.reporting.figures.points import plot_point_errors
from retina_kit.reporting.figures.scores import plot_claims, plot_comparison, plot_dice_of_patients, plot_split
from retina_kit.reporting.figures.shares import plot_contrasts, plot_dice_by_share, plot_p_values, plot_spread
from retina_kit.reporting.figures.sizes import plot_dice_by_size
from retina_kit.reporting.figures.sweeps import plot_sweep
from retina_kit.reporting.figures.two_phases import plot_two_phases

__all__ = [
    "COLORS",
    "new_axes",
    "new_grid",
    "overlay_of",
    "plot_annotators",
    "plot_claims",
    "plot_classes",
    "plot_comparison",
    "plot_contrasts",
    "plot_dice_by_share",
    "plot_dice_by_size",
    "plot_dice_of_patients",
    "plot_filters",
    "plot_history",
    "plot_image",
    "plot_images",
    "plot_losses",
    "plot_method",
    "plot_one_image",
    "plot_p_values",
    "plot_panels",
    "plot_point_errors",
    "plot_predictions",
    "plot_reliability",
    "plot_split",
    "plot_spread",
    "plot_stages",
    "plot_steps",
    "plot_sweep",
    "plot_two_phases",
    "plot_validations",
]
