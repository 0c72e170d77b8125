"""The native exemplar store: every image once, and maps and levels in place of masks.

```
meta.json          format, image size, layers, and what made the store
images.npy         uint8, (images, height, width, 3)
image_ids.npy      position in the data set of each image
image_names.json   name of each image
layers/NAME/       units.npy image_rows.npy activations.npy levels.npy dead.npy maps.npy
                   num_ties.npy num_bad_maps.npy num_firing.npy num_images.npy
```

`num_ties` counts the images as good as a unit's last exemplar that are none only for
their position; `num_bad_maps` those on which its maximum was NaN or infinite.
`num_firing` counts the images on which it fires, of the `num_images` on which its
maximum was finite; stores of earlier versions lack these two.

A layer of regions whose masks were given has `masks.npy`, one bit a pixel, in place of
activations, levels and maps: see `region_sets`. Both kinds are read alike.
"""

import concurrent.futures
import json
import os
import pathlib
import urllib.parse
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, UInt8

from milan_jax.errors import UserError
from milan_jax.exemplars.masks import activation_masks
from milan_jax.exemplars.stats import LayerStatistics
from milan_jax.images.source import ImageSource, load_again
from milan_jax.records import LayerExemplars
from milan_jax.store import atomic
from milan_jax.store.aside import GrowingArray, folder_aside

FORMAT = "milan-jax exemplars 1"
META = "meta.json"
# Images decoded ahead while the store is written.
_AHEAD = 64


def layer_folder(folder: pathlib.Path, layer: str) -> pathlib.Path:
  """Where a layer's arrays lie; a name may hold characters that no path may."""
  return folder / "layers" / urllib.parse.quote(layer, safe="")


def write_exemplars(
  folder: str | os.PathLike[str],
  layers: Mapping[str, LayerStatistics],
  source: ImageSource,
  *,
  units: Mapping[str, Int[np.ndarray, "_"]] | None = None,
  info: Mapping[str, Any] | None = None,
  threads: int = 2,
) -> None:
  """Writes statistics and the images they point to; all or nothing.

  Args:
    folder: the store to make.
    layers: what `collect` found, in the order in which to describe.
    source: the images: those that are exemplars are read again.
    units: the unit that each row of a layer's statistics is of; None: row by row.
    info: what made the store, as JSON; kept in `meta.json` and not interpreted.
    threads: threads that decode images.

  Raises:
    UserError: if `folder` exists, or an image can no longer be read.
  """
  used = [found.image_ids.ravel() for found in layers.values()]
  image_ids = np.unique(np.concatenate(used))
  with folder_aside(folder) as aside:
    with (
      GrowingArray(
        aside / "images.npy", (source.size, source.size, 3), np.dtype(np.uint8)
      ) as images,
      concurrent.futures.ThreadPoolExecutor(threads) as pool,
    ):
      for first in range(0, len(image_ids), _AHEAD):
        indices = image_ids[first : first + _AHEAD].tolist()
        for image in pool.map(lambda index: load_again(source, index), indices):
          images.append(image)
    for name, found in layers.items():
      write_arrays(
        layer_folder(aside, name),
        units=(units or {}).get(name, np.arange(len(found.levels))),
        image_rows=np.searchsorted(image_ids, found.image_ids),
        activations=found.activations,
        levels=found.levels,
        dead=found.dead,
        maps=found.maps,
        num_ties=found.num_ties,
        num_bad_maps=found.num_bad_maps,
        **_counts(found),
      )
    names = [source.name(index) for index in image_ids.tolist()]
    write_table(aside, layers, image_ids, names, info or {})


def _counts(found: LayerStatistics) -> dict[str, np.ndarray]:
  if found.num_firing is None or found.num_images is None:
    return {}
  return {"num_firing": found.num_firing, "num_images": found.num_images}


def write_arrays(folder: pathlib.Path, **arrays: np.ndarray) -> None:
  """Writes each array to the file of its name."""
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
  """Writes what goes with the images, and the store's description."""
  np.save(folder / "image_ids.npy", image_ids, allow_pickle=False)
  atomic.write_json(folder / "image_names.json", names)
  atomic.write_json(
    folder / META, {"format": FORMAT, "layers": list(layers), "info": dict(info)}
  )


