"""Prepares images as input tensors of torch models."""

import numpy as np
import torch
from jaxtyping import UInt8


class Pixels:
  """Converts images to a model's input: normalized, in its order of axes.

  Args:
    mean: subtracted from each channel, on the scale of 0 to 255.
    std: each channel is then divided by it, on the scale of 0 to 255.
    dtype: dtype of the result; images are normalized only if it is floating-point.
    device: device of the result.

  Attributes:
    axes: `NCHW` or `NHWC`.
    channels_last: whether `NCHW` tensors are stored with channels last; convolutions
      keep this memory format, so that activations need no copy to become NHWC.
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
    self.channels_last = True
    self._mean = torch.tensor(mean, device=device)[:, None, None]
    self._std = torch.tensor(std, device=device)[:, None, None]
    self._dtype = dtype

  def __call__(self, images: UInt8[np.ndarray, "batch rows columns c"]) -> torch.Tensor:
    """The images, `(batch, channels, height, width)` or with the channels last."""
    images = np.asarray(images)
    # torch warns about read-only arrays, so they are copied.
    images = images if images.flags.writeable else images.copy()
    pixels = torch.from_numpy(images).to(self._mean.device).permute(0, 3, 1, 2)
    if self._dtype.is_floating_point:
      pixels = (pixels.float() - self._mean) / self._std
    pixels = pixels.to(self._dtype)
    if self.axes == "NHWC":
      return pixels.permute(0, 2, 3, 1)
    return pixels if self.channels_last else pixels.contiguous()


def module_dtype(module: torch.nn.Module) -> torch.dtype:
  """The dtype of a module's weights, which its inputs must have."""
  weights = (one.dtype for one in module.parameters() if one.is_floating_point())
  return next(weights, torch.float32)
