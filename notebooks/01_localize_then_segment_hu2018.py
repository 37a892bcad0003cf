# %% [markdown]
# # Localize the optic disc, then segment it
#
# **Reproduces** S.-Y. Hu et al., *Deep feature transfer between localization and segmentation tasks*, arXiv:1811.02539
# (2018).
#
# **The question.** The optic disc is the bright spot where the optic nerve leaves the eye. Marking its center takes a
# second; outlining it takes a minute. Can a network learn from thousands of cheap centers first, and then need fewer
# expensive outlines?

# %% tags=["colab"]
import os
import sys

if "google.colab" in sys.modules or "KAGGLE_KERNEL_RUN_TYPE" in os.environ:  # keep the installed libraries
    # %pip install --quiet --no-deps ./retina-kit
    pass

# %%
from retina_kit.data.synthetic.fundus import generate_fundus
from retina_kit.reporting import figures
from retina_kit.teaching.widgets import show

eye = generate_fundus(1, 1, (288, 384), lesions=False, seed=2)
image, center = eye.images[0], tuple(eye.rows.loc[0, ["disc_x", "disc_y"]])
panels = {"a center: one second": (image, center), "an outline: one minute": (image, eye.masks["disc"][0])}
show(figures.plot_panels(panels), alt="A synthetic fundus photograph with the center of the disc, and with its outline")

# %% [markdown]
# **The claim.** The paper trains a network to *localize* the disc, keeps its encoder frozen, and trains a decoder to
# *segment* the disc from 92 masks, four fifths of them at a time (cross-validation). It reports a mean Dice of 0.88 (a
# score of overlap, 1 is perfect; section 6). From scratch, that is from random weights, the same network reaches 0.84.
#
# **The problem.** The paper's two networks differ in two ways: one is pretrained *and* frozen, the other is random
# *and* trainable. Pretraining and freezing are *confounded*: nobody can tell which of them made the difference. The kit
# adds the two missing combinations as *control arms*.
#
# **Your guess, before any result.** Write down three things: Does pretraining help if nothing is frozen? Does freezing
# help or hurt? When does it matter more, with few masks or with many?
#
# **You will** reproduce both phases, see them next to the published values, and add the control arms. **You need**
# Python, two CPU cores and a few minutes; choose *Run > Run All Cells*, or press Shift+Enter cell by cell. No data are
# downloaded: by default the images are synthetic, and so are all scores that follow; only the direction of an effect is
# comparable with the paper. `data = "public"` uses real photographs ([IDRiD](../docs/data.md)) and takes hours.

# %%
from retina_kit.data.transforms import preprocess, resize_images
from retina_kit.evaluation.comparisons import compare_families, spread_over_images, training_shares
from retina_kit.experiment import Experiment
from retina_kit.models.build import describe_layers
from retina_kit.models.unet import Decoder, Encoder
from retina_kit.prediction.predictor import Predictor
from retina_kit.reporting.report import Report
from retina_kit.reporting.tables import show_comparison, show_claims
from retina_kit.teaching.widgets import LiveCurve, browse_images, explore_predictions, pick_arms, predict_own
from retina_kit.teaching.widgets import show_folded, show_settings, show_source
from retina_kit.training.loop import fit
from retina_kit.training.losses import LOSSES, pooled_soft_dice

# %% [markdown]
# ## 1 · Setup
# A *profile* sets the size of a run. `smoke` only checks that everything executes (ignore its scores), `lesson` shows
# the trends in minutes, `paper` uses the published hyperparameters (ours where none is reported: here nearly all) and
# needs a GPU. A *hyperparameter* is a setting that training does not learn, such as the learning rate. Terms are
# defined in the [glossary](../docs/glossary.md).

# %% tags=["parameters"]
profile = "lesson"  # smoke, lesson or paper
data = "synthetic"  # synthetic or public
data_root = "data"  # the folder with real data sets
output_root = "outputs"  # the folder for results
seeds = None  # a list such as [0, 1, 2]; None uses the profile's own
device = "auto"  # auto, cpu, cuda or cuda:1
precision = "auto"  # auto, float32 or bfloat16
workers = 2  # processes that train in parallel
overrides = {}  # any parameter of the experiment, such as {"steps": 100}
train_live = True  # False: section 6 shows the curve of the finished run, if the run store has it

# %% [markdown]
# ## 2 · Look at the data
# Phase 1 learns one point per image, phase 2 an outline. The outline is the *ground truth*: what an expert annotated,
# and what a prediction is compared with. Choose a data set, a patient and an image.

