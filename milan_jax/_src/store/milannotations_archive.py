"""Downloads the networks of MILANNOTATIONS from the official host and unpacks them."""

import contextlib
import os
import pathlib

from milan_jax._src.errors import arguments
from milan_jax._src.files.atomic import write_json
from milan_jax._src.files.cache import alone_in
from milan_jax._src.files.digests import sha256_of_file
from milan_jax._src.files.staging import staged_folder
from milan_jax._src.files.zip_files import unpack
from milan_jax._src.runs.bars import bar
from milan_jax._src.store.annotations import FILE
from milan_jax._src.store.milannotations import data_root, hyphenated, networks_named
from milan_jax._src.store.pretrained import HOST_VARIABLE, OFFICIAL_HOST
from milan_jax._src.weights.download import Progress, download

# In a network's folder: where it came from, with the sizes and digests of its files.
MANIFEST = "archive.json"


@arguments(data_root="root")
def fetch_annotated(
  data: str,
  *,
  root: str | os.PathLike[str] | None = None,
  host: str | None = None,
  progress: Progress | None = None,
) -> dict[str, pathlib.Path]:
  """Finds annotated exemplars by name; downloads networks that are not on disk.

  Args:
    data: networks (`alexnet/imagenet`), groups (`base`, `not-alexnet-imagenet`) or
      folders, comma-separated.
    root: the folder that holds `MODEL/DATASET`; `milannotations` in the cache if None.
    host: the URL to download from; `$MILAN_JAX_HOST` or the official host if None.
    progress: called as bytes arrive; a progress bar on standard error if None.

  Returns:
    The folders in order, by the network's name or the path given.

  Raises:
    UserError: if a name is unknown, or as for `download` and `unpack`. Networks that
      were finished are kept, and so are the bytes received of the one that was not.

  Example:
    >>> list(milan_jax.fetch_annotated("annotated"))
    ['annotated']
  """
  found = networks_named(data, root=root)
  for folder, name in found.items():
    if name is not None and not _is_there(folder):
      _fetch(name, data_root(root), host, progress)
  return {name or os.fspath(folder): folder for folder, name in found.items()}


def _is_there(folder: pathlib.Path) -> bool:
  """Returns whether there is a folder that is not empty."""
  return folder.is_dir() and any(folder.iterdir())


def _fetch(
  name: str, root: pathlib.Path, host: str | None, progress: Progress | None
) -> None:
  host = (host or os.environ.get(HOST_VARIABLE) or OFFICIAL_HOST).rstrip("/")
  folder, file = root / name, f"{hyphenated(name)}.zip"
  url = f"{host}/data/{file}"
  with alone_in(root):
    if not _is_there(folder):  # another process may have been faster
      with (
        bar(file, "B", scale=True)
        if progress is None
        else contextlib.nullcontext(progress) as show
      ):
        archive = download(url, root / file, progress=show)
      if folder.is_dir():
        folder.rmdir()
      with staged_folder(folder) as staging:
        files = unpack(archive, staging, holding=FILE)
        about = {
          "url": url,
          "size": archive.stat().st_size,
          "sha256": sha256_of_file(archive),
          "files": files,
        }
        write_json(staging / MANIFEST, about)
    (root / file).unlink(missing_ok=True)
