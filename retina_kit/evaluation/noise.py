"""The noise of a score that patients and trained networks share: variances, intervals and p-values.

A score d[p, s] belongs to patient p and to the network of seed s; with cross-validation, the patients of a fold share
its network. Patients, folds and seeds each add variance to the mean, and each is estimated from few of them, so each
half width has the t quantile of its own degrees of freedom, and half widths add up as squares (docs/verdicts.md):

    h^2 = t_P^2 V_P + t_F^2 max(V_F - V_P, 0) + max(t_S^2 V_S - t_S t_P V_E, 0)

V_P, V_F and V_S are the variances of the mean as patients, folds and seeds show them; V_E is what both V_P and V_S
contain, the variance that is left when patient and seed are known. Arms with different folds add a second term each,
over the patients that are in them.

Three seeds tell little about their own variance: half widths of a claim differed up to fivefold between sets of three.
So V_S is averaged with V_0, the mean of what the seeds show of every arm that a paper's claims read in the same way. It
has the more degrees of freedom the more alike the arms are in it (after the moderated t statistic of Smyth 2004):

    V_S <- (d V_S + d_0 V_0) / (d + d_0),  d = seeds - 1 own degrees of freedom, d_0 borrowed ones; t_S has d + d_0

So intervals hold on average over arms: those of an arm that varies much more than the others are too short.
"""

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

ROUNDING = 1e-12  # a half width below this is that of equal numbers
MOST_BORROWED = 4.0  # degrees of freedom, however alike the arms seem: three seeds each cannot tell 4 from 20


@dataclass(frozen=True)
class Noise:
    """Variances of a mean (patients, folds, seeds, and what patients and seeds share), and how many of each.

    Without patients (num_patients 0) only seeds vary: the patients are taken as they are. `folds` has, for each way in
    which patients were divided into folds, the variance that these add to that of the patients, V_F - V_P, and their
    number. With one seed, seeds and shared are 0. `borrowed` counts the degrees of freedom that other arms have added.

    >>> round(Noise(patients=0.01, num_patients=16).half_width(), 4)  # 2.1314 x 0.1
    0.2131
    """

    patients: float = 0.0
    folds: tuple[tuple[float, int], ...] = ()
    seeds: float = 0.0
    shared: float = 0.0
    num_patients: int = 0
    num_seeds: int = 1
    borrowed: float = 0.0

    def borrow(self, usual: float, degrees: float) -> "Noise":
        """Average the variance of the seeds with V_0, the one that is `usual` for such a mean.

        >>> own = Noise(seeds=0.01, num_seeds=3)
        >>> shared = own.borrow(0.04, degrees=4)
        >>> round(shared.seeds, 4), round(own.half_width(), 4), round(shared.half_width(), 4)  # t is 4.30 and 2.45
        (0.03, 0.4303, 0.4238)
        """
        own = self.num_seeds - 1
        if own < 1 or not degrees:
            return self
        seeds = (own * self.seeds + degrees * usual) / (own + degrees)
        return dataclasses.replace(self, seeds=seeds, borrowed=degrees)

    def half_width(self, confidence: float = 0.95) -> float:
        """Return half the width of the interval."""
        from scipy import special  # slow to load, and only a verdict needs it

        tail = (1 - confidence) / 2

        def t(number: float) -> float:
            return -float(special.stdtrit(number - 1, tail)) if number > 1 else 0.0

        t_patients, t_seeds = t(self.num_patients), t(self.num_seeds + self.borrowed)
        seeds = t_seeds**2 * self.seeds - t_seeds * t_patients * self.shared
        folds = sum(t(number) ** 2 * max(variance, 0.0) for variance, number in self.folds)
        return math.sqrt(t_patients**2 * self.patients + folds + max(seeds, 0.0))

    def p_value(self, value: float) -> float:
        """Return the two-sided p-value of zero: 1 - confidence of the interval that just reaches it.

        >>> round(Noise(patients=0.01, num_patients=16).p_value(0.2131), 3)
        0.05
        """
        from scipy import optimize

        width = self.half_width()
        if math.isnan(width):
            return math.nan
        if width < ROUNDING:
            return float(abs(value) < ROUNDING)
        smallest = 1e-15
        if self.half_width(1 - smallest) <= abs(value):
            return smallest
        return float(optimize.brentq(lambda p: self.half_width(1 - p) - abs(value), smallest, 1.0, xtol=1e-12))


