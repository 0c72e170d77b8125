"""Linear filters of square maps, in plain numpy.

Filters are sums of shifted slices. A matrix product would be as fast on an idle
machine, but BLAS starts one thread per core for each product, which is many times
slower when cores are shared. Filters pad by repeating the border pixels. Only
`upsampled` pads with zeros, like the upsampling of activations.
"""

import functools

import numpy as np
from jaxtyping import Float


@functools.cache
def taps(sigma: float, order: int = 0) -> Float[np.ndarray, "taps"]:
  """Returns the weights of a Gaussian or its derivative at `-radius .. radius`.

  Args:
    sigma: standard deviation of the Gaussian, in pixels.
    order: 0 smooths; 1 gives the slope of the smoothed signal per pixel; 2 gives its
      curvature per pixel squared.
  """
  radius = int(np.ceil(3.5 * sigma))
  offsets = np.arange(-radius, radius + 1)
  kernel = np.exp(-(offsets**2) / (2 * sigma**2))
  kernel /= kernel.sum()
  # A weight multiplies the pixel at its offset, so the weights of a slope have the
  # sign of the offset.
  if order == 1:
    kernel = kernel * offsets
    kernel /= (kernel * offsets).sum()  # a ramp of slope 1 gives 1
  elif order == 2:
    kernel = kernel * (offsets**2 / sigma**2 - 1)
    kernel -= kernel.mean()
    kernel *= 2 / (kernel * offsets**2).sum()  # the parabola x^2 gives 2
  return kernel.astype(np.float32)


def _correlated(
  maps: Float[np.ndarray, "*lead size size"],
  kernel: Float[np.ndarray, "taps"],
  axis: int,
) -> Float[np.ndarray, "*lead size size"]:
  radius, size = len(kernel) // 2, maps.shape[axis]
  widths = [(0, 0)] * maps.ndim
  widths[axis] = (radius, radius)
  padded = np.pad(maps, widths, mode="edge")
  total = np.zeros_like(maps)
  for start, weight in enumerate(kernel):
    place = slice(start, start + size)
    total += weight * (padded[..., place, :] if axis == -2 else padded[..., place])
  return total


def filtered(
  maps: Float[np.ndarray, "*lead size size"],
  sigma: float,
  *,
  down: int = 0,
  right: int = 0,
) -> Float[np.ndarray, "*lead size size"]:
  """Convolves maps with a Gaussian or its derivative of order `down` and `right`."""
  return _correlated(
    _correlated(maps, taps(sigma, down), -2),
    taps(sigma, right),
    -1,
  )


def halved(
  maps: Float[np.ndarray, "*lead size size"],
) -> Float[np.ndarray, "*lead half half"]:
  """Returns the means of 2 x 2 blocks."""
  *lead, height, width = maps.shape
  cells = maps.reshape(*lead, height // 2, 2, width // 2, 2)
  # Summing slices is many times faster than a mean over two axes.
  sums: np.ndarray = (
    cells[..., 0, :, 0]
    + cells[..., 0, :, 1]
    + cells[..., 1, :, 0]
    + cells[..., 1, :, 1]
  )
  means: np.ndarray = 0.25 * sums
  return means


def block_means(
  maps: Float[np.ndarray, "size size"], cells: int
) -> Float[np.ndarray, "{cells} {cells}"]:
  """Returns the means over the blocks of a grid of `cells x cells`."""
  step = maps.shape[-1] // cells
  means: np.ndarray = maps.reshape(cells, step, cells, step).mean((1, 3))
  return means


def random_field(
  size: int, sigma: float, rng: np.random.Generator
) -> Float[np.ndarray, "{size} {size}"]:
  """Returns random noise smoothed by a Gaussian and scaled to 0 to 1.

  It is cut out of a larger field: where the border's pixels are repeated, the noise
  varies more, and the maxima would be at the border and in the corners.
  """
  border = len(taps(sigma)) // 2
  large = filtered(rng.random((size + 2 * border,) * 2, np.float32), sigma)
  noise = large[border : border + size, border : border + size]
  scaled: np.ndarray = (noise - noise.min()) / (noise.max() - noise.min())
  return scaled


def upsampled(
  maps: Float[np.ndarray, "*lead grid grid"], size: int
) -> Float[np.ndarray, "*lead {size} {size}"]:
  """Upsamples maps to `size x size` pixels: half-pixel bilinear, zero padding."""
  grid = maps.shape[-1]
  centers = (np.arange(size) + 0.5) * grid / size - 0.5
  before = np.floor(centers).astype(int)
  after = (centers - before).astype(np.float32)
  padded = np.pad(maps, [(0, 0)] * (maps.ndim - 2) + [(1, 1), (1, 1)])
  rows = (1 - after)[:, None] * padded[..., before + 1, :]
  rows += after[:, None] * padded[..., before + 2, :]
  columns: np.ndarray = (1 - after) * rows[..., before + 1] + after * rows[
    ..., before + 2
  ]
  return columns
