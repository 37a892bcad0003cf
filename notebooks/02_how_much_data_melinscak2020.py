# %% [markdown]
# # How much data, and does transfer help?
#
# **Reproduces** M. Melinščak et al., *Retinal OCT image segmentation: how well do algorithms generalize or how
# transferable are the data?* (MIPRO 2020).
#
# **The question.** Annotating an OCT scan is expensive. How many annotated scans does a U-Net need to segment fluid,
# and does it help to train on scans from another source first (*transfer learning*)?

# %% tags=["colab"]
import os
import sys

if "google.colab" in sys.modules or "KAGGLE_KERNEL_RUN_TYPE" in os.environ:  # keep the installed libraries
    # %pip install --quiet --no-deps ./retina-kit
    pass

# %%
from retina_kit.data.synthetic.oct import generate_oct
from retina_kit.reporting import figures
from retina_kit.teaching.widgets import show

scans = [generate_oct(1, 1, (240, 320), device="cirrus", gap=gap, fluid=2.0, seed=6) for gap in (1, 0)]
titles = ("source: another device, many scans", "target: few annotated scans")
panels = {title: (scan.images[0], scan.masks["fluid"][0]) for title, scan in zip(titles, scans, strict=True)}
show(figures.plot_panels(panels), alt="The same synthetic eye scanned by two devices, with the outlines of its fluid")

# %% [markdown]
# **The claim.** The paper trains on 256, 512 or 1000 B-scans, from scratch and after pretraining. It reports that more
# data help and that transfer helps.
#
# **The problem.** If training is counted in *epochs*, more data bring more training steps, and pretraining adds steps,
# too. Data, transfer and steps are *confounded*. The paper also splits by B-scan, so neighbors of test scans are in the
# training set (*data leakage*). The control arms train from a random start for as many steps as transfer takes with the
# same number of scans. All arms but one are split by patient; that one shows how much the leak adds.
#
# **Your guess, before any result.** Write down: With equally many steps, does transfer still help? Does it help most
# with the smallest or with the largest training set? How much does the leak add to the score?
#
# **You will** compare scores with published ones, add the controls, and vary the gap between the devices yourself.
# **You need** Python, two CPU cores and a few minutes (*Run > Run All Cells*). No data are downloaded: by default the
# scans are synthetic, and so are all scores that follow. `data = "public"` uses real scans as the target and takes
# hours.

# %%
import numpy as np
import torch

from retina_kit.data.splits import shared_patients
from retina_kit.experiment import Experiment
from retina_kit.teaching.domain_gap import generate_gap, train_across_gap
from retina_kit.models import build, filters, unet
from retina_kit.prediction.predictor import Predictor
from retina_kit.reporting.report import Report
from retina_kit.reporting.tables import show_comparison, show_claims
from retina_kit.teaching.widgets import LiveCurve, browse_images, explore_predictions, pick_arms, predict_own
from retina_kit.teaching.widgets import show_folded, show_settings, show_source
from retina_kit.teaching.widgets.gap_explorer import explore_domain_gap
from retina_kit.training import loop, losses

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
overrides = {}  # any parameter of the experiment, such as {"gap": 0.4}
train_live = True  # False: section 7 shows the curve of the finished run, if the run store has it

# %% [markdown]
# ## 2 · Look at the data: Figure 1
# An OCT *B-scan* is a slice through the retina. Fluid collects under the pigment epithelium (PED), under the retina
# (SRF) and inside it (IRF), and fills about two percent of a scan. The paper merges the three into one class. The
# colored areas are the *ground truth*: what an expert annotated. The public scans have two graders instead of three
# classes. The lesson's small networks get small scans, so the pixels look large.

# %%
options = {"data_root": data_root, "output_root": output_root, "seeds": seeds, "device": device, "precision": precision}
experiment = Experiment("melinscak2020", profile, data, overrides=overrides, **options)
report = Report(experiment.folder)
settings = experiment.settings()
target = experiment.images("scratch_large", masks=experiment.parameters["fluids"])
largest = np.argsort([-mask.sum() for mask in np.logical_or.reduce(list(target.masks.values()))])[:12:4]
some = target.subset(largest)
figure1 = figures.plot_classes(some.images, some.masks, titles=some.rows["id"])
show(report.save_figure("figure1", figure1, alt="Figure 1: B-scans with their fluids, whole and cropped"))
browse_images(target)

