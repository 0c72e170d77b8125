"""Checks a source of images that was made in code, before a run of it begins."""

import numbers
from typing import Any

import numpy as np

from milan_jax._src.errors import UserError
from milan_jax._src.images.geometry import Geometry
from milan_jax._src.images.sizes import size_text
from milan_jax._src.images.source import (
  ImageSource,
  UnreadableImageError,
  read_input,
)

# Images that are loaded twice. One that is flipped at random is equal half of the time.
_TRIED = 8


def check_source(source: ImageSource, geometry: Geometry) -> None:
  """Loads a few images of a source twice.

  Args:
    source: the images.
    geometry: of the images that the network takes.

  Raises:
    UserError: the images are not those that the network takes, or the same index gives
      different images.
  """
  shape = (*geometry.shape, geometry.channels)
  blank: Any = np.asarray(source.blank)
  if blank.dtype != np.uint8 or blank.shape != shape:
    raise UserError(
      f"images: expected a blank of uint8 and shape {shape}, as the network takes "
      f"images; found {blank.dtype} of shape {blank.shape}."
    )
  if _sides(source.size) != geometry.shape:
    raise UserError(
      f"images: expected a size of {size_text(geometry.crop)} pixels, the network's; "
      f"found {source.size!r}."
    )
  number = min(_TRIED, len(source))
  indices = np.linspace(0, max(len(source) - 1, 0), number).astype(int).tolist()
  first: dict[int, tuple[np.ndarray | None, np.ndarray | None]] = {}
  for index in indices:
    found = _load(source, index)
    first[index] = found, None if found is None else found.copy()
  again = {index: _load(source, index) for index in indices}
  for index, (found, copy) in first.items():
    if not _equal(found, copy):
      raise UserError(
        f"images: load({index}) returned an array that a later call of load has "
        "written to: return a new array, such as a copy, from every call."
      )
    if not _equal(again[index], copy):
      raise UserError(
        f"images: load({index}) returned another image the second time: return the "
        "same image for the same index; turn off random crops and flips."
      )


def _sides(size: Any) -> tuple[int, ...] | None:
  if isinstance(size, numbers.Integral):
    return (int(size), int(size))
  return tuple(size) if isinstance(size, tuple | list) else None


def _load(source: ImageSource, index: int) -> np.ndarray | None:
  """An image; None if it cannot be read."""
  try:
    return read_input(source, index)
  except UnreadableImageError:
    return None
  except UserError:
    raise
  except Exception as error:  # any error of the user's source
    raise UserError(
      f"images: load({index}) failed with {type(error).__name__}: {error}: raise "
      "milan_jax.UnreadableImageError for an image to leave out."
    ) from error


def _equal(one: np.ndarray | None, other: np.ndarray | None) -> bool:
  if one is None or other is None:
    return one is other
  return np.array_equal(one, other)
