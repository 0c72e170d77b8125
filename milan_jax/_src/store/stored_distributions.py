"""The distribution of the activations in an exemplar store, and samples of images.

```
sample_images.npy        uint8, the images of samples that are not among the exemplars'
sample_image_ids.npy     index in the data set of each
sample_image_names.json  name of each
layers/NAME/             value_bins.npy value_counts.npy maximum_bins.npy
                         maximum_counts.npy sample_rows.npy sample_activations.npy
                         sample_shares.npy sample_map_rows.npy sample_maps.npy
```

The arrays of a layer are those of `LayerDistribution`, and the activation maps of the
samples that exceed the threshold: `sample_map_rows` has the row of each in
`sample_maps`, and -1 where no region is above the threshold. Rows of images count on
from those of `images.npy`, so a store has the same bytes in its other files as without
samples. Stores of earlier versions have none of these files, and neither have those
with given masks.
"""

import functools
import pathlib
from collections.abc import Mapping

import numpy as np
from jaxtyping import Int, UInt8

from milan_jax._src.errors import UserError
from milan_jax._src.exemplars.stats import LayerStatistics
from milan_jax._src.files import atomic
from milan_jax._src.files.json_files import read_json
from milan_jax._src.files.npy_files import open_npy
from milan_jax._src.records import LayerDistribution

IMAGES, IDS = "sample_images.npy", "sample_image_ids.npy"
NAMES = "sample_image_names.json"
MAPS, MAP_ROWS = "sample_maps", "sample_map_rows"
_KINDS = {
  "value_bins": "f",
  "value_counts": "iu",
  "maximum_bins": "f",
  "maximum_counts": "iu",
  "sample_rows": "i",
  "sample_activations": "f",
  "sample_shares": "iu",
}


def other_images(
  layers: Mapping[str, LayerStatistics], image_ids: Int[np.ndarray, "images"]
) -> Int[np.ndarray, "others"] | None:
  """Returns the ids of samples that are not in `image_ids`; None without samples."""
  found = [each.sample_ids for each in layers.values() if each.sample_ids is not None]
  if not found:
    return None
  ids = np.unique(np.concatenate([each.ravel() for each in found]))
  others: np.ndarray = np.setdiff1d(ids[ids >= 0], image_ids)
  return others


def layer_arrays(
  found: LayerStatistics, image_ids: Int[np.ndarray, "images"]
) -> dict[str, np.ndarray]:
  """Returns the arrays of a layer by the names of their files; none without samples.

  Args:
    found: the layer's statistics.
    image_ids: ids of all images of the store in the order of their rows.
  """
  if found.sample_ids is None:
    return {}
  assert found.sample_activations is not None and found.sample_maps is not None
  order = np.argsort(image_ids)
  none = found.sample_ids < 0
  ids = np.where(none, image_ids[0], found.sample_ids)
  rows = order[np.searchsorted(image_ids, ids, sorter=order)]
  levels = (
    found.thresholds if found.margins is None else found.thresholds + found.margins
  )
  above = ~none & (found.sample_activations > levels[:, None])
  arrays = {
    "sample_rows": np.where(none, -1, rows),
    MAP_ROWS: np.where(above, above.cumsum().reshape(above.shape) - 1, -1),
    MAPS: found.sample_maps[above],
  }
  for name in _KINDS.keys() - arrays.keys():
    array = getattr(found, name)
    counts = np.issubdtype(array.dtype, np.integer)
    arrays[name] = _shortened(array) if counts else array
  return arrays


def _shortened(counts: np.ndarray) -> np.ndarray:
  return counts.astype(np.uint32) if counts.max(initial=0) < 1 << 32 else counts


def write_images(
  folder: pathlib.Path, ids: Int[np.ndarray, "images"], names: list[str]
) -> None:
  """Writes the ids and names of the samples' own images; the images are there."""
  np.save(folder / IDS, ids, allow_pickle=False)
  atomic.write_json(folder / NAMES, names)


