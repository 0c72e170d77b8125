"""Exemplars with annotations as a data set of tensorflow-datasets (TFDS).

```
dataset_info.json, features.json   what TFDS needs to open the folder
milan_exemplars-units.array_record-NNNNN   one record for each unit, in order
index.npz                          what is known of the exemplars of each layer
annotations.csv, split.csv         captions and parts of the units, if there are any
exemplars.json                     name, layers, sizes of the files; written last
```

A record holds `layer`, `unit`, `sign`, `captions`, `split`, `image_ids`, `images` (PNG)
and `masks`, so any reader of TFDS can use the data set alone.
"""

import functools
import io
import json
import os
import pathlib
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, UInt8
from PIL import Image

from milan_jax._src.errors import UserError
from milan_jax._src.files.atomic import write_json, write_npz
from milan_jax._src.files.digests import sha256_of, sha256_of_file
from milan_jax._src.files.json_files import read_json, with_checksum
from milan_jax._src.files.staging import staged_folder
from milan_jax._src.notebook import Shown
from milan_jax._src.records import ExemplarSet, LayerExemplars, Unit
from milan_jax._src.store import annotations as annotation_tables
from milan_jax._src.store import splits
from milan_jax._src.store.row_numbers import check_layer, places, row_numbers
from milan_jax._src.store.unit_records import (
  VERSION,
  UnitRecords,
  UnitRecordWriter,
  check_sizes,
  library,
  sizes_of,
)

DATASET = "milan_exemplars"
FORMAT = "milan-jax exemplar records 1"
META, INDEX = "exemplars.json", "index.npz"
_REMEDY = "write the data set again, or copy it again"
# 15 images of 224 x 224 take about 1 MB.
_PER_FILE = 128
# Records kept in memory, as images are often read beside each other.
_KEPT = 64
_FIELDS = (
  *("units", "image_ids", "image_rows", "activations", "thresholds", "dead"),
  *("num_firing", "num_images", "off"),
)


def records_folder(out: str | os.PathLike[str], name: str) -> str:
  """Returns the folder in `out` of the data set of a name, as TFDS names it."""
  return os.path.join(os.fspath(out), DATASET, name, VERSION)  # noqa: PTH118


def write_exemplar_records(
  folder: pathlib.Path,
  exemplars: ExemplarSet,
  *,
  name: str,
  annotations: Mapping[Unit, Sequence[str]],
  split: Mapping[Unit, str] | None = None,
) -> None:
  """Writes a data set, completely or not at all. Pixels are exact.

  Args:
    folder: the folder to create.
    exemplars: the exemplars.
    name: name of the set, which the names of layers begin with in joined sets.
    annotations: captions of units; units without any are written, too.
    split: the part of each unit; None if not given.

  Raises:
    UserError: if the folder exists, there are no exemplars, layers differ in their
      number of exemplars, or tensorflow-datasets is not installed.
  """
  whole = {layer: exemplars.exemplars(layer) for layer in exemplars.layers}
  layers = {layer: found for layer, found in whole.items() if len(found.units)}
  if not layers or not exemplars.num_images:
    units = sum(len(found.units) for found in layers.values())
    raise UserError(
      f"{name}: expected units with exemplars; found {len(whole)} layers, "
      f"{units} units and {exemplars.num_images} images: leave the set out."
    )
  numbers = {found.image_rows.shape[1] for found in layers.values()}
  if len(numbers) > 1:
    raise UserError(
      f"{name}: expected one number of exemplars for all units, found "
      f"{sorted(numbers)}: write the layers apart."
    )
  height, width = exemplars.images(np.zeros(1, np.int64)).shape[1:3]
  shape = (numbers.pop(), int(height), int(width))
  digests = []
  with staged_folder(folder) as staging:
    writer = _writer(staging, name, shape)
    for layer, found in layers.items():
      for row, unit in enumerate(found.signed_units()):
        example = _example(exemplars, layer, found, row)
        digests.append(sha256_of([example["masks"], *_contents(example["images"])]))
        part = (split or {}).get(unit, "")
        writer.add(unit, annotations.get(unit, ()), part, example)
    writer.close()
    arrays = {
      f"{number}.{field}": getattr(found, field)
      for number, found in enumerate(layers.values())
      for field in _FIELDS
      if getattr(found, field) is not None
    }
    write_npz(staging / INDEX, arrays)
    if annotations:
      annotation_tables.write_annotations(staging / annotation_tables.FILE, annotations)
    if split is not None:
      splits.write_split(staging / splits.FILE, split)
    record = {
      "format": FORMAT,
      "name": name,
      "layers": list(layers),
      "shape": list(shape),
      "num_images": exemplars.num_images,
      # Copies of the data set are made again when this changes.
      "sha256": sha256_of([json.dumps(name), *digests, *_digests_of_tables(staging)]),
      "files": sizes_of(staging),
    }
    write_json(staging / META, with_checksum(record))


