"""A folder of photographs, flat or nested."""

import pathlib

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from milan_jax.errors import UserError
from milan_jax.images.geometry import Geometry, fit, to_rgb
from milan_jax.images.source import UnreadableImageError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")


class FolderImages:
  """The pictures in a folder and its sub-folders, sorted by their path.

  Hidden files and folders are left out. An image's name is its path in the folder.

  Args:
    folder: where to look.
    geometry: how each picture becomes a square.

  Raises:
    UserError: if the folder is missing, is a file, or holds no picture.
  """

  def __init__(self, folder: str | pathlib.Path, geometry: Geometry):
    folder = pathlib.Path(folder)
    if not folder.exists():
      raise UserError(f"No folder {folder}: give the path of a folder of photographs.")
    if not folder.is_dir():
      raise UserError(
        f"{folder} is a file: give the path of the folder that holds the photographs."
      )
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    self._paths = sorted(
      path.as_posix()
      for path in found
      if path.suffix.lower() in SUFFIXES
      and not any(part.startswith(".") for part in path.parts)
    )
    if not self._paths:
      raise UserError(
        f"No photograph in {folder} or its sub-folders: looked for files that end in "
        f"{', '.join(SUFFIXES)}."
      )
    self._folder = folder
    self._geometry = geometry

  def __len__(self) -> int:
    return len(self._paths)

  @property
  def size(self) -> int:
    """Side of every image, in pixels."""
    return self._geometry.crop

  def name(self, index: int) -> str:
    """The picture's path in the folder."""
    return self._paths[index]

  def load(self, index: int) -> UInt8[np.ndarray, "size size 3"]:
    """The picture, resized and cropped."""
    return load_picture(self._folder / self._paths[index], self._geometry)


def load_picture(
  path: pathlib.Path, geometry: Geometry
) -> UInt8[np.ndarray, "size size 3"]:
  """Reads one picture file.

  Raises:
    UnreadableImageError: if the file is missing, truncated or no picture.
  """
  try:
    with Image.open(path) as image:
      return fit(to_rgb(image), geometry)
  except Exception as error:
    # Pillow's readers raise whatever a broken file makes them stumble over
    # (OSError, SyntaxError, struct.error, IndexError, ...): no list is complete.
    raise UnreadableImageError(f"{type(error).__name__}: {error}") from error
