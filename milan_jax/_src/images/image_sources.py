"""The images to show, from what the user wrote."""

import dataclasses
import pathlib

from milan_jax._src.errors import UserError
from milan_jax._src.images.arrays import open_array_images
from milan_jax._src.images.demo import DemoImages
from milan_jax._src.images.fitted import Fitted, fitting_line
from milan_jax._src.images.folder import FolderImages
from milan_jax._src.images.geometry import PICTURE_CHANNELS, Geometry
from milan_jax._src.images.source import ImageSource
from milan_jax._src.options.describe import ImageOptions
from milan_jax._src.runs.processes import is_primary
from milan_jax._src.runs.progress import say

TFDS, HUGGING_FACE = "tfds:", "hf:"
# Files by which a folder that a library wrote is told from a folder of pictures.
_MARKS = {
  "state.json": HUGGING_FACE,
  "dataset_dict.json": HUGGING_FACE,
  "features.json": TFDS,
}


def open_images(options: ImageOptions, geometry: Geometry) -> ImageSource:
  """Opens images, and prints how they are brought to size.

  Args:
    options: what they are: `source` is the path of a folder of pictures, or of a `.npy`
      or `.npz` file; `tfds:NAME` or `tfds:FOLDER` of a prepared data set; `hf:FOLDER`
      of a data set that the library datasets saved; or None, for the packaged
      photographs.
    geometry: how the network wants them.

  Raises:
    UserError: they cannot be found or read.
  """
  images = options.source or ""
  if options.fit and not images:
    raise UserError(
      "--fit is for images of your own: the packaged photographs are cut to size."
    )
  is_array = images.endswith((".npy", ".npz"))
  if geometry.channels not in PICTURE_CHANNELS and not is_array:
    raise UserError(
      f"The network takes images of {geometry.channels} channels, and pictures have 1, "
      "3 or 4: name an array of such images with --images, an .npy or .npz file."
    )
  geometry = dataclasses.replace(geometry, fitting=options.fit or "")
  source = _find(options, geometry)
  if isinstance(source, Fitted) and is_primary():
    say(fitting_line(source))
  if isinstance(source, FolderImages) and source.left_out() and is_primary():
    say(f"{images}: skipped, not pictures by their names: {source.left_out()}")
  return source


def _find(options: ImageOptions, geometry: Geometry) -> ImageSource:
  images, split, data_dir = options.source or "", options.split, options.data_dir
  kind, place = _kind(images)
  if kind == TFDS:
    from milan_jax._src.images.tfds import TfdsImages

    return TfdsImages(place, geometry, split=split or "train", data_dir=data_dir)
  if kind == HUGGING_FACE:
    from milan_jax._src.images.hugging_face import HuggingFaceImages

    return HuggingFaceImages(place, geometry, split=split)
  if split or data_dir:
    raise UserError(
      "--split and --data_dir are for data sets, tfds:NAME or hf:FOLDER; --images is "
      f"{images!r}."
    )
  if not place:
    return DemoImages(geometry)
  if place.endswith((".npy", ".npz")):
    return open_array_images(place, geometry)
  return FolderImages(place, geometry)


def _kind(images: str) -> tuple[str, str]:
  """The prefix that the user wrote, or that the folder's own files tell; the rest."""
  for prefix in (TFDS, HUGGING_FACE):
    if images.startswith(prefix):
      return prefix, images.removeprefix(prefix)
  for mark, prefix in _MARKS.items():
    if images and (pathlib.Path(images) / mark).is_file():
      return prefix, images
  return "", images
