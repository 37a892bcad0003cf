# %% [markdown]
# # Segment vessels with a minimal U-Net
#
# **Reproduces** A. Galdran et al., State-of-the-art retinal vessel segmentation with minimalistic models,
# Scientific Reports 12, 6174 (2022)
#
# Does a U-Net with 30 thousand weights segment vessels as well as one with a million?
#
# **Your guess first:** what do you expect? Write it down, and compare it with section 10.

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
from retina_kit.training.losses import LOSSES

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
pick_arms(experiment.arms, "small_chase", "large_chase")
experiment.arms_table()

# %% [markdown]
# ## 2 · The data

# %%
images = experiment.images("small_chase")
browse_images({"images": images})

# %% [markdown]
# ## 3 · The network and the loss
# The Dice coefficient of a predicted region $P$ and the ground truth $G$ is
#
# $$\mathrm{Dice} = \frac{2\,|P \cap G|}{|P| + |G|}$$
#
# The source below is the library's own: what you read is what is trained.

# %%
arm = experiment.arm("small_chase")
network = MODELS[arm.model["name"]]
print(inspect.getsource(network.forward), inspect.getsource(LOSSES[arm.recipe.loss]), sep="\n")
with torch.device("meta"):
    print({arm.name: count_parameters(experiment.model(arm.name)) for arm in experiment.arms})

# %% [markdown]
# ## 4 · Split: who is tested?
# A patient with two colors is trained on and tested: data leakage.

# %%
prepared = experiment.prepared("small_chase")
show(figures.plot_split(images.rows, prepared.train, prepared.test))

# %% [markdown]
# ## 5 · Train one network by hand
# The loop is `retina_kit/training/loop.py`. Interrupt the kernel (the square button) to stop early: the weights so far
# are kept.

# %%
batches = experiment.batches("small_chase")
model = experiment.model("small_chase")
recipe = experiment.arm("small_chase").recipe
history = fit(model, batches, recipe, device=batches.images.device, watch=LiveCurve())
show(figures.plot_history(history))

# %% [markdown]
# ## 6 · Train all arms
# Finished runs are loaded from the run store, interrupted ones resume.

# %%
runs = experiment.train(workers=workers)
labels = {arm.name: arm.title for arm in experiment.arms}
print(len(runs), "runs,", round(sum(run.settings["seconds"] for run in runs.values())), "seconds in all")

# %% [markdown]
# ## 7 · Vessels of CHASE_DB1
# All pixels of the test images are counted together.
# "SD" is over seeds, the interval over patients and seeds; next to them the published values.

# %%
chase = report.save_table("chase", experiment.table("chase"))
shown = figures.plot_comparison(chase[chase["n_seeds"] > 0], labels=labels)
show(report.save_figure("chase", shown, alt="Vessels of CHASE_DB1"))
show_comparison(chase, labels)

# %% [markdown]
# ## 8 · Vessels of STARE
# All pixels of the test images are counted together.
# "SD" is over seeds, the interval over patients and seeds; next to them the published values.

# %%
stare = report.save_table("stare", experiment.table("stare"))
shown = figures.plot_comparison(stare[stare["n_seeds"] > 0], labels=labels)
show(report.save_figure("stare", shown, alt="Vessels of STARE"))
show_comparison(stare, labels)

# %% [markdown]
# ## 9 · What was found, and what was missed
# The test images with the lowest scores of the first arm: a mean hides failures. Then move the threshold and see which
# mistakes disappear and which appear.

# %%
chosen = ["small_chase", "large_chase", "wnet_sized_chase"]
photographs, ground_truth, predicted, names = experiment.predictions(chosen, num_images=4, pick="worst")
shown = {labels[name]: predicted[name] for name in chosen}
examples = figures.plot_predictions(photographs, ground_truth, shown, titles=names)
show(report.save_figure("examples", examples, alt="Predictions on the four test images with the lowest scores"))

# %%
explore_predictions(*experiment.probabilities(chosen[0]))

# %% [markdown]
# ## 10 · Claims and verdicts
# Synthetic data can support the direction of an effect, never its size.

# %%
claims = report.save_claims(experiment.claims())
report.save_figure("claims", figures.plot_claims(claims), alt="Estimates and intervals of all claims")
report.finish(experiment.description())
show_claims(claims)

# %% [markdown]
# ## 11 · Your own images
# `retina-kit data new my_eyes --images DIR --masks DIR --patient-regex '^(\d+)_'` makes a data set of your images and
# masks.
# Without ground truth, a finished run predicts any image: `retina-kit predict RUN --images FILE_OR_DIR --output DIR`.
#
# ## 12 · What differs from the paper
# Every row of the settings table that is marked *ours* is a choice that the paper does not report. Beyond that:
#
# - **No W-Net.** The kit has no cascade of two U-Nets. `wnet_sized` gives its number of weights to one U-Net; that
#   tests the weights, not the cascade.
# - **A plainer U-Net.** The authors' blocks have a residual shortcut and a convolution in each skip connection.
# - **The lesson is short and small**: 400 steps on crops of 96 pixels of images of 256, with CLAHE and a Dice term in
#   the loss; the authors train for 4000 steps on whole images of 512 with cross-entropy.
# - **Other training images.** 8 of CHASE_DB1 as in their code, but of children at random; no validation images.
# - **Evaluation.** The threshold is 0.5, theirs is the best one on the training images; pixels outside the field of
#   view count here; scores are taken at the size that the network sees.
#
# ## 13 · Exercises
# Each check tells what is right or wrong, and why. Replace `...` with your answer.

# %% [markdown]
# **1.** Which arm tests the paper's thesis on CHASE_DB1, that a small U-Net suffices?

# %% tags=["exercise"]
experiment.check.which_control(...)

# %% [markdown]
# **2.** By how much is the Dice of the large U-Net higher than that of the minimal one on CHASE_DB1? Use the
# table `chase`.

# %% tags=["exercise"]
experiment.check.gain_of_size(...)

# %% [markdown]
# **3.** The benchmark's W-Net (68 k weights) has a Dice of 0.820 on CHASE_DB1, its U-Net (25.8 M) 0.807, with
# an SD over images of 0.017. How many SDs apart are they?

# %% tags=["exercise"]
experiment.check.published_gain(...)

# %% [markdown]
# **4.** With all images resized to 768 x 768, the same benchmark reports 0.797 for the W-Net and 0.803 for the
# U-Net on CHASE_DB1. What is the gain of the W-Net there?

# %% tags=["exercise"]
experiment.check.at_another_size(...)

# %% [markdown]
# **5.** Pretraining also brings more training steps. Design the control for small_chase: as many steps as the
# pretrained network had in all.

# %% tags=["exercise"]
experiment.check.control_for_steps(...)

# %% [markdown]
# **Going further:** `retina-kit compare` and `retina-kit sweep` put two settings, or many, side by side;
# `retina-kit paper report` writes the reproduction report from this run.
