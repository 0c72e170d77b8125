"""Images as torch's models take them."""

import numpy as np
import torch
from jaxtyping import UInt8


class Pixels:
  """Images as a model takes them: normalized, in the order of axes that it wants.

  Args:
    mean: subtracted from each color, in units of 0 to 255.
    std: each color is divided by it, in units of 0 to 255.
    dtype: of the result; if it is none of fractions, images are not normalized.
    device: where it goes.

  Attributes:
    axes: `NCHW` or `NHWC`.
    colors_last: whether colors are last in memory all the same, as convolutions keep
      them then, so that activations come out in our layout without a copy.
  """

  def __init__(
    self,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    *,
    dtype: torch.dtype,
    device: torch.device | str,
  ):
    self.axes = "NCHW"
    self.colors_last = True
    self._mean = torch.tensor(mean, device=device)[:, None, None]
    self._std = torch.tensor(std, device=device)[:, None, None]
    self._dtype = dtype

  def __call__(self, images: UInt8[np.ndarray, "batch rows columns c"]) -> torch.Tensor:
    """The images, `(batch, channels, height, width)` or with the channels last."""
    # Images that are not to be written to are only read here.
    images = images if images.flags.writeable else images.copy()
    pixels = torch.from_numpy(images).to(self._mean.device).permute(0, 3, 1, 2)
    if self._dtype.is_floating_point:
      pixels = (pixels.float() - self._mean) / self._std
    pixels = pixels.to(self._dtype)
    if self.axes == "NHWC":
      return pixels.permute(0, 2, 3, 1)
    return pixels if self.colors_last else pixels.contiguous()


def own_dtype(module: torch.nn.Module) -> torch.dtype:
  """The type of a module's weights, which its inputs must have."""
  weights = (one.dtype for one in module.parameters() if one.is_floating_point())
  return next(weights, torch.float32)
