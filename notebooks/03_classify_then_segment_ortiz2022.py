# %% [markdown]
# # Classify first, then segment lesions
#
# **Reproduces** R. Ortiz-Feregrino, S. Tovar-Arriaga, J. C. Pedraza-Ortega, A. Takacs, *Retinal Lesion Segmentation
# Using Transfer Learning with an Encoder-Decoder CNN* (2022).
#
# **The question.** A label "this photograph shows a lesion" is cheap; marking each lesion is expensive. Can a network
# that learned to *classify* photographs help to *segment* lesions?

# %% tags=["colab"]
import os
import sys

if "google.colab" in sys.modules or "KAGGLE_KERNEL_RUN_TYPE" in os.environ:  # keep the installed libraries
    # %pip install --quiet --no-deps ./retina-kit
    pass

# %%
from retina_kit.data.synthetic.fundus import generate_fundus
from retina_kit.reporting import figures, tables
from retina_kit.teaching.widgets import show

eyes = generate_fundus(2, 1, (288, 384), seed=1)
image, exudates = eyes.images[1], eyes.masks["ex"][1]
panels = {"stage 1: is there a lesion? yes": (image, None), "stage 2: which pixels are exudates?": (image, exudates)}
show(figures.plot_panels(panels), alt="A synthetic fundus photograph with lesions, and the outlines of its exudates")

# %% [markdown]
# **The claim.** Stage 1: a network classifies photographs (lesion or none). Stage 2: its encoder, copied and frozen,
# gets a decoder that marks exudates, hemorrhages or microaneurysms. The paper reports that this learns faster.
#
# **The problem.** The text describes this; the published code does something else. It copies nothing and freezes
# nothing, so its stage 2 starts from random weights. Even as described, copying and freezing would be *confounded*. The
# control arms compare copied and random, frozen and trainable encoders.
#
# **Your guess, before any result.** Write down: Which of the four combinations scores best? Does a copied encoder learn
# faster? What accuracy does a network that finds no lesion at all reach?
#
# **You will** reproduce what the code did, see it next to the published values, then do what the text describes. **You
# need** Python, two CPU cores and a few minutes (*Run > Run All Cells*). No data are downloaded: by default the images
# are synthetic, and so are all scores that follow. `data = "public"` uses real photographs (IDRiD) and takes hours.

# %%
import numpy as np
import pandas as pd

from retina_kit.data.patches import cut_patches, join_patches
from retina_kit.data.splits import shared_patients
from retina_kit.papers.audit import find_anomalies
from retina_kit.evaluation.convergence import convergence_of
from retina_kit.experiment import Experiment
from retina_kit.models.stages import stages_of
from retina_kit.prediction.predictor import Predictor
from retina_kit.reporting.report import Report
from retina_kit.teaching.widgets import LiveCurve, browse_images, explore_predictions, pick_arms, predict_own
from retina_kit.teaching.widgets import show_folded, show_settings, show_source
from retina_kit.training import loop, losses
from retina_kit.training.tasks.segment_patches import pixel_counts

# %% [markdown]
# ## 1 · Setup
# A *profile* sets the size of a run. `smoke` only checks that everything executes (ignore its scores), `lesson` shows
# the trends in minutes, `paper` uses the published hyperparameters (ours where none is reported) and needs a GPU. A
# *hyperparameter* is a setting that training does not learn, such as the learning rate. Terms are defined in the
# [glossary](../docs/glossary.md).

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
# Stage 1 learns one label (yes or no) per photograph, stage 2 one mask per kind of lesion. The mask is the *ground
# truth*: what an expert annotated. No test photograph of stage 2 is used in stage 1.

# %%
options = {"data_root": data_root, "output_root": output_root, "seeds": seeds, "device": device, "precision": precision}
experiment = Experiment("ortiz2022", profile, data, overrides=overrides, **options)
report = Report(experiment.folder)
settings = report.save_table("settings", experiment.settings(), tidy=False)
lesions = {"exudates": "exudates_vgg_cbam", "hemorrhages": "hemorrhages_vgg_cbam"}
lesions |= {"microaneurysms": "microaneurysms_vgg_cbam"}
image_set = {lesion: experiment.images(arm) for lesion, arm in lesions.items()}
browse_images(image_set)

# %% [markdown]
# **What matters here.** An **arm** is one experimental condition: data, network, start and training settings. One arm
# with one seed is a **run**. A *replication arm* does what the paper's code did; a *control arm* does what its text
# describes, or removes one confound. Pick two arms: a fair comparison differs in *one* factor.