# %% [markdown]
# **What matters here.** An **arm** is one experimental condition: data, network, start and training settings. One arm
# with one seed is a **run**. A *replication arm* does what the paper did; a *control arm* removes one confound. Arms
# without steps score the source model as it is; on the target this is called *zero-shot*. Pick two arms: a fair
# comparison differs in *one* factor. Steps include pretraining.

# %%
important = ["sizes", "scratch_epochs", "source_epochs", "tuning_epochs", "target_split", "learning_rate", "seeds"]
pair = ("transfer_small", "scratch_small_equal_updates")
pick_arms(experiment.arms, *pair, num_steps=lambda name: len(experiment.batches(name)))
show_settings(settings, important, arms=experiment.arms_table())

# %% [markdown]
# ## 3 · The gap between two devices
# A network trained on one device often fails on another: this is *domain shift*. The images show one synthetic eye,
# first as the target's device sees it (gap 0), then more and more as the other device does (gap 1). The setting `gap`
# sets how far the source scans are from the target; change it with `overrides = {"gap": 0.4}`.
#
# Now change device, gap, noise and annotator yourself. The button trains a tiny U-Net on the source and fine-tunes it
# on the target. How does it score before and after? Noise makes a gap, too: 1 is the device's own noise, 0 is none.

# %%
eyes = {g: generate_oct(1, 1, (160, 160), device="cirrus", gap=g, fluid=2.0, seed=4) for g in (0, 0.25, 0.5, 0.75, 1)}
panels = {f"gap {gap:g}": (eye.images[0], eye.masks["fluid"][0]) for gap, eye in eyes.items()}
show(figures.plot_panels(panels, cell=2.4), alt="One eye with its fluid at five gaps, 0 to 1")
explore_domain_gap(generate_gap, train_across_gap)

# %% [markdown]
# ## 4 · How well do people agree? Figure 2
# In the paper, 75 scans were annotated again by the same expert (*intra-rater agreement*, Dice 0.889) and by another
# (*inter-rater agreement*, 0.822). This is a practical upper bound for a network: a higher score only means that it
# imitates one annotator. Synthetic scans have two imperfect annotators, one of them twice; the public set has two.

# %%
seen = experiment.images("scratch_large", masks=experiment.parameters["graders"]).subset(largest[:2])
figure2 = figures.plot_annotators(seen.images, seen.masks, titles=seen.rows["id"])
show(report.save_figure("figure2", figure2, alt="Figure 2: two scans with the outlines of each annotator"))
show(report.save_table("figure2", experiment.graders("scratch_large"), tidy=False).round(3))

# %% [markdown]
# ## 5 · Split: who is tested?
# The authors' script shuffles B-scans, so neighbors of nearly every test scan are in the training set. That is *data
# leakage*: neighboring B-scans are near-copies. Here the split is by patient. Two arms test every
# scan once, one split by patient, one by B-scan. The training sets are nested: the small one is part of the large one.

# %%
prepared, leaky = experiment.prepared("scratch_by_patient"), experiment.prepared("scratch_by_scan")
show(figures.plot_split(prepared.rows, prepared.train, prepared.test), alt="Training and test scans of each patient")
shared = [len(shared_patients(p.rows, p.train, p.test)) for p in (prepared, leaky)]
print(f"patients on both sides: {shared[0]} split by patient, {shared[1]} split by B-scan")

# %% [markdown]
# ## 6 · The network
# **A U-Net has two halves.** The *encoder* repeats two 3 x 3 convolutions and halves the image by max-pooling: it
# learns *what* is in the image. The *decoder* doubles the size level by level until each pixel gets a score (*logit*).
# *Skip connections* concatenate the encoder's features of the same size: they tell the decoder *where* the edges are.
#
# The paper's network has five levels, no normalization and no dropout (commented out in the published code): 7,759,521
# weights. The lesson's is narrower and uses BatchNorm. The code is the library's own; the table traces the shape of the
# data (channels, height, width) through the network.

# %%
with torch.device("meta"):
    published = build.count_parameters(build.build_model({"name": "unet"}))
model, batches = experiment.model("scratch_large"), experiment.batches("scratch_large")
print(f"{published:,} weights in the paper, {build.count_parameters(model):,} in this run")
show_source(unet.Encoder.forward, unet.Decoder.forward)
arm, recipe = experiment.arm("scratch_large"), batches.recipe
share = prepared.targets[prepared.train].float().mean().item()
show_folded("Shape trace, layer by layer", build.describe_layers(arm.model, batches.images.shape[1:]))

