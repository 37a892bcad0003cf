"""The arm picker: choose two arms and see in what they differ; a fair comparison differs in one setting."""

import html

import ipywidgets

from retina_kit.reporting.tables import differing_settings
from retina_kit.teaching.widgets.static import present

STYLE = "style='text-align:left; padding:2px 10px'"


def comparison_html(first, second):
    """Return what two arms differ in, as HTML: a sentence and a table setting, first, second."""
    table = differing_settings(first, second)
    names = [html.escape(arm.title) for arm in (first, second)]
    count = len(table)
    verdict = {0: "They are the same arm.", 1: "One setting differs: a controlled comparison."}.get(
        count, f"{count} settings differ: whatever the scores say, they cannot say which of these did it."
    )
    heads = "".join(f"<th {STYLE}>{name}</th>" for name in ("setting", *names))
    rows = [
        "<tr>" + "".join(f"<td {STYLE}>{html.escape(str(cell))}</td>" for cell in row) + "</tr>"
        for row in table.itertuples(index=False)
    ]
    body = f"<table><tr>{heads}</tr>{''.join(rows)}</table>" if count else ""
    return f"<p><b>{names[0]}</b> beside <b>{names[1]}</b>. {verdict}</p>{body}"


def pick_arms(arms, first=None, second=None):
    """Show two arms side by side, each chosen from a list; a page keeps the first comparison.

    `arms` are the resolved arms of an experiment; `first` and `second` are names (the first two that are no
    pretraining by default).
    """
    picker = ArmPicker(arms, first, second)
    present(picker.box, html=picker.table.value, text=f"{picker.first.value} beside {picker.second.value}")


class ArmPicker:
    """The picker's two lists and its table; `box` is the widget."""

    def __init__(self, arms, first=None, second=None):
        self.arms = {arm.name: arm for arm in arms}
        names = [arm.name for arm in arms if arm.role != "pretraining"] or list(self.arms)
        self.first = ipywidgets.Dropdown(options=list(self.arms), value=first or names[0], description="this arm")
        self.second = ipywidgets.Dropdown(options=list(self.arms), value=second or names[1], description="that arm")
        self.table = ipywidgets.HTML()
        self.table.add_class("kit-arms")
        for control, name in ((self.first, "this-arm"), (self.second, "that-arm")):
            control.add_class(f"kit-{name}")
            control.observe(self.draw, names="value")
        self.draw()
        self.box = ipywidgets.VBox([ipywidgets.HBox([self.first, self.second]), self.table])

    def draw(self, _=None):
        """Compare the chosen arms."""
        self.table.value = comparison_html(self.arms[self.first.value], self.arms[self.second.value])
