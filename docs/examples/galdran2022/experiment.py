"""Galdran et al. 2022: State-of-the-art retinal vessel segmentation with minimalistic models. What is trained, as data.

The paper's thesis: a minimal U-Net suffices. Here four arms per data set, with equally many training steps: the
minimal U-Net, one with as many weights as the paper's W-Net, one with 36 times as many as the minimal one, and the
minimal one pretrained on synthetic eyes.
"""

from collections.abc import Iterator

from retina_kit.experiment_file import (
    Arm,
    Artifacts,
    Augmentation,
    ByProfile,
    Claim,
    Data,
    DataSource,
    Paper,
    Recipe,
    Setting,
    Settings,
    Split,
    Start,
    Table,
    network,
)

CODE = "the authors' code, lwnet ce72dda"
BENCHMARK = "bob.ip.binseg 1f06ce6, doc/results/baselines/vessel.rst"

SETTINGS = {
    "chase": Setting(
        paper="chase_db1", on_synthetic="synthetic_fundus", what="first data set", where=f"{CODE}, README.md"
    ),
    "stare": Setting(
        paper="stare",
        on_synthetic="synthetic_fundus",
        what="second data set; the authors only test on it",
        where=f"{CODE}, get_public_data.py",
    ),
    "chase_options": Setting(
        paper={},
        on_synthetic=ByProfile(
            paper={"num_patients": 28, "images_per_patient": 1, "size": [512, 512], "seed": 1},
            lesson={"num_patients": 28, "images_per_patient": 1, "size": [128, 128], "seed": 1},
            smoke={"num_patients": 6, "images_per_patient": 1, "size": [32, 32], "seed": 1},
        ),
        what="how the synthetic images in place of the first data set are generated",
        ours=True,
    ),
    "stare_options": Setting(
        paper={},
        on_synthetic=ByProfile(
            paper={"num_patients": 20, "images_per_patient": 1, "size": [512, 512], "contrast": 0.7, "seed": 2},
            lesson={"num_patients": 20, "images_per_patient": 1, "size": [128, 128], "contrast": 0.7, "seed": 2},
            smoke={"num_patients": 6, "images_per_patient": 1, "size": [32, 32], "contrast": 0.7, "seed": 2},
        ),
        what="how those in place of the second one are generated: with less contrast",
        ours=True,
    ),
    "chase_split": Setting(
        paper={"kind": "patients", "test_fraction": 0.714, "seed": 0},
        smoke={"kind": "patients", "test_fraction": 0.5, "seed": 0},
        what="8 training and 20 test images as in the authors' code, but of children at random, not the first four",
        ours=True,
    ),
    "stare_split": Setting(
        paper={"kind": "patients", "test_fraction": 0.5, "seed": 0},
        what="half of the patients are tested, one image each",
        ours=True,
    ),
    "source_options": Setting(
        paper={"num_patients": 200, "images_per_patient": 1, "size": [512, 512], "seed": 3},
        lesson={"num_patients": 60, "images_per_patient": 1, "size": [128, 128], "seed": 3},
        smoke={"num_patients": 6, "images_per_patient": 1, "size": [32, 32], "seed": 3},
        what="how the synthetic images of the pretraining are generated",
        ours=True,
    ),
    "size": Setting(
        paper=[512, 512],
        lesson=[256, 256],
        smoke=[32, 32],
        on_synthetic=ByProfile(lesson=[128, 128]),
        what="height and width that the networks see, in pixels",
        where=f"{CODE}, train_cyclical.py",
    ),
    "crop": Setting(
        paper=0,
        lesson=96,
        smoke=0,
        what="side of the random crops that are trained on, in pixels; 0: whole images",
        ours=True,
    ),
    "preprocess": Setting(
        paper=[],
        lesson=["equalize"],
        what="preprocessing; the lesson's local contrast equalization (CLAHE) needs fewer steps",
        where=f"{CODE}, utils/get_loaders.py",
    ),
    "small_widths": Setting(
        paper=[8, 16, 32], smoke=[4, 8], what="channels of the minimal U-Net", where=f"{CODE}, models/get_model.py"
    ),
    "wnet_widths": Setting(
        paper=[12, 24, 48],
        smoke=[6, 12],
        what="channels of a U-Net with as many weights as the W-Net (the authors' big_unet)",
        where=f"{CODE}, models/get_model.py",
    ),
    "large_widths": Setting(
        paper=[24, 48, 96, 192],
        smoke=[8, 16, 32],
        what="channels of the control: 36 times the weights of the minimal U-Net, and one more level",
        ours=True,
    ),
    "loss": Setting(
        paper="cross_entropy",
        lesson="cross_entropy_and_dice",
        what="loss: binary cross-entropy; with the Dice loss the lesson needs fewer steps",
        where=f"{CODE}, train_cyclical.py",
    ),
    "optimizer": Setting(paper="adam", what="optimizer", where=f"{CODE}, train_cyclical.py"),
    "learning_rate": Setting(
        paper=0.01,
        lesson=0.005,
        what="learning rate, at its highest; at 0.01 a larger network may learn nothing in a lesson",
        where=f"{CODE}, train_cyclical.py",
    ),
    "schedule": Setting(
        paper="poly", what="how the learning rate falls; the authors restart a cosine 40 times", ours=True
    ),
    "batch_size": Setting(paper=4, smoke=2, what="images per training step", where=f"{CODE}, train_cyclical.py"),
    "steps": Setting(
        paper=4000,
        lesson=400,
        smoke=2,
        what="training steps of each arm: 40 cycles of 50 epochs of 6 images, 2 steps each",
        where=f"{CODE}, README.md",
    ),
    "seeds": Setting(paper=[0, 1, 2], smoke=[0], what="seeds; the authors' code has one", ours=True),
}