# %% [markdown]
# ## 7 · Train one network by hand
# **Dice** measures the overlap of a predicted mask $A$ and the ground truth $B$, and **IoU** is its close relative:
#
# $$\mathrm{Dice} = \frac{2\,|A \cap B|}{|A| + |B|} = \frac{2\,TP}{2\,TP + FP + FN}, \qquad
# \mathrm{IoU} = \frac{TP}{TP + FP + FN}, \qquad \mathrm{Dice} = \frac{2\,\mathrm{IoU}}{1 + \mathrm{IoU}}$$
#
# *By hand:* 4 pixels of fluid, 6 predicted, 3 of them right: TP = 3, FP = 3, FN = 1, Dice = 6 / 10 = 0.6.
#
# Training needs a gradient, so the loss is *soft Dice*, with probabilities $p_i$ instead of a thresholded mask, over
# all pixels of the batch ($y_i$ is the label, $s = 1$):
#
# $$L = 1 - \frac{2 \sum_i p_i y_i + s}{\sum_i p_i + \sum_i y_i + s}$$
#
# An untrained network predicts 0.5 everywhere. With a fraction $f$ of fluid the first loss is about $1 - f / (f +
# 0.5)$. There is no augmentation: the paper left it out to isolate the effect of the amount of data. Watch the
# *learning curve*. If the loss falls but new scans get no better, the network *overfits*: it memorizes its training
# scans.
#
# The loop below is the library's own, shown with `inspect.getsource`: sample a batch, predict, compute the loss, step.
# To stop early, interrupt the kernel (the square button of the toolbar): the weights so far are kept.

# %%
show_source(losses.soft_dice, losses.pooled_soft_dice, loop.fit)
model, run, curve = experiment.model(arm.name), None if train_live else experiment.finished(arm.name), LiveCurve()
history = curve.replay(run) if run else loop.fit(model, batches, recipe, device=batches.images.device, watch=curve)
print(f"first loss {history['loss'].iloc[0]:.3f}, expected about {1 - share / (share + 0.5):.3f}")

# %% [markdown]
# ## 8 · Train all arms
# Finished runs are loaded from the run store; interrupted runs resume from their last checkpoint.
#
# Does our loss behave like theirs? It should stay near its first value at the beginning, then fall. The dotted lines
# were digitized from a plot in the authors' notebook (70 epochs, smoothed).

# %%
runs = experiment.train(workers=workers)
labels = {arm.name: arm.title for arm in experiment.arms}
seconds = sum(run.settings["seconds"] for run in runs.values())
print(f"{len(runs)} runs, {seconds:.0f} seconds of training in all")
loss_values = experiment.histories.groupby("arm", sort=False)["loss"].agg(first="first", lowest="min", last="last")
shown = {name: labels[name] for name in ("source", "scratch_large", "transfer_large")}
log = experiment.published.curves("notebook_curve_b")
figure = figures.plot_losses(experiment.histories, shown, published=log)
show(report.save_figure("losses", figure, alt="Training loss of three arms, compared with the authors' log"))
show(report.save_table("losses", loss_values.reset_index(), tidy=False).round(3))

# %% [markdown]
# ## 9 · Figure 4: Dice against the number of training scans
# Dice per image, averaged over the test images. (*Pooled* Dice adds up the pixels of all images first.) `dice` uses a
# threshold of 0.5. `dice_half_thresholded` is what the authors' code computes: probabilities above 0.5 become 1, those
# up to 0.5 stay as they are, so residual background probability lowers the score. `dice_nonempty` is the mean over the
# scans that contain fluid, which the claims use; `false_alarms` is the share of scans without fluid in which some is
# predicted.
#
# What does ± mean? The paper calls it SEM, but 0.27 is too large for a standard error of 224 scores between 0 and 1: it
# is the standard deviation (SD). The SD tells how much single images differ; the standard error tells how precise the
# mean is. First figure: with SD, as in the paper. Second figure: with the 95 % interval of the mean, which allows for
# other patients *and* other seeds.
#
# ## 10 · The source model in and out of its domain
# Without fine-tuning, the paper's source model falls from 0.717 on its own training scans to 0.348 on the target's:
# domain shift, plus whatever it memorized. Ours is in the last table below.

