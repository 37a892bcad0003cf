# %% [markdown]
# # How much data, and does transfer help?
#
# **Reproduces** M. Melinščak et al., *Retinal OCT image segmentation: how well do algorithms generalize or how
# transferable are the data?* (MIPRO 2020).
#
# A U-Net learns to find fluid in OCT scans of one device, from 256, 512 or 1000 annotated B-scans; once from a random
# start and once after it has learned fluid on scans of another set. The paper finds that both data and transfer help.
#
# **You will do** what the paper did, beside its printed numbers; then turn the gap between the two devices yourself.
# **You will learn** why "more data" is also "more updates", what a ± may stand for, and what a split by B-scan hides.
# **You need** Python and two CPU cores for three minutes. Nothing is downloaded: by default the scans are *drawn*
# (synthetic), and so are all numbers that follow from them. `data = "public"` takes real scans as the target.

# %% tags=["colab"]
import os
import sys

if "google.colab" in sys.modules or "KAGGLE_KERNEL_RUN_TYPE" in os.environ:  # with the libraries that are there
    # %pip install --quiet --no-deps ./retina-kit
    pass

# %%
import numpy as np
import torch

from retina_kit.data.splits import shared_patients
from retina_kit.data.synthetic.oct import generate_oct
from retina_kit.experiment import Experiment
from retina_kit.teaching.domain_gap import generate_gap, train_across_gap
from retina_kit.models.build import build_model, count_parameters
from retina_kit.models.filters import as_images, maximize_filters
from retina_kit.prediction.predictor import Predictor
from retina_kit.reporting import figures
from retina_kit.reporting.report import Report
from retina_kit.reporting.tables import show_comparison, show_claims
from retina_kit.teaching.widgets import LiveCurve, browse_images, explore_predictions, pick_arms, predict_own, show
from retina_kit.teaching.widgets.gap_explorer import explore_domain_gap
from retina_kit.training.loop import fit

# %% [markdown]
# ## 1 · Settings
# `smoke` proves that everything runs (its numbers mean nothing), `lesson` shows the trends in minutes,
# `paper` takes every printed setting and a GPU.

# %% tags=["parameters"]
profile = "lesson"  # smoke, lesson or paper
data = "synthetic"  # synthetic, public or paper
data_root = "data"  # where real data packs lie
output_root = "outputs"  # where results go
seeds = None  # a list such as [0, 1, 2]; None: the profile's
device = "auto"  # auto, cpu, cuda or cuda:1
precision = "auto"  # auto, float32 or bfloat16
workers = 1  # processes that train side by side
overrides = {}  # any parameter of the experiment, such as {"gap": 0.4}

