"""Six checks of published values: each yields what is impossible or doubtful, explained in one line of arithmetic."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from retina_kit.evaluation.metrics import WITHOUT_MAXIMUM, dice_of_iou
from retina_kit.papers import arithmetic
from retina_kit.papers.entries import SAME_METRIC, Split, Sure
from retina_kit.papers.published import Published, place_of

HEADINGS = {"iou": "IoU", "dice": "Dice"}  # of metrics that are not simply capitalized
Values = dict[str, float]  # metric -> value


@dataclass(frozen=True)
class Anomaly:
    """What one check found: where, the arithmetic, how sure, and what would fix it ("" if nothing is known to)."""

    check: str
    where: str
    arithmetic: str
    sure: Sure
    fix: str = ""


def _percent(value: float) -> str:
    """Return a fraction as percent, with enough digits to see a rounding."""
    return f"{100 * value:.2f}"


def _is_score(numbers: pd.DataFrame) -> pd.Series:
    """Mark the numbers that lie between 0 and 1; a loss, for one, has no maximum."""
    return (numbers["unit"] == "fraction") & ~numbers["metric"].isin(WITHOUT_MAXIMUM | {"loss"})


def range_anomalies(published: Published) -> Iterator[Anomaly]:
    """Yield scores that are above 1 or below 0, whatever their rounding."""
    numbers = published.numbers[_is_score(published.numbers) & ~published.numbers["digitized"]]
    half = numbers["half_width"] + arithmetic.EPSILON
    outside = (numbers["value"] - half > 1) | (numbers["value"] + half < 0)
    for number in numbers[outside].to_dict("records"):
        line = f"{number['metric']} {number['value']:g} is not between 0 and 1"
        yield Anomaly("range", place_of(number), line, "certain")


def _impossible_spreads(numbers: pd.DataFrame, slack: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (mask, largest, mean): which published spreads are above the largest possible one, that of which mean.

    `slack` 2 allows for a mean whose digits were cut off instead of rounded; a spread cut off was even larger.
    """
    n, half = numbers["n"].to_numpy(float), slack * numbers["half_width"].to_numpy(float)
    score = numbers["value"].where(_is_score(numbers)).to_numpy(float)  # NaN: what is no score has no bound
    largest = arithmetic.largest_spread(score, half, n, numbers["spread_is_printed"])
    too_large = numbers["spread"] - numbers["spread_half_width"] - arithmetic.EPSILON > largest
    return too_large.to_numpy(), largest, arithmetic.widest_mean(score, half)


def spread_anomalies(published: Published) -> Iterator[Anomaly]:
    """Yield spreads that no n scores in 0..1 with that mean can have."""
    numbers = published.numbers[published.numbers["spread"].notna()]
    wrong, largest, widest = _impossible_spreads(numbers)
    surely, _, _ = _impossible_spreads(numbers, slack=2.0)
    chosen = numbers[wrong].to_dict("records")
    for number, bound, m, sure in zip(chosen, largest[wrong], widest[wrong], surely[wrong], strict=True):
        mean, spread, n = number["value"], number["spread"], number["n"]
        kind = number["spread_is_printed"]
        size = "any n" if math.isnan(n) else f"n = {n:.0f}"
        formula = "sqrt(m (1 - m) / (n - 1))" if kind == "SEM" else "sqrt(m (1 - m) n / (n - 1))"
        line = f"{kind} {spread:g} at mean {mean:g}, {size}: at most {formula} = {bound:.4f} with m = {m:.4g}"
        fix = ""
        if kind == "SEM" and spread - number["spread_half_width"] <= bound * math.sqrt(n):  # never if n is unknown
            fix = f"it fits as a standard deviation; the SEM would be {spread / math.sqrt(n):.4f}"
        yield Anomaly("spread", place_of(number), line, "certain" if sure else "likely", fix)


