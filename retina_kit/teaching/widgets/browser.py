"""The image browser: data set, patient, image, masks on and off, opacity."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import cycle
from typing import Any

import ipywidgets
import numpy as np

from retina_kit.data.collection import ImageSet
from retina_kit.reporting.figures.overlays import BRIGHT, as_png, blend_masks, with_caption
from retina_kit.reporting.living.states import browser_state
from retina_kit.teaching.widgets.static import present

MOST_LISTED = 50  # patients of a list; of more, one is found by typing


def image_with_masks(image_set: ImageSet, index: int, names: Sequence[str], opacity: float) -> bytes:
    """Render one image with the named masks on it, their names in their colors, as a PNG."""
    colors = dict(zip(image_set.masks, cycle(BRIGHT), strict=False))
    masks = {name: image_set.masks[name][index] for name in names}
    chosen = [colors[name] for name in names]
    blended = blend_masks(image_set.images[index], masks, opacity, colors=chosen)
    return as_png(with_caption(blended, str(image_set.rows["id"][index]), dict(zip(names, chosen, strict=True))))


def with_points(image_set: ImageSet, points: Mapping[str, Sequence[str]]) -> ImageSet:
    """Give an image set a mask per point: a small disk around it. Points without such columns are left out."""
    height, width = image_set.images.shape[-2:]
    y, x = np.mgrid[:height, :width]
    masks = {}
    for name, (column_x, column_y) in points.items():
        if {column_x, column_y} <= set(image_set.rows):
            places = image_set.rows[[column_x, column_y]].to_numpy(float)
            masks[name] = np.stack([np.hypot(x - left, y - top) <= max(height, width) / 60 for left, top in places])
    return replace(image_set, masks=masks)


def browse_images(
    collections: ImageSet | Mapping[str, ImageSet],
    *,
    shown: Collection[str] | None = None,
    opacity: float = 0.3,
    points: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Show images one by one, with controls; a static page keeps the first image that has a mask.

    `collections` is one image set, or several as {name: image set}; `shown` names the masks that are on at first
    (default: all), so that two annotators can be compared. `points` maps a name to the columns of x and y, in pixels,
    of a point that is marked in image sets without masks.
    """
    browser = ImageBrowser(collections, shown, opacity, points)
    first = browser.image_set.rows["id"][browser.index]
    text = f"image {first} with {', '.join(browser.chosen)}"
    present(browser.box, png=browser.image_view.value, text=text, state=browser.state())


def patient_control(image_sets: Iterable[ImageSet]) -> ipywidgets.Dropdown | ipywidgets.Combobox:
    """Make the control that chooses a patient: a list, or a field that completes what is typed if there are many."""
    if max(image_set.rows["patient"].nunique() for image_set in image_sets) <= MOST_LISTED:
        return ipywidgets.Dropdown(description="patient")
    hint = "clear the field for the whole list, or type a part of a name"
    return ipywidgets.Combobox(description="patient", ensure_option=True, placeholder="type a patient", tooltip=hint)


class ImageBrowser:
    """The browser's controls and what they show; `box` is the widget."""

    def __init__(
        self,
        collections: ImageSet | Mapping[str, ImageSet],
        shown: Collection[str] | None = None,
        opacity: float = 0.3,
        points: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.collections = {collections.name: collections} if isinstance(collections, ImageSet) else dict(collections)
        for name, image_set in self.collections.items():
            if points and not image_set.masks:
                self.collections[name] = with_points(image_set, points)
        self.shown = shown
        self.data = ipywidgets.Dropdown(options=list(self.collections), description="data")
        self.patient = patient_control(self.collections.values())
        self.number = ipywidgets.IntSlider(min=0, max=0, description="image")
        self.opacity = ipywidgets.FloatSlider(opacity, min=0, max=1, step=0.05, description="opacity")
        self.switches = ipywidgets.HBox()
        self.image_view = ipywidgets.Image(format="png", width=640)
        for control, name in ((self.data, "data"), (self.patient, "patient"), (self.number, "image")):
            control.add_class(f"kit-{name}")
        self.opacity.add_class("kit-opacity")
        self.image_view.add_class("kit-browser")
        self.change_data()
        self.data.observe(self.change_data, names="value")
        self.patient.observe(self.change_patient, names="value")
        for slider in (self.number, self.opacity):
            slider.observe(self.update, names="value")
        top = [self.patient, self.number] if len(self.collections) == 1 else [self.data, self.patient, self.number]
        controls = [ipywidgets.HBox(top), ipywidgets.HBox([self.opacity, self.switches])]
        self.box = ipywidgets.VBox([*controls, self.image_view])

    def state(self) -> dict[str, Any]:
        """Describe the image sets for a page without a kernel, starting with the image that is shown."""
        firsts = {name: self.index if name == self.data.value else 0 for name in self.collections}
        sets = {name: (image_set, firsts[name]) for name, image_set in self.collections.items()}
        shown = None if self.shown is None else list(self.shown)
        return browser_state(sets, BRIGHT) | {"opacity": self.opacity.value, "shown": shown}

    @property
    def image_set(self) -> ImageSet:
        """The image set that is shown."""
        return self.collections[self.data.value]

    @property
    def chosen(self) -> list[str]:
        """The masks that are on."""
        return [switch.description for switch in self.switches.children if switch.value]

    @property
    def index(self) -> int:
        """The position of the image that is shown."""
        mine = self._images_of(self.patient.value)
        return mine[min(self.number.value, len(mine) - 1)]

    def _images_of(self, patient: str) -> list[int]:
        """List the positions of a patient's images."""
        return [int(k) for k in self.image_set.rows.index[self.image_set.rows["patient"] == patient]]

    def change_data(self, _: Any = None) -> None:
        """Offer the patients and masks of the chosen data set, starting with the first image that has a mask."""
        image_set, names = self.image_set, list(self.image_set.masks)
        self.switches.children = [self._switch(name) for name in names]
        first = next((k for k in range(len(image_set)) if any(image_set.masks[name][k].any() for name in names)), 0)
        patients = list(dict.fromkeys(image_set.rows["patient"]))
        self.patient.options, self.patient.value = patients, image_set.rows["patient"][first]
        mine = self._images_of(self.patient.value)
        self.number.max, self.number.value, self.number.disabled = len(mine) - 1, mine.index(first), len(mine) == 1
        self.update()

    def _switch(self, name: str) -> ipywidgets.Checkbox:
        """Make the checkbox of one mask."""
        layout = ipywidgets.Layout(width="auto")
        on = self.shown is None or name in self.shown
        switch = ipywidgets.Checkbox(on, description=name, indent=False, layout=layout)
        switch.add_class(f"kit-mask-{name}")
        switch.observe(self.update, names="value")
        return switch

    def change_patient(self, _: Any = None) -> None:
        """Offer the images of the chosen patient; a name that is not complete yet changes nothing."""
        mine = self._images_of(self.patient.value)
        if mine:
            self.number.max, self.number.disabled = len(mine) - 1, len(mine) == 1
            self.update()

    def update(self, _: Any = None) -> None:
        """Show the chosen image."""
        if self._images_of(self.patient.value):
            self.image_view.value = image_with_masks(self.image_set, self.index, self.chosen, self.opacity.value)
