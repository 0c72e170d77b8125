"""Opens a folder of exemplars in either layout."""

import os
import pathlib

from milan_jax._src.errors import UserError
from milan_jax._src.runs.workdir import EXEMPLARS
from milan_jax._src.store.exemplar_store import GROUPS, META, StoredExemplars
from milan_jax._src.store.milannotations import NETWORKS, hyphenated
from milan_jax._src.store.original_layout import OriginalExemplars, layer_names

NATIVE_FILES = (META, "images.npy", "image_ids.npy", "image_names.json", GROUPS)
LAYER_FILES = ("images.npy", "masks.npy", "units.npy", "ids.csv", "activations.csv")


def exemplar_files(folder: str | os.PathLike[str]) -> list[tuple[str, pathlib.Path]]:
  """Lists the files that are read from a folder of exemplars, by relative path."""
  folder = pathlib.Path(folder)
  if (folder / META).is_file():
    inside = [folder / name for name in NATIVE_FILES]
    inside += sorted((folder / "layers").rglob("*.npy"))
  else:
    layers = layer_names(folder)
    inside = [folder / layer / name for layer in layers for name in LAYER_FILES]
  found = (path for path in inside if path.is_file())
  return [(path.relative_to(folder).as_posix(), path) for path in found]


def set_name(folder: str | os.PathLike[str]) -> str:
  """The name of a folder of exemplars among others.

  Of a run it is the run directory's, of a network of MILANNOTATIONS `MODEL-DATASET`.
  """
  path = pathlib.Path(folder).absolute()
  network = f"{path.parent.name}/{path.name}"
  if network in NETWORKS:
    return hyphenated(network)
  return path.parent.name if path.name == EXEMPLARS else path.name


def open_exemplars(
  folder: str | os.PathLike[str],
) -> StoredExemplars | OriginalExemplars:
  """Opens the exemplars in a folder: a native store or the original's layout.

  Raises:
    UserError: if the folder has neither layout.
  """
  folder = pathlib.Path(folder)
  if not folder.is_dir():
    raise UserError(
      f"There is no folder {folder}: give the path of a folder of exemplars."
    )
  if (folder / META).is_file():
    return StoredExemplars(folder)
  if layer_names(folder):
    return OriginalExemplars(folder)
  raise UserError(
    f"{folder} has no exemplars: expected {META} of an exemplar store, or a "
    "folder for each layer with images.npy and masks.npy."
  )
