"""Opens a folder of exemplars, of either layout."""

import os
import pathlib

from milan_jax.errors import UserError
from milan_jax.store.exemplar_store import META, StoredExemplars
from milan_jax.store.original_layout import OriginalExemplars, layer_names


def open_exemplars(
  folder: str | os.PathLike[str],
) -> StoredExemplars | OriginalExemplars:
  """The exemplars in a folder: a native store, or the original's layout.

  Raises:
    UserError: if the folder is neither.
  """
  folder = pathlib.Path(folder)
  if not folder.is_dir():
    raise UserError(f"No folder {folder}: give the path of a folder of exemplars.")
  if (folder / META).is_file():
    return StoredExemplars(folder)
  if layer_names(folder):
    return OriginalExemplars(folder)
  raise UserError(
    f"{folder} holds no exemplars: looked for {META}, which an exemplar store has, and "
    "for a folder for each layer with images.npy and masks.npy."
  )
