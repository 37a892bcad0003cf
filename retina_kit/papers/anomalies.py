"""The findings of an audit: what the checks found, put into one line of arithmetic each.

A finding is a dict: check, where, arithmetic, mend (what would put it right) and sure.
"""

import math

import numpy as np

from retina_kit.papers import checks
from retina_kit.papers.published import SAME_METRIC

NAMES = {"iou": "IoU", "dice": "Dice"}


def _finding(check, where, arithmetic, sure, mend=""):
    return {"check": check, "where": where, "arithmetic": arithmetic, "mend": mend, "sure": sure}


def _place(number):
    """Return where a printed row or number stands."""
    return f"{number['where']}, row {number['row']}"


def _percent(value):
    """Return a fraction as per cent with enough digits to see a rounding."""
    return f"{100 * value:.2f}"


def range_findings(published):
    """Yield scores that are above 1 or below 0, whatever their rounding."""
    numbers = published.numbers[(published.numbers["unit"] == "fraction") & ~published.numbers["digitised"]]
    half = numbers["half_width"] + checks.EPSILON
    outside = (numbers["value"] - half > 1) | (numbers["value"] + half < 0)
    for number in numbers[outside & (numbers["metric"] != "loss")].to_dict("records"):
        line = f"{number['metric']} {number['value']:g} is not a share"
        yield _finding("range", _place(number), line, "certain")


def _impossible_spreads(numbers):
    """Return (mask, largest): which printed spreads are above the largest possible one."""
    n, mean, half = (numbers[name].to_numpy(float) for name in ("n", "value", "half_width"))
    largest = checks.largest_spread(mean, half, n, numbers["spread_is_printed"])
    is_score = (numbers["unit"] == "fraction").to_numpy()
    too_large = numbers["spread"] - numbers["spread_half_width"] - checks.EPSILON > largest
    return is_score & too_large.to_numpy(), largest


def spread_findings(published):
    """Yield spreads that no n scores in 0..1 with that mean can have."""
    numbers = published.numbers[published.numbers["spread"].notna()]
    wrong, largest = _impossible_spreads(numbers)
    for number, bound in zip(numbers[wrong].to_dict("records"), largest[wrong], strict=True):
        mean, spread, n = number["value"], number["spread"], number["n"]
        kind = number["spread_is_printed"]
        image_set = "any n" if math.isnan(n) else f"n = {n:.0f}"
        below = "sqrt(m (1 - m) / (n - 1))" if kind == "SEM" else "sqrt(m (1 - m) n / (n - 1))"
        line = f"{kind} {spread:g} at mean {mean:g}, {image_set}: at most {below} = {bound:.4f}"
        mend = ""
        if kind == "SEM" and not math.isnan(n):
            mend = f"it fits as a standard deviation; the SEM would be {spread / math.sqrt(n):.4f}"
        yield _finding("spread", _place(number), line, "certain", mend)


def row_findings(published):
    """Yield rows whose numbers cannot come from one confusion matrix."""
    rows = checks.rows_of(published)
    if rows.empty:
        return
    averaged = rows["averaged"].to_numpy(bool)
    box, loose = checks.box_of(published), checks.box_of(published, slack=2.0)
    tests = (
        ("dice_iou", checks.dice_disagrees, _dice_line),
        ("f1", checks.harmonic_mean_disagrees, _f1_line),
        ("overlap", _overlap_exceeds, _overlap_line),
        ("accuracy", checks.accuracy_outside, _accuracy_line),
        ("one_matrix", _no_prevalence, _one_matrix_line),
    )
    done = np.zeros(len(rows), bool)
    for check, test, line_of in tests:
        broken = test(box, averaged) & (~done if check != "accuracy" else True)  # bounds of its own
        surely = test(loose, averaged)
        done |= broken
        for position in np.flatnonzero(broken):
            values, half = _values_of(published, rows.index[position])
            arithmetic, mend = line_of(values, half, published.printed_names)
            sure = "certain" if surely[position] else "likely"
            yield _finding(check, _place(rows.iloc[position]), arithmetic, sure, mend)


def _values_of(published, confusion):
    """Return ({metric: value}, {metric: half width}) of one row."""
    numbers = published.numbers[published.numbers["confusion"] == confusion]
    metric = numbers["metric"].replace(SAME_METRIC).to_numpy()
    value, half = numbers["value"].tolist(), numbers["half_width"].tolist()
    return dict(zip(metric, value, strict=True)), dict(zip(metric, half, strict=True))


def _name(metric, printed_names):
    """Return what the paper calls a metric."""
    return printed_names.get(metric, NAMES.get(metric, metric.capitalize()))


def _dice_line(values, half, printed_names):
    """Return the arithmetic of a Dice that does not fit its IoU, and the column swap that mends it."""
    iou, dice = values["iou"], values["dice"]
    need = checks.dice_of_iou(iou)
    line = f"IoU {_percent(iou)} needs Dice 2 IoU / (1 + IoU) = {_percent(need)}; printed {_percent(dice)}"
    swaps = checks.mending_swaps(values, half)
    if not swaps:
        return line, f"no swap of columns mends it; off by {100 * (dice - need):+.2f} points"
    pairs = [" and ".join(_name(metric, printed_names) for metric in pair) for pair in swaps]
    return line, f"swap the columns {', or '.join(pairs)}"


def _f1_line(values, half, printed_names):
    """Return the arithmetic of a Dice that is not 2 P R / (P + R)."""
    p, r = values["precision"], values["recall"]
    mean = f"2 P R / (P + R) = {_percent(2 * p * r / (p + r))}"
    return f"precision {_percent(p)}, recall {_percent(r)}: {mean}; printed {_percent(values['dice'])}", ""