# %%
options = {"data_root": data_root, "output_root": output_root, "seeds": seeds, "device": device, "precision": precision}
experiment = Experiment("hu2018", profile, data, overrides=overrides, **options)
report = Report(experiment.folder)
settings = report.save_table("settings", experiment.settings(), tidy=False)
centers, masks = experiment.images("localizer"), experiment.images("pretrained_frozen_100")
browse_images({"outlines": masks, "centers": centers}, points={"center": experiment.parameters["test_center"]})

# %% [markdown]
# **What matters here.** An **arm** is one experimental condition: data, network, start and training settings. One arm
# with one seed and one fold is a **run**. A *replication arm* does what the paper did; a *control arm* removes one
# confound. The paper reports no width, depth, image size, dropout rate, learning rate, batch size or number of epochs:
# those values are ours. Pick two arms below: a fair comparison differs in *one* factor.

# %%
important = ["target", "folds", "size", "loss", "learning_rate", "steps", "localizer_steps", "seeds"]
pick_arms(experiment.arms, "pretrained_frozen_100", "random_trainable_100")
show_settings(settings, important, arms=experiment.arms_table())

# %% [markdown]
# ## 3 · Split: who is tested?
# *Cross-validation* splits the patients into five folds. Each fold is tested once, by a network trained on the others.
#
# *Data leakage* means that training has seen something of the test set. Here it is easy to miss: an image of phase 1
# may be a test image of phase 2. In the public data 61 photographs are in both sets, and two more are byte-identical
# copies. The fair localizer excludes all of them, the leaky one does not. The paper does not mention this.

# %%
fair, leaky = (experiment.prepared(name) for name in ("localizer", "localizer_leaky"))
prepared = experiment.prepared("pretrained_frozen_10")
print({"fair": len(fair.train), "leaky": len(leaky.train), "tested centers": len(fair.test)})
print({"fold 0 trains on, at the smallest share": len(prepared.train), "and tests": len(prepared.test)})

# %% [markdown]
# ## 4 · Preprocessing, step by step
# The image is converted to gray, normalized, and passed through contrast-limited adaptive histogram equalization
# (CLAHE: evens out local contrast) and gamma correction (brightens dark areas; section 2.1). The order and the
# constants are those of the code that the authors' lab published. (Its normalization changes nothing here, up to
# rounding: the stretch to 0 to 255 that follows cancels it.)

# %%
arm = experiment.arm("pretrained_frozen_100")
steps = arm.data.preprocess
stages = [masks.images[:1], *(preprocess(masks.images, steps[: k + 1], prepared.train)[:1] for k in range(len(steps)))]
small = [resize_images(stage, arm.data.size)[0] for stage in stages]  # the network sees them at this size
shown = figures.plot_steps(dict(zip(("photograph", *steps), small, strict=True)))
report.save_figure("preprocessing", shown, alt="One image after each step of the preprocessing")
show(shown)

# %% [markdown]
# ## 5 · The networks (Figure 1)
# **A U-Net has two halves.** The *encoder* repeats two 3 x 3 convolutions (each pixel becomes a weighted sum of its
# neighborhood, once per *channel*) and halves height and width by *max-pooling* (the largest of each 2 x 2 pixels
# stays): each level sees a larger area, in more channels, at a lower resolution. It learns *what* is in the image. The
# *decoder* doubles the size level by level, until each pixel has a score (*logit*). A sigmoid turns the score into the
# probability $p$ that the pixel is disc; above 0.5 it counts as disc. *Skip connections* copy the features of each
# encoder level to the decoder level of the same size. They tell the decoder *where* the edges are. (The paper calls
# them residual.)
#
# Phase 1 puts a small head on the encoder that outputs the center as (x, y). Phase 2 removes that head and adds the
# decoder. The code below is the library's own. The table then traces the shape of the data: channels, height, width.

# %%
localizer, unet = (experiment.arm(name).model for name in ("localizer", "pretrained_frozen_100"))
layers = [describe_layers(model, (1, *arm.data.size)) for model in (localizer, unet)]
figure1 = figures.plot_two_phases(*layers)
report.save_figure("figure1", figure1, alt="Figure 1: encoder with a head for the center, then with a decoder")
show(figure1)
show_source(Encoder.forward, Decoder.forward)
show_folded("Shape trace through the U-Net, layer by layer", layers[1])

