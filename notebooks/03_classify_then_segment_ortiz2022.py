# %% [markdown]
# # Classify first, then segment lesions
#
# **Reproduces** R. Ortiz-Feregrino, S. Tovar-Arriaga, J. C. Pedraza-Ortega, A. Takacs, *Retinal Lesion Segmentation
# Using Transfer Learning with an Encoder-Decoder CNN* (2022).
#
# Stage 1: a network says whether a fundus photograph shows a lesion. Stage 2: its encoder, copied and frozen, gets a
# decoder that marks exudates, hemorrhages or microaneurysms. So says the text; the published code copies nothing and
# freezes nothing, so its stage 2 starts from random weights. Here both are trained, side by side.
#
# **You will do** what the code did, beside the printed numbers, then what the text says.
# **You will learn** what copying and freezing are worth, why pixel accuracy misleads, and how augmented copies leak.
# **You need** Python and two CPU cores for five minutes. Nothing is downloaded: by default the images are *drawn*
# (synthetic), and so are all numbers that follow from them. `data = "public"` takes real photographs (IDRiD).

# %% tags=["colab"]
import os
import sys

if "google.colab" in sys.modules or "KAGGLE_KERNEL_RUN_TYPE" in os.environ:  # with the libraries that are there
    # %pip install --quiet --no-deps ./retina-kit
    pass

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
from retina_kit.reporting import figures
from retina_kit.reporting.report import Report
from retina_kit.reporting.tables import show_comparison, show_claims
from retina_kit.teaching.widgets import LiveCurve, browse_images, explore_predictions, pick_arms, predict_own, show
from retina_kit.training.loop import fit
from retina_kit.training.tasks.segment_patches import pixel_counts

# %% [markdown]
# ## 1 · Settings
# `smoke` proves that everything runs (its numbers mean nothing), `lesson` shows the trends in minutes,
# `paper` takes every printed setting and a GPU. An **arm** is one trained network, a row of the table below:
# *replication* arms do what the paper's code did; *control* arms do what its text says, or tell two explanations apart.

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
options = {"data_root": data_root, "output_root": output_root, "seeds": seeds}
options |= {"device": device, "precision": precision}
experiment = Experiment("ortiz2022", profile, data, overrides=overrides, **options)
report = Report(experiment.folder)
report.save_table("settings", experiment.settings(), tidy=False)
pick_arms(experiment.arms, "published", "copied_frozen")
experiment.arms_table()

# %% [markdown]
# ## 2 · Look at the data
# Stage 1 learns one yes or no a photograph, stage 2 a mask a lesion. The two stages share no photograph that is
# tested.

# %%
lesions = {"exudates": "exudates_vgg_cbam", "hemorrhages": "hemorrhages_vgg_cbam"}
lesions |= {"microaneurysms": "microaneurysms_vgg_cbam"}
image_set = {lesion: experiment.images(arm) for lesion, arm in lesions.items()}
browse_images(image_set)

# %% [markdown]
# ## 3 · Split: copies before or after?
# The paper made two moved copies of each photograph and then drew the validation images. So copies of one
# photograph stand on both sides: its counts give it away (100,046 and 11,116 add up to three times the photographs,
# but neither is a multiple of three). Made after the split, copies are harmless. Which photographs are on both sides?

# %%
classified, leaked = experiment.prepared("classify_vgg"), experiment.prepared("classify_vgg_leaked")
sides = {"copies after the split": classified, "copies before the split": leaked}
{name: len(shared_patients(p.rows, p.train, p.test)) for name, p in sides.items()}

# %% [markdown]
# ## 4 · Preprocessing
# Crop to the field of view, CLAHE with clip limit 1.5 on 8 x 8 tiles, patches without overlap. Joined again, patches
# must give the very image: the published code stretches the remainders at the right and bottom, this one pads them.

# %%
segmented = experiment.prepared("exudates_vgg_cbam")
side, example = segmented.arm.data.patch, segmented.images[:1].numpy()
patches = cut_patches(example, side)
print({"patches": len(patches), "joined again": np.array_equal(join_patches(patches, example.shape[-2:]), example)})

