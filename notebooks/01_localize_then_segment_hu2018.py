# %% [markdown]
# # Localize the optic disc, then segment it
#
# **Reproduces** S.-Y. Hu et al., *Deep feature transfer between localization and segmentation tasks*,
# arXiv:1811.02539 (2018).
#
# A click on the disc's center takes a second, its outline a minute. The paper lets a network learn from thousands of
# centers first, keeps its encoder, and then learns outlines from 92 masks. It finds that this beats a random start.
#
# **You will do** both phases, beside the printed numbers, and the two arms that the paper left out.
# **You will learn** to tell *pretraining* from *freezing*, which the paper changed at once, and to look at single
# images where a mean hides failures.
# **You need** Python and two CPU cores for five minutes. Nothing is downloaded: by default the images are *drawn*
# (synthetic), and so are all numbers that follow from them. `data = "public"` takes real photographs (IDRiD).

# %% tags=["colab"]
import os
import sys

if "google.colab" in sys.modules or "KAGGLE_KERNEL_RUN_TYPE" in os.environ:  # with the libraries that are there
    # %pip install --quiet --no-deps ./retina-kit
    pass

# %%

from retina_kit.data.transforms import preprocess, resize_images
from retina_kit.evaluation.comparisons import compare_families, spread_over_images, training_shares
from retina_kit.experiment import Experiment
from retina_kit.models.build import describe_layers
from retina_kit.prediction.predictor import Predictor
from retina_kit.reporting import figures
from retina_kit.reporting.report import Report
from retina_kit.reporting.tables import show_comparison, show_claims
from retina_kit.teaching.widgets import LiveCurve, browse_images, explore_predictions, pick_arms, predict_own, show
from retina_kit.training.loop import fit

# %% [markdown]
# ## 1 · Settings
# `smoke` proves that everything runs (its numbers mean nothing), `lesson` shows the trends in minutes,
# `paper` takes all six shares of the training images, full widths and a GPU.

# %% tags=["parameters"]
profile = "lesson"  # smoke, lesson or paper
data = "synthetic"  # synthetic or public
data_root = "data"  # where real data packs lie
output_root = "outputs"  # where results go
seeds = None  # a list such as [0, 1, 2]; None: the profile's
device = "auto"  # auto, cpu, cuda or cuda:1
precision = "auto"  # auto, float32 or bfloat16
workers = 1  # processes that train side by side
overrides = {}  # any parameter of the experiment, such as {"steps": 100}

