"""Features of annotated units as a data set of tensorflow-datasets (TFDS).

```
dataset_info.json, features.json   what TFDS needs to open the folder
milan_features-units.array_record-NNNNN   one record for each unit, in order
annotations.csv, split.csv         captions and, if given, the parts of the units
records.json                       the key, the layers and units; written last
```

A record holds `layer`, `unit`, `sign`, `captions`, `split` and `features`, float32 of
shape (k, features) as bytes, so any reader of TFDS can use the data set alone. Neither
writing nor reading imports TensorFlow. Records are read at random.
"""

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from milan_jax._src.errors import UserError
from milan_jax._src.files.atomic import write_json
from milan_jax._src.files.digests import sha256_of
from milan_jax._src.files.json_files import check_checksum, read_json, with_checksum
from milan_jax._src.files.remote import epath, fetched, is_remote
from milan_jax._src.files.staging import staged_folder
from milan_jax._src.records import Unit, signed_units
from milan_jax._src.store import annotations as annotation_tables
from milan_jax._src.store import splits
from milan_jax._src.store.feature_store import FeatureStore
from milan_jax._src.store.truths import TRUTH, truths_as_json, truths_from_json
from milan_jax._src.store.unit_records import (
  VERSION,
  UnitRecords,
  UnitRecordWriter,
  check_sizes,
  library,
  sizes_of,
)
from milan_jax._src.text.judge import Truth

DATASET = "milan_features"
FORMAT = "milan-jax feature records 1"
META = "records.json"
_REMEDY = "run milan-features again"
# With the features of the paper's encoder, 234 kB a unit, a file has 120 MB.
_PER_FILE = 512
_TOGETHER = 64


@dataclasses.dataclass(frozen=True, slots=True)
class FeatureKey:
  """What features depend on besides the exemplars.

  Attributes:
    encoder: the encoder as in a release, without the weights' origin.
    parameters: digest of its parameters.
    version: number of the computation, which changes with its results.
  """

  encoder: Mapping[str, Any]
  parameters: str
  version: int

  @property
  def name(self) -> str:
    """A name for a folder: the backbone and a digest of everything."""
    digest = sha256_of([json.dumps(self.as_json(), sort_keys=True)])
    return f"{self.encoder['backbone']}-{digest[:12]}"

  def as_json(self) -> dict[str, Any]:
    """Returns the key as it is recorded."""
    whole = {**dataclasses.asdict(self), "encoder": dict(self.encoder)}
    plain: dict[str, Any] = json.loads(json.dumps(whole))
    return plain

  def difference(self, recorded: Mapping[str, Any]) -> str:
    """Describes how a recorded key differs; empty if it does not."""
    wanted = self.as_json()
    if recorded == wanted:
      return ""
    there = recorded.get("encoder", {})
    words = [
      f"{name} {there.get(name)} instead of {value}"
      for name, value in wanted["encoder"].items()
      if there.get(name) != value
    ]
    if recorded.get("version") != self.version:
      words.append(f"version {recorded.get('version')} instead of {self.version}")
    if not words:
      words.append(f"other weights of {self.encoder['backbone']}")
    return ", ".join(words)


@dataclasses.dataclass(frozen=True, slots=True)
class UnitTables:
  """Captions, parts and truths of the units whose features are written.

  Attributes:
    annotations: captions of each unit that has features.
    split: the part of each unit; None if not given.
    origin: facts about the exemplars for training, as JSON.
    truths: correct descriptions of units; None if unknown.
  """

  annotations: Mapping[Unit, Sequence[str]]
  split: Mapping[Unit, str] | None
  origin: Mapping[str, Any]
  truths: Mapping[Unit, Truth] | None = None


def records_folder(out: str | os.PathLike[str], key: FeatureKey) -> str:
  """Returns the folder in `out` of the data set with a key, as TFDS names it."""
  return os.path.join(os.fspath(out), DATASET, key.name, VERSION)  # noqa: PTH118