def _writer(
  folder: pathlib.Path, name: str, shape: tuple[int, int, int]
) -> UnitRecordWriter:
  types = library().features
  k, height, width = shape
  return UnitRecordWriter(
    folder,
    DATASET,
    name,
    "Exemplars of units: images and masks, with captions by people.",
    {
      "image_ids": types.Tensor(shape=(k,), dtype=np.int64),
      "images": types.Sequence(
        types.Image(shape=(height, width, 3), encoding_format="png"), length=k
      ),
      "masks": types.Tensor(shape=shape, dtype=np.uint8, encoding=types.Encoding.ZLIB),
    },
    per_file=_PER_FILE,
  )


def _example(
  exemplars: ExemplarSet, layer: str, found: LayerExemplars, row: int
) -> dict[str, Any]:
  k = found.image_rows.shape[1]
  masks = exemplars.masks(layer, np.full(k, row), np.arange(k))
  images = exemplars.images(found.image_rows[row])
  return {
    "image_ids": found.image_ids[row].astype(np.int64),
    "images": [_png(image) for image in images],
    "masks": masks.astype(np.uint8),
  }


def _png(image: UInt8[np.ndarray, "height width 3"]) -> io.BytesIO:
  file = io.BytesIO()
  Image.fromarray(image).save(file, "png")
  file.seek(0)
  return file


def _digests_of_tables(folder: pathlib.Path) -> list[str]:
  tables = (INDEX, annotation_tables.FILE, splits.FILE)
  paths = [folder / name for name in tables]
  return [sha256_of_file(path) for path in paths if path.is_file()]


def _contents(files: Sequence[io.BytesIO]) -> list[bytes]:
  return [file.getvalue() for file in files]


class RecordedExemplars(Shown):
  """A data set of exemplars, read at random: an `ExemplarSet`.

  Args:
    folder: a local folder that `write_exemplar_records` wrote.

  Raises:
    UserError: if a file is missing, truncated or damaged, or tensorflow-datasets is not
      installed.
  """

  def __init__(self, folder: pathlib.Path):
    self.folder = folder
    about = read_about(folder)
    check_sizes(folder, about["files"], remedy=_REMEDY)
    self._shape = tuple(about["shape"])
    self._num_images = int(about["num_images"])
    with np.load(folder / INDEX) as arrays:
      self._layers = {
        layer: LayerExemplars(
          layer=layer,
          **{field: arrays.get(f"{number}.{field}") for field in _FIELDS},
        )
        for number, layer in enumerate(about["layers"])
      }
    counts = [len(found.units) for found in self._layers.values()]
    begins = np.concatenate([[0], np.cumsum(counts)])
    self._begins = dict(zip(self._layers, begins.tolist(), strict=False))
    self._records = UnitRecords(
      folder, ["images", "masks"], expected=int(begins[-1]), remedy=_REMEDY
    )
    # The record and slot that each distinct image is read from.
    rows = np.concatenate([found.image_rows for found in self._layers.values()])
    distinct, places = np.unique(rows, return_index=True)
    self._places = np.full(self._num_images, -1)
    self._places[distinct] = places
    self._record = functools.lru_cache(_KEPT)(self._read)

  @property
  def layers(self) -> tuple[str, ...]:
    """Names of the layers, in the order in which they are described."""
    return tuple(self._layers)

  @property
  def num_images(self) -> int:
    """Number of distinct images."""
    return self._num_images

  def exemplars(self, layer: str) -> LayerExemplars:
    """Returns ids, rows, activations and thresholds of a layer's units."""
    check_layer(layer, self._layers, "exemplars")
    return self._layers[layer]

  def images(self, rows: Int[np.ndarray, "n"]) -> UInt8[np.ndarray, "n height width 3"]:
    """Returns the distinct images at `rows`."""
    rows = row_numbers(rows, self._num_images, "rows of images")
    k, height, width = self._shape
    found = np.zeros((len(rows), height, width, 3), np.uint8)
    for place, at in enumerate(self._places[rows].tolist()):
      if at < 0:
        raise UserError(f"{self.folder}: no unit has image {rows[place]}: {_REMEDY}.")
      content = self._record(at // k)["images"][at % k]
      with Image.open(io.BytesIO(content)) as image:
        found[place] = np.asarray(image)
    return found

  def masks(
    self, layer: str, rows: Int[np.ndarray, "n"], slots: Int[np.ndarray, "n"]
  ) -> Bool[np.ndarray, "n height width"]:
    """Returns the masks of some exemplars of a layer."""
    units = len(self.exemplars(layer).units)
    rows, slots = places(rows, slots, (units, self._shape[0]))
    found = np.zeros((len(rows), *self._shape[1:]), bool)
    for row in np.unique(rows).tolist():
      stored = zlib.decompress(self._record(self._begins[layer] + row)["masks"])
      here = rows == row
      found[here] = np.frombuffer(stored, bool).reshape(self._shape)[slots[here]]
    return found

  def _read(self, record: int) -> dict[str, Any]:
    (found,) = self._records.read(np.array([record]))
    return found


def read_about(folder: pathlib.Path) -> dict[str, Any]:
  """Reads the name, layers and sizes of a data set.

  Raises:
    UserError: if the file is damaged or of another format.
  """
  found: dict[str, Any] = read_json(folder / META, dict, remedy=_REMEDY)
  if found.get("format") != FORMAT:
    raise UserError(f"{folder / META}: expected the format {FORMAT!r}: {_REMEDY}.")
  return found
