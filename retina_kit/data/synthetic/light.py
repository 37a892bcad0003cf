"""How colors are laid over a lit retina, float32 (H, W, 3)."""

import cv2
import numpy as np
import numpy.typing as npt


def blend(light: np.ndarray, weight: np.ndarray, color: npt.ArrayLike) -> None:
    """Lay a color (3,) over the retina in place, as strongly as `weight` (H, W), 0 to 1."""
    light += weight[..., None] * (np.asarray(color, np.float32) - light)


def soft(mask: np.ndarray, sigma: float) -> np.ndarray:
    """Soften the border of a mask: (H, W), 0 to 1."""
    return cv2.GaussianBlur(mask.astype(np.float32), (0, 0), max(0.4, sigma))
