"""Features of units' regions on disk; the folder is sufficient for describing units.

```
index.json      format, and the name, units, dead units and shape of each layer; the
                rows of what lowers a unit ("off"), if there are any; if known, the
                number of images on which each unit fires and their total; of what
                exemplars and by what encoder the features are, if that is known
N.npy           float32, (units, k, features), for the layer at index N
progress.json   number of images encoded and their total; checksums of each layer's
                features so far, in the order of writing; at the end, of the files
```

Unit indices run through all layers in order. Only the features being read or written
are in memory. Files are memory-mapped only on request, because the pages read from a
mapped file count as the process's resident memory.
"""

import os
import pathlib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Float, Int

from milan_jax._src.errors import UserError
from milan_jax._src.files.atomic import write_json
from milan_jax._src.files.json_files import (
  check_files,
  checksums,
  read_json,
  with_checksum,
)
from milan_jax._src.files.npy_files import open_npy
from milan_jax._src.notebook import Shown
from milan_jax._src.records import LayerExemplars, Sign, Unit, signed_units
from milan_jax._src.store.row_numbers import check_layer, row_numbers

FORMAT = "milan-jax features 1"
INDEX, PROGRESS = "index.json", "progress.json"
_REMEDY = "remove the folder, and make the features again"


class FeatureWriter:
  """Fills the files of a feature store in any order; a context manager.

  Args:
    folder: the store; an unfinished one is resumed.
    layers: the exemplars of the layers.
    feature_size: size of a region's features.
    total: number of images to encode.
    about: what the features are of and computed by, as JSON: `exemplars`, a digest, and
      `encoder`, a table; None if a run directory knows.

  Raises:
    UserError: if the folder has features of other units, exemplars or encoders.
  """

  def __init__(
    self,
    folder: pathlib.Path,
    layers: Sequence[LayerExemplars],
    *,
    feature_size: int,
    total: int,
    about: Mapping[str, Any] | None = None,
  ):
    folder.mkdir(parents=True, exist_ok=True)
    self._folder, self._total = folder, total
    shapes = [(*layer.image_rows.shape, feature_size) for layer in layers]
    index: dict[str, Any] = {
      "format": FORMAT,
      "layers": [
        index_entry(layer, shape) for layer, shape in zip(layers, shapes, strict=True)
      ],
    }
    if about is not None:
      index["about"] = dict(about)
    self._row_bytes = 4 * feature_size
    self._slots = [shape[1] for shape in shapes]
    paths = [folder / f"{number}.npy" for number in range(len(layers))]
    if (folder / INDEX).exists():
      _check_same(folder, index)
    else:
      # Progress without an index is from an earlier version and does not apply.
      (folder / PROGRESS).unlink(missing_ok=True)
      for path, shape in zip(paths, shapes, strict=True):
        np.lib.format.open_memmap(path, "w+", np.float32, shape)
      write_json(folder / INDEX, index)
    progress = _read_progress(folder)
    self.done = progress["done"]
    # Checksum of each layer's features in the order of writing; None if unknown.
    self._written: list[int] | None = progress.get("written")
    if not self.done:
      self._written = [0] * len(layers)
    self._offsets = [_begin(path) for path in paths]
    self._files: list[BinaryIO] = [path.open("r+b") for path in paths]

  def write(
    self, layer: int, row: int, slot: int, features: Float[np.ndarray, "features"]
  ) -> None:
    """Writes one region's features at a layer's index, a unit's row and a slot."""
    data = np.ascontiguousarray(features, np.float32).tobytes()
    os.pwrite(self._files[layer].fileno(), data, self._offset(layer, row, slot))
    if self._written is not None:
      self._written[layer] = zlib.crc32(data, self._written[layer])

  def _offset(self, layer: int, row: int, slot: int) -> int:
    index = row * self._slots[layer] + slot
    return int(self._offsets[layer] + index * self._row_bytes)

  def check(self, locations: Int[np.ndarray, "locations 3"]) -> None:
    """Compares the features of an earlier writer with their checksums.

    Args:
      locations: layer, row and slot of all features it wrote, in the same order.

    Raises:
      UserError: if a file does not match its checksum.
    """
    if self._written is None:
      return  # written by an earlier version, without checksums
    found = [0] * len(self._files)
    for layer, row, slot in (location.tolist() for location in locations):
      file = self._files[layer].fileno()
      data = os.pread(file, self._row_bytes, self._offset(layer, row, slot))
      found[layer] = zlib.crc32(data, found[layer])
    for layer, checksum in enumerate(found):
      if self._written[layer : layer + 1] != [checksum]:
        raise UserError(
          f"{self._folder / f'{layer}.npy'} is corrupt (the features written before "
          f"do not match their checksum): {_REMEDY}."
        )

  def save(self, done: int) -> None:
    """Syncs all features to disk and records the number of images done."""
    for file in self._files:
      os.fsync(file.fileno())
    self.done = done
    progress: dict[str, Any] = {"done": done, "total": self._total}
    if self._written is not None:
      progress["written"] = self._written
    if done == self._total:
      for file in self._files:
        file.flush()
      names = [INDEX, *(f"{number}.npy" for number in range(len(self._files)))]
      progress["files"] = checksums(self._folder, names)
    write_json(self._folder / PROGRESS, with_checksum(progress))

  def __enter__(self) -> "FeatureWriter":
    return self

  def __exit__(self, *_: Any) -> None:
    for file in self._files:
      file.close()


