"""A paper of one's own that trains in a moment: what `paper new` writes, on more and smaller images."""

from retina_kit.authoring.scaffold import new_paper
from retina_kit.experiment import Experiment
from retina_kit.reporting.report import Report

MANY_EYES = {"num_patients": 12, "images_per_patient": 1, "size": [32, 32]}  # 4 of the 12 are tested


def make_paper(folder, key="smith2024"):
    """Write the folder of a paper and return it."""
    return new_paper(key, folder=folder / key)


def run_paper(paper, output_root, seeds=(0, 1, 2), **overrides):
    """Train a paper at smoke size, write results.json as its notebook would, and return the experiment."""
    overrides = {"target_options": MANY_EYES, **overrides}
    experiment = Experiment(paper, "smoke", output_root=output_root, seeds=list(seeds), overrides=overrides)
    return train_and_save(experiment, "table1")


def train_and_save(experiment, table):
    """Train an experiment, write one table, the claims and results.json as its notebook would, and return it."""
    experiment.train(progress=False)
    report = Report(experiment.folder)
    report.save_table(table, experiment.table(table))
    report.save_claims(experiment.claims())
    report.finish(experiment.description())
    return experiment
