"""Reads and writes exemplars in the layout of the original MILAN.

`<layer>/{images.npy, masks.npy, units.npy, ids.csv, activations.csv}`: images are uint8
`(units, k, 3, height, width)` and masks uint8 `(units, k, 1, height, width)`. Optional
are `units.npy`, the index of each unit in its layer, and for each exemplar `ids.csv`,
its id in the data set, and `activations.csv`, its activation.
"""

import hashlib
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, UInt8

from milan_jax._src.errors import UserError
from milan_jax._src.files.atomic import atomic_path
from milan_jax._src.files.npy_files import open_npy
from milan_jax._src.files.staging import staged_folder
from milan_jax._src.files.tables import read_numbers
from milan_jax._src.images.sizes import Size, sides, size_from_sides
from milan_jax._src.notebook import Shown
from milan_jax._src.records import ExemplarSet, LayerExemplars
from milan_jax._src.store.chosen_exemplars import ChosenExemplars
from milan_jax._src.store.row_numbers import places, row_numbers

# A folder with any of these files is a layer.
_SIGNS = ("images.npy", "masks.npy", "ids.csv")
_REMEDY = "fetch or write the exemplars again"
# Images of each layer that are compared with earlier ones of the same id, and the mean
# difference from which on they are others. Images that were merged in two ways differ
# by less.
_COMPARED, _OTHER = 32, 24
# Number of units whose pixels are in memory at the same time.
_TOGETHER = 16