def row_anomalies(published: Published) -> Iterator[Anomaly]:
    """Yield rows whose numbers cannot come from one confusion matrix."""
    rows = arithmetic.rows_of(published)
    if rows.empty:
        return
    averaged = rows["averaged"].to_numpy(bool)
    box, loose = arithmetic.intervals_of(published), arithmetic.intervals_of(published, slack=2.0)
    tests: list[tuple[str, Callable[..., np.ndarray], Callable[[Values, Values, dict[str, str]], tuple[str, str]]]] = [
        ("dice_iou", arithmetic.dice_disagrees, _dice_line),
        ("f1", arithmetic.harmonic_mean_disagrees, _f1_line),
        ("overlap", _overlap_exceeds, _overlap_line),
        ("accuracy", arithmetic.accuracy_outside, _accuracy_line),
        ("one_matrix", arithmetic.no_prevalence, _one_matrix_line),
    ]
    done = np.zeros(len(rows), bool)
    for check, test, line_of in tests:
        broken = test(box, averaged) & (~done if check != "accuracy" else True)  # bounds of its own
        surely = test(loose, averaged)
        done |= broken
        for position in np.flatnonzero(broken):
            values, half = _values_of(published, rows.index[position])
            line, fix = line_of(values, half, published.printed_names)
            sure: Sure = "certain" if surely[position] else "likely"
            yield Anomaly(check, place_of(rows.iloc[position]), line, sure, fix)


def _values_of(published: Published, confusion: str) -> tuple[Values, Values]:
    """Return ({metric: value}, {metric: half width}) of one row."""
    numbers = published.numbers[published.numbers["confusion"] == confusion]
    metric = numbers["metric"].replace(SAME_METRIC).to_numpy()
    value, half = numbers["value"].tolist(), numbers["half_width"].tolist()
    return dict(zip(metric, value, strict=True)), dict(zip(metric, half, strict=True))


def _heading(metric: str, printed_names: dict[str, str]) -> str:
    """Return what the paper calls a metric."""
    return printed_names.get(metric, HEADINGS.get(metric, metric.capitalize()))


def _dice_line(values: Values, half: Values, printed_names: dict[str, str]) -> tuple[str, str]:
    """Return the arithmetic of a Dice that does not fit its IoU, and the column swap that would fix it."""
    iou, dice = values["iou"], values["dice"]
    need = dice_of_iou(iou)
    line = f"IoU {_percent(iou)} needs Dice 2 IoU / (1 + IoU) = {_percent(need)}; published {_percent(dice)}"
    swaps = arithmetic.swaps_that_fit(values, half)
    if not swaps:
        return line, f"no column swap fixes it; off by {100 * (dice - need):+.2f} points"
    pairs = [" and ".join(_heading(metric, printed_names) for metric in pair) for pair in swaps]
    return line, f"swap the columns {', or '.join(pairs)}"


def _f1_line(values: Values, _half: Values, _names: dict[str, str]) -> tuple[str, str]:
    """Return the arithmetic of a Dice that is not 2 P R / (P + R)."""
    p, r = values["precision"], values["recall"]
    mean = f"2 P R / (P + R) = {_percent(2 * p * r / (p + r))}"
    return f"precision {_percent(p)}, recall {_percent(r)}: {mean}; published {_percent(values['dice'])}", ""


def _overlap_exceeds(box: arithmetic.Intervals, averaged: np.ndarray) -> np.ndarray:
    """Mark the rows in which the overlap is above recall or above precision."""
    recall, precision = (arithmetic.overlap_exceeds(box, averaged, metric) for metric in ("recall", "precision"))
    return recall | precision


def _overlap_line(values: Values, _half: Values, printed_names: dict[str, str]) -> tuple[str, str]:
    """Return the arithmetic of an overlap that is above recall or precision."""
    iou = values.get("iou", values["dice"] / (2 - values["dice"]) if "dice" in values else math.nan)
    bound = min((values[m], m) for m in ("recall", "precision") if m in values)
    name = _heading(bound[1], printed_names)
    return f"IoU {_percent(iou)} is never above {name}, published {_percent(bound[0])}", ""


def _accuracy_line(values: Values, _half: Values, _names: dict[str, str]) -> tuple[str, str]:
    """Return the arithmetic of an accuracy outside its bounds."""
    low, high = sorted((values["recall"], values["specificity"]))
    bounds = f"[{_percent(low)}, {_percent(high)}] of sensitivity and specificity"
    return f"accuracy {_percent(values['accuracy'])} is outside {bounds}, whose weighted mean it is", ""


def _one_matrix_line(values: Values, _half: Values, printed_names: dict[str, str]) -> tuple[str, str]:
    """Return the values of a row that no confusion matrix gives."""
    printed = ", ".join(f"{_heading(m, printed_names)} {_percent(v)}" for m, v in values.items())
    return f"{printed}: no prevalence fits all of them", ""