# %%
richest = int(segmented.masks.sum(axis=(1, 2)).argmax())
raw, cleaned = image_set["exudates"].images[richest], segmented.images[richest].numpy()
best = cut_patches(segmented.targets[richest : richest + 1].numpy(), side).sum(axis=(1, 2)).argmax()
patch = (cut_patches(cleaned[None], side)[best], cut_patches(segmented.masks[richest][None], side)[best])
method = {"cropped to the field": raw, "CLAHE": cleaned, "lesion or no lesion?": classified.images[0].numpy()}
figure1 = figures.plot_method(method | {"patch and mask": patch, "marked lesions": (raw, segmented.masks[richest])})
report.save_figure("figure1", figure1, alt="Figure 1: from the photograph to the marked lesions")
show(figure1)

# %% [markdown]
# How much of a retina is lesion? So little that "healthy everywhere" is right almost always: **pixel accuracy
# misleads**, and a network that sees all patches learns just that. The training patches are balanced: one without a
# lesion for each one with it.

# %%
batches = {lesion: experiment.batches(arm) for lesion, arm in lesions.items()}
rows = [pixel_counts(experiment.prepared(arm), batches[lesion]) for lesion, arm in lesions.items()]
pixels = report.save_table(
    "lesion_pixels", pd.DataFrame(rows, index=pd.Index(lesions, name="lesion")).reset_index(), tidy=False
)
show(pixels.round(5))
index = {lesion: (b.targets == 1).any(dim=(1, 2)).nonzero()[:4, 0] for lesion, b in batches.items()}
shown = np.concatenate([batches[lesion].images[some].numpy() for lesion, some in index.items()])
masks = np.concatenate([(batches[lesion].targets[some] == 1).numpy() for lesion, some in index.items()])
titles = [lesion for lesion, some in index.items() for _ in some]
figure2 = figures.plot_images(shown, masks, titles)
report.save_figure("figure2", figure2, alt="Figure 2: patches of the three lesions and their masks")
show(figure2)

# %% [markdown]
# ## 5 · The networks
# Drawn from the networks themselves, at full width, as the code has them: "VGG-16" has 12 convolutions, and what is
# called CBAM looks over the channels in both its parts. 97 % of the VGG classifier is its dense head; most of the
# encoder-decoder is decoder, so a frozen encoder freezes a sixth of it.

# %%
networks = {arm: experiment.arm(f"classify_{arm}") for arm in ("vgg", "vgg_cbam", "resnet", "resnet_cbam")}
full = {"width": 1.0, "input_size": [480, 480]}
stages = {arm.title: stages_of(arm.model | full, (3, 480, 480)) for arm in networks.values()}
figure3 = figures.plot_stages(stages, num_columns=2)
show(report.save_figure("figure3", figure3, alt="Figure 3: the four classifiers, a box a stage"))
decoders = {name: experiment.arm(f"exudates_{name}").model | {"width": 1.0} for name in ("vgg_cbam", "resnet_cbam")}
joined = {networks[name].title: stages_of(settings, (3, 160, 160)) for name, settings in decoders.items()}
figure4 = figures.plot_stages(joined)
show(report.save_figure("figure4", figure4, alt="Figure 4: the encoder-decoder with its skips"))

# %% [markdown]
# ## 6 · Train one network by hand
# The loop is `retina_kit/training/loop.py`, short enough to read aloud. **Stop** keeps the weights so far.

# %%
model, lesion_batches = experiment.model("quick_published"), experiment.batches("quick_published")
recipe = lesion_batches.recipe
history = fit(model, lesion_batches, recipe, device=lesion_batches.images.device, watch=LiveCurve())
show(figures.plot_history(history))

# %% [markdown]
# ## 7 · Train all arms
# Finished runs are loaded from the run store, interrupted ones go on from their last checkpoint.