# %%
figure4 = report.save_table("figure4", experiment.table("figure4"))
show(show_comparison(figure4, labels))
spreads = report.save_table("figure4_spreads", experiment.by_size("figure4"), tidy=False)
starts = ("scratch", "transfer")
lines = {start: [arm for arm in spreads["arm"] if arm.startswith(start)] for start in starts}
with_sd = figures.plot_dice_by_size(spreads, lines, spread="sd_of_images")
show(
    report.save_figure(
        "figure4_as_printed", with_sd, alt="Figure 4 with standard deviations, which the paper calls SEM"
    )
)
figure = figures.plot_dice_by_size(spreads, lines)
show(report.save_figure("figure4", figure, alt="Figure 4: Dice against training set size, with 95 % intervals"))
source_model = report.save_table("source_model", experiment.table("source_model"))
show(show_comparison(source_model, labels))

# %% [markdown]
# ## 11 · Figure 3: one scan, all networks

# %%
sizes = ("small", "medium", "large")
above, below = [f"scratch_{n}" for n in sizes], ["source_on_target", *[f"transfer_{n}" for n in sizes]]
images, ground_truth, predicted, names = experiment.predictions([*above, *below], num_images=1, pick="largest")
rows = [{labels[arm]: predicted[arm][0] for arm in row} for row in (above, below)]
figure3 = figures.plot_one_image(images[0], ground_truth[0], rows)
show(
    report.save_figure(
        "figure3", figure3, alt="Figure 3: one test scan, its ground truth and the masks of all networks"
    )
)

# %% [markdown]
# ## 12 · Figure 5: feature visualization
# *Activation maximization*: change an input by gradient ascent until it excites a filter most. The paper calls layers
# 10, 13 and 16 the decoder; layer 10 is still the bottleneck. If a filter never responds, its input stays at the
# initial noise.

# %%
layers, num_steps = experiment.parameters["filter_layers"], experiment.parameters["filter_steps"]
networks = {labels[arm]: experiment.trained(arm) for arm in ("scratch_small", "source", "transfer_small")}
liked = {
    label: [
        filters.as_images(filters.maximize_filters(network, layer, num_steps=num_steps)).cpu().numpy()
        for layer in layers
    ]
    for label, network in networks.items()
}
figure5 = figures.plot_filters(liked, [f"convolution {layer}" for layer in layers])
show(
    report.save_figure(
        "figure5", figure5, alt="Figure 5: inputs that excite filters of six layers most, three networks"
    )
)

# %% [markdown]
# ## 13 · Controls: what the paper's comparison left open
# Transfer has more steps in total (pretraining plus fine-tuning), so one control trains from scratch for equally many.
# On synthetic data, another trains on twice the target scans instead of on scans of another device. One arm uses the
# loss that the paper reports as worse, binary cross-entropy. The last two test every scan once, split by patient and by
# B-scan: how much does the leak add?

# %%
controls = report.save_table("controls", experiment.table("controls"))
figure = figures.plot_comparison(controls, labels=labels)
show(report.save_figure("controls", figure, alt="Controls: equal steps, more of the same, loss, split by B-scan"))
show(show_comparison(controls, labels))

# %% [markdown]
# ## 14 · The worst images
# These are the test images on which the network with source scans and most target scans scores lowest. Move the
# threshold: which errors disappear, and which appear?
#
# Dice counts pixels, not distances: a thin rim around a whole structure costs as much as one lump far away. **HD95** is
# the 95th percentile of the distances from each outline to the other, the larger of the two directions; **ASSD** is the
# mean distance, **NSD** the share of both outlines that is within 2 pixels of the other ([formulas, and why tools
# disagree](../docs/metrics.md)). The probabilities are *calibrated* if they match frequencies: of all pixels given 0.8,
# 80 % belong to the structure, and likewise for every value; **ECE** is the mean gap. The threshold in the last table
# is the one with the best Dice on validation images.

# %%
images, ground_truth, predicted, names = experiment.predictions(["transfer_large"], num_images=4, pick="worst")
worst = figures.plot_predictions(
    images, ground_truth, {labels["transfer_large"]: predicted["transfer_large"]}, titles=names
)
show(report.save_figure("worst", worst, alt="The four worst test images"))
explore_predictions(*experiment.probabilities("transfer_large"))
beyond = experiment.beyond_dice(["scratch_large", "transfer_large"])
report.save_table("boundaries", beyond.boundaries)
report.save_table("calibration", beyond.calibration, tidy=False)
diagram = figures.plot_reliability(beyond.reliability)
report.save_figure("reliability", diagram, alt="Reliability: predicted probability against the fraction of foreground")
show(show_comparison(beyond.boundaries, labels), beyond.calibration.round(3), diagram)

# %% [markdown]
# ## 15 · Claims and verdicts
# *Replication* claims are tested with the paper's own comparison, *control* claims with the confound removed. The
# verdict follows from the interval of the difference. Synthetic data can support the direction of an effect, never its
# size. Compare with your guess.