def recipe(s: Settings) -> Recipe:
    """The recipe of all arms: equally many steps, whatever the size of the network."""
    return Recipe(
        loss=s.loss,
        optimizer=s.optimizer,
        learning_rate=s.learning_rate,
        schedule=s.schedule,
        batch_size=s.batch_size,
        steps=s.steps,
        augmentation=Augmentation(crop=s.crop, ratio=(0.95, 1.2), flip=0.5),
    )


def unet(widths: list[int]) -> dict:
    """A U-Net with BatchNorm for color photographs."""
    return network("unet", in_channels=3, widths=widths, norm="batch")


def vessels(
    target: Data, split: dict, s: Settings, name: str, label: str, role: str, widths: list[int], **start
) -> Arm:
    """Segment the vessels of one of the two data sets."""
    return Arm(
        name,
        label=label,
        role=role,
        data=target,
        split=Split(**split),
        model=unet(widths),
        recipe=recipe(s),
        **start,
    )


def fundus(dataset: str, options: dict, s: Settings) -> Data:
    """Photographs with vessel masks, at the networks' size."""
    return Data(dataset, mask="vessels", options=options, size=s.size, preprocess=tuple(s.preprocess))


def target(dataset: str, options: dict, s: Settings) -> Data:
    """One of the two data sets; real photographs are cropped to their field of view, as in the authors' code."""
    crop = {} if dataset == "synthetic_fundus" else {"crop": True}
    return fundus(dataset, options | crop, s)


def arms(s: Settings, profile: str) -> Iterator[Arm]:
    """Per data set four networks, trained for equally many steps."""
    yield Arm(
        "source",
        label="minimal U-Net on synthetic eyes",
        role="pretraining",
        data=fundus("synthetic_fundus", s.source_options, s),
        split=Split("patients", test_fraction=0.2, seed=0),
        model=unet(s.small_widths),
        recipe=recipe(s),
        seeds=(0,),
    )
    targets = {
        "chase": (target(s.chase, s.chase_options, s), s.chase_split),
        "stare": (target(s.stare, s.stare_options, s), s.stare_split),
    }
    for which, data in targets.items():
        yield vessels(*data, s, f"small_{which}", "minimal U-Net", "replication", s.small_widths)
        yield vessels(*data, s, f"large_{which}", "36 times the weights", "control", s.large_widths)
        yield vessels(*data, s, f"wnet_sized_{which}", "the W-Net's number of weights", "control", s.wnet_widths)
        label, start = "minimal U-Net, pretrained on synthetic eyes", Start("source")
        yield vessels(*data, s, f"pretrained_{which}", label, "control", s.small_widths, start=start)