# %%
runs = experiment.train(workers=workers)
labels = {arm.name: arm.title for arm in experiment.arms}
seconds = round(sum(run.settings["seconds"] for run in runs.values()))
print(len(runs), "runs,", seconds, "seconds of training in all")

# %% [markdown]
# ## 8 · Table 1: lesion or no lesion
# "SD" is over seeds, "CI" over patients drawn anew. The paper's four rows cannot come from one validation set: they
# imply four different shares of images with a lesion (see the findings in section 9).
# The ResNet-like networks have dropout before BatchNorm: statistics that were gathered with dropout do not fit features
# without it. After few updates such a network may say the same of every photograph although its training loss falls.
#
# And what does the leak do? The same network, the same photographs, copies before or after the split.

# %%
table1 = report.save_table("table1", experiment.table("table1"))
scored = table1[table1["metric"] != "time"]
report.save_figure("table1", figures.plot_comparison(scored, labels=labels), alt="Table 1: four classifiers")
leak = report.save_table("leak", experiment.table("leak"))
show(show_comparison(table1, labels), show_comparison(leak, labels))

# %% [markdown]
# ## 9 · Table 2: three lesions
# Accuracy, sensitivity and specificity come from one confusion matrix over all pixels of all test images, so
# accuracy lies between the other two. In four printed rows it does not; the notes say so. Rows of other authors
# follow ours.

# %%
table2 = report.save_table("table2", experiment.table("table2"))
drawn = figures.plot_comparison(table2[table2["n_seeds"] > 0], figures.new_axes(14, 4), labels=labels)
report.save_figure("table2", drawn, alt="Table 2: four encoders, three lesions")
findings = report.save_table("findings", find_anomalies(experiment.published), tidy=False)
show(show_comparison(table2, labels), findings[["sure", "where", "arithmetic"]])

# %% [markdown]
# ## 10 · The paper's question: copied or random, frozen or not?
# Four arms on exudates with one encoder, all alike but for the start; then the same four after a few updates only.
#
# The paper's claim is speed. When has each arm reached 95 % of its own final score, for good? An arm that ends low is
# there early: read the column *final* with it.

# %%
four = report.save_table("four_arms", experiment.table("four_arms"))
scored = four[four["metric"].isin(["dice", "average_precision"])]
report.save_figure("four_arms", figures.plot_comparison(scored, labels=labels), alt="The four arms, long and short")
show(show_comparison(four, labels))
arms = {name: labels[name] for name in ("published", "copied_frozen", "copied_tuned", "random_frozen")}
curves = experiment.histories[experiment.histories["arm"].isin(list(arms))]
passes = {name: recipe.batch_size / len(lesion_batches.images) for name in arms}
speed = report.save_table("convergence", convergence_of(curves, "average_precision", passes), tidy=False)
figure = figures.plot_validations(curves, "average_precision", arms)
report.save_figure("convergence", figure, alt="Area under precision-recall of the four arms while they train")
show(figure)
speed.round(3)

# %% [markdown]
# ## 11 · Figure 5: whole images
# Yellow: hit. Red: missed. Green: false alarm. The colors are the paper's.

# %%
panels = {lesion: experiment.predictions([arm], num_images=1) for lesion, arm in lesions.items()}
images, truths = (np.concatenate([panel[k] for panel in panels.values()]) for k in (0, 1))
found = {"VGG-16 CBAM": np.concatenate([next(iter(panel[2].values())) for panel in panels.values()])}
figure5 = figures.plot_predictions(images, truths, found, titles=list(panels))
report.save_figure("figure5", figure5, alt="Figure 5: hits, misses and false alarms of the three lesions")
show(figure5)

# %% [markdown]
# The worst images of the best start: what goes wrong there? Move the threshold: which mistakes go, and which come?

