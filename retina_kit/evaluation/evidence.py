"""The evidence about some arms: their scores, and how much these vary over patients, folds and seeds."""

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from retina_kit.evaluation.noise import ROUNDING, Noise, noise_of, usual_variance
from retina_kit.evaluation.patients import mean_of_known, patient_sums, scored_in_all_arms

PATIENTS_FOR_VERDICT = 6  # with fewer the patients cannot speak for others
MIN_SEEDS = 3  # with fewer the noise of training is as good as unknown
MIN_ARMS = 4  # with fewer it is not known what is usual


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval, the p-value of its being zero, and its size in SDs over patients.

    >>> str(Estimate(0.2, 0.1, 0.3))
    '+0.200 (95 % interval +0.100 to +0.300)'
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    p_value: float = math.nan
    effect_size: float = math.nan

    def __str__(self) -> str:
        interval = "no interval" if math.isnan(self.low) else f"95 % interval {self.low:+.3f} to {self.high:+.3f}"
        return f"{self.value:+.3f} ({interval})"


@dataclass(frozen=True)
class Evidence:
    """The scores of some arms over the same seeds, and what each patient contributes to them."""

    by_seed: dict[str, np.ndarray]  # arm -> score over all patients (seed,)
    contributions: dict[str, np.ndarray]  # arm -> patients' shares in each seed's deviation (patient, seed)
    folds: tuple[np.ndarray, ...]  # fold of each patient, -1 for none; one array per way of dividing them
    num_patients: int  # that have a score, of the arm with the fewest
    paired: bool
    num_images: int = 0  # that have a score in every arm that tested them
    num_left_out: int = 0  # images that have none
    num_left_out_in_part: int = 0  # images that have none in some of the seeds
    folds_share_patients: bool = False  # images were left out, not patients: fold noise is unknown
    without_score: tuple[str, ...] = ()  # arms that have no score in any seed
    num_seeds_lost: int = 0  # seeds in which an arm has no score at all
    usual: tuple[float, float] = (0.0, 0.0)  # variance over seeds that is usual for an arm's score, degrees of freedom

    @property
    def num_seeds(self) -> int:
        """The number of seeds that all arms have in common."""
        return len(next(iter(self.by_seed.values())))

    @property
    def fixed_patients(self) -> bool:
        """Whether only the seeds vary, because there are too few patients to speak for others."""
        return self.num_patients < PATIENTS_FOR_VERDICT or self._depends_on_one_patient

    @property
    def _depends_on_one_patient(self) -> bool:
        """Whether some score does not exist without one of the patients: the only one with a lesion."""
        return any(bool(np.isnan(shares).any()) for shares in self.contributions.values())

    @property
    def why_no_verdict(self) -> str:
        """What is missing for any verdict; an empty text if nothing is."""
        if self.without_score:
            return f"no score in {', '.join(self.without_score)}"
        if self.num_seeds >= MIN_SEEDS:
            return ""
        lost = f", {self.num_seeds_lost} more without a score" if self.num_seeds_lost else ""
        if self.num_seeds == 0:
            return "no image with a score in every arm" if lost else "the arms have no seed in common"
        if self.num_seeds == 1:
            return f"one seed{lost}: seed noise unknown"
        return f"{self.num_seeds} seeds{lost}: at least {MIN_SEEDS} needed"

    @property
    def why_no_interval(self) -> str:
        """What is missing for an interval; an empty text if nothing is."""
        if self.num_seeds == 0:
            return "no interval: no score"
        if not self.fixed_patients or self.num_seeds >= MIN_SEEDS:
            return ""
        if self.num_patients < PATIENTS_FOR_VERDICT:
            return f"no interval: {self._sizes} (at least {PATIENTS_FOR_VERDICT} patients or {MIN_SEEDS} seeds needed)"
        return "no interval: without one of the patients there is no score"

    @property
    def note_on_interval(self) -> str:
        """What the interval of an estimate leaves out, or why there is none; empty if all noise is in it."""
        if self.why_no_interval:
            return self.why_no_interval
        if self.fixed_patients:
            return f"these patients only: the interval is over seeds ({self._sizes})"
        notes = []
        if self.num_seeds < MIN_SEEDS:
            seeds = "one seed" if self.num_seeds == 1 else _number(self.num_seeds, "seed")
            notes.append(f"{seeds}: the interval does not include seed noise")
        if self.folds_share_patients:
            which, whose = ("some folds", "their noise") if self.folds else ("folds", "fold noise")
            notes.append(f"{which} share patients: the interval does not include {whose}")
        if 2 in self._numbers_of_folds:
            notes.append("2 folds: their noise is hardly known, so the interval is wide")
        return "; ".join(notes)

    @property
    def note(self) -> str:
        """The note on the interval, and how many images were left out."""
        where = "" if len(self.by_seed) == 1 else " in one of the two"
        notes = [self.note_on_interval]
        for number, when in ((self.num_left_out, ""), (self.num_left_out_in_part, " in some seeds")):
            notes += [f"{_number(number, 'image')} without a score{where} left out{when}"] if number else []
        return "; ".join(filter(None, notes))

    @property
    def _numbers_of_folds(self) -> list[int]:
        """The different numbers of folds, the largest first."""
        return sorted({len(set(folds[folds >= 0].tolist())) for folds in self.folds}, reverse=True)

    @property
    def _sizes(self) -> str:
        """The numbers of patients and seeds, as "6 patients, 3 seeds"."""
        return f"{_number(self.num_patients, 'patient')}, {_number(self.num_seeds, 'seed')}"

    def score(self, arm: str) -> float:
        """Return the score of an arm over all patients, averaged over the seeds."""
        return float(mean_of_known(self.by_seed[arm], 0))

    def combine(self, weights: Mapping[str, float], constant: float = 0.0) -> Estimate:
        """Return the Estimate of a weighted sum of arms minus a constant.

        >>> scores = {"tuned": np.array([0.75]), "scratch": np.array([0.5])}
        >>> evidence = Evidence(scores, {arm: np.zeros((2, 1)) for arm in scores}, (), 2, True)
        >>> evidence.combine({"tuned": 1, "scratch": -1}).value
        0.25
        """
        value = float(mean_of_known(self._sum_by_seed(weights), 0)) - constant
        full = self._noise(weights)
        sd = math.sqrt(full.patients * self.num_patients)
        effect = value / sd if sd > ROUNDING else math.nan
        noise = self.noise(weights)
        if noise is None:
            return Estimate(value, effect_size=effect)
        width = noise.half_width()
        return Estimate(value, value - width, value + width, noise.p_value(value), effect)

    def noise(self, weights: Mapping[str, float]) -> Noise | None:
        """Return what varies in a weighted sum of arms: patients, folds and seeds, or seeds alone if patients are few.

        None if neither patients nor seeds are enough. Fewer than MIN_SEEDS seeds are averaged and taken as one, since
        their noise is as good as unknown.
        """
        if self.why_no_interval:
            return None
        if self.fixed_patients:
            of_seeds = float(self._sum_by_seed(weights).var(ddof=1))
            return self._borrow(Noise(seeds=of_seeds / self.num_seeds, num_seeds=self.num_seeds), weights)
        return self._noise(weights)

    def _noise(self, weights: Mapping[str, float]) -> Noise:
        """Return the Noise of patients, folds and seeds, however few patients there are."""
        if not self.num_seeds or self.num_patients < 2:
            return Noise()
        shares = np.asarray(sum(weight * self.contributions[arm] for arm, weight in weights.items()))
        by_seed = self._sum_by_seed(weights)
        if self.num_seeds < MIN_SEEDS:
            shares, by_seed = shares.mean(axis=1, keepdims=True), by_seed.mean(keepdims=True)
        return self._borrow(noise_of(shares, by_seed, self.folds, self.num_patients), weights)

    def _borrow(self, noise: Noise, weights: Mapping[str, float]) -> Noise:
        """Average the variance of the seeds with that which is usual for a weighted sum of arms, if that is known."""
        of_arm, degrees = self.usual
        return noise.borrow(of_arm * sum(weight**2 for weight in weights.values()) / self.num_seeds, degrees)

    def _sum_by_seed(self, weights: Mapping[str, float]) -> np.ndarray:
        """Return a weighted sum of arms for each seed."""
        return np.asarray(sum(weight * self.by_seed[arm] for arm, weight in weights.items()))

    def __str__(self) -> str:
        folds = f", {' and '.join(map(str, self._numbers_of_folds))} folds" if self.folds else ""
        sharing = ", folds share patients" if self.folds_share_patients else ""
        return f"{self._sizes}{folds}{sharing}{'' if self.paired else ', not the same images'}"


