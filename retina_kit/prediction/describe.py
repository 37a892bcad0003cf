"""A model card in Markdown, with the headings of Hugging Face: what a network is, and what it must not be used for."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from retina_kit.evaluation.scoring import CLASS_MARK, with_class_names
from retina_kit.evaluation.summary import summarize
from retina_kit.prediction import LIMITS
from retina_kit.prediction.export import checked_sizes, input_channels, is_of_any_size
from retina_kit.prediction.sides import multiple_of_sides
from retina_kit.schema import to_json
from retina_kit.training.metadata import Metadata, TrainedOn

METRICS = {
    "segment": ("dice", "iou", "sensitivity", "specificity"),
    "segment_patches": ("dice", "iou", "sensitivity", "specificity"),
    "classify": ("accuracy", "sensitivity", "specificity"),
    "localize": ("distance",),
}


def model_card(metadata: Metadata, files: Mapping[str, float], scores: pd.DataFrame | None = None) -> str:
    """Write the card of a network; `files` maps exported files to their largest difference from torch.

    `scores` are the scored test images of its run, None if only the weights are known.
    """
    sections = [
        _front_matter(metadata),
        f"# {metadata.label or metadata.arm}\n\n**{LIMITS}**\n\n{_summary(metadata)}",
        f"## Uses\n\n{_uses()}",
        f"## Bias, Risks, and Limitations\n\n{_limits(metadata)}",
        f"## How to Get Started with the Model\n\n{_start(metadata, files)}",
        f"## Training Details\n\n### Training Data\n\n{_data(metadata.sources)}\n\n### Preprocessing\n\n"
        f"{_preprocessing(metadata)}\n\n### Training Procedure\n\n{_training(metadata)}",
        f"## Evaluation\n\n{_scores(metadata, scores)}",
        f"## Technical Specifications\n\n{_settings(metadata)}",
    ]
    return "\n\n".join(sections) + "\n"


def _front_matter(metadata: Metadata) -> str:
    task = {"classify": "image-classification", "localize": "keypoint-detection"}.get(
        metadata.task, "image-segmentation"
    )
    terms = "other" if any(not source.redistribute for source in metadata.sources) else "unknown"
    return f"---\nlibrary_name: retina-kit\npipeline_tag: {task}\nlicense: {terms}\ntags: [retina, teaching]\n---"


def _summary(metadata: Metadata) -> str:
    kinds = {
        "segment": "segments",
        "segment_patches": "segments",
        "classify": "detects",
        "localize": "locates the center of",
    }
    what = ", ".join(metadata.structures) if metadata.task != "localize" else "a structure"
    color = "color (RGB)" if metadata.image_channels == 3 else "gray"
    return (
        f"This network {kinds[metadata.task]} {what} in {color} images of the retina. It is the {metadata.variant} "
        f"checkpoint of arm `{metadata.arm}`, seed {metadata.seed}"
        + (f", fold {metadata.fold}" if metadata.fold is not None else "")
        + f", trained with retina-kit {metadata.kit_version} (run `{metadata.run}`)."
    )


def _uses() -> str:
    return (
        "Direct use: teaching, and research on transfer learning with images like those it was trained on. "
        "Out of scope: any decision about a patient, and images of other devices, populations or diseases "
        "unless you have measured how it performs on them."
    )


def _limits(metadata: Metadata) -> str:
    lines = [
        f"- {LIMITS} No regulatory body has reviewed this network.",
        "- It was trained on few images, and its scores are those of test images from the same source.",
        "- Its probabilities are not calibrated unless you have checked that they are.",
    ]
    if all(source.name.startswith("synthetic") for source in metadata.sources):
        lines.append("- **It has seen synthetic images only**; on real photographs or scans it means nothing.")
    bound = [source.title for source in metadata.sources if not source.redistribute]
    if bound:
        lines.append(f"- Do not pass the weights on without checking the terms of {'; '.join(bound)}.")
    return "\n".join(lines)


def _start(metadata: Metadata, files: Mapping[str, float]) -> str:
    shape = f"({len(metadata.structures)}, H, W)" if metadata.has_classes else "(H, W)"
    call = f'probability = rk.Predictor.load("weights.safetensors")("eye.png")  # float32 {shape}'
    if metadata.task in ("classify", "localize"):
        gives = "a probability" if metadata.task == "classify" else "x and y in pixels of the image"
        call = f'answer = rk.ImagePredictor.load("weights.safetensors")("eye.png")  # {gives}'
    lines = ["```python", "import retina_kit as rk", "", call, "```"]
    for name, difference in files.items():
        sizes = ", ".join(f"{height}x{width}" for height, width in checked_sizes(metadata))
        lines.append(f"\n`{name}`: differs from torch by at most {difference:.1e} (checked at {sizes} pixels, H x W).")
    if files:
        lines.append(f"\n{_interface(metadata)}")
    return "\n".join(lines)


def _interface(metadata: Metadata) -> str:
    size = "x".join(map(str, metadata.working_size))
    multiple = multiple_of_sides(metadata) if is_of_any_size(metadata) else 0
    sides = (
        f"sides of at least {2 * multiple} that {multiple} divides (pad by repeating the edge)"
        if is_of_any_size(metadata)
        else f"size {size}"
    )
    masks = "probabilities (N, h, w)"
    if metadata.has_classes:
        masks = f"probabilities (N, {len(metadata.structures)}, h, w) of {', '.join(metadata.structures)}"
    outputs = {
        "classify": "the probability (N,)",
        "localize": "x and y as fractions of width and height (N, 2)",
    }
    return (
        f"Exported networks take float32 gray values 0 to 255, shape (N, {input_channels(metadata)}, h, w), {sides}, "
        f"after the preprocessing below, and give {outputs.get(metadata.task, masks)}. "
        "Normalization is inside."
    )


def _data(sources: Sequence[TrainedOn]) -> str:
    lines = ["| data set | license | may be passed on | citation | fingerprint |", "|---|---|---|---|---|"]
    for source in sources:
        passed_on = "yes" if source.redistribute else "no"
        cells = (f"{source.name}: {source.title}", source.license, passed_on, source.citation, source.fingerprint)
        lines.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
    return "\n".join(lines)


def _preprocessing(metadata: Metadata) -> str:
    """Describe the way from an image to the network's input, in order."""
    height, width = metadata.working_size
    how = f"resize to {height} x {width} (H x W)"
    if not metadata.stretched:
        how = f"resize so that the longer side is {max(height, width)} pixels, averaging by area"
    steps = [_step(step.name, step.mean, step.std) for step in metadata.preprocessing.steps]
    ordered = [how, *steps] if metadata.resize_first else [*steps, how]
    if metadata.cropped:
        ordered.insert(0, "crop to the field of view")
    mean, std = (", ".join(f"{value:g}" for value in values) for values in (metadata.mean, metadata.std))
    ordered.append(f"normalize: (gray value - {mean}) / {std} (inside exported networks)")
    if metadata.window:
        windows = f"{metadata.window} pixels, stride {metadata.stride or metadata.window}"
        ordered.append(f"predict square windows of {windows}, and average their logits where they overlap")
    return "\n".join(f"{number}. {step}" for number, step in enumerate(ordered, start=1))