# %%
important = ["target", "patch", "stage1_epochs", "stage1_steps", "epochs", "steps", "learning_rate", "loss", "seeds"]
pick_arms(experiment.arms, "published", "copied_frozen")
show_settings(settings, important, arms=experiment.arms_table())

# %% [markdown]
# ## 3 · Split: copies before or after?
# The paper made two augmented copies of each photograph and *then* chose the validation images. So copies of one
# photograph are in both sets: *data leakage*. The counts reveal it: 100,046 and 11,116 add up to three times the
# photographs, but neither is a multiple of three. Copies made after the split are harmless. How many photographs are in
# both sets?

# %%
classified, leaked = experiment.prepared("classify_vgg"), experiment.prepared("classify_vgg_leaked")
sides = {"copies after the split": classified, "copies before the split": leaked}
{name: len(shared_patients(p.rows, p.train, p.test)) for name, p in sides.items()}

# %% [markdown]
# ## 4 · Preprocessing
# Each image is cropped to the field of view, equalized (CLAHE with clip limit 1.5 on 8 x 8 tiles) and cut into patches;
# for training, these do not overlap (for tests, see section 14). Reassembled, the patches must reproduce the image
# exactly. The published code stretches the remainders at the right and bottom; ours pads them.

# %%
segmented = experiment.prepared("exudates_vgg_cbam")
side, example = segmented.arm.data.patch, segmented.images[:1].numpy()
patches = cut_patches(example, side)
exact = np.array_equal(join_patches(patches, example.shape[-2:]), example)
print({"patches": len(patches), "reassembled exactly": exact})
richest = int(segmented.masks.sum(axis=(1, 2)).argmax())
raw, cleaned = image_set["exudates"].images[richest], segmented.images[richest].numpy()
best = cut_patches(segmented.targets[richest : richest + 1].numpy(), side).sum(axis=(1, 2)).argmax()
patch = (cut_patches(cleaned[None], side)[best], cut_patches(segmented.masks[richest][None], side)[best])
method = {"cropped to the field": raw, "CLAHE": cleaned, "lesion or no lesion?": classified.images[0].numpy()}
figure1 = figures.plot_method(method | {"patch and mask": patch, "marked lesions": (raw, segmented.masks[richest])})
report.save_figure("figure1", figure1, alt="Figure 1: from the photograph to the marked lesions")
show(figure1)

# %% [markdown]
# Lesions cover very little of a retina, so "healthy everywhere" is right for almost all pixels: **pixel accuracy is
# misleading**. A network that sees all patches learns just that. The training patches are balanced: one without a
# lesion for each one with a lesion.

# %%
batches_of = {lesion: experiment.batches(arm) for lesion, arm in lesions.items()}
rows = [pixel_counts(experiment.prepared(arm), batches_of[lesion]) for lesion, arm in lesions.items()]
pixels = report.save_table(
    "lesion_pixels", pd.DataFrame(rows, index=pd.Index(lesions, name="lesion")).reset_index(), tidy=False
)
show(pixels.round(5))
index = {lesion: (b.targets == 1).any(dim=(1, 2)).nonzero()[:4, 0] for lesion, b in batches_of.items()}
shown = np.concatenate([batches_of[lesion].images[some].cpu().numpy() for lesion, some in index.items()])
masks = np.concatenate([(batches_of[lesion].targets[some] == 1).cpu().numpy() for lesion, some in index.items()])
titles = [lesion for lesion, some in index.items() for _ in some]
figure2 = figures.plot_images(shown, masks, titles)
report.save_figure("figure2", figure2, alt="Figure 2: patches of the three lesions and their masks")
show(figure2)

# %% [markdown]
# ## 5 · The networks
# The diagrams show the published networks at full width, computed from their layers. Some details are not in the text.
# "VGG-16" has 12 convolutions. Its attention (CBAM, convolutional block attention module) takes mean and maximum over
# the channels in both gates, so it has no gate for a whole channel. 97 % of the VGG classifier's weights are in its
# dense head. In stage 2 most weights are in the decoder, so freezing the encoder freezes only a sixth of the network
# (VGG) or over a fifth (ResNet).
#
# **An encoder-decoder is built like a U-Net.** The *encoder* halves the image stage by stage and learns *what* is in
# it. The *decoder* doubles the size again until each pixel gets a score (*logit*). *Skip connections* give the decoder
# the encoder's features of the same size, so that it knows *where* the edges are. The code is the library's own; the
# folded table traces the shape of the data (channels, height, width).

