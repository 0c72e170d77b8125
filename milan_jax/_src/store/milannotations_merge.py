"""Adds the user's own pictures to networks that are distributed without them."""

import math
import os
import pathlib
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import UInt8

from milan_jax._src.errors import UserError
from milan_jax._src.files.atomic import write_json
from milan_jax._src.files.json_files import read_json
from milan_jax._src.images.class_folder import ClassFolder
from milan_jax._src.images.geometry import Geometry
from milan_jax._src.runs.bars import bar
from milan_jax._src.store.exemplar_sets import is_recorded, require_exemplars
from milan_jax._src.store.exemplar_store import META
from milan_jax._src.store.milannotations import NETWORKS
from milan_jax._src.store.original_layout import (
  layer_names,
  layers_without_images,
  mask_shape,
  merge_images,
)

# In a network's folder: how its pictures were fitted.
MERGED = "merged.json"
# Number of classes and pictures of the validation parts to which ids refer.
PICTURES: Mapping[str, tuple[int, int]] = {
  "imagenet": (1_000, 50_000),
  "places365": (365, 36_500),
}
# What exemplars were collected from: the shorter side resized, the center cropped.
_RESIZE, _CROP = 256, 224
Say = Callable[[str], None]


def merge_pictures(
  folder: str | os.PathLike[str],
  images: str | os.PathLike[str] | None = None,
  *,
  parity: bool = False,
  say: Say = lambda line: None,
) -> int:
  """Adds `images.npy` to the layers that lack it, by `ids.csv`.

  A picture is fitted as it was for the exemplars: its shorter side is resized to 256
  pixels, its center of 224 x 224 cropped, and the result resized to the masks' size by
  nearest neighbor. The original resizes the whole picture to the masks' size instead,
  without a crop, so that masks do not lie on the regions that they were computed from.

  Args:
    folder: a folder in the original's layout. If its path ends in `MODEL/DATASET` of
      MILANNOTATIONS, the number of the data set's pictures is checked.
    images: the data set's validation part, with a folder per class, or a folder that
      holds it as `DATASET/val` or `val`; None for `DATASET/val` beside `MODEL`.
    parity: whether to fit pictures as the original does.
    say: called with each line of progress.

  Returns:
    The number of layers that received images. Finished layers are kept when a later
    picture cannot be read.

  Raises:
    UserError: if the folder has no exemplars; if the pictures are not where they
      should be, are not as many as the data set has, or cannot be read; if a layer has
      neither images nor ids; or if other layers were merged in the other way.

  Example:
    >>> milan_jax.merge_pictures("annotated")  # it has its images
    0
  """
  folder = pathlib.Path(folder)
  require_exemplars(folder)
  # Only the original's layout keeps images by layer.
  has_own = (folder / META).is_file() or is_recorded(folder)
  missing = () if has_own else layers_without_images(folder)
  if not missing:
    return 0
  height, width = mask_shape(folder, missing[0])[3:]
  geometry = Geometry(_RESIZE, _CROP, "bilinear", fitting="resize-crop")
  if parity:
    geometry = Geometry(None, (height, width), "bilinear", fitting="resize")
  elif height != width:
    raise UserError(
      f"{folder}: masks of {height} x {width} pixels are not of center-cropped "
      "pictures: use --parity."
    )
  network = "/".join(folder.absolute().parts[-2:])
  dataset = network.partition("/")[2] if network in NETWORKS else None
  pictures = ClassFolder(_pictures_of(folder, images, dataset), geometry)
  _check_number(pictures, dataset)
  _check_fit(folder, "squash" if parity else "crop", len(pictures))
  say(f"{folder}: adding images to {len(missing)} of {len(layer_names(folder))} layers")
  number = {name: math.prod(mask_shape(folder, name)[:2]) for name in missing}
  total, done = sum(number.values()), 0
  with bar("merging", "pictures") as show:

    def load(index: int) -> UInt8[np.ndarray, "height width 3"]:
      nonlocal done
      done += 1
      show(done, total)
      return pictures.load(index)

    merge_images(folder, load)
  return len(missing)


def _pictures_of(
  folder: pathlib.Path,
  images: str | os.PathLike[str] | None,
  dataset: str | None,
) -> pathlib.Path:
  """Finds the data set's validation part."""
  if images is None:
    if dataset is None:
      raise UserError(f"--images: give the folder of the pictures of {folder}.")
    place = folder.absolute().parents[1] / dataset / "val"
    if not place.is_dir():
      raise UserError(
        f"{folder} comes without images: put the validation pictures of {dataset} into "
        f"{place}, in one folder per class, or give their folder with --images."
      )
    return place
  given = pathlib.Path(images)
  named = [given / dataset / "val"] if dataset else []
  for place in (*named, given / "val", given):
    if place.is_dir():
      return place
  raise UserError(
    f"--images={given}: there is no such folder: put the pictures of "
    f"{dataset or folder} there, in one folder per class."
  )


def _check_number(pictures: ClassFolder, dataset: str | None) -> None:
  expected = PICTURES.get(dataset or "")
  found = (pictures.classes, len(pictures))
  if expected and found != expected:
    raise UserError(
      f"{pictures.folder}: expected the {expected[1]:,} validation pictures of "
      f"{dataset} in {expected[0]:,} folders of classes, because ids.csv counts them "
      f"in this order; found {found[1]:,} in {found[0]:,}."
    )


def _check_fit(folder: pathlib.Path, fit: str, number: int) -> None:
  """Records how pictures are fitted, and refuses to mix the two ways."""
  path, about = folder / MERGED, {"fit": fit, "num_pictures": number}
  if path.is_file():
    before = read_json(path, dict, remedy="remove it, and the images.npy beside it")
    if before != about:
      raise UserError(
        f"{folder}: some layers were merged with {before}, and now {about} is asked "
        f"for: remove {path} and the images.npy of the layers, then run again."
      )
  write_json(path, about)