class FeatureStore(Shown):
  """Features of units, read a batch at a time.

  Args:
    folder: the store.
    chosen: rows to keep, by layer; None keeps all.

  Attributes:
    k: regions of a unit.
    feature_size: size of a region's features.
    about: what they are of, as `FeatureWriter` takes it; empty if not known.

  Example:
    >>> features.read(0, 2).shape, features.all_units()[1]
    ((2, 5, 32), Unit(layer='conv2', index=1))
  """

  about: Mapping[str, Any]

  def __init__(
    self,
    folder: str | os.PathLike[str],
    chosen: Mapping[str, Int[np.ndarray, "_"]] | None = None,
  ):
    self._folder = pathlib.Path(folder)
    index = _read_index(self._folder)
    self._set_layers(index["layers"])
    self.about = index.get("about", {})
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
        f"{folder}: expected the same numbers of regions and features in all layers, "
        f"found {sorted(shapes)}: describe the layers one at a time (--layers)."
      )
    self.k, self.feature_size = shapes.pop()

  def _set_layers(self, layers: list[dict[str, Any]]) -> None:
    """Takes the index's entry for each layer."""
    self._layers = layers
    self._dead = [frozenset(layer["dead"]) for layer in layers]
    self._off = [frozenset(layer.get("off", ())) for layer in layers]

  def __len__(self) -> int:
    return len(self._rows)

  def __repr__(self) -> str:
    return (
      f"{type(self).__name__}(units={len(self)}, k={self.k}, "
      f"feature_size={self.feature_size}, layers={self.layers})"
    )

  @property
  def layers(self) -> tuple[str, ...]:
    """Names of all layers in the folder."""
    return tuple(layer["name"] for layer in self._layers)

  def units_of(self, layer: str) -> Int[np.ndarray, "units"]:
    """Returns the index in its layer of each unit of a layer."""
    return np.array(self._layers[self._number(layer)]["units"])

  def signed_units(self, layer: str) -> list[Unit]:
    """Returns the unit in each row of a layer, with its sign."""
    number = self._number(layer)
    units = self._layers[number]["units"]
    off = (row in self._off[number] for row in range(len(units)))
    return signed_units(layer, units, off)

  def _number(self, layer: str) -> int:
    check_layer(layer, self.layers, "features")
    return self.layers.index(layer)

  def all_units(self) -> list[Unit]:
    """Returns the units in the store, in order."""
    return [unit for unit, _ in self.units(0, len(self))]

  def units(self, start: int, stop: int) -> Iterator[tuple[Unit, bool]]:
    """Yields units by their index in the store, with whether each is dead."""
    for number, row in zip(
      self._numbers[start:stop].tolist(), self._rows[start:stop].tolist(), strict=True
    ):
      layer = self._layers[number]
      sign: Sign = "off" if row in self._off[number] else "on"
      yield Unit(layer["name"], layer["units"][row], sign), row in self._dead[number]

  def firing(self, start: int, stop: int) -> Iterator[tuple[int, int] | None]:
    """Yields each unit's number of images on which it fires and of all, if known."""
    for number, row in zip(
      self._numbers[start:stop].tolist(), self._rows[start:stop].tolist(), strict=True
    ):
      layer = self._layers[number]
      yield (layer["fires"][row], layer["images"][row]) if "fires" in layer else None

  def num_regions(self, start: int, stop: int) -> Int[np.ndarray, "units"]:
    """Returns the number of each unit's leading regions in which the unit fires.

    This is k if the number is not known, or if the unit does not fire on any image.
    """
    known = [self.k if one is None else one[0] for one in self.firing(start, stop)]
    counts = np.array(known, np.int64)
    counted: np.ndarray = np.where(counts > 0, np.minimum(counts, self.k), self.k)
    return counted

  def read(self, start: int, stop: int) -> Float[np.ndarray, "units k features"]:
    """Reads the features of units by their index in the store."""
    return self.read_rows(np.arange(start, min(stop, len(self))))

  def read_rows(
    self, indices: Int[np.ndarray, "units"]
  ) -> Float[np.ndarray, "units k features"]:
    """Reads the features of units at any indices."""
    indices = row_numbers(indices, len(self), "units")
    found = np.empty((len(indices), self.k, self.feature_size), np.float32)
    numbers, rows = self._numbers[indices], self._rows[indices]
    unit_bytes = found[:1].nbytes
    for number in np.unique(numbers).tolist():
      path = self._folder / f"{number}.npy"
      offset = _begin(path)
      with path.open("rb") as file:
        for i in np.flatnonzero(numbers == number).tolist():
          data = os.pread(file.fileno(), unit_bytes, offset + rows[i] * unit_bytes)
          if len(data) < unit_bytes:
            raise UserError(f"{path} is truncated: compute the features again.")
          found[i] = np.frombuffer(data, np.float32).reshape(found.shape[1:])
    return found

  def tables(self) -> dict[str, Float[np.ndarray, "units k features"]]:
    """Memory-maps the files of all layers, for reading in any order."""
    return {
      name: open_npy(
        self._folder / f"{number}.npy",
        kinds="f",
        shape=self._layers[number]["shape"],
        remedy=_REMEDY,
      )
      for number, name in enumerate(self.layers)
    }

  def files(self) -> list[tuple[str, pathlib.Path]]:
    """Lists the files with the features of all layers, by name."""
    names = [INDEX, *(f"{number}.npy" for number in range(len(self._layers)))]
    return [(name, self._folder / name) for name in names]