# %%
networks = {arm: experiment.arm(f"classify_{arm}") for arm in ("vgg", "vgg_cbam", "resnet", "resnet_cbam")}
full = {"width": 1.0, "input_size": [480, 480]}
stages = {arm.title: stages_of(arm.model | full, (3, 480, 480)) for arm in networks.values()}
figure3 = figures.plot_stages(stages, num_columns=2)
show(report.save_figure("figure3", figure3, alt="Figure 3: the four classifiers, one box per stage"))
decoders = {name: experiment.arm(f"exudates_{name}").model | {"width": 1.0} for name in ("vgg_cbam", "resnet_cbam")}
joined = {networks[name].title: stages_of(settings, (3, 160, 160)) for name, settings in decoders.items()}
figure4 = figures.plot_stages(joined)
show(report.save_figure("figure4", figure4, alt="Figure 4: the encoder-decoder with its skip connections"))
show_source(type(experiment.model("exudates_vgg_cbam")).forward)
show_folded("Shape trace through the encoder-decoder", joined[networks["vgg_cbam"].title])

# %% [markdown]
# ## 6 · Train one network by hand
# The paper's loss is the mean *cross-entropy*: it is large if the true class of a pixel gets a small probability. $p_i$
# is the predicted probability that pixel $i$ is lesion, $y_i$ its label (1: lesion, 0: none).
#
# $$L = -\frac{1}{n} \sum_i \left[ y_i \log p_i + (1 - y_i) \log (1 - p_i) \right]$$
#
# Masks are scored with **Dice**, which does not count correctly predicted background, or **IoU**. With true positives
# TP, false positives FP and false negatives FN:
#
# $$\mathrm{Dice} = \frac{2\,TP}{2\,TP + FP + FN}, \qquad \mathrm{IoU} = \frac{TP}{TP + FP + FN}$$
#
# *By hand:* a lesion of 4 pixels, 6 predicted, 3 of them right: TP = 3, FP = 3, FN = 1, Dice = 6 / 10 = 0.6. *Soft*
# Dice uses probabilities instead of a thresholded mask, so that it has a gradient. After the few steps of a lesson, a
# network trained with cross-entropy still predicts "healthy everywhere". So the lesson trains with 1 - soft Dice (shown
# below) on synthetic images and adds a Dice term to cross-entropy on photographs. Profile `paper` keeps cross-entropy.
#
# *Pooled* scores add up the pixels of all images first; a *per-image mean* gives each image the same weight.
#
# The loop below is the library's own, shown with `inspect.getsource`: sample a batch, predict, compute the loss, step.
# To stop early, interrupt the kernel (the square button of the toolbar): the weights so far are kept.

# %%
model, batches = experiment.model("quick_published"), experiment.batches("quick_published")
show_source(losses.LOSSES[batches.recipe.loss], loop.fit)
run, curve, recipe = None if train_live else experiment.finished("quick_published"), LiveCurve(), batches.recipe
history = curve.replay(run) if run else loop.fit(model, batches, recipe, device=batches.images.device, watch=curve)

# %% [markdown]
# ## 7 · Train all arms
# Finished runs are loaded from the run store; interrupted runs resume from their last checkpoint.

# %%
runs = experiment.train(workers=workers)
labels = {arm.name: arm.title for arm in experiment.arms}
seconds = round(sum(run.settings["seconds"] for run in runs.values()))
print(len(runs), "runs,", seconds, "seconds of training in all")

# %% [markdown]
# ## 8 · Table 1: lesion or no lesion
# SD is over seeds, the interval over patients and seeds. The paper's four rows can hardly come from one validation set:
# they imply four different percentages of images with a lesion (see the findings in section 9). The ResNet-like
# networks have dropout before BatchNorm: statistics collected with dropout do not fit features without it. After a few
# steps such a network may predict the same for every photograph although its training loss falls.
#
# What does the leak do? In the second table one network is trained twice: with its copies split by photograph, and by
# image.

# %%
table1 = report.save_table("table1", experiment.table("table1"))
shown = figures.plot_comparison(table1[table1["metric"] != "time"], labels=labels)
show(report.save_figure("table1", shown, alt="Table 1: four classifiers"), tables.show_comparison(table1, labels))
show(tables.show_comparison(report.save_table("leak", experiment.table("leak")), labels))

# %% [markdown]
# ## 9 · Table 2: three lesions
# Accuracy, sensitivity and specificity come from one confusion matrix over all pixels of all test images, so accuracy
# must be between the other two. In four published rows it is not; the notes mark them. In the lesson, hemorrhages and
# microaneurysms are trained with one encoder only (VGG-16 CBAM), with all seeds. Rows of other authors follow ours.

