"""One network for all four lesions of IDRiD against one network per lesion. What is trained, as data.

Ortiz 2022 and many others train a network per lesion. Here four lesions share one network with a sigmoid each, and
its budget is one of two: as many training steps as one of the four networks has, or as many as the four have together.
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
    Evaluation,
    Paper,
    Recipe,
    Setting,
    Settings,
    Split,
    Table,
    network,
)

LESIONS = {"ma": "microaneurysms", "he": "hemorrhages", "ex": "hard exudates", "se": "soft exudates"}

SETTINGS = {
    "target": Setting(paper="idrid_seg_1024", on_synthetic="synthetic_fundus", what="data set", ours=True),
    "lesions": Setting(paper=[*LESIONS], what="the classes, which may overlap", where="IDRiD, part A"),
    "target_options": Setting(
        paper={"crop": True, "exclude": {"ids": ["IDRiD_81"]}},
        on_synthetic=ByProfile(
            paper={"num_patients": 80, "images_per_patient": 1, "size": [512, 512], "seed": 22, "crop": True},
            lesson={"num_patients": 60, "images_per_patient": 1, "size": [192, 192], "seed": 22, "crop": True},
            smoke={"num_patients": 10, "images_per_patient": 1, "size": [64, 64], "seed": 22, "crop": True},
        ),
        on_own={},
        what="crop to the field of view; IDRiD_81, whose exudate mask covers everything, is left out of all arms",
        ours=True,
    ),
    "split": Setting(
        paper={"kind": "published"},
        on_synthetic={"kind": "patients", "test_fraction": 0.3334, "seed": 0},
        on_own={"kind": "patients", "test_fraction": 0.34, "seed": 0},
        what="the official split, less IDRiD_81: 54 photographs train, 26 test",
        where="IDRiD, part A",
    ),
    "scale": Setting(paper=1.0, smoke=0.5, on_synthetic=1.0, what="working size", ours=True),
    "patch": Setting(
        paper=256,
        lesson=96,
        smoke=32,
        what="side of a patch; networks are tested on patches of the same side",
        ours=True,
    ),
    "per_lesion": Setting(paper=0.25, what="training patches without a lesion for each one with it", ours=True),
    "widths": Setting(
        paper=[32, 64, 128, 256, 512], lesson=[12, 24, 48, 96], smoke=[4, 8], what="channels of the U-Net", ours=True
    ),
    "loss": Setting(paper="soft_dice", what="loss of each class, averaged over the classes of a network", ours=True),
    "learning_rate": Setting(paper=0.001, lesson=0.005, what="learning rate (Adam), which falls to 0", ours=True),
    "batch_size": Setting(paper=16, lesson=8, smoke=2, what="patches per training step", ours=True),
    "steps": Setting(
        paper=4000,
        lesson=300,
        smoke=2,
        on_synthetic=ByProfile(lesson=80),
        what="training steps of a network for one lesion; the long arm has as many for each of its lesions",
        ours=True,
    ),
    "mean": Setting(paper=[120.0, 70.0, 25.0], what="gray value that is subtracted from each channel", ours=True),
    "std": Setting(paper=[60.0, 40.0, 25.0], what="gray value that each channel is divided by", ours=True),
    "seeds": Setting(paper=[0, 1, 2], smoke=[0], what="random seeds", ours=True),
}


def lesions(s: Settings, name: str, label: str, role: str, *, classes: list[str], steps: int) -> Arm:
    """A U-Net with a sigmoid for each of the classes; the arms differ in the classes and the steps, in nothing else."""
    what = {"mask": classes[0]} if len(classes) == 1 else {"masks": classes}
    return Arm(
        name,
        label=label,
        role=role,
        task="segment_patches",
        data=Data(
            s.target,
            options=s.target_options,
            scale=s.scale,
            patch=s.patch,
            per_lesion=s.per_lesion,
            mean=s.mean,
            std=s.std,
            **what,
        ),
        split=Split(**s.split),
        model=network("unet", in_channels=3, num_classes=len(classes), widths=s.widths, norm="batch"),
        recipe=Recipe(
            loss=s.loss,
            learning_rate=s.learning_rate,
            schedule="cosine",
            batch_size=s.batch_size,
            steps=steps,
            augmentation=Augmentation(flip=0.5),
        ),
        evaluation=Evaluation(batch_size=1),
    )


def arms(s: Settings, profile: str) -> Iterator[Arm]:
    """A network per lesion, and one for all: with the steps of one of them, and with those of all of them."""
    for lesion in s.lesions:
        label = f"a network for {LESIONS.get(lesion, lesion)} alone"
        yield lesions(s, f"alone_{lesion}", label, "replication", classes=[lesion], steps=s.steps)
    number = len(s.lesions)
    for name, label, steps in (
        ("short", "one network, the steps of one", s.steps),
        ("long", f"one network, the steps of all {number}", number * s.steps),
    ):
        yield lesions(s, f"together_{name}", label, "control", classes=s.lesions, steps=steps)


def pairs(arm: str) -> list[list[str]]:
    """Each lesion in one network, and in a network of its own."""
    return [[f"{arm}:{lesion}", f"alone_{lesion}"] for lesion in LESIONS]


TABLES = tuple(
    Table(
        id=table,
        title=f"{name.capitalize()} of IDRiD",
        metrics=("average_precision", "dice", "sensitivity", "precision"),
        item="",
        rows=dict.fromkeys((f"alone_{lesion}", f"together_short:{lesion}", f"together_long:{lesion}"), ""),
    )
    for lesion, name in LESIONS.items()
    for table in [name.replace(" ", "_")]
)
MARGIN = 0.02
CLAIMS = (
    Claim(
        id="one_network_beats_four",
        statement="One network, trained for as many steps as the four together, is better on average over the lesions",
        kind="control",
        test="greater_on_average",
        metric="average_precision",
        margin=MARGIN,
        arms=pairs("together_long"),
    ),
    Claim(
        id="in_every_lesion",
        statement="With as many steps as the four together it is better in every lesion",
        kind="control",
        test="all_greater",
        metric="average_precision",
        margin=MARGIN,
        arms=pairs("together_long"),
    ),
    Claim(
        id="at_a_quarter_of_the_steps",
        statement="One network, trained for the steps of one of the four, is better on average over the lesions",
        kind="control",
        test="greater_on_average",
        metric="average_precision",
        margin=MARGIN,
        arms=pairs("together_short"),
    ),
    Claim(
        id="more_steps_help",
        statement="The network for four lesions gains from four times as many steps",
        kind="control",
        test="greater_on_average",
        metric="average_precision",
        arms=[[f"together_long:{lesion}", f"together_short:{lesion}"] for lesion in LESIONS],
    ),
)
PAPER = Paper(
    key="idrid_four_lesions",
    title="One network for four lesions",
    notebook="idrid_four_lesions_notebook",
    question="Does one network for all lesions beat one network for each of them, at the same budget?",
    data={
        "synthetic": DataSource(description="Synthetic fundus photographs with exact masks of four lesions."),
        "public": DataSource(
            description="IDRiD, part A: 54 training and 26 test photographs with masks of four lesions.",
            packs=("idrid_seg_1024",),
        ),
    },
    settings=SETTINGS,
    arms=arms,
    tables=TABLES,
    claims=CLAIMS,
    artifacts=Artifacts(
        tables=("settings", *(table.id for table in TABLES)),
        figures=(*(table.id for table in TABLES), "overlays", "examples", "claims"),
    ),
)
