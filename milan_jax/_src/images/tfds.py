"""Images of a data set prepared by tensorflow-datasets, read without TensorFlow."""

import pathlib
from typing import Any

import numpy as np

from milan_jax._src.errors import UserError
from milan_jax._src.images.fitted import FittedPictures
from milan_jax._src.images.geometry import Geometry
from milan_jax._src.images.source import UnreadableImageError
from milan_jax._src.images.tfrecord import RecordRange, TfRecords


class TfdsImages(FittedPictures):
  """The images of one split. An image's name is its split and index: `train/17`.

  Nothing is downloaded, and no code of the data set is run. array_record and tfrecord
  records are read one at a time, in the order of the files; a parquet data set is
  loaded into memory whole, also in each worker.

  Args:
    name_or_folder: `beans`, `beans:0.1.0`, `imagenet_v2/matched-frequency`, or the
      folder of a prepared data set. The newest of several versions is used.
    geometry: how each image is resized and cropped.
    split: in the syntax of tensorflow-datasets: `train`, `train[:10%]`, `train+test`.
    data_dir: folder of the prepared data sets; None for the library's default,
      `TFDS_DATA_DIR` or `~/tensorflow_datasets`.

  Raises:
    UserError: if the library is not installed, there is no such prepared data set, its
      format can be read by TensorFlow only, a file is missing or corrupt, it has no
      such split, the split is empty, or it is not clear which feature is the image.
  """

  def __init__(
    self,
    name_or_folder: str | pathlib.Path,
    geometry: Geometry,
    *,
    split: str,
    data_dir: str | pathlib.Path | None = None,
  ):
    tfds = _library()
    home = pathlib.Path(data_dir or tfds.core.constants.DATA_DIR).expanduser()
    self._folder = _find(str(name_or_folder), home)
    self._geometry = geometry
    self._split = split
    self._open(tfds, None)

  def _open(self, tfds: Any, index: TfRecords | None) -> None:
    from tensorflow_datasets.core import example_parser

    try:
      builder = tfds.builder_from_directory(self._folder)
    except ValueError as error:
      raise UserError(
        f"{self._folder} cannot be opened by tensorflow-datasets {tfds.__version__} "
        f"({error}): expected a format that it supports. Prepare the data set again "
        'in another data_dir, with file_format="array_record".'
      ) from error
    self._feature, stored = _image_feature(builder.info.features, tfds, self._folder)
    self._parser = example_parser.ExampleParserNp({self._feature: stored})
    self._records = index if index else _records(builder, self._split, tfds)
    self._shards = [
      (pathlib.Path(each.filename).name, pathlib.Path(each.filename))
      for each in builder.info.splits[self._split].file_instructions
    ]

  def __getstate__(self) -> tuple[pathlib.Path, Geometry, str, TfRecords | None]:
    """The arguments, without open files: the other process opens them again.

    The index of TFRecord files is included: building it takes one read per record.
    """
    index = self._records if isinstance(self._records, TfRecords) else None
    return self._folder, self._geometry, self._split, index

  def __setstate__(
    self, state: tuple[pathlib.Path, Geometry, str, TfRecords | None]
  ) -> None:
    self._folder, self._geometry, self._split, index = state
    self._open(_library(), index)

  @property
  def decodes_files(self) -> bool:
    """Whether records are read from disk one at a time."""
    return type(self._records).__name__ != "ParquetDataSource"

  def __len__(self) -> int:
    return len(self._records)

  def name(self, index: int) -> str:
    """Split and index."""
    return f"{self._split}/{index}"

  def files(self) -> list[tuple[str, pathlib.Path]]:
    """The files of the data set that hold the split, by their names."""
    return [("features.json", self._folder / "features.json"), *self._shards]

  def content(self, index: int) -> bytes:
    """The bytes of the image's file."""
    try:
      example = self._parser.parse_example(bytes(self._records[index]))
      content: bytes = example[self._feature]
      return content
    except (UserError, UnreadableImageError):
      raise
    except Exception as error:
      raise UnreadableImageError(
        f"its record cannot be read ({type(error).__name__}: {error})"
      ) from error


def _library() -> Any:
  try:
    import tensorflow_datasets
  except ImportError as error:
    raise UserError(
      f"tfds: data sets need the library tensorflow-datasets ({error}): pip install "
      "'milan-jax[tfds]'."
    ) from error
  return tensorflow_datasets


