"""The first pass over the photographs: what each view shows, and how strongly."""

import concurrent.futures
import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from milan_jax._src.files import atomic
from milan_jax._src.files.digests import sha256_of
from milan_jax._src.images.source import ImageSource, UnreadableImageError
from milan_jax._src.lab.corpus import measures, units, views
from milan_jax._src.lab.corpus.concepts import Concept

VIEWS_PER_PHOTOGRAPH = 2
# Photographs after which what was found is saved.
CHUNK = 50

Progress = Callable[[str, int, int], None]


class Survey:
  """What the first pass found.

  Attributes:
    photographs: position in the source of each photograph, readable or not.
    digests: sha256 of its pixels; empty if it cannot be read.
    reasons: why it cannot be read; empty if it can.
    splits: the split of each readable photograph, by its position.
    views: the views of all readable photographs.
    peaks: the strongest response to each concept in each view, per grid.
  """

  def __init__(self, chunks: Sequence[Mapping[str, np.ndarray]], seed: int):
    self.photographs = np.concatenate([chunk["photographs"] for chunk in chunks])
    self.digests = np.concatenate([chunk["digests"] for chunk in chunks])
    self.reasons = np.concatenate([chunk["reasons"] for chunk in chunks])
    readable = np.flatnonzero(self.reasons == "")
    # By content, so that two copies of a photograph fall into one split.
    splits = units.split_groups([str(self.digests[row]) for row in readable], seed)
    self.splits = {
      int(self.photographs[row]): splits[str(self.digests[row])] for row in readable
    }
    self.views = [
      view
      for row in readable
      for view in views.views_of(int(self.photographs[row]), VIEWS_PER_PHOTOGRAPH, seed)
    ]
    peaks = np.concatenate([chunk["peaks"] for chunk in chunks])
    self.peaks: Float[np.ndarray, "grids concepts views"] = np.moveaxis(peaks, 0, -1)

  def digest_of(self) -> dict[int, str]:
    """The digest of each readable photograph, by its position."""
    return {
      int(number): str(digest)
      for number, digest in zip(self.photographs, self.digests, strict=True)
      if int(number) in self.splits
    }


def survey(
  photographs: ImageSource,
  table: Sequence[Concept],
  work: pathlib.Path,
  *,
  seed: int,
  threads: int,
  report: Progress,
) -> Survey:
  """Finds the peaks of every concept in every view, and saves them chunk by chunk.

  Args:
    photographs: the source.
    table: the concepts that are measured.
    work: folder for what was found so far.
    seed: of the views and the split.
    threads: threads that measure.
    report: called with the stage, photographs done and photographs in all.
  """

  def one(index: int) -> tuple[str, str, Float[np.ndarray, "views grids concepts"]]:
    none = np.zeros((0, len(units.PEAK_GRIDS), len(table)), np.float32)
    try:
      image = photographs.load(index)
    except UnreadableImageError as error:
      return "", str(error) or "unreadable", none
    peaks = [
      _peaks(views.seen(image, view, measures.SIZE), table)
      for view in views.views_of(index, VIEWS_PER_PHOTOGRAPH, seed)
    ]
    return sha256_of([image]), "", np.stack(peaks)

  chunks = []
  total = len(photographs)
  with concurrent.futures.ThreadPoolExecutor(threads) as pool:
    for start in range(0, total, CHUNK):
      path = work / f"peaks-{start:07d}.npz"
      numbers = np.arange(start, min(start + CHUNK, total))
      if not path.exists():
        digests, reasons, peaks = zip(*pool.map(one, numbers.tolist()), strict=True)
        atomic.write_npz(
          path,
          {
            "photographs": numbers,
            "digests": np.array(digests),
            "reasons": np.array(reasons),
            "peaks": np.concatenate(peaks),
          },
        )
      with np.load(path) as saved:
        chunks.append(dict(saved))
      report("measuring photographs", int(numbers[-1]) + 1, total)
  return Survey(chunks, seed)


def _peaks(
  image: np.ndarray, table: Sequence[Concept]
) -> Float[np.ndarray, "grids concepts"]:
  found = measures.measured(image)
  return np.array(
    [
      [units.peak(concept.response(found[grid])) for concept in table]
      for grid in units.PEAK_GRIDS
    ],
    np.float32,
  )