# %%
experiment = Experiment(
    "hu2018",
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
# The paper prints no width, depth, image size, dropout rate, learning rate, batch size or number of epochs. All
# these are *ours*. An **arm** is one trained network: a row below. *Replication* arms do what the paper did;
# *control* arms change one thing that the paper's comparison left uncontrolled. Pick two and see in what they differ.

# %%
pick_arms(experiment.arms, "pretrained_frozen_100", "random_trainable_100")
experiment.arms_table()

# %% [markdown]
# ## 2 · Look at the data
# Phase 1 knows one point an image, phase 2 an outline (yellow): choose the data set, the patient and the image.

# %%
centers, masks = experiment.images("localizer"), experiment.images("pretrained_frozen_100")
browse_images({"outlines": masks, "centers": centers})

# %% [markdown]
# ## 3 · Split: who is tested?
# Five folds by patient: every image with a mask is tested once. What leaks is less obvious: images of phase 1 may
# be those that phase 2 tests on. In the public data 61 photographs are in both sets, and two more are byte-identical
# copies of such ones. The fair localizer leaves them all out, the leaky one does not. The paper says nothing of it.

# %%
fair, leaky = (experiment.prepared(name) for name in ("localizer", "localizer_leaky"))
prepared = experiment.prepared("pretrained_frozen_10")
print({"fair": len(fair.train), "leaky": len(leaky.train), "tested centers": len(fair.test)})
print({"fold 0 trains on, at the smallest share": len(prepared.train), "and tests": len(prepared.test)})

# %% [markdown]
# ## 4 · Preprocessing, step by step
# Gray, normalization, contrast-limited adaptive histogram equalization (CLAHE), gamma correction (section 2.1). The
# order and the constants are those of the lab's published code.

# %%
arm = experiment.arm("pretrained_frozen_100")
steps = arm.data.preprocess
small = resize_images(masks.images, arm.data.size)
stages = [preprocess(small, steps[: k + 1], prepared.train)[0] for k in range(len(steps))]
shown = figures.plot_steps({"photograph": small[0], **dict(zip(steps, stages, strict=True))})
report.save_figure("preprocessing", shown, alt="One image after each step of the preprocessing")
show(shown)

# %% [markdown]
# ## 5 · The networks (Figure 1)
# Drawn from the layers of the two networks of this run. The head is thrown away after phase 1; a U-Net's decoder takes
# its place, and every level of the encoder is concatenated to it (the paper calls these connections residual).

# %%
localizer, unet = (experiment.arm(name).model for name in ("localizer", "pretrained_frozen_100"))
layers = [describe_layers(model, (1, *arm.data.size)) for model in (localizer, unet)]
figure1 = figures.plot_two_phases(*layers)
report.save_figure("figure1", figure1, alt="Figure 1: encoder with a head for the center, then with a decoder")
show(figure1)

# %% [markdown]
# ## 6 · Train one network by hand
# A U-Net from a random start, on all training images of fold 0. The loop is `retina_kit/training/loop.py`, short
# enough to read aloud. **Stop** keeps the weights so far.

# %%
batches = experiment.batches("random_trainable_100")
model = experiment.model("random_trainable_100")
recipe = experiment.arm("random_trainable_100").recipe
history = fit(model, batches, recipe, device=batches.images.device, watch=LiveCurve())
show(figures.plot_history(history))

# %% [markdown]
# ## 7 · Train all arms
# Folds and shares are one sweep: finished runs are loaded from the run store, interrupted ones go on.

# %%
runs = experiment.train(workers=workers)
labels = {arm.name: arm.title for arm in experiment.arms}
print(len(runs), "runs,", round(sum(run.settings["seconds"] for run in runs.values())), "seconds in all")

# %% [markdown]
# ## 8 · Phase 1: how far from the center?
# In pixels of an image of the stated size, and in disc diameters. The paper prints squared errors only, of images
# whose size it does not print, so the two cannot be compared.

# %%
localization = report.save_table("localization", experiment.table("localization"))
show(localization[["arm", "metric", "ours_mean", "ours_ci_low", "ours_ci_high", "n_images", "paper_value", "note"]])
localizers = {name: labels[name] for name in ("localizer", "localizer_leaky", "localizer_shuffled", "localizer_color")}
errors = figures.plot_point_errors(experiment.scores, localizers, experiment.parameters["pixels"])
validated = experiment.histories.dropna(subset=["mse"]).groupby(["arm", "step"])["mse"].mean().unstack("arm")
show(validated.rename_axis(index="updates", columns="MSE on validation images"))
report.save_figure("localization", errors, alt="Error maps of the localizers, and the distribution of distances")
show(errors)

# %% [markdown]
# ## 9 · Phase 2: Dice against the share of training images (Figure 2a)
# The mean over the images of all folds, as in the paper. Its two arms differ in *two* things: the start of the
# encoder, and whether it may learn. The other two arms of the 2 x 2 tell them apart. A fifth one takes the localizer's
# answer instead of its features: it cuts a window out around the found center and segments that.

# %%
shares = training_shares(experiment.arms)
figure2a = report.save_table("figure2a", experiment.table("figure2a"))
show(show_comparison(figure2a[figure2a["n_images"] > 0], labels))
families = {
    "pretrained_frozen": "pretrained, frozen (the paper's)",
    "random_trainable": "random, trainable (the paper's)",
    "pretrained_trainable": "pretrained, trainable (control)",
    "random_frozen": "random, frozen, statistics calibrated (control)",
}
shown = figures.plot_dice_by_share(figure2a.merge(shares, on="arm"), families)
report.save_figure("figure2a", shown, alt="Figure 2a: Dice against the share of training images, four arms")
show(shown)

# %% [markdown]
# ## 10 · Figure 2b: is the difference significant?
# The paper's paired t-test treats images as independent; Wilcoxon's test does the same with ranks. The bootstrap
# resamples patients instead. None of them knows that images of a fold share one network.

# %%
last = experiment.scores[experiment.scores["variant"] == "last"]
figure2b = compare_families(last, shares, [("pretrained_frozen", "random_trainable")])
report.save_figure("figure2b", figures.plot_p_values(figure2b), alt="Figure 2b: p-values of three tests at each share")
report.save_table("figure2b", figure2b, tidy=False)

# %% [markdown]
# Is it pretraining or freezing? Each row of the next figure changes one thing only, but for the first and the last.
# The last one asks what a localizer is good for besides its features: its *answer* says where to look, so that the
# U-Net sees a window around the found center, four times as finely on photographs.

# %%
contrasts = {
    ("pretrained_frozen", "random_trainable"): "the paper's comparison: both at once",
    ("pretrained_trainable", "random_trainable"): "pretraining, both trainable",
    ("pretrained_frozen", "random_frozen"): "pretraining, both frozen",
    ("pretrained_frozen", "pretrained_trainable"): "freezing, both pretrained",
    ("random_frozen", "random_trainable"): "freezing, both random",
    ("leaky_frozen", "pretrained_frozen"): "the leak: test images seen in phase 1",
    ("pretrained_frozen", "shuffled_frozen"): "the learned centers: against shuffled ones, both frozen",
    ("pretrained_frozen", "random_trainable_longer"): "the paper's comparison at equal updates",
    ("random_frozen", "random_frozen_uncalibrated"): "calibrated statistics, both random and frozen",
    ("random_trainable", "gray"): "CLAHE and gamma, both gray and random",
    ("color", "gray"): "color, both random and without CLAHE",
    ("whole", "color"): "finer pixels, both in color",
    ("window", "whole"): "a window around the found center, both at the same pixel size",
}
two_by_two = report.save_table("two_by_two", compare_families(last, shares, list(contrasts)), tidy=False)
shown = figures.plot_contrasts(two_by_two, contrasts)
report.save_figure("two_by_two", shown, alt="Differences of the 2 x 2 design, share by share")
show(shown)

# %% [markdown]
# ## 11 · Behind the means
# An SD of 0.2 beside a mean of 0.84 (the paper's baseline) speaks of complete failures. Above each column: how many
# images have a Dice of practically 0.

# %%
chosen = {arm: labels[arm] for arm in shares.loc[shares["percent"].isin([10, 100]), "arm"]}
shown = figures.plot_spread(last, chosen)
show(report.save_figure("distribution", shown, alt="Dice of every image, arm by arm"))
report.save_table("distribution", spread_over_images(last, chosen), tidy=False).round(3)

# %% [markdown]
# The worst images of the paper's two arms and of the window, each by the network that did not train on it: bright
# lesions pass for a disc where the whole image is searched. Then the test images of one fold: move the threshold
# and see which mistakes go, and which come.

# %%
three = ["random_trainable_100", "pretrained_frozen_100", "window_100"]
images, truth, predicted, names = experiment.predictions(three, num_images=4, pick="worst")
worst = figures.plot_predictions(images, truth, {labels[name]: predicted[name] for name in three}, titles=names)
show(report.save_figure("worst", worst, alt="The four images with the lowest Dice"))
explore_predictions(*experiment.probabilities(three[1]))

# %% [markdown]
# ## 12 · Claims and verdicts
# Each claim of the paper (*replication*) stands beside its *control*. Drawn data decide a direction only, never a
# number.

# %%
claims = report.save_claims(experiment.claims())
report.save_figure("claims", figures.plot_claims(claims), alt="Estimates and intervals of all claims")
report.finish(experiment.description())
show_claims(claims)

# %% [markdown]
# ## 13 · Your own image
# The weights carry everything that prediction needs: choose an image of any size with the button, or give its path.
# Does the network find what you see? It was trained on images of one source, so expect less on others.
# For teaching and research, not for clinical use. For many images: `retina-kit predict RUN --images DIR --output DIR`.

# %%
predict_own(Predictor.load(experiment.run_of("pretrained_frozen_100").folder, device=device), path="")

# %% [markdown]
# ## 14 · What differs from the paper, and why
# - The paper's RetCam images are private. Synthetic images or IDRiD take their place; IDRiD shows adults with diabetic
#   retinopathy, not premature infants.
# - Everything that the paper does not print is ours: five levels, widths, size, dropout, learning rates, batch sizes,
#   updates, a learning rate that falls to 0, and augmentation by mirror, resize and shift.
# - The localizer's answer as a place to cut at is ours; the paper hands on its features only.
# - All shares get the same number of updates. With epochs, fewer images would also mean fewer updates.
# - "Frozen" means weights and BatchNorm statistics. A random frozen encoder keeps those it was built with.
# - The localizer's head counts in pixels, as the paper's errors do, and is one linear layer ("without activation").
# - Public centers for training are those of CODRAS boxes, another group's; the 103 test centers are the official ones.
#   The two differ by 3.4 pixels of 640 on average: no localizer that learns from one can be closer to the other.
# - Both sets' Dice is taken at the masks' full size, after the probability was enlarged.
#
# ## 15 · Exercises
# Each check says what is right or wrong, and why. Replace the `...` by your answer; a wrong one shows a hint.

# %% [markdown]
# **1.** Which arm differs from `pretrained_frozen_100` in the start of the encoder, and in nothing else?

# %% tags=["exercise"]
check = experiment.check
check.only_the_start(...)

# %% tags=["solution"]
check.only_the_start("random_frozen_100")

# %% [markdown]
# **2.** By how much does pretraining raise the mean Dice where nothing is frozen, with all training images? Compute
# it from `figure2a`.

# %% tags=["exercise"]
check.gain_of_pretraining(...)

# %% tags=["solution"]
means = figure2a.set_index("arm")["ours_mean"]
check.gain_of_pretraining(means["pretrained_trainable_100"] - means["random_trainable_100"])

# %% [markdown]
# **3.** The paper has 92 images with a mask and five folds. How many images, about, are 10 % of a training fold?

# %% tags=["exercise"]
check.ten_percent(...)

# %% tags=["solution"]
check.ten_percent(0.1 * 92 * 4 / 5)

# %% [markdown]
# **4.** The validation error of the localizer is printed as an MSE of 132.16 pixels squared. If that is the mean over
# x and y, how far from the center is it, as a root mean square distance in pixels?

# %% tags=["exercise"]
check.distance_from_mse(...)

# %% tags=["solution"]
check.distance_from_mse((2 * 132.16) ** 0.5)

# %% [markdown]
# **5.** Design the control. A pretrained network has had the localizer's updates as well as its own. Which random,
# trainable arm (100 %) has had as many? An arm is a dictionary: `name`, the arm it is `like`, and what it changes,
# such as `{"name": "mine", "like": "random_frozen_100", "recipe.steps": 50}`.

# %% tags=["exercise"]
check.control_for_updates(...)

# %% tags=["solution"]
steps = sum(experiment.arm(name).recipe.steps for name in ("localizer", "random_trainable_100"))
check.control_for_updates({"name": "random_longer", "like": "random_trainable_100", "recipe.steps": steps})

# %% [markdown]
# **To go on:** set `overrides = {"steps": 20}` and run all again: which arm loses most, and why? Set `seeds = [0, 1,
# 2]`: what does another draw of 10 % of the images change? How large would the leak have to be to explain the
# paper's gain?
