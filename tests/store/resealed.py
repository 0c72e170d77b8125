"""Stores whose files a test changed, as if they had been written so."""

import json
import pathlib

from milan_jax._src.files.json_files import checksums, with_checksum


def reseal(folder: pathlib.Path, name: str = "meta.json") -> None:
  """Gives the files of a store the checksums that they have now.

  Args:
    folder: the store.
    name: of the file that notes them; `progress.json` in a feature store.
  """
  noted = json.loads((folder / name).read_text())
  there = [file for file in noted["files"] if (folder / file).exists()]
  noted["files"] = checksums(folder, there)
  (folder / name).write_text(json.dumps(with_checksum(noted)))