class OriginalExemplars(Shown):
  """A folder in the original's layout, memory-mapped: an `ExemplarSet`.

  Layers are sorted by name. Images are identified by their ids if a layer has
  `ids.csv`, and by their pixels otherwise.

  Args:
    folder: contains one folder for each layer.

  Raises:
    UserError: if it has no layers, or a layer's files are missing or inconsistent.
  """

  def __init__(self, folder: str | os.PathLike[str]):
    self._folder = pathlib.Path(folder)
    self._names = layer_names(self._folder)
    if not self._names:
      raise UserError(
        f"{self._folder} holds no exemplars: expected a folder for each layer, with "
        "images.npy and masks.npy."
      )
    self._layers = {name: _Layer(self._folder, name) for name in self._names}
    sizes = {name: layer.images.shape[3:] for name, layer in self._layers.items()}
    if len(set(sizes.values())) > 1:
      raise UserError(
        f"{self._folder}: the images of all layers must have one size, found "
        + ", ".join(f"{h} x {w} in {name}" for name, (h, w) in sizes.items())
        + "."
      )
    # First occurrence of each distinct image: layer, unit, slot among its exemplars.
    self._first_seen: list[tuple[str, int, int]] = []
    self._rows: dict[str, np.ndarray] = {}
    rows_of: dict[object, int] = {}
    for name, layer in self._layers.items():
      rows = np.empty(layer.images.shape[:2], np.int64)
      again: list[tuple[int, int]] = []
      for unit, slot in np.ndindex(*rows.shape):
        row = rows_of.setdefault(layer.key(unit, slot), len(rows_of))
        rows[unit, slot] = row
        if row == len(self._first_seen):
          self._first_seen.append((name, unit, slot))
        else:
          again.append((unit, slot))
      self._rows[name] = rows
      self._check_ids(name, again)

  def _check_ids(self, name: str, again: list[tuple[int, int]]) -> None:
    """Compares some images of a layer with earlier ones of the same id.

    Raises:
      UserError: an id is of two different images.
    """
    layer = self._layers[name]
    if layer.ids is None:
      return
    step = -(-len(again) // _COMPARED) or 1
    for place in again[::step]:
      row = self._rows[name][place]
      other, *at = self._first_seen[row]
      first = self._layers[other].images[tuple(at)].astype(np.int16)
      if np.abs(layer.images[place] - first).mean() > _OTHER:
        raise UserError(
          f"{self._folder / name / 'ids.csv'}, row {place[0] + 1}: image "
          f"{layer.ids[place]} is another than the one of row {at[0] + 1} of {other}: "
          "expected an id for each image, its position in the data set; correct "
          "ids.csv, or remove it, and images are told apart by their pixels."
        )

  @property
  def folder(self) -> pathlib.Path:
    """The folder of the exemplars."""
    return self._folder

  @property
  def layers(self) -> tuple[str, ...]:
    """Names of the layers, in the order in which they are described."""
    return self._names

  @property
  def num_images(self) -> int:
    """Number of distinct images."""
    return len(self._first_seen)

  def exemplars(self, layer: str) -> LayerExemplars:
    """Returns ids, rows and activations; the layout has no thresholds or dead units."""
    found, rows = self._layer(layer), self._rows[layer]
    return LayerExemplars(
      layer=layer,
      units=found.units,
      image_ids=rows if found.ids is None else found.ids,
      image_rows=rows,
      activations=found.activations,
      thresholds=None,
      dead=np.zeros(len(rows), bool),
    )

  def images(self, rows: Int[np.ndarray, "n"]) -> UInt8[np.ndarray, "n height width 3"]:
    """Returns the distinct images at `rows`."""
    height, width = self._layers[self._names[0]].images.shape[3:]
    rows = row_numbers(rows, len(self._first_seen), "rows of images")
    images = np.empty((len(rows), height, width, 3), np.uint8)
    for at, row in enumerate(rows):
      name, unit, slot = self._first_seen[row]
      images[at] = self._layers[name].images[unit, slot].transpose(1, 2, 0)
    return images

  def masks(
    self, layer: str, rows: Int[np.ndarray, "n"], slots: Int[np.ndarray, "n"]
  ) -> Bool[np.ndarray, "n height width"]:
    """Returns masks of exemplars of a layer.

    Args:
      layer: the layer's name.
      rows: rows of `exemplars(layer)`, one per mask.
      slots: the index among the unit's k exemplars, one per mask.
    """
    given = self._layer(layer).masks
    rows, slots = places(rows, slots, given.shape)
    masks: np.ndarray = given[rows, slots, 0] != 0
    return masks

  def _layer(self, name: str) -> "_Layer":
    if name not in self._layers:
      raise UserError(
        f"{self._folder} has no layer {name!r}; it has {', '.join(self._names)}."
      )
    return self._layers[name]


def layer_names(folder: pathlib.Path) -> tuple[str, ...]:
  """Returns the sorted layers in a folder; a layer's name may contain slashes."""
  found = {path.parent for sign in _SIGNS for path in folder.rglob(sign)}
  return tuple(
    sorted(path.relative_to(folder).as_posix() for path in found if path != folder)
  )


def layers_without_images(folder: pathlib.Path) -> tuple[str, ...]:
  """Returns the layers whose images are not there and must be merged."""
  names = layer_names(folder)
  return tuple(name for name in names if not (folder / name / "images.npy").exists())


def layer_units(folder: pathlib.Path) -> dict[str, Int[np.ndarray, "units"]]:
  """Returns the indices of each layer's units, whether it has images or not."""
  found = {}
  for name in layer_names(folder):
    masks = _array(folder / name / "masks.npy", channels=1)
    found[name] = _units(folder / name / "units.npy", len(masks))
  return found


def mask_shape(folder: pathlib.Path, layer: str) -> tuple[int, ...]:
  """Returns units, k, 1, height and width of a layer's masks."""
  return _array(folder / layer / "masks.npy", channels=1).shape


class _Layer:
  """The files of one layer, checked for consistency."""

  def __init__(self, within: pathlib.Path, name: str):
    folder = within / name
    ids = folder / "ids.csv"
    if not (folder / "images.npy").exists():
      way = (
        "they can be put in from a local copy of the data set, by ids.csv, with "
        f"milan-data merge (--data={within}, --images=DIR) or milan_jax.merge_images"
        if ids.exists()
        else "and without ids.csv nothing says which they were"
      )
      raise UserError(f"{folder / 'images.npy'} is missing: {way}.")
    self.images = _array(folder / "images.npy", channels=3)
    self.masks = _array(folder / "masks.npy", channels=1)
    shape, expected = self.masks.shape, (*self.images.shape[:2], 1)
    if shape != (*expected, *self.images.shape[3:]):
      raise UserError(
        f"{folder / 'masks.npy'}: expected shape "
        f"{(*expected, *self.images.shape[3:])}, because images.npy has shape "
        f"{self.images.shape}, found {shape}."
      )
    units, k = self.images.shape[:2]
    self.ids = _table(ids, np.dtype(np.int64), (units, k))
    self.activations = _table(
      folder / "activations.csv", np.dtype(np.float32), (units, k)
    )
    self.units = _units(folder / "units.npy", units)

  def key(self, unit: int, slot: int) -> object:
    """Returns a key that identifies an exemplar's image across layers."""
    if self.ids is not None:
      return int(self.ids[unit, slot])
    return hashlib.blake2b(self.images[unit, slot].tobytes()).digest()


def _array(path: pathlib.Path, *, channels: int) -> np.ndarray:
  shape = f"(units, k, {channels}, height, width)"
  array = open_npy(path, remedy=f"expected uint8 of shape {shape}; {_REMEDY}")
  kinds = (np.uint8, np.bool_) if channels == 1 else (np.uint8,)
  fits = array.ndim == 5 and array.shape[2] == channels and array.size > 0
  if array.dtype not in kinds or not fits:
    raise UserError(
      f"{path}: expected uint8 of shape {shape}, found {array.dtype} of shape "
      f"{array.shape}."
    )
  return array


def _table(
  path: pathlib.Path, dtype: np.dtype, shape: tuple[int, int]
) -> np.ndarray | None:
  return read_numbers(path, dtype, shape) if path.exists() else None


def _units(path: pathlib.Path, units: int) -> np.ndarray:
  if not path.exists():
    return np.arange(units)
  indices = open_npy(path, remedy=_REMEDY)
  if indices.shape != (units,) or not np.issubdtype(indices.dtype, np.integer):
    raise UserError(
      f"{path}: expected {units} integers, the index of each unit in its layer, found "
      f"{indices.dtype} of shape {indices.shape}."
    )
  indices = np.asarray(indices, np.int64)
  if (indices < 0).any() or len(np.unique(indices)) != units:
    raise UserError(
      f"{path}: expected distinct indices of units in their layer, from 0, "
      f"found {indices[:8].tolist()}{', ...' if units > 8 else ''}."
    )
  return indices


def write_original_layout(
  folder: str | os.PathLike[str],
  exemplars: ExemplarSet,
  *,
  size: Size | None = None,
  with_images: bool = True,
) -> None:
  """Writes exemplars in the original's layout, completely or not at all.

  Rows of what lowers a unit ("off") are left out, because the layout cannot represent
  them. Pixels are exact. The original normalizes images for the model, inverts this and
  truncates to bytes, which makes one value in forty darker by one.

  Args:
    folder: the folder to write, with one folder for each layer.
    exemplars: the exemplars to write.
    size: size of the images and masks in pixels, by nearest neighbor; None for their
      own size.
    with_images: whether to write `images.npy`; without it, images can be merged.

  Raises:
    UserError: if `folder` exists, a layer's name is not a path inside it, or all rows
      are "off".
  """
  exemplars = _without_off(exemplars)
  for layer in exemplars.layers:
    parts = layer.split("/")
    if any(part in ("", ".", "..") or len(os.fsencode(part)) > 255 for part in parts):
      raise UserError(
        f"Layer {layer[:80]!r} cannot be the name of a folder in {folder}, as the "
        "original's layout requires: leave this layer out."
      )
  with staged_folder(folder) as staging:
    for layer in exemplars.layers:
      found = exemplars.exemplars(layer)
      units, k = found.image_rows.shape
      slots = np.arange(k)
      inside = staging / layer
      inside.mkdir(parents=True)
      example = exemplars.images(found.image_rows[0, :1])
      side = size or size_from_sides(*example.shape[1:3])
      shape = sides(side)
      masks = _create(inside / "masks.npy", (units, k, 1, *shape))
      for some in _batches(units):
        marks = exemplars.masks(layer, np.repeat(some, k), np.tile(slots, len(some)))
        marks = nearest(marks[..., None], side)
        masks[some] = marks.reshape(len(some), k, 1, *shape)
      masks.flush()
      if with_images:
        images = _create(inside / "images.npy", (units, k, 3, *shape))
        for some in _batches(units):
          pixels = exemplars.images(found.image_rows[some].ravel())
          pixels = nearest(pixels, side).transpose(0, 3, 1, 2)
          images[some] = pixels.reshape(len(some), k, 3, *shape)
        images.flush()
      np.save(inside / "units.npy", found.units, allow_pickle=False)
      np.savetxt(inside / "ids.csv", found.image_ids, fmt="%d", delimiter=",")
      if found.activations is not None:
        np.savetxt(
          inside / "activations.csv", found.activations, fmt="%.5e", delimiter=","
        )


def _batches(units: int) -> Iterator[np.ndarray]:
  for first in range(0, units, _TOGETHER):
    yield np.arange(first, min(first + _TOGETHER, units))


def _without_off(exemplars: ExemplarSet) -> ExemplarSet:
  """Returns the layers with rows of what raises a unit, restricted to these rows."""
  rows = {}
  for layer in exemplars.layers:
    found = exemplars.exemplars(layer)
    off = np.zeros(len(found.units), bool) if found.off is None else found.off
    if not off.all():
      rows[layer] = np.flatnonzero(~off)
  if not rows:
    raise UserError(
      "All exemplars are of what lowers a unit, which the original's layout cannot "
      'represent: collect exemplars with tail="upper".'
    )
  return ChosenExemplars(exemplars, rows)


def merge_images(
  folder: str | os.PathLike[str],
  load: Callable[[int], UInt8[np.ndarray, "height width 3"]],
) -> None:
  """Adds the images that an archive may not redistribute, by `ids.csv`.

  Args:
    folder: contains one folder for each layer; those without `images.npy` receive one,
      at the size of their masks.
    load: returns the image at an index of a local copy of the data set, with the aspect
      ratio of the masks.

  Raises:
    UserError: if there are no layers, one has neither images nor ids, its ids and masks
      are inconsistent, or `load` returns something else than an image.

  Example:
    >>> import os
    >>> milan_jax.write_original("archive", exemplars)
    >>> os.remove("archive/conv2/images.npy")
    >>> milan_jax.merge_images("archive", lambda image: images[image])
    >>> milan_jax.open_exemplars("archive").images(np.array([0])).shape
    (1, 32, 32, 3)
  """
  folder = pathlib.Path(folder)
  names = layer_names(folder)
  if not names:
    raise UserError(
      f"{folder} has no exemplars: expected a folder for each layer, with masks.npy."
    )
  for name in names:
    inside = folder / name
    if (inside / "images.npy").exists():
      continue
    masks = _array(inside / "masks.npy", channels=1)
    ids = _table(inside / "ids.csv", np.dtype(np.int64), masks.shape[:2])
    if ids is None:
      raise UserError(f"{inside / 'ids.csv'} is missing: images cannot be added.")
    with atomic_path(inside / "images.npy") as staging:
      images = _create(staging, (*ids.shape, 3, *masks.shape[3:]))
      for at in np.ndindex(*ids.shape):
        image = _checked_image(load(int(ids[at])), int(ids[at]))
        pixels = nearest(image[None], size_from_sides(*masks.shape[3:]))
        images[at] = pixels[0].transpose(2, 0, 1)
      images.flush()


def _checked_image(image: Any, image_id: int) -> UInt8[np.ndarray, "height width 3"]:
  pixels = np.asarray(image)
  if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
    raise UserError(
      f"load: expected image {image_id} as uint8 of shape (height, width, 3); found "
      f"{pixels.dtype} of shape {pixels.shape}."
    )
  return pixels


def nearest(images: np.ndarray, size: Size) -> np.ndarray:
  """Resizes images `(n, height, width, channels)` by nearest neighbor.

  Output pixel i of a side is input pixel floor(i * side / size), like torch's
  `nearest`.
  """
  height, width = sides(size)
  down = np.arange(height) * images.shape[1] // height
  across = np.arange(width) * images.shape[2] // width
  return images[:, down][:, :, across]


def _create(path: pathlib.Path, shape: tuple[int, ...]) -> np.memmap:
  return np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
