"""Do the verdicts hold? False positives on null data, and coverage of the 95 % interval.

    python -m benchmarks.verdicts                        (about two minutes; writes results/verdicts.json)
    python -m benchmarks.verdicts --train --data-root data    first trains the null data again (pack oct_dme_chiu2015)

Null data: one arm, a small U-Net on the 110 real scans of ten patients, cross-validated over five folds of two patients
with 20 seeds; results/null_scores.csv holds its counts per scan. A repetition deals disjoint seeds to as many names as
there are seeds for, and asks of a and b, c and d, and so on, whether they differ. Coverage: scores simulated as patient
+ fold + seed + network + rest, normal, with a true difference of 0 and the standard deviations of CASES. Seed noise is
shared with OTHERS other arms, whose standard deviations differ from the arm's and from one another's by a factor,
log-normal with SPREAD, as those of hu2018's arms do. Intervals that share seed noise hold on average over arms; a table
of its own is of arms that are LOUDER than the others, by a factor, whose intervals are too short.
"""

import argparse
import itertools
import time
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.machine import describe_machine, write_json
from retina_kit.evaluation.claims import Claim, evaluate_claims
from retina_kit.evaluation.noise import noise_of, usual_variance
from retina_kit.evaluation.verdicts import NOT_SUPPORTED, SUPPORTED
from retina_kit.training.device import choose_device

RESULTS = Path(__file__).parent / "results"
NULL_SCORES = RESULTS / "null_scores.csv"
SIZE, WIDTHS, STEPS, NUM_SEEDS, NUM_FOLDS = (64, 96), (8, 16, 32, 64), 150, 20, 5
OTHERS, SPREAD = 11, 0.3
LOUDER = (1.5, 2.0, 3.0)
CASES = {  # standard deviations of patient, fold, seed, network (fold x seed) and rest
    "patients": (1.0, 0.0, 0.0, 0.0, 1.0),
    "seeds": (0.3, 0.0, 1.0, 0.0, 1.0),
    "both": (1.0, 0.0, 0.5, 0.0, 1.0),
    "rest only": (0.0, 0.0, 0.0, 0.0, 1.0),
}
CASES_WITH_FOLDS = CASES | {
    "networks": (0.5, 0.0, 0.0, 1.0, 1.0),
    "all": (0.5, 0.2, 0.5, 0.7, 1.0),
    "folds": (1.0, 0.5, 0.2, 0.5, 0.5),
}


def train_null(data_root, seeds=NUM_SEEDS):
    """Return the counts of every scan and seed of the null data, each scan tested in the fold of its patient."""
    import torch

    from retina_kit.data.dataset import load_images
    from retina_kit.evaluation.scoring import score_masks
    from retina_kit.models.build import build_model
    from retina_kit.training.batches import Batches
    from retina_kit.training.inference import predict_probability
    from retina_kit.training.loop import fit
    from retina_kit.training.recipe import Recipe

    found = load_images("oct_dme_chiu2015", data_root, masks=["union"], size=SIZE)
    images, masks = torch.from_numpy(found.images), found.masks["union"].astype(bool)
    targets, device = torch.from_numpy(masks.astype(np.uint8)), torch.device("cpu")
    patients = found.rows["patient"].astype(str)
    fold_of = {name: place % NUM_FOLDS for place, name in enumerate(sorted(patients.unique()))}
    folds = patients.map(fold_of).to_numpy()
    recipe = Recipe(loss="soft_dice", optimizer="adam", learning_rate=2e-3, batch_size=4, steps=STEPS)
    parts = []
    for seed, fold in itertools.product(range(seeds), range(NUM_FOLDS)):
        train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        torch.manual_seed(seed)
        model = build_model({"name": "unet", "widths": list(WIDTHS), "norm": "batch"})
        batches = Batches(images[train], targets[train], recipe, seed=seed, device=device, mean=46.6, std=54.7)
        fit(model, batches, recipe, device=device, seed=seed, precision="float32")
        probability = predict_probability(model, batches, images[test], precision="float32").numpy()
        scored = score_masks(probability > 0.5, masks[test], found.rows.iloc[test])
        parts.append(scored[["id", "patient", "tp", "fp", "fn", "tn", "dice"]].assign(seed=seed, fold=fold))
        if fold == 0:
            print(f"seed {seed}, fold {fold}: Dice {scored['dice'].mean():.3f}", flush=True)
    return pd.concat(parts, ignore_index=True)