# %%
claims = report.save_claims(experiment.claims())
show(report.save_figure("claims", figures.plot_claims(claims), alt="Estimates and intervals of all claims"))
report.finish(experiment.description())
show(show_claims(claims))

# %% [markdown]
# ## 16 · Your own image
# The saved file of weights contains all that prediction needs. Choose an image of any size with the button, or give its
# path. Does the network find what you see? It only knows the kinds of images it was trained on. Expect lower accuracy
# on others: this is *domain shift*. For teaching and research, not for clinical use. For many images: `retina-kit
# predict`.

# %%
predict_own(Predictor.load(experiment.run_of("transfer_large").folder, device=device), path="")

# %% [markdown]
# ## 17 · What differs from the paper, and why
# - Its target set is private and its source set needs a registration. By default both are synthetic. With `public` data
#   the target is Chiu 2015, two patients left out at a time, and the source is synthetic: from simulation to reality.
# - The paper's two sets come from the same type of device (Zeiss Cirrus); they differ in patients, diseases and
#   annotators. The gap between our synthetic sets is one of devices.
# - The paper splits by B-scan; we split by patient, and the leaky split is one arm.
# - The paper set no seeds; here every arm has several, and a seed also decides which scans are in a training set.
# - The paper evaluates the last epoch, and so does this kit. Dropout is commented out in its code and absent here.
# - Keras adds Adam's epsilon before the bias correction, PyTorch after it: the first steps of the paper are smaller.
# - Processors and GPUs that compute faster in bfloat16 train in it, the paper in float32: set `precision = "float32"`.
# - `lesson` has fewer scans, narrower networks, BatchNorm and a larger, decaying learning rate. Without BatchNorm, the
#   Dice loss often ends in "no fluid at all" after few steps. The settings table lists every difference.
#
# ## 18 · Exercises
# Replace `...` with your answer. Each check tells you whether it is right, and why; a wrong answer gets a hint.

# %% [markdown]
# **1.** Which arm is trained for as many steps as `transfer_large` in total (source plus fine-tuning), on the same
# target scans, from a random start?

# %% tags=["exercise"]
experiment.check.equal_updates(...)

# %% tags=["solution"]
experiment.check.equal_updates("scratch_large_equal_updates")

# %% [markdown]
# **2.** The paper reports 0.579 ± 0.272 ("SEM") over 224 test scans. If 0.272 is the standard deviation, what is the
# standard error?

# %% tags=["exercise"]
experiment.check.standard_error(...)

# %% tags=["solution"]
experiment.check.standard_error(0.272 / 224**0.5)

# %% [markdown]
# **3.** By how much is the mean `dice_nonempty` of `transfer_large` above that of its control, in this run? Compute it
# from `figure4` and `controls`.

# %% tags=["exercise"]
experiment.check.gain_at_equal_updates(...)

# %% tags=["solution"]
means = [t[t["metric"] == "dice_nonempty"].set_index("arm")["ours_mean"] for t in (figure4, controls)]
experiment.check.gain_at_equal_updates(means[0]["transfer_large"] - means[1]["scratch_large_equal_updates"])

# %% [markdown]
# **4.** Two percent of a scan is fluid, and an untrained network predicts 0.5 everywhere. What is its loss, 1 - soft
# Dice?

# %% tags=["exercise"]
experiment.check.first_loss(...)

# %% tags=["solution"]
experiment.check.first_loss(1 - 2 * 0.5 * 0.02 / (0.5 + 0.02))

# %% [markdown]
# **5.** Design the control. `transfer_large` has learned fluid in other scans, but it has also learned what OCT scans
# look like. Which two arms show which of the two helps? Each is a dictionary: `name`, the arm it is `like`, and what it
# changes, such as `{"name": "mine", "like": "scratch_large", "data.mask": "srf"}`.

# %% tags=["exercise"]
experiment.check.control_for_fluid(...)

# %% tags=["solution"]
retina = {"name": "source_retina", "like": "source", "data.mask": "retina"}
tuned = {"name": "transfer_retina", "like": "transfer_large", "start.parent": "source_retina"}
experiment.check.control_for_fluid([retina, tuned])

# %% [markdown]
# **Going further:** set `overrides = {"gap": 0.0}` and run everything again: what is left of the gain of transfer, and
# why is it not zero? Which two arms, one with 64 scans and one with 128, separate "more data" from "more steps"? Which
# two decide between "another device" and "more of the same"? Compare with your guess: what did the control show?