def _find(name: str, home: pathlib.Path) -> pathlib.Path:
  """The folder of a prepared data set, which contains its `features.json`."""
  path = pathlib.Path(name).expanduser()
  is_path = path.is_absolute() or name.startswith((".", "~")) or path.is_dir()
  base, _, version = (name, "", "") if is_path else name.partition(":")
  folder = path if is_path else home / base
  if _is_prepared(folder / version):
    return folder / version
  if not version and (newest := _newest(folder)):
    return newest
  inside = sorted(folder.iterdir()) if folder.is_dir() else []
  configs = {each.name: _newest(each) for each in inside if each.is_dir()}
  found_configs = {name: newest for name, newest in configs.items() if newest}
  if len(found_configs) == 1 and not version:
    return next(iter(found_configs.values()))
  if found_configs:
    raise UserError(
      f"{name} was prepared in several configurations ({folder}): choose one, such as "
      f"{' or '.join(f'{base}/{each}' for each in found_configs)}."
    )
  if is_path:
    raise UserError(
      f"No prepared data set in {folder}: expected a folder written by "
      "tensorflow-datasets, with a features.json in it or in a version's subfolder."
    )
  versions = [each.name for each in inside if _is_prepared(each)]
  found = f" (there is version {', '.join(versions)})" if versions else ""
  raise UserError(
    f"The data set {name} is not prepared in {home}{found}. Nothing is downloaded: "
    f"give another data_dir, or prepare it once:\n{_preparing(name, home)}"
  )


def _preparing(name: str, home: pathlib.Path) -> str:
  return (
    f"  import tensorflow_datasets as tfds\n"
    f"  builder = tfds.builder({name!r}, data_dir={str(home)!r})\n"
    f'  builder.download_and_prepare(file_format="array_record")'
  )


def _is_prepared(folder: pathlib.Path) -> bool:
  return (folder / "features.json").is_file()


def _newest(folder: pathlib.Path) -> pathlib.Path | None:
  """The newest version in a folder."""
  inside = folder.iterdir() if folder.is_dir() else ()
  versions = {
    tuple(map(int, each.name.split("."))): each
    for each in inside
    if each.name.replace(".", "").isdecimal() and _is_prepared(each)
  }
  return versions[max(versions)] if versions else None


def _image_feature(features: Any, tfds: Any, folder: pathlib.Path) -> tuple[str, Any]:
  """Name of the image feature, and how it is stored."""
  images = {
    name: feature
    for name, feature in dict(features).items()
    if isinstance(feature, tfds.features.Image)
  }
  if len(images) > 1 and "image" in images:
    images = {"image": images["image"]}
  if len(images) != 1:
    found = ", ".join(
      f"{name} ({type(each).__name__})" for name, each in features.items()
    )
    raise UserError(
      f"{folder}: expected one feature that is an image, or one called 'image'; "
      f"the features are {found}."
    )
  ((name, feature),) = images.items()
  if np.dtype(feature.np_dtype).kind != "u":
    raise UserError(
      f"{folder}: expected images of uint8 or uint16, found {feature.np_dtype}."
    )
  return name, feature.get_serialized_info()


def _records(builder: Any, split: str, tfds: Any) -> Any:
  """The serialized examples of a split."""
  info = builder.info
  stored = {each.value for each in info.available_file_formats()}
  if not stored & {"array_record", "parquet", "tfrecord"}:
    raise UserError(
      f"{builder.data_dir} is stored as {', '.join(stored) or 'an unknown format'}, "
      "which has no random access and can only be read by TensorFlow. Prepare it again "
      "in another data_dir (if its code needs TensorFlow: pip install "
      f"tensorflow):\n{_preparing(info.full_name, pathlib.Path('ANOTHER'))}"
    )
  try:
    if stored & {"array_record", "parquet"}:
      method = tfds.decode.DeserializeMethod.RAW_BYTES
      records = builder.as_data_source(split, deserialize_method=method)
    else:
      # Selects tfrecord if there are several formats: their file names differ.
      info.set_file_format("tfrecord", override=True, override_if_initialized=True)
      records = TfRecords(map(_record_range, info.splits[split].file_instructions))
  except ImportError as error:
    raise UserError(
      f"{builder.data_dir} needs a library that is not installed ({error}): pip "
      "install 'milan-jax[tfds]'."
    ) from error
  except UserError:
    raise
  except ValueError as error:
    raise UserError(
      f"{builder.data_dir} has no images in split {split!r} ({error}): its splits are "
      f"{', '.join(info.splits)}."
    ) from error
  if not len(records):
    raise UserError(f"{builder.data_dir}: split {split!r} is empty.")
  return records


def _record_range(instruction: Any) -> RecordRange:
  """Converts a file instruction of tensorflow-datasets."""
  skip = instruction.skip
  return RecordRange(
    pathlib.Path(instruction.filename),
    skip,
    skip + instruction.take,
    instruction.examples_in_shard,
  )