def deal(scores, rng, num_seeds):
    """Return the scores of disjoint seeds of one arm under the names a, b and so on."""
    seeds = rng.permutation(scores["seed"].unique())
    chosen = seeds[: len(seeds) // num_seeds * num_seeds].reshape(-1, num_seeds)
    parts = []
    for arm, seeds in zip("abcdefghij", chosen, strict=False):
        place = {seed: number for number, seed in enumerate(seeds)}
        rows = scores[scores["seed"].isin(seeds)]
        parts.append(rows.assign(arm=arm, seed=rows["seed"].map(place)))
    return pd.concat(parts, ignore_index=True)


def false_positives(scores, repetitions=400, num_seeds=3, seed=0):
    """Return the share of repetitions in which the same arm under two names gets a verdict, per reading of Dice."""
    rng = np.random.default_rng(seed)
    readings = {"per image": ("dice", False), "pooled": ("dice", True), "fluid-bearing": ("dice_nonempty", False)}
    n = scores["seed"].nunique() // num_seeds // 2
    pairs = list(zip("acegi"[:n], "bdfhj"[:n], strict=True))
    claims = [
        Claim(f"{name}: {pair}", "", "control", "greater", pair, metric=metric, pooled=pooled)
        for (name, (metric, pooled)), pair in itertools.product(readings.items(), pairs)
    ]
    found = [evaluate_claims(claims, deal(scores, rng, num_seeds), synthetic=False) for _ in range(repetitions)]
    verdicts = pd.concat(found)
    reading = verdicts["claim"].str.split(":").str[0].rename("reading")
    return verdicts["verdict"].isin([SUPPORTED, NOT_SUPPORTED]).groupby(reading).mean().to_dict()


def coverage(num_patients, num_seeds, num_folds, sizes, repetitions=2000, seed=0, louder=1.0):
    """Return how often the 95 % interval covers 0, the true mean of simulated scores; `sizes` as in CASES.

    What seeds vary is `louder` times as much as in the arms that share their noise.
    """
    rng = np.random.default_rng(seed)
    patient, fold, *of_seeds = sizes
    place, covered = np.arange(num_patients) % max(num_folds, 1), 0
    parts = np.array([1, 1 / max(num_folds, 1), 1 / num_patients])  # of a variance in that of the mean
    for _ in range(repetitions):
        of_seed, network, rest = np.array(of_seeds) * np.exp(SPREAD * rng.normal()) * louder
        scores = patient * rng.normal(size=(num_patients, 1)) + of_seed * rng.normal(size=(1, num_seeds))
        scores = scores + rest * rng.normal(size=(num_patients, num_seeds))
        if num_folds:
            shared = fold * rng.normal(size=(num_folds, 1)) + network * rng.normal(size=(num_folds, num_seeds))
            scores = scores + shared[place]
        by_seed = scores.mean(axis=0)
        noise = noise_of((scores - by_seed) / num_patients, by_seed, [place] if num_folds else [])
        expected = np.square(of_seeds) @ parts * np.exp(2 * SPREAD * rng.normal(size=OTHERS))
        found = expected * rng.chisquare(num_seeds - 1, OTHERS) / (num_seeds - 1)
        usual, degrees = usual_variance([*found, by_seed.var(ddof=1)], [num_seeds - 1] * (OTHERS + 1))
        noise = noise.borrow(usual / num_seeds, degrees)
        covered += abs(by_seed.mean()) <= noise.half_width()
    return covered / repetitions


def coverages(repetitions):
    """Return one row per number of patients, seeds and folds, and case."""
    rows = []
    designs = [(n, k, 0) for n in (6, 10, 20) for k in (3, 5)] + [(n, k, 5) for n in (10, 20) for k in (3, 5)]
    for patients, seeds, folds in designs:
        for name, sizes in (CASES_WITH_FOLDS if folds else CASES).items():
            share = coverage(patients, seeds, folds, sizes, repetitions)
            rows.append({"patients": patients, "seeds": seeds, "folds": folds, "noise of": name, "coverage": share})
    return rows


def main():
    """Measure, print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", action="store_true", help="train the null data again (about five minutes)")
    parser.add_argument("--data-root", default="data")
    parser.add_argument("--repetitions", type=int, default=2000, help="of the simulated coverage")
    options = parser.parse_args()
    if options.train:
        train_null(options.data_root).to_csv(NULL_SCORES, index=False)
    began = time.perf_counter()
    scores = pd.read_csv(NULL_SCORES, dtype={"patient": str})
    wrong = {f"{k} seeds": false_positives(scores, num_seeds=k) for k in (3, 5)}
    rows = coverages(options.repetitions)
    print(pd.DataFrame(wrong).to_string(), pd.DataFrame(rows).to_string(index=False), sep="\n\n")
    found = {"false positives": wrong, "coverage": rows, "lowest coverage": min(row["coverage"] for row in rows)}
    found["coverage of a louder arm"] = [
        {"times": times, "seeds": k, "coverage": coverage(10, k, 0, CASES["seeds"], options.repetitions, louder=times)}
        for times, k in itertools.product(LOUDER, (3, 5))
    ]
    seconds = round(time.perf_counter() - began)
    write_json(
        RESULTS / "verdicts.json", {"machine": describe_machine(choose_device("cpu")), "seconds": seconds} | found
    )


if __name__ == "__main__":
    main()
