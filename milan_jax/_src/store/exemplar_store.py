"""The native exemplar store: distinct images, with maps and thresholds for the masks.

```
meta.json          format, layers, origin of the store, checksums of the files
images.npy         uint8, (images, height, width, 3)
image_ids.npy      index in the data set of each image
image_names.json   name of each image
image_groups.npy   group of each image, such as its photograph; optional
layers/NAME/       units.npy image_rows.npy activations.npy levels.npy dead.npy maps.npy
                   num_ties.npy num_bad_maps.npy num_firing.npy num_images.npy
                   margins.npy off.npy
```

`stored_distributions` describes further files: histograms of the activations and
samples of images from over their whole range.

`levels` holds the units' thresholds. `num_ties` counts the images that have the same
maximum as a unit's last exemplar and rank after it only because of their index.
`num_bad_maps` counts the images on which the unit's maximum was NaN or infinite.
`num_firing` counts the images on which the unit fires, among the `num_images` on which
its maximum was finite; stores of earlier versions lack these two.

`margins` holds the amount by which the values in a mask must exceed the threshold; zero
without it. `off` marks the rows of what lowers a unit; their arrays hold how far the
unit is below its resting value. Without it there are no such rows. A unit has at most
one row of each sign.

A layer with given masks has `masks.npy`, one bit per pixel, instead of activations,
thresholds and maps: see `region_sets`. Both kinds of layers have the same interface.
"""

import concurrent.futures
import functools
import os
import pathlib
import urllib.parse
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from milan_jax._src.errors import UserError
from milan_jax._src.exemplars.masks import activation_masks
from milan_jax._src.exemplars.stats import LayerStatistics
from milan_jax._src.files import atomic
from milan_jax._src.files.digests import sha256_of
from milan_jax._src.files.json_files import (
  check_files,
  checksums,
  read_json,
  with_checksum,
)
from milan_jax._src.files.npy_files import check_values, open_npy
from milan_jax._src.files.staging import GrowingArray, staged_folder
from milan_jax._src.images.sizes import Size, sides, size_from_sides, size_text
from milan_jax._src.images.source import GroupedSource, ImageSource, load_again
from milan_jax._src.notebook import Shown
from milan_jax._src.records import LayerDistribution, LayerExemplars
from milan_jax._src.store import stored_distributions
from milan_jax._src.store.row_numbers import places, row_numbers
from milan_jax._src.store.stored_distributions import SampleImages

FORMAT = "milan-jax exemplars 1"
META = "meta.json"
GROUPS = "image_groups.npy"
# Number of images that are decoded in advance while the store is written.
_AHEAD = 64
_REMEDY = "make the exemplar store again"
# Optional arrays of a layer with their dtype kinds.
_OPTIONAL = {"num_ties": "iu", "num_bad_maps": "iu", "num_firing": "iu"}
_OPTIONAL |= {"num_images": "iu", "margins": "f", "off": "b"}
# Maximum length in bytes of a file name on most file systems.
_LONGEST_NAME = 255


def layer_folder(folder: pathlib.Path, layer: str) -> pathlib.Path:
  """Returns the folder of a layer's arrays; escapes characters not allowed in paths.

  A name that is too long is truncated and made unique by `+` and a digest. Other
  folders' names do not contain `+`.
  """
  name = urllib.parse.quote(layer, safe="", errors="surrogatepass")
  if name in ("", ".", ".."):
    name = f"+{name.replace('.', '%2E')}"
  if len(name) > _LONGEST_NAME:
    digest = sha256_of([name])[:32]
    name = f"{name[: _LONGEST_NAME - len(digest) - 1]}+{digest}"
  return folder / "layers" / name


