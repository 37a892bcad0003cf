"""The image browser: data set, patient, image, masks on and off, opacity."""

import ipywidgets

from retina_kit.reporting.figures.overlays import BRIGHT, as_png, blend_masks, with_caption
from retina_kit.teaching.widgets.static import present


def image_with_masks(image_set, index, names, opacity):
    """Return a PNG: one image of a collection with the named masks over it, their names in their colors."""
    colors = dict(zip(image_set.masks, BRIGHT * 2, strict=False))
    masks = {name: image_set.masks[name][index] for name in names}
    chosen = [colors[name] for name in names]
    blended = blend_masks(image_set.images[index], masks, opacity, colors=chosen)
    return as_png(with_caption(blended, str(image_set.rows["id"][index]), dict(zip(names, chosen, strict=True))))


def browse_images(collections, *, shown=None, opacity=0.3):
    """Show images one by one, with controls; a page keeps the first image that has something marked.

    `collections` is a collection (images, masks, rows) or several as {name: collection}; `shown` names the masks
    that are on at first (all of them by default), so that two graders can be laid over each other.
    """
    browser = ImageBrowser(collections, shown, opacity)
    first = browser.image_set.rows["id"][browser.index]
    present(browser.box, png=browser.image_view.value, text=f"image {first} with {', '.join(browser.chosen)}")


class ImageBrowser:
    """The browser's controls and what they show; `box` is the widget."""

    def __init__(self, collections, shown=None, opacity=0.3):
        self.collections = collections if isinstance(collections, dict) else {collections.name: collections}
        self.shown = shown
        self.data = ipywidgets.Dropdown(options=list(self.collections), description="data")
        self.patient = ipywidgets.Dropdown(description="patient")
        self.number = ipywidgets.IntSlider(min=0, max=0, description="image")
        self.opacity = ipywidgets.FloatSlider(opacity, min=0, max=1, step=0.05, description="opacity")
        self.switches = ipywidgets.HBox()
        self.image_view = ipywidgets.Image(format="png", width=640)
        for control, name in ((self.data, "data"), (self.patient, "patient"), (self.number, "image")):
            control.add_class(f"kit-{name}")
        self.opacity.add_class("kit-opacity")
        self.image_view.add_class("kit-browser")
        self.change_data()
        for control, react in (
            (self.data, self.change_data), (self.patient, self.change_patient), (self.number, self.draw),
            (self.opacity, self.draw),
        ):  # fmt: skip
            control.observe(react, names="value")
        top = [self.patient, self.number] if len(self.collections) == 1 else [self.data, self.patient, self.number]
        controls = [ipywidgets.HBox(top), ipywidgets.HBox([self.opacity, self.switches])]
        self.box = ipywidgets.VBox([*controls, self.image_view])

    @property
    def image_set(self):
        """The collection that is looked at."""
        return self.collections[self.data.value]

    @property
    def chosen(self):
        """The masks that are on."""
        return [switch.description for switch in self.switches.children if switch.value]

    @property
    def index(self):
        """The position of the image that is looked at."""
        mine = self.image_set.rows.index[self.image_set.rows["patient"] == self.patient.value]
        return int(mine[min(self.number.value, len(mine) - 1)])

    def change_data(self, _=None):
        """Offer the patients and masks of the chosen data set, and begin where something is marked."""
        image_set, names = self.image_set, list(self.image_set.masks)
        self.switches.children = [self._switch(name) for name in names]
        first = next((k for k in range(len(image_set)) if any(image_set.masks[name][k].any() for name in names)), 0)
        patients = list(dict.fromkeys(image_set.rows["patient"]))
        self.patient.options, self.patient.value = patients, image_set.rows["patient"][first]
        mine = image_set.rows.index[image_set.rows["patient"] == self.patient.value]
        self.number.max, self.number.value = len(mine) - 1, list(mine).index(first)
        self.draw()

    def _switch(self, name):
        layout = ipywidgets.Layout(width="auto")
        on = self.shown is None or name in self.shown
        switch = ipywidgets.Checkbox(on, description=name, indent=False, layout=layout)
        switch.add_class(f"kit-mask-{name}")
        switch.observe(self.draw, names="value")
        return switch

    def change_patient(self, _=None):
        """Offer the images of the chosen patient."""
        self.number.max = max(0, int((self.image_set.rows["patient"] == self.patient.value).sum()) - 1)
        self.draw()

    def draw(self, _=None):
        """Draw the chosen image."""
        if self.patient.value is not None:
            self.image_view.value = image_with_masks(self.image_set, self.index, self.chosen, self.opacity.value)