# %%
images, truth, predicted, names = experiment.predictions(["published", "copied_tuned"], num_images=3, pick="worst")
worst = figures.plot_predictions(images, truth, {labels[arm]: p for arm, p in predicted.items()}, titles=names)
show(report.save_figure("worst", worst, alt="The test images with the lowest Dice"))
explore_predictions(*experiment.probabilities("copied_tuned"))

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
predict_own(Predictor.load(experiment.run_of("copied_tuned").folder, device=device), path="")

# %% [markdown]
# ## 14 · What differs from the paper, and why
# - Messidor, Kaggle and e-ophtha must be asked for; stage 1 takes IDRiD's grading set less every photograph that
#   stage 2 is tested on, and byte-identical pairs stay on one side. Hemorrhages cannot come from e-ophtha, which has
#   none.
# - Which photographs the paper took, how it split them and whether it kept patches without a lesion is not printed.
#   Here the official split is taken, and one patch without a lesion for each one with it.
# - IDRiD_81 is left out for exudates: its mask file is opaque everywhere. 26 test photographs are left.
# - The published code stretches the remainders at the right and bottom to whole patches; here the last patch is moved
#   back, and where patches overlap they are averaged.
# - Keras's L2 penalty on two stages of the ResNet, its learning-rate plateaus and early stopping are left out.
# - The code starts its classifier on Messidor and goes on with Kaggle; here there is one set.
# - `lesson` reduces width, image size, patches and updates, and lets BatchNorm settle faster. The settings table
#   lists every such difference.
#
# ## 15 · Exercises
# Each check says what is right or wrong, and why. Replace the `...` by your answer; a wrong one shows a hint.

# %% [markdown]
# **1.** Which of the four arms of section 10 does what the paper's text says, and which does what its code does? Give
# both, as `{"one", "another"}`.

# %% tags=["exercise"]
check = experiment.check
check.what_the_text_says(...)

# %% tags=["solution"]
check.what_the_text_says({"copied_frozen", "published"})

# %% [markdown]
# **2.** Microaneurysms cover about 0.1 % of the pixels. Which pixel accuracy (per cent) has a network that says
# "healthy everywhere"? (Which printed accuracies of Table 2 does it beat?)

# %% tags=["exercise"]
check.healthy_everywhere(...)

# %% tags=["solution"]
check.healthy_everywhere(100 - 0.1)

# %% [markdown]
# **3.** Table 2 prints, for exudates with VGG-16, sensitivity 88.12 and specificity 96.1 beside accuracy 98.1. What
# is the highest accuracy (per cent) that these two allow?

# %% tags=["exercise"]
check.possible_accuracy(...)

# %% tags=["solution"]
check.possible_accuracy(max(88.12, 96.1))

# %% [markdown]
# **4.** Both frozen: by how much does the copied encoder raise the Dice above the random one, in this run (long arms)?
# Compute it from the table `four`.

# %% tags=["exercise"]
check.part_of_transfer(...)

# %% tags=["solution"]
means = four[four["metric"] == "dice"].set_index("arm")["ours_mean"]
check.part_of_transfer(means["copied_frozen"] - means["random_frozen"])

# %% [markdown]
# **5.** Design the control. `classify_vgg_leaked` has seen copies of its own validation photographs. Does that
# flatter stage 2 as well? Take `exudates_vgg` with the encoder of the clean classifier, then with that of the leaked
# one. An arm is a dictionary: `name`, the arm it is `like`, and what it changes, such as `"start.parent":
# "classify_vgg"`.

# %% tags=["exercise"]
check.does_the_leak_travel(...)

# %% tags=["solution"]
encoder = {"like": "exudates_vgg", "start.parts": ["encoder"]}
clean = {"name": "clean", "start.parent": "classify_vgg"} | encoder
leaked = {"name": "leaked", "start.parent": "classify_vgg_leaked"} | encoder
check.does_the_leak_travel([clean, leaked])

# %% [markdown]
# **To go on:** set `overrides = {"per_lesion": 0.0}` and run all again: with all patches, what happens to
# sensitivity, and what to accuracy? Set `seeds = [0, 1, 2]`: how large is the SD over seeds beside the differences
# between the four encoders?
