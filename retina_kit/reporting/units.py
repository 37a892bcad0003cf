"""Scores as text, each in the unit of its metric."""

import pandas as pd

METRICS = {"dice": "Dice", "dice_nonempty": "Dice of images with a mask", "iou": "IoU", "miou": "mIoU", "auc": "AUC",
           "mse": "MSE", "average_precision": "average precision"}  # fmt: skip
UNITS = {"mse": "px²", "distance": "px", "distance_diameters": "diameters", "compactness": "", "solidity": "",
         "hd95": "px", "assd": "px"}  # fmt: skip


def in_unit(metric: str, value: float) -> str:
    """Write a score as text: times (stored in hours), pixels and shapes as such, everything else in percent.

    >>> in_unit("dice", 0.5), in_unit("distance", 12.345), in_unit("time", 26)
    ('50.0', '12.3 px', '26 h')
    """
    if metric == "time":
        return duration(value)
    if metric in UNITS:
        return "-" if pd.isna(value) else f"{value:.3g} {UNITS[metric]}".rstrip()
    return percent(value)


def with_unit(metric: str, value: float) -> str:
    """Write a score with its unit, percent included, "-" if there is none.

    >>> with_unit("dice", 0.5), with_unit("distance", 12.345), with_unit("dice", float("nan"))
    ('50.0 %', '12.3 px', '-')
    """
    text = in_unit(metric, value)
    return text if text == "-" or metric == "time" or metric in UNITS else f"{text} %"


def interval(metric: str, low: float, high: float) -> str:
    """Write "low to high" in the unit of a metric, "-" if there is no interval.

    >>> interval("dice", 0.4, 0.625)
    '40.0 to 62.5'
    """
    return "-" if pd.isna(low) else f"{in_unit(metric, low)} to {in_unit(metric, high)}"


def interval_with_unit(metric: str, low: float, high: float) -> str:
    """Write "low to high" with the unit of a metric, percent included, "-" if there is no interval.

    >>> interval_with_unit("dice", 0.4, 0.625)
    '40.0 to 62.5 %'
    """
    return "-" if pd.isna(low) else f"{in_unit(metric, low)} to {with_unit(metric, high)}"


def name_of_metric(metric: str) -> str:
    """Write a metric as people do.

    >>> name_of_metric("dice"), name_of_metric("average_precision"), name_of_metric("false_alarms")
    ('Dice', 'average precision', 'false alarms')
    """
    return METRICS.get(metric, metric.replace("_", " "))


def short_name_of_metric(metric: str) -> str:
    """Write a metric where there is little room: both kinds of Dice are "Dice".

    >>> short_name_of_metric("dice_nonempty"), short_name_of_metric("average_precision")
    ('Dice', 'average precision')
    """
    return name_of_metric(metric).removesuffix(" of images with a mask")


def name_of_device(device: str) -> str:
    """Write the name of a device as people do: a single thread is not plural.

    >>> name_of_device("CPU (1 threads)"), name_of_device("CPU (2 threads)")
    ('CPU (1 thread)', 'CPU (2 threads)')
    """
    return device.replace("(1 threads)", "(1 thread)")


def duration(hours: float) -> str:
    """Write a time as "26 h", "1.5 h", "3.5 min" or "12 s", "-" if there is none.

    >>> [duration(hours) for hours in (26, 1.49, 3, 0.5, 12 / 3600, float("nan"))]
    ['26 h', '1.5 h', '3 h', '30.0 min', '12 s', '-']
    """
    if pd.isna(hours):
        return "-"
    if hours >= 1:
        return f"{hours:.0f} h" if hours >= 10 else f"{hours:.1f}".removesuffix(".0") + " h"
    return f"{60 * hours:.1f} min" if hours >= 1 / 60 else f"{3600 * hours:.0f} s"


def percent(value: float) -> str:
    """Write a fraction in percent with one decimal, "-" if there is none.

    >>> percent(0.6234)
    '62.3'
    """
    return "-" if pd.isna(value) else f"{100 * value:.1f}"


def estimate(value: float, low: float, high: float) -> str:
    """Write a difference with its sign and its interval, "-" if it was not estimated.

    >>> estimate(0.1, 0.05, 0.2), estimate(float("nan"), 0, 0)
    ('+0.100 (+0.050 to +0.200)', '-')
    """
    if pd.isna(value):
        return "-"
    return f"{value:+.3f}" + (f" ({low:+.3f} to {high:+.3f})" if pd.notna(low) else "")
