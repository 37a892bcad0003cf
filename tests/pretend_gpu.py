"""Run by a notebook's kernel when it starts: training images behave as if they were on a GPU.

There they must be moved with `.cpu()` before numpy can have them, which no test on a CPU would notice.
"""

import torch

from retina_kit.training.batches import Batches


class OnGPU(torch.Tensor):
    """A tensor that numpy cannot read, and whatever is computed from it."""

    def numpy(self, **options):
        """Refuse, as a tensor on a GPU does."""
        raise TypeError("can't convert a tensor on a GPU to numpy; use Tensor.cpu() first")

    def __array__(self, *options, **more):
        """Refuse, as a tensor on a GPU does."""
        return self.numpy()

    def cpu(self):
        """Return a tensor that numpy can read."""
        return self.as_subclass(torch.Tensor)


def _init(self, *args, original=Batches.__init__, **options):
    original(self, *args, **options)
    self.images, self.targets = self.images.as_subclass(OnGPU), self.targets.as_subclass(OnGPU)


Batches.__init__ = _init
