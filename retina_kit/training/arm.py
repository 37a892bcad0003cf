"""An arm: one experimental condition of a paper, as typed data that resolves to plain JSON."""

from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, model_validator
from pydantic.dataclasses import dataclass

from retina_kit.data.splits import HoldOut, Split
from retina_kit.errors import UsageError, did_you_mean
from retina_kit.evaluation.scoring import CLASS_MARK
from retina_kit.models.build import network, num_classes_of
from retina_kit.schema import STRICT, Count, Floats, Ints, Names, Size, as_tuple
from retina_kit.training.recipe import Recipe

DataChoice = Literal["synthetic", "public", "paper"]
Choices = Annotated[tuple[DataChoice, ...], BeforeValidator(as_tuple)]
VARIANTS = ("last", "best", "last_whole", "best_whole")
SEGMENTS = ("segment", "segment_patches")


def _checked_network(settings: dict[str, Any]) -> dict[str, Any]:
    try:
        return network(**settings)
    except (UsageError, TypeError) as error:
        raise ValueError(str(error)) from error


Model = Annotated[dict[str, Any], AfterValidator(_checked_network)]  # what models.build.network returns


@dataclass(frozen=True, config=STRICT)
class Data:
    """What an arm is trained and tested on, and how its images reach the network."""

    dataset: str  # a data set with a card, or synthetic_oct, synthetic_fundus
    mask: str = ""  # of segmentation tasks
    masks: Names = ()  # instead of `mask`: the classes of one network, each with a sigmoid of its own; may overlap
    options: dict[str, Any] = field(default_factory=dict)  # of data.dataset.load_images
    size: Size | None = None  # height, width that the network sees; None: the image's own, times `scale`
    scale: float = 1.0
    preprocess: Names = ()  # operations of data.transforms, in this order
    preprocess_first: bool | None = None  # before resizing; None: as the task does ("classify" before, others after)
    mean: Floats = (0.0,)  # a batch is (gray value - mean) / std, gray values 0 to 255
    std: Floats = (255.0,)
    copies: Count = 0  # augmented copies of each training image, made before training
    label: str = "has_lesion"  # column that the task "classify" predicts
    patch: Count = 0  # side of the patches of "segment_patches", in pixels
    per_lesion: float = 0.0  # patches without a lesion for each one with it; 0: all of them
    center: Names = ()  # columns (x, y) that "localize" learns, in pixels
    test_center: Names = ()  # columns it is tested against, if others
    shuffle_centers: bool = False  # of the training images among themselves: "localize" then learns images only
    diameter: Names = ()  # columns of the structure's diameter, averaged

    @model_validator(mode="after")
    def _check(self) -> "Data":
        if self.mask and self.masks:
            raise ValueError(f"mask {self.mask!r} and masks {list(self.masks)} exclude each other; give one of them")
        if len(set(self.masks)) < len(self.masks):
            raise ValueError(f"masks {list(self.masks)} name a class twice")
        return self

    @property
    def classes(self) -> tuple[str, ...]:
        """The masks that are segmented: one, several, or none if the task needs no mask.

        >>> Data("idrid_seg_1024", masks=["ma", "he"]).classes, Data("chase_db1", mask="vessels").classes
        (('ma', 'he'), ('vessels',))
        """
        return self.masks or ((self.mask,) if self.mask else ())


@dataclass(frozen=True, config=STRICT)
class Start:
    """The weights that an arm starts from: those of another arm, or random ones whose frozen parts are calibrated."""

    parent: str = ""  # the arm whose trained weights are copied; empty: none, the start is random
    parts: Names = ()  # sub-modules that are copied, such as "encoder"; empty: everything that fits
    into: str = ""  # sub-module that is a network like the parent
    calibrate: bool = False  # measure the BatchNorm statistics of frozen parts on the training images first

    @model_validator(mode="after")
    def _check(self) -> "Start":
        if not self.parent and (self.parts or self.into):
            raise ValueError("a start without a parent copies nothing, so it has neither parts nor into")
        if not self.parent and not self.calibrate:
            raise ValueError("a start needs a parent or calibrate=True; leave it out for random weights")
        return self


@dataclass(frozen=True, config=STRICT)
class Evaluation:
    """How an arm is validated while it trains, and tested afterwards."""

    variants: Names = ("last",)  # checkpoint (last, best), and "_whole" for whole images instead of windows
    window: Count = 0  # side of the test windows in pixels; 0: whole images
    stride: Count = 0
    batch_size: Count = 0  # images or windows at once; 0: the task's own
    validation_fraction: float = 0.0  # of the training images, held out; 0: the test images are validated on
    validation_by: HoldOut = "last"  # which images are held out; spread: at even distances, patient: whole patients
    select_by: Literal["score", "loss"] = "score"  # of the best checkpoint: the task's own score or the validation loss
    validate_on: Count = 0  # number of images that "segment_patches" is validated on; 0: all
    pixels: Size | None = None  # height, width of the image in whose pixels a localizer is scored

    @model_validator(mode="after")
    def _check(self) -> "Evaluation":
        for variant in self.variants:
            if variant not in VARIANTS:
                raise ValueError(f"variant {variant!r} is not one of {', '.join(VARIANTS)}")
        if not 0 <= self.validation_fraction < 1:
            raise ValueError(f"validation_fraction is {self.validation_fraction}; it is at least 0 and below 1")
        if self.validation_by != "last" and not self.validation_fraction:
            raise ValueError(f"validation_by {self.validation_by!r} needs a validation_fraction above 0")
        return self