def write_records(
  folder: pathlib.Path, features: FeatureStore, tables: UnitTables, key: FeatureKey
) -> None:
  """Writes a data set, completely or not at all.

  Args:
    folder: the folder to create.
    features: the features; their order is kept.
    tables: captions and parts of their units.
    key: what computed the features.

  Raises:
    UserError: if the folder exists, or tensorflow-datasets is not installed.
  """
  layers = []
  content = [json.dumps([tables.origin, FORMAT], sort_keys=True)]
  with staged_folder(folder) as staging:
    writer = _writer(staging, key.name, (features.k, features.feature_size))
    start = 0
    for layer in features.layers:
      units = features.signed_units(layer)
      layers.append({
        "name": layer,
        "units": [unit.index for unit in units],
        "off": [row for row, unit in enumerate(units) if unit.sign == "off"],
      })  # fmt: skip
      regions = features.num_regions(start, start + len(units)).tolist()
      if min(regions) < features.k:
        layers[-1]["regions"] = regions
        content.append(json.dumps(regions))
      for first in range(0, len(units), _TOGETHER):
        some = units[first : first + _TOGETHER]
        found = features.read(start + first, start + first + len(some))
        for unit, values in zip(some, found, strict=True):
          part = "" if tables.split is None else tables.split[unit]
          writer.add(unit, tables.annotations[unit], part, {"features": values})
        content.append(sha256_of([found]))
        content.append(json.dumps([list(tables.annotations[unit]) for unit in some]))
      start += len(units)
    writer.close()
    known = {unit: tables.annotations[unit] for layer in features.layers
             for unit in features.signed_units(layer)}  # fmt: skip
    annotation_tables.write_annotations(staging / annotation_tables.FILE, known)
    if tables.split is not None:
      splits.write_split(staging / splits.FILE, {u: tables.split[u] for u in known})
      content.append(json.dumps([tables.split[unit] for unit in known]))
    if tables.truths is not None:
      truths = {unit: tables.truths[unit] for unit in known if unit in tables.truths}
      entries = truths_as_json(truths)
      write_json(staging / TRUTH, with_checksum({"units": entries}))
      content.append(json.dumps(entries))
    record = {
      "format": FORMAT,
      "key": key.as_json(),
      "origin": dict(tables.origin),
      "layers": layers,
      "k": features.k,
      "feature_size": features.feature_size,
      "has_split": tables.split is not None,
      "has_truths": tables.truths is not None,
      "sha256": sha256_of(content),
      "files": sizes_of(staging),
    }
    write_json(staging / META, with_checksum(record))


def _writer(
  folder: pathlib.Path, name: str, shape: tuple[int, int]
) -> UnitRecordWriter:
  types = library().features
  return UnitRecordWriter(
    folder,
    DATASET,
    name,
    "Features of the regions of annotated units, and their captions.",
    {
      "features": types.Tensor(
        shape=shape, dtype=np.float32, encoding=types.Encoding.BYTES
      ),
    },
    per_file=_PER_FILE,
  )


class FeatureRecords:
  """A data set of features, read at random; like `FeatureStore`, with captions.

  Data sets of earlier versions have no truths.

  Args:
    folder: a local folder that `write_records` wrote.

  Raises:
    UserError: if a file is missing, truncated or damaged, or tensorflow-datasets is not
      installed.
  """

  def __init__(self, folder: pathlib.Path):
    self.folder = folder
    self._about = about = _read_about(folder / META)
    check_sizes(folder, about["files"], remedy=_REMEDY)
    self._units = {layer["name"]: _signed_units(layer) for layer in about["layers"]}
    self._records = UnitRecords(
      folder, ["features"], expected=len(self), remedy=_REMEDY
    )

  def __len__(self) -> int:
    return sum(map(len, self._units.values()))

  @property
  def k(self) -> int:
    """Number of regions of a unit."""
    return int(self._about["k"])

  @property
  def feature_size(self) -> int:
    """Size of a region's features."""
    return int(self._about["feature_size"])

  @property
  def layers(self) -> tuple[str, ...]:
    """Names of all layers, in order."""
    return tuple(self._units)

  @property
  def key(self) -> dict[str, Any]:
    """The recorded key."""
    found: dict[str, Any] = self._about["key"]
    return found

  @property
  def origin(self) -> dict[str, Any]:
    """The recorded facts about the exemplars."""
    found: dict[str, Any] = self._about["origin"]
    return found

  @property
  def digest(self) -> str:
    """Digest of units, captions, parts and features."""
    return str(self._about["sha256"])

  def signed_units(self, layer: str) -> list[Unit]:
    """Returns the unit in each row of a layer."""
    return self._units[layer]

  def all_units(self) -> list[Unit]:
    """Returns the units of all layers, in order."""
    return [unit for units in self._units.values() for unit in units]

  def num_regions(self, start: int, stop: int) -> Int[np.ndarray, "units"]:
    """Returns how many of each unit's regions count, as `FeatureStore.num_regions`."""
    found = [
      number
      for layer in self._about["layers"]
      for number in layer.get("regions", [self.k] * len(layer["units"]))
    ]
    return np.array(found[start:stop], np.int64)

  def truths(self) -> dict[Unit, Truth] | None:
    """Reads the truths of units; None if there are none."""
    if not self._about.get("has_truths", False):
      return None
    path = self.folder / TRUTH
    found = read_json(path, dict, remedy=_REMEDY)
    return truths_from_json(found.get("units"), str(path))

  def annotations(self) -> dict[Unit, tuple[str, ...]]:
    """Reads the captions of all units."""
    return annotation_tables.read_annotations(self.folder / annotation_tables.FILE)

  def split(self) -> dict[Unit, str] | None:
    """Reads the part of each unit; None if none was given."""
    if not self._about["has_split"]:
      return None
    return splits.read_split(self.folder / splits.FILE)

  def read_rows(
    self, rows: Int[np.ndarray, "units"]
  ) -> Float[np.ndarray, "units k features"]:
    """Reads the features of units by their index; each record once.

    Raises:
      UserError: if a record is damaged.
    """
    distinct, places = np.unique(rows, return_inverse=True)
    records = self._records.read(distinct)
    parts = [np.frombuffer(record["features"], np.float32) for record in records]
    found = np.stack(parts).reshape(-1, self.k, self.feature_size)
    features: Float[np.ndarray, "units k features"] = found[places]
    return features

  def tables(self) -> dict[str, "RecordTable"]:
    """Returns the features of each layer as a table that is read on demand."""
    found, start = {}, 0
    for layer, units in self._units.items():
      found[layer] = RecordTable(self, start, len(units))
      start += len(units)
    return found