def write_exemplars(
  folder: str | os.PathLike[str],
  layers: Mapping[str, LayerStatistics],
  source: ImageSource,
  *,
  units: Mapping[str, Int[np.ndarray, "_"]] | None = None,
  info: Mapping[str, Any] | None = None,
  threads: int = 2,
) -> None:
  """Writes statistics and the images of their exemplars, completely or not at all.

  Args:
    folder: the store to create.
    layers: the results of `collect`, in the order in which to describe the layers.
    source: the images; those of the exemplars are read again.
    units: the units of each layer in the statistics; None for all, in order.
    info: the origin of the store, as JSON; kept in `meta.json` and not interpreted.
    threads: number of threads that decode images.

  Raises:
    UserError: if `folder` exists, or an image can no longer be read.
  """
  used = [found.image_ids.ravel() for found in layers.values()]
  image_ids = np.unique(np.concatenate(used))
  others = stored_distributions.other_images(layers, image_ids)
  all_ids = image_ids if others is None else np.append(image_ids, others)
  with staged_folder(folder) as staging:
    _write_images(staging / "images.npy", source, image_ids, threads)
    if others is not None:
      _write_images(staging / stored_distributions.IMAGES, source, others, threads)
      names = [source.name(index) for index in others.tolist()]
      stored_distributions.write_images(staging, others, names)
    for name, found in layers.items():
      rows = np.arange(len(found.thresholds))
      positions = rows if found.positions is None else found.positions
      write_arrays(
        layer_folder(staging, name),
        units=(units or {}).get(name, np.arange(positions.max() + 1))[positions],
        image_rows=np.searchsorted(image_ids, found.image_ids),
        activations=found.activations,
        levels=found.thresholds,
        dead=found.dead,
        maps=found.maps,
        num_ties=found.num_ties,
        num_bad_maps=found.num_bad_maps,
        **_optional_arrays(found),
        **stored_distributions.layer_arrays(found, all_ids),
      )
    if isinstance(source, GroupedSource):
      groups = np.asarray(source.groups())[image_ids]
      np.save(staging / GROUPS, groups, allow_pickle=False)
    names = [source.name(index) for index in image_ids.tolist()]
    write_table(staging, layers, image_ids, names, info or {})


def _write_images(
  path: pathlib.Path,
  source: ImageSource,
  image_ids: Int[np.ndarray, "images"],
  threads: int,
) -> None:
  """Reads images again from their source and writes them as one array."""
  with (
    GrowingArray(path, (*sides(source.size), 3), np.dtype(np.uint8)) as images,
    concurrent.futures.ThreadPoolExecutor(threads) as pool,
  ):
    for first in range(0, len(image_ids), _AHEAD):
      indices = image_ids[first : first + _AHEAD].tolist()
      for image in pool.map(lambda index: load_again(source, index), indices):
        images.append(image)


def _optional_arrays(found: LayerStatistics) -> dict[str, np.ndarray]:
  """Returns the optional arrays of a layer that are present."""
  arrays = {} if found.margins is None else {"margins": found.margins}
  if found.off is not None and found.off.any():
    arrays["off"] = found.off
  if found.num_firing is not None and found.num_images is not None:
    arrays |= {"num_firing": found.num_firing, "num_images": found.num_images}
  return arrays


def write_arrays(folder: pathlib.Path, **arrays: np.ndarray) -> None:
  """Writes each array to the file with its name."""
  folder.mkdir(parents=True, exist_ok=True)
  for name, array in arrays.items():
    np.save(folder / f"{name}.npy", array, allow_pickle=False)


def write_table(
  folder: pathlib.Path,
  layers: Iterable[str],
  image_ids: Int[np.ndarray, "images"],
  names: list[str],
  info: Mapping[str, Any],
) -> None:
  """Writes the ids and names of the images, and `meta.json` last."""
  np.save(folder / "image_ids.npy", image_ids, allow_pickle=False)
  atomic.write_json(folder / "image_names.json", names)
  files = (path for path in sorted(folder.rglob("*")) if path.is_file())
  meta = {
    "format": FORMAT,
    "layers": list(layers),
    "info": dict(info),
    "files": checksums(folder, (path.relative_to(folder).as_posix() for path in files)),
  }
  atomic.write_json(folder / META, with_checksum(meta))