# %% [markdown]
# ## 6 · Train one network by hand
# **Dice** measures the overlap of the predicted mask $A$ and the ground truth $B$. From counts of pixels (true
# positives TP, false positives FP, false negatives FN):
#
# $$\mathrm{Dice} = \frac{2\,|A \cap B|}{|A| + |B|} = \frac{2\,TP}{2\,TP + FP + FN}, \qquad
# \mathrm{IoU} = \frac{TP}{TP + FP + FN}$$
#
# *By hand:* a disc of 4 pixels, a prediction of 6 pixels, 3 of them right. Then TP = 3, FP = 3, FN = 1, so Dice = 6 /
# (6 + 3 + 1) = 0.6. A perfect mask scores 1; no overlap scores 0.
# *IoU* (intersection over union) ranks single masks in the same order; it is smaller than Dice unless both are 0 or 1.
#
# A thresholded mask has no gradient, so the loss uses *soft Dice*, with the probability $p_i$ of each pixel and its
# label $y_i$ (1: disc, 0: background), summed over all pixels of a batch. The paper minimizes its negative logarithm.
# The constant $s = 1$ avoids dividing by zero and taking log 0:
#
# $$L = -\log \frac{2 \sum_i p_i y_i + s}{\sum_i p_i + \sum_i y_i + s}$$
#
# *Overfitting* means that a network memorizes its training images: the loss keeps falling, but scores on new images no
# longer improve. With 10 % of a fold's training masks, a handful, this is the main risk. Now train a U-Net from scratch
# on all training images of fold 0 and watch its *learning curve*: the loss after each step.
#
# The loop below is the library's own, shown with `inspect.getsource`: sample a batch, predict, compute the loss, step.
# To stop early, interrupt the kernel (the square button of the toolbar): the weights so far are kept.

# %%
model, batches = experiment.model("random_trainable_100"), experiment.batches("random_trainable_100")
show_source(pooled_soft_dice, LOSSES[batches.recipe.loss], fit)
run, curve = None if train_live else experiment.finished("random_trainable_100"), LiveCurve()
history = curve.replay(run) if run else fit(model, batches, batches.recipe, device=batches.images.device, watch=curve)

# %% [markdown]
# ## 7 · Train all arms
# Every arm is trained on all its folds and seeds; `_10` means 10 % of the training images. Finished runs are loaded
# from the run store; interrupted runs resume from their last checkpoint.

# %%
runs = experiment.train(workers=workers)
labels = {arm.name: arm.title for arm in experiment.arms}
print(len(runs), "runs,", round(sum(run.settings["seconds"] for run in runs.values())), "seconds in all")

# %% [markdown]
# ## 8 · Phase 1: how far from the center?
# We measure the distance between the predicted and the annotated center, in pixels of a 640 x 425 image and
# in disc diameters. The paper reports squared errors for images whose size it does not report, so they cannot be
# compared. MSE is the mean squared error of x and y.

# %%
localization = report.save_table("localization", experiment.table("localization"))
show(show_comparison(localization, labels))
localizers = {name: labels[name] for name in ("localizer", "localizer_leaky", "localizer_shuffled", "localizer_color")}
errors = figures.plot_point_errors(experiment.scores, localizers, experiment.parameters["pixels"])
validated = experiment.histories.dropna(subset=["mse"]).groupby(["arm", "step"])["mse"].mean().unstack("arm")
show(validated.rename(columns=labels).rename_axis(index="step", columns="MSE on validation images").round(0))
report.save_figure("localization", errors, alt="Error maps of the localizers, and the distribution of distances")
show(errors)

# %% [markdown]
# ## 9 · Phase 2: Dice against the percentage of training images (Figure 2a)
# This plot of score against the amount of data is a *learning curve* over data set sizes. Dice is computed per image
# and then averaged. (*Pooled* Dice would add up the pixels of all images first, so that large discs would weigh more.)
#
# The paper's two arms differ in *two* factors: the start of the encoder, and whether it is frozen. The 2 x 2 design has
# all four combinations, so each factor can be isolated. Freezing covers the weights and the *BatchNorm statistics*, the
# mean and variance by which each channel is normalized. Those of a random encoder fit no image, so the control
# estimates them once from the training images (statistics *calibrated*). The table has more arms: one uses the
# localizer's *output* instead of its features and segments only a window around the predicted center.

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
# A p-value is the probability of a difference at least this large if the two arms were equally good. The paper's paired
# t-test treats images as independent; Wilcoxon's test does the same with ranks. Neither accounts for the fact that all
# images of a fold share one network. The third test does: its interval allows for other patients, folds *and* seeds, as
# do those behind the verdicts of section 12.

