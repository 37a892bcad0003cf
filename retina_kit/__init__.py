"""Four papers on transfer learning for retinal image segmentation, reproduced, controlled and taught."""

import os

__version__ = "0.1.0"

os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", "80000000")  # data.pixels.MOST_PIXELS; read when cv2 is loaded
