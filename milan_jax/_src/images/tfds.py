"""Images of a data set that tensorflow-datasets prepared, read without TensorFlow."""

import pathlib
from typing import Any

import numpy as np

from milan_jax._src.errors import UserError
from milan_jax._src.images.fitted import FittedPictures
from milan_jax._src.images.geometry import Geometry
from milan_jax._src.images.source import UnreadableImageError
from milan_jax._src.images.tfrecord import Part, TfRecords


class TfdsImages(FittedPictures):
  """The images of one split. An image's name is its split and number: `train/17`.

  Nothing is downloaded, and no code of the data set is run. Records of array_record and
  tfrecord are read one at a time, in the order of the files; what is stored as parquet
  is held in memory whole, in each worker too.

  Args:
    name_or_folder: `beans`, `beans:0.1.0`, `imagenet_v2/matched-frequency`, or the
      folder of a prepared data set. Of several versions the newest is taken.
    geometry: how each image becomes a square.
    split: as tensorflow-datasets writes it: `train`, `train[:10%]`, `train+test`.
    data_dir: where data sets named by name are prepared; None for the library's own
      folder, `~/tensorflow_datasets` or what `TFDS_DATA_DIR` says.

  Raises:
    UserError: if the library is not installed, there is no such prepared data set, it
      is stored in a format that only TensorFlow reads, a file of it is missing or
      damaged, it has no such split, the split is empty, or it is not clear which
      feature is the image.
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
        f"({error}): expected a format that it knows. Prepare the data set once more "
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
    """To another process go the names, and what is open is opened there again.

    The index of TFRecord files goes too: to make it again takes a read per record.
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
    """Whether records stay on disk."""
    return type(self._records).__name__ != "ParquetDataSource"

  def __len__(self) -> int:
    return len(self._records)

  def name(self, index: int) -> str:
    """Split and number."""
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
      f"Data sets of tensorflow-datasets need the library ({error}): "
      "pip install 'milan-jax[tfds]'."
    ) from error
  return tensorflow_datasets


def _find(name: str, home: pathlib.Path) -> pathlib.Path:
  """The folder of a prepared data set, which holds its `features.json`."""
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
      f"{name} was prepared in several configurations ({folder}): name one, such as "
      f"{' or '.join(f'{base}/{each}' for each in found_configs)}."
    )
  if is_path:
    raise UserError(
      f"No prepared data set in {folder}: expected a folder that tensorflow-datasets "
      "wrote, with a features.json in it or in the folder of a version."
    )
  versions = [each.name for each in inside if _is_prepared(each)]
  found = f" (there is version {', '.join(versions)})" if versions else ""
  raise UserError(
    f"The data set {name} is not prepared in {home}{found}. Nothing is downloaded "
    f"here: name another data_dir, or prepare it once:\n{_preparing(name, home)}"
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
  """Name of the image among the features, and how it is stored."""
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
  """The stored bytes of a split's examples."""
  info = builder.info
  stored = {each.value for each in info.available_file_formats()}
  if not stored & {"array_record", "parquet", "tfrecord"}:
    raise UserError(
      f"{builder.data_dir} is stored as {', '.join(stored) or 'nothing known'}, which "
      "cannot be read at any place, and takes TensorFlow to read at all. Prepare it "
      "once more in another data_dir (should its code ask for TensorFlow: pip install "
      f"tensorflow):\n{_preparing(info.full_name, pathlib.Path('ANOTHER'))}"
    )
  try:
    if stored & {"array_record", "parquet"}:
      method = tfds.decode.DeserializeMethod.RAW_BYTES
      records = builder.as_data_source(split, deserialize_method=method)
    else:
      # Of several formats, whose files differ in their names.
      info.set_file_format("tfrecord", override=True, override_if_initialized=True)
      records = TfRecords(map(_part, info.splits[split].file_instructions))
  except ImportError as error:
    raise UserError(
      f"{builder.data_dir} needs a library that is not there ({error}): "
      "pip install 'milan-jax[tfds]'."
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


def _part(instruction: Any) -> Part:
  """Records of one file, as tensorflow-datasets says it."""
  skip = instruction.skip
  return Part(
    pathlib.Path(instruction.filename),
    skip,
    skip + instruction.take,
    instruction.examples_in_shard,
  )
