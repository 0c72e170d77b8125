"""Loads captioners by name: from the package, a folder, or the official host."""

import contextlib
import importlib.resources
import os
import pathlib
import sys
from collections.abc import Iterator

import tqdm

from milan_jax._src.errors import UserError, did_you_mean
from milan_jax._src.files.cache import alone_in, cache_folder
from milan_jax._src.files.remote import fetched, is_remote
from milan_jax._src.runs.bars import bar
from milan_jax._src.store import official
from milan_jax._src.store.release import JSON_FILE, Release, load_release
from milan_jax._src.weights.download import Progress, download

OFFICIAL_HOST = "https://milan.csail.mit.edu"
OFFICIAL_KEYS = (
  *("base", "cls", "gen", "imagenet", "places365", "alexnet", "resnet152", "biggan"),
)
HOST_VARIABLE = "MILAN_JAX_HOST"
_CLIP = "+clip"


def load_milan(key_or_path: str | os.PathLike[str]) -> Release:
  """Loads a captioner from a folder, from the package, or by its official key.

  A remote folder (gs://) is copied into the cache.

  Raises:
    UserError: if there is no such captioner (the message suggests similar names), or as
      for `load_release` and `pretrained`.
  """
  name = os.fspath(key_or_path)
  if is_remote(name):
    return load_release(fetched(name, stamp=JSON_FILE))
  folder = pathlib.Path(name)
  if (folder / JSON_FILE).exists():
    return load_release(folder)
  if name in packaged():
    return load_release(packaged()[name])
  if folder.is_file():
    raise UserError(
      f"{name} is a file: convert an official checkpoint with 'milan-convert {name} "
      "OUT_DIR' and give OUT_DIR"
    )
  if folder.is_dir() or folder.name != name:
    return load_release(folder)
  return pretrained(name)


def packaged() -> dict[str, pathlib.Path]:
  """Returns the folders of the captioners in the package, by name."""
  root = pathlib.Path(str(importlib.resources.files("milan_jax"))) / "released"
  return {path.parent.name: path.parent for path in sorted(root.glob(f"*/{JSON_FILE}"))}


def pretrained(
  key: str,
  *,
  cache: str | os.PathLike[str] | None = None,
  host: str | None = None,
  progress: Progress | None = None,
) -> Release:
  """Loads an official captioner; downloads and converts it the first time.

  The checkpoint of about 1 GB is removed after its release has been verified; the
  release stays in `CACHE/KEY`.

  Args:
    key: one of `OFFICIAL_KEYS`.
    cache: the cache folder; `$MILAN_JAX_CACHE` or `~/.cache/milan-jax` if None.
    host: the URL to download from; `$MILAN_JAX_HOST` or `OFFICIAL_HOST` if None.
    progress: called as bytes arrive; a progress bar on standard error if None.

  Raises:
    UserError: if the key is unknown (the message suggests similar keys), or as for
      `download`, `read_official` and `load_release`.
  """
  _check_key(key)
  cache = pathlib.Path(cache or cache_folder())
  folder = cache / key
  if (folder / JSON_FILE).exists():
    return _load_cached(folder)
  host = (host or os.environ.get(HOST_VARIABLE) or OFFICIAL_HOST).rstrip("/")
  name = f"milan-{key}.pth"
  with alone_in(cache):
    if not (folder / JSON_FILE).exists():
      with (
        bar(name, "B", scale=True)
        if progress is None
        else contextlib.nullcontext(progress) as show
      ):
        checkpoint = download(f"{host}/models/{name}", cache / name, progress=show)
      with _remedy(checkpoint, "fetched"):
        digest = official.convert(checkpoint, folder)
      tqdm.tqdm.write(f"{name}: sha256 {digest}", file=sys.stderr)
    release = _load_cached(folder)
    (cache / name).unlink(missing_ok=True)
  return release


def _check_key(key: str) -> None:
  if key.removesuffix(_CLIP) in OFFICIAL_KEYS:
    if key.endswith(_CLIP):
      raise UserError(
        f"{key} reranks with CLIP, which is not supported: use "
        f"{key.removesuffix(_CLIP)}"
      )
    return
  known = (*packaged(), *OFFICIAL_KEYS)
  raise UserError(
    f"there is no captioner {key!r}.{did_you_mean(key, known)} Expected "
    f"{', '.join(known)}, or a folder with {JSON_FILE}"
  )


def _load_cached(folder: pathlib.Path) -> Release:
  with _remedy(folder, "made"):
    return load_release(folder)


@contextlib.contextmanager
def _remedy(path: pathlib.Path, action: str) -> Iterator[None]:
  """Adds a remedy to errors about files in the cache."""
  try:
    yield
  except UserError as error:
    raise UserError(f"{error}. Remove {path}, so that it is {action} again") from error
