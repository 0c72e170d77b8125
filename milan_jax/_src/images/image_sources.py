"""Opens the source of images that the options specify."""

import dataclasses
import pathlib

from milan_jax._src.errors import UserError
from milan_jax._src.images.arrays import open_array_images
from milan_jax._src.images.demo import DemoImages
from milan_jax._src.images.fitted import FittedSource, fitting_message
from milan_jax._src.images.folder import FolderImages
from milan_jax._src.images.geometry import PICTURE_CHANNELS, Geometry
from milan_jax._src.images.sampled_levels import levels_notice
from milan_jax._src.images.source import ImageSource
from milan_jax._src.options.describe import ImageOptions
from milan_jax._src.runs.processes import is_primary
from milan_jax._src.runs.progress import say

TFDS, HUGGING_FACE = "tfds:", "hf:"
# Files that distinguish a folder written by a library from a folder of pictures.
_MARKER_FILES = {
  "state.json": HUGGING_FACE,
  "dataset_dict.json": HUGGING_FACE,
  "features.json": TFDS,
}


def open_images(options: ImageOptions, geometry: Geometry) -> ImageSource:
  """Opens a source of images, and prints how they are resized.

  Args:
    options: the images: `source` is the path of a folder of pictures or of a `.npy`
      or `.npz` file; `tfds:NAME` or `tfds:FOLDER` for a prepared data set; `hf:FOLDER`
      for a data set saved by the library datasets; or None for the packaged
      photographs.
    geometry: the size and channels that the network takes.

  Raises:
    UserError: if they cannot be found or read.
  """
  images = options.source or ""
  if options.fit and not images:
    raise UserError(
      "--fit needs --images: the packaged photographs are always cropped to size."
    )
  is_array = images.endswith((".npy", ".npz"))
  if geometry.channels not in PICTURE_CHANNELS and not is_array:
    raise UserError(
      f"The network takes images of {geometry.channels} channels, but pictures have 1, "
      "3 or 4: give an array of such images with --images, an .npy or .npz file."
    )
  geometry = dataclasses.replace(geometry, fitting=options.fit or "")
  source = _find(options, geometry)
  if isinstance(source, FittedSource):
    report_fitting(source)
  if isinstance(source, FolderImages) and source.left_out() and is_primary():
    say(f"{images}: skipped files without a picture's suffix: {source.left_out()}")
  return source


def report_fitting(source: FittedSource) -> None:
  """Prints how a source's images are resized, and what is odd about some of them.

  Raises:
    UserError: if resizing is turned off and a sampled image has another size, or no
      value of the sampled images is above 1.
  """
  messages = fitting_message(source), levels_notice(source)
  for message in filter(None, messages if is_primary() else ()):
    say(message)


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
      "--split and --data_dir need a data set, tfds:NAME or hf:FOLDER; --images is "
      f"{images!r}."
    )
  if not place:
    return DemoImages(geometry)
  if place.endswith((".npy", ".npz")):
    return open_array_images(place, geometry)
  return FolderImages(place, geometry)


def _kind(images: str) -> tuple[str, str]:
  """The prefix given by the user or inferred from the folder's files, and the path."""
  for prefix in (TFDS, HUGGING_FACE):
    if images.startswith(prefix):
      return prefix, images.removeprefix(prefix)
  for marker, prefix in _MARKER_FILES.items():
    if images and (pathlib.Path(images) / marker).is_file():
      return prefix, images
  return "", images