# %%
table2 = report.save_table("table2", experiment.table("table2"))
shown = figures.plot_comparison(table2[table2["n_seeds"] > 0], labels=labels)
show(report.save_figure("table2", shown, alt="Table 2: four encoders"), tables.show_comparison(table2, labels))
show(report.save_table("findings", find_anomalies(experiment.published), tidy=False)[["sure", "where", "arithmetic"]])

# %% [markdown]
# ## 10 · The paper's question: copied or random, frozen or not?
# Four arms on exudates with one encoder: copied or random, frozen or trainable; then the same four after only a few
# steps. Such a comparison is an *ablation*: it removes one ingredient at a time from a *baseline*.
#
# **Average precision** is the area under the curve of precision against sensitivity over all thresholds; **AUC** is the
# area under the curve of sensitivity against the false-positive rate. The paper's claim is speed: from which step on
# does each arm stay above 95 % of its own final score? An arm with a low final score gets there early, so read this
# column together with *final*.

# %%
four = report.save_table("four_arms", experiment.table("four_arms"))
scored = four[four["metric"].isin(["dice", "average_precision"])]
show(report.save_figure("four_arms", figures.plot_comparison(scored, labels=labels), alt="Four arms, long and short"))
show(tables.show_comparison(four, labels))
arms = {name: labels[name] for name in ("published", "copied_frozen", "copied_tuned", "random_frozen")}
curves = experiment.histories[experiment.histories["arm"].isin(list(arms))]
passes = {name: batches.recipe.batch_size / len(batches.images) for name in arms}
speed = report.save_table("convergence", convergence_of(curves, "average_precision", passes), tidy=False)
figure = figures.plot_validations(curves, "average_precision", arms)
report.save_figure("convergence", figure, alt="Average precision of the four arms while they train")
show(figure)
show(speed.round(3))

# %% [markdown]
# ## 11 · Figure 5: whole images
# Yellow: hit. Blue: missed. Orange: false alarm. (The paper uses red and green, which color-blind readers cannot tell
# apart.)

# %%
panels = {lesion: experiment.predictions([arm], num_images=1) for lesion, arm in lesions.items()}
images, truths = (np.concatenate([panel[k] for panel in panels.values()]) for k in (0, 1))
found = {"VGG-16 CBAM": np.concatenate([next(iter(panel[2].values())) for panel in panels.values()])}
figure5 = figures.plot_predictions(images, truths, found, titles=list(panels))
report.save_figure("figure5", figure5, alt="Figure 5: hits, misses and false alarms of the three lesions")
show(figure5)

# %% [markdown]
# The test images with the lowest Dice: what goes wrong? Move the threshold: which errors disappear, and which appear?
#
# Dice counts pixels, not distances: a thin rim around a whole structure costs as much as one lump far away. **HD95** is
# the 95th percentile of the distances from each outline to the other, the larger of the two directions; **ASSD** is the
# mean distance, **NSD** the share of both outlines that is within 2 pixels of the other ([formulas, and why tools
# disagree](../docs/metrics.md)). The probabilities are *calibrated* if they match frequencies: of all pixels given 0.8,
# 80 % belong to the structure, and likewise for every value; **ECE** is the mean gap. The threshold in the last table
# is the one with the best Dice on validation images.

# %%
images, ground_truth, predicted, names = experiment.predictions(
    ["published", "copied_tuned"], num_images=3, pick="worst"
)
worst = figures.plot_predictions(images, ground_truth, {labels[arm]: p for arm, p in predicted.items()}, titles=names)
show(report.save_figure("worst", worst, alt="The test images with the lowest Dice"))
explore_predictions(*experiment.probabilities("copied_tuned"))
beyond = experiment.beyond_dice(["published", "copied_tuned"])
report.save_table("boundaries", beyond.boundaries)
report.save_table("calibration", beyond.calibration, tidy=False)
diagram = figures.plot_reliability(beyond.reliability)
report.save_figure("reliability", diagram, alt="Reliability: predicted probability against the fraction of foreground")
show(tables.show_comparison(beyond.boundaries, labels), beyond.calibration.round(3), diagram)

# %% [markdown]
# ## 12 · Claims and verdicts
# *Replication* claims are tested with the paper's own comparison, *control* claims with the confound removed. The
# verdict follows from the interval of the difference. Synthetic data can support the direction of an effect, never its
# size. Compare with your guess.

# %%
claims = report.save_claims(experiment.claims())
show(report.save_figure("claims", figures.plot_claims(claims), alt="Estimates and intervals of all claims"))
report.finish(experiment.description())
show(tables.show_claims(claims))

