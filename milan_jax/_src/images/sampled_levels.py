"""Checks on some images that their values use the range from 0 to 255."""

import numpy as np

from milan_jax._src.errors import UserError
from milan_jax._src.images.fitted import FittedPictures
from milan_jax._src.images.picture_files import num_pages
from milan_jax._src.images.source import (
  ImageSource,
  UnreadableImageError,
  read_input,
)

# Number of images that are sampled, evenly spread.
_SAMPLE = 8
# Photographs have brighter pixels than this; 14 bits in a file of 16 do not.
_DARK = 64
_REMEDY = (
  "multiply values from 0 to 1 by 255, and store values of 10, 12 or 14 bits as 8 bits"
)


def levels_notice(source: ImageSource) -> str:
  """A notice if sampled images are dark or have several pages; empty if not.

  Values from 0 to 1, or of fewer bits than the file has, would be read as black.

  Raises:
    UserError: if no sampled image has a value above 1.
  """
  total = len(source)
  indices = np.unique(
    np.linspace(0, total - 1, min(total, _SAMPLE)).round().astype(int)
  )
  highest, number, pages = 0, 0, 0
  for index in map(int, indices):
    try:
      # Without the opacity of four channels.
      highest = max(highest, int(read_input(source, index)[..., :3].max()))
      if isinstance(source, FittedPictures):
        pages += num_pages(source.content(index)) > 1
    except UnreadableImageError:
      continue
    number += 1
  what = f"the {number} sampled images" if number < total else "the images"
  if number and highest <= 1:
    raise UserError(
      f"No value in {what} is above {highest}: expected images from 0 to 255; "
      f"{_REMEDY}."
    )
  notices = []
  if number and highest <= _DARK:
    notices.append(f"no value in {what} is above {highest} of 255: {_REMEDY}")
  if pages:
    notices.append(
      f"{pages} of {what} have several pages, of which the first is read: save the "
      "others as files of their own"
    )
  return "; ".join(notices)