def _overlap_exceeds(box, averaged):
    """Say where the overlap is above recall or above precision."""
    exceeds = (checks.overlap_exceeds(box, averaged, metric) for metric in ("recall", "precision"))
    return np.logical_or(*exceeds)


def _overlap_line(values, half, printed_names):
    """Return the arithmetic of an overlap that is above recall or precision."""
    iou = values.get("iou", values["dice"] / (2 - values["dice"]) if "dice" in values else math.nan)
    bound = min((values[m], m) for m in ("recall", "precision") if m in values)
    name = _name(bound[1], printed_names)
    return f"IoU {_percent(iou)} is never above {name}, printed {_percent(bound[0])}", ""


def _accuracy_line(values, half, printed_names):
    """Return the arithmetic of an accuracy outside its bounds."""
    low, high = sorted((values["recall"], values["specificity"]))
    bounds = f"[{_percent(low)}, {_percent(high)}] of sensitivity and specificity"
    return f"accuracy {_percent(values['accuracy'])} is outside {bounds}, whose weighted mean it is", ""


def _no_prevalence(box, averaged):
    """Say where no share of positives fits all numbers of one row."""
    low, high = checks.prevalence_interval(box)
    return ~averaged & (low > high + checks.EPSILON)


def _one_matrix_line(values, half, printed_names):
    """Return what a row prints that no confusion matrix gives."""
    printed = ", ".join(f"{_name(m, printed_names)} {_percent(v)}" for m, v in values.items())
    return f"{printed}: no share of positives fits all of them", ""


def prevalence_findings(published):
    """Yield sets of images on which the rows imply prevalences that rounding cannot reconcile."""
    rows = checks.rows_of(published)
    if rows.empty:
        return
    averaged, evaluation = rows["averaged"].to_numpy(bool), rows["evaluation"].to_numpy()
    surely = checks.prevalences_differ(checks.box_of(published, slack=2.0), averaged, evaluation)
    found = checks.prevalences_differ(checks.box_of(published), averaged, evaluation)
    for name, (places, lows, highs) in found.items():
        implied = [
            f"{rows.iloc[place]['row']} {100 * low:.1f}-{100 * high:.1f}"
            for place, low, high in zip(places, lows, highs, strict=True)
        ]
        line = f"per cent positive that each row implies: {', '.join(implied)}; no value fits all"
        what = published.evaluations.get(name, {}).get("what", name)
        where = f"{rows.iloc[places[0]]['where']}: {what}"
        yield _finding("prevalence", where, line, "certain" if name in surely else "likely")


def split_findings(published):
    """Yield splits whose parts are no multiples of the copies that augmentation makes of an image."""
    for split in published.splits:
        parts = [published.counts[name]["value"] for name in split["parts"]]
        whole = sum(published.counts[name]["value"] for name in split["sources"])
        total, stated = sum(parts), split.get("copies")
        copies, rest = divmod(total, whole) if whole else (0, total)
        where = f"{split['where']}: {split['what']}"
        sums = f"{' + '.join(f'{part:,}' for part in parts)} = {total:,}"
        if stated is not None and total != stated * whole:
            line = f"{sums}, but {stated} x {whole:,} = {stated * whole:,}"
            yield _finding("sum", where, line, "possible")
        elif not rest and copies > 1 and any(part % copies for part in parts):
            left = ", ".join(f"{part:,} mod {copies} = {part % copies}" for part in parts)
            line = f"{sums} = {copies} x {whole:,}, yet {left}: copies of one image are on both sides"
            mend = f"split the {whole:,} images first, then make {copies} of each"
            yield _finding("split", where, line, "certain" if stated else "likely", mend)


def gain_findings(published):
    """Yield gains that a paper claims and that an unpaired z test does not tell from chance."""
    by_id = published.numbers.set_index("id")
    for claim in published.claims:
        for better, baseline in claim.get("pairs", []):
            pair = [by_id.loc[name] for name in (better, baseline)]
            if any(math.isnan(number["spread"]) or math.isnan(number["n"]) for number in pair):
                continue
            line, significant = _gain_line(pair)
            if not significant:
                where = f"{pair[0]['where']}, {pair[0]['row']} against {pair[1]['row']}"
                yield _finding("gain", where, line, "possible", "test the pairs of images")


def _gain_line(pair):
    """Return (arithmetic, whether significant) of the difference of two printed means."""
    (better, baseline), sds = pair, [_sd_of(number) for number in pair]
    gain, n = better["value"] - baseline["value"], (better["n"], baseline["n"])
    z = checks.unpaired_z(gain, sds[0], n[0], sds[1], n[1])
    line = f"{better['value']:g} - {baseline['value']:g} = {gain:+.3f}, SD {sds[0]:g} and {sds[1]:g}"
    line += f", n = {n[0]:.0f}: unpaired z = {z:.2f}"
    needed = checks.correlation_needed(gain, *sds, min(n))
    if gain > 0 and needed < 1:
        line += f"; paired, the scores would have to correlate above {needed:.2f}"
    return line, z >= checks.Z_95


def _sd_of(number):
    """Return the standard deviation behind a printed spread: an SEM that cannot be one is taken for an SD."""
    table = number.to_frame().T
    wrong = _impossible_spreads(table.astype({"spread": float, "spread_half_width": float}))[0][0]
    if number["spread_is_printed"] == "SEM" and not wrong:
        return number["spread"] * math.sqrt(number["n"])
    return number["spread"]