def _number(number: int, what: str) -> str:
    """Return "1 seed" or "3 seeds"."""
    return f"{number} {what}{'s' * (number != 1)}"


def gather_evidence(scores: pd.DataFrame, arms: Sequence[str], metric: str, pooled: bool) -> Evidence:
    """Return the Evidence about some arms, over the seeds that all of them have.

    Arms that share test images share their patients, so that differences are paired; an image without a score in one
    of them, or without a row, is left out of all, seed by seed. The patients of arms without a common image are
    independent. Images of different sources (column `source`, if there is one) may have the same id. A seed in which an
    arm has no score at all is left out.
    """
    scores = scores[scores["arm"].isin(list(arms))]
    if "source" in scores:
        scores = scores.assign(id=scores["source"].astype(str) + ":" + scores["id"].astype(str))
    of_arm = scores.groupby("arm")["seed"].agg(set) if "seed" in scores else pd.Series([{0}])
    shared = set.intersection(*of_arm)
    scores = scores[scores["seed"].isin(shared)] if "seed" in scores else scores.assign(seed=0)
    tested = scores
    scores = scored_in_all_arms(scores, metric, pooled)
    tables = {arm: scores[scores["arm"] == arm] for arm in arms}
    groups = dict(zip(tables, _groups(tables), strict=True))
    tables = {arm: _with_groups(table, groups[arm]) for arm, table in _tested_by_all(tables).items()}
    scored = pd.concat([table[["id", "seed"]] for table in tables.values()])
    everyone = sorted(set().union(*(table["patient"] for table in tables.values())))
    by_seed, contributions, sizes = {}, {}, []
    for arm, table in tables.items():
        sums = patient_sums(table, metric, pooled=pooled, patients=everyone, seeds=sorted(shared))
        sizes.append(sums.num_scored)
        by_seed[arm], contributions[arm] = sums.by_seed(), sums.contributions(sizes[-1])
    known = ~np.isnan(np.stack(list(by_seed.values()))).any(axis=0)
    folds, folds_share_patients = _folds_of(tables.values(), everyone)
    images = [frozenset(zip(table["seed"], table["id"], strict=True)) for table in tables.values()]
    return Evidence(
        by_seed={arm: values[known] for arm, values in by_seed.items()},
        contributions={arm: values[:, known] for arm, values in contributions.items()},
        folds=folds,
        num_patients=min(sizes),
        paired=len(set(images)) == 1,
        num_images=scored["id"].nunique(),
        num_left_out=tested["id"].nunique() - scored["id"].nunique(),
        num_left_out_in_part=_num_left_out_in_part(tested, scored, np.array(sorted(shared))[known]),
        folds_share_patients=folds_share_patients,
        without_score=() if known.any() or not shared else _without_score(tested, arms, metric, pooled),
        num_seeds_lost=int((~known).sum()),
    )


