"""The round field of view of a fundus photograph, and images cropped to it."""

import cv2
import numpy as np

from retina_kit.data.collection import ImageSet


def field_box(image):
    """Return the box (top, left, bottom, right) around the field of view of one image (3, H, W), in pixels.

    Gray, blurred (7x7, SD 3), triangle threshold, largest contour (Ortiz 2022, the code). An image in
    which nothing is bright has the whole image for a box.
    """
    gray = cv2.cvtColor(np.ascontiguousarray(image.transpose(1, 2, 0)), cv2.COLOR_RGB2GRAY)
    blurred = cv2.GaussianBlur(gray, (7, 7), 3)
    _, bright = cv2.threshold(blurred, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_TRIANGLE)
    contours, _ = cv2.findContours(bright, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return 0, 0, *gray.shape
    left, top, width, height = cv2.boundingRect(max(contours, key=cv2.contourArea))
    return top, left, top + height, left + width


def crop_to_field(image_set):
    """Return Images cropped to their fields of view, all to the size of the largest one.

    Each crop is centered on its own field and lies within its image, so nothing is stretched and no pixel of a
    field is lost.
    """
    boxes = np.array([field_box(image) for image in image_set.images])
    size = (boxes[:, 2:] - boxes[:, :2]).max(axis=0)
    room = np.array(image_set.images.shape[-2:]) - size
    corners = np.clip((boxes[:, :2] + boxes[:, 2:] - size) // 2, 0, room)

    def cropped(stack):
        cut = [item[..., y : y + size[0], x : x + size[1]] for item, (y, x) in zip(stack, corners, strict=True)]
        return np.stack(cut)

    masks = {name: cropped(mask) for name, mask in image_set.masks.items()}
    return ImageSet(cropped(image_set.images), masks, image_set.rows, image_set.name)
