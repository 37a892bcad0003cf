"""Tables for readers: ours beside the paper's, in per cent, with what the spreads are in the headings."""

import pandas as pd


def show_beside_paper(table, labels=None):
    """Return a tidy table as a readable DataFrame: ours, SD over seeds, interval over patients, the paper."""
    labels = labels or {}
    shown = pd.DataFrame(
        {
            "arm": [labels.get(arm, arm) for arm in table["arm"]],
            "metric": table["metric"],
            "ours": table["ours_mean"].map(percent),
            "SD over seeds": table["ours_sd"].map(percent),
            "95 % CI over patients": [
                f"{percent(low)} to {percent(high)}" if pd.notna(low) else "-"
                for low, high in zip(table["ours_ci_low"], table["ours_ci_high"], strict=True)
            ],
            "seeds": table["n_seeds"],
            "the paper": table["paper_value"].map(percent),
            "note": table["note"].fillna(""),
        }
    )
    return shown.reset_index(drop=True)


def percent(value):
    """Return a fraction as per cent with one decimal, "-" where there is none."""
    return "-" if pd.isna(value) else f"{100 * value:.1f}"


def show_claims(claims):
    """Return the claims as a readable DataFrame: what is claimed, the estimate, the verdict and its rule."""
    interval = [
        f"{estimate:+.3f}" + (f" ({low:+.3f} to {high:+.3f})" if pd.notna(low) else "")
        for estimate, low, high in zip(claims["estimate"], claims["ci_low"], claims["ci_high"], strict=True)
    ]
    columns = ["claim", "statement", "kind", "verdict", "rule", "scope"]
    shown = claims[columns].copy()
    shown.insert(3, "estimate", interval)
    return shown.reset_index(drop=True)