def usual_seed_noise(scores: pd.DataFrame, metric: str, pooled: bool) -> tuple[float, float]:
    """Return the variance over seeds that is usual for the score of an arm, and its degrees of freedom.

    Both are 0 if fewer than MIN_ARMS arms have a score that varies over at least MIN_SEEDS seeds.

    >>> rows = pd.DataFrame({"id": 0, "patient": 0, "seed": [0, 1, 2], "dice": [0.25, 0.5, 0.75]})
    >>> usual_seed_noise(pd.concat([rows.assign(arm=arm) for arm in "abcd"]), "dice", pooled=False)
    (0.0625, 4.0)
    """
    variances, degrees = [], []
    for _, table in scores.groupby("arm") if "seed" in scores else ():
        by_seed = patient_sums(table, metric, pooled=pooled).by_seed()
        by_seed = by_seed[~np.isnan(by_seed)]
        if len(by_seed) >= MIN_SEEDS and by_seed.std() > ROUNDING:
            variances.append(by_seed.var(ddof=1))
            degrees.append(len(by_seed) - 1)
    return usual_variance(variances, degrees) if len(variances) >= MIN_ARMS else (0.0, 0.0)


def _without_score(scores: pd.DataFrame, arms: Sequence[str], metric: str, pooled: bool) -> tuple[str, ...]:
    """Return the arms that have no score in any seed, by themselves."""
    own = {arm: patient_sums(scores[scores["arm"] == arm], metric, pooled=pooled).by_seed() for arm in arms}
    return tuple(arm for arm, values in own.items() if np.isnan(values).all())