def prevalence_anomalies(published: Published) -> Iterator[Anomaly]:
    """Yield sets of images on which the rows imply prevalences that rounding cannot reconcile."""
    rows = arithmetic.rows_of(published)
    if rows.empty:
        return
    averaged, evaluation = rows["averaged"].to_numpy(bool), rows["evaluation"].to_numpy()
    surely = arithmetic.prevalences_differ(arithmetic.intervals_of(published, slack=2.0), averaged, evaluation)
    found = arithmetic.prevalences_differ(arithmetic.intervals_of(published), averaged, evaluation)
    for name, (places, lows, highs) in found.items():
        implied = [
            f"{rows.iloc[place]['row']} {100 * low:.1f}-{100 * high:.1f}"
            for place, low, high in zip(places, lows, highs, strict=True)
        ]
        line = f"percent positive that each row implies: {', '.join(implied)}; no value fits all"
        where = f"{rows.iloc[places[0]]['where']}: {published.evaluations[name].what}"
        yield Anomaly("prevalence", where, line, "certain" if name in surely else "likely")


def split_anomalies(published: Published) -> Iterator[Anomaly]:
    """Yield counts that do not add up, and parts that only fit a split made after augmentation."""
    for split in published.splits:
        parts = [published.counts[name].value for name in split.parts]
        whole = sum(published.counts[name].value for name in split.sources)
        anomaly = _split_anomaly(split, parts, whole)
        if anomaly:
            yield anomaly


def _split_anomaly(split: Split, parts: list[int], whole: int) -> Anomaly | None:
    """Return what is wrong with the sizes of the parts of a whole, None if nothing is.

    If every image is augmented to `copies` images before the split, a part need not be a multiple of `copies`.
    """
    total, stated = sum(parts), split.copies
    copies, rest = divmod(total, whole) if whole else (0, total)
    where = f"{split.where}: {split.what}"
    sums = f"{' + '.join(f'{part:,}' for part in parts)} = {total:,}"
    if stated is not None and total != stated * whole:
        return Anomaly("sum", where, f"{sums}, but {stated} x {whole:,} = {stated * whole:,}", "possible")
    if rest or copies <= 1 or not any(part % copies for part in parts):
        return None
    left = ", ".join(f"{part:,} mod {copies} = {part % copies}" for part in parts)
    line = f"{sums} = {copies} x {whole:,}, yet {left}: copies of one image are on both sides"
    fix = f"split the {whole:,} images first, then make {copies} of each"
    return Anomaly("split", where, line, "certain" if stated else "likely", fix)


def gain_anomalies(published: Published) -> Iterator[Anomaly]:
    """Yield claimed gains that an unpaired z test does not distinguish from chance."""
    by_id = published.numbers.set_index("id")
    for claim in published.claims:
        for better, baseline in claim.pairs:
            pair = (by_id.loc[better], by_id.loc[baseline])
            if any(math.isnan(number["spread"]) or math.isnan(number["n"]) for number in pair):
                continue
            if not all(_sd_of(number) for number in pair):  # without a spread any gain would be certain
                continue
            line, significant = _gain_line(*pair)
            if not significant:
                where = f"{pair[0]['where']}, {pair[0]['row']} against {pair[1]['row']}"
                yield Anomaly("gain", where, line, "possible", "run a paired test over the images")


def _gain_line(better: pd.Series, baseline: pd.Series) -> tuple[str, bool]:
    """Return (arithmetic, whether significant) of the difference of two published means; a lower error is a gain."""
    sds, n = (_sd_of(better), _sd_of(baseline)), (better["n"], baseline["n"])
    lower_is_better = better["metric"] in WITHOUT_MAXIMUM | {"loss", "time"}
    high, low = (baseline["value"], better["value"]) if lower_is_better else (better["value"], baseline["value"])
    gain = high - low
    z = arithmetic.unpaired_z(gain, sds[0], n[0], sds[1], n[1])
    line = f"{high:g} - {low:g} = {gain:+.3f}, SD {sds[0]:g} and {sds[1]:g}"
    line += f", n = {n[0]:.0f}: unpaired z = {z:.2f}"
    needed = arithmetic.correlation_needed(gain, *sds, min(n))
    if gain > 0 and needed < 1:
        line += f"; a paired test needs scores that correlate above {needed:.2f}"
    return line, z >= arithmetic.Z_95


def _sd_of(number: pd.Series) -> float:
    """Return the standard deviation behind a published spread; an SEM too large to be one is taken as an SD."""
    table = number.to_frame().T
    wrong = _impossible_spreads(table.astype({"spread": float, "spread_half_width": float}))[0][0]
    if number["spread_is_printed"] == "SEM" and not wrong:
        return number["spread"] * math.sqrt(number["n"])
    return number["spread"]
