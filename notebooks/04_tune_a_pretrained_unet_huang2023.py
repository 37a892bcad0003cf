# %% [markdown]
# # Tune a pretrained vessel network for macular fluid
#
# **Reproduces** J. Huang, A. Kumar, J. Zheng, *Transfer learning for Domain Adaptation* (2023).
#
# **The question.** A network has learned to find vessels in fundus photographs. Does this help it to find fluid in OCT
# scans of eyes with diabetic macular edema? The two kinds of images look nothing alike.

# %% tags=["colab"]
import os
import sys

if "google.colab" in sys.modules or "KAGGLE_KERNEL_RUN_TYPE" in os.environ:  # keep the installed libraries
    # %pip install --quiet --no-deps ./retina-kit
    pass

# %%
from retina_kit.data.synthetic.fundus import generate_fundus
from retina_kit.data.synthetic.oct import generate_oct
from retina_kit.reporting import figures
from retina_kit.teaching.widgets import show

eye, scan = generate_fundus(1, 1, (288, 384), lesions=False, seed=5), generate_oct(1, 1, (288, 384), fluid=2.0, seed=4)
panels = {"source: vessels": (eye.images[0], eye.masks["vessels"][0])}
panels |= {"target: fluid": (scan.images[0], scan.masks["fluid"][0])}
show(figures.plot_panels(panels), alt="A synthetic fundus photograph with its vessels, and an OCT scan with its fluid")

# %% [markdown]
# **The claim.** The paper *fine-tunes* (continues to train) a vessel network for 200 steps and trains another from
# scratch for 2000. It reports that the fine-tuned network is as good or better after a tenth of the steps.
#
# **The problem.** The networks differ in their start *and* in their number of steps, so these two factors are
# *confounded*. There is one seed, and the test set has two patients. The control arms equalize the steps and test every
# patient.
#
# **Your guess, before any result.** Write down: With equally many steps, does the vessel network still win? Is its lead
# larger or smaller than the difference between two seeds of one network? How much depends on who is tested?
#
# **You will** reproduce the paper's tables, see them next to the published values, then run the control arms. **You
# need** Python, two CPU cores and a few minutes (*Run > Run All Cells*). No data are downloaded: by default the images
# are synthetic, and so are all scores that follow. `data = "public"` uses the paper's own scans and takes hours.

# %%
import torch

from retina_kit.experiment import Experiment
from retina_kit.models.build import build_model, count_parameters, describe_layers
from retina_kit.models.unet_s5_d16 import Backbone
from retina_kit.prediction.predictor import Predictor
from retina_kit.reporting.report import Report
from retina_kit.reporting.tables import show_comparison, show_claims
from retina_kit.teaching.widgets import LiveCurve, browse_images, explore_predictions, pick_arms, predict_own
from retina_kit.teaching.widgets import show_folded, show_settings, show_source
from retina_kit.training.loop import fit
from retina_kit.training.losses import LOSSES

# %% [markdown]
# ## 1 · Setup
# A *profile* sets the size of a run. `smoke` only checks that everything executes (ignore its scores), `lesson` shows
# the trends in minutes, `paper` uses the published hyperparameters (ours where none is reported) and needs a GPU. A
# *hyperparameter* is a setting that training does not learn, such as the learning rate. Terms are defined in the
# [glossary](../docs/glossary.md).

# %% tags=["parameters"]
profile = "lesson"  # smoke, lesson or paper
data = "synthetic"  # synthetic, public or paper
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
# The *target* shows fluid, the *source* vessels. Choose the data set, the patient and the image, and switch the *ground
# truth* (what counts as correct) and the masks of the graders on and off.

# %%
options = {"data_root": data_root, "output_root": output_root, "seeds": seeds, "device": device, "precision": precision}
experiment = Experiment("huang2023", profile, data, overrides=overrides, **options)
report = Report(experiment.folder)
settings = report.save_table("table5", experiment.settings(), tidy=False)
target, source = experiment.images("psp_chase", graders=True), experiment.images("vessels_psp_chase_db1")
browse_images({"target": target, "source": source})