# %%
last = experiment.scores[experiment.scores["variant"] == "last"]
pair = ("pretrained_frozen", "random_trainable")
figure2b = report.save_table("figure2b", compare_families(last, shares, [pair]), tidy=False)
show(report.save_figure("figure2b", figures.plot_p_values(figure2b), alt="Figure 2b: p-values of three tests"))

# %% [markdown]
# Is it pretraining or freezing? Each row of the next figure changes one factor, with these exceptions: the paper's
# comparison, with and without equal steps, changes both, and the window arm also has its own training crops. In that
# last row the localizer's *output* tells the U-Net where to look: the window arm sees a window around the predicted
# center, the other arm the whole image in pixels of the same size.

# %%
contrasts = {
    ("pretrained_frozen", "random_trainable"): "the paper's comparison: both at once",
    ("pretrained_trainable", "random_trainable"): "pretraining, both trainable",
    ("pretrained_frozen", "random_frozen"): "pretraining, both frozen",
    ("pretrained_frozen", "pretrained_trainable"): "freezing, both pretrained",
    ("leaky_frozen", "pretrained_frozen"): "the leak: test images seen in phase 1",
    ("pretrained_frozen", "shuffled_frozen"): "the learned centers: against shuffled ones, both frozen",
    ("pretrained_frozen", "random_trainable_longer"): "the paper's comparison at equal steps",
    ("random_frozen", "random_frozen_uncalibrated"): "calibrated statistics, both random and frozen",
    ("window", "whole"): "a window around the predicted center, both at the same pixel size",
}
two_by_two = report.save_table("two_by_two", compare_families(last, shares, list(contrasts)), tidy=False)
shown = figures.plot_contrasts(two_by_two, contrasts)
report.save_figure("two_by_two", shown, alt="Differences of the 2 x 2 design at each percentage of images")
show(shown)

# %% [markdown]
# ## 11 · Behind the means
# The paper's baseline has a mean of 0.84 with an SD of 0.2. So large an SD points to complete failures on some images,
# not to slightly worse masks on all. The number to the right of each row counts the images with a Dice of practically
# 0, averaged over seeds; the table is averaged over seeds, too.

# %%
chosen = {arm: labels[arm] for arm in shares.loc[shares["percent"].isin([10, 100]), "arm"]}
shown = figures.plot_spread(last, chosen)
show(report.save_figure("distribution", shown, alt="Dice of every image, arm by arm"))
show(report.save_table("distribution", spread_over_images(last, chosen), tidy=False).round(3))

# %% [markdown]
# The first figure shows the four worst test images of the random start, with the predictions of the paper's other arm
# and of the window arm. What is mistaken for the disc if the whole image is searched? The browser below it has the test
# images of one fold: move the threshold and see which errors disappear and which appear.
#
# Dice counts pixels, not distances: a thin rim around a whole structure costs as much as one lump far away. **HD95** is
# the 95th percentile of the distances from each outline to the other, the larger of the two directions; **ASSD** is the
# mean distance, **NSD** the share of both outlines that is within 2 pixels of the other ([formulas, and why tools
# disagree](../docs/metrics.md)). The
# probabilities are *calibrated* if they match frequencies: of all pixels given 0.8, 80 % belong to the structure, and
# likewise for every value; **ECE** is the mean gap.

# %%
three = ["window_100", "pretrained_frozen_100", "random_trainable_100"]
images, ground_truth, predicted, names = experiment.predictions(three, num_images=4, pick="worst")
worst = figures.plot_predictions(images, ground_truth, {labels[name]: predicted[name] for name in three}, titles=names)
show(report.save_figure("worst", worst, alt="The four images with the lowest Dice of the random start"))
explore_predictions(*experiment.probabilities(three[1]))
beyond = experiment.beyond_dice(three)
report.save_table("boundaries", beyond.boundaries)
report.save_table("calibration", beyond.calibration, tidy=False)
diagram = figures.plot_reliability(beyond.reliability)
report.save_figure("reliability", diagram, alt="Reliability: predicted probability against the fraction of foreground")
show(show_comparison(beyond.boundaries, labels), beyond.calibration.round(3), diagram)

# %% [markdown]
# ## 12 · Claims and verdicts
# *Replication* claims are tested with the paper's own comparison, *control* claims with the confound removed. The
# verdict follows from the interval of the difference. Synthetic data can support the direction of an effect, never its
# size.
#
# **How to read the result.** "Inconclusive" does not mean "no effect": check whether the interval still contains the
# paper's gain, 0.04. Then compare all four combinations. If pretraining helps only a frozen encoder, or freezing only a
# pretrained one, the two factors *interact*, and neither alone explains the gain. Compare with your guess.