class RecordTable:
  """The features of one layer: `table[rows]` reads them."""

  def __init__(self, records: FeatureRecords, start: int, units: int):
    self._records, self._start = records, start
    self.shape = (units, records.k, records.feature_size)

  def __getitem__(
    self, rows: Int[np.ndarray, "units"]
  ) -> Float[np.ndarray, "units k features"]:
    """Reads the features of some units of the layer."""
    return self._records.read_rows(self._start + np.asarray(rows))


def open_records(path: str | os.PathLike[str], key: FeatureKey) -> FeatureRecords:
  """Opens the data set of a key.

  Args:
    path: the data set's folder, or the folder given to `milan-features`; local or
      remote. A remote data set is copied into the cache.
    key: what the features must have been computed by.

  Raises:
    UserError: if there is no data set, or none of this key; the message names the
      difference.
  """
  folders = _data_sets(path)
  others = []
  for folder in folders:
    difference = key.difference(_read_about(folder / META)["key"])
    if not difference:
      return FeatureRecords(fetched(os.fspath(folder), stamp=META))
    others.append(f"{folder.parent.name} has {difference}")
  raise UserError(
    f"--features={os.fspath(path)}: expected features of {key.name}, but "
    f"{'; '.join(others)}: give the options of the encoder that milan-features was "
    "given, or run it with these."
  )


def _data_sets(path: str | os.PathLike[str]) -> list[Any]:
  root = epath(path)
  if (root / META).exists():
    return [root]
  for parent in (root / DATASET, root):
    if parent.is_dir():
      inside = (each / VERSION for each in parent.iterdir() if each.is_dir())
      found = sorted(each for each in inside if (each / META).exists())
      if found:
        return found
  raise UserError(
    f"--features={os.fspath(path)}: expected a folder that milan-features wrote, with "
    f"{DATASET}/NAME/{VERSION}/{META}; found none."
  )


def _signed_units(layer: Mapping[str, Any]) -> list[Unit]:
  off = set(layer["off"])
  return signed_units(
    layer["name"], layer["units"], (row in off for row in range(len(layer["units"])))
  )


def _read_about(path: Any) -> dict[str, Any]:
  if is_remote(path):
    try:
      found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except Exception as error:  # of many kinds, from several libraries
      raise UserError(f"{path} cannot be read ({error}): {_REMEDY}.") from error
    check_checksum(found, path, remedy=_REMEDY)
  else:
    found = read_json(path, dict, remedy=_REMEDY)
  if found.get("format") != FORMAT:
    raise UserError(f"{path}: expected the format {FORMAT!r}: {_REMEDY}.")
  return found
