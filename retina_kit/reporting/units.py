"""Scores as text, each in the unit of its metric."""

import pandas as pd

UNITS = {
    "mse": "px²",
    "distance": "px",
    "distance_diameters": "diameters",
    "compactness": "",
    "solidity": "",
    "hd95": "px",
    "assd": "px",
}


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


def interval(metric: str, low: float, high: float) -> str:
    """Write "low to high" in the unit of a metric, "-" if there is no interval.

    >>> interval("dice", 0.4, 0.625)
    '40.0 to 62.5'
    """
    return "-" if pd.isna(low) else f"{in_unit(metric, low)} to {in_unit(metric, high)}"


def duration(hours: float) -> str:
    """Write a time as "26 h", "3.5 min" or "12 s", "-" if there is none.

    >>> [duration(hours) for hours in (26, 0.5, 12 / 3600, float("nan"))]
    ['26 h', '30.0 min', '12 s', '-']
    """
    if pd.isna(hours):
        return "-"
    if hours >= 1:
        return f"{hours:.0f} h"
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