def open_features(folder: str | os.PathLike[str]) -> FeatureStore:
  """Opens a finished store.

  Raises:
    UserError: if it is not a feature store, not finished, or damaged.
  """
  folder = pathlib.Path(folder)
  if not (folder / INDEX).is_file():
    raise UserError(
      f"{folder} holds no features: expected {INDEX}, as in the folder `features` of "
      "a run directory of milan-describe."
    )
  progress = _read_progress(folder)
  if progress["done"] < progress["total"]:
    raise UserError(
      f"{folder} has features of {progress['done']} of {progress['total']} images: "
      "finish the run that computes them first."
    )
  check_files(folder, progress.get("files"), remedy=_REMEDY)
  store = FeatureStore(folder)
  store.tables()  # checks that dtypes and shapes match the index
  return store


def features_are_finished(folder: str | os.PathLike[str]) -> bool:
  """Returns whether the features in a folder are complete.

  Raises:
    UserError: if the record of the progress is damaged.
  """
  folder = pathlib.Path(folder)
  if not (folder / INDEX).is_file():
    return False
  progress = _read_progress(folder)
  return bool(progress["done"] == progress["total"])


def _read_progress(folder: pathlib.Path) -> dict[str, Any]:
  path = folder / PROGRESS
  if not path.exists():
    return {"done": 0, "total": 1}
  progress = read_json(path, dict, remedy=_REMEDY)
  done, total = progress.get("done"), progress.get("total")
  files = progress.get("files", {})
  written = progress.get("written", [])
  if (
    not (_is_count(done) and _is_count(total) and done <= total)
    or not isinstance(files, dict)
    or not (isinstance(written, list) and all(map(_is_count, written)))
    or not all(isinstance(name, str) and "/" not in name for name in files)
  ):
    raise UserError(
      f"{path}: expected the number of images done and their total, found {done!r} "
      f"and {total!r}: {_REMEDY}."
    )
  checked: dict[str, Any] = progress
  return checked


