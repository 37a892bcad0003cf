"""Four papers on transfer learning for retinal image segmentation, reproduced, controlled and taught."""

__version__ = "0.1.0"