class StoredExemplars(Shown):
  """A native store, memory-mapped: an `ExemplarSet`.

  Args:
    folder: the store.

  Raises:
    UserError: if it is not a native store, or a file in it is missing, damaged or
      inconsistent with the others. The values of maps and masks are not checked.
  """

  def __init__(self, folder: str | os.PathLike[str]):
    self._folder = pathlib.Path(folder)
    meta = read_json(self._folder / META, dict, remedy=_REMEDY)
    if meta.get("format") != FORMAT:
      raise UserError(
        f"{self._folder / META} is not from an exemplar store: expected the "
        f"format {FORMAT!r}."
      )
    self._layers = _layer_names(meta.get("layers"), self._folder / META)
    self._info: dict[str, Any] = _typed(
      meta.get("info"), dict, "info", self._folder / META
    )
    # Stores of earlier versions have no checksums.
    check_files(self._folder, meta.get("files"), remedy=_REMEDY)
    self._images = _open(self._folder / "images.npy", "u", (None, None, None, 3))
    number = len(self._images)
    self._image_ids = _open(self._folder / "image_ids.npy", "iu", (number,))
    path = self._folder / "image_names.json"
    self._names = read_json(path, list, remedy=_REMEDY)
    if len(self._names) != number or not all(isinstance(x, str) for x in self._names):
      raise UserError(
        f"{path}: expected a name for each of {number} images, found "
        f"{len(self._names)} entries: {_REMEDY}."
      )
    _check_values(
      self._folder / "image_ids.npy",
      self._image_ids,
      self._image_ids >= 0,
      "ids from 0",
    )
    groups = self._folder / GROUPS
    self._groups = _open(groups, "iu", (number,)) if groups.exists() else None
    size = self._images.shape[1:3]
    self._samples = SampleImages(self._folder, size, _REMEDY)
    self._arrays = {layer: self._open_layer(layer) for layer in self._layers}

  def _open_layer(self, layer: str) -> dict[str, np.ndarray]:
    """Opens a layer's arrays and checks their values, except those of maps and masks.

    Maps and masks are large, so their values are read only when needed.
    """
    folder = layer_folder(self._folder, layer)
    height, width = self._images.shape[1:3]
    rows = _open(folder / "image_rows.npy", "iu", (None, None))
    units, k = rows.shape
    kinds: dict[str, tuple[str, tuple[int | None, ...]]] = {
      "units": ("iu", (units,)),
      "dead": ("b", (units,)),
    }
    if (folder / "masks.npy").exists():
      kinds["masks"] = ("u", (units, k, -(-height * width // 8)))
    else:
      kinds["activations"] = ("f", (units, k))
      kinds["levels"] = ("f", (units,))
      kinds["maps"] = ("f", (units, k, None, None))
    for name, kind in _OPTIONAL.items():
      if (folder / f"{name}.npy").exists():
        kinds[name] = (kind, (units,))
    arrays = {
      name: _open(folder / f"{name}.npy", *expected) for name, expected in kinds.items()
    }
    arrays["image_rows"] = rows
    if not rows.size:
      raise UserError(
        f"{folder / 'image_rows.npy'}: expected at least one unit and one exemplar, "
        f"found shape {rows.shape}: {_REMEDY}."
      )

    def check(name: str, fits: np.ndarray, expected: str) -> None:
      _check_values(folder / f"{name}.npy", arrays[name], fits, expected)

    number, indices, dead = len(self._images), arrays["units"], arrays["dead"]
    check("image_rows", (rows >= 0) & (rows < number), f"rows of {number} images")
    check("units", indices >= 0, "indices from 0")
    signed = np.stack([indices, arrays.get("off", np.zeros(units, bool))])
    once = np.isin(np.arange(units), np.unique(signed, return_index=True, axis=1)[1])
    check("units", once, "each unit once")
    if "margins" in arrays:
      check("margins", arrays["margins"] >= 0, "numbers from 0")
    for name in ("activations", "levels", "margins"):
      if name in arrays:
        alive = ~dead.reshape(-1, *[1] * (arrays[name].ndim - 1))
        check(name, np.isfinite(arrays[name]) | ~alive, "numbers")
    for name in kinds:
      if name.startswith("num_"):
        check(name, arrays[name] >= 0, "counts")
    number += len(self._samples)
    return arrays | stored_distributions.open_arrays(folder, units, number, _REMEDY)

  def __repr__(self) -> str:
    return f"StoredExemplars({str(self._folder)!r}, layers={self.layers})"

  @property
  def folder(self) -> pathlib.Path:
    """The folder of the store."""
    return self._folder

  @property
  def layers(self) -> tuple[str, ...]:
    """Names of the layers, in the order in which they are described."""
    return self._layers

  @property
  def num_images(self) -> int:
    """Number of distinct images of the exemplars."""
    return len(self._images)

  @property
  def info(self) -> dict[str, Any]:
    """The origin of the store, as given by its writer."""
    return self._info

  def image_names(self, rows: Int[np.ndarray, "n"]) -> list[str]:
    """Returns the names of the images at `rows`."""
    names, own = self._names, len(self._names)
    rows = row_numbers(rows, own + len(self._samples), "rows of images").tolist()
    return [names[row] if row < own else self._samples.names[row - own] for row in rows]

  def image_groups(self, rows: Int[np.ndarray, "n"]) -> Int[np.ndarray, "n"] | None:
    """Returns the group of each image at `rows`, such as its photograph, if known."""
    if self._groups is None:
      return None
    rows = row_numbers(rows, len(self._groups), "rows of images")
    return np.asarray(self._groups[rows])

  def exemplars(self, layer: str) -> LayerExemplars:
    """Returns ids, rows, activations and thresholds of a layer's units."""
    rows = np.asarray(self._array(layer, "image_rows"))
    given = "masks" in self._arrays[layer]
    return LayerExemplars(
      layer=layer,
      units=np.asarray(self._array(layer, "units")),
      image_ids=self._image_ids[rows],
      image_rows=rows,
      activations=None if given else np.asarray(self._array(layer, "activations")),
      thresholds=None if given else np.asarray(self._array(layer, "levels")),
      dead=np.asarray(self._array(layer, "dead")),
      num_firing=self._optional(layer, "num_firing"),
      num_images=self._optional(layer, "num_images"),
      off=self._optional(layer, "off"),
    )

  def images(self, rows: Int[np.ndarray, "n"]) -> UInt8[np.ndarray, "n height width 3"]:
    """Returns the images at `rows`; those of samples follow those of exemplars."""
    own = len(self._images)
    rows = row_numbers(rows, own + len(self._samples), "rows of images")
    if not len(self._samples) or (rows < own).all():
      return np.asarray(self._images[rows])
    found = np.empty((len(rows), *self._images.shape[1:]), np.uint8)
    found[rows < own] = self._images[rows[rows < own]]
    found[rows >= own] = self._samples.read(rows[rows >= own] - own)
    return found

  def distribution(self, layer: str) -> LayerDistribution | None:
    """Returns histograms and samples of a layer's units; None if it has none."""
    self._array(layer, "image_rows")
    return stored_distributions.distribution(layer, self._arrays[layer])

  def sample_masks(
    self, layer: str, rows: Int[np.ndarray, "n"], slots: Int[np.ndarray, "n"]
  ) -> Bool[np.ndarray, "n height width"]:
    """Computes masks of samples; empty where no activation exceeds the threshold.

    Args:
      layer: the layer's name.
      rows: rows of `distribution(layer)`, one per mask.
      slots: the index among the unit's samples, one per mask.

    Raises:
      UserError: if a map has NaN, or there is no such row or sample.
    """
    placed = self._array(layer, stored_distributions.MAP_ROWS)
    rows, slots = places(rows, slots, placed.shape)
    masks = np.zeros((len(rows), *self._images.shape[1:3]), bool)
    map_rows = placed[rows, slots]
    above = np.flatnonzero(map_rows >= 0)
    if above.size:
      maps = np.asarray(self._array(layer, stored_distributions.MAPS)[map_rows[above]])
      size, name = size_from_sides(*masks.shape[1:]), stored_distributions.MAPS
      masks[above] = self._computed_masks(layer, rows[above], maps, size, name)
    return masks

  def _computed_masks(
    self,
    layer: str,
    rows: Int[np.ndarray, "n"],
    maps: Float[np.ndarray, "n _ _"],
    size: Size,
    name: str,
  ) -> Bool[np.ndarray, "n height width"]:
    """Computes masks of maps; as the original if only its tail was collected."""
    known_dead = self._array(layer, "dead")[rows] & (name == "maps")
    fits = ~np.isnan(maps).any((1, 2)) | known_dead
    path = layer_folder(self._folder, layer) / f"{name}.npy"
    _check_values(path, maps[:, 0, 0], fits, "maps without NaN")
    levels = np.asarray(self._array(layer, "levels")[rows])
    both_tails = "margins" in self._arrays[layer]
    if both_tails:
      levels = levels + self._array(layer, "margins")[rows]
    return activation_masks(maps, levels, size=size, bounded=both_tails)

  def maps(
    self, layer: str, rows: Int[np.ndarray, "n"], slots: Int[np.ndarray, "n"]
  ) -> Float[np.ndarray, "n height width"] | None:
    """Returns the activation maps of exemplars of a layer; None if masks were given.

    Args:
      layer: the layer's name.
      rows: rows of `exemplars(layer)`, one per map.
      slots: the index among the unit's k exemplars, one per map.

    Raises:
      UserError: if there is no such row or exemplar.
    """
    if "masks" in self._arrays.get(layer, ()):
      return None
    maps = self._array(layer, "maps")
    return np.asarray(maps[places(rows, slots, maps.shape)])

  def masks(
    self,
    layer: str,
    rows: Int[np.ndarray, "n"],
    slots: Int[np.ndarray, "n"],
    *,
    size: Size | None = None,
  ) -> Bool[np.ndarray, "n height width"]:
    """Computes masks of exemplars of a layer; memory grows with their number.

    Args:
      layer: the layer's name.
      rows: rows of `exemplars(layer)`, one per mask.
      slots: the index among the unit's k exemplars, one per mask.
      size: size of the masks in pixels; None for the images' size. Given masks only
        exist at the images' size.

    Raises:
      UserError: if given masks are requested at another size, or there is no such one.
    """
    own = size_from_sides(*self._images.shape[1:3])
    rows, slots = places(rows, slots, self._array(layer, "image_rows").shape)
    if "masks" not in self._arrays.get(layer, ()):
      maps = self._array(layer, "maps")[rows, slots]
      return self._computed_masks(layer, rows, maps, size or own, "maps")
    if size is not None and size != own:
      raise UserError(
        f"The masks of {layer} were given at {size_text(own)} pixels and cannot be "
        f"computed at {size_text(size)}."
      )
    bits = self._array(layer, "masks")[rows, slots]
    height, width = sides(own)
    flat = np.unpackbits(bits, axis=-1, count=height * width)
    return flat.reshape(-1, height, width).view(bool)

  def _optional(self, layer: str, name: str) -> np.ndarray | None:
    """Returns an optional array of a layer; None if the store lacks it."""
    found = self._arrays[layer].get(name)
    return None if found is None else np.asarray(found)

  def _array(self, layer: str, name: str) -> np.ndarray:
    if layer not in self._arrays:
      raise UserError(
        f"{self._folder} has no layer {layer!r}; it has {', '.join(self._layers)}."
      )
    return self._arrays[layer][name]


_check_values = functools.partial(check_values, remedy=_REMEDY)


def _open(path: pathlib.Path, kinds: str, shape: tuple[int | None, ...]) -> np.ndarray:
  return open_npy(path, kinds=kinds, shape=shape, remedy=_REMEDY)


def _layer_names(value: Any, path: pathlib.Path) -> tuple[str, ...]:
  names = _typed(value, list, "layers", path)
  if not names or len(set(map(str, names))) != len(names):
    raise UserError(f"{path}: expected distinct layers, found {names}: {_REMEDY}.")
  return tuple(_typed(name, str, "layers", path) for name in names)


def _typed(value: Any, kind: type, what: str, path: pathlib.Path) -> Any:
  if not isinstance(value, kind):
    raise UserError(
      f"{path}: expected {what} as a {kind.__name__}, found a "
      f"{type(value).__name__}: {_REMEDY}."
    )
  return value
