"""Your own image: choose a file, and see what a trained network finds in it."""

import html
import io
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
from PIL import Image

from retina_kit.data.image_files import SUFFIXES, Page, read_pages
from retina_kit.errors import KitError
from retina_kit.prediction import LIMITS
from retina_kit.prediction.folder import overlay
from retina_kit.prediction.predictor import Predictor, uncertainty
from retina_kit.teaching.widgets.static import Presented, present

WIDTH = 640  # of the shown image, pixels
HINT = "Choose an image (PNG, JPEG, TIFF, GIF, BMP or DICOM). It stays on this machine; nothing is uploaded elsewhere."


def predict_own(predictor: Predictor, path: str | Path = "") -> None:
    """Show an upload button, a path and a threshold; a static page keeps the prediction of `path`, if there is one."""
    OwnImage(predictor, path).present()


class OwnImage:
    """The controls and what they show; `box` is the widget."""

    def __init__(self, predictor: Predictor, path: str | Path = "") -> None:
        self.predictor, self.probability = predictor, np.zeros((1, 1), np.float32)
        self.page: Page | None = None
        self.presented: Presented | None = None
        self.upload = ipywidgets.FileUpload(accept=",".join(SUFFIXES), multiple=False, description="choose an image")
        self.path = ipywidgets.Text(str(path), description="or a path", continuous_update=False)
        threshold = predictor.metadata.threshold
        self.threshold = ipywidgets.FloatSlider(threshold, min=0.01, max=0.99, step=0.01, description="threshold")
        self.message, self.image_view = ipywidgets.HTML(HINT), ipywidgets.Image(format="png", width=WIDTH)
        self.structure = ipywidgets.Dropdown(options=predictor.structures, description="structure")
        controls: tuple[tuple[Any, str], ...]
        controls = ((self.upload, "upload"), (self.path, "path"), (self.threshold, "threshold"))
        if len(predictor.structures) > 1:
            controls += ((self.structure, "structure"),)
        for control, name in (*controls, (self.message, "message"), (self.image_view, "own-image")):
            control.add_class(f"kit-{name}")
        self.upload.observe(self.take_upload, names="value")
        self.path.observe(self.take_path, names="value")
        self.threshold.observe(self.update, names="value")
        self.structure.observe(self.update, names="value")
        rows = [ipywidgets.HBox([control for control, _ in controls]), self.message, self.image_view]
        self.box = ipywidgets.VBox(rows)
        self.take_path()

    def present(self) -> None:
        """Show the widget in a notebook."""
        png = self.image_view.value or None
        words = html.unescape(self.message.value)
        self.presented = present(self.box, png=png, html=None if png else f"<p>{self.message.value}</p>", text=words)

    def take_upload(self, _: Any = None) -> None:
        """Predict the file that was chosen in the browser."""
        chosen = list(self.upload.value.values() if isinstance(self.upload.value, Mapping) else self.upload.value)
        if not chosen:
            return
        name = Path(chosen[0].get("name") or chosen[0]["metadata"]["name"]).name  # of ipywidgets 8, and of 7
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / name
            file.write_bytes(bytes(chosen[0]["content"]))
            self.predict(file)

    def take_path(self, _: Any = None) -> None:
        """Predict the file that was named."""
        if self.path.value.strip():
            self.predict(Path(self.path.value.strip()).expanduser())

    def predict(self, file: Path) -> None:
        """Predict the first page of a file and show it; what is wrong with the file is shown instead."""
        try:
            self.page = next(iter(read_pages(file)))
            self.probability = self.predictor(self.page.pixels)
        except KitError as error:
            self.page, self.image_view.value = None, b""
            self.message.value = html.escape(str(error), quote=False)
            if self.presented:
                self.presented.update(html=f"<p>{self.message.value}</p>", text=str(error))
            return
        self.update()

    def update(self, _: Any = None) -> None:
        """Show the prediction at the chosen threshold."""
        if self.page is None:
            return
        mask = self.plane > self.threshold.value
        buffer = io.BytesIO()
        shown = Image.fromarray(overlay(self.page.pixels, mask))
        shown.thumbnail((2 * WIDTH, 2 * WIDTH))
        shown.save(buffer, "PNG")
        self.image_view.value = buffer.getvalue()
        self.message.value = html.escape(self.describe(mask), quote=False)
        if self.presented:
            self.presented.update(png=self.image_view.value, text=self.describe(mask))

    @property
    def plane(self) -> np.ndarray:
        """The probability (H, W) of the chosen structure."""
        planes = self.probability if self.probability.ndim == 3 else self.probability[None]
        return planes[self.predictor.structures.index(self.structure.value)]

    def describe(self, mask: np.ndarray) -> str:
        """Put the prediction into words."""
        assert self.page is not None
        found = f"{mask.sum():,} of {mask.size:,} pixels ({100 * mask.mean():.2f} %)"
        name = f"{self.page.path.name}: {self.structure.value} in {found}"
        notes = "".join(f"; {note}" for note in self.page.notes)
        return f"{name}, mean uncertainty {uncertainty(self.plane):.3f} bits{notes}. {LIMITS}"