# %%
experiment = Experiment(
    "melinscak2020",
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
experiment.settings()

# %% [markdown]
# An **arm** is one trained network: a row below. *Replication* arms do what the paper did; *control* arms change one
# thing that its comparison left uncontrolled. Arms without updates are the source model, scored as it is. Pick two and
# see in what they differ.

# %%
labels = {arm.name: arm.title for arm in experiment.arms}
pick_arms(experiment.arms, "transfer_small", "scratch_small_equal_updates")
experiment.arms_table()

# %% [markdown]
# ## 2 · Look at the data: Figure 1
# Fluid under the pigment epithelium (PED), under the retina (SRF) and inside it (IRF). It fills two per cent of a
# scan. The paper merges the three into one class. Real scans of the public set have two graders instead.

# %%
target = experiment.images("scratch_large", masks=experiment.parameters["fluids"])
largest = np.argsort([-mask.sum() for mask in np.logical_or.reduce(list(target.masks.values()))])[:12:4]
some = target.subset(largest)
figure1 = figures.plot_classes(some.images, some.masks, titles=some.rows["id"])
report.save_figure("figure1", figure1, alt="Figure 1: B-scans with their fluids, whole and cropped")
browse_images(target)

# %% [markdown]
# ## 3 · The gap between two devices
# The same drawn eye as the target's device shows it (0) and ever nearer to the other device (1). `gap` in the settings
# is where the source scans are taken; turn it with `overrides = {"gap": 0.4}`.
#
# Then turn the dials yourself. The button trains a tiny U-Net on the source and tunes it on the target, in seconds: how
# does it do before and after?

# %%
gaps = (0.0, 0.25, 0.5, 0.75, 1.0)
eyes = [generate_oct(1, 1, (160, 160), device="cirrus", gap=gap, fluid=2.0, seed=4) for gap in gaps]
titles = [f"drawn, gap {gap:g}" for gap in gaps]
images, masks = (np.concatenate(part) for part in zip(*[(eye.images, eye.masks["fluid"]) for eye in eyes], strict=True))
show(figures.plot_images(images, masks, titles, num_columns=5))
explore_domain_gap(generate_gap, train_across_gap)

# %% [markdown]
# ## 4 · How well do people agree? Figure 2
# The paper had 75 scans annotated again by the same expert (Dice 0.889) and by another (0.822): nobody can ask more of
# a network. Drawn scans have two imperfect annotators, one of them twice; the public set has two graders.

# %%
seen = experiment.images("scratch_large", masks=experiment.parameters["graders"]).subset(largest[:2])
figure2 = figures.plot_annotators(seen.images, seen.masks, titles=seen.rows["id"])
show(report.save_figure("figure2", figure2, alt="Figure 2: two scans as each annotator saw them"))
report.save_table("figure2", experiment.graders("scratch_large"), tidy=False).round(3)

# %% [markdown]
# ## 5 · Split: who is tested?
# The authors' script shuffles B-scans, so neighbors of nearly every test scan are trained on. Here patients are
# parted; the leaky split is an arm of its own. The training sets are nested: the small one lies within the large one.

# %%
prepared, leaky = experiment.prepared("scratch_large"), experiment.prepared("scratch_large_leaky")
show(figures.plot_split(prepared.rows, prepared.train, prepared.test))
shared = [len(shared_patients(p.rows, p.train, p.test)) for p in (prepared, leaky)]
print(f"patients on both sides: {shared[0]} split by patient, {shared[1]} split by B-scan")

# %% [markdown]
# ## 6 · The network
# Five levels, no normalization, no dropout (the published code has it commented out): 7,759,521 weights. A lesson is
# narrower and normalizes; the settings table says so.

# %%
with torch.device("meta"):
    published = count_parameters(build_model({"name": "unet"}))
model = experiment.model("scratch_large")
print(f"{published:,} weights in the paper, {count_parameters(model):,} in this run")

# %% [markdown]
# ## 7 · Train one network by hand
# No augmentation: the paper left it out to see the data's share alone. The loss is 1 - soft Dice of the whole batch.
# At the start the network says 0.5 everywhere, so with a share f of fluid the loss is 1 - f / (f + 0.5), about 0.96.

# %%
batches = experiment.batches("scratch_large")
recipe = experiment.arm("scratch_large").recipe
history = fit(model, batches, recipe, device=batches.images.device, watch=LiveCurve())
share = prepared.targets[prepared.train].float().mean().item()
print(f"first loss {history['loss'].iloc[0]:.3f}, expected about {1 - share / (share + 0.5):.3f}")

# %% [markdown]
# ## 8 · Train all arms
# Finished runs are loaded from the run store, interrupted ones go on from their last checkpoint.
#
# Does our loss behave like theirs? A plateau near 0.96 first, then the fall. The dotted lines were read off a plot in
# the authors' notebook (70 epochs, smoothed).

# %%
runs = experiment.train(workers=workers)
seconds = sum(run.settings["seconds"] for run in runs.values())
print(f"{len(runs)} runs, {seconds:.0f} seconds of training in all")
losses = experiment.histories.groupby("arm", sort=False)["loss"].agg(first="first", lowest="min", last="last")
shown = {name: labels[name] for name in ("source", "scratch_large", "transfer_large")}
log = experiment.published.curves("notebook_curve_b")
figure = figures.plot_losses(experiment.histories, shown, published=log)
show(report.save_figure("losses", figure, alt="Training loss of three arms beside the authors' log"))
report.save_table("losses", losses.reset_index(), tidy=False).round(3)

# %% [markdown]
# ## 9 · Figure 4: Dice against the number of training scans
# The mean over test images. `dice` is strict: above 0.5 or not. `dice_half_thresholded` is what the authors' code
# computes: values up to 0.5 stay as they are, so what little the network sees in the background is counted against it.
#
# What is a ±? The paper prints "SEM", but 0.27 cannot be the standard error of 224 scores between 0 and 1: it is the
# standard deviation. First figure: as printed. Second: the interval that says how sure the mean is, patients drawn
# anew.
#
# ## 10 · The source model, at home and abroad
# Untuned, the paper's source model falls from 0.717 to 0.348 (the last table below).

# %%
figure4 = report.save_table("figure4", experiment.table("figure4"))
show(show_comparison(figure4, labels))
spreads = report.save_table("figure4_spreads", experiment.by_size("figure4"), tidy=False)
starts = ("scratch", "transfer")
lines = {start: [arm for arm in spreads["arm"] if arm.startswith(start)] for start in starts}
printed = figures.plot_dice_by_size(spreads, lines, spread="sd_of_images")
show(report.save_figure("figure4_as_printed", printed, alt="Figure 4 with standard deviations, printed as SEM"))
figure = figures.plot_dice_by_size(spreads, lines)
show(report.save_figure("figure4", figure, alt="Figure 4: Dice against training set size, intervals over patients"))
source_model = report.save_table("source_model", experiment.table("source_model"))
show_comparison(source_model, labels)

# %% [markdown]
# ## 11 · Figure 3: one scan, all networks

# %%
sizes = ("small", "medium", "large")
above, below = [f"scratch_{n}" for n in sizes], ["source_on_target", *[f"transfer_{n}" for n in sizes]]
images, truth, predicted, names = experiment.predictions([*above, *below], num_images=1, pick="largest")
rows = [{labels[arm]: predicted[arm][0] for arm in row} for row in (above, below)]
figure3 = figures.plot_one_image(images[0], truth[0], rows)
show(report.save_figure("figure3", figure3, alt="Figure 3: one test scan, its truth and the masks of all networks"))

# %% [markdown]
# ## 12 · Figure 5: what the filters like best
# Gradient ascent on the input, all filters of a layer at once. The paper calls layers 10, 13 and 16 the decoder;
# layer 10 is still the bottleneck. Filters that never respond keep their noise.

# %%
layers, num_steps = experiment.parameters["filter_layers"], experiment.parameters["filter_steps"]
networks = {labels[arm]: experiment.trained(arm) for arm in ("scratch_small", "source", "transfer_small")}
liked = {
    label: [as_images(maximize_filters(network, layer, num_steps=num_steps)).numpy() for layer in layers]
    for label, network in networks.items()
}
figure5 = figures.plot_filters(liked, [f"convolution {layer}" for layer in layers])
show(report.save_figure("figure5", figure5, alt="Figure 5: what filters of six layers like best, three networks"))

# %% [markdown]
# ## 13 · Controls: what the paper's comparison left open
# Transfer had more updates in all (source plus tuning), so a random start gets as many. "More of the same" gets twice
# the target scans instead of another device's. And the split by B-scan shows what the leak is worth.

# %%
controls = report.save_table("controls", experiment.table("controls"))
figure = figures.plot_comparison(controls, labels=labels)
show(report.save_figure("controls", figure, alt="Control arms: equal updates, more of the same, split by B-scan"))
show_comparison(controls, labels)

# %% [markdown]
# ## 14 · The worst images
# Where the network that learned most failed most. Move the threshold: which mistakes go, and which come?

# %%
images, truth, predicted, names = experiment.predictions(["transfer_large"], num_images=4, pick="worst")
worst = figures.plot_predictions(images, truth, {labels["transfer_large"]: predicted["transfer_large"]}, titles=names)
report.save_figure("worst", worst, alt="The four worst test images")
explore_predictions(*experiment.probabilities("transfer_large"))

# %% [markdown]
# ## 15 · Claims and verdicts
# Each claim of the paper (*replication*) stands beside its *control*. Intervals are over patients, seeds averaged.
# Drawn data decide a direction only, never a number.

# %%
claims = report.save_claims(experiment.claims())
report.save_figure("claims", figures.plot_claims(claims), alt="Estimates and intervals of all claims")
report.finish(experiment.description())
show_claims(claims)

# %% [markdown]
# ## 16 · Your own image
# The weights carry everything that prediction needs: choose an image of any size with the button, or give its path.
# Does the network find what you see? It was trained on images of one source, so expect less on others.
# For teaching and research, not for clinical use. For many images: `retina-kit predict RUN --images DIR --output DIR`.

# %%
predict_own(Predictor.load(experiment.run_of("transfer_large").folder, device=device), path="")

# %% [markdown]
# ## 17 · What differs from the paper, and why
# - Its target set is private and its source set needs a registration. By default both are drawn (synthetic). On
#   `public` data the target is Chiu 2015, two subjects left out at a time, and the source is drawn: from simulation
#   to reality.
# - It parts B-scans; here patients are parted, and the leaky split is one arm.
# - Nothing was seeded; here every arm has three seeds, and a seed also decides which scans are in a training set.
# - It evaluates the last epoch, and so does this kit. Dropout is commented out in its code and absent here.
# - `lesson` has fewer scans, narrower networks, BatchNorm and a larger, decaying learning rate: without BatchNorm the
#   Dice loss of so few updates often ends in "no fluid at all". The settings table lists every such difference.
#
# ## 18 · Exercises
# Each check says what is right or wrong, and why. Replace the `...` by your answer; a wrong one shows a hint.

# %% [markdown]
# **1.** Which arm had as many updates as `transfer_large` in all (source plus tuning), on the same target scans, from a
# random start?

# %% tags=["exercise"]
check = experiment.check
check.equal_updates(...)

# %% tags=["solution"]
check.equal_updates("scratch_large_equal_updates")

# %% [markdown]
# **2.** The paper prints 0.579 ± 0.272 ("SEM") over 224 test scans. If 0.272 is the standard deviation, what is the
# standard error?

# %% tags=["exercise"]
check.standard_error(...)

# %% tags=["solution"]
check.standard_error(0.272 / 224**0.5)

# %% [markdown]
# **3.** By how much is the mean (strict) Dice of `transfer_large` above that of its control, in this run? Compute it
# from `figure4` and `controls`.

# %% tags=["exercise"]
check.gain_at_equal_updates(...)

# %% tags=["solution"]
means = [t[t["metric"] == "dice"].set_index("arm")["ours_mean"] for t in (figure4, controls)]
check.gain_at_equal_updates(means[0]["transfer_large"] - means[1]["scratch_large_equal_updates"])

# %% [markdown]
# **4.** Two per cent of a scan are fluid, and an untrained network says 0.5 everywhere. What is its loss, 1 - soft
# Dice?

# %% tags=["exercise"]
check.first_loss(...)

# %% tags=["solution"]
check.first_loss(1 - 2 * 0.5 * 0.02 / (0.5 + 0.02))

# %% [markdown]
# **5.** Design the control. `transfer_large` knows fluid from another device, but it also knows OCT scans as such.
# Which two arms tell these apart? Each is a dictionary: `name`, the arm it is `like`, and what it changes, such as
# `{"name": "mine", "like": "scratch_large", "data.mask": "srf"}`.

# %% tags=["exercise"]
check.control_for_fluid(...)

# %% tags=["solution"]
retina = {"name": "source_retina", "like": "source", "data.mask": "retina"}
tuned = {"name": "transfer_retina", "like": "transfer_large", "start.parent": "source_retina"}
check.control_for_fluid([retina, tuned])

# %% [markdown]
# **To go on:** set `overrides = {"gap": 0.0}` and run all again: what is left of the gain of transfer, and why is it
# not zero? Which arms part "more data" from "more updates", which the paper could not? Which one decides between
# "another device" and "more of the same"?
