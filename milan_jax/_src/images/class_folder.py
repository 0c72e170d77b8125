"""Pictures of a data set that has one folder per class, in torchvision's order.

Ids of exemplars are positions in this order: classes by name, in each class its folders
by path, in each folder its files by name. Folders without pictures do not count.
"""

import os
import pathlib

import numpy as np
from jaxtyping import UInt8

from milan_jax._src.errors import UserError
from milan_jax._src.images.geometry import Geometry
from milan_jax._src.images.picture_files import load_picture
from milan_jax._src.images.source import UnreadableImageError

# Suffixes that torchvision's ImageFolder reads.
_SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")


class ClassFolder:
  """The pictures of a folder with one folder per class.

  Args:
    folder: the folder.
    geometry: how each picture is resized and cropped.

  Attributes:
    folder: the folder.
    classes: number of folders of classes.

  Raises:
    UserError: if it has no folders, or these hold no pictures.
  """

  def __init__(self, folder: pathlib.Path, geometry: Geometry):
    self.folder = folder
    self._geometry = geometry
    classes = sorted(each.name for each in folder.iterdir() if each.is_dir())
    self.classes = len(classes)
    self._paths = [
      pathlib.Path(inside, name)
      for each in classes
      for inside, _, names in sorted(os.walk(folder / each, followlinks=True))
      for name in sorted(names)
      if name.lower().endswith(_SUFFIXES)
    ]
    if not self._paths:
      raise UserError(
        f"{folder} has no pictures in folders of classes: expected "
        f"{folder}/CLASS/PICTURE, with the endings {', '.join(_SUFFIXES)}."
      )

  def __len__(self) -> int:
    return len(self._paths)

  def load(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
    """Returns the picture at a position.

    Raises:
      UserError: if there is none, or it cannot be read.
    """
    if not 0 <= index < len(self._paths):
      raise UserError(
        f"{self.folder} has {len(self._paths)} pictures, but ids.csv refers to "
        f"number {index}: give the complete data set."
      )
    try:
      return load_picture(self._paths[index], self._geometry)
    except UnreadableImageError as error:
      raise UserError(
        f"{self._paths[index]}: {error}; copy it again, and run the same command."
      ) from error
