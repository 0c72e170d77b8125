"""Features of units' regions on disk: a folder that can be described by itself.

```
index.json      format, and the name, units, dead units and shape of each layer; where
                it is known, on how many of how many images each unit fires
N.npy           float32, (units, k, features), of the layer at N in the index
progress.json   number of images encoded, of all
```

Units are numbered through the layers, in their order. Reading and writing hold what is
read or written and no more: files are not mapped into memory unless asked for, since
what has been seen of a mapped file counts as the process's own.
"""

import json
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Float, Int

from milan_jax.errors import UserError
from milan_jax.records import LayerExemplars, Unit
from milan_jax.store.atomic import write_json

FORMAT = "milan-jax features 1"
INDEX, PROGRESS = "index.json", "progress.json"


class FeatureWriter:
  """Fills the files of a feature store in any order; a context manager.

  Args:
    folder: the store, made or gone on with.
    layers: the exemplars whose features it holds.
    feature_size: size of a region's features.
    total: number of images to encode.

  Raises:
    UserError: the folder holds features of something else.
  """

  def __init__(
    self,
    folder: pathlib.Path,
    layers: Sequence[LayerExemplars],
    *,
    feature_size: int,
    total: int,
  ):
    folder.mkdir(parents=True, exist_ok=True)
    self._folder, self._total = folder, total
    shapes = [(*layer.image_rows.shape, feature_size) for layer in layers]
    index = {
      "format": FORMAT,
      "layers": [
        _entry(layer, shape) for layer, shape in zip(layers, shapes, strict=True)
      ],
    }
    self._row_bytes = 4 * feature_size
    self._slots = [shape[1] for shape in shapes]
    paths = [folder / f"{number}.npy" for number in range(len(layers))]
    if (folder / INDEX).exists():
      _check_same(folder, index)
    else:
      # What an earlier version left here tells nothing of the files made now.
      (folder / PROGRESS).unlink(missing_ok=True)
      for path, shape in zip(paths, shapes, strict=True):
        np.lib.format.open_memmap(path, "w+", np.float32, shape)
      write_json(folder / INDEX, index)
    self.done = _progress(folder)["done"]
    self._offsets = [_begin(path) for path in paths]
    self._files: list[BinaryIO] = [path.open("r+b") for path in paths]

  def write(
    self, layer: int, row: int, slot: int, features: Float[np.ndarray, "features"]
  ) -> None:
    """Writes one region's features: the layer's number, the unit's row, the slot."""
    place = row * self._slots[layer] + slot
    offset = self._offsets[layer] + place * self._row_bytes
    data = np.ascontiguousarray(features, np.float32).tobytes()
    os.pwrite(self._files[layer].fileno(), data, offset)

  def save(self, done: int) -> None:
    """Puts all that was written on the disk and notes how many images are done."""
    for file in self._files:
      os.fsync(file.fileno())
    self.done = done
    write_json(self._folder / PROGRESS, {"done": done, "total": self._total})

  def __enter__(self) -> "FeatureWriter":
    return self

  def __exit__(self, *_: Any) -> None:
    for file in self._files:
      file.close()