def _num_left_out_in_part(tested: pd.DataFrame, scored: pd.DataFrame, seeds: np.ndarray) -> int:
    """Count the images that were left out in some of the seeds in which arms have a score, but not in all."""
    before, after = (rows[rows["seed"].isin(seeds)].groupby("id")["seed"].nunique() for rows in (tested, scored))
    return int((after < before.reindex(after.index)).sum())


def _groups(tables: Mapping[str, pd.DataFrame]) -> list[int]:
    """Return a number for each arm, the same for arms that share images, directly or through other arms."""
    groups: list[tuple[set, list[int]]] = []  # the images and the arms of each group
    for place, table in enumerate(tables.values()):
        ids, places = set(table["id"]), [place]
        for group in [group for group in groups if group[0] & ids]:
            groups.remove(group)
            ids, places = ids | group[0], places + group[1]
        groups.append((ids, places))
    number_of = {place: number for number, (_, places) in enumerate(groups) for place in places}
    return [number_of[place] for place in range(len(tables))]


def _tested_by_all(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Leave out the rows of an image and seed that some arm lacks, if all arms have the same images over all seeds."""
    if len({frozenset(table["id"]) for table in tables.values()}) > 1:
        return dict(tables)
    places = {arm: pd.MultiIndex.from_frame(table[["seed", "id"]]) for arm, table in tables.items()}
    common = functools.reduce(pd.MultiIndex.intersection, (place.unique() for place in places.values()))
    return {arm: table[places[arm].isin(common)] for arm, table in tables.items()}


def _with_groups(table: pd.DataFrame, group: int) -> pd.DataFrame:
    """Return the rows with patients named by their group, since other data sets may use the same names."""
    return table.assign(patient=f"{group}:" + table["patient"].astype(str))


def _folds_of(tables: Iterable[pd.DataFrame], patients: Sequence[str]) -> tuple[tuple[np.ndarray, ...], bool]:
    """Return the fold of each patient for each way in which arms divide them; and whether one is in several folds."""
    ways: list[pd.Series] = []
    share_patients = False
    for table in tables:
        rows = table.loc[table["fold"] >= 0, ["patient", "fold"]].drop_duplicates() if "fold" in table else table[:0]
        if rows["patient"].duplicated().any():
            share_patients = True
        elif len(rows):
            _add_way(ways, rows.set_index("patient")["fold"])
    arrays = (way.reindex(list(patients), fill_value=-1).to_numpy(int) for way in ways)
    return tuple(folds for folds in arrays if len(set(folds[folds >= 0].tolist())) > 1), share_patients


def _add_way(ways: list[pd.Series], folds: pd.Series) -> None:
    """Add the fold of each patient to a way that has the same folds for patients in both, or else as a new way."""
    for place, way in enumerate(ways):
        common = way.index.intersection(folds.index)
        if len(common) and (way[common] == folds[common]).all():
            ways[place] = folds.combine_first(way)
            return
    ways.append(folds)
