"""Checks a whole experiment file before anything runs: every profile, every data choice, every name it uses."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING, Any

from retina_kit.data.card import kit_cards
from retina_kit.data.dataset import SYNTHETIC, check_options
from retina_kit.data.manifest import read_card
from retina_kit.data.transforms import STEP_NAMES
from retina_kit.errors import KitError, UsageError, did_you_mean, unknown_name
from retina_kit.runs.supply import SEEDS_BELOW, problem_of_settings
from retina_kit.training.arm import Arm

if TYPE_CHECKING:
    from retina_kit.experiment_file import Paper

READ_BY_THE_KIT = {"seeds", "graders"}  # settings that Experiment reads itself
PROFILES = ("smoke", "lesson", "paper")


def check_paper(paper: "Paper", code: CodeType, notebook: Path) -> None:
    """Raise UsageError for the first name in an experiment file that nothing knows or nothing uses.

    `code` is the compiled experiment file; `notebook` the paper's notebook, which may read settings, too.
    """
    check_settings_are_read(paper, code, notebook)
    arms = list(dict.fromkeys(name for arm in all_arms(paper) for name in arm.scored_names))
    for table in paper.tables:
        check_arms_exist(f"table {table.id}", table.rows, arms)
    for claim in paper.claims:
        check_arms_exist(f"claim {claim.id}", claim.arm_names(), arms)


def check_settings_are_read(paper: "Paper", code: CodeType, notebook: Path) -> None:
    """Raise UsageError for a setting that neither an arm nor the notebook reads, such as a misspelled one."""
    read = _names_used_in(code) | READ_BY_THE_KIT
    for path in (notebook, notebook.with_suffix(".ipynb")):
        if path.is_file():
            read |= set(re.findall(r"parameters\[\\?['\"](\w+)\\?['\"]\]", path.read_text(encoding="utf-8")))
    for name in paper.settings:
        if name not in read:
            raise UsageError(f"{paper.key}: nothing reads the setting {name!r}{did_you_mean(name, read)}")


def _names_used_in(code: CodeType) -> set[str]:
    """Return the attributes and global names that compiled code uses, its functions included."""
    inner = [_names_used_in(constant) for constant in code.co_consts if isinstance(constant, CodeType)]
    return set(code.co_names).union(*inner)


def all_arms(paper: "Paper") -> list[Arm]:
    """Resolve the arms of every profile and data choice, a target of your own included, and check each."""
    found, checked = [], set()
    for profile in PROFILES:
        for data in paper.data:
            for choice in (data, "own"):
                arms = paper.resolve_arms(profile, paper.resolve_settings(profile, choice, instead_of=data))
                names = {arm.name for arm in arms}
                for arm in arms:
                    if arm.parent and arm.parent not in names:
                        raise UsageError(f"arm {arm.name} starts from {arm.parent!r}{did_you_mean(arm.parent, names)}")
                    if problem := problem_of_settings(arm):
                        raise UsageError(f"arm {arm.name}: {problem}")
                    if choice != "own" and (data_of := repr(arm.data)) not in checked:
                        check_data(arm, may_be_own=paper.files.is_own)
                        checked.add(data_of)
                found += arms
    return found


def check_data(arm: Arm, *, may_be_own: bool = False) -> None:
    """Raise UsageError for a preprocessing step, mask, data set or option of an arm that does not exist.

    A data set that the kit does not know `may_be_own`: it is looked up when the data root is known.
    """
    for step in arm.data.preprocess:
        if step not in STEP_NAMES:
            raise unknown_name(f"preprocessing step of arm {arm.name}", step, STEP_NAMES)
    if may_be_own and arm.data.dataset not in (*SYNTHETIC, *kit_cards()):
        return
    if arm.data.dataset not in SYNTHETIC:
        card = read_card(arm.data.dataset)
        masks = [*card.masks, *card.derived]
        for mask in arm.data.classes:
            if mask not in masks:
                raise UsageError(f"arm {arm.name}: {card.name} has no mask {mask!r}{did_you_mean(mask, masks)}")
    try:
        check_options(arm.data.dataset, arm.data.options, "")
    except KitError as error:
        raise UsageError(f"arm {arm.name}: {error}") from error


def check_name(kind: str, name: str, known: Sequence[str]) -> None:
    """Raise UsageError for a name that is none of those known, with the closest one as a suggestion."""
    if name not in known:
        raise unknown_name(kind, name, known)


def checked_seeds(seeds: Any) -> list[int]:
    """Return seeds as a list; anything but whole numbers, each once, is an error, such as text from papermill."""
    if not isinstance(seeds, list | tuple) or not all(isinstance(s, int) and not isinstance(s, bool) for s in seeds):
        raise UsageError(f"seeds={seeds!r} must be a list of whole numbers, such as [0, 1, 2]")
    if not seeds:
        raise UsageError("at least one seed is needed, such as --seeds 0")
    for seed in seeds:
        if not 0 <= seed < SEEDS_BELOW:
            raise UsageError(f"seed {seed} is not one; seeds are at least 0 and below {SEEDS_BELOW}")
    if len(set(seeds)) < len(seeds):
        raise UsageError(f"seeds={list(seeds)} has a seed twice; give each once, such as {list(range(len(seeds)))}")
    return list(seeds)


def check_arms_exist(where: str, names: Iterable[str], arms: Iterable[str]) -> None:
    """Raise UsageError for an arm that no profile has, or for one with several classes of which none is named."""
    for name in names:
        if name not in set(arms):
            raise UsageError(f"{where} names an arm {name!r} that no profile has{did_you_mean(name, arms)}")