# %% [markdown]
# ## 13 · Your own image
# The saved file of weights contains all that prediction needs. Choose an image of any size with the button, or give its
# path. Does the network find what you see? It only knows the kinds of images it was trained on. Expect lower accuracy
# on others: this is *domain shift*. For teaching and research, not for clinical use. For many images: `retina-kit
# predict`.

# %%
predict_own(Predictor.load(experiment.run_of("copied_tuned").folder, device=device), path="")

# %% [markdown]
# ## 14 · What differs from the paper, and why
# - Messidor, Kaggle and e-ophtha need a registration; stage 1 uses the IDRiD grading set minus every image in
#   stage 2's test set, and byte-identical pairs stay on one side of the split. e-ophtha has no hemorrhages, although
#   the paper names it as their source.
# - The paper does not report which photographs it used, how it split them, or whether it kept patches without a lesion.
#   Here the split is the official one, with one patch without a lesion for each one with a lesion.
# - IDRiD_81 is excluded for exudates because its mask file is opaque everywhere. 26 test photographs remain.
# - The published code stretches remainders to whole patches; training here pads them. In tests the last patch is moved
#   back, and overlapping patches are averaged.
# - Keras's learning-rate plateaus and early stopping are left out; `lesson` also leaves out the code's L2 penalty on
#   two stages of the ResNet.
# - The code keeps the checkpoint with the lowest validation loss. Here that is the variant `best` of the four arms of
#   section 10; all other rows are of the last step. In `paper`, too, training takes a fixed number of steps.
# - Keras adds Adam's epsilon before the bias correction, PyTorch after it. Processors and GPUs that compute faster in
#   bfloat16 train in it, the paper in float32: set `precision = "float32"`.
# - The code starts its classifier on Messidor and continues on Kaggle; here there is one set.
# - `lesson` reduces width, image size, patches and steps, has another loss (section 6), and lets BatchNorm settle
#   faster. The settings table lists every such difference.
#
# ## 15 · Exercises
# Replace `...` with your answer. Each check tells you whether it is right, and why; a wrong answer gets a hint.

# %% [markdown]
# **1.** The paper's text describes an encoder that is copied and frozen. Which of the four arms of section 10 does what
# its published code does?

# %% tags=["exercise"]
experiment.check.what_the_code_does(...)

# %% tags=["solution"]
experiment.check.what_the_code_does("published")

# %% [markdown]
# **2.** Microaneurysms cover about 0.1 % of the pixels. What is the pixel accuracy (in percent) of a network that
# predicts "healthy everywhere"? (Which share of lesion pixels do the rows of Table 2 imply? See the findings of
# section 9. What would "healthy everywhere" score there?)

# %% tags=["exercise"]
experiment.check.healthy_everywhere(...)

# %% tags=["solution"]
experiment.check.healthy_everywhere(100 - 0.1)

# %% [markdown]
# **3.** For exudates with VGG-16, Table 2 reports sensitivity 88.12, specificity 96.1 and accuracy 98.1. What is the
# highest accuracy (in percent) that the first two allow?

# %% tags=["exercise"]
experiment.check.possible_accuracy(...)

# %% tags=["solution"]
experiment.check.possible_accuracy(max(88.12, 96.1))

# %% [markdown]
# **4.** With both encoders frozen, by how much does the copied one raise the Dice above that of the random one, in this
# run (long arms)? Compute it from the table `four`.

# %% tags=["exercise"]
experiment.check.part_of_transfer(...)

# %% tags=["solution"]
means = four[four["metric"] == "dice"].set_index("arm")["ours_mean"]
experiment.check.part_of_transfer(means["copied_frozen"] - means["random_frozen"])

# %% [markdown]
# **5.** Design the control. `classify_vgg_leaked` has seen copies of its own validation photographs. Does this leak
# inflate the scores of stage 2 as well? Give two arms: `published` with the encoder of the clean classifier, then
# with that of the leaked one. An arm is a dictionary: `name`, the arm it is `like`, and what it changes, such as
# `"start.parent": "classify_vgg"`.

# %% tags=["exercise"]
experiment.check.does_the_leak_travel(...)

# %% tags=["solution"]
encoder = {"like": "published", "start.parts": ["encoder"]}
clean = {"name": "clean", "start.parent": "classify_vgg"} | encoder
leaked = {"name": "leaked", "start.parent": "classify_vgg_leaked"} | encoder
experiment.check.does_the_leak_travel([clean, leaked])

# %% [markdown]
# **Going further:** set `overrides = {"per_lesion": 0.0}` and run everything again: with all patches, what happens to
# sensitivity, and what to accuracy? Set `seeds = [0, 3, 4]`: how large is the SD over seeds, compared with the
# differences between the four encoders? Compare with your guess: what did the controls show?
