"""Selects the photographs that a captioner was not trained on."""

import concurrent.futures
import json
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from milan_jax._src.errors import UserError
from milan_jax._src.files import atomic
from milan_jax._src.files.digests import sha256_of
from milan_jax._src.files.staging import staged_folder
from milan_jax._src.images.folder import FolderImages
from milan_jax._src.images.source import UnreadableImageError
from milan_jax._src.lab.corpus.corpus_job import GEOMETRY
from milan_jax._src.runs.progress import bar

DIGITS = 16
_FOLDER, _TABLE = "photographs", "photographs.json"


class HeldOut(NamedTuple):
  """A folder of links to the kept photographs, with counts of those left out."""

  folder: pathlib.Path
  num_shown: int
  num_trained_on: int
  listed: bool  # whether the captioner's card lists its training photographs


def held_out_photographs(
  images: str, card: Mapping[str, Any], workdir: pathlib.Path
) -> HeldOut:
  """Creates links to the photographs that a captioner's card does not list.

  `trained_on` in a card lists the first 16 hex digits of the SHA-256 of the pixels, at
  the corpus's geometry. Without it only unreadable photographs are left out.

  Args:
    images: the folder of photographs.
    card: the captioner's card.
    workdir: the run directory; the first call creates the links in it.

  Raises:
    UserError: if there are no photographs, or none remain.
  """
  source = FolderImages(images, GEOMETRY)
  folder, table = workdir / _FOLDER, workdir / _TABLE
  names = [source.name(index) for index in range(len(source))]
  trained = frozenset(str(digest)[:DIGITS] for digest in card.get("trained_on", ()))
  digests: dict[str, str] = {}
  if trained:
    digests = _digests(source, names, table)
  kept = [name for name in names if digests.get(name, "new") not in ("", *trained)]
  if not kept:
    raise UserError(
      f"--images: the captioner was trained on all {len(names)} photographs of "
      f"{images}: give other photographs."
    )
  if not folder.exists():
    root = pathlib.Path(images).resolve()
    with staged_folder(folder) as staging:
      for name in kept:
        link = staging / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(root / name)
  left = sum(digests.get(name) in trained for name in names)
  return HeldOut(folder, len(kept), left, "trained_on" in card)


def _digests(
  source: FolderImages, names: list[str], table: pathlib.Path
) -> dict[str, str]:
  """Returns the digest of every photograph; empty for an unreadable photograph."""

  def one(index: int) -> str:
    try:
      pixels = source.load(index)
    except UnreadableImageError:
      return ""
    return sha256_of([pixels])[:DIGITS]

  if table.exists():
    known: dict[str, str] = json.loads(table.read_text(encoding="utf-8"))
    if sorted(known) == sorted(names):
      return known
  found = {}
  with (
    concurrent.futures.ThreadPoolExecutor(2) as pool,
    bar("photographs trained on", "photographs") as show,
  ):
    for done, digest in enumerate(pool.map(one, range(len(names)))):
      found[names[done]] = digest
      show(done + 1, len(names))
  atomic.write_json(table, found)
  return found