# %% [markdown]
# **What matters here.** An **arm** is one experimental condition: data, network, start and training settings. One arm
# with one seed is a **run**. A *replication arm* does what the paper's code did; a *control arm* removes one confound.
# Pick two arms: a fair comparison differs in *one* factor.

# %%
important = ["target", "target_split", "steps", "long_steps", "batch_size", "learning_rate", "loss", "seeds"]
pick_arms(experiment.arms, "fcn_stare", "fcn_scratch_long")
show_settings(settings, important, arms=experiment.arms_table())

# %% [markdown]
# ## 3 · Split: who is tested?
# Neighboring B-scans of one eye are near-copies. A split by image puts such copies in both sets: *data leakage*. Our
# split is by patient, so no bar below has two colors.
#
# How well do two people agree? We measure this *inter-rater agreement* by their pooled Dice. It does not limit the
# network's score here: the ground truth is what either of them marked, and against that the real graders themselves
# have 0.82 and 0.91. Real scans have two graders; synthetic scans have two imperfect annotators.

# %%
prepared = experiment.prepared("psp_chase")
show(figures.plot_split(target.rows, prepared.train, prepared.test), alt="Training and test scans of each patient")
fluid = target.rows.assign(fluid=100 * prepared.masks.mean(axis=(1, 2))).groupby("patient")["fluid"].mean().round(2)
show(fluid.to_frame("%").T, report.save_table("graders", experiment.graders("psp_chase"), tidy=False).round(3))

# %% [markdown]
# ## 4 · Augmentation
# Each batch is randomly resized, cropped and mirrored (section 3.3.2). With few images this works against
# *overfitting*: the network cannot memorize its training images if it never sees the same one twice. The paper's arm
# without augmentation was trained on half-size scans.

# %%
arm = experiment.arm("psp_chase")
recipe = arm.recipe
batches = experiment.batches("psp_chase")
crops, crop_targets = batches.sample(0)
shown = (crops[:, :1] * batches.std + batches.mean).clamp(0, 255).byte().cpu().numpy()
show(figures.plot_images(shown, crop_targets.cpu().numpy() == 1), alt="A batch of augmented crops with their fluid")

# %% [markdown]
# ## 5 · The network
# **A U-Net has two halves.** The *encoder* repeats two 3 x 3 convolutions and halves the image by max-pooling: it
# learns *what* is in the image. The *decoder* doubles the size stage by stage. *Skip connections* concatenate the
# encoder's features of the same size: they tell the decoder *where* the edges are. This U-Net has five stages, and one
# of three *heads* turns its features into two scores (*logits*) per pixel, background and fluid: FCN (a 3 x 3
# convolution), PSP (adds means over parts of the image) or ASPP (adds dilated convolutions, which look farther away).
# At full width the number of weights must equal the original's. The code is the library's own; the folded table traces
# the shape of the data.

# %%
with torch.device("meta"):
    sizes = {
        head: count_parameters(build_model({"name": "unet_s5_d16", "head": head})) for head in ("fcn", "psp", "aspp")
    }
model = experiment.model("psp_chase")
print({"full width": sizes, "this run": count_parameters(model)})
show_source(Backbone.forward)
show_folded("Shape trace, layer by layer", describe_layers(arm.model, crops.shape[1:]))