class StoredExemplars:
  """A native store, memory-mapped: an `ExemplarSet`.

  Args:
    folder: the store.

  Raises:
    UserError: if it is no such store, or a file of it is missing or spoilt.
  """

  def __init__(self, folder: str | os.PathLike[str]):
    self._folder = pathlib.Path(folder)
    self._opened: dict[tuple[str, str], np.ndarray] = {}
    meta = _read_json(self._folder / META)
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
      raise UserError(
        f"{self._folder / META} is no description of an exemplar store: expected the "
        f"format {FORMAT!r}."
      )
    self._layers: tuple[str, ...] = tuple(meta["layers"])
    self._info: dict[str, Any] = meta["info"]
    self._images = _read_array(self._folder / "images.npy")
    self._image_ids = _read_array(self._folder / "image_ids.npy")
    self._names: list[str] = _read_json(self._folder / "image_names.json")
    if self._images.ndim != 4 or self._images.shape[3] != 3:
      raise UserError(
        f"{self._folder / 'images.npy'}: expected shape (images, height, width, 3), "
        f"found {self._images.shape}."
      )
    if not len(self._images) == len(self._image_ids) == len(self._names):
      raise UserError(
        f"{self._folder} has {len(self._images)} images, {len(self._image_ids)} ids "
        f"and {len(self._names)} names: the store is damaged; make it again."
      )

  @property
  def layers(self) -> tuple[str, ...]:
    """Names of the layers, in the order in which they are described."""
    return self._layers

  @property
  def num_images(self) -> int:
    """Number of distinct images."""
    return len(self._images)

  @property
  def info(self) -> dict[str, Any]:
    """What made the store, as its writer put it."""
    return self._info

  def image_names(self, rows: Int[np.ndarray, "n"]) -> list[str]:
    """Names of the images at `rows`."""
    return [self._names[row] for row in rows]

  def exemplars(self, layer: str) -> LayerExemplars:
    """Ids, rows, activations and levels of a layer's units."""
    rows = np.asarray(self._array(layer, "image_rows"))
    given = self._masks_are_given(layer)
    return LayerExemplars(
      layer=layer,
      units=np.asarray(self._array(layer, "units")),
      image_ids=self._image_ids[rows],
      image_rows=rows,
      activations=None if given else np.asarray(self._array(layer, "activations")),
      levels=None if given else np.asarray(self._array(layer, "levels")),
      dead=np.asarray(self._array(layer, "dead")),
      num_firing=self._count(layer, "num_firing"),
      num_images=self._count(layer, "num_images"),
    )

  def images(self, rows: Int[np.ndarray, "n"]) -> UInt8[np.ndarray, "n height width 3"]:
    """The distinct images at `rows`."""
    return np.asarray(self._images[rows])

  def masks(
    self,
    layer: str,
    rows: Int[np.ndarray, "n"],
    slots: Int[np.ndarray, "n"],
    *,
    size: int | None = None,
  ) -> Bool[np.ndarray, "n height width"]:
    """Masks of some exemplars of a layer, made now; memory grows with their number.

    Args:
      layer: the layer's name.
      rows: rows of `exemplars(layer)`, one per mask.
      slots: which of the unit's k exemplars, one per mask.
      size: side of the masks in pixels; None takes the images' own. Masks that were
        given exist at the images' size alone.

    Raises:
      UserError: if given masks are asked for at another size.
    """
    side = self._images.shape[1]
    if not self._masks_are_given(layer):
      maps = self._array(layer, "maps")[rows, slots]
      return activation_masks(
        maps, self._array(layer, "levels")[rows], size=size or side
      )
    if size not in (None, side):
      raise UserError(
        f"The masks of {layer} were given at {side} x {side} pixels: they cannot be "
        f"made at {size} x {size}."
      )
    bits = self._array(layer, "masks")[rows, slots]
    flat = np.unpackbits(bits, axis=-1, count=side * side)
    return flat.reshape(-1, side, side).view(bool)

  def _count(self, layer: str, name: str) -> np.ndarray | None:
    """Numbers of images, which a store of an earlier version lacks."""
    path = layer_folder(self._folder, layer) / f"{name}.npy"
    return np.asarray(self._array(layer, name)) if path.exists() else None

  def _masks_are_given(self, layer: str) -> bool:
    return (layer_folder(self._folder, layer) / "masks.npy").exists()

  def _array(self, layer: str, name: str) -> np.ndarray:
    if layer not in self._layers:
      raise UserError(
        f"{self._folder} has no layer {layer!r}; it has {', '.join(self._layers)}."
      )
    if (layer, name) not in self._opened:
      path = layer_folder(self._folder, layer) / f"{name}.npy"
      self._opened[layer, name] = _read_array(path)
    return self._opened[layer, name]


def _read_json(path: pathlib.Path) -> Any:
  try:
    return json.loads(path.read_text(encoding="utf-8"))
  except FileNotFoundError as error:
    raise UserError(f"{path} is missing: this is no whole exemplar store.") from error
  except ValueError as error:
    raise UserError(f"{path} is no JSON ({error}): make the store again.") from error


def _read_array(path: pathlib.Path) -> np.ndarray:
  try:
    return np.lib.format.open_memmap(path, mode="r")
  except FileNotFoundError as error:
    raise UserError(f"{path} is missing: make the exemplar store again.") from error
  except (ValueError, OSError, EOFError) as error:
    raise UserError(
      f"{path} is spoilt ({error}): make the exemplar store again."
    ) from error