def _step(name: str, mean: float | None, std: float | None) -> str:
    """Describe one step, with the statistics of the training images."""
    known = {
        "gray": "convert to gray, 0.299 R + 0.587 G + 0.114 B",
        "standardize": f"standardize, (x - {mean!r}) / {std!r}, then stretch each image to 0..255",
        "equalize": "equalize the histogram locally (CLAHE, clip limit 2, 8 x 8 tiles)",
        "equalize_weakly": "equalize the histogram locally (CLAHE, clip limit 1.5, 8 x 8 tiles)",
        "gamma": "raise to the power 1 / 1.2",
    }
    return known[name]


def _training(metadata: Metadata) -> str:
    return f"{metadata.steps} steps in {metadata.precision}; threshold {metadata.threshold:g}."


def _scores(metadata: Metadata, scores: pd.DataFrame | None) -> str:
    """Tabulate the scores of the test images with their intervals."""
    if scores is None:
        return "Not known from the weights alone; export from the run's folder to have them here."
    rows = scores[scores["variant"] == metadata.variant] if "variant" in scores else scores
    wanted = [name for name in METRICS[metadata.task] if name in scores or "tp" in scores]
    rows = with_class_names(rows.assign(arm=metadata.arm, seed=metadata.seed))
    summary = summarize(rows, wanted, pooled=metadata.task == "classify")
    lines = ["| metric | mean | 95 % interval | test images | patients |", "|---|---|---|---|---|"]
    for row in summary.to_dict("records"):
        known = row["ours_ci_low"] == row["ours_ci_low"]  # not NaN
        interval = f"{row['ours_ci_low']:.3f} to {row['ours_ci_high']:.3f}" if known else "-"
        mean, sizes = f"{row['ours_mean']:.3f}", f"{row['n_images']} | {row['n_patients']}"
        of_class = row["arm"].removeprefix(metadata.arm).replace(CLASS_MARK, " of ")
        lines.append(f"| {row['metric']}{of_class} | {mean} | {interval} | {sizes} |")
    intervals = "no interval: too few patients"
    if summary["ours_ci_low"].notna().any():
        intervals = "the interval is over patients and does not include seed noise"
    note = f"Test images of the same data set, one run; {intervals}."
    return "\n".join([*lines, "", note])


def _settings(metadata: Metadata) -> str:
    """List the network's settings."""
    plain: dict[str, Any] = to_json(metadata, defaults=True)["network"]
    lines = [f"- `{name}`: {value}" for name, value in plain.items()]
    return "\n".join([*lines, f"- input channels: {metadata.in_channels}", f"- classes: {', '.join(metadata.classes)}"])