# %% [markdown]
# ## 6 · Train one network by hand
# **Dice** measures the overlap of a predicted mask and the ground truth, **IoU** is its close relative. With true
# positives TP, false positives FP and false negatives FN:
#
# $$\mathrm{Dice} = \frac{2\,TP}{2\,TP + FP + FN}, \qquad \mathrm{IoU} = \frac{TP}{TP + FP + FN}, \qquad
# \mathrm{Dice} = \frac{2\,\mathrm{IoU}}{1 + \mathrm{IoU}}$$
#
# *By hand:* 4 pixels of fluid, 6 predicted, 3 of them right: TP = 3, FP = 3, FN = 1, Dice = 6 / 10 = 0.6, IoU = 3 / 7.
# *Pooled* scores add up the pixels of all images first; a *per-image mean* gives each image the same weight.
#
# Training needs a gradient. The paper compares *cross-entropy* with a *soft Dice* that puts both classes into one sum
# ($p_{ic}$ is the predicted probability of class $c$ at pixel $i$, $y_{ic}$ is 1 for the true class and 0 otherwise):
#
# $$L_{CE} = -\frac{1}{n} \sum_{i,c} y_{ic} \log p_{ic}, \qquad
# L_{Dice} = 1 - \frac{2 \sum_{i,c} p_{ic} y_{ic}}{\sum_{i,c} p_{ic}^2 + \sum_{i,c} y_{ic}^2}$$
#
# Our control counts fluid only ($p_i$, $y_i$; $s = 1$ avoids dividing by zero):
#
# $$L = 1 - \frac{2 \sum_i p_i y_i + s}{\sum_i p_i + \sum_i y_i + s}$$
#
# The loop below is the library's own, shown with `inspect.getsource`: sample a batch, predict, compute the loss, step.
# To stop early, interrupt the kernel (the square button of the toolbar): the weights so far are kept.

# %%
model = experiment.model("psp_chase")
show_source(LOSSES[recipe.loss], LOSSES["dice_all_classes"], fit)
run, curve = None if train_live else experiment.finished("psp_chase"), LiveCurve()
history = curve.replay(run) if run else fit(model, batches, recipe, device=batches.images.device, watch=curve)

# %% [markdown]
# ## 7 · Train all arms
# Finished runs are loaded from the run store; interrupted runs resume from their last checkpoint.

# %%
runs = experiment.train(workers=workers)
labels = {arm.name: arm.title for arm in experiment.arms}
seconds = sum(run.settings["seconds"] for run in runs.values())
print(f"{len(runs)} runs, {seconds:.0f} seconds of training in all")

# %% [markdown]
# ## 8 · Tables, compared with the published values
# Scores are pooled over all test pixels, as in the paper. SD is over seeds. The interval is over patients and seeds or,
# for the paper's two test patients, over seeds alone. Two columns of the paper's tables are swapped; the notes name
# them. We report the final checkpoint. The paper's tables look like the best checkpoint, chosen on the test scans
# themselves; the tables whose names end in `_best` have ours. Table 1 compares the starts.

# %%
table1 = report.save_table("table1", experiment.table("table1"))
best = [report.save_table(f"table{n}_best", experiment.table(f"table{n}", variant="best")) for n in (1, 2, 3, 4)]
shown = figures.plot_comparison(table1, labels=labels)
show(report.save_figure("table1", shown, alt="Table 1: with and without vessels"), show_comparison(table1, labels))

# %% [markdown]
# Table 2 is about batch size, Table 3 about augmentation, Table 4 about the loss.

# %%
for name, alt in (("table2", "Table 2: batch size"), ("table3", "Table 3: augmentation"), ("table4", "Table 4: loss")):
    table = report.save_table(name, experiment.table(name))
    shown = report.save_figure(name, figures.plot_comparison(table, labels=labels), alt=alt)
    show(shown, show_comparison(table, labels))

# %% [markdown]
# ## 9 · Figures 1 and 2: validation while training
# *Learning curves*: mean IoU of background and fluid against the step, as in the paper. Predicting no fluid at all
# already gives about 0.495 on real scans and a little less on synthetic ones. On synthetic scans each arm is validated
# only twice.

# %%
both = ("aspp_chase", "fcn_stare")
chosen = {
    "figure1": {arm: label for arm, label in labels.items() if "bs" in arm or arm in both},
    "figure2": {arm: label for arm, label in labels.items() if arm.endswith("no_augmentation") or arm in both},
}
for name, what in (("figure1", "for batch sizes 2, 4 and 8"), ("figure2", "with and without augmentation")):
    report.save_table(name, experiment.curves(chosen[name]), tidy=False)
    published = experiment.published_curves(name)
    figure = figures.plot_validations(experiment.histories, "miou", chosen[name], published=published)
    show(report.save_figure(name, figure, alt=f"Figure {name[-1]}: validation mIoU {what}"))

