"""Given images and masks as an exemplar set, in memory."""

import numpy as np
from jaxtyping import Bool, Int, UInt8

from milan_jax._src.errors import UserError
from milan_jax._src.notebook import Shown
from milan_jax._src.records import LayerExemplars
from milan_jax._src.runs.progress import say
from milan_jax._src.store.row_numbers import places, row_numbers


def _check_marked(masks: np.ndarray) -> None:
  """Refuses units without a region, and says how many other masks are empty."""
  empty: np.ndarray = np.logical_not(masks.any((2, 3)))
  (units,) = np.nonzero(empty.all(1))
  if units.size:
    more = f" and {units.size - 1} more" if units.size > 1 else ""
    raise UserError(
      "masks: expected a marked pixel in at least one mask of each unit; found none "
      f"for unit {units[0]}{more}: leave such units out."
    )
  if empty.any():
    say(
      f"{np.count_nonzero(empty)} of {empty.size} masks are empty: their images count "
      "as regions that show nothing"
    )


class GivenRegions(Shown):
  """Regions given as arrays: an `ExemplarSet` of one layer.

  Args:
    images: images of each unit, best first: uint8, `units k height width 3`.
    masks: the region of each: bool, `units k height width`.
    layer: the layer's name.

  Raises:
    UserError: the arrays do not fit together, or a unit has no region.
  """

  def __init__(self, images: np.ndarray, masks: np.ndarray, layer: str):
    images, masks = np.asarray(images), np.asarray(masks)
    found = f"{images.dtype} of shape {images.shape}"
    if images.dtype != np.uint8 or images.ndim != 5 or images.shape[4] != 3:
      raise UserError(
        f"images: expected uint8, units x regions x height x width x 3; found {found}."
      )
    if masks.dtype != bool:
      raise UserError(
        f"masks: expected bool; found {masks.dtype}: give masks > 0, or above another "
        "threshold."
      )
    if masks.shape != images.shape[:4]:
      raise UserError(
        f"masks: expected shape {images.shape[:4]}, a mask for each image; found "
        f"{masks.shape}."
      )
    if not images.size:
      raise UserError(f"images: expected at least one; found shape {images.shape}.")
    if not isinstance(layer, str) or not layer:
      raise UserError(f"layer: expected a name; found {layer!r}.")
    _check_marked(masks)
    self._images, self._masks = images, masks
    self._layer = layer

  def __repr__(self) -> str:
    units, k = self._masks.shape[:2]
    return f"{type(self).__name__}(units={units}, k={k}, layer={self._layer!r})"

  @property
  def layers(self) -> tuple[str, ...]:
    """The name of the only layer."""
    return (self._layer,)

  @property
  def num_images(self) -> int:
    """Number of images."""
    return int(self._images.shape[0] * self._images.shape[1])

  def exemplars(self, layer: str) -> LayerExemplars:
    """Returns ids and rows of the units."""
    self._check(layer)
    units, k = self._images.shape[:2]
    rows = np.arange(units * k).reshape(units, k)
    return LayerExemplars(
      layer, np.arange(units), rows, rows, None, None, np.zeros(units, bool)
    )

  def images(self, rows: Int[np.ndarray, "n"]) -> UInt8[np.ndarray, "n height width 3"]:
    """Returns the images at `rows`."""
    flat = self._images.reshape(-1, *self._images.shape[2:])
    found: np.ndarray = flat[row_numbers(rows, len(flat), "rows of images")]
    return found

  def masks(
    self, layer: str, rows: Int[np.ndarray, "n"], slots: Int[np.ndarray, "n"]
  ) -> Bool[np.ndarray, "n height width"]:
    """Returns the masks of some images."""
    self._check(layer)
    found: np.ndarray = self._masks[places(rows, slots, self._masks.shape)]
    return found

  def _check(self, layer: str) -> None:
    if layer != self._layer:
      raise UserError(f"There is no layer {layer!r}; the regions are {self._layer!r}.")