class FeatureStore:
  """Features of units, read a batch at a time.

  Args:
    folder: the store.
    chosen: rows of the layers to keep, by layer; None keeps all.
  """

  def __init__(
    self,
    folder: str | os.PathLike[str],
    chosen: Mapping[str, Int[np.ndarray, "_"]] | None = None,
  ):
    self._folder = pathlib.Path(folder)
    index = json.loads((self._folder / INDEX).read_text())
    self._layers = index["layers"]
    numbers = {layer["name"]: number for number, layer in enumerate(self._layers)}
    kept = (
      [
        (number, np.arange(layer["shape"][0]))
        for number, layer in enumerate(self._layers)
      ]
      if chosen is None
      else [(numbers[name], rows) for name, rows in chosen.items()]
    )
    self._numbers = np.concatenate([np.full(len(rows), n) for n, rows in kept])
    self._rows = np.concatenate([rows for _, rows in kept])
    shapes = {tuple(self._layers[number]["shape"][1:]) for number, _ in kept}
    if len(shapes) > 1:
      raise UserError(
        f"{folder}: expected one number of regions and features for all layers, found "
        f"{sorted(shapes)}: describe the layers one after another (--layers)."
      )
    self.k, self.feature_size = shapes.pop()
    self._dead = [frozenset(layer["dead"]) for layer in self._layers]

  def __len__(self) -> int:
    return len(self._rows)

  @property
  def layers(self) -> tuple[str, ...]:
    """Names of all layers of the folder."""
    return tuple(layer["name"] for layer in self._layers)

  def units_of(self, layer: str) -> Int[np.ndarray, "units"]:
    """Index in its layer of each unit of a layer of the folder."""
    return np.array(self._layers[self.layers.index(layer)]["units"])

  def units(self, start: int, stop: int) -> Iterator[tuple[Unit, bool]]:
    """Yields units by their places, and whether each is dead."""
    for number, row in zip(
      self._numbers[start:stop].tolist(), self._rows[start:stop].tolist(), strict=True
    ):
      layer = self._layers[number]
      yield Unit(layer["name"], layer["units"][row]), row in self._dead[number]

  def firing(self, start: int, stop: int) -> Iterator[tuple[int, int] | None]:
    """Yields on how many of how many images each unit fires; None if not known."""
    for number, row in zip(
      self._numbers[start:stop].tolist(), self._rows[start:stop].tolist(), strict=True
    ):
      layer = self._layers[number]
      yield (layer["fires"][row], layer["images"][row]) if "fires" in layer else None

  def num_regions(self, start: int, stop: int) -> Int[np.ndarray, "units"]:
    """How many regions of each unit count, its first ones: those where it fires.

    All of them where that is not known, or where the unit fires on no image at all.
    """
    known = [self.k if one is None else one[0] for one in self.firing(start, stop)]
    counts = np.array(known, np.int64)
    return np.where(counts > 0, np.minimum(counts, self.k), self.k)

  def read(self, start: int, stop: int) -> Float[np.ndarray, "units k features"]:
    """Reads the features of units by their places."""
    return self.read_rows(np.arange(start, min(stop, len(self))))

  def read_rows(
    self, places: Int[np.ndarray, "units"]
  ) -> Float[np.ndarray, "units k features"]:
    """Reads the features of units at any places."""
    found = np.empty((len(places), self.k, self.feature_size), np.float32)
    numbers, rows = self._numbers[places], self._rows[places]
    unit_bytes = found[:1].nbytes
    for number in np.unique(numbers).tolist():
      path = self._folder / f"{number}.npy"
      offset = _begin(path)
      with path.open("rb") as file:
        for place in np.flatnonzero(numbers == number).tolist():
          data = os.pread(file.fileno(), unit_bytes, offset + rows[place] * unit_bytes)
          if len(data) < unit_bytes:
            raise UserError(f"{path} is cut short: make the features again.")
          found[place] = np.frombuffer(data, np.float32).reshape(found.shape[1:])
    return found

  def tables(self) -> dict[str, Float[np.ndarray, "units k features"]]:
    """Maps the files of all layers into memory, for reading in any order."""
    return {
      name: np.load(self._folder / f"{number}.npy", mmap_mode="r")
      for number, name in enumerate(self.layers)
    }

  def files(self) -> list[tuple[str, pathlib.Path]]:
    """The files that hold the features of all layers, by their names."""
    names = [INDEX, *(f"{number}.npy" for number in range(len(self._layers)))]
    return [(name, self._folder / name) for name in names]


def open_features(folder: str | os.PathLike[str]) -> FeatureStore:
  """Opens a finished store.

  Raises:
    UserError: it is no feature store, or not finished.
  """
  folder = pathlib.Path(folder)
  if not (folder / INDEX).is_file():
    raise UserError(
      f"{folder} holds no features: looked for {INDEX}, which the folder `features` of "
      "a run of milan-describe has."
    )
  progress = _progress(folder)
  if progress["done"] < progress["total"]:
    raise UserError(
      f"{folder}: features of {progress['done']} of {progress['total']} images are "
      "there; finish the run that makes them first."
    )
  return FeatureStore(folder)


def features_are_finished(folder: str | os.PathLike[str]) -> bool:
  """Whether a folder holds all the features that it is to hold."""
  folder = pathlib.Path(folder)
  if not (folder / INDEX).is_file():
    return False
  progress = _progress(folder)
  return progress["done"] == progress["total"]


def _progress(folder: pathlib.Path) -> dict[str, int]:
  path = folder / PROGRESS
  return json.loads(path.read_text()) if path.exists() else {"done": 0, "total": 1}


def _entry(layer: LayerExemplars, shape: tuple[int, ...]) -> dict[str, Any]:
  """What the index says of a layer."""
  entry: dict[str, Any] = {
    "name": layer.layer,
    "units": layer.units.tolist(),
    "dead": np.flatnonzero(layer.dead).tolist(),
    "shape": list(shape),
  }
  if layer.num_firing is not None and layer.num_images is not None:
    entry |= {"fires": layer.num_firing.tolist(), "images": layer.num_images.tolist()}
  return entry


def _check_same(folder: pathlib.Path, index: dict[str, Any]) -> None:
  known = json.loads((folder / INDEX).read_text())
  if known != index:
    wanted, found = (
      {layer["name"]: layer["shape"] for layer in one["layers"]}
      for one in (index, known)
    )
    raise UserError(
      f"{folder}: expected features of {wanted}, found {found}"
      + (" of other units" if wanted == found else "")
      + "; name another --workdir."
    )


def _begin(path: pathlib.Path) -> int:
  """Where the items of a `.npy` file begin, in bytes."""
  with path.open("rb") as file:
    np.lib.format.read_magic(file)
    np.lib.format.read_array_header_1_0(file)
    return file.tell()