# %% [markdown]
# ## 10 · Qualitative results
# Figure 4 of the authors' poster shows four networks; here are four of ours. Below them is one of the four, its worst
# images first. The threshold is a choice, too: move it.

# %%
four = ["fcn_scratch_long", "fcn_stare_long", "psp_chase", "psp_chase_fluid_dice"]
report.save_table("poster", experiment.table("poster"))
images, ground_truth, predicted, names = experiment.predictions(four, num_images=4)
poster = figures.plot_predictions(images, ground_truth, {labels[name]: predicted[name] for name in four}, titles=names)
report.save_figure("poster_figure4", poster, alt="Poster figure 4: ground truth and predictions of four networks")
show(poster)
images, ground_truth, predicted, names = experiment.predictions(["psp_chase_fluid_dice"], num_images=4, pick="worst")
worst = figures.plot_predictions(
    images, ground_truth, {"Dice of the fluid only": predicted["psp_chase_fluid_dice"]}, titles=names
)
show(report.save_figure("worst", worst, alt="The four worst test images"))
explore_predictions(*experiment.probabilities("psp_chase_fluid_dice"))

# %% [markdown]
# Dice counts pixels, not distances: a thin rim around a whole structure costs as much as one lump far away. **HD95** is
# the 95th percentile of the distances from each outline to the other, the larger of the two directions; **ASSD** is the
# mean distance, **NSD** the share of both outlines that is within 2 pixels of the other ([formulas, and why tools
# disagree](../docs/metrics.md)). The probabilities are *calibrated* if they match frequencies: of all pixels given 0.8,
# 80 % belong to the structure, and likewise for every value; **ECE** is the mean gap.

# %%
beyond = experiment.beyond_dice(["fcn_scratch", "fcn_stare"])
report.save_table("boundaries", beyond.boundaries)
report.save_table("calibration", beyond.calibration, tidy=False)
diagram = figures.plot_reliability(beyond.reliability)
report.save_figure("reliability", diagram, alt="Reliability: predicted probability against the fraction of foreground")
show(show_comparison(beyond.boundaries, labels), beyond.calibration.round(3), diagram)

# %% [markdown]
# The paper tests on two patients. The control tests every patient once: real ones two at a time, synthetic ones
# half of them at a time. This shows how much the score depends on who is tested.

# %%
left_out = report.save_table("left_out", experiment.table("left_out"))
report.save_table("imagenet", experiment.table("imagenet"))
last = experiment.scores[experiment.scores["variant"] == "last"]
shown = ("fcn_stare", "fcn_stare_left_out", "fcn_scratch_left_out")
patients = figures.plot_dice_of_patients(last, {name: labels[name] for name in shown})
report.save_figure("patients", patients, alt="Dice of every test image, by patient")
show(patients, show_comparison(left_out, labels))

# %% [markdown]
# ## 11 · Claims and verdicts
# *Replication* claims are tested with the paper's own comparison, *control* claims with the confound removed. The
# verdict follows from the interval of the difference. Synthetic data can support the direction of an effect, never its
# size. Compare with your guess.

# %%
claims = report.save_claims(experiment.claims())
show(report.save_figure("claims", figures.plot_claims(claims), alt="Estimates and intervals of all claims"))
report.finish(experiment.description())
show(show_claims(claims))

# %% [markdown]
# ## 12 · Your own image
# The saved file of weights contains all that prediction needs. Choose an image of any size with the button, or give its
# path. Does the network find what you see? It only knows the kinds of images it was trained on. Expect lower accuracy
# on others: this is *domain shift*. For teaching and research, not for clinical use. For many images: `retina-kit
# predict`.

# %%
predict_own(Predictor.load(experiment.run_of("fcn_stare").folder, device=device), path="")

