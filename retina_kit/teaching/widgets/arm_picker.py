"""The arm picker: choose two arms and see what they differ in; a controlled comparison differs in one factor.

A factor is what a reader would change as one thing: the start of the network (its parent and the copied parts), what
is frozen, the number of steps, the loss, the data, and so on. Several settings can belong to one factor.
"""

import html
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import ipywidgets
import pandas as pd

from retina_kit.reporting.living.states import arms_state
from retina_kit.reporting.tables import deciding_settings, differing_settings
from retina_kit.schema import to_json
from retina_kit.teaching.widgets.static import present
from retina_kit.training.arm import Arm

STYLE = "style='text-align:left; padding:2px 10px'"
FACTORS = {  # the beginning of a setting's name, and the factor it belongs to
    "start.": "start",
    "freeze": "freezing",
    "recipe.steps": "number of steps",
    "recipe.epochs": "number of steps",
    "recipe.loss": "loss",
    "recipe.auxiliary": "loss",
    "data.": "data",
    "split.": "split",
    "folds": "split",
    "model.": "network",
    "evaluation.": "scoring",
}
STEPS = "number of steps"
CountSteps = Callable[[str], int]  # name of an arm -> the number of its own steps


def factor_of(setting: str) -> str:
    """Return the factor that a setting belongs to; a setting that no factor lists is a factor of its own.

    >>> [factor_of(name) for name in ("start.parts", "recipe.epochs", "recipe.batch_size")]
    ['start', 'number of steps', 'batch size']
    """
    found = [factor for beginning, factor in FACTORS.items() if setting.startswith(beginning)]
    return found[0] if found else setting.split(".")[-1].replace("_", " ")


def total_steps(arm: Arm, arms: Mapping[str, Arm], count: CountSteps) -> int:
    """Add up the steps of an arm and of all that it starts from."""
    own = count(arm.name)
    return own + total_steps(arms[arm.parent], arms, count) if arm.parent else own


def differing_factors(first: Arm, second: Arm, totals: tuple[int, int] | None = None) -> pd.DataFrame:
    """List what two arms differ in: factor, setting, first, second.

    `totals` are the numbers of steps of both arms, pretraining included. If they are equal, the steps are no factor:
    then the shorter training of one arm is part of its start.
    """
    table = differing_settings(to_json(first), to_json(second))
    table.insert(0, "factor", [factor_of(name) for name in table["setting"]])
    if totals and totals[0] == totals[1]:
        table.loc[table["factor"] == STEPS, "factor"] = "start"
    return table


def comparison_html(first: Arm, second: Arm, totals: tuple[int, int] | None = None) -> str:
    """Describe what two arms differ in, as HTML: a sentence, and a table of factor, setting, first and second."""
    table = differing_factors(first, second, totals)
    names = [html.escape(arm.title) for arm in (first, second)]
    factors = list(dict.fromkeys(table["factor"]))
    count = len(factors)
    if count == 0:
        verdict = "They are the same arm."
    elif count == 1:
        verdict = f"One factor differs, the {factors[0]}: a controlled comparison."
    else:
        listed = ", ".join(factors)
        verdict = f"{count} factors differ ({listed}): the scores cannot tell which of them made a difference."
    if totals:
        verdict += f" Steps, pretraining included: {totals[0]:,} and {totals[1]:,}."
    heads = "".join(f"<th {STYLE}>{name}</th>" for name in ("factor", "setting", *names))
    rows = [
        "<tr>" + "".join(f"<td {STYLE}>{html.escape(str(cell))}</td>" for cell in row) + "</tr>"
        for row in table.itertuples(index=False)
    ]
    body = f"<table><tr>{heads}</tr>{''.join(rows)}</table>" if count else ""
    return f"<p><b>{names[0]}</b> compared with <b>{names[1]}</b>. {verdict}</p>{body}"


def pick_arms(
    arms: Iterable[Arm], first: str | None = None, second: str | None = None, *, num_steps: CountSteps | None = None
) -> None:
    """Show two arms next to each other, each chosen from a list; a static page keeps the first comparison.

    `arms` are those of an experiment; `first` and `second` are names (default: the first two arms that are not
    pretraining). `num_steps` counts the steps of an arm by its name, for arms that are given in epochs.
    """
    picker = ArmPicker(arms, first, second, num_steps)
    text = f"{picker.first.value} compared with {picker.second.value}"
    present(picker.box, html=picker.table.value, text=text, state=picker.state())


class ArmPicker:
    """The picker's two lists and its table; `box` is the widget."""

    def __init__(
        self,
        arms: Iterable[Arm],
        first: str | None = None,
        second: str | None = None,
        num_steps: CountSteps | None = None,
    ) -> None:
        self.arms, self.num_steps = {arm.name: arm for arm in arms}, num_steps
        names = [arm.name for arm in self.arms.values() if arm.role != "pretraining"] or list(self.arms)
        self.first = ipywidgets.Dropdown(options=list(self.arms), value=first or names[0], description="this arm")
        self.second = ipywidgets.Dropdown(options=list(self.arms), value=second or names[1], description="that arm")
        self.table = ipywidgets.HTML()
        self.table.add_class("kit-arms")
        for control, name in ((self.first, "this-arm"), (self.second, "that-arm")):
            control.add_class(f"kit-{name}")
            control.observe(self.update, names="value")
        self.update()
        self.box = ipywidgets.VBox([ipywidgets.HBox([self.first, self.second]), self.table])

    def state(self) -> dict[str, Any]:
        """Describe the arms for a page without a kernel: their settings, factors and steps, and the two chosen."""
        settings = {name: deciding_settings(to_json(arm)) for name, arm in self.arms.items()}
        factors = {setting: factor_of(setting) for arm in settings.values() for setting in arm}
        steps = {name: self._total(name) for name in self.arms}
        titles = {name: arm.title for name, arm in self.arms.items()}
        chosen = {"first": self.first.value, "second": self.second.value, "steps": STEPS}
        return arms_state(titles, settings, factors, steps) | chosen

    def _total(self, name: str) -> int | None:
        """Count the steps of an arm, pretraining included; None if they cannot be counted."""
        return total_steps(self.arms[name], self.arms, self.num_steps) if self.num_steps else None

    def update(self, _: Any = None) -> None:
        """Compare the chosen arms."""
        first, second = self.arms[self.first.value], self.arms[self.second.value]
        one, two = self._total(first.name), self._total(second.name)
        totals = None if one is None or two is None else (one, two)
        self.table.value = comparison_html(first, second, totals)