def noise_of(
    contributions: np.ndarray, by_seed: np.ndarray, folds: Iterable[npt.ArrayLike] = (), num_patients: int = 0
) -> Noise:
    """Return the Noise of a score, averaged over seeds.

    `contributions` (patient, seed) are the patients' shares in each seed's deviation from its expectation; they sum to
    about 0 in each seed. `by_seed` (seed,) are the scores over all patients. Each of `folds` (patient,) is the fold in
    which each patient was tested, -1 for none; there are several if arms were cross-validated in different ways.
    `num_patients` is the number that decides the degrees of freedom, if it is not that of the rows: the patients of the
    smaller of two arms that share none.

    >>> scores = np.array([[0.1, 0.3], [0.3, 0.5]])  # two patients, two seeds: no noise but their own
    >>> found = noise_of((scores - scores.mean(0)) / 2, scores.mean(0))
    >>> [round(value, 4) for value in (found.patients, found.seeds, found.shared)]
    [0.01, 0.01, 0.0]
    """
    num_rows, num_seeds = contributions.shape
    num_patients = num_patients or num_rows
    of_patient = contributions.mean(axis=1)
    small = num_patients / (num_patients - 1)  # ddof 1
    noise = {"patients": small * float(of_patient @ of_patient), "num_patients": num_patients}
    if num_seeds > 1:
        left = contributions - of_patient[:, None]
        noise["shared"] = small * float((left**2).sum()) / (num_seeds * (num_seeds - 1))
        noise["seeds"] = float(by_seed.var(ddof=1)) / num_seeds
    of_folds = (_excess_of_folds(of_patient, np.asarray(fold), small) for fold in folds)
    return Noise(**noise, folds=tuple(found for found in of_folds if found[1] > 1), num_seeds=num_seeds)  # type: ignore[arg-type]


def _excess_of_folds(of_patient: np.ndarray, folds: np.ndarray, small: float) -> tuple[float, int]:
    """Return V_F - V_P over the patients that are in a fold, and the number of folds."""
    tested = of_patient[folds >= 0]
    names, place = np.unique(folds[folds >= 0], return_inverse=True)
    if len(names) < 2:
        return 0.0, len(names)
    of_fold = np.bincount(place, tested)
    return len(names) / (len(names) - 1) * float(of_fold @ of_fold) - small * float(tested @ tested), len(names)


def usual_variance(variances: npt.ArrayLike, degrees: npt.ArrayLike) -> tuple[float, float]:
    """Return the mean of several variances, and the degrees of freedom with which it speaks for each of them.

    `degrees` are those of the variances. Their logarithms vary by what these explain, and by how much the true ones
    differ: the more they do, the fewer are returned, at most MOST_BORROWED (Smyth 2004, section 6.2). Smyth's own V_0
    is the typical variance; the mean is larger and leaves the arms that vary most with less too short an interval.

    >>> usual_variance([0.01, 0.01, 0.01, 0.01], [2, 2, 2, 2])  # chance alone would vary them more
    (0.01, 4.0)
    >>> usual, degrees = usual_variance([0.0001, 0.01, 0.01, 1.0], [2, 2, 2, 2])
    >>> round(usual, 4), round(degrees, 1)
    (0.255, 0.6)
    """
    from scipy import optimize, special

    variances, half = np.asarray(variances, float), np.asarray(degrees, float) / 2
    logs = np.log(variances) - special.digamma(half) + np.log(half)
    differ = float(logs.var(ddof=1) - special.polygamma(1, half).mean())
    most = MOST_BORROWED / 2
    if differ <= special.polygamma(1, most):
        return float(variances.mean()), MOST_BORROWED
    found = optimize.brentq(lambda x: special.polygamma(1, x) - differ, 1 / (1 + differ), most)  # 1/x < polygamma(1, x)
    return float(variances.mean()), 2 * float(found)


def holm(p_values: npt.ArrayLike) -> np.ndarray:
    """Return p-values corrected for their number (Holm 1979): the smallest times m, the next times m - 1, and so on.

    NaN stays NaN and counts as a test.

    >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    p_values = np.asarray(p_values, float)
    order = np.argsort(p_values)  # NaN last
    adjusted = np.maximum.accumulate(p_values[order] * np.arange(len(order), 0, -1))
    result = np.empty_like(adjusted)
    result[order] = np.minimum(adjusted, 1.0)
    return result