class SampleImages:
  """The images of a store's samples that are not among its exemplars' images.

  Args:
    folder: the store.
    size: height and width of the images.
    remedy: what to do about a damaged store.

  Attributes:
    names: name of each.

  Raises:
    UserError: if a file is missing or inconsistent with the others.
  """

  def __init__(self, folder: pathlib.Path, size: tuple[int, int], remedy: str):
    self.names: list[str] = []
    self._images = np.zeros((0, *size, 3), np.uint8)
    if (folder / IMAGES).exists():
      self._images = open_npy(
        folder / IMAGES, kinds="u", shape=(None, *size, 3), remedy=remedy
      )
      self.names = read_json(folder / NAMES, list, remedy=remedy)
      number = len(self._images)
      if len(self.names) != number or not all(isinstance(x, str) for x in self.names):
        raise UserError(
          f"{folder / NAMES}: expected a name for each of {number} images, found "
          f"{len(self.names)} entries: {remedy}."
        )

  def __len__(self) -> int:
    return len(self._images)

  def read(self, rows: Int[np.ndarray, "n"]) -> UInt8[np.ndarray, "n height width 3"]:
    """Returns the images at `rows`, which begin with 0."""
    return np.asarray(self._images[rows])


def open_arrays(
  folder: pathlib.Path, units: int, num_images: int, remedy: str
) -> dict[str, np.ndarray]:
  """Opens the arrays of a layer, by their names; none if the layer has none.

  Args:
    folder: the layer's folder.
    units: number of its rows.
    num_images: number of all images of the store.
    remedy: what to do about a damaged store.

  Raises:
    UserError: if a file is missing, or inconsistent with the others. The values of maps
      are checked only when masks are computed from them.
  """
  if not (folder / "sample_rows.npy").exists():
    return {}
  opened = functools.partial(open_npy, remedy=remedy)
  shapes: dict[str, tuple[int | None, ...]] = {name: (units, None) for name in _KINDS}
  shapes |= {"value_bins": (units, 2), "maximum_bins": (units, 2)}
  arrays = {
    name: opened(folder / f"{name}.npy", kinds=kinds, shape=shapes[name])
    for name, kinds in _KINDS.items()
  }
  rows = arrays["sample_rows"]
  arrays[MAP_ROWS] = opened(folder / f"{MAP_ROWS}.npy", kinds="i", shape=rows.shape)
  arrays[MAPS] = opened(folder / f"{MAPS}.npy", kinds="f", shape=(None, None, None))
  if 0 in arrays[MAPS].shape[1:]:
    raise UserError(
      f"{folder / MAPS}.npy: expected maps of at least one value, found shape "
      f"{arrays[MAPS].shape}: {remedy}."
    )
  for name in ("sample_activations", "sample_shares"):
    if arrays[name].shape != rows.shape:
      raise UserError(
        f"{folder / name}.npy: expected the shape {rows.shape} of sample_rows.npy, "
        f"found {arrays[name].shape}: {remedy}."
      )

  def check(name: str, fits: np.ndarray, expected: str) -> None:
    if not fits.all():
      at = tuple(np.argwhere(~fits)[0].tolist())
      raise UserError(
        f"{folder / name}.npy: expected {expected}, found {arrays[name][at]} at "
        f"{list(at)}: {remedy}."
      )

  for name, number, what in (
    ("sample_rows", num_images, "images"),
    (MAP_ROWS, len(arrays[MAPS]), "maps"),
  ):
    fits = (arrays[name] >= -1) & (arrays[name] < number)
    check(name, fits, f"rows of {number} {what}, or -1")
  known = np.isfinite(arrays["sample_activations"]) | (rows < 0)
  check("sample_activations", known, "numbers")
  for name in ("value_counts", "maximum_counts", "sample_shares"):
    check(name, arrays[name] >= 0, "counts")
  for name in ("value_bins", "maximum_bins"):
    bins = arrays[name]
    check(
      name,
      np.isfinite(bins) & ((bins > 0) | (np.arange(2) == 0)),
      "a start and a positive width",
    )
  return arrays


def distribution(
  layer: str, arrays: Mapping[str, np.ndarray]
) -> LayerDistribution | None:
  """Returns the distribution of a layer; None if its arrays are not there."""
  if "sample_rows" not in arrays:
    return None
  fields = {name: np.asarray(arrays[name]) for name in _KINDS}
  above = np.asarray(arrays[MAP_ROWS]) >= 0
  return LayerDistribution(layer, sample_above=above, **fields)
