# %% [markdown]
# # One network for four lesions
#
# **Data** of P. Porwal et al., IDRiD: Diabetic retinopathy - segmentation and grading challenge, Medical
# Image Analysis 59, 101561 (2020)
#
# Does one network for all lesions beat one network for each of them, at the same budget?
#
# **Your guess first:** what do you expect? Write it down, and compare it with section 12.

# %%
import inspect

import torch

from retina_kit.experiment import Experiment
from retina_kit.models.build import MODELS, count_parameters
from retina_kit.reporting import figures
from retina_kit.reporting.report import Report
from retina_kit.reporting.tables import show_claims, show_comparison
from retina_kit.teaching.widgets import LiveCurve, browse_images, explore_predictions, pick_arms, show
from retina_kit.training.loop import fit
from retina_kit.training.losses import LOSSES, per_class

# %% [markdown]
# ## 1 · Settings
# `smoke` only checks that everything executes (ignore its scores), `lesson` shows the trends in minutes, `paper` uses
# the published hyperparameters. In `overrides` any setting can be changed, such as `{"steps": 50}`.

# %% tags=["parameters"]
paper = "."  # the folder of this paper
profile = "lesson"  # smoke, lesson or paper
data = "synthetic"  # synthetic, public
data_root = "data"  # folder of the real data sets
output_root = "outputs"  # folder for the results
seeds = None  # a list such as [0, 1, 2]; None uses the profile's own
device = "auto"  # auto, cpu, cuda or cuda:1
precision = "auto"  # auto, float32 or bfloat16
workers = 2  # processes that train side by side
overrides = {}  # any parameter of the experiment, such as {"steps": 100}

# %%
experiment = Experiment(
    paper,
    profile,
    data,
    data_root=data_root,
    output_root=output_root,
    seeds=seeds,
    device=device,
    precision=precision,
    overrides=overrides,
)
report = Report(experiment.folder)
report.save_table("settings", experiment.settings(), tidy=False)

# %% [markdown]
# An **arm** is one experimental condition. *Replication* arms do what the paper did, *control* arms change one thing
# that its comparison left uncontrolled. Pick two and see in what they differ.

# %%
pick_arms(experiment.arms, "alone_ma", "together_long")
experiment.arms_table()

# %% [markdown]
# ## 2 · The data

# %%
images = experiment.images("together_long")
browse_images({"images": images})

# %% [markdown]
# ## 3 · The network and the loss
# The Dice coefficient of a predicted region $P$ and the ground truth $G$ is
#
# $$\mathrm{Dice} = \frac{2\,|P \cap G|}{|P| + |G|}$$
#
# and the loss of a network with several classes is the mean of the losses of each class, a sigmoid per class. The
# source below is the library's own: what you read is what is trained.

# %%
arm = experiment.arm("together_long")
network = MODELS[arm.model["name"]]
for part in (network.forward, LOSSES[arm.recipe.loss], per_class):
    print(inspect.getsource(part))
with torch.device("meta"):
    print({arm.name: count_parameters(experiment.model(arm.name)) for arm in experiment.arms})

# %% [markdown]
# ## 4 · Split: who is tested?
# A patient with two colors is trained on and tested: data leakage.

# %%
prepared = experiment.prepared("together_long")
show(figures.plot_split(images.rows, prepared.train, prepared.test))

# %% [markdown]
# ## 5 · Train one network by hand
# The loop is `retina_kit/training/loop.py`. Interrupt the kernel (the square button) to stop early: the weights so far
# are kept.

# %%
batches = experiment.batches("together_short")
model = experiment.model("together_short")
recipe = experiment.arm("together_short").recipe
history = fit(model, batches, recipe, device=batches.images.device, watch=LiveCurve())
show(figures.plot_history(history))

# %% [markdown]
# ## 6 · Train all arms
# Finished runs are loaded from the run store, interrupted ones resume.

# %%
runs = experiment.train(workers=workers)
labels = experiment.labels
print(len(runs), "runs,", round(sum(run.settings["seconds"] for run in runs.values())), "seconds in all")

# %% [markdown]
# ## 7 · Microaneurysms of IDRiD
# All pixels of the test images are counted together.
# "SD" is over seeds, the interval over patients and seeds.

# %%
microaneurysms = report.save_table("microaneurysms", experiment.table("microaneurysms"))
shown = figures.plot_comparison(microaneurysms[microaneurysms["n_seeds"] > 0], labels=labels)
show(report.save_figure("microaneurysms", shown, alt="Microaneurysms of IDRiD"))
show_comparison(microaneurysms, labels)

