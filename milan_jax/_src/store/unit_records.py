"""Data sets of tensorflow-datasets (TFDS) with one record per unit.

A record holds the unit, its captions and its part, and what the data set is of. The
files are array_record, written in order and read at random. Neither needs TensorFlow.
"""

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from milan_jax._src.errors import UserError
from milan_jax._src.records import Unit

VERSION, SPLIT = "1.0.0", "units"


class UnitRecordWriter:
  """Writes records in order.

  Args:
    folder: an existing empty folder.
    dataset: the data set's name.
    config: the name of its configuration, such as the network.
    description: what it holds, in a sentence.
    features: what a record holds besides the unit, its captions and its part, by name,
      of `library().features`.
    per_file: records in a file.

  Raises:
    UserError: if tensorflow-datasets is not installed.
  """

  def __init__(
    self,
    folder: pathlib.Path,
    dataset: str,
    config: str,
    description: str,
    features: dict[str, Any],
    *,
    per_file: int,
  ):
    tfds = library()
    types = tfds.features
    described = {
      "layer": types.Text(),
      "unit": types.Scalar(np.int64),
      "sign": types.Text(),
      "captions": types.Sequence(types.Text()),
      "split": types.Text(),
    }
    identity = tfds.core.dataset_info.DatasetIdentity(
      name=dataset,
      version=tfds.core.Version(VERSION),
      data_dir=os.fspath(folder),
      module_name="milan_jax",
      config_name=config,
      config_description=f"Units of {config}.",
    )
    about = tfds.core.DatasetInfo(
      builder=identity,
      description=description,
      features=types.FeaturesDict({**described, **features}),
    )
    self._writer = tfds.core.SequentialWriter(
      about, max_examples_per_shard=per_file, file_format="array_record"
    )
    self._writer.initialize_splits([SPLIT])

  def add(
    self, unit: Unit, captions: Sequence[str], split: str, features: Mapping[str, Any]
  ) -> None:
    """Appends the record of a unit; `split` is empty if its part is not given."""
    example = {
      "layer": unit.layer,
      "unit": unit.index,
      "sign": unit.sign,
      "captions": list(captions),
      "split": split,
      **features,
    }
    self._writer.add_examples({SPLIT: [example]})

  def close(self) -> None:
    """Finishes the files."""
    self._writer.close_all()


class UnitRecords:
  """Some features of the records of a data set, as they are stored.

  Args:
    folder: the local folder of the data set.
    names: the features that are read.
    expected: number of records.
    remedy: what to do about a damaged data set, for messages.

  Raises:
    UserError: if TFDS cannot open it or is not installed, or it has another number of
      records.
  """

  def __init__(
    self, folder: pathlib.Path, names: Sequence[str], *, expected: int, remedy: str
  ):
    tfds = library()
    from tensorflow_datasets.core import example_parser

    self._folder, self._remedy = folder, remedy
    try:
      builder = tfds.builder_from_directory(folder)
      features = builder.info.features
      stored = {name: features[name].get_serialized_info() for name in names}
      method = tfds.decode.DeserializeMethod.RAW_BYTES
      self._source = builder.as_data_source(SPLIT, deserialize_method=method)
    except Exception as error:  # of many kinds
      words = " ".join(str(error).split())[:200]
      raise UserError(
        f"{folder} cannot be opened by tensorflow-datasets ({words}): {remedy}."
      ) from error
    self._parser = example_parser.ExampleParserNp(stored)
    if len(self._source) != expected:
      raise UserError(
        f"{folder} has {len(self._source)} records, expected {expected}: {remedy}."
      )

  def read(self, rows: Int[np.ndarray, "records"]) -> list[dict[str, Any]]:
    """Reads records by their index.

    Raises:
      UserError: if one is damaged.
    """
    try:
      records = self._source.__getitems__(rows.tolist())
      return [self._parser.parse_example(bytes(record)) for record in records]
    except Exception as error:  # array_record and TFDS raise many kinds
      words = " ".join(str(error).split())[:200]
      raise UserError(
        f"{self._folder}: a record cannot be read ({type(error).__name__}: {words}): "
        f"{self._remedy}."
      ) from error


def check_sizes(folder: pathlib.Path, sizes: dict[str, int], *, remedy: str) -> None:
  """Raises UserError if a file is missing or has another size."""
  for name, size in sizes.items():
    path = folder / name
    found = path.stat().st_size if path.is_file() else -1
    if found != size:
      problem = f"has {found} bytes, expected {size}" if found >= 0 else "is missing"
      raise UserError(f"{path} {problem}: {remedy}.")


def sizes_of(folder: pathlib.Path) -> dict[str, int]:
  """Returns the size of each file in a folder, by name."""
  return {
    path.name: path.stat().st_size
    for path in sorted(folder.iterdir())
    if path.is_file()
  }


def library() -> Any:
  """Returns tensorflow-datasets.

  Raises:
    UserError: if it is not installed.
  """
  try:
    import tensorflow_datasets
  except ImportError as error:
    raise UserError(
      f"data sets of units need the library tensorflow-datasets ({error}): pip install "
      "'milan-jax[tfds]'."
    ) from error
  return tensorflow_datasets
