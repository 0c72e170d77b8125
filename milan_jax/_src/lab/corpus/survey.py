"""The first pass over the photographs: each view's peak response to each concept."""

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
# Number of photographs per saved chunk of results.
CHUNK = 50

Progress = Callable[[str, int, int], None]


class Survey:
  """The results of the first pass.

  Attributes:
    photographs: the index in the source of each photograph, readable or not.
    digests: sha256 of each photograph's pixels; empty if it is unreadable.
    reasons: why each photograph is unreadable; empty if it is readable.
    splits: the split of each readable photograph, by its index.
    views: the views of all readable photographs.
    peaks: the strongest response to each concept in each view, per grid.
  """

  def __init__(self, chunks: Sequence[Mapping[str, np.ndarray]], seed: int):
    self.photographs = np.concatenate([chunk["photographs"] for chunk in chunks])
    self.digests = np.concatenate([chunk["digests"] for chunk in chunks])
    self.reasons = np.concatenate([chunk["reasons"] for chunk in chunks])
    readable = np.flatnonzero(self.reasons == "")
    # Split by content, so that copies of a photograph are in the same split.
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
    """Returns the digest of each readable photograph, by its index."""
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
  """Computes the peak of every concept in every view and saves them in chunks.

  Args:
    photographs: the source.
    table: the measured concepts.
    work: folder for the saved chunks; an interrupted pass resumes from them.
    seed: seeds the views and the split.
    threads: number of threads that measure.
    report: called with the stage, the photographs done and the total photographs.
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