# %% [markdown]
# ## 8 · Hemorrhages of IDRiD
# All pixels of the test images are counted together.
# "SD" is over seeds, the interval over patients and seeds.

# %%
hemorrhages = report.save_table("hemorrhages", experiment.table("hemorrhages"))
shown = figures.plot_comparison(hemorrhages[hemorrhages["n_seeds"] > 0], labels=labels)
show(report.save_figure("hemorrhages", shown, alt="Hemorrhages of IDRiD"))
show_comparison(hemorrhages, labels)

# %% [markdown]
# ## 9 · Hard exudates of IDRiD
# All pixels of the test images are counted together.
# "SD" is over seeds, the interval over patients and seeds.

# %%
hard_exudates = report.save_table("hard_exudates", experiment.table("hard_exudates"))
shown = figures.plot_comparison(hard_exudates[hard_exudates["n_seeds"] > 0], labels=labels)
show(report.save_figure("hard_exudates", shown, alt="Hard exudates of IDRiD"))
show_comparison(hard_exudates, labels)

# %% [markdown]
# ## 10 · Soft exudates of IDRiD
# All pixels of the test images are counted together.
# "SD" is over seeds, the interval over patients and seeds.

# %%
soft_exudates = report.save_table("soft_exudates", experiment.table("soft_exudates"))
shown = figures.plot_comparison(soft_exudates[soft_exudates["n_seeds"] > 0], labels=labels)
show(report.save_figure("soft_exudates", shown, alt="Soft exudates of IDRiD"))
show_comparison(soft_exudates, labels)

# %% [markdown]
# ## 11 · What was found, and what was missed
# All four lesions that one network finds, then hard exudates in a network of their own and in the shared one, on the
# test images with the lowest scores: a mean hides failures. Then move the threshold and see which mistakes
# disappear and which appear.

# %%
classes = [name for name in labels if name.startswith("together_long:")]
photographs, _, predicted, names = experiment.predictions(classes, num_images=3, pick="largest")
shown = figures.plot_classes(photographs, {name.split(":")[1]: predicted[name] for name in classes}, titles=names)
show(report.save_figure("overlays", shown, alt="Outlines of the four lesions that one network predicts"))

# %%
chosen = ["alone_ex", "together_long:ex"]
photographs, ground_truth, predicted, names = experiment.predictions(chosen, num_images=4, pick="worst")
shown = {labels[name]: predicted[name] for name in chosen}
examples = figures.plot_predictions(photographs, ground_truth, shown, titles=names)
show(report.save_figure("examples", examples, alt="Predictions on the four test images with the lowest scores"))

# %%
explore_predictions(*experiment.probabilities(chosen[-1]))

# %% [markdown]
# ## 12 · Claims and verdicts
# Synthetic data can support the direction of an effect, never its size.

# %%
claims = report.save_claims(experiment.claims())
report.save_figure("claims", figures.plot_claims(claims), alt="Estimates and intervals of all claims")
report.finish(experiment.description())
show_claims(claims)

# %% [markdown]
# ## 13 · Your own images
# `retina-kit data new my_eyes --images DIR --masks DIR --patient-regex '^(\d+)_'` makes a data set of your images and
# masks; if its masks are called ma, he, ex and se, this notebook runs on it with `overrides = {"target": "my_eyes"}`.
# Without ground truth, a finished run predicts any image: `retina-kit predict RUN --images FILE_OR_DIR --output DIR`
# writes a mask and an area for each lesion.
#
# ## 14 · What this does not show
# One architecture, one loss and few steps. A network for four lesions has as many weights as each network for one, so
# four networks have four times as many; and the long arm sees the photographs four times as often as each of the four.
#
# ## 15 · Exercises
# Each check tells what is right or wrong, and why. Replace `...` with your answer.

# %% [markdown]
# **1.** The four networks for one lesion each have S steps. Which arm has as many steps as all of them
# together?

# %% tags=["exercise"]
experiment.check.which_budget(...)

# %% [markdown]
# **2.** By how much is the average precision of soft exudates higher in together_long than in their own
# network? Use the table `soft_exudates`.

# %% tags=["exercise"]
experiment.check.gain_for_soft_exudates(...)

# %% [markdown]
# **3.** A pixel belongs to a hemorrhage and to a hard exudate. How many of the two classes can one softmax over
# five exclusive classes predict there?

# %% tags=["exercise"]
experiment.check.overlap(...)

# %% [markdown]
# **Going further:** `retina-kit compare` and `retina-kit sweep` put two settings, or many, side by side;
# `retina-kit paper report` writes the reproduction report from this run.
