"""The arm picker: choose two arms and see what they differ in; a controlled comparison differs in one setting."""

import html
from collections.abc import Iterable
from typing import Any

import ipywidgets

from retina_kit.reporting.tables import differing_settings
from retina_kit.schema import to_json
from retina_kit.teaching.widgets.static import present
from retina_kit.training.arm import Arm

STYLE = "style='text-align:left; padding:2px 10px'"


def comparison_html(first: Arm, second: Arm) -> str:
    """Describe what two arms differ in, as HTML: a sentence, and a table of setting, first and second."""
    table = differing_settings(to_json(first), to_json(second))
    names = [html.escape(arm.title) for arm in (first, second)]
    count = len({"start" if name.startswith("start.") else name for name in table["setting"]})
    verdict = {0: "They are the same arm.", 1: "One setting differs: a controlled comparison."}.get(
        count, f"{count} settings differ: the scores cannot tell which of them made a difference."
    )
    heads = "".join(f"<th {STYLE}>{name}</th>" for name in ("setting", *names))
    rows = [
        "<tr>" + "".join(f"<td {STYLE}>{html.escape(str(cell))}</td>" for cell in row) + "</tr>"
        for row in table.itertuples(index=False)
    ]
    body = f"<table><tr>{heads}</tr>{''.join(rows)}</table>" if count else ""
    return f"<p><b>{names[0]}</b> compared with <b>{names[1]}</b>. {verdict}</p>{body}"


def pick_arms(arms: Iterable[Arm], first: str | None = None, second: str | None = None) -> None:
    """Show two arms next to each other, each chosen from a list; a static page keeps the first comparison.

    `arms` are those of an experiment; `first` and `second` are names (default: the first two arms that are not
    pretraining).
    """
    picker = ArmPicker(arms, first, second)
    present(picker.box, html=picker.table.value, text=f"{picker.first.value} compared with {picker.second.value}")


class ArmPicker:
    """The picker's two lists and its table; `box` is the widget."""

    def __init__(self, arms: Iterable[Arm], first: str | None = None, second: str | None = None) -> None:
        self.arms = {arm.name: arm for arm in arms}
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

    def update(self, _: Any = None) -> None:
        """Compare the chosen arms."""
        self.table.value = comparison_html(self.arms[self.first.value], self.arms[self.second.value])
