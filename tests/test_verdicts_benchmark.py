"""The fast version of benchmarks/verdicts.py: the rule is rarely wrong on null data, and its interval covers."""

import pandas as pd

from benchmarks.verdicts import CASES, CASES_WITH_FOLDS, NULL_SCORES, coverage, false_positives


def test_the_same_arm_under_two_names_rarely_gets_a_verdict():
    scores = pd.read_csv(NULL_SCORES, dtype={"patient": str})
    assert all(share <= 0.1 for share in false_positives(scores, repetitions=40).values())


def test_the_interval_covers_the_truth():
    assert coverage(6, 3, 0, CASES["both"], repetitions=300) >= 0.92
    assert coverage(10, 3, 5, CASES_WITH_FOLDS["networks"], repetitions=300) >= 0.92