def rows(which: str) -> dict[str, str]:
    """The arms of one data set next to the published rows."""
    return {
        f"small_{which}": "W-Net, 68 k weights",
        f"large_{which}": "U-Net, 25.8 M weights",
        f"wnet_sized_{which}": "",
        f"pretrained_{which}": "",
    }


TABLES = (
    Table(id="chase", title="Vessels of CHASE_DB1", metrics=("dice", "recall", "precision"), rows=rows("chase")),
    Table(id="stare", title="Vessels of STARE", metrics=("dice", "recall", "precision"), rows=rows("stare")),
)
CLAIMS = (
    Claim(
        id="small_suffices_on_chase",
        statement="On CHASE_DB1 a minimal U-Net is at most 0.02 Dice worse than one with 36 times the weights",
        kind="replication",
        test="not_worse",
        arms=("small_chase", "large_chase"),
        margin=0.02,
        where="abstract",
    ),
    Claim(
        id="small_suffices_on_stare",
        statement="On STARE a minimal U-Net is at most 0.02 Dice worse than one with 36 times the weights",
        kind="replication",
        test="not_worse",
        arms=("small_stare", "large_stare"),
        margin=0.02,
        where="abstract",
    ),
    Claim(
        id="small_reaches_the_large_published_one",
        statement="On CHASE_DB1 the minimal U-Net reaches the published 0.807 of a U-Net with 25.8 M weights",
        kind="replication",
        test="above_value",
        arms=("small_chase",),
        value=0.807,
        where=f"{BENCHMARK}, first table",
    ),
    Claim(
        id="the_weights_of_a_wnet_help_on_chase",
        statement="On CHASE_DB1 a U-Net with as many weights as the W-Net beats the minimal one",
        kind="control",
        test="greater",
        arms=("wnet_sized_chase", "small_chase"),
    ),
    Claim(
        id="the_weights_of_a_wnet_help_on_stare",
        statement="On STARE a U-Net with as many weights as the W-Net beats the minimal one",
        kind="control",
        test="greater",
        arms=("wnet_sized_stare", "small_stare"),
    ),
    Claim(
        id="pretraining_helps_on_chase",
        statement="On CHASE_DB1 pretraining on synthetic eyes helps the minimal U-Net",
        kind="control",
        test="greater",
        arms=("pretrained_chase", "small_chase"),
    ),
    Claim(
        id="pretraining_helps_on_stare",
        statement="On STARE pretraining on synthetic eyes helps the minimal U-Net",
        kind="control",
        test="greater",
        arms=("pretrained_stare", "small_stare"),
    ),
)
PAPER = Paper(
    key="galdran2022",
    title="Segment vessels with a minimal U-Net",
    notebook="galdran2022_notebook",
    question="Does a U-Net with 30 thousand weights segment vessels as well as one with a million?",
    data={
        "synthetic": DataSource(description="Synthetic fundus photographs with exact vessel masks, of two contrasts."),
        "public": DataSource(
            description="CHASE_DB1 (8 training, 20 test images) and STARE (10 and 10), first observers.",
            packs=("chase_db1", "stare"),
        ),
    },
    settings=SETTINGS,
    arms=arms,
    tables=TABLES,
    claims=CLAIMS,
    artifacts=Artifacts(tables=("settings", "chase", "stare"), figures=("chase", "stare", "examples", "claims")),
)
