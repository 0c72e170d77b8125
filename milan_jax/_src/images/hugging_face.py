"""Images of a data set saved to a folder by the library datasets."""

import json
import pathlib
from typing import Any

from milan_jax._src.errors import UserError
from milan_jax._src.images.fitted import FittedPictures
from milan_jax._src.images.geometry import Geometry
from milan_jax._src.images.source import UnreadableImageError


class HuggingFaceImages(FittedPictures):
  """The images in a folder written by `save_to_disk`, named by their index.

  If there are several splits, the name starts with the split: `train/17`. The folder is
  memory-mapped, and nothing is downloaded.

  Args:
    folder: the folder written by `save_to_disk` of a `Dataset` or a `DatasetDict`.
    geometry: how each image is resized and cropped.
    split: a split of a `DatasetDict`; None if there is only one.

  Raises:
    UserError: if the library is not installed, the folder was not written by it, there
      is no such split, the split is empty, or it is not clear which column contains the
      images.
  """

  decodes_files = True

  def __init__(
    self, folder: str | pathlib.Path, geometry: Geometry, *, split: str | None = None
  ):
    self._folder = pathlib.Path(folder)
    self._geometry = geometry
    self._split_argument = split
    datasets = _library()
    place, self._split = _select_split(self._folder, split)
    try:
      saved = datasets.load_from_disk(str(place))
    except Exception as error:
      raise UserError(
        f"{place} is damaged or empty ({type(error).__name__}: {error}): save it again "
        "with save_to_disk."
      ) from error
    if not len(saved):
      raise UserError(f"{place} contains no images: the data set is empty.")
    self._column = _image_column(saved.features, datasets, place)
    self._files = [place / "state.json", place / "dataset_info.json"]
    self._files += [pathlib.Path(each["filename"]) for each in saved.cache_files]
    saved = saved.with_format(None).select_columns([self._column])
    # Not decoded by the library: an image that cannot be decoded is skipped here, but
    # would raise an error there.
    self._rows = saved.cast_column(self._column, datasets.Image(decode=False))

  def __reduce__(self) -> tuple[Any, ...]:
    """Pickles the arguments only: the other process maps the folder again."""
    return _reopen, (self._folder, self._geometry, self._split_argument)

  def __len__(self) -> int:
    return len(self._rows)

  def name(self, index: int) -> str:
    """The index, preceded by the split if there are several."""
    return f"{self._split}/{index}" if self._split else str(index)

  def files(self) -> list[tuple[str, pathlib.Path]]:
    """The files of the data set that hold the images, by their names."""
    return [(path.name, path) for path in self._files]

  def content(self, index: int) -> pathlib.Path | bytes:
    """The image's file or its bytes."""
    found = self._rows[index][self._column]
    if found is None or (found["bytes"] is None and not found["path"]):
      raise UnreadableImageError("the data set has no image at this index")
    content = found["bytes"]
    return pathlib.Path(found["path"]) if content is None else content


def _reopen(
  folder: pathlib.Path, geometry: Geometry, split: str | None
) -> HuggingFaceImages:
  return HuggingFaceImages(folder, geometry, split=split)


def _library() -> Any:
  try:
    import datasets
  except ImportError as error:
    raise UserError(
      f"Hugging Face data sets need the library datasets ({error}): pip install "
      "'milan-jax[datasets]'."
    ) from error
  return datasets


def _select_split(folder: pathlib.Path, split: str | None) -> tuple[pathlib.Path, str]:
  """Folder of one split's data set, and the split's name if the folder has several."""
  whole = folder / "dataset_dict.json"
  if whole.is_file():
    splits = json.loads(whole.read_text(encoding="utf-8"))["splits"]
    if split is None and len(splits) == 1:
      (split,) = splits
    if split is None or split not in splits:
      raise UserError(
        f"{folder} has the splits {', '.join(splits)}: "
        + ("choose one." if split is None else f"{split!r} is not one of them.")
      )
    return folder / split, split
  if not (folder / "state.json").is_file():
    raise UserError(
      f"{folder} was not written by save_to_disk of the library datasets: give such a "
      "folder. Save a data set from the Hugging Face Hub with "
      "datasets.load_dataset(NAME).save_to_disk(FOLDER)."
    )
  if split is not None:
    raise UserError(f"{folder} has no splits, but {split!r} was given: omit it.")
  return folder, ""


def _image_column(features: Any, datasets: Any, place: pathlib.Path) -> str:
  images = [name for name, each in features.items() if isinstance(each, datasets.Image)]
  if len(images) > 1 and "image" in images:
    return "image"
  if len(images) != 1:
    found = ", ".join(
      f"{name} ({type(each).__name__})" for name, each in features.items()
    )
    raise UserError(
      f"{place}: expected one column of images, or one called 'image'; the columns are "
      f"{found}."
    )
  return str(images[0])
