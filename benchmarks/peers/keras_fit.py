"""Keras on TensorFlow as the authors of melinscak2020 trained: functional U-Net, pooled soft Dice, `model.fit`.

With the settings "2020" TensorFlow computes with its own operations, as its packages did by default until version 2.9
(May 2022) made oneDNN's the default on processors.
"""

import os
import sys

if "2020" in sys.argv:
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"  # read when TensorFlow is imported

import keras
import tensorflow as tf
from keras import layers, ops

from benchmarks.pacer import main
from retina_kit.training.device import choose_device, has_fast_bfloat16

WIDTHS = (32, 64, 128, 256, 512)


def block(features, width):
    """Return two 3x3 convolutions with ReLU."""
    for _ in range(2):
        features = layers.Conv2D(width, 3, padding="same", activation="relu")(features)
    return features


def build_unet(height, width):
    """Return the authors' network: 7,759,521 weights, channels last, sigmoid."""
    inputs = current = keras.Input((height, width, 1))
    skips = []
    for channels in WIDTHS[:-1]:
        skips.append(block(current, channels))
        current = layers.MaxPooling2D()(skips[-1])
    current = block(current, WIDTHS[-1])
    for channels, skip in zip(reversed(WIDTHS[:-1]), reversed(skips), strict=True):
        up = layers.Conv2DTranspose(channels, 2, strides=2, padding="same")(current)
        current = block(layers.concatenate([up, skip]), channels)
    return keras.Model(inputs, layers.Conv2D(1, 1, activation="sigmoid", dtype="float32")(current))


def dice_coefficient(truth, predicted):
    """Return the soft Dice of a whole batch, smoothed by 1."""
    truth, predicted = ops.reshape(truth, [-1]), ops.reshape(predicted, [-1])
    return (2 * ops.sum(truth * predicted) + 1) / (ops.sum(truth) + ops.sum(predicted) + 1)


def dice_loss(truth, predicted):
    """Return 1 - Dice."""
    return 1 - dice_coefficient(truth, predicted)


class Turns(keras.callbacks.Callback):
    """Calls the pacer after every update."""

    def __init__(self, pacer):
        super().__init__()
        self.pacer = pacer

    def on_train_batch_end(self, batch, logs=None):
        """Read the loss and pause where the turn is over."""
        float(logs["loss"])
        self.pacer()


def train(images, targets, task, pacer):
    """Train on NumPy arrays in float32; at best on a cached, prefetched tf.data pipeline in fast mixed bfloat16."""
    best = task.settings == "best"
    if task.device != "cpu" and not tf.config.list_physical_devices("GPU"):
        raise SystemExit(f"this TensorFlow sees no GPU, so it cannot train on {task.device}")
    if best and has_fast_bfloat16(choose_device(task.device)):
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
    model = build_unet(*images.shape[1:])
    if model.count_params() != 7_759_521:
        raise SystemExit(f"the network has {model.count_params()} weights, not 7,759,521")
    model.compile(keras.optimizers.Adam(1e-5), loss=dice_loss, metrics=[] if best else [dice_coefficient])
    image_set, truth = images[..., None].astype("float32") / 255, targets[..., None].astype("float32")
    settings = {"epochs": 10**6, "verbose": 0, "callbacks": [Turns(pacer)]}
    if not best:
        model.fit(image_set, truth, batch_size=task.batch, shuffle=True, **settings)
    data = tf.data.Dataset.from_tensor_slices((image_set, truth)).cache().shuffle(len(image_set))
    model.fit(data.batch(task.batch, drop_remainder=True).prefetch(tf.data.AUTOTUNE), **settings)


if __name__ == "__main__":
    main(train, ["keras", "tensorflow-cpu"])
