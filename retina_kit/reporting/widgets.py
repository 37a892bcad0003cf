"""Widgets for notebooks: each is a thin view over a plain function, and leaves a static picture without a browser."""

import io

import ipywidgets
import matplotlib.pyplot as plt
from IPython.display import Image, display

from retina_kit.reporting import figures


def png_of(figure):
    """Return a figure as the bytes of a PNG."""
    buffer = io.BytesIO()
    getattr(figure, "figure", figure).savefig(buffer, format="png", dpi=90)
    return buffer.getvalue()


def show(figure):
    """Show a figure as a picture in the notebook's output."""
    display(Image(png_of(figure)))


def browse_pictures(pictures, *, masks=None):
    """Show pictures one by one: choose the patient, the picture and the mask; the first one stays as a picture.

    `pictures` is a collection with images, masks and rows.
    """
    names = list(masks or pictures.masks)
    patient = ipywidgets.Dropdown(options=list(dict.fromkeys(pictures.rows["patient"])), description="patient")
    number = ipywidgets.IntSlider(min=0, max=0, description="picture", continuous_update=False)
    mask = ipywidgets.Dropdown(options=["none", *names], value=names[0] if names else "none", description="mask")
    picture = ipywidgets.Image(format="png")

    def draw(_=None):
        mine = pictures.rows.index[pictures.rows["patient"] == patient.value]
        number.max = len(mine) - 1
        index = mine[min(number.value, len(mine) - 1)]
        chosen = None if mask.value == "none" else pictures.masks[mask.value][index]
        figure = figures.plot_pictures(
            pictures.images[index][None],
            None if chosen is None else chosen[None],
            [pictures.rows["id"][index]],
            num_columns=1,
        )
        figure.set_size_inches(6, 4.4)
        picture.value = png_of(figure)

    for control in (patient, number, mask):
        control.observe(draw, names="value")
    draw()
    display(Image(picture.value))
    return ipywidgets.VBox([ipywidgets.HBox([patient, number, mask]), picture])


class LiveCurve:
    """A `watch` for training: draws the loss while it falls, with a Stop button that keeps the weights so far."""

    def __init__(self, every=10):
        self.every, self.losses = every, []
        self.picture = ipywidgets.Image(format="png")
        self.button = ipywidgets.Button(description="Stop")
        self.button.on_click(self._stop)
        self.stopped = False
        display(ipywidgets.VBox([self.button, self.picture]))

    def _stop(self, _):
        self.stopped = True

    def __call__(self, step, num_steps, losses, scores):
        """Draw now and then; True once Stop was pressed."""
        if (step + 1) % self.every == 0 or step + 1 == num_steps:
            self.losses = [loss.item() for loss in losses]
            self._draw(num_steps)
        return self.stopped

    def _draw(self, num_steps):
        ax = figures.new_axes(6, 2.6)
        ax.plot(range(1, len(self.losses) + 1), self.losses)
        ax.set(xlabel="update", ylabel="loss", xlim=(0, num_steps))
        self.picture.value = png_of(ax)
        plt.close("all")