@dataclass(frozen=True, config=STRICT)
class Arm:
    """One experimental condition: data, split, network, start and recipe.

    `role` is "replication" (what the paper or its code did), "control" (removes one confound) or "pretraining".
    Name, label, role and where the arm applies decide no result; all other fields enter the hash of its runs.
    """

    name: str
    role: Literal["pretraining", "replication", "control"]
    data: Data
    split: Split
    model: Model
    recipe: Recipe
    label: str = ""
    task: Literal["segment", "segment_patches", "classify", "localize"] = "segment"
    start: Start | None = None
    freeze: Names = ()  # sub-modules whose weights and BatchNorm statistics stay as they start
    evaluation: Evaluation = Evaluation()
    folds: Count = 0  # cross-validation folds; 0: one split
    seeds: Ints | None = None  # None: the experiment's
    needs: Names = ()  # further data sets, without which the arm is left out
    needs_package: str = ""  # a Python package, such as one of ImageNet weights, without which the arm is left out
    only_on: Choices = ()  # data choices that have this arm; empty: all

    @model_validator(mode="after")
    def _check(self) -> "Arm":
        if self.recipe.num_steps(1) == 0 and self.parent is None and not self.model.get("weights"):
            raise ValueError(f"arm {self.name} has no training steps and no parent, so there is nothing to score")
        if self.keeps_best and not self.recipe.validate_every:
            raise ValueError(f"arm {self.name} is tested at its best checkpoint, but validate_every is 0")
        if self.data.shuffle_centers and self.task != "localize":
            raise ValueError(f"arm {self.name} has no centers to shuffle; only the task localize has")
        if self.start and self.start.calibrate and not self.freeze:
            raise ValueError(f"arm {self.name} calibrates the BatchNorm statistics of frozen parts, but freezes none")
        if CLASS_MARK in self.name:
            raise ValueError(f"arm {self.name!r} has {CLASS_MARK!r} in its name, which is for its classes")
        self._check_classes()
        if self.task == "classify" and not self.recipe.augmentation.keeps_geometry:
            raise ValueError(f"arm {self.name} classifies, which augments colors only; use copies for moved images")
        if self.data.copies and self.task not in ("classify", "segment_patches"):
            remedy = 'ask the data set for them, options={"copies": ...}'
            remedy = remedy if self.task == "segment" else "only classify and segment_patches do"
            raise ValueError(f"arm {self.name}: the task {self.task} makes no copies; {remedy}")
        return self

    def _check_classes(self) -> None:
        """Raise ValueError if the network has not one channel per class; for one mask, one channel or two."""
        has, masks = num_classes_of(self.model), self.data.masks
        if self.task not in SEGMENTS:
            if masks:
                raise ValueError(f"arm {self.name} has masks {list(masks)}, but its task is {self.task}")
        elif masks and has != len(masks):
            remedy = f"set num_classes={len(masks)}, one per mask"
            raise ValueError(f"arm {self.name} has {len(masks)} masks, but its network num_classes={has}; {remedy}")
        elif not masks and has not in (1, 2):
            remedy = "name the classes in masks=[...], or set num_classes to 1 (sigmoid) or 2 (softmax)"
            raise ValueError(f"arm {self.name} has one mask, but its network num_classes={has}; {remedy}")

    def class_of(self, name: str) -> str:
        """Return the class that a name such as "lesions:ma" is about, of an arm with one class that class.

        Raises UsageError for a class that the arm does not have, and if it has several and none is named.
        """
        classes, (_, mark, wanted) = self.data.classes, name.partition(CLASS_MARK)
        if mark and wanted not in self.data.masks:
            raise UsageError(f"arm {self.name} has no class {wanted!r}{did_you_mean(wanted, self.data.masks)}")
        if not mark and len(classes) != 1:
            names = ", ".join(self.scored_names) if classes else "none; it does not segment"
            raise UsageError(f"arm {self.name} has several classes; name one of them: {names}")
        return wanted or classes[0]

    @property
    def scored_names(self) -> tuple[str, ...]:
        """The names under which the arm is scored: its own, or that of each class, such as "lesions:ma"."""
        return tuple(f"{self.name}{CLASS_MARK}{mask}" for mask in self.data.masks) or (self.name,)

    @property
    def keeps_best(self) -> bool:
        """Whether the arm is also tested at its best validation checkpoint."""
        return any(variant.startswith("best") for variant in self.evaluation.variants)

    @property
    def parent(self) -> str | None:
        """The name of the arm it starts from."""
        return (self.start.parent or None) if self.start else None

    @property
    def title(self) -> str:
        """The label, or the name if there is none."""
        return self.label or self.name

    @property
    def titles(self) -> dict[str, str]:
        """The title of each of the names under which the arm is scored; that of a class ends in the class."""
        of_class = [f"{self.title}: {mask}" for mask in self.data.masks]
        return dict(zip(self.scored_names, of_class or [self.title], strict=True))