# %%
claims = report.save_claims(experiment.claims())
show(report.save_figure("claims", figures.plot_claims(claims), alt="Estimates and intervals of all claims"))
report.finish(experiment.description())
show(show_claims(claims))

# %% [markdown]
# ## 13 · Your own image
# The saved file of weights contains all that prediction needs. Choose an image of any size with the button, or give its
# path. Does the network find what you see? It only knows the kinds of images it was trained on. Expect lower accuracy
# on others: this is *domain shift*. For teaching and research, not for clinical use. For many images: `retina-kit
# predict`.

# %%
predict_own(Predictor.load(experiment.run_of("pretrained_frozen_100").folder, device=device), path="")

# %% [markdown]
# ## 14 · What differs from the paper, and why
# - The paper's images, taken with a RetCam (a camera for infants), are private. Synthetic images or IDRiD take their
#   place; IDRiD shows adults with diabetic retinopathy, not premature infants.
# - Everything that the paper does not report is ours: five levels, widths, size, dropout, learning rates, batch sizes,
#   numbers of steps, a learning rate that falls to 0, and augmentation by mirroring, resizing and shifting.
# - `lesson` on synthetic images has four levels, and trains phase 2 on crops of 48 pixels, half of them centered on the
#   disc. The settings table lists every difference.
# - The window arm is ours; the paper transfers the localizer's features only.
# - All percentages of images get the same number of steps. With epochs, fewer images would also mean fewer steps.
# - "Frozen" covers weights and BatchNorm statistics. The random, frozen control keeps its initial
#   weights; its statistics are estimated once from the training images, except in the *uncalibrated* arm.
# - The localizer predicts x and y as shares of width and height, with one linear layer ("without activation"); errors
#   are converted to pixels of a 640 x 425 image.
# - Public training centers are the middles of disc boxes that another group annotated; the 103 test centers are the
#   official ones. The two differ by 3.4 of 640 pixels on average, mostly by a constant shift that the localizer learns.
# - Dice is computed at the masks' full size, after the probabilities are enlarged.
#
# ## 15 · Exercises
# Replace `...` with your answer. Each check tells you whether it is right, and why; a wrong answer gets a hint.

# %% [markdown]
# **1.** Which arm differs from `pretrained_frozen_100` only in that its encoder was not pretrained at all?

# %% tags=["exercise"]
experiment.check.only_the_start(...)

# %% tags=["solution"]
experiment.check.only_the_start("random_frozen_100")

# %% [markdown]
# **2.** By how much does pretraining raise the mean Dice if nothing is frozen, with all training images? Compute it
# from `figure2a`.

# %% tags=["exercise"]
experiment.check.gain_of_pretraining(...)

# %% tags=["solution"]
means = figure2a.set_index("arm")["ours_mean"]
experiment.check.gain_of_pretraining(means["pretrained_trainable_100"] - means["random_trainable_100"])

# %% [markdown]
# **3.** The paper has 92 images with a mask and five folds. About how many images are 10 % of a training fold?

# %% tags=["exercise"]
experiment.check.ten_percent(...)

# %% tags=["solution"]
experiment.check.ten_percent(0.1 * 92 * 4 / 5)

# %% [markdown]
# **4.** The paper reports a validation mean squared error (MSE) of 132.16 pixels squared for the localizer. If that is
# the mean over x and y, what is the root mean square distance to the center, in pixels?

# %% tags=["exercise"]
experiment.check.distance_from_mse(...)

# %% tags=["solution"]
experiment.check.distance_from_mse((2 * 132.16) ** 0.5)

# %% [markdown]
# **5.** Design the control. A pretrained network was trained for the localizer's steps as well as its own. Build
# a random, trainable arm (100 %) with the same number in total from `random_trainable_100`, as
# `random_trainable_longer_100` was built. An arm is a dictionary: `name`, the arm it is
# `like`, and what it changes, such as `{"name": "mine", "like": "random_frozen_100", "recipe.steps": 50}`.

# %% tags=["exercise"]
experiment.check.control_for_updates(...)

# %% tags=["solution"]
steps = sum(experiment.arm(name).recipe.steps for name in ("localizer", "random_trainable_100"))
experiment.check.control_for_updates({"name": "random_longer", "like": "random_trainable_100", "recipe.steps": steps})

# %% [markdown]
# **Going further:** set `overrides = {"steps": 20}` and run everything again: which arm loses most, and why? Set `seeds
# = [0, 3, 4]`: how much does another random 10 % of the images change? How large would the leak have to be to explain
# the paper's gain? Take your guess from the top: what did the control show, and what would change your mind?