# %% [markdown]
# ## 13 · What differs from the paper, and why
# - The paper's "epochs" are iterations (its code); here they are called steps.
# - Its "DeepLabV3+" is DeepLabV3 (the ASPP head); its ground truth is the union of two graders, not one expert.
# - Its vessel networks were downloaded; here they are trained first. Cityscapes weights are not part of the kit, so the
#   poster's Cityscapes network is left out; HRF arms need the data set `hrf`.
# - Test windows are as large as those of the source networks, not as the training crop; the variant `last_whole` in
#   `scores` uses whole scans instead.
# - The code rounds a resized image to whole pixels and enlarges logits where we enlarge probabilities; both matter at
#   the edges of masks only. It takes the first ten photographs of STARE for training, we take a random half.
# - Processors and GPUs that compute faster in bfloat16 train in it, the paper in float32: set `precision = "float32"`.
# - The code's history has other batch sizes and one output channel in early versions. Nobody knows which version made
#   which table; we follow the last one and the paper's Table 5.
# - `lesson` centers every crop on fluid if the scan has any; the paper's crops are uniform. Its long arms have three
#   times the steps of the short ones, the paper's ten times.
# - `lesson` uses a quarter of the width, small scans (real ones at a third of their size), Adam, and a Dice loss of the
#   fluid in all tables but Table 4: after few steps of cross-entropy hardly any pixel reaches 0.5. The settings table
#   lists every difference.
#
# ## 14 · Exercises
# Replace `...` with your answer. Each check tells you whether it is right, and why; a wrong answer gets a hint.

# %% [markdown]
# **1.** Which arm of Table 1 is trained for exactly as many steps as `fcn_stare` and differs from it in nothing but the
# start? The arm picker and the table of arms are in section 2.

# %% tags=["exercise"]
experiment.check.equal_updates(...)

# %% tags=["solution"]
experiment.check.equal_updates("fcn_scratch")

# %% [markdown]
# **2.** By how much is the pooled Dice of `fcn_stare` above that of its control, in this run? Compute it from `table1`.

# %% tags=["exercise"]
experiment.check.gain_of_vessels(...)

# %% tags=["solution"]
means = table1.set_index(["arm", "metric"])["ours_mean"]
experiment.check.gain_of_vessels(means["fcn_stare", "dice"] - means["fcn_scratch", "dice"])

# %% [markdown]
# **3.** For cross-entropy, Table 4 reports IoU 45.29, Dice 65.25 and accuracy 62.34 (in percent). Dice and IoU come
# from the same pixels: which Dice follows from that IoU?

# %% tags=["exercise"]
experiment.check.dice_from_iou(...)

# %% tags=["solution"]
iou = 45.29 / 100
experiment.check.dice_from_iou(100 * 2 * iou / (1 + iou))

# %% [markdown]
# **4.** One percent of a scan is fluid. What is the loss `dice_all_classes` (1 - Dice, both classes in one sum) of a
# network that predicts no fluid anywhere? (Then look at Table 4 again.)

# %% tags=["exercise"]
experiment.check.price_of_nothing(...)

# %% tags=["solution"]
experiment.check.price_of_nothing(1 - 2 * 0.99 / (1 + 1))

# %% [markdown]
# **5.** Design the control. `fcn_stare` has learned vessels, but perhaps learning *any* structure first would help as
# much. Which two arms test this? Each is a dictionary: `name`, the arm it is `like`, and what it changes, such as
# `{"name": "mine", "like": "fcn_stare", "recipe.steps": 50}`.

# %% tags=["exercise"]
experiment.check.control_for_vessels(...)

# %% tags=["solution"]
disc = {"name": "disc_fcn_stare", "like": "vessels_fcn_stare", "data.mask": "disc"}
tuned = {"name": "fcn_stare_disc", "like": "fcn_stare", "start.parent": "disc_fcn_stare"}
experiment.check.control_for_vessels([disc, tuned])

# %% [markdown]
# **Going further:** set `overrides = {"steps": 50}` or `seeds = [0, 3, 4]` in section 1 and run everything again: does
# the gain of exercise 2 grow, shrink, or disappear in the spread over seeds? With `data = "public"`, `overrides =
# {"target_mask": "grader2"}` asks whose opinion the network learned. Compare with your guess: what did the control
# show?