def _is_count(value: Any) -> bool:
  return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _read_index(folder: pathlib.Path) -> dict[str, Any]:
  """Reads the index, and checks its entry for each layer."""
  path = folder / INDEX
  index = read_json(path, dict, remedy=_REMEDY)
  layers = index.get("layers")
  if index.get("format") != FORMAT or not isinstance(layers, list) or not layers:
    raise UserError(f"{path}: expected layers in the format {FORMAT!r}: {_REMEDY}.")
  for number, layer in enumerate(layers):
    if not _is_entry(layer):
      raise UserError(
        f"{path}: the entries of layer {number} do not fit together (name, units, "
        f"dead, shape, fires, images): {_REMEDY}."
      )
  names = [layer["name"] for layer in layers]
  if len(set(names)) < len(names):
    raise UserError(f"{path} lists a layer twice: {_REMEDY}.")
  if not isinstance(index.get("about", {}), dict):
    raise UserError(f"{path}: expected a table `about`: {_REMEDY}.")
  checked: dict[str, Any] = index
  return checked


def _is_entry(layer: Any) -> bool:
  if not isinstance(layer, dict) or not isinstance(layer.get("name"), str):
    return False

  def is_counts(value: Any, length: int | None = None) -> bool:
    return (
      isinstance(value, list)
      and all(map(_is_count, value))
      and length in (None, len(value))
    )

  units: Any = layer.get("units")
  dead: Any = layer.get("dead")
  shape: Any = layer.get("shape")
  if not (is_counts(units) and is_counts(dead) and is_counts(shape, 3)):
    return False
  both = [name for name in ("fires", "images") if name in layer]
  off: Any = layer.get("off", [])
  if not is_counts(off):
    return False
  is_off = set(off)
  signed = {(unit, row in is_off) for row, unit in enumerate(units)}
  return (
    min(shape) > 0
    and len(units) == len(signed) == shape[0]
    and all(row < shape[0] for row in (*dead, *off))
    and len(both) != 1
    and all(is_counts(layer[name], shape[0]) for name in both)
  )


def index_entry(layer: LayerExemplars, shape: tuple[int, ...]) -> dict[str, Any]:
  """Returns the index's entry for a layer."""
  entry: dict[str, Any] = {
    "name": layer.layer,
    "units": layer.units.tolist(),
    "dead": np.flatnonzero(layer.dead).tolist(),
    "shape": list(shape),
  }
  if layer.off is not None and layer.off.any():
    entry["off"] = np.flatnonzero(layer.off).tolist()
  if layer.num_firing is not None and layer.num_images is not None:
    entry |= {"fires": layer.num_firing.tolist(), "images": layer.num_images.tolist()}
  return entry


def _check_same(folder: pathlib.Path, index: dict[str, Any]) -> None:
  known = _read_index(folder)
  if known["layers"] != index["layers"]:
    wanted, found = (
      {layer["name"]: layer["shape"] for layer in one["layers"]}
      for one in (index, known)
    )
    raise UserError(
      f"{folder}: expected features of {wanted}, found {found}"
      + (" of other units" if wanted == found else "")
      + ": choose another --workdir."
    )
  # Earlier versions wrote no `about`.
  about, here = index.get("about", {}), known.get("about", {})
  others = [name for name in here if name in about and about[name] != here[name]]
  if others:
    what = {"exemplars": "of other exemplars", "encoder": "by another encoder"}
    raise UserError(
      f"{folder} holds features {' and '.join(what.get(one, one) for one in others)}: "
      "choose another folder, or remove it."
    )


def _begin(path: pathlib.Path) -> int:
  """Returns the byte offset of the values in a `.npy` file."""
  open_npy(path, kinds="f", remedy=_REMEDY)  # checks the header
  with path.open("rb") as file:
    np.lib.format.read_magic(file)
    np.lib.format.read_array_header_1_0(file)
    return file.tell()
