"""Opens a folder of exemplars in any layout."""

import os
import pathlib

from milan_jax._src.errors import UserError
from milan_jax._src.files.remote import epath, fetched, is_remote
from milan_jax._src.runs.workdir import EXEMPLARS
from milan_jax._src.store import exemplar_records, stored_distributions
from milan_jax._src.store.exemplar_records import RecordedExemplars
from milan_jax._src.store.exemplar_store import GROUPS, META, StoredExemplars
from milan_jax._src.store.milannotations import NETWORKS, hyphenated
from milan_jax._src.store.original_layout import OriginalExemplars, layer_names
from milan_jax._src.store.unit_records import VERSION

NATIVE_FILES = (
  *(META, "images.npy", "image_ids.npy", "image_names.json", GROUPS),
  *(stored_distributions.IMAGES, stored_distributions.NAMES),
)
LAYER_FILES = ("images.npy", "masks.npy", "units.npy", "ids.csv", "activations.csv")


def exemplar_files(folder: str | os.PathLike[str]) -> list[tuple[str, pathlib.Path]]:
  """Lists the files that are read from a folder of exemplars, by relative path."""
  folder = pathlib.Path(folder)
  if (folder / META).is_file():
    inside = [folder / name for name in NATIVE_FILES]
    inside += sorted((folder / "layers").rglob("*.npy"))
  elif is_recorded(folder):
    inside = [folder / name for name in exemplar_records.read_about(folder)["files"]]
  else:
    layers = layer_names(folder)
    inside = [folder / layer / name for layer in layers for name in LAYER_FILES]
  found = (path for path in inside if path.is_file())
  return [(path.relative_to(folder).as_posix(), path) for path in found]


def set_name(folder: str | os.PathLike[str]) -> str:
  """The name of a folder of exemplars among others.

  Of a run it is the run directory's, of a network of MILANNOTATIONS `MODEL-DATASET`, of
  a data set of TFDS the name that it was written by.
  """
  path = pathlib.Path(folder).absolute()
  if is_recorded(path):
    return str(exemplar_records.read_about(path)["name"])
  network = f"{path.parent.name}/{path.name}"
  if network in NETWORKS:
    return hyphenated(network)
  return path.parent.name if path.name == EXEMPLARS else path.name


def is_recorded(folder: pathlib.Path) -> bool:
  """Returns whether a folder is a data set of exemplars for TFDS."""
  return (folder / exemplar_records.META).is_file()


def require_exemplars(folder: pathlib.Path) -> None:
  """Checks that a folder has exemplars in any layout, with or without images.

  Raises:
    UserError: if there is no folder, or no exemplars in it.
  """
  if not folder.is_dir():
    raise UserError(
      f"There is no folder {folder}: give the path of a folder of exemplars."
    )
  if not ((folder / META).is_file() or is_recorded(folder) or layer_names(folder)):
    raise UserError(
      f"{folder} has no exemplars: expected {META} of an exemplar store, or a folder "
      "for each layer, with masks.npy."
    )


def set_folder(path: str | os.PathLike[str]) -> pathlib.Path:
  """Returns the local folder of a set of exemplars.

  A data set of TFDS may be named by the folder that it was written into. A remote one
  is copied into the cache. Other folders are returned as they are.

  Raises:
    UserError: if a remote folder cannot be read, or holds no data set, or several.
  """
  dataset, meta = exemplar_records.DATASET, exemplar_records.META
  if not is_remote(path) and not (pathlib.Path(path) / dataset).is_dir():
    return pathlib.Path(path)
  root = epath(path)
  if (root / meta).exists():
    return fetched(path, stamp=meta)
  names = []
  if (root / dataset).is_dir():
    inside = (each / VERSION for each in (root / dataset).iterdir())
    names = sorted(os.fspath(each) for each in inside if (each / meta).exists())
  if len(names) != 1:
    raise UserError(
      f"{os.fspath(path)}: expected a data set of exemplars, a folder with {meta}; "
      f"found {', '.join(names) or 'none'}."
    )
  return fetched(names[0], stamp=meta)


def open_exemplars(
  folder: str | os.PathLike[str],
) -> StoredExemplars | OriginalExemplars | RecordedExemplars:
  """Opens the exemplars in a folder: a native store, the original's layout, or TFDS.

  Raises:
    UserError: if the folder has none of these layouts.
  """
  folder = pathlib.Path(folder)
  require_exemplars(folder)
  if (folder / META).is_file():
    return StoredExemplars(folder)
  if is_recorded(folder):
    return RecordedExemplars(folder)
  return OriginalExemplars(folder)
